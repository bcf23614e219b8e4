// Package shown makes data from peers safe to show to people and in logs: without secrets, without
// characters that control a terminal or change the appearance of text, and within size limits. The
// library's frame log and traces use the package, and so do the commands.
package shown

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Format is the style in which the headers of a frame are shown. The output has at most All bytes
// plus a last field.
type Format struct {
	Before, Between, After string // text around a name and a value
	Lines                  bool   // the NUL-separated values of a name are shown separately
	Secrets                bool   // secret values are shown
	Value                  int    // limit for a shown name or value, in bytes
	All                    int    // limit after which no further field is started, in bytes

	// Append makes text safe. It appends at most six bytes per byte of text.
	Append func(b []byte, text string) []byte
	// More is a format for the number of omitted bytes of a name or value. MoreFields is a format
	// for the number of omitted fields, printed between Before and After.
	More, MoreFields string
}

// A Field is a header.
type Field = struct{ Name, Value string }

// AppendHeaders appends headers in the format f.
func AppendHeaders[F ~Field](f *Format, b []byte, headers []F) []byte {
	start := len(b)
	for i := range headers {
		field := Field(headers[i])
		for value, rest, more := f.first(field.Value); ; value, rest, more = f.first(rest) {
			if len(b)-start > f.All {
				b = fmt.Appendf(append(b, f.Before...), f.MoreFields, len(headers)-i)
				return append(b, f.After...)
			}
			b = f.appendField(b, field.Name, value)
			if !more {
				break
			}
		}
	}
	return b
}

// first splits the first value from the values of a name.
func (f *Format) first(values string) (value, rest string, more bool) {
	if !f.Lines {
		return values, "", false
	}
	return strings.Cut(values, "\x00")
}

func (f *Format) appendField(b []byte, name, value string) []byte {
	if !f.Secrets {
		value = Redact(name, value)
	}
	b = f.AppendText(append(b, f.Before...), name)
	between := f.Between
	if value == "" && f.Lines {
		between = strings.TrimRight(between, " ")
	}
	b = f.AppendText(append(b, between...), value)
	return append(b, f.After...)
}

// AppendText appends a name or a value.
func (f *Format) AppendText(b []byte, text string) []byte {
	more := len(text) - f.Value
	if more > 0 {
		text = text[:f.Value]
	}
	b = f.Append(b, text)
	if more > 0 {
		b = fmt.Appendf(b, f.More, more)
	}
	return b
}

// More is a format for people, with the number of omitted bytes of a text.
const More = " [and %d bytes more]"

// Cut truncates a text to most bytes, and appends the number of omitted bytes.
func Cut(text string, most int) string {
	if more := len(text) - most; more > 0 {
		return text[:most] + fmt.Sprintf(More, more)
	}
	return text
}

// AppendQuoted appends text in the quoted form of a Go string, unless text is a plain word or
// hidden.
func AppendQuoted(b []byte, text string) []byte {
	if isPlainWord(text) || IsHidden(text) {
		return append(b, text...)
	}
	return strconv.AppendQuoteToASCII(b, text)
}

// isPlainWord reports whether text needs no quotes within a line: it is not empty and contains only
// visible ASCII characters without a meaning in the syntax of a line.
func isPlainWord(text string) bool {
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"'=\[]`, c) >= 0 {
			return false
		}
	}
	return text != ""
}

// Printable makes text from the network safe for a terminal and for a log. Unprintable characters,
// and everything that could move the cursor, change colours or reverse the writing direction,
// become \xNN or \u{N}. A backslash is doubled to keep the result unambiguous.
func Printable(s string) string {
	if isPrintable(s) {
		return s
	}
	return string(AppendPrintable(nil, s))
}

// AppendPrintable appends the result of Printable.
func AppendPrintable(b []byte, s string) []byte {
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == '\\':
			b = append(b, `\\`...)
		case r < utf8.RuneSelf && (r < ' ' || r == 0x7f), r == utf8.RuneError && n == 1:
			b = fmt.Appendf(b, `\x%02x`, s[0])
		case unicode.IsPrint(r):
			b = append(b, s[:n]...)
		default:
			b = fmt.Appendf(b, `\u{%x}`, r)
		}
		s = s[n:]
	}
	return b
}

func isPrintable(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' || s[i] == '\\' {
			return false
		}
	}
	return true
}

// AppendJSON appends a JSON object as encoding/json writes it, with unprintable characters escaped:
// controls, DEL and direction marks. The meaning of the object is unchanged.
func AppendJSON(b, object []byte) []byte {
	for len(object) > 0 {
		r, n := utf8.DecodeRune(object)
		switch {
		case r == '\n', r == utf8.RuneError && n == 1, r != 0x7f && r < utf8.RuneSelf, unicode.IsPrint(r):
			b = append(b, object[:n]...)
		case r > 0xffff:
			r -= 0x10000
			b = fmt.Appendf(b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			b = fmt.Appendf(b, `\u%04x`, r)
		}
		object = object[n:]
	}
	return b
}
