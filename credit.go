package spdy

import (
	"encoding/binary"
	"sync/atomic"
)

// unlimited is the window size in versions without flow control.
const unlimited = 1 << 62

// A credit is the flow-control manager of a session. It holds the session's send and receive
// windows, the credit owed to the peer, the initial window of the peer's streams, and the pool from
// which stream windows grow. A stream's flow-control manager is the inflow in its northbound buffer
// and the outflow beside its loan.
//
// A credit only computes and never waits, so it has no goroutine. Session.mu guards all fields
// except owed, step and room.
type credit struct {
	in  inflow  // DATA from the peer, on all streams
	out outflow // our DATA, on all streams

	// owed is credit for bytes that applications have read or discarded and that no WINDOW_UPDATE
	// has granted.
	owed    atomic.Int64
	step    atomic.Int64 // owed credit that triggers a WINDOW_UPDATE, see paceLocked
	granted grantMark    // the session's WINDOW_UPDATE waiting for the sender

	limit int64         // unread bytes at which the receiver sheds streams or stops reading; 0 if bounded by windows; immutable
	room  chan struct{} // doorbell for a receiver in awaitRoom

	shortStep int64 // value of step while the window is short; immutable

	// keptOurs and keptTheirs count unread bytes of ended streams, less the first window of streams
	// whose slot is not free. Kept bytes occupy the session's window: first the pool for window
	// growth, then slots of the side that opened the streams.
	keptOurs, keptTheirs int64

	tuner      windowTuner
	peerWindow int64  // INITIAL_WINDOW_SIZE of the peer
	doubt      *doubt // not nil while the peer's version is SPDY/3 or SPDY/3.1
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
		c.limit = int64(conf.SessionWindow) + 1 // unreachable by streams with windows
	}
	c.tuner = conf.newWindowTuner(v)
	c.shortStep = min(c.in.size/4, int64(conf.StreamWindow)/2)
	c.step.Store(c.in.size / 4)
}

// paceLocked sets step. A quarter of the session's window saves frames, but unread streams may
// leave less than a quarter to other streams. So the step is half a stream's window while the peer
// has less than half of the session's window.
func (c *credit) paceLocked() {
	if c.in.avail < c.in.size/2 {
		c.step.Store(c.shortStep)
	} else {
		c.step.Store(c.in.size / 4)
	}
}

// unreadLocked returns the number of DATA bytes charged to the peer and neither read nor discarded
// by an application.
func (c *credit) unreadLocked() int64 { return c.in.size - c.in.avail - c.owed.Load() }

// spend charges n bytes of DATA about to be sent.
func (c *credit) spend(n int64) {
	c.out.spend(n)
	if c.doubt != nil {
		c.doubt.sent += n
	}
}

// grow adds the delta of a WINDOW_UPDATE for the session, sent only by SPDY/3.1 peers. It returns
// false if the delta is 0 or the window would exceed 2^31-1 (SPEC W5, W7).
func (c *credit) grow(delta int64) bool {
	c.resolveLocked()
	return delta > 0 && c.out.grow(delta)
}

// chargeLocked charges n bytes of DATA to the session window. It returns false if the peer overran
// the window. If the window becomes short, owed credit is granted at once. Bytes are only counted,
// not limited, for a peer that may speak SPDY/3 or may not support flow control.
func (s *Session) chargeLocked(n int64) bool {
	if s.flow.doubt != nil || s.unaware != nil {
		s.flow.in.avail -= n
	} else if !s.flow.in.take(n) {
		return false
	}
	s.flow.paceLocked()
	if s.flow.owed.Load() >= s.flow.step.Load() { // after step changes: readers use the opposite order
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

// ringRoom wakes a receiver in awaitRoom after bytes have been read.
func (c *credit) ringRoom() {
	if c.limit != 0 {
		ringBell(c.room)
	}
}

// spareLocked returns the part of the growth pool not occupied by kept bytes. The result is
// negative if kept bytes occupy slots.
func (c *credit) spareLocked() int64 { return c.tuner.pool - c.keptOurs - c.keptTheirs }

// heldLocked returns the number of slots occupied by kept bytes, on the side whose streams kept the
// bytes.
func (s *Session) heldLocked(kept int64) int { return s.heldBesideLocked(kept, 0) }

// heldBesideLocked is heldLocked with freed fewer kept bytes.
func (s *Session) heldBesideLocked(kept, freed int64) int {
	window := int64(s.conf.StreamWindow)
	over := min(kept, -s.flow.spareLocked()) - freed
	return int((max(over, 0) + window - 1) / window)
}

// crowdedLocked reports whether the peer's whole grant is used up by the windows of its open
// streams and the unread bytes of its ended streams. On sessions with handlers, unread bytes of
// cancelled streams are dropped instead, see backLocked.
func (s *Session) crowdedLocked() bool {
	return s.handlers == nil && s.flow.keptTheirs > 0 && s.peerStreams >= s.conf.MaxConcurrentStreams-s.heldLocked(s.flow.keptTheirs)
}

// crowded is crowdedLocked for callers that do not hold mu.
func (s *Session) crowded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.crowdedLocked()
}

// keepLocked records the unread bytes of an ended stream.
func (s *Session) keepLocked(st *Stream) {
	if s.version.streamFlowControl() {
		st.settles.Store(true) // first, so that a concurrent reader settles again
		s.settleKeptLocked(st)
	}
}

// settleKeptLocked returns the window growth of an ended stream to the pool, counts the stream's
// kept bytes, and admits openers whose windows have become free.
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
		if st.held && (s.handlers == nil || !st.cameToEndLocked()) { // else the peer has a new window for the slot, see backLocked
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

// sparedLocked admits openers if kept bytes occupy fewer slots than before. The argument is the
// earlier result of spareLocked.
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

// settleLocked grants the peer all owed credit.
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

// creditStream grants the peer credit for a stream, if the stream is still open.
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

// A grantMark is the position of a WINDOW_UPDATE among the control frames queued for the sender, so
// that the delta can be increased. Guarded by Session.mu.
type grantMark struct {
	batch uint64 // value of Session.batch when the frame was queued
	at    int    // offset of the delta in Session.control
}

// grantLocked queues credit for a stream, or for the session if id is 0. At most one WINDOW_UPDATE
// per stream is queued while the peer does not read.
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
