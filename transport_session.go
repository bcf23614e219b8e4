package spdy

import (
	"sync/atomic"
	"time"
)

// CanTakeNewRequest reports whether a RoundTrip started now would find the session neither ended
// nor going away, and would not wait for the peer's MAX_CONCURRENT_STREAMS (SPDY/3.1 §2.6.4). It is
// a hint for callers with several sessions: another goroutine may open the last free stream first,
// and RoundTrip then waits.
func (s *Session) CanTakeNewRequest() bool {
	s = s.made()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.roomLocked() && s.nextID <= maxStreamID
}

// roomLocked reports whether a slot for a local stream is free. It does not check for exhausted
// stream ids: opening the stream does, and makes the session go away.
func (s *Session) roomLocked() bool {
	return s.openErrLocked() == nil && len(s.openers) == 0 && s.ourStreams < s.limitLocked()
}

// A pooledSession is the entry of a session in a Transport. The session reports to it, under
// Session.mu, when slots become free and when no more requests are accepted; a session without a
// pool has a nil entry.
type pooledSession struct {
	s      *Session
	pool   *sessionPool
	origin *origin
	alone  bool          // for a single request only
	idle   time.Duration // limit of the time without local streams; none if not positive

	dialTook time.Duration // duration of the dial, TLS and proxies included; 0 if unknown; immutable

	refused atomic.Pointer[time.Time] // when the server last refused a request; nil for never

	// Session.mu is held when these change.
	closed  atomic.Bool // the server's MAX_CONCURRENT_STREAMS is 0
	suspect atomic.Bool // the peer may be lost, see suspicion.go
	lost    atomic.Bool // suspect, and kept only because of open streams, see staysLocked

	// Guarded by Session.mu.
	used       bool        // has carried a request
	unused     bool        // no local stream has been open since the time in the field since
	counted    bool        // is among the pool's idle sessions
	armed      bool        // the timer runs, or expire is about to
	retired    bool        // accepts no more requests, and ends with the last open request
	wasSuspect bool        // has been suspect
	givenUp    bool        // a request has been cancelled since the latest request got a slot
	since      time.Time   // end of the last stream, or creation of the session; see wallAge
	timer      *time.Timer // runs expire; nil until first needed
}

// A slotUse describes the session of a slot: see httptrace.GotConnInfo.
type slotUse struct {
	reused   bool
	wasIdle  bool
	idleTime time.Duration
}

// take takes a free slot, if there is one. It ends a session that has been idle too long: the timer
// may be late, see wallAge.
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
		ps.since = time.Now() // so that each sleep of the machine counts once
		s.proveLocked()
		s.mu.Unlock()
		return use, false
	}
	use = ps.takeLocked()
	s.mu.Unlock()
	return use, true
}

// staleLocked reports whether a session has been without streams for longer than IdleConnTimeout or
// Config.IdleTimeout. A session that has carried no request is not stale.
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

// useless reports whether the server allows no streams.
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

// giveBack returns an unused slot.
func (ps *pooledSession) giveBack() {
	ps.s.mu.Lock()
	ps.s.freeSlotLocked()
	ps.s.mu.Unlock()
}

// admit passes free slots to requests queued in the pool.
func (ps *pooledSession) admit() {
	ps.s.mu.Lock()
	defer ps.s.mu.Unlock()
	if ps.s.openErrLocked() == nil && !ps.retired {
		ps.pool.admit(ps)
		ps.makeWayLocked()
	}
}

// admitLocked passes freed slots to requests queued in the pool, and notes when the session becomes
// idle.
func (ps *pooledSession) admitLocked() {
	if ps == nil || ps.s.openErrLocked() != nil {
		return
	}
	if closed := ps.s.peerLimit == 0; closed != ps.closed.Load() {
		ps.closed.Store(closed)
		ps.unused = false // the idle timeout has changed
	}
	if ps.origin.waiting.Load() > 0 && !ps.retired {
		ps.pool.admit(ps)
	}
	ps.unusedLocked()
}

// barren reports whether the server allows no streams. It needs no lock.
func (ps *pooledSession) barren() bool { return ps.closed.Load() }

// waiting returns the number of requests queued in the pool for a session.
func (ps *pooledSession) waiting() int {
	if ps == nil {
		return 0
	}
	return int(ps.origin.waiting.Load())
}

// unusedLocked starts the idle time if no stream is open.
func (ps *pooledSession) unusedLocked() {
	if ps != nil && !ps.unused && ps.s.openErrLocked() == nil && ps.s.activeLocked() == 0 && len(ps.s.openers) == 0 {
		ps.unused = true
		ps.idleLocked()
		ps.countIdleLocked(!ps.alone)
		ps.makeWayLocked()
	}
}

// mayIdle returns the time that the session may be without streams; ends is false if there is no
// limit. A session whose server allows no streams is limited to refusalRest.
func (ps *pooledSession) mayIdle() (d time.Duration, ends bool) {
	if ps.barren() && !ps.alone && (ps.idle <= 0 || ps.idle > refusalRest) {
		return refusalRest, true
	}
	return ps.idle, ps.alone || ps.idle > 0
}

// idleLocked starts the idle time. Requests do not reset the timer: when it fires, expire computes
// the idle time.
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

// closeIfIdle ends a session without local streams.
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

// retire stops new requests on a session, and ends the session after the last stream.
func (ps *pooledSession) retire() {
	ps.retireIf(func() bool { return true })
}

// retireIf retires a session if so returns true. It reports whether it has.
func (ps *pooledSession) retireIf(so func() bool) bool {
	ps.s.mu.Lock()
	defer ps.s.mu.Unlock()
	return so() && ps.retireLocked()
}

// retireLocked retires a session, and reports false if the session already accepted no more
// requests.
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

// givenUpLocked records the reset of a stream by this side.
func (ps *pooledSession) givenUpLocked(st *Stream) {
	if ps != nil && st.state.ours {
		ps.givenUp = true
	}
}

// abandonedLocked reports whether the session has nothing to deliver to the peer, so the connection
// is closed right after the GOAWAY is written: the peer is silent, or the session accepts no more
// requests and the last request was cancelled, as with DisableKeepAlives. A connection waiting for
// a vanished peer would count for MaxConnsPerHost. Shutdown waits in any case.
func (s *Session) abandonedLocked() bool {
	ps := s.pooled
	return ps != nil && s.end.waiting == 0 && (ps.isSuspect() || ps.alone && ps.givenUp)
}

// leaveLocked removes the session from the pool, permanently, as soon as it accepts no more
// requests.
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

// serve runs the session, which is already in the pool or assigned to a request. Requests get slots
// before the session runs: if the session ends at once, because the server does not speak SPDY,
// they fail with that error and do not dial again.
func (ps *pooledSession) serve() {
	s := ps.s
	s.mu.Lock()
	ps.admitLocked()
	s.mu.Unlock()
	go ps.run() // ends with the session
	ps.pool.replace(ps)
}

// run is the session's receiver. At the end it reports the closed connection to the pool.
func (ps *pooledSession) run() {
	ps.s.Serve() // the session records the reason of the end
	ps.pool.closedConn(ps.origin.key)
}
