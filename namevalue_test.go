package spdy

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// nvBlock builds an uncompressed header block with any count and any lengths.
func nvBlock(v Version, count int, texts ...string) []byte {
	put := func(b []byte, n int) []byte {
		if v == SPDY2 {
			return binary.BigEndian.AppendUint16(b, uint16(n))
		}
		return binary.BigEndian.AppendUint32(b, uint32(n))
	}
	b := put(nil, count)
	for _, s := range texts {
		b = append(put(b, len(s)), s...)
	}
	return b
}

// requireRule wants err to be a header error found by the given rule.
func requireRule(t testing.TB, rule string, err error, msg ...any) {
	t.Helper()
	var he *headerError
	require.ErrorAs(t, err, &he, msg...)
	require.Equal(t, rule, he.rule, msg...)
	require.Contains(t, err.Error(), "("+rule+")")
}

func TestNameValueBytes(t *testing.T) {
	h := HeaderBlock{{":path", "/"}, {"a", ""}, {"b", "1\x002"}}
	got, err := appendNameValue([]byte("x"), SPDY2, h)
	require.NoError(t, err)
	require.Equal(t, "x\x00\x03\x00\x05:path\x00\x01/\x00\x01a\x00\x00\x00\x01b\x00\x031\x002", string(got))
	for _, v := range []Version{SPDY3, SPDY31} {
		got, err = appendNameValue(nil, v, h)
		require.NoError(t, err)
		require.Equal(t, nvBlock(v, 3, ":path", "/", "a", "", "b", "1\x002"), got)
	}
	for _, v := range allVersions {
		got, err = appendNameValue(nil, v, nil)
		require.NoError(t, err)
		require.Equal(t, make([]byte, nvIntSize(v)), got, "H18")
	}
}

func TestNameValueWriterJoins(t *testing.T) {
	for _, tt := range []struct {
		values []string
		want   string
	}{
		{nil, ""},
		{[]string{""}, ""},
		{[]string{"", ""}, ""},
		{[]string{"a"}, "a"},
		{[]string{"a", "b", "c"}, "a\x00b\x00c"},
		{[]string{"", "a", "", "b", ""}, "a\x00b"},
	} {
		for _, v := range allVersions {
			w := beginNameValue(nil, v)
			w.addValues("n", tt.values)
			w.add("m", "z")
			p, err := w.finish()
			require.NoError(t, err)
			require.Equal(t, nvBlock(v, 2, "n", tt.want, "m", "z"), p, "%q", tt.values)
			h, err := parseNameValue(v, p, 0)
			require.NoError(t, err, "what is sent is well-formed (H7)")
			require.Equal(t, HeaderBlock{{"n", tt.want}, {"m", "z"}}, h)
		}
	}
}

// TestNameValueLimits: SPDY/2 has 16 bits for lengths and the count (SPEC H14).
func TestNameValueLimits(t *testing.T) {
	most := strings.Repeat("n", 65535)
	long := most + "n"
	p, err := appendNameValue(nil, SPDY2, HeaderBlock{{most, most}})
	require.NoError(t, err)
	h, err := parseNameValue(SPDY2, p, 0)
	require.NoError(t, err)
	require.Equal(t, HeaderBlock{{most, most}}, h)

	full := make(HeaderBlock, 65535)
	for i := range full {
		full[i].Name = fmt.Sprint(i)
	}
	p, err = appendNameValue(nil, SPDY2, full)
	require.NoError(t, err)
	h, err = parseNameValue(SPDY2, p, 0)
	require.NoError(t, err)
	require.Equal(t, full, h)

	joined := beginNameValue([]byte("kept"), SPDY2)
	joined.addValues("n", []string{most[:65533], "z", "z"})
	_, joinedErr := joined.finish()
	requireRule(t, "H14", joinedErr, "joined values")
	for _, bad := range []HeaderBlock{{{long, ""}}, {{"n", long}}, append(full, HeaderField{"n", ""}), {{"n", long}, {"m", ""}}} {
		got, err := appendNameValue([]byte("kept"), SPDY2, bad)
		requireRule(t, "H14", err)
		require.Equal(t, "kept", string(got))
		for _, v := range []Version{SPDY3, SPDY31} {
			_, err = appendNameValue(nil, v, bad)
			require.NoError(t, err)
		}
	}
}

func TestParseNameValue(t *testing.T) {
	for _, v := range allVersions {
		for _, want := range []HeaderBlock{
			{},
			{{":status", "200 OK"}, {":version", "HTTP/1.1"}, {"x-unheard-of", "1"}},
			{{"set-cookie", "a=1\x00b=2\x00c=3"}, {"x", ""}, {"tab", "a\tb"}},
			{{"!#$%&'*+-.^_`|~09az", "\x80\xff"}, {":a", "b"}},
		} {
			p, err := appendNameValue(nil, v, want)
			require.NoError(t, err)
			got, err := parseNameValue(v, p, 0)
			require.NoError(t, err)
			require.Equal(t, want, got)
			got, err = parseNameValue(v, p, max(len(want), 1))
			require.NoError(t, err)
			clear(p)
			require.Equal(t, want, got, "the result owns its text")
		}
	}
}

func TestParseNameValueMalformed(t *testing.T) {
	for _, tt := range []struct {
		rule, rule2 string // for SPDY/3 and SPDY/2; "" if well-formed
		count       int
		texts       []string
	}{
		{"H3", "H3", 9, []string{"a", "", "b", "", "c", "", "d", "", "e", ""}},
		{"H3", "H3", 2, []string{"a", "", "b"}},
		{"H3", "H3", 1, []string{"a", "1", "b", "2"}},
		{"H3", "H3", 0, []string{""}},
		{"H3", "H3", 65535, []string{"a", "1"}},
		{"H4", "H4", 1, []string{"", "1"}},
		{"H5", "H5", 1, []string{"X-Foo", "1"}},
		{"H5", "H5", 1, []string{"a b", "1"}},
		{"H5", "H5", 1, []string{":", "1"}},
		{"H5", "H5", 1, []string{"::a", "1"}},
		{"H5", "H5", 1, []string{"a:", "1"}},
		{"H5", "H5", 1, []string{"a\x00b", "1"}},
		{"H5", "H5", 1, []string{"caf\xc3\xa9", "1"}},
		{"H5", "H5", 1, []string{"a\x7f", "1"}},
		{"H6", "H6", 2, []string{"a", "1", "a", "2"}},
		{"H6", "H6", 3, []string{"cookie", "1", "b", "2", "cookie", "1"}},
		{"H7", "", 1, []string{"a", "\x001"}},
		{"H7", "", 1, []string{"a", "1\x00"}},
		{"H7", "", 1, []string{"a", "\x00"}},
		{"H7", "H8", 1, []string{"a", "1\x00\x002"}},
		{"H7", "H8", 1, []string{"a", "1\x00\x00"}},
		{"", "", 1, []string{"a", ""}}, // H9, H10
		{"", "", 1, []string{"a", "1\x002\x003"}},
		{"H11", "H11", 1, []string{"a", "x\r\ny"}},
		{"H11", "H11", 1, []string{"a", "x\ny"}},
		{"H11", "H11", 1, []string{"a", "\x01"}},
		{"H11", "H11", 1, []string{"a", "\x7f"}},
		{"H11", "H11", 1, []string{"a", "1\x00\x1b"}},
	} {
		for _, v := range allVersions {
			rule := tt.rule
			if v == SPDY2 {
				rule = tt.rule2
			}
			_, err := parseNameValue(v, nvBlock(v, tt.count, tt.texts...), 0)
			if rule == "" {
				require.NoError(t, err, "%v %q", v, tt.texts)
				continue
			}
			requireRule(t, rule, err, "%v %q", v, tt.texts)
			var he *headerError
			require.ErrorAs(t, err, &he)
			require.Equal(t, RstProtocolError, he.status())
		}
	}
}

// TestParseNameValueTruncated cuts a block at every byte, and makes every length
// in it too large (SPEC H3).
func TestParseNameValueTruncated(t *testing.T) {
	for _, v := range allVersions {
		p := nvBlock(v, 2, "aa", "11", "bb", "22")
		for n := range p {
			_, err := parseNameValue(v, p[:n], 0)
			requireRule(t, "H3", err, "%d bytes", n)
		}
		_, err := parseNameValue(v, append(p, 0), 0)
		requireRule(t, "H3", err)
		size := nvIntSize(v)
		for at := 0; at < len(p); at += size {
			q := append([]byte(nil), p...)
			for i := range size {
				q[at+i] = 0xff
			}
			_, err := parseNameValue(v, q, 0)
			requireRule(t, "H3", err)
			at += map[bool]int{true: 0, false: 2}[at == 0] // each but the count is followed by two bytes of text
		}
	}
}

func TestParseNameValueMaxPairs(t *testing.T) {
	for _, v := range allVersions {
		p := nvBlock(v, 3, "a", "", "b", "", "c", "")
		_, err := parseNameValue(v, p, 3)
		require.NoError(t, err)
		_, err = parseNameValue(v, p, 2)
		requireRule(t, "H12", err)
		var he *headerError
		require.ErrorAs(t, err, &he)
		require.Equal(t, RstFrameTooLarge, he.status())
	}
}

// TestParseNameValueUnique looks for one pair of equal names in blocks on both
// sides of the size from which names are looked up.
func TestParseNameValueUnique(t *testing.T) {
	for _, n := range []int{2, 31, 32, 33, 34, 1000} {
		h := make(HeaderBlock, n)
		for i := range h {
			h[i].Name = fmt.Sprintf("n%d", i)
		}
		p, err := appendNameValue(nil, SPDY31, h)
		require.NoError(t, err)
		_, err = parseNameValue(SPDY31, p, 0)
		require.NoError(t, err, n)
		for _, same := range [][2]int{{0, n - 1}, {0, 1}, {n - 2, n - 1}} {
			bad := append(HeaderBlock(nil), h...)
			bad[same[1]].Name = bad[same[0]].Name
			p, err := appendNameValue(nil, SPDY31, bad)
			require.NoError(t, err)
			_, err = parseNameValue(SPDY31, p, 0)
			requireRule(t, "H6", err, "%d names, %v equal", n, same)
		}
	}
}

// TestHeaderErrorHidesValues: an error may end up in a log, a cookie may not.
func TestHeaderErrorHidesValues(t *testing.T) {
	for _, value := range []string{"secret\r\n", "secret\x00\x00", "\x00secret"} {
		_, err := parseNameValue(SPDY31, nvBlock(SPDY31, 1, "cookie", value), 0)
		require.ErrorContains(t, err, `"cookie"`)
		require.NotContains(t, err.Error(), "secret")
	}
	_, err := parseNameValue(SPDY31, nvBlock(SPDY31, 1, strings.Repeat("A", 100_000), ""), 0)
	requireRule(t, "H5", err)
	require.Less(t, len(err.Error()), 200)
}

func TestWellKnownNames(t *testing.T) {
	for _, name := range []string{
		":host", ":method", ":path", ":scheme", ":status", ":version", "accept", "accept-encoding",
		"accept-language", "accept-ranges", "age", "authorization", "cache-control", "content-encoding",
		"content-length", "content-type", "cookie", "date", "etag", "expires", "host", "if-modified-since",
		"if-none-match", "last-modified", "location", "method", "origin", "range", "referer", "scheme", "server",
		"set-cookie", "status", "streamtype", "url", "user-agent", "vary", "version", "via", "x-forwarded-for",
	} {
		require.Equal(t, name, wellKnownName([]byte(name)))
	}
	require.Empty(t, wellKnownName([]byte("x-cookie")))
	require.Empty(t, wellKnownName(nil))
}

var browserRequest = HeaderBlock{
	{":host", "www.example.com"}, {":method", "GET"}, {":path", "/static/site.css?v=12"}, {":scheme", "https"},
	{":version", "HTTP/1.1"}, {"accept", "text/css,*/*;q=0.1"}, {"accept-encoding", "gzip,deflate"},
	{"accept-language", "en-US,en;q=0.8"}, {"cookie", "sid=31d4d96e407aad42; theme=dark"},
	{"user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"}, {"x-requested-with", "XMLHttpRequest"},
}

func TestNameValueAllocs(t *testing.T) {
	values := []string{"a", "b"}
	buf := make([]byte, 0, 4096)
	for _, v := range allVersions {
		var p []byte
		var err error
		n := testing.AllocsPerRun(100, func() { p, err = appendNameValue(buf, v, browserRequest) })
		require.NoError(t, err)
		assert.Zero(t, n, "append")
		n = testing.AllocsPerRun(100, func() {
			w := beginNameValue(buf, v)
			w.addValues("n", values)
			_, err = w.finish()
		})
		require.NoError(t, err)
		assert.Zero(t, n, "addValues")

		p = append([]byte(nil), p...)
		p, err = appendNameValue(p[:0], v, browserRequest)
		require.NoError(t, err)
		var h HeaderBlock
		n = testing.AllocsPerRun(100, func() { h, err = parseNameValue(v, p, 100) })
		require.NoError(t, err)
		require.Equal(t, browserRequest, h)
		assert.LessOrEqual(t, n, 2.0, "parse: the slice and the text")

		empty := nvBlock(v, 0)
		n = testing.AllocsPerRun(100, func() { _, err = parseNameValue(v, empty, 100) })
		require.NoError(t, err)
		assert.Zero(t, n, "empty block")
	}
}

// TestParseNameValueDeclared: what a block declares costs no memory (SPEC H3).
func TestParseNameValueDeclared(t *testing.T) {
	for _, p := range [][]byte{
		[]byte("\xff\xff\xff\xff"),
		[]byte("\x7f\xff\xff\xff\x00\x00\x00\x01a\x00\x00\x00\x00"),
		[]byte("\x00\x00\x00\x01\xff\xff\xff\xffa\x00\x00\x00"),
		[]byte("\x00\x00\x00\x01\x00\x00\x00\x01a\xff\xff\xff\xff"),
	} {
		for _, v := range []Version{SPDY3, SPDY31} {
			const runs = 100
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range runs {
				_, err := parseNameValue(v, p, 0)
				require.Error(t, err)
			}
			runtime.ReadMemStats(&after)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(runs*4096))
		}
	}
}

func BenchmarkParseNameValue(b *testing.B) {
	p, err := appendNameValue(nil, SPDY31, browserRequest)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := parseNameValue(SPDY31, p, 100); err != nil {
			b.Fatal(err)
		}
	}
}

// FuzzNameValue: any bytes either parse or fail with a header error, and what
// parses encodes to the same bytes and obeys the rules.
func FuzzNameValue(f *testing.F) {
	for i, v := range allVersions {
		f.Add(uint8(i), nvBlock(v, 0))
		f.Add(uint8(i), nvBlock(v, 2, ":path", "/", "a", "1\x002"))
		f.Add(uint8(i), nvBlock(v, 3, "a", "1", "a", "2", "", "\x00"))
		f.Add(uint8(i), nvBlock(v, 65535, "a", "1"))
	}
	f.Fuzz(func(t *testing.T, version uint8, p []byte) {
		v := allVersions[int(version)%len(allVersions)]
		h, err := parseNameValue(v, p, 1000)
		if err != nil {
			var he *headerError
			require.ErrorAs(t, err, &he)
			return
		}
		require.LessOrEqual(t, len(h), 1000)
		got, err := appendNameValue(nil, v, h)
		require.NoError(t, err)
		require.Equal(t, p, got)
		seen := map[string]bool{}
		for _, field := range h {
			require.NotEmpty(t, field.Name)
			require.False(t, seen[field.Name])
			seen[field.Name] = true
			require.Equal(t, strings.ToLower(field.Name), field.Name)
			require.NotContains(t, field.Value, "\x00\x00")
			require.NotContains(t, field.Value, "\n")
		}
	})
}
