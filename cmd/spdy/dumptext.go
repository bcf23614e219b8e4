package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/shown"
)

// A textPrinter prints a line for each frame, followed by details.
type textPrinter struct {
	w      io.Writer
	format textFormat
	buf    []byte
	begun  bool
}

func (p *textPrinter) frame(raw spdy.RawFrame, f spdy.Frame, err error) error {
	b := p.buf[:0]
	if !p.begun {
		b = fmt.Appendf(b, "%10s  %s\n", "byte", textTitle)
		p.begun = true
	}
	b = fmt.Appendf(b, "%10d  ", raw.Offset)
	b = p.format.appendFrame(b, raw, f, "")
	if err != nil {
		b = append(b, textIndent+"! "...)
		b = append(b, shown.Printable(faultText(raw, err))...)
		b = append(b, '\n')
	}
	p.buf = b
	_, werr := p.w.Write(b)
	return werr
}

// A textFormat formats frames as readable text.
type textFormat struct {
	version spdy.Version
	secrets bool
}

// textTitle is the heading of the columns of a frame; textIndent indents the details.
const (
	textTitle  = "frame          stream  flags    length  details"
	textIndent = "            "
)

// appendFrame appends the line of a frame, ending in note, and the lines of the headers, settings
// or data. f is nil if the headers break a rule.
func (t *textFormat) appendFrame(b []byte, raw spdy.RawFrame, f spdy.Frame, note string) []byte {
	stream, details := t.describe(raw, f)
	if note != "" && details != "" {
		details += ", "
	}
	line := fmt.Sprintf("%-13s %7s  %-6s %8d  %s", frameName(raw), stream, flagNames(raw), raw.Length, details+note)
	b = append(b, strings.TrimRight(line, " ")...)
	b = append(b, '\n')
	b = t.appendFields(b, fieldsOf(t.version, raw, f))
	switch f := f.(type) {
	case *spdy.SettingsFrame:
		for _, e := range f.Entries {
			b = fmt.Appendf(b, "%s%s = %d%s\n", textIndent, e.ID, e.Value, settingFlags(e))
		}
	case *spdy.DataFrame:
		b = t.appendBytes(b, f.Data)
	case *spdy.UnknownFrame:
		b = t.appendBytes(b, f.Data)
	}
	return b
}

// describe returns the stream of a frame and the details that fit on the line.
func (t *textFormat) describe(raw spdy.RawFrame, f spdy.Frame) (stream, details string) {
	stream = "-"
	switch f := f.(type) {
	case *spdy.DataFrame:
		return id(f.StreamID), ""
	case *spdy.RstStreamFrame:
		return id(f.StreamID), statusText(uint32(f.Status), f.Status)
	case *spdy.SettingsFrame, *spdy.NoopFrame:
		return stream, ""
	case *spdy.PingFrame:
		return stream, "id " + id(f.ID)
	case *spdy.GoAwayFrame:
		details = "last good stream " + id(f.LastGoodStreamID)
		if t.version != spdy.SPDY2 {
			details += ", " + statusText(uint32(f.Status), f.Status)
		}
		return stream, details
	case *spdy.WindowUpdateFrame:
		return id(f.StreamID), fmt.Sprintf("+%d", f.Delta)
	case *spdy.CredentialFrame:
		sizes := make([]string, len(f.Certificates))
		for i, cert := range f.Certificates {
			sizes[i] = fmt.Sprint(len(cert))
		}
		return stream, fmt.Sprintf("slot %d, proof of %d bytes, certificates of %s bytes", f.Slot, len(f.Proof), orNo(strings.Join(sizes, ", ")))
	case *spdy.UnknownFrame:
		return stream, fmt.Sprintf("version %d on the wire, skipped by %v", f.Version, t.version)
	}
	fixed := fixedOf(t.version, raw)
	if raw.Type == spdy.FrameSynStream {
		details = fmt.Sprintf("priority %d", fixed.priority)
	}
	for _, x := range []struct {
		name  string
		value uint32
	}{{"associated stream", fixed.associated}, {"slot", uint32(fixed.slot)}, {"unused bits", uint32(fixed.unused)}} {
		if x.value != 0 {
			details = strings.TrimPrefix(fmt.Sprintf("%s, %s %d", details, x.name, x.value), ", ")
		}
	}
	return id(fixed.stream), details
}

// statusText returns a status by number and, if known, by name.
func statusText(code uint32, name fmt.Stringer) string {
	if s := name.String(); !strings.Contains(s, " ") {
		return fmt.Sprintf("%d %s", code, s)
	}
	return fmt.Sprintf("%d, unknown status", code)
}

func id(n uint32) string { return fmt.Sprint(n) }

func orNo(s string) string {
	if s == "" {
		return "no"
	}
	return s
}

// flagNames names the flags of a frame; unknown flags stay numbers.
func flagNames(raw spdy.RawFrame) string {
	var names []string
	left := raw.Flags
	take := func(flag spdy.FrameFlags, name string) {
		if left&flag != 0 {
			names = append(names, name)
			left &^= flag
		}
	}
	switch raw.Type {
	case spdy.FrameSynStream:
		take(spdy.FlagFin, "FIN")
		take(spdy.FlagUnidirectional, "UNI")
	case spdy.FrameSynReply, spdy.FrameHeaders:
		take(spdy.FlagFin, "FIN")
	case spdy.FrameSettings:
		take(spdy.FlagClearSettings, "CLEAR")
	case spdy.FrameData:
		if !raw.Control {
			take(spdy.FlagFin, "FIN")
		}
	}
	if left != 0 {
		names = append(names, fmt.Sprintf("%#02x", uint8(left)))
	}
	if len(names) == 0 {
		return "-"
	}
	return strings.Join(names, "+")
}

func settingFlags(e spdy.Setting) string {
	var s string
	if e.Flags&spdy.FlagPersistValue != 0 {
		s += ", PERSIST_VALUE"
	}
	if e.Flags&spdy.FlagPersisted != 0 {
		s += ", PERSISTED"
	}
	if other := e.Flags &^ (spdy.FlagPersistValue | spdy.FlagPersisted); other != 0 {
		s += fmt.Sprintf(", flags %#02x", other)
	}
	return s
}

// Limits in bytes: longestFrame on the shown headers of a frame, longestValue on a shown name or
// value.
const (
	longestFrame = 64 << 10
	longestValue = 1000
)

// appendFields appends a line for each value of each header: on the wire NUL joins several values
// of a name (SPEC §2.2).
func (t *textFormat) appendFields(b []byte, h spdy.HeaderBlock) []byte {
	format := shown.Format{
		Before: textIndent, Between: ": ", After: "\n", Lines: true, Secrets: t.secrets,
		Value: longestValue, All: longestFrame,
		Append: shown.AppendPrintable, More: shown.More, MoreFields: "[and %d headers more]",
	}
	return shown.AppendHeaders(&format, b, h)
}

// appendBytes appends data as hexadecimal digits and characters, 16 bytes a line.
func (t *textFormat) appendBytes(b []byte, p []byte) []byte {
	const width = 16
	if !t.secrets {
		return b
	}
	for at := 0; at < len(p); at += width {
		row := p[at:min(at+width, len(p))]
		b = fmt.Appendf(b, "%s%08x  % -*x  ", textIndent, at, 3*width-1, row)
		for _, c := range row {
			if c < ' ' || c > '~' {
				c = '.'
			}
			b = append(b, c)
		}
		b = append(b, '\n')
	}
	return b
}

// plural returns a count with the noun.
func plural(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
