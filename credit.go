package spdy

import (
	"encoding/binary"
	"sync/atomic"
)

// unlimited stands for a window in the versions that have none.
const unlimited = 1 << 62

// A credit is the flow-control manager of a session: both windows of the session, the
// credit that it owes the peer, the initial window of the peer's streams, and the pool
// from which the windows of streams grow. The flow-control manager of a stream is the
// inflow in its northbound buffer and the outflow beside its loan.
//
// It is arithmetic: it never waits, so it has no goroutine. Session.mu guards all
// fields but owed, step and room.
type credit struct {
	in  inflow  // DATA of the peer, on all streams
	out outflow // DATA of ours, on all streams

	// owed is credit for bytes that applications have read or discarded, and that no
	// WINDOW_UPDATE has granted yet.
	owed    atomic.Int64
	step    atomic.Int64 // owed credit that is worth a WINDOW_UPDATE, see paceLocked
	granted grantMark    // the WINDOW_UPDATE for the session that waits for the sender

	limit int64         // unread bytes at which the receiver sheds streams or stops reading; 0 if windows bound them; immutable
	room  chan struct{} // doorbell for a receiver that has stopped reading, see awaitRoom

	shortStep int64 // value of step while the window is short; immutable

	// These are bytes that ended streams have left unread, less the first window of those
	// whose slot is not free. They take up the session's window: first of what windows may
	// grow by, and then slots of the side that opened the streams.
	keptOurs, keptTheirs int64

	tuner      windowTuner
	peerWindow int64  // INITIAL_WINDOW_SIZE of the peer
	doubt      *doubt // not nil while the peer may speak SPDY/3 or SPDY/3.1
}

func (c *credit) init(conf *Config, v Version) {
	c.room = make(chan struct{}, 1)
	c.in, c.out.avail = newInflow(unlimited), unlimited
	if v.sessionFlowControl() {
		c.in, c.out.avail = newInflow(int64(conf.SessionWindow)), defaultWindow
	}
	c.peerWindow = defaultWindow
	if !v.streamFlowControl() {
		c.peerWindow, c.limit = unlimited, int64(conf.SessionWindow)
	} else if !v.sessionFlowControl() {
		c.limit = int64(conf.SessionWindow) + 1 // which streams with windows do not reach
	}
	c.tuner = conf.newWindowTuner(v)
	c.shortStep = min(c.in.size/4, int64(conf.StreamWindow)/2)
	c.step.Store(c.in.size / 4)
}

// paceLocked sets step: a quarter of the window saves frames, but unread streams may leave
// less than that to the others. So half a stream's window is enough while the peer has less
// than half of the session's window.
func (c *credit) paceLocked() {
	if c.in.avail < c.in.size/2 {
		c.step.Store(c.shortStep)
	} else {
		c.step.Store(c.in.size / 4)
	}
}

// unreadLocked is the number of DATA bytes that the peer has been charged for, and that
// no application has read or discarded.
func (c *credit) unreadLocked() int64 { return c.in.size - c.in.avail - c.owed.Load() }

// spend charges DATA of n bytes that is about to be sent.
func (c *credit) spend(n int64) {
	c.out.spend(n)
	if c.doubt != nil {
		c.doubt.sent += n
	}
}

// grow adds a WINDOW_UPDATE for the session, which only a peer of SPDY/3.1 sends. It
// reports false if the delta is 0 or the window would pass 2^31-1 (SPEC W5, W7).
func (c *credit) grow(delta int64) bool {
	c.resolveLocked()
	return delta > 0 && c.out.grow(delta)
}

// chargeLocked charges DATA of n bytes to the session window. It reports false if the peer
// overran it. If the window becomes short, credit that is owed is granted
// at once. Bytes are only counted while the peer does not have to know the window: a
// peer that may speak SPDY/3, or one that may do no flow control.
func (s *Session) chargeLocked(n int64) bool {
	if s.flow.doubt != nil || s.unaware != nil {
		s.flow.in.avail -= n
	} else if !s.flow.in.take(n) {
		return false
	}
	s.flow.paceLocked()
	if s.flow.owed.Load() >= s.flow.step.Load() { // after the change of step: a reader looks in the other order
		s.settleLocked()
		s.ringLocked()
	}
	return true
}

// unread is credit.unreadLocked for callers that do not hold mu.
func (s *Session) unread() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flow.unreadLocked()
}

// ringRoom tells a receiver in awaitRoom that bytes have been read.
func (c *credit) ringRoom() {
	if c.limit != 0 {
		ringBell(c.room)
	}
}

// spareLocked is what kept bytes leave of what windows may grow by. It is negative if they
// hold slots.
func (c *credit) spareLocked() int64 { return c.tuner.pool - c.keptOurs - c.keptTheirs }

// heldLocked is the number of slots that kept bytes hold, of those of the side whose streams
// have kept them.
func (s *Session) heldLocked(kept int64) int { return s.heldBesideLocked(kept, 0) }

// heldBesideLocked is heldLocked if freed bytes of these were not kept any more.
func (s *Session) heldBesideLocked(kept, freed int64) int {
	window := int64(s.conf.StreamWindow)
	over := min(kept, -s.flow.spareLocked()) - freed
	return int((max(over, 0) + window - 1) / window)
}

// crowdedLocked reports that the windows of the streams which the peer has open, and what its
// ended ones have left unread, are all that is granted to it. Where handlers read them, what
// cancelled ones have left unread makes way, see backLocked.
func (s *Session) crowdedLocked() bool {
	return s.handlers == nil && s.flow.keptTheirs > 0 && s.peerStreams >= s.conf.MaxConcurrentStreams-s.heldLocked(s.flow.keptTheirs)
}

// crowded is crowdedLocked for callers that do not hold mu.
func (s *Session) crowded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.crowdedLocked()
}

// keepLocked notes the unread bytes of a stream that has ended.
func (s *Session) keepLocked(st *Stream) {
	if s.version.streamFlowControl() {
		st.settles.Store(true) // before looking: a reader that comes between settles again
		s.settleKeptLocked(st)
	}
}

// settleKeptLocked takes back what the window of a stream that has ended was given, counts
// the bytes that it keeps instead, and lets openers in whose windows have become free.
func (s *Session) settleKeptLocked(st *Stream) {
	s.forgetReadLocked(st)
	if !st.ended || !s.version.streamFlowControl() {
		return
	}
	before, n := s.flow.spareLocked(), st.in.buffered()
	switch {
	case s.unaware != nil && n > 0:
		return
	case s.unaware == nil:
		if st.held && (s.handlers == nil || !st.cameToEndLocked()) { // or the peer has another window instead, see backLocked
			n = max(n-int64(s.conf.StreamWindow), 0)
		}
		kept := &s.flow.keptTheirs
		if st.state.ours {
			kept = &s.flow.keptOurs
		}
		*kept += n - st.kept
		st.kept = n
	}
	s.flow.tuner.pool += st.epoch.given
	st.epoch.given = 0
	s.sparedLocked(before)
	s.shed.watchLocked(s)
}

// sparedLocked lets openers in if kept bytes hold fewer slots than before, when
// spareLocked was as given.
func (s *Session) sparedLocked(before int64) {
	if before < 0 && s.flow.spareLocked() > before && s.end.err == nil {
		s.admitOpenersLocked()
	}
}

// credit returns n bytes to the session's receive window, in large steps.
func (s *Session) credit(n int64) {
	if n == 0 {
		return
	}
	owed := s.flow.owed.Add(n)
	s.flow.ringRoom()
	grants := owed >= s.flow.step.Load()
	if !grants && !s.ledger.isLow(owed) {
		return
	}
	s.mu.Lock()
	if grants {
		s.settleLocked()
	} else {
		s.ledger.chargeUnreadLocked()
	}
	s.mu.Unlock()
	if grants {
		s.ring()
	}
}

// creditLocked is credit for callers that hold mu and ring afterwards.
func (s *Session) creditLocked(n int64) {
	if n == 0 {
		return
	}
	if owed := s.flow.owed.Add(n); owed >= s.flow.step.Load() {
		s.settleLocked()
	} else if s.ledger.isLow(owed) {
		s.ledger.chargeUnreadLocked()
	}
	s.flow.ringRoom()
}

// settleLocked grants the peer all credit that is owed.
func (s *Session) settleLocked() {
	n := s.flow.owed.Swap(0)
	s.flow.in.avail += n
	s.ledger.chargeUnreadLocked()
	s.flow.paceLocked()
	if n > 0 && s.withholdsLocked() {
		s.withholdSessionLocked(n)
		return
	}
	if n > 0 && s.end.err == nil && s.version.sessionFlowControl() {
		s.grantLocked(0, &s.flow.granted, n)
	}
}

// creditStream grants the peer credit for one stream, if the stream is still open.
func (s *Session) creditStream(st *Stream, grant int64) {
	if grant == 0 || !s.version.streamFlowControl() {
		return
	}
	s.mu.Lock()
	if st.ended || st.state.inDone {
		s.mu.Unlock()
		return
	}
	if st.raw != nil && s.withholdsLocked() {
		s.withholdStreamLocked(st.raw, grant)
	} else if grant = s.tuneLocked(st, grant); grant > 0 {
		s.grantLocked(st.id, &st.granted, grant)
	}
	s.mu.Unlock()
	s.ring()
}

// A grantMark is the place of a WINDOW_UPDATE among the control frames that wait for the
// sender, so that its delta can grow. Guarded by Session.mu.
type grantMark struct {
	batch uint64 // value of Session.batch when the frame was queued
	at    int    // offset of its delta in Session.control
}

// grantLocked queues credit for a stream, or with id 0 for the session. At most one
// WINDOW_UPDATE waits for each stream of a peer that does not read.
func (s *Session) grantLocked(id uint32, mark *grantMark, n int64) {
	if mark.batch == s.batch {
		p := s.control[mark.at:]
		if sum := int64(binary.BigEndian.Uint32(p)) + n; sum <= maxWindow {
			binary.BigEndian.PutUint32(p, uint32(sum))
			return
		}
	}
	before := len(s.control)
	s.control = appendGrant(s.control, s.version, id, n)
	s.oweLocked(before)
	*mark = grantMark{batch: s.batch, at: len(s.control) - 4}
}
