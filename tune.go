package spdy

import "time"

// A stream over a long path, whose application reads as fast as bytes arrive, is limited by the
// window: the peer has used the whole window and waits a round trip for more. Such a stream gets a
// larger window, up to Config.MaxStreamWindow and the session's pool, but no more than a few times
// the bytes read per round trip. Any surplus is returned at once, by withholding credit. A slowly
// read stream keeps a small window on any path, because a larger window would only be a larger
// buffer.
//
// All growth beyond Config.StreamWindow is charged to a single pool: the part of the session's
// window not needed for the windows of new streams, plus, for streams opened by this side, the
// windows of half of the slots while they are free. So unread streams with grown windows cannot
// exhaust the session's window. Nor can they drain the pool for the streams being read: the less is
// left in the pool, the smaller the part that a stream may have, see mostGivenLocked. A stream that
// exceeds its part, after others have grown, returns half of the excess each time its window is
// used up. So n fast-read streams converge to equal windows, whatever the order in which they
// started.

// The size of a window in multiples of the bytes read per round trip. Credit is granted in quarters
// of a window, so any factor below one and a third would limit the throughput.
const (
	growBelow   = 1.5 // a smaller window grows
	growTo      = 3
	shrinkAbove = 2
	shrinkTo    = 1.6
)

// A windowTuner grows the windows of streams. Guarded by Session.mu.
type windowTuner struct {
	limit int64         // for a stream, in bytes; 0 if windows do not grow
	pool  int64         // bytes available for growth; negative by the bytes lent by slots
	rtt   time.Duration // the shortest measured round trip; 0 before the first
	ping  uint32        // id of the PING that measures a round trip; 0 if none is pending
	sent  time.Time     // when the PING was queued
}

// A windowEpoch is the time in which a stream uses the window up once. Guarded by Session.mu.
type windowEpoch struct {
	began   time.Time
	bytes   int64 // returned since began
	given   int64 // the pool's share of the window, until the stream ends
	surplus int64 // part of given to return, by not granting credit
}

func (c *Config) newWindowTuner(v Version) windowTuner {
	if !v.streamFlowControl() {
		return windowTuner{}
	}
	t := windowTuner{pool: c.grants.pool}
	if c.MaxStreamWindow > c.StreamWindow {
		t.limit = int64(c.MaxStreamWindow)
	}
	return t
}

// tuneLocked adjusts the window of a stream after the application has read grant more bytes. It
// returns the credit to grant instead of grant.
func (s *Session) tuneLocked(st *Stream, grant int64) int64 {
	e := &st.epoch
	if s.flow.tuner.limit == 0 {
		return grant
	}
	now := time.Now()
	if e.began.IsZero() {
		e.began = now
		return grant
	}
	e.bytes += grant
	size := int64(s.conf.StreamWindow) + e.given
	if e.bytes >= size {
		grant += s.resizeLocked(st, size, now)
	}
	less := min(grant, e.surplus)
	e.surplus -= less
	s.shrinkLocked(st, less)
	return grant - less
}

// resizeLocked ends an epoch of a stream and determines the best size of the window. It returns the
// bytes to grant at once, or sets the surplus to withhold.
func (s *Session) resizeLocked(st *Stream, size int64, now time.Time) (extra int64) {
	t, e := &s.flow.tuner, &st.epoch
	took := max(now.Sub(e.began), 1)
	e.began, e.bytes, e.surplus = now, 0, 0
	most := s.mostGivenLocked(e)
	inTrip := float64(size) * float64(t.rtt) / float64(took) // bytes read per round trip
	switch {
	case e.given > most:
		e.surplus = (e.given - most + 1) / 2
	case t.rtt == 0:
		s.measureLocked(now)
	case float64(size) < growBelow*inTrip:
		s.measureLocked(now)
		extra = max(min(size, int64(growTo*inTrip)-size, t.limit-size, most-e.given), 0)
		s.growLocked(st, extra)
	case float64(size) > shrinkAbove*inTrip:
		e.surplus = min(e.given, size-int64(shrinkTo*inTrip))
	}
	return extra
}

// mostGivenLocked returns how much of the pool a stream may have: half of the bytes not used by
// other streams, reduced in proportion to the bytes they use. So the first stream may have half of
// the pool, and unread streams with grown windows leave room for many more.
func (s *Session) mostGivenLocked(e *windowEpoch) int64 {
	t := &s.flow.tuner
	lent := s.lendableLocked() * int64(s.conf.StreamWindow)
	spare := max(s.flow.spareLocked(), min(t.pool, 0)) // unread bytes of ended streams are charged to the pool first
	whole, left := s.conf.grants.pool+lent, spare+lent+e.given
	if whole <= 0 || left <= 0 {
		return 0
	}
	return int64(float64(left) / 2 * float64(left) / float64(whole))
}

// growLocked grows a stream's window by bytes from the pool.
func (s *Session) growLocked(st *Stream, extra int64) {
	s.flow.tuner.pool -= extra
	st.epoch.given += extra
	st.settles.Store(true)
	st.in.resize(extra)
}

// lendableLocked returns the number of slots for local streams whose windows the pool may borrow:
// half of all slots, if they are free, and none while a request waits for a slot.
func (s *Session) lendableLocked() int64 {
	g := &s.conf.grants
	if len(s.openers) > 0 && s.ourStreams < int(min(s.peerLimit, maxStreamID)) {
		return 0
	}
	free := g.opens - s.ourStreams - s.heldLocked(s.flow.keptOurs)
	return int64(max(min(g.lends, free), 0))
}

// lentSlotsLocked returns the number of slots borrowed by the pool.
func (s *Session) lentSlotsLocked() int {
	window := int64(s.conf.StreamWindow)
	return int((max(-s.flow.tuner.pool, 0) + window - 1) / window)
}

// shrinkLocked returns bytes of a stream's window to the pool; the peer is not granted them again.
func (s *Session) shrinkLocked(st *Stream, less int64) {
	if less == 0 {
		return
	}
	st.epoch.given -= less
	st.in.resize(-less)
	before := s.flow.spareLocked()
	s.flow.tuner.pool += less
	s.sparedLocked(before)
}

// measureLocked sends a PING to measure a round trip, unless a measurement is pending.
func (s *Session) measureLocked(now time.Time) {
	t := &s.flow.tuner
	if t.ping != 0 || s.end.err != nil || s.hushed() {
		return
	}
	t.ping, t.sent = s.nextPingLocked(), now
	s.sendPingLocked(t.ping)
}

// measuredLocked processes the echo of a PING.
func (s *Session) measuredLocked(id uint32) {
	t := &s.flow.tuner
	if id != t.ping || id == 0 {
		return
	}
	t.ping = 0
	rtt := max(time.Since(t.sent), 1)
	s.stats.tripLocked(rtt)
	if t.rtt == 0 || rtt < t.rtt {
		t.rtt = rtt
	}
}

// settle notifies the session of bytes read or discarded by the application, if necessary.
func (st *Stream) settle() {
	if !st.settles.Load() {
		return
	}
	s := st.session
	s.mu.Lock()
	s.settleKeptLocked(st)
	s.mu.Unlock()
}

// discard discards the unread bytes and all bytes that arrive later, and returns the session's
// credit for them.
func (st *Stream) discard() (dropped int64) {
	dropped = st.in.discard()
	st.settle()
	return dropped
}
