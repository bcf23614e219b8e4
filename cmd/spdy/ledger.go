package main

import (
	"fmt"
	"sync"

	"github.com/amahi/spdy"
)

// A direction is one of the two of a connection.
type direction int

const (
	outgoing direction = iota
	incoming
)

func (d direction) reverse() direction { return 1 - d }

// protocolWindow is what every window begins with (SPDY/3.1 §2.6.8).
const protocolWindow = 64 << 10

// A ledger keeps the windows of a connection by what passes on it: how much each
// side may still send, on each stream and in all. It judges nothing.
type ledger struct {
	version spdy.Version

	mu   sync.Mutex
	ways [2]account // by the direction of the data
}

// An account is about the data that goes in one direction.
type account struct {
	session int64            // what may still be sent on all streams
	initial int64            // the window of a new stream
	spent   map[uint32]int64 // by stream: bytes sent, less those granted
	ended   map[uint32]bool  // streams whose FIN has been sent, and not that of the other side
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

// note enters a frame that passes, with the length of its payload, and returns
// what it leaves of the windows that it touches.
func (l *ledger) note(d direction, f spdy.Frame, length int) (windows string) {
	if l.version == spdy.SPDY2 { // has no flow control
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

// left says what is left of the window of a stream, unless it is 0, and of the
// session's.
func (l *ledger) left(way *account, stream uint32) string {
	ofStream := fmt.Sprintf("window %d", way.initial-way.spent[stream])
	ofSession := fmt.Sprintf("session window %d", way.session)
	switch {
	case l.version == spdy.SPDY3 && stream == 0: // means nothing there (SPEC W9)
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
