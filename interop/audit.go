package main

import (
	"fmt"

	"github.com/amahi/spdy"
)

// An auditor follows a conversation and checks the frames of this library against the library's
// knowledge at the time. The library must respect both windows, open no more streams than the peer
// allows, and send nothing on a stream after ending it. The auditor is independent of the library's
// own accounting.
type auditor struct {
	version  spdy.Version
	client   bool // the library is the client
	cautious bool // the library does not know whether the peer has a session window

	session int64 // bytes that may be sent on all streams
	blind   int64 // additional bytes that may be in flight when the peer turns out to have a session window
	initial int64 // window of new streams
	limit   int   // maximum number of open streams; -1 while unknown
	streams map[uint32]*audited
	open    int // streams of ours that are open
	most    int // the maximum of open
}

// An audited is the state of a stream according to the wire.
type audited struct {
	window    int64
	outDone   bool // the library sent FIN or RST_STREAM
	inDone    bool
	closed    bool
	forgotten bool // the peer reset the stream: frames of ours may have crossed the reset
}

// audit returns the first wrong frame of the library as an error, and the maximum number of streams
// that the library had open at once.
func (tr *trace) audit(client, cautious bool) (most int, err error) {
	a := &auditor{
		version: tr.version, client: client, cautious: cautious,
		session: 65536, initial: 65536, limit: -1, streams: make(map[uint32]*audited),
	}
	for i := range tr.steps {
		s := &tr.steps[i]
		if s.frame == nil {
			continue // reported by undecoded
		}
		if s.from == theirs {
			a.heard(s.frame)
		} else if err := a.said(s.frame); err != nil {
			return a.most, fmt.Errorf("the library sent %s: %w", s.describe(), err)
		}
	}
	return a.most, nil
}

// heard applies a frame of the peer.
func (a *auditor) heard(f spdy.Frame) {
	switch f := f.(type) {
	case *spdy.SettingsFrame:
		for _, e := range f.Entries {
			switch e.ID {
			case spdy.SettingMaxConcurrentStreams:
				a.limit = int(min(e.Value, 1<<30))
			case spdy.SettingInitialWindowSize:
				for _, st := range a.streams {
					st.window += int64(e.Value) - a.initial
				}
				a.initial = int64(e.Value)
			}
		}
	case *spdy.WindowUpdateFrame:
		if f.StreamID == 0 {
			a.session += int64(f.Delta)
			if a.cautious {
				a.cautious, a.blind = false, 2*batch
			}
		} else if st := a.streams[f.StreamID]; st != nil {
			st.window += int64(f.Delta)
		}
	case *spdy.SynStreamFrame:
		a.streams[f.StreamID] = &audited{
			window: a.initial, inDone: f.Flags&spdy.FlagFin != 0, outDone: f.Flags&spdy.FlagUnidirectional != 0,
		}
	case *spdy.SynReplyFrame:
		a.ended(f.StreamID, f.Flags, false)
	case *spdy.HeadersFrame:
		a.ended(f.StreamID, f.Flags, false)
	case *spdy.DataFrame:
		a.ended(f.StreamID, f.Flags, false)
	case *spdy.RstStreamFrame:
		if st := a.streams[f.StreamID]; st != nil {
			st.forgotten = true
			a.close(f.StreamID, st)
		}
	}
}

// said checks a frame of the library.
func (a *auditor) said(f spdy.Frame) error {
	switch f := f.(type) {
	case *spdy.SynStreamFrame:
		if f.StreamID%2 == 1 != a.client {
			return fmt.Errorf("the id has the wrong parity")
		}
		a.streams[f.StreamID] = &audited{
			window: a.initial, outDone: f.Flags&spdy.FlagFin != 0, inDone: f.Flags&spdy.FlagUnidirectional != 0,
		}
		a.open++
		a.most = max(a.most, a.open)
		if a.limit >= 0 && a.open > a.limit {
			return fmt.Errorf("%d streams are open, the peer allows %d", a.open, a.limit)
		}
		return nil
	case *spdy.SynReplyFrame:
		return a.sent(f.StreamID, f.Flags)
	case *spdy.HeadersFrame:
		return a.sent(f.StreamID, f.Flags)
	case *spdy.DataFrame:
		return a.sentData(f)
	case *spdy.RstStreamFrame:
		if st := a.streams[f.StreamID]; st != nil {
			st.outDone = true
			a.close(f.StreamID, st)
		}
	case *spdy.WindowUpdateFrame, *spdy.UnknownFrame:
		if a.version == spdy.SPDY2 || f.FrameType() != spdy.FrameWindowUpdate {
			return fmt.Errorf("the dialect has no such frame")
		}
	}
	return nil
}

func (a *auditor) sentData(f *spdy.DataFrame) error {
	if err := a.sent(f.StreamID, f.Flags); err != nil || a.version == spdy.SPDY2 {
		return err
	}
	n := int64(len(f.Data))
	st := a.streams[f.StreamID]
	st.window -= n
	a.session -= n
	switch {
	case n == 0:
		return nil
	case st.window < 0 && !st.forgotten:
		return fmt.Errorf("%d bytes beyond the stream's window", -st.window)
	case a.version == spdy.SPDY31 && a.session < 0 && !a.cautious:
		if a.blind -= n; a.blind < 0 {
			return fmt.Errorf("%d bytes beyond the session's window", -a.session)
		}
	}
	return nil
}

// batch is the size of a write of the library.
const batch = 64 << 10

// sent checks a frame on a stream that must be open for the library.
func (a *auditor) sent(id uint32, flags spdy.FrameFlags) error {
	st := a.streams[id]
	switch {
	case st == nil:
		return fmt.Errorf("nobody opened that stream")
	case st.outDone && !st.forgotten:
		return fmt.Errorf("the library had ended that stream")
	}
	a.ended(id, flags, true)
	return nil
}

// ended records a FIN.
func (a *auditor) ended(id uint32, flags spdy.FrameFlags, ourHalf bool) {
	st := a.streams[id]
	if st == nil || flags&spdy.FlagFin == 0 {
		return
	}
	if ourHalf {
		st.outDone = true
	} else {
		st.inDone = true
	}
	if st.inDone && st.outDone {
		a.close(id, st)
	}
}

// close decrements the count of open streams, once per stream.
func (a *auditor) close(id uint32, st *audited) {
	if !st.closed && id%2 == 1 == a.client {
		a.open--
	}
	st.inDone, st.outDone, st.closed = true, true, true
}
