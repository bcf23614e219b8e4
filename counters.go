package spdy

import (
	"errors"
	"sync/atomic"
	"time"
)

// counters are the totals of a session. They use less than 300 bytes, allocate nothing before the
// first RST_STREAM, and need no lock of their own.
type counters struct {
	// Guarded by Session.mu.
	opened, accepted uint32 // streams; there are at most 2^30 ids
	sent             frameCounts
	dataSent         int64
	dataFrames       uint64 // received
	dataReceived     int64
	roundTrip        time.Duration // of the latest PING
	leastTrip        time.Duration // shortest of all PINGs, and of responses that arrived faster; 0 before the first PING
	resets           *resetCounts  // nil before the first RST_STREAM
	stalls           uint32        // times the receiver stopped reading, see awaitRoom
	shed             uint32        // streams reset because of their unread bytes, see shed.go

	// Written by the receiver. Its reader counts the bytes received.
	received                          [len(frameCounts{})]atomic.Uint64 // except DATA
	headersReceived, deflatedReceived atomic.Int64

	// Written by the sender.
	bytesSent                 atomic.Int64
	headersSent, deflatedSent atomic.Int64
}

type frameCounts = FrameCounts

// resetCounts counts the RST_STREAM frames of a session.
type resetCounts struct{ sent, received ResetCounts }

// tripLocked records the round trip of a PING.
func (c *counters) tripLocked(d time.Duration) {
	c.roundTrip = d
	if d = max(d, 1); c.leastTrip == 0 || d < c.leastTrip {
		c.leastTrip = d
	}
}

// slot returns the index of a frame type in a frameCounts.
func (t FrameType) slot() int {
	if t > FrameWindowUpdate {
		return int(FrameNoop)
	}
	return int(t)
}

// slot returns the index of a status in a ResetCounts.
func (s RstStatus) slot() int {
	if s > RstFrameTooLarge {
		return 0
	}
	return int(s)
}

// noteControlLocked counts control frames about to be sent.
func (c *counters) noteControlLocked(frames []byte) {
	for len(frames) >= frameHeaderSize {
		h := parseFrameHeader(frames)
		p := frames[frameHeaderSize : frameHeaderSize+h.length]
		frames = frames[frameHeaderSize+h.length:]
		c.sent[h.typ.slot()]++
		if h.typ == FrameRstStream {
			_, status, _ := parseRstStream(h, p) // our own frame
			c.resetsLocked().sent[status.slot()]++
		}
	}
}

// noteReceived counts a received control frame.
func (c *counters) noteReceived(t FrameType, v Version, ours bool) {
	if !ours || !t.definedIn(v) {
		t = FrameNoop
	}
	c.received[t.slot()].Add(1)
}

func (c *counters) resetsLocked() *resetCounts {
	if c.resets == nil {
		c.resets = new(resetCounts)
	}
	return c.resets
}

// Stats returns the gauges and totals of the session. It may be called at any time, even after the
// session has ended. Then the totals are final, and the gauges are zero as soon as handlers have
// returned and bodies are read or closed. Stats holds the session's lock while it visits every open
// stream.
func (s *Session) Stats() SessionStats {
	s = s.made()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &s.stats
	t := SessionStats{
		Version: s.version, Client: s.client,
		Streams:          s.streamStatesLocked(),
		WaitingOpeners:   len(s.openers),
		WaitingHandlers:  s.handlers.waitingLocked(),
		WaitingPings:     len(s.pings),
		UnreadBytes:      s.flow.unreadLocked(),
		UnreadBudget:     s.flow.limit,
		UnsentBytes:      s.unsentLocked(),
		SendWindow:       -1,
		ReceiveWindow:    -1,
		PeerStreamWindow: -1,
		PeerMaxStreams:   s.peerLimit,
		RoundTrip:        c.roundTrip,
		GoingAway:        s.end.saidGoAway,
		PeerGoingAway:    s.end.heardGoAway,
		StreamsOpened:    uint64(c.opened),
		StreamsAccepted:  uint64(c.accepted),
		Stalls:           uint64(c.stalls),
		Shed:             uint64(c.shed),
		ChargedResets:    s.floods.charged,
		IdleFrames:       s.floods.idled.Load(),
		Flooded:          errors.Is(s.end.err, ErrFlood),
	}
	open := s.unaware != nil && s.unaware.credit > 0 // the peer's grants do not count
	if s.flow.doubt != nil {
		t.Version = SPDY3
	} else if s.version.sessionFlowControl() {
		t.ReceiveWindow = s.flow.in.avail
		if !open {
			t.SendWindow = s.flow.out.avail
		}
	}
	if s.version.streamFlowControl() && !open {
		t.PeerStreamWindow = s.flow.peerWindow
	}
	if s.unaware != nil {
		t.StrayFrames = s.unaware.strayFrames
	}
	c.trafficLocked(&s.in, &t.Sent, &t.Received)
	return t
}

func (c *counters) trafficLocked(in *reader, sent, received *Traffic) {
	*sent = Traffic{
		Bytes: c.bytesSent.Load(), DataBytes: c.dataSent,
		HeaderBytes: c.headersSent.Load(), CompressedHeaderBytes: c.deflatedSent.Load(),
		Frames: c.sent,
	}
	*received = Traffic{
		Bytes: in.total.Load(), DataBytes: c.dataReceived,
		HeaderBytes: c.headersReceived.Load(), CompressedHeaderBytes: c.deflatedReceived.Load(),
	}
	for i := range c.received {
		received.Frames[i] = c.received[i].Load()
	}
	received.Frames[FrameData] = c.dataFrames
	if c.resets != nil {
		sent.Resets, received.Resets = c.resets.sent, c.resets.received
	}
}

// streamStatesLocked counts the streams by state.
func (s *Session) streamStatesLocked() (n StreamStates) {
	n.Lingering = s.peerStreams
	for _, st := range s.streams {
		if !st.state.ours {
			n.Lingering-- // occupies a slot, but has not ended
		}
		switch {
		case !st.onWire:
			n.Opening++
		case st.state.outDone:
			n.HalfClosedLocal++
		case st.state.inDone:
			n.HalfClosedRemote++
		default:
			n.Open++
		}
	}
	return n
}

// unsentLocked returns the number of DATA bytes lent to the sender.
func (s *Session) unsentLocked() (n int64) {
	for _, st := range s.streams {
		n += int64(len(st.loan))
	}
	return n
}
