package spdy

import "time"

// A stream whose application reads as fast as bytes come, over a path that is long,
// is held up by its window: the peer has sent all that it may, and waits a round trip
// for more. Such a stream gets a larger window, as far as Config.MaxStreamWindow and
// the session's pool go, but no more than a few times what its reader takes in a round
// trip: what it has beyond that goes back at once, as credit that is withheld. A stream that
// is read slowly keeps its window, whatever the path, because then a larger one would only
// be a larger buffer.
//
// All that windows have grown beyond Config.StreamWindow comes from one pool: the part of
// the session's window that the windows of new streams do not need, and, of streams that this
// side opens, the windows of half of the slots while nobody needs them. So streams that have
// grown and are left unread cannot exhaust the session's window. Nor can they take the pool
// from those that are read: the less is left of it, the smaller is the part of that which a
// stream may have, see mostGivenLocked. A stream that has more because others have grown
// since returns half of the difference each time that its window is used up. So n streams
// that are read fast converge to equal windows, in whatever order they began.

// How large a window has to be, in multiples of what the reader takes in a round trip. Credit
// comes in quarters of a window, so that less than one and a third would be the bound.
const (
	growBelow   = 1.5 // a window that is smaller grows
	growTo      = 3
	shrinkAbove = 2
	shrinkTo    = 1.6
)

// A windowTuner grows the windows of streams. Guarded by Session.mu.
type windowTuner struct {
	limit int64         // for one stream, in bytes; 0 if windows do not grow
	pool  int64         // bytes that may still be given; below 0 what slots have lent
	rtt   time.Duration // the shortest round trip measured; 0 if none was
	ping  uint32        // id of the PING that measures one; 0 if none is under way
	sent  time.Time     // when it was queued
}

// A windowEpoch is the time in which a stream uses its window up once. Guarded by
// Session.mu.
type windowEpoch struct {
	began   time.Time
	bytes   int64 // returned since then
	given   int64 // what the window has from the pool, until the stream ends
	surplus int64 // how much of that goes back, as credit that is not granted
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

// tuneLocked looks at a stream whose application has taken grant bytes more, and
// returns what is to be granted instead.
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

// resizeLocked ends an epoch of a stream, and says how large its window should be: it returns
// what is given now, or sets the surplus that is withheld.
func (s *Session) resizeLocked(st *Stream, size int64, now time.Time) (extra int64) {
	t, e := &s.flow.tuner, &st.epoch
	took := max(now.Sub(e.began), 1)
	e.began, e.bytes, e.surplus = now, 0, 0
	most := s.mostGivenLocked(e)
	inTrip := float64(size) * float64(t.rtt) / float64(took) // bytes that the reader takes in a round trip
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

// mostGivenLocked is how much a stream may have from the pool: half of what others have left
// of it, and less in proportion to what they have taken. So the first one may have half of
// the pool, and those that are left unread when they have grown leave something to many.
func (s *Session) mostGivenLocked(e *windowEpoch) int64 {
	t := &s.flow.tuner
	lent := s.lendableLocked() * int64(s.conf.StreamWindow)
	spare := max(s.flow.spareLocked(), min(t.pool, 0)) // bytes that are kept unread take from the pool first
	whole, left := s.conf.grants.pool+lent, spare+lent+e.given
	if whole <= 0 || left <= 0 {
		return 0
	}
	return int64(float64(left) / 2 * float64(left) / float64(whole))
}

// growLocked gives a stream's window bytes from the pool.
func (s *Session) growLocked(st *Stream, extra int64) {
	s.flow.tuner.pool -= extra
	st.epoch.given += extra
	st.settles.Store(true)
	st.in.resize(extra)
}

// lendableLocked is how many slots for streams of ours the pool may borrow the windows of:
// half of them, as far as they are free, and none while somebody waits for one.
func (s *Session) lendableLocked() int64 {
	g := &s.conf.grants
	if len(s.openers) > 0 && s.ourStreams < int(min(s.peerLimit, maxStreamID)) {
		return 0
	}
	free := g.opens - s.ourStreams - s.heldLocked(s.flow.keptOurs)
	return int64(max(min(g.lends, free), 0))
}

// lentSlotsLocked is how many slots the pool has borrowed.
func (s *Session) lentSlotsLocked() int {
	window := int64(s.conf.StreamWindow)
	return int((max(-s.flow.tuner.pool, 0) + window - 1) / window)
}

// shrinkLocked returns bytes of a stream's window, which the peer is not granted again, to
// the pool.
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

// measureLocked sends a PING that measures a round trip, unless one is under way.
func (s *Session) measureLocked(now time.Time) {
	t := &s.flow.tuner
	if t.ping != 0 || s.end.err != nil || s.hushed() {
		return
	}
	t.ping, t.sent = s.nextPingLocked(), now
	s.sendPingLocked(t.ping)
}

// measuredLocked takes the echo of a PING.
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

// settle tells the session that the application has read or discarded bytes, if the
// session has to know.
func (st *Stream) settle() {
	if !st.settles.Load() {
		return
	}
	s := st.session
	s.mu.Lock()
	s.settleKeptLocked(st)
	s.mu.Unlock()
}

// discard throws away what is unread and all that comes, and returns the session's
// credit for it.
func (st *Stream) discard() (dropped int64) {
	dropped = st.in.discard()
	st.settle()
	return dropped
}
