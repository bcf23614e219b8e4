package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/amahi/spdy"
	mobyspdy "github.com/moby/spdystream/spdy"
)

// An observer reads a conversation between two ends of the library.
type observer interface {
	// observe calls hold, which holds a conversation. It returns a note about the conversation, and
	// an error if the observer found a fault.
	observe(ctx context.Context, c cell, hold func() outcome) (note string, err error)
	stop()
}

// watching returns the row of an observer. host is the address of the server; a separate address
// per row keeps other rows out of a capture.
func (b *bench) watching(c cell, host string, by observer) row {
	peer := &selfServer{bench: b, host: host}
	run := func(c cell) outcome {
		var o outcome
		ctx, cancel := context.WithTimeout(context.Background(), talkTime)
		defer cancel()
		note, err := by.observe(ctx, c, func() outcome {
			peer.cell = c
			o = b.asClient(c, peer)
			peer.stop()
			return o
		})
		o.peerLog = note
		o.err = errors.Join(o.err, err)
		return o
	}
	return row{cell: c, run: run, stop: func() { peer.stop(); by.stop() }}
}

// A framerObserver is the framer of moby/spdystream. It must decode every frame of ours correctly,
// and our framer must decode the frames that it writes again.
type framerObserver struct{}

func (framerObserver) stop() {}

func (framerObserver) observe(_ context.Context, _ cell, hold func() outcome) (string, error) {
	o := hold()
	if o.err != nil {
		return "", nil
	}
	return "", errors.Join(readWithMoby(o.whole, ours), readWithMoby(o.whole, theirs))
}

// readWithMoby reads a direction of a conversation with spdystream's framer, writes all frames
// again, and reads the result with our framer.
func readWithMoby(tr *trace, from side) error {
	var in, again bytes.Buffer
	var want []spdy.Frame
	for i := range tr.steps {
		if s := &tr.steps[i]; s.from == from {
			in.Write(s.raw)
			want = append(want, s.frame)
		}
	}
	framer, err := mobyspdy.NewFramer(&again, &in)
	if err != nil {
		return err
	}
	for _, f := range want {
		got, err := framer.ReadFrame()
		if err != nil {
			return fmt.Errorf("spdystream's framer fails on %T: %w", f, err)
		}
		if a, b := summary(f), mobySummary(got); a != b {
			return fmt.Errorf("spdystream's framer reads %s as %s", cut(a), cut(b))
		}
		if err := framer.WriteFrame(got); err != nil {
			return fmt.Errorf("spdystream's framer does not write %T: %w", f, err)
		}
	}
	back := spdy.NewFramer(nil, &again, tr.version)
	for _, f := range want {
		got, err := back.ReadFrame()
		if err != nil {
			return fmt.Errorf("what spdystream's framer made of %T cannot be read: %w", f, err)
		}
		if a, b := summary(f), summary(got); a != b {
			return fmt.Errorf("spdystream's framer wrote %s as %s", cut(a), cut(b))
		}
	}
	return nil
}

func cut(s string) string { return s[:min(len(s), 300)] }

// summary formats a whole frame as a string. Headers are sorted, since spdystream keeps headers in
// a map.
func summary(f spdy.Frame) string {
	switch f := f.(type) {
	case *spdy.DataFrame:
		return fmt.Sprintf("DATA %d %d %x", f.StreamID, f.Flags, f.Data)
	case *spdy.SynStreamFrame:
		return fmt.Sprintf("SYN_STREAM %d %d %d %d %s", f.StreamID, f.AssociatedStreamID, f.Priority, f.Flags, sorted(f.Headers))
	case *spdy.SynReplyFrame:
		return fmt.Sprintf("SYN_REPLY %d %d %s", f.StreamID, f.Flags, sorted(f.Headers))
	case *spdy.HeadersFrame:
		return fmt.Sprintf("HEADERS %d %d %s", f.StreamID, f.Flags, sorted(f.Headers))
	case *spdy.RstStreamFrame:
		return fmt.Sprintf("RST_STREAM %d %d", f.StreamID, f.Status)
	case *spdy.SettingsFrame:
		line := fmt.Sprintf("SETTINGS %d", f.Flags)
		for _, e := range f.Entries {
			line += fmt.Sprintf(" %d/%d=%d", e.Flags, e.ID, e.Value)
		}
		return line
	case *spdy.PingFrame:
		return fmt.Sprintf("PING %d", f.ID)
	case *spdy.GoAwayFrame:
		return fmt.Sprintf("GOAWAY %d %d", f.LastGoodStreamID, f.Status)
	case *spdy.WindowUpdateFrame:
		return fmt.Sprintf("WINDOW_UPDATE %d %d", f.StreamID, f.Delta)
	}
	return fmt.Sprintf("%T", f)
}

// mobySummary is summary for a frame read by spdystream.
func mobySummary(f mobyspdy.Frame) string {
	switch f := f.(type) {
	case *mobyspdy.DataFrame:
		return fmt.Sprintf("DATA %d %d %x", f.StreamId, f.Flags, f.Data)
	case *mobyspdy.SynStreamFrame:
		return fmt.Sprintf("SYN_STREAM %d %d %d %d %s", f.StreamId, f.AssociatedToStreamId, f.Priority, f.CFHeader.Flags, sortedMap(f.Headers))
	case *mobyspdy.SynReplyFrame:
		return fmt.Sprintf("SYN_REPLY %d %d %s", f.StreamId, f.CFHeader.Flags, sortedMap(f.Headers))
	case *mobyspdy.HeadersFrame:
		return fmt.Sprintf("HEADERS %d %d %s", f.StreamId, f.CFHeader.Flags, sortedMap(f.Headers))
	case *mobyspdy.RstStreamFrame:
		return fmt.Sprintf("RST_STREAM %d %d", f.StreamId, f.Status)
	case *mobyspdy.SettingsFrame:
		line := fmt.Sprintf("SETTINGS %d", f.CFHeader.Flags)
		for _, e := range f.FlagIdValues {
			line += fmt.Sprintf(" %d/%d=%d", e.Flag, e.Id, e.Value)
		}
		return line
	case *mobyspdy.PingFrame:
		return fmt.Sprintf("PING %d", f.Id)
	case *mobyspdy.GoAwayFrame:
		return fmt.Sprintf("GOAWAY %d %d", f.LastGoodStreamId, f.Status)
	case *mobyspdy.WindowUpdateFrame:
		return fmt.Sprintf("WINDOW_UPDATE %d %d", f.StreamId, f.DeltaWindowSize)
	}
	return fmt.Sprintf("%T", f)
}

func sorted(h spdy.HeaderBlock) string {
	var pairs []string
	for i := range h {
		pairs = append(pairs, fmt.Sprintf("%s=%q", h[i].Name, h[i].Value))
	}
	slices.Sort(pairs)
	return strings.Join(pairs, " ")
}

func sortedMap(h http.Header) string {
	var pairs []string
	for name, values := range h {
		pairs = append(pairs, fmt.Sprintf("%s=%q", strings.ToLower(name), strings.Join(values, "\x00")))
	}
	slices.Sort(pairs)
	return strings.Join(pairs, " ")
}
