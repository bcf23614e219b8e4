package spdy

import (
	"maps"
	"slices"
	"time"
)

// The library that carries Kubernetes speaks SPDY/3.1 without its flow control: it
// grants no credit and looks at none, takes a GOAWAY for the end of the connection,
// loses what comes before it has replied, and as a client may lose what a server
// says first. A raw session in the mode of this file bears with all of that, and
// finds out when its peer is better than that.

// FlowControl says what a raw session takes its peer for.
type FlowControl uint8

const (
	// FlowControlStandard is what the protocol says: each side sends no more than the
	// other has granted, and a stream that is not read holds up itself only.
	FlowControlStandard FlowControl = iota

	// FlowControlPeerUnaware is for peers that do no flow control, as
	// github.com/moby/spdystream and with it all of Kubernetes. In this mode, as long as the
	// peer has not granted any credit,
	//
	//   - what we send is limited by the network and by deadlines only;
	//   - the peer may send what it likes. When all unread bytes of the session
	//     reach Config.UnreadBudget, the session stops reading its connection until
	//     some have been read, which holds up all of its streams; or, with
	//     Config.ResetOverBudget, resets streams, first those that nobody reads;
	//   - a server sends nothing, and a client no SETTINGS, WINDOW_UPDATE or PING,
	//     before the peer's first frame has come;
	//   - on a stream of ours no bytes and no HEADERS are sent before the peer has
	//     replied: a Write waits for the reply;
	//   - Session.Shutdown refuses new streams one by one and sends its GOAWAY last,
	//     and no GOAWAY goes out while a stream is open, unless the session ends for
	//     another reason: then RST_STREAM for each open stream goes before it;
	//   - what the peer sends on a stream after its FIN is dropped in silence;
	//   - what came on a stream before the peer reset it stays readable, and holds its
	//     part of the session's window, or budget, until it is read or the stream is
	//     closed: Kubernetes ends streams so that it has written to their end;
	//   - up to 4096 streams of the peer are taken, and any number of ours opened,
	//     unless Config.MaxConcurrentStreams or the peer's SETTINGS say otherwise.
	//
	// Once the peer's first frame has come, a server announces its windows, which such
	// peers ignore, and sends a PING. It grants no credit beyond that before the peer has: what is
	// sent to a client that has hung up makes the client's system throw away the end of an
	// upload. A client that has half of a window left or less, and sends nothing more for a second,
	// may wait for credit and gets it; one that sends more than its window holds never does. A peer that grants credit itself, by a
	// WINDOW_UPDATE or an initial window, is not one of them: a client answers with
	// windows of its own, and from then on both ends do standard flow control, with
	// all bytes counted that were sent before. Until it knows, by the answer to its
	// PING or after a second without, a server keeps to the 64 KiB that the protocol
	// grants to begin with. So two sessions in this mode have full flow control from
	// the first byte on. That the peer overran a window is no error in this mode.
	FlowControlPeerUnaware
)

// The defaults of Config for peers that do no flow control. Kubernetes opens two
// streams for each connection that it forwards and tries none of them again.
const (
	defaultUnawareServerWindow = 1 << 20  // SessionWindow
	defaultUnawareClientWindow = 32 << 20 // SessionWindow
	defaultUnreadBudget        = 16 << 20
	defaultUnawareMaxStreams   = 4096
)

// blindCredit is added to every window that we send in when the peer can be taken to
// grant none. It is more than any session sends, and is taken off again if credit
// counts after all.
const blindCredit = 1 << 60

// trialTime is how long a server waits for the answer to the PING behind its windows
// before it takes the client for one that has none.
const trialTime = time.Second

// unawareness is what a session keeps of a peer that may do no flow control. Guarded by
// Session.mu; the receiver alone changes hushed, announced and aware, and may look at
// them without.
type unawareness struct {
	hushed    bool    // the peer's first frame has not come
	announced bool    // our windows have been announced
	aware     bool    // the peer has granted credit
	refusing  bool    // new streams are refused, a GOAWAY will follow
	credit    int64   // what has been added to the windows that we send in
	ping      uint32  // of a server, on trial; 0 if there is none or its echo has come
	trial     *giveUp // ends the trial without an echo
	kept      withholding

	resets      uint64 // streams that were reset instead
	strayFrames uint64 // frames that came after the FIN of their stream
	strayBytes  uint64 // their DATA
}

// unawareDefaults fits the windows into the budget: what they grant must not stop the
// session.
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
	if s.client { // it sends nothing before the server had its chance to grant credit
		s.goBlindLocked()
	}
}

// goBlindLocked opens the windows that we send in.
func (s *Session) goBlindLocked() { s.shiftBlindLocked(blindCredit) }

// shiftBlindLocked adds to the windows that we send in what the peer has not granted.
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

// beginTrialLocked sends a PING behind the windows that we have just announced. A peer
// that answers it without having granted credit first does not do flow control.
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

// endTrialLocked ends the trial for the echo of its PING, or in its stead.
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

// FlowControl returns what the session takes its peer for at present:
// FlowControlStandard unless Config.FlowControl said otherwise and the peer has not
// granted any credit.
func (s *Session) FlowControl() FlowControl {
	s = s.made()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.blind() {
		return FlowControlPeerUnaware
	}
	return FlowControlStandard
}

// blind reports that nothing is known of the peer's windows.
func (s *Session) blind() bool { return s.unaware != nil && !s.unaware.aware }

// hushed reports that the peer has not said anything.
func (s *Session) hushed() bool { return s.unaware != nil && s.unaware.hushed }

// silencedLocked reports that nothing may go to the network yet: a client that has
// just been told of the upgrade may drop what comes with it.
func (s *Session) silencedLocked() bool {
	return s.silent || s.hushed() && !s.client && !s.conf.SpeakFirst
}

// holdsPings reports that a PING has to wait for the peer's first frame.
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

// announceLateLocked announces our windows, which from now on include what has been
// received.
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

// appendGrant appends as many WINDOW_UPDATE frames as n bytes of credit take.
func appendGrant(dst []byte, v Version, id uint32, n int64) []byte {
	for n > 0 {
		delta := min(n, maxWindow)
		dst = appendWindowUpdate(dst, v, id, uint32(delta))
		n -= delta
	}
	return dst
}

// credited is called by the receiver when the peer grants credit. From the first time
// on what it grants counts, and what we have sent until then does too.
func (s *Session) credited() {
	if !s.blind() {
		return
	}
	s.mu.Lock()
	s.creditedLocked()
	s.mu.Unlock()
	s.ring()
}

// creditedLocked is credited for a caller that changes windows before the sender may look at
// them.
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
}

// enterUnawareLocked prepares a stream that has just been opened, by either side.
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

// unmuteLocked lets out what a stream had to say before the peer replied to it.
func (s *Session) unmuteLocked(st *Stream) {
	if !st.muted {
		return
	}
	st.muted = false
	for _, job := range st.raw.held {
		st.headerBytes -= job.kept() // which is counted again
		s.queueHeadersLocked(job)
	}
	st.raw.held = nil
	s.sched.place(st)
	s.ringLocked()
}

// dropHeldLocked drops what a stream that has ended was not to say before the peer's reply.
func (r *RawStream) dropHeldLocked() {
	for _, job := range r.held {
		r.st.headerBytes -= job.kept()
		putBlock(job.block)
	}
	r.held = nil
}

// forgives reports that a frame which broke a rule is dropped without a word: what
// comes after a FIN, and a reply to a stream that is unidirectional.
func (s *Session) forgives(st *Stream, h frameHeader, status RstStatus) bool {
	return s.blind() && (status == RstStreamAlreadyClosed ||
		st.state.oneWay && st.state.ours && h.control && h.typ == FrameSynReply)
}

// stray counts a frame that was dropped without a word.
func (s *Session) stray(bytes int) {
	if s.unaware == nil {
		return
	}
	s.mu.Lock()
	s.unaware.strayFrames++
	s.unaware.strayBytes += uint64(bytes)
	s.mu.Unlock()
}

// refuseQuietlyLocked begins to drain a session without saying GOAWAY. It reports false
// if the peer bears one.
func (s *Session) refuseQuietlyLocked() bool {
	if !s.blind() {
		return false
	}
	s.unaware.refusing = true
	return true
}

// refusingLocked reports that a session takes and opens no new streams although it has
// not said so.
func (s *Session) refusingLocked() bool { return s.unaware != nil && s.unaware.refusing }

// breakOffLocked resets the streams of a session that ends although they are open. A peer that does
// flow control fails them by our GOAWAY. Another one keeps its connection for ever unless a GOAWAY
// tells it to close that; it reads on to the end of what came before. The status is not CANCEL,
// with which programs end what is complete.
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

// countStall notes that the receiver stops reading.
func (s *Session) countStall() {
	s.mu.Lock()
	s.stats.stalls++
	first := s.stats.stalls == 1
	s.mu.Unlock()
	if first && s.unaware != nil {
		s.log.stalled(s)
	}
}

// unawareStats says what a peer that does no flow control has brought about.
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
