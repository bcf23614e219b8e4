package spdy

import (
	"sync/atomic"
	"time"
)

// CanTakeNewRequest reports whether a RoundTrip that began now would find the session
// neither ended nor going away, and would not have to wait for the peer's
// MAX_CONCURRENT_STREAMS (SPDY/3.1 §2.6.4). It is a hint for those who keep several
// sessions: another goroutine may take the last stream before the caller does, and
// RoundTrip waits then.
func (s *Session) CanTakeNewRequest() bool {
	s = s.made()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.roomLocked() && s.nextID <= maxStreamID
}

// roomLocked reports whether a slot for a stream of ours is free. That ids are used up
// is found out by the one who opens a stream, who makes the session go away.
func (s *Session) roomLocked() bool {
	return s.openErrLocked() == nil && len(s.openers) == 0 && s.ourStreams < s.limitLocked()
}

// A pooledSession is the place of a session in a Transport. The session tells it, under
// Session.mu, when slots become free and when it takes no more requests; a session that
// has none, nil, is told nothing.
type pooledSession struct {
	s      *Session
	pool   *sessionPool
	origin *origin
	alone  bool          // for one request only
	idle   time.Duration // how long it may have no stream of ours; for ever if not positive

	refused atomic.Pointer[time.Time] // when the server last refused a request; nil for never

	// Session.mu is held when these change.
	closed  atomic.Bool // the server's MAX_CONCURRENT_STREAMS is 0
	suspect atomic.Bool // the peer may have gone, see suspicion.go
	lost    atomic.Bool // it would have been retired for that but for its streams, see staysLocked

	// Guarded by Session.mu.
	used       bool        // has carried a request
	unused     bool        // no stream of ours is open, since that time
	counted    bool        // is among the idle ones that the pool counts
	armed      bool        // the timer runs, or expire is about to
	retired    bool        // takes no more requests, and ends when those that it has do
	wasSuspect bool        // has been suspect
	givenUp    bool        // a request has been given up since the latest one got its slot
	since      time.Time   // when the last of its streams ended, or it was made; see wallAge
	timer      *time.Timer // runs expire; nil until it is first needed
}

// A slotUse is what a request learns of the session it got: see httptrace.GotConnInfo.
type slotUse struct {
	reused   bool
	wasIdle  bool
	idleTime time.Duration
}

// take takes a slot, if there is one. A session that has been idle for too long is ended: its
// timer may not know, see wallAge.
func (ps *pooledSession) take() (use slotUse, ok bool) {
	s := ps.s
	s.mu.Lock()
	switch {
	case ps.retired || !s.roomLocked():
		s.mu.Unlock()
		return use, false
	case ps.staleLocked():
		s.goAwayLocked()
		s.mu.Unlock()
		s.drain()
		return use, false
	case ps.used && ps.unused && sleptSince(ps.since):
		ps.since = time.Now() // once for each time
		s.proveLocked()
		s.mu.Unlock()
		return use, false
	}
	use = ps.takeLocked()
	s.mu.Unlock()
	return use, true
}

// staleLocked reports whether a session has been without streams for longer than it may be, by
// IdleConnTimeout or by Config.IdleTimeout. A session that has carried no request is new.
func (ps *pooledSession) staleLocked() bool {
	if !ps.used || !ps.unused {
		return false
	}
	limit := ps.s.conf.IdleTimeout
	if idle, ends := ps.mayIdle(); ends && (limit <= 0 || idle < limit) {
		limit = idle
	}
	return limit > 0 && wallAge(ps.since) > limit
}

// useless reports whether the server lets no request have a stream.
func (ps *pooledSession) useless() bool {
	ps.s.mu.Lock()
	defer ps.s.mu.Unlock()
	return ps.s.limitLocked() == 0
}

func (ps *pooledSession) takeLocked() slotUse {
	use := slotUse{reused: ps.used}
	if ps.used && ps.s.activeLocked() == 0 {
		use.wasIdle, use.idleTime = true, wallAge(ps.since)
	}
	ps.used, ps.unused, ps.givenUp = true, false, false
	ps.countIdleLocked(false)
	ps.s.ourStreams++
	return use
}

// giveBack returns a slot that no stream has used.
func (ps *pooledSession) giveBack() {
	ps.s.mu.Lock()
	ps.s.freeSlotLocked()
	ps.s.mu.Unlock()
}

// admit gives free slots to requests that have come to wait in the pool.
func (ps *pooledSession) admit() {
	ps.s.mu.Lock()
	defer ps.s.mu.Unlock()
	if ps.s.openErrLocked() == nil && !ps.retired {
		ps.pool.admit(ps)
		ps.makeWayLocked()
	}
}

// admitLocked gives slots that have become free to requests that wait in the pool, and
// notes when the session becomes idle.
func (ps *pooledSession) admitLocked() {
	if ps == nil || ps.s.openErrLocked() != nil {
		return
	}
	if closed := ps.s.peerLimit == 0; closed != ps.closed.Load() {
		ps.closed.Store(closed)
		ps.unused = false // the time that it may be idle has changed
	}
	if ps.origin.waiting.Load() > 0 && !ps.retired {
		ps.pool.admit(ps)
	}
	ps.unusedLocked()
}

// barren reports whether the server lets no request have a stream.
func (ps *pooledSession) barren() bool { return ps.closed.Load() }

// waiting is the number of requests that wait in the pool for a session.
func (ps *pooledSession) waiting() int {
	if ps == nil {
		return 0
	}
	return int(ps.origin.waiting.Load())
}

// unusedLocked begins to count the idle time if no stream is open.
func (ps *pooledSession) unusedLocked() {
	if ps != nil && !ps.unused && ps.s.openErrLocked() == nil && ps.s.activeLocked() == 0 && len(ps.s.openers) == 0 {
		ps.unused = true
		ps.idleLocked()
		ps.countIdleLocked(!ps.alone)
		ps.makeWayLocked()
	}
}

// mayIdle is how long the session may be without streams; ends is false if that has no limit.
// A session whose server lets no request have a stream is of no use.
func (ps *pooledSession) mayIdle() (d time.Duration, ends bool) {
	if ps.barren() && !ps.alone && (ps.idle <= 0 || ps.idle > refusalRest) {
		return refusalRest, true
	}
	return ps.idle, ps.alone || ps.idle > 0
}

// idleLocked begins to count the time without streams. The timer is not moved by each
// request: it looks when it fires how long that has been.
func (ps *pooledSession) idleLocked() {
	ps.since = time.Now()
	idle, ends := ps.mayIdle()
	switch {
	case !ends || ps.armed && !ps.barren():
		return
	case ps.timer == nil:
		ps.timer = time.AfterFunc(idle, ps.expire)
	default:
		ps.timer.Reset(idle)
	}
	ps.armed = true
}

// expire ends a session that has been idle for too long.
func (ps *pooledSession) expire() {
	s := ps.s
	s.mu.Lock()
	busy := s.activeLocked() > 0 || len(s.openers) > 0
	idle, ends := ps.mayIdle()
	left := idle - wallAge(ps.since)
	switch {
	case busy || !ends || s.openErrLocked() != nil:
		ps.armed = false
		s.mu.Unlock()
		return
	case left > 0:
		ps.timer.Reset(left)
		s.mu.Unlock()
		return
	}
	s.goAwayLocked()
	s.mu.Unlock()
	s.drain()
}

// closeIfIdle ends a session that has no streams of ours.
func (ps *pooledSession) closeIfIdle() {
	s := ps.s
	s.mu.Lock()
	if s.activeLocked() > 0 || len(s.openers) > 0 || s.openErrLocked() != nil {
		s.mu.Unlock()
		return
	}
	s.goAwayLocked()
	s.mu.Unlock()
	s.drain()
}

// retire keeps further requests from a session and ends it when it has no streams.
func (ps *pooledSession) retire() {
	ps.retireIf(func() bool { return true })
}

// retireIf retires a session if that is so. It reports whether it has.
func (ps *pooledSession) retireIf(so func() bool) bool {
	ps.s.mu.Lock()
	defer ps.s.mu.Unlock()
	return so() && ps.retireLocked()
}

// retireLocked retires a session, and reports false if it took no more requests before.
func (ps *pooledSession) retireLocked() bool {
	s := ps.s
	if ps.alone || s.openErrLocked() != nil {
		return false
	}
	ps.alone, ps.idle, ps.retired = true, 0, true
	ps.countIdleLocked(false)
	ps.pool.remove(ps)
	if ps.armed {
		ps.timer.Reset(0)
	} else if s.activeLocked() == 0 {
		ps.idleLocked()
	}
	return true
}

// givenUpLocked takes note of a stream that this side resets.
func (ps *pooledSession) givenUpLocked(st *Stream) {
	if ps != nil && st.state.ours {
		ps.givenUp = true
	}
}

// abandonedLocked reports whether the session has nothing to deliver to its peer, so that its
// connection is closed as soon as the farewell is written: the peer has gone silent, or the
// session takes no more requests and the last one was given up, as with DisableKeepAlives. A
// connection that waited for a peer which has gone would keep its place in MaxConnsPerHost. A
// Shutdown waits all the same.
func (s *Session) abandonedLocked() bool {
	ps := s.pooled
	return ps != nil && s.end.waiting == 0 && (ps.isSuspect() || ps.alone && ps.givenUp)
}

// leaveLocked takes the session out of the pool, for good, as soon as it is known to
// take no more requests.
func (ps *pooledSession) leaveLocked() {
	if ps == nil {
		return
	}
	if ps.timer != nil {
		ps.timer.Stop()
	}
	ps.countIdleLocked(false)
	ps.pool.remove(ps)
}

// serve runs the session. It is in the pool, or given to its request, already. Requests get
// slots before it runs: if it ends at once, since the server does not speak SPDY, they fail
// with that, and do not dial again.
func (ps *pooledSession) serve() {
	s := ps.s
	s.mu.Lock()
	ps.admitLocked()
	s.mu.Unlock()
	go ps.run() // ends with the session
	ps.pool.replace(ps)
}

// run is the session's receiver, and takes note of the end of its connection.
func (ps *pooledSession) run() {
	ps.s.Serve() // the reason of its end is noted in the session
	ps.pool.closedConn(ps.origin.key)
}
