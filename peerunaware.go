package spdy

import (
	"maps"
	"slices"
	"time"
)

// The SPDY/3.1 library of Kubernetes has no flow control. It grants no credit and ignores granted
// credit, treats a GOAWAY as the end of the connection, loses frames that arrive before it has
// replied, and as a client may lose the first frames of a server. A raw session in the mode of this
// file tolerates all of these faults, and detects peers that do flow control.

// FlowControl is the kind of peer a raw session assumes.
type FlowControl uint8

const (
	// FlowControlStandard follows the protocol: each side sends no more than the other has granted,
	// and a stream that is not read blocks only itself.
	FlowControlStandard FlowControl = iota

	// FlowControlPeerUnaware is for peers that do no flow control, such as
	// github.com/moby/spdystream, and therefore all of Kubernetes. In this mode, as long as the
	// peer has not granted any credit,
	//
	//   - only the network and deadlines limit the data sent;
	//   - the peer may send any amount. When all unread bytes of the session reach
	//     Config.UnreadBudget, the session stops reading the connection until some have been read,
	//     which blocks all streams; or, with Config.ResetOverBudget, resets streams, first streams
	//     without a reader;
	//   - a server sends nothing, and a client no SETTINGS, WINDOW_UPDATE or PING, before the
	//     peer's first frame has arrived;
	//   - on a stream of ours no DATA and no HEADERS are sent before the peer has replied: a Write
	//     waits for the reply;
	//   - Session.Shutdown refuses new streams individually and sends its GOAWAY last. No GOAWAY is
	//     sent while a stream is open, unless the session ends for another reason: then RST_STREAM
	//     for each open stream precedes the GOAWAY;
	//   - frames on a stream after the peer's FIN are dropped silently;
	//   - bytes received before the peer reset a stream stay readable, and remain charged to the
	//     session's window, or budget, until read or until the stream is closed: Kubernetes resets
	//     completely written streams;
	//   - up to 4096 streams of the peer are accepted, and any number of ours opened, unless
	//     Config.MaxConcurrentStreams or the peer's SETTINGS set another limit.
	//
	// Once the peer's first frame has arrived, a server announces its windows, which unaware peers
	// ignore, and sends a PING. The server grants no further credit before the peer has granted
	// some: frames sent to a client with a closed connection make the client's system discard the
	// end of an upload. A client that has half of a window left or less, and sends nothing for a
	// second, may be waiting for credit and receives it. A client that overruns the window receives
	// none. A peer that grants credit, by a WINDOW_UPDATE or an initial window, is aware of flow
	// control: a client then answers with windows, and from then on both ends do standard flow
	// control, and count all bytes sent before. Until the PING is answered, or a second has passed
	// without an answer, a server sends no more than the protocol's initial 64 KiB. So two sessions
	// in this mode have full flow control from the first byte on. A window overrun by the peer is
	// no error in this mode.
	FlowControlPeerUnaware
)

// The defaults of Config for peers that do no flow control. Kubernetes opens two streams for each
// forwarded connection, and retries neither.
const (
	defaultUnawareServerWindow = 1 << 20  // SessionWindow
	defaultUnawareClientWindow = 32 << 20 // SessionWindow
	defaultUnreadBudget        = 16 << 20
	defaultUnawareMaxStreams   = 4096
)

// blindCredit is added to every send window while the peer is assumed to grant no credit. No
// session sends as much, and the credit is subtracted again if the peer does grant credit.
const blindCredit = 1 << 60

// trialTime is how long a server waits for the answer to the PING sent after the windows before
// assuming a client without flow control.
const trialTime = time.Second

// unawareness is the state of a session whose peer may do no flow control. Guarded by Session.mu.
// Only the receiver changes hushed, announced and aware, so it may read them without the lock.
type unawareness struct {
	hushed    bool    // the peer's first frame has not arrived
	announced bool    // our windows have been announced
	aware     bool    // the peer has granted credit
	refusing  bool    // new streams are refused, a GOAWAY will follow
	credit    int64   // added to the send windows
	ping      uint32  // of a server, on trial; 0 if none is sent or the echo has arrived
	trial     *giveUp // ends the trial without an echo
	kept      withholding

	resets      uint64 // streams reset to stay within the budget
	strayFrames uint64 // frames received after the FIN of their stream
	strayBytes  uint64 // the DATA bytes of strayFrames
}

// unawareDefaults fits the windows into the budget: a peer must not stop the session without
// overrunning a window.
func (c *Config) unawareDefaults(client bool) {
	orDefault(&c.UnreadBudget, defaultUnreadBudget)
	orDefault(&c.MaxConcurrentStreams, defaultUnawareMaxStreams)
	c.MaxConcurrentStreams = min(c.MaxConcurrentStreams, maxStreamID) // SETTINGS have 32 bits
	orDefault(&c.StreamWindow, defaultStreamWindow)
	orDefault(&c.MaxStreamWindow, defaultMaxStreamWindow)
	window := defaultUnawareServerWindow
	if client {
		window = defaultUnawareClientWindow
	}
	orDefault(&c.SessionWindow, window)
	c.UnreadBudget = min(max(c.UnreadBudget, defaultWindow), maxWindow)
	c.StreamWindow = min(max(c.StreamWindow, defaultWindow), maxWindow)
	c.SessionWindow = min(max(c.SessionWindow, c.StreamWindow), c.UnreadBudget, maxWindow)
	c.StreamWindow = min(c.StreamWindow, c.SessionWindow)
	c.MaxStreamWindow = min(c.MaxStreamWindow, maxWindow)
	c.grants = grants{opens: maxStreamID, pool: int64(c.SessionWindow / 2)}
}

// beUnaware prepares a session for a peer that does no flow control.
func (s *Session) beUnaware() {
	s.unaware = &unawareness{hushed: true}
	s.flow.limit = int64(s.conf.UnreadBudget)
	s.peerLimit = maxStreamID
	if s.client { // sends nothing before the server had a chance to grant credit
		s.goBlindLocked()
	}
}

// goBlindLocked opens the send windows.
func (s *Session) goBlindLocked() { s.shiftBlindLocked(blindCredit) }

// shiftBlindLocked adds delta, which the peer has not granted, to the send windows.
func (s *Session) shiftBlindLocked(delta int64) {
	s.unaware.credit += delta
	if !s.version.streamFlowControl() {
		return
	}
	s.flow.peerWindow += delta
	if s.version.sessionFlowControl() {
		s.flow.out.avail += delta
	}
	for _, st := range s.streams {
		st.out.avail += delta
		s.sched.place(st)
	}
	s.ringLocked()
}

// beginTrialLocked sends a PING after the newly announced windows. A peer that answers the PING
// without having granted credit first does not do flow control.
func (s *Session) beginTrialLocked() {
	if !s.version.streamFlowControl() {
		return
	}
	u := s.unaware
	u.ping = s.nextPingLocked()
	s.sendPingLocked(u.ping)
	u.trial = newGiveUp(trialTime, func() {
		s.mu.Lock()
		s.endTrialLocked(u.ping)
		s.mu.Unlock()
	})
}

// endTrialLocked ends the trial when the PING is echoed or times out.
func (s *Session) endTrialLocked(ping uint32) {
	u := s.unaware
	if u == nil || u.ping == 0 || u.ping != ping {
		return
	}
	s.stopTrialLocked()
	if !u.aware {
		s.goBlindLocked()
	}
}

func (s *Session) stopTrialLocked() {
	if u := s.unaware; u != nil && u.trial != nil {
		u.ping = 0
		u.trial.Stop()
	}
}

// FlowControl returns the kind of peer the session assumes at present: FlowControlPeerUnaware if
// Config.FlowControl is FlowControlPeerUnaware and the peer has not granted any credit, else
// FlowControlStandard.
func (s *Session) FlowControl() FlowControl {
	s = s.made()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.blind() {
		return FlowControlPeerUnaware
	}
	return FlowControlStandard
}

// blind reports whether the session runs in unaware mode and the peer has granted no credit.
func (s *Session) blind() bool { return s.unaware != nil && !s.unaware.aware }

// hushed reports whether the peer has not sent a frame yet.
func (s *Session) hushed() bool { return s.unaware != nil && s.unaware.hushed }

// silencedLocked reports whether we may not send yet: right after the upgrade response a client may
// drop frames.
func (s *Session) silencedLocked() bool {
	return s.silent || s.hushed() && !s.client && !s.conf.SpeakFirst
}

// holdsPings reports whether PINGs have to wait for the peer's first frame.
func (s *Session) holdsPings() bool { return s.silent || s.hushed() && !s.conf.SpeakFirst }

// heard is called by the receiver for the peer's first frame.
func (s *Session) heard() {
	s.mu.Lock()
	held := s.holdsPings()
	s.silent = false
	late := s.unaware != nil && !s.client && s.end.err == nil
	if s.unaware != nil {
		s.unaware.hushed = false
	}
	if late {
		s.announceLateLocked()
	}
	if held {
		for id := range s.pings {
			s.sendPingLocked(id)
		}
	}
	if late {
		s.beginTrialLocked()
	}
	s.askLateLocked()
	s.mu.Unlock()
	s.ring()
}

// announceLateLocked announces our windows, which from now on count the bytes already received.
func (s *Session) announceLateLocked() {
	u := s.unaware
	u.announced = true
	s.announceLocked(u.kept.session)
	u.kept.session = 0
	if !s.version.streamFlowControl() {
		return
	}
	for _, st := range s.streams {
		if grant := st.in.narrow(int64(s.conf.StreamWindow)); !st.state.inDone {
			s.control = appendGrant(s.control, s.version, st.id, grant)
		}
	}
}

// appendGrant appends as many WINDOW_UPDATE frames as n bytes of credit need.
func appendGrant(dst []byte, v Version, id uint32, n int64) []byte {
	for n > 0 {
		delta := min(n, maxWindow)
		dst = appendWindowUpdate(dst, v, id, uint32(delta))
		n -= delta
	}
	return dst
}

// credited is called by the receiver when the peer grants credit. From the first grant on, grants
// count, and so do all bytes sent before.
func (s *Session) credited() {
	if !s.blind() {
		return
	}
	s.mu.Lock()
	s.creditedLocked()
	s.mu.Unlock()
	s.ring()
}

// creditedLocked is credited for a caller that changes windows before the sender may read them.
func (s *Session) creditedLocked() {
	if !s.blind() {
		return
	}
	s.unaware.aware = true
	s.shiftBlindLocked(-s.unaware.credit)
	for _, st := range s.streams {
		s.unmuteLocked(st)
	}
	switch {
	case s.unaware.announced:
		s.releaseLocked()
	case s.end.err == nil:
		s.announceLateLocked()
	}
	if s.unaware.refusing { // a GOAWAY ends nothing at this peer, so it need not wait for the streams
		s.unaware.refusing = false
		s.goAwayLocked()
	}
}

// enterUnawareLocked prepares a stream that either side has just opened.
func (s *Session) enterUnawareLocked(st *Stream) {
	u := s.unaware
	if u == nil {
		return
	}
	st.muted = st.raw != nil && st.state.ours && !u.aware
	if !u.announced && s.version.streamFlowControl() {
		st.in.widen()
	}
}

// unmuteLocked queues the HEADERS held back until the peer's reply, and lets the stream send.
func (s *Session) unmuteLocked(st *Stream) {
	if !st.muted {
		return
	}
	st.muted = false
	for _, job := range st.raw.held {
		st.headerBytes -= job.kept() // charged again below
		s.queueHeadersLocked(job)
	}
	st.raw.held = nil
	s.sched.place(st)
	s.ringLocked()
}

// dropHeldLocked drops the HEADERS of a stream that ended before the peer replied.
func (r *RawStream) dropHeldLocked() {
	for _, job := range r.held {
		r.st.headerBytes -= job.kept()
		putBlock(job.block)
	}
	r.held = nil
}

// forgives reports whether an invalid frame is dropped silently: a frame after a FIN, or a reply to
// a unidirectional stream.
func (s *Session) forgives(st *Stream, h frameHeader, status RstStatus) bool {
	return s.blind() && (status == RstStreamAlreadyClosed ||
		st.state.oneWay && st.state.ours && h.control && h.typ == FrameSynReply)
}

// stray counts a frame that was dropped silently.
func (s *Session) stray(bytes int) {
	if s.unaware == nil {
		return
	}
	s.mu.Lock()
	s.unaware.strayFrames++
	s.unaware.strayBytes += uint64(bytes)
	s.mu.Unlock()
}

// refuseQuietlyLocked begins to drain a session without sending a GOAWAY. It reports false if the
// peer tolerates a GOAWAY.
func (s *Session) refuseQuietlyLocked() bool {
	if !s.blind() {
		return false
	}
	s.unaware.refusing = true
	return true
}

// refusingLocked reports whether a session accepts and opens no new streams although it has sent no
// GOAWAY.
func (s *Session) refusingLocked() bool { return s.unaware != nil && s.unaware.refusing }

// breakOffLocked resets the open streams of a session that ends. A peer with flow control fails the
// streams on our GOAWAY. An unaware peer keeps the connection for ever unless a GOAWAY requests the
// close, and first reads all earlier frames. The status is not CANCEL, with which programs end
// complete streams.
func (s *Session) breakOffLocked() {
	if !s.blind() {
		return
	}
	for _, id := range slices.Sorted(maps.Keys(s.streams)) {
		if s.streams[id].onWire {
			s.queueResetLocked(id, RstInternalError, false)
		}
	}
}

// countStall counts that the receiver has stopped reading.
func (s *Session) countStall() {
	s.mu.Lock()
	s.stats.stalls++
	first := s.stats.stalls == 1
	s.mu.Unlock()
	if first && s.unaware != nil {
		s.log.stalled(s)
	}
}

// unawareStats holds the statistics of a session whose peer may do no flow control.
type unawareStats struct {
	blind                   bool  // the peer has granted no credit
	unread, budget          int64 // bytes
	stalls, resets          uint64
	strayFrames, strayBytes uint64
}

func (s *Session) unawareStats() unawareStats {
	unread := s.unread()
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.unaware
	if u == nil {
		return unawareStats{unread: unread}
	}
	return unawareStats{
		blind: !u.aware, unread: unread, budget: s.flow.limit, stalls: uint64(s.stats.stalls), resets: u.resets,
		strayFrames: u.strayFrames, strayBytes: u.strayBytes,
	}
}
