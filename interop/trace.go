package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/amahi/spdy"
)

// A step is a frame of a conversation.
type step struct {
	from  side
	turn  int    // position in time, over the two directions
	raw   []byte // the bytes of the frame on the wire
	frame spdy.Frame
	err   error // why frame is nil
}

// length returns the declared payload length of the frame.
func (s *step) length() int { return len(s.raw) - 8 }

// A trace is a conversation, frame by frame.
type trace struct {
	version spdy.Version
	steps   []step
	rest    [2]int // bytes of an incomplete frame at the end of a direction
}

// trace parses the bytes recorded by a tap.
func (t *tap) trace(v spdy.Version) *trace {
	tr := &trace{version: v}
	sent, marks := t.snapshot()
	for s := range sent {
		tr.rest[s] = tr.split(side(s), sent[s], marks[s])
	}
	slices.SortStableFunc(tr.steps, func(a, b step) int { return cmp.Compare(a.turn, b.turn) })
	return tr
}

// split appends the frames that one side sent and returns the number of remaining bytes.
func (tr *trace) split(from side, sent []byte, marks []mark) (rest int) {
	framer := spdy.NewFramer(nil, bytes.NewReader(sent), tr.version)
	framer.MaxHeaderBytes = 1 << 20
	var fatal error
	for at := 0; ; {
		if len(sent)-at < 8 {
			return len(sent) - at
		}
		end := at + 8 + int(sent[at+5])<<16 + int(sent[at+6])<<8 + int(sent[at+7])
		if end > len(sent) {
			return len(sent) - at
		}
		for len(marks) > 1 && marks[0].end < end {
			marks = marks[1:]
		}
		s := step{from: from, turn: marks[0].turn, raw: sent[at:end:end]}
		if fatal == nil {
			s.frame, s.err = framer.ReadFrame()
			var stream *spdy.StreamError
			if s.err != nil && !errors.As(s.err, &stream) {
				fatal = s.err
			}
		} else {
			s.err = fatal
		}
		tr.steps = append(tr.steps, s)
		at = end
	}
}

// find returns the first frame of type F sent by a side and accepted by ok; a nil ok accepts all
// frames.
func find[F spdy.Frame](tr *trace, from side, ok func(F) bool) (F, bool) {
	for i := range tr.steps {
		f, is := tr.steps[i].frame.(F)
		if is && tr.steps[i].from == from && (ok == nil || ok(f)) {
			return f, true
		}
	}
	var none F
	return none, false
}

// has reports whether find finds a frame.
func has[F spdy.Frame](tr *trace, from side, ok func(F) bool) bool {
	_, found := find(tr, from, ok)
	return found
}

// dataBytes returns the number of DATA bytes that a side sent on a stream.
func (tr *trace) dataBytes(from side, id uint32) (n int) {
	for i := range tr.steps {
		if d, ok := tr.steps[i].frame.(*spdy.DataFrame); ok && tr.steps[i].from == from && d.StreamID == id {
			n += len(d.Data)
		}
	}
	return n
}

// size returns the number of bytes sent by both sides, 0 if the conversation was not tapped.
func (tr *trace) size() (n int) {
	if tr == nil {
		return 0
	}
	for i := range tr.steps {
		n += len(tr.steps[i].raw)
	}
	return n
}

// undecoded returns an error if a frame of a side could not be read.
func (tr *trace) undecoded(from side) error {
	for i := range tr.steps {
		if s := &tr.steps[i]; s.from == from && s.err != nil {
			return fmt.Errorf("frame %x of the %s could not be read: %w", s.raw[:min(len(s.raw), 24)], whose(from), s.err)
		}
	}
	return nil
}

func whose(s side) string {
	if s == ours {
		return "library"
	}
	return "peer"
}

// write prints the conversation, one line per frame. A run of DATA frames is printed as a single
// line, so that ten MiB do not bury the rest.
func (tr *trace) write(w io.Writer) {
	for i := 0; i < len(tr.steps); {
		s := &tr.steps[i]
		d, ok := s.frame.(*spdy.DataFrame)
		if !ok {
			fmt.Fprintf(w, "    %s %s\n", s.from, s.describe())
			i++
			continue
		}
		n, size, fin := 0, 0, ""
		for ; i < len(tr.steps); i++ {
			next, ok := tr.steps[i].frame.(*spdy.DataFrame)
			if !ok || tr.steps[i].from != s.from || next.StreamID != d.StreamID {
				break
			}
			n++
			size += len(next.Data)
			if next.Flags&spdy.FlagFin != 0 {
				fin = " FIN"
			}
		}
		fmt.Fprintf(w, "    %s DATA stream=%d frames=%d bytes=%d%s\n", s.from, d.StreamID, n, size, fin)
	}
	for s, n := range tr.rest {
		if n > 0 {
			fmt.Fprintf(w, "    %s %d bytes of an incomplete frame\n", side(s), n)
		}
	}
}

// describe formats a frame as a single line.
func (s *step) describe() string {
	fin := func(f spdy.FrameFlags) string {
		line := ""
		if f&spdy.FlagFin != 0 {
			line = " FIN"
		}
		if f&^spdy.FlagFin != 0 {
			line += fmt.Sprintf(" flags=%#x", uint8(f))
		}
		return line
	}
	switch f := s.frame.(type) {
	case nil:
		return fmt.Sprintf("unreadable %x: %v", s.raw[:min(len(s.raw), 32)], s.err)
	case *spdy.DataFrame:
		return fmt.Sprintf("DATA stream=%d bytes=%d%s", f.StreamID, len(f.Data), fin(f.Flags))
	case *spdy.SynStreamFrame:
		return fmt.Sprintf("SYN_STREAM stream=%d associated=%d priority=%d%s %s", f.StreamID, f.AssociatedStreamID, f.Priority, fin(f.Flags), fields(f.Headers))
	case *spdy.SynReplyFrame:
		return fmt.Sprintf("SYN_REPLY stream=%d%s %s", f.StreamID, fin(f.Flags), fields(f.Headers))
	case *spdy.HeadersFrame:
		return fmt.Sprintf("HEADERS stream=%d%s %s", f.StreamID, fin(f.Flags), fields(f.Headers))
	case *spdy.RstStreamFrame:
		return fmt.Sprintf("RST_STREAM stream=%d %v", f.StreamID, f.Status)
	case *spdy.SettingsFrame:
		return fmt.Sprintf("SETTINGS%s %v", fin(f.Flags), f.Entries)
	case *spdy.PingFrame:
		return fmt.Sprintf("PING id=%d", f.ID)
	case *spdy.GoAwayFrame:
		return fmt.Sprintf("GOAWAY last-good=%d %v", f.LastGoodStreamID, f.Status)
	case *spdy.WindowUpdateFrame:
		return fmt.Sprintf("WINDOW_UPDATE stream=%d delta=%d", f.StreamID, f.Delta)
	}
	return fmt.Sprintf("%v %x", s.frame.FrameType(), s.raw[:min(len(s.raw), 32)])
}

// fields formats a header block as a single line, with long values truncated.
func fields(h spdy.HeaderBlock) string {
	var b strings.Builder
	for i := range h {
		value := strings.ReplaceAll(h[i].Value, "\x00", "|")
		if len(value) > 60 {
			value = fmt.Sprintf("%s...(%d)", value[:20], len(value))
		}
		fmt.Fprintf(&b, "%s=%q ", h[i].Name, value)
	}
	return strings.TrimSpace(b.String())
}
