// Package shown makes what peers have sent fit to be shown, to people and in logs: without the
// secrets in it, without characters that a terminal obeys or that change what its reader sees, and
// within bounds. The frame log and the traces of the library show frames by it, and so do the
// commands.
package shown

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Format says how the headers of a frame are shown. What it appends has no more than All bytes
// and a last field.
type Format struct {
	Before, Between, After string // what is around a name and a value
	Lines                  bool   // several values of a name, which NUL separates, are shown apart
	Secrets                bool   // secret values are shown
	Value                  int    // the largest part of a name or a value that is shown, in bytes
	All                    int    // bytes after which no further field is begun

	// Append makes text safe. It appends at most six bytes for each of the text.
	Append func(b []byte, text string) []byte
	// More is a format for the number of bytes of a name or value that are left out, and
	// MoreFields for the number of fields, which has Before and After around it.
	More, MoreFields string
}

// A Field is one header.
type Field = struct{ Name, Value string }

// AppendHeaders appends headers, as f says.
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

// first cuts the first value off those of a name.
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

// More says how many bytes of a text are left out, for those who read.
const More = " [and %d bytes more]"

// Cut cuts a text behind so many bytes, and says so.
func Cut(text string, most int) string {
	if more := len(text) - most; more > 0 {
		return text[:most] + fmt.Sprintf(More, more)
	}
	return text
}

// AppendQuoted appends text the way a Go program would write it, unless it is a plain word or
// hidden.
func AppendQuoted(b []byte, text string) []byte {
	if isPlainWord(text) || IsHidden(text) {
		return append(b, text...)
	}
	return strconv.AppendQuoteToASCII(b, text)
}

// isPlainWord reports that text can stand in a line without quotes: it is not empty
// and has nothing in it but visible ASCII characters that do not look like the syntax
// of a line.
func isPlainWord(text string) bool {
	for i := range len(text) {
		if c := text[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`"'=\[]`, c) >= 0 {
			return false
		}
	}
	return text != ""
}

// Printable makes text from the network safe for a terminal and for a log: what
// does not print, and everything that could move the cursor, change colours or
// turn the writing direction, becomes \xNN or \u{N}; so that these can be told
// from what was sent, a backslash becomes two.
func Printable(s string) string {
	if isPrintable(s) {
		return s
	}
	return string(AppendPrintable(nil, s))
}

// AppendPrintable appends what Printable returns.
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

// AppendJSON appends an object of JSON, as encoding/json writes it, whose texts show nothing that
// does not print: controls, DEL and marks of direction are escaped, too. What it means stays the same.
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
