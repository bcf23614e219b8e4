package shown

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// formats are the two that are in use.
var formats = map[string]Format{
	"line": {
		Before: " ", Between: "=", Value: 256, All: 8 << 10,
		Append: AppendQuoted, More: "[%d bytes more]", MoreFields: "(%d more)",
	},
	"lines": {
		Before: "  ", Between: ": ", After: "\n", Lines: true, Value: 1000, All: 64 << 10,
		Append: AppendPrintable, More: More, MoreFields: "[and %d headers more]",
	},
}

func pairs(texts ...string) (all []Field) {
	for i := 0; i < len(texts); i += 2 {
		all = append(all, Field{Name: texts[i], Value: texts[i+1]})
	}
	return all
}

// most is the largest text that a format makes of any header.
func (f *Format) most() int { return f.All + 2*(10*f.Value+100) }

// A few bytes of a header block inflate to any number of values and of names, of any size.
func TestHeadersAreBounded(t *testing.T) {
	many := make([]string, 100_000)
	for i := range many {
		many[i] = "a"
	}
	for name, f := range formats {
		for _, texts := range [][]string{
			{strings.Repeat("n", 100_000), strings.Repeat("a\x00", 100_000)},
			{"n", strings.Repeat("\u202e", 100_000)},
			{strings.Repeat("\xff", 100_000), strings.Repeat("\xff\x00", 100_000)},
			many,
		} {
			all := pairs(texts...)
			b := AppendHeaders(&f, nil, all)
			require.LessOrEqual(t, len(b), f.most(), name)
			require.LessOrEqual(t, cap(b), 4*f.most(), name)
			require.Contains(t, string(b), " more", name)
		}
	}
}

// The two formats, side by side.
func TestFormats(t *testing.T) {
	all := pairs("a", "x\x00y", "cookie", "secret", "b", "", "\x1b", "\u202e")
	line, lines := formats["line"], formats["lines"]
	require.Equal(t, ` a="x\x00y" cookie=[6 bytes] b="" "\x1b"="\u202e"`, string(AppendHeaders(&line, nil, all)))
	require.Equal(t, "  a: x\n  a: y\n  cookie: [6 bytes]\n  b:\n  \\x1b: \\u{202e}\n", string(AppendHeaders(&lines, nil, all)))
	lines.Secrets = true
	require.Contains(t, string(AppendHeaders(&lines, nil, all)), "  cookie: secret\n")
}

// Whatever a text in JSON has in it, a terminal gets nothing that it would obey, and a program
// gets the text.
func TestJSONShowsNothingThatDoesNotPrint(t *testing.T) {
	text := "a\x00\x1b\x7f\u0085\u009b\u202e\u2066\u200b\ufeff\u00a0\U000e0001é€\U0001f600\"\\"
	object, err := json.Marshal(text)
	require.NoError(t, err)
	shown := AppendJSON(nil, object)
	for _, r := range string(shown) {
		require.True(t, unicode.IsPrint(r), "%q", r)
	}
	var back string
	require.NoError(t, json.Unmarshal(shown, &back))
	require.Equal(t, text, back)
	require.Contains(t, string(shown), "é€\U0001f600", "what prints stays")
}

// FuzzHeaders wants that any header is shown without its secrets, printable and within bounds.
func FuzzHeaders(f *testing.F) {
	f.Add("name", "value", 3)
	f.Add("cookie", "a\x00b", 10_000)
	f.Add("\x1b[2J", "\u202e", 1)
	f.Add(":path", "/?token", 2)
	f.Fuzz(func(t *testing.T, name, value string, copies int) {
		copies = 1 + max(copies, -copies, 0)%10_000
		var texts []string
		for range copies {
			texts = append(texts, name, value)
		}
		all := pairs(texts...)
		for style, format := range formats {
			b := AppendHeaders(&format, nil, all)
			require.LessOrEqual(t, len(b), format.most(), style)
			require.LessOrEqual(t, cap(b), 4*format.most(), style)
			for _, r := range string(b) {
				require.True(t, r == '\n' && format.Lines || unicode.IsPrint(r), "%s: %q", style, r)
			}
		}
		if hidden := Redact("authorization", value); value != "" {
			require.True(t, IsHidden(hidden))
		}
		object, err := json.Marshal([]string{name, value})
		require.NoError(t, err)
		require.JSONEq(t, string(object), string(AppendJSON(nil, object)))
	})
}

// A header of any name may carry several values, and a URL: the frame log shows all values of a name
// as one text, and dump shows them one by one.
func TestRedactsAnyValueOfAnyHeader(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{"x-upstream", "a\x00Bearer mF_9.B5f-4.1JqM", "[24 bytes]"},
		{"x-upstream", "Bearer mF_9.B5f-4.1JqM\x00a", "[24 bytes]"},
		{"x-upstream", " Basic QWxhZGRpbg==", "[19 bytes]"},
		{"x-forwarded-uri", "/page?token=s3cret", "/page?[12 bytes]"},
		{"destination", "https://user:s3cret@example.com/a#s3cret", "https://[11 bytes]@example.com/a#[6 bytes]"},
		{"x-next", "a\x00/page?token=s3cret", "a\x00/page?[12 bytes]"},
		{"via", "1.1 a\x001.1 b", "1.1 a\x001.1 b"},
		{"content-type", "text/html; charset=utf-8", "text/html; charset=utf-8"},
		{"accept", "*/*;q=0.8", "*/*;q=0.8"},
	} {
		require.Equal(t, c.want, Redact(c.name, c.value), "%s: %q", c.name, c.value)
	}
}
