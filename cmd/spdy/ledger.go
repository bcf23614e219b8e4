package main

import (
	"fmt"
	"sync"

	"github.com/amahi/spdy"
)

// A direction is a direction of a connection.
type direction int

const (
	outgoing direction = iota
	incoming
)

func (d direction) reverse() direction { return 1 - d }

// protocolWindow is the initial size of every window (SPDY/3.1 §2.6.8).
const protocolWindow = 64 << 10

// A ledger tracks the windows of a connection from the observed frames: the credit of each side, on
// each stream and on the session. It checks no rules.
type ledger struct {
	version spdy.Version

	mu   sync.Mutex
	ways [2]account // by the direction of the data
}

// An account tracks the data in one direction.
type account struct {
	session int64            // credit for all streams together
	initial int64            // the window of a new stream
	spent   map[uint32]int64 // by stream: bytes sent, less bytes granted
	ended   map[uint32]bool  // streams with a FIN from this side only
}

func newLedger(v spdy.Version) *ledger {
	l := &ledger{version: v}
	for i := range l.ways {
		l.ways[i] = account{
			session: protocolWindow, initial: protocolWindow,
			spent: make(map[uint32]int64), ended: make(map[uint32]bool),
		}
	}
	return l
}

// note records a frame with a payload of the given length, and returns the remaining credit of the
// windows that the frame changes.
func (l *ledger) note(d direction, f spdy.Frame, length int) (windows string) {
	if l.version == spdy.SPDY2 { // no flow control
		return ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	switch f := f.(type) {
	case *spdy.DataFrame:
		way := &l.ways[d]
		way.session -= int64(length)
		way.spent[f.StreamID] += int64(length)
		windows = l.left(way, f.StreamID)
		l.finish(d, f.StreamID, f.Flags)
	case *spdy.WindowUpdateFrame:
		way := &l.ways[d.reverse()]
		if f.StreamID == 0 {
			way.session += int64(f.Delta)
		} else {
			way.spent[f.StreamID] -= int64(f.Delta)
		}
		windows = l.left(way, f.StreamID)
	case *spdy.SettingsFrame:
		for _, e := range f.Entries {
			if e.ID == spdy.SettingInitialWindowSize { // changes the open streams too (SPEC W10)
				l.ways[d.reverse()].initial = int64(e.Value)
			}
		}
	case *spdy.RstStreamFrame:
		l.forget(f.StreamID)
	case *spdy.SynStreamFrame:
		l.finish(d, f.StreamID, f.Flags)
	case *spdy.SynReplyFrame:
		l.finish(d, f.StreamID, f.Flags)
	case *spdy.HeadersFrame:
		l.finish(d, f.StreamID, f.Flags)
	}
	return windows
}

// left describes the remaining credit of the session and, unless stream is 0, of the stream.
func (l *ledger) left(way *account, stream uint32) string {
	ofStream := fmt.Sprintf("window %d", way.initial-way.spent[stream])
	ofSession := fmt.Sprintf("session window %d", way.session)
	switch {
	case l.version == spdy.SPDY3 && stream == 0: // SPDY/3 has no session window (SPEC W9)
		return ""
	case l.version == spdy.SPDY3:
		return ofStream
	case stream == 0:
		return ofSession
	}
	return ofStream + ", " + ofSession
}

// finish forgets a stream once both sides have sent their FIN.
func (l *ledger) finish(d direction, stream uint32, flags spdy.FrameFlags) {
	if flags&spdy.FlagFin == 0 {
		return
	}
	if l.ways[d.reverse()].ended[stream] {
		l.forget(stream)
		return
	}
	l.ways[d].ended[stream] = true
}

func (l *ledger) forget(stream uint32) {
	for i := range l.ways {
		delete(l.ways[i].spent, stream)
		delete(l.ways[i].ended, stream)
	}
}
