package spdy

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"

	"github.com/amahi/spdy/internal/shown"
)

// A FrameInfo is a frame as seen by the hooks of a Trace and by a FrameLog: everything but the
// data. Fields that do not apply to the frame's type are zero.
type FrameInfo struct {
	Type    FrameType  // FrameData for DATA
	Version uint16     // 2 or 3, as on the wire; 0 for DATA, which has none
	Flags   FrameFlags // as on the wire
	Length  int        // bytes of payload, without the 8 bytes of the frame's header

	StreamID   uint32       // 0 for SETTINGS, PING, GOAWAY, and WINDOW_UPDATE of the session
	Associated uint32       // SYN_STREAM: see StreamInfo
	Priority   uint8        // SYN_STREAM: as on the wire, 0 to 3 in SPDY/2, else 0 to 7
	Reset      RstStatus    // RST_STREAM
	GoAway     GoAwayStatus // GOAWAY
	LastGood   uint32       // GOAWAY: the last stream that the sender has processed
	Ping       uint32       // PING: the id
	Delta      uint32       // WINDOW_UPDATE: growth of the window, in bytes

	// Settings are the entries of SETTINGS, at most the first 16.
	Settings []Setting

	// Headers are the headers of SYN_STREAM, SYN_REPLY and HEADERS, if the Trace or FrameLog
	// enables them. Secret values are replaced by their length, as in "[36 bytes]", unless Secrets
	// is set.
	Headers HeaderBlock

	// Err is the error in the frame or in the headers; nil if there is none.
	Err error
}

// maxShownSettings bounds FrameInfo.Settings.
const maxShownSettings = 16

// describeFrame parses a frame for hooks and logs. p is the payload; it is empty for DATA and for
// skipped frames.
func describeFrame(v Version, h frameHeader, p []byte) (f FrameInfo) {
	f = FrameInfo{Type: h.typ, Version: h.version, Flags: h.flags, Length: h.length, StreamID: h.streamID}
	if !h.control || h.version != v.wire() {
		return f
	}
	switch h.typ {
	case FrameSynStream:
		var syn synStream
		syn, _, f.Err = parseSynStream(v, h, p)
		f.StreamID, f.Associated, f.Priority = syn.id, syn.assoc, syn.priority
	case FrameSynReply, FrameHeaders:
		f.StreamID, _, f.Err = parseReply(v, h, p)
	case FrameRstStream:
		f.StreamID, f.Reset, f.Err = parseRstStream(h, p)
	case FrameSettings:
		var n int
		n, f.Err = settingsCount(h, p)
		for i := range min(n, maxShownSettings) {
			f.Settings = append(f.Settings, settingAt(v, p, i))
		}
	case FramePing:
		f.Ping, f.Err = parsePing(h, p)
	case FrameGoAway:
		f.LastGood, f.GoAway, f.Err = parseGoAway(v, h, p)
	case FrameWindowUpdate:
		if v.streamFlowControl() { // SPDY/2 skips it
			f.StreamID, f.Delta, f.Err = parseWindowUpdate(h, p)
		}
	}
	return f
}

// String returns the frame in one line, as printed by a FrameLog. Values chosen by the peer are
// quoted, so they cannot imitate another line or corrupt a terminal.
func (f FrameInfo) String() string { return string(f.append(nil)) }

// LogValue implements slog.LogValuer: a FrameInfo is logged as its String.
func (f FrameInfo) LogValue() slog.Value { return slog.StringValue(f.String()) }

// append appends the result of String.
func (f *FrameInfo) append(b []byte) []byte {
	b = append(b, strings.ReplaceAll(f.Type.String(), " ", "-")...) // an unknown type has several words
	switch f.Type {
	case FrameData, FrameSynReply, FrameHeaders:
		b = fmt.Appendf(b, " stream=%d flags=%#02x length=%d", f.StreamID, uint8(f.Flags), f.Length)
	case FrameSynStream:
		b = fmt.Appendf(b, " stream=%d associated=%d priority=%d flags=%#02x length=%d",
			f.StreamID, f.Associated, f.Priority, uint8(f.Flags), f.Length)
	case FrameRstStream:
		b = fmt.Appendf(b, " stream=%d status=%v", f.StreamID, f.Reset)
	case FrameSettings:
		b = fmt.Appendf(b, " flags=%#02x length=%d", uint8(f.Flags), f.Length)
		for _, e := range f.Settings {
			b = fmt.Appendf(b, " %v=%d", e.ID, e.Value)
		}
	case FramePing:
		b = fmt.Appendf(b, " id=%d", f.Ping)
	case FrameGoAway:
		b = fmt.Appendf(b, " last-good=%d status=%v", f.LastGood, f.GoAway)
	case FrameWindowUpdate:
		b = fmt.Appendf(b, " stream=%d delta=%d", f.StreamID, f.Delta)
	default:
		b = fmt.Appendf(b, " version=%d flags=%#02x length=%d", f.Version, uint8(f.Flags), f.Length)
	}
	b = shown.AppendHeaders(&lineFormat, b, f.Headers)
	if f.Err != nil {
		b = append(b, " error="...)
		b = strconv.AppendQuoteToASCII(b, f.Err.Error())
	}
	return b
}

// lineFormat is the format of headers in a line; secrets are already redacted.
var lineFormat = shown.Format{
	Before: " ", Between: "=", Secrets: true,
	Value: 256, All: 8 << 10,
	Append: shown.AppendQuoted, More: "[%d bytes more]", MoreFields: "(%d more)",
}

// redacted returns a copy of headers with secret values redacted.
func redacted(h HeaderBlock) HeaderBlock {
	copied := slices.Clone(h)
	for i := range copied {
		copied[i].Value = shown.Redact(h[i].Name, h[i].Value)
	}
	return copied
}
