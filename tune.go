package spdy

import "time"

// A stream whose application reads as fast as bytes come, over a path that is long,
// is held up by its window: the peer has sent all that it may, and waits a round trip
// for more. Such a stream gets a larger window, as far as Config.MaxStreamWindow and
// the session's pool go. A stream that is read slowly keeps its window, whatever the
// path, because then a larger one would only be a larger buffer.
//
// All that windows have grown beyond Config.StreamWindow comes from one pool, the part of
// the session's window that the windows of new streams do not need. So streams that have
// grown and are left unread cannot exhaust the session's window. No stream gets more than
// is left in the pool, so that the next one can grow too; and a stream that has more
// because others have grown since returns half of the difference each time that its window
// is used up. So n streams that are read fast converge to equal windows, in whatever
// order they began.

// growBelow says when a window has been the bound: when it has been used up and
// returned within as many round trips. Where nothing else holds the peer up, that
// takes one.
const growBelow = 2

// shrinkAbove says when a window has become too large: when it takes the reader as
// many round trips to use it up. What it has been given then goes back to the pool.
const shrinkAbove = 8

// A windowTuner grows the windows of streams. Guarded by Session.mu.
type windowTuner struct {
	limit int64         // for one stream, in bytes; 0 if windows do not grow
	pool  int64         // bytes that may still be given
	rtt   time.Duration // the shortest round trip measured; 0 if none was
	ping  uint32        // id of the PING that measures one; 0 if none is under way
	sent  time.Time     // when it was queued
}

// A windowEpoch is the time in which a stream uses its window up once. Guarded by
// Session.mu.
type windowEpoch struct {
	began time.Time
	bytes int64 // returned since then
	given int64 // what the window has from the pool, until the stream ends
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
	t, e := &s.flow.tuner, &st.epoch
	if t.limit == 0 {
		return grant
	}
	now := time.Now()
	if e.began.IsZero() {
		e.began = now
		return grant
	}
	e.bytes += grant
	size := int64(s.conf.StreamWindow) + e.given
	if e.bytes < size {
		return grant
	}
	took := now.Sub(e.began)
	e.began, e.bytes = now, 0
	pool := max(s.flow.spareLocked(), 0)
	switch {
	case e.given > pool:
		grant -= s.shrinkLocked(st, min(grant, (e.given-pool+1)/2))
	case t.rtt == 0:
		s.measureLocked(now)
	case took <= growBelow*t.rtt:
		s.measureLocked(now)
		extra := max(min(size, t.limit-size, (pool-e.given)/2), 0)
		t.pool -= extra
		e.given += extra
		st.settles.Store(true)
		st.in.resize(extra)
		grant += extra
	case took > shrinkAbove*t.rtt && e.given > 0:
		grant -= s.shrinkLocked(st, min(grant, e.given))
	}
	return grant
}

// shrinkLocked returns bytes of a stream's window, which the peer is not granted again, to
// the pool.
func (s *Session) shrinkLocked(st *Stream, less int64) int64 {
	before := s.flow.spareLocked()
	s.flow.tuner.pool += less
	st.epoch.given -= less
	st.in.resize(-less)
	s.sparedLocked(before)
	return less
}

// measureLocked sends a PING that measures a round trip, unless one is under way.
func (s *Session) measureLocked(now time.Time) {
	t := &s.flow.tuner
	if t.ping != 0 || s.err != nil || s.hushed() {
		return
	}
	t.ping, t.sent = s.nextPingLocked(), now
	s.control = appendPing(s.control, s.version, t.ping)
}

// measuredLocked takes the echo of a PING.
func (s *Session) measuredLocked(id uint32) {
	t := &s.flow.tuner
	if id != t.ping || id == 0 {
		return
	}
	t.ping = 0
	rtt := max(time.Since(t.sent), 1)
	s.stats.roundTrip = rtt
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
