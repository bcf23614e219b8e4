package spdy

import (
	"cmp"
	"sync/atomic"
	"time"
)

// ErrPingTimeout is the reason for the end of a session whose peer sent nothing for
// Config.PingTimeout after a PING. Calls fail with a *ConnError that wraps ErrPingTimeout. The
// *ConnError is a net.Error whose Timeout method reports true.
var ErrPingTimeout error = timeoutError("the peer does not answer a PING")

// ErrWriteTimeout is the reason for the end of a session whose connection accepted no bytes for
// Config.WriteTimeout. Calls fail with a *ConnError that wraps ErrWriteTimeout. The *ConnError is a
// net.Error whose Timeout method reports true.
var ErrWriteTimeout error = timeoutError("the connection takes no bytes")

// errFrameTimeout is the reason for disconnecting a peer that did not complete a frame.
var errFrameTimeout error = timeoutError("the peer does not complete a frame")

// A timeoutError is a net.Error.
type timeoutError string

func (e timeoutError) Error() string { return "spdy: timeout: " + string(e) }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

// The sizes in bytes of the writes of a session with a write timeout or PINGs. A piece is the
// smallest observable progress, so pieces are small on a slow connection. On a fast connection
// pieces are as large as a TLS record, at negligible cost. Write deadlines of the connection are no
// alternative: a tls.Conn is broken after a Write that timed out, even if the Write made progress.
const (
	minPiece = 1 << 10
	maxPiece = 16 << 10

	maxProofPiece = 64 << 10
)

// A keepalive enforces the timeouts of a session: whether the peer still responds, whether the
// connection accepts our writes, and whether the session is in use. It has no goroutine, only a
// timer for each timeout. A session whose Config has no timeouts has no keepalive. Methods may be
// called on nil.
//
// Traffic only moves a mark, which costs a reading of the clock. When a timer fires, it compares
// the mark with the limit and waits for the remainder.
type keepalive struct {
	s    *Session
	born time.Time // origin of the marks

	quiet watch // PingInterval since the peer's last byte
	echo  watch // PingTimeout since our PING was queued, or moved closer to the wire
	write watch // WriteTimeout since the current write began, or made progress
	idle  watch // IdleTimeout since the last stream ended
	frame watch // FirstFrameTimeout since the peer began a frame

	// unsent is the place of our PING until the PING is written.
	unsent atomic.Int32

	// acked is the number of bytes acknowledged by the peer's system at the last check, see
	// Config.PingProof.
	acked atomic.Int64

	// holding is true while the receiver waits for an application, see awaitRoom: nothing that the
	// peer sends is read.
	holding atomic.Bool

	greeted bool // the peer has completed its first frame; receiver only

	// Sender only.
	inPieces bool
	piece    int   // size of the next write
	most     int   // the largest piece
	slow     int64 // a piece is too large if its write is slower

	lastPing uint32 // id of the latest PING of ours; guarded by Session.mu
}

// The states of keepalive.unsent. Only the timer sets pingQueued and only the sender sets the other
// states.
const (
	pingNone   = iota // there is no PING, or it has been written
	pingQueued        // among the queued control frames
	pingTaken         // in the batch being written
)

// newKeepalive returns the keepalive of s, nil if s has no timeouts.
func newKeepalive(s *Session) *keepalive {
	c := s.conf
	if c.PingInterval <= 0 && c.WriteTimeout <= 0 && c.IdleTimeout <= 0 && c.FirstFrameTimeout <= 0 {
		return nil
	}
	a := &keepalive{s: s, born: time.Now(), piece: minPiece, most: maxPiece}
	if c.PingProof { // PingProof detects less progress
		a.most = maxProofPiece
	}
	patience := c.WriteTimeout
	if c.PingInterval > 0 {
		if patience <= 0 || c.PingTimeout < patience {
			patience = c.PingTimeout
		}
		a.quiet.init(a, c.PingInterval, a.ping)
		a.echo.init(a, c.PingTimeout, a.noEcho)
	}
	a.write.init(a, c.WriteTimeout, func() { s.shutdown(&ConnError{Err: ErrWriteTimeout}) })
	a.idle.init(a, c.IdleTimeout, a.goIdle)
	a.frame.init(a, c.FirstFrameTimeout, a.noFrame)
	a.inPieces, a.slow = patience > 0, int64(patience/8)
	return a
}

// now returns the time since the keepalive was made, never 0.
func (a *keepalive) now() int64 { return int64(time.Since(a.born)) + 1 }

// start starts the timers when the session starts.
func (a *keepalive) start() {
	if a == nil {
		return
	}
	now := a.now()
	a.quiet.begin(now)
	a.idle.begin(now)
	a.frame.beginOnce(now)
}

// stop stops all timers when the session has ended.
func (a *keepalive) stop() {
	if a == nil {
		return
	}
	for _, w := range [...]*watch{&a.quiet, &a.echo, &a.write, &a.idle, &a.frame} {
		w.stop()
	}
}

// deliver stops the peer and idle timers. The delivery at the session's end detects a dead peer.
func (a *keepalive) deliver() {
	if a != nil {
		a.quiet.stop()
		a.echo.stop()
		a.idle.stop()
	}
}

// heard records that the peer has sent something. Called by the receiver.
func (a *keepalive) heard() {
	if a == nil || a.quiet.limit == 0 {
		return
	}
	a.quiet.begin(a.now())
	if a.echo.since.Load() != 0 {
		a.echo.end()
	}
}

// hold records that the receiver starts or stops waiting for an application. Meanwhile the peer
// cannot be heard.
func (a *keepalive) hold(on bool) {
	if a == nil {
		return
	}
	a.holding.Store(on)
	if !on {
		a.heard()
	}
}

// ping sends a PING to a quiet peer (SPDY/3.1 §2.6.5).
func (a *keepalive) ping() {
	if a.holding.Load() {
		a.heard()
		return
	}
	s := a.s
	if s.conf.PingProof {
		a.lookAcked()
	}
	s.mu.Lock()
	if s.end.err != nil || s.hushed() || s.silent { // a PING would not be sent
		s.mu.Unlock()
		a.quiet.begin(a.now()) // no effect once the session has ended
		return
	}
	a.echo.beginOnce(a.now())          // before the echo can arrive, which clears the mark
	if a.unsent.Load() != pingQueued { // a PING in the current batch may have an answer already
		delete(s.pings, a.lastPing) // bounds the map if the peer never answers
		a.lastPing = s.quietPingLocked(newPingWaiter())
		a.unsent.Store(pingQueued)
	}
	s.mu.Unlock()
	s.ring()
}

// noEcho ends the session of a peer that did not respond.
func (a *keepalive) noEcho() {
	if a.holding.Load() {
		a.heard()
		return
	}
	if a.mayNotRead() {
		a.echo.begin(a.now()) // a single PING suffices: more would fill the queues of the peer
		return
	}
	a.s.shutdown(&ConnError{Err: ErrPingTimeout})
}

// mayNotRead reports whether an unresponsive peer may just not be reading, see Config.PingProof.
func (a *keepalive) mayNotRead() bool {
	s := a.s
	if !s.conf.PingProof {
		return false
	}
	before := a.acked.Load()
	progress, flying := a.lookAcked()-before, inFlight(s.conn)
	if s.FlowControl() != FlowControlPeerUnaware { // the peer's receiver always reads
		return progress >= minPiece
	}
	return progress > 0 || flying == 0
}

// lookAcked records and returns the number of bytes acknowledged by the peer's system.
func (a *keepalive) lookAcked() int64 {
	acked := a.s.stats.bytesSent.Load() - int64(unacknowledged(a.s.conn))
	a.acked.Store(acked)
	return acked
}

// noFrame ends the session of a peer that does not complete a frame.
func (a *keepalive) noFrame() {
	a.s.mu.Lock()
	reason := a.s.lostLocked(errFrameTimeout)
	a.s.mu.Unlock()
	a.s.shutdown(reason)
}

// takenLocked records that the sender has moved the control frames into a batch.
func (a *keepalive) takenLocked() {
	if a != nil {
		a.unsent.CompareAndSwap(pingQueued, pingTaken)
	}
}

// writeOut writes a batch in pieces, so that progress is observable. A PING behind a slow write
// does not time out, but a PING behind a stuck write does.
func (a *keepalive) writeOut(b []byte) error {
	if !a.inPieces { // progress is not observed
		return a.s.writeConn(b)
	}
	a.write.begin(a.now())
	for len(b) > 0 {
		n := len(b)
		if n > a.piece+a.piece/4 { // avoid a short last piece
			n = a.piece
		}
		start := a.now()
		if err := a.s.writeConn(b[:n]); err != nil {
			a.write.end() // the connection failed, and is not just slow
			return err
		}
		now := a.now()
		a.write.moved(now)
		if a.unsent.Load() != pingNone {
			a.echo.moved(now)
		}
		b = b[n:]
		a.pace(n, now-start)
	}
	a.write.end()
	a.unsent.CompareAndSwap(pingTaken, pingNone)
	return nil
}

// pace adapts the size of pieces to the speed of the connection.
func (a *keepalive) pace(n int, took int64) {
	switch {
	case took > a.slow:
		a.piece = minPiece
	case n >= a.piece && took < a.slow/2:
		a.piece = min(2*a.piece, a.most)
	}
}

// restLocked records that the last stream may have ended. The caller holds Session.mu.
func (a *keepalive) restLocked() {
	if a != nil && a.idle.limit != 0 && a.s.restingLocked() {
		a.idle.begin(a.now())
	}
}

// restingLocked reports whether the session has no open streams and no callers waiting to open a
// stream.
func (s *Session) restingLocked() bool {
	return len(s.streams) == 0 && s.peerStreams == 0 && s.activeLocked() == 0 && len(s.openers) == 0
}

// goIdle ends an idle session. A session in use is checked again, at the latest IdleTimeout after
// the last stream ends. The mark behind this call may be old: the last stream may have ended since,
// and set a new mark.
func (a *keepalive) goIdle() {
	a.s.mu.Lock()
	resting := a.s.restingLocked()
	left := a.idle.limit - (a.now() - a.idle.since.Load())
	a.s.mu.Unlock()
	switch {
	case !resting:
		a.idle.begin(a.now())
	case left > 0:
		a.idle.arm(left)
	default:
		a.s.goAway()
	}
}

// frameBegun records that a part of a frame has arrived, frameDone that the whole frame has
// arrived. Called by the receiver.
func (a *keepalive) frameBegun() {
	if a != nil && a.frame.limit != 0 {
		a.frame.beginOnce(a.now())
	}
}

func (a *keepalive) frameDone() {
	if a != nil {
		a.greeted = true
		a.frame.end()
	}
}

// bodyBegun records that a DATA frame has begun, which has no time limit, unless it is the peer's
// first frame: then the peer does not speak SPDY. Called by the receiver.
func (a *keepalive) bodyBegun() {
	if a == nil || !a.greeted {
		return
	}
	a.frame.end()
}

// frameProgress is the number of bytes of a control frame that count as progress: a frame with a
// large header block is slow on a slow connection, and must not end a shared session.
const frameProgress = 4 << 10

// frameMoved records that frameProgress more bytes of a frame have arrived. The first frame gets no
// extension. Called by the receiver.
func (a *keepalive) frameMoved() {
	if a != nil && a.greeted {
		a.frame.moved(a.now())
	}
}

// awaitFrameSince sets the time from which the first frame is due, before Serve.
func (a *keepalive) awaitFrameSince(t time.Time) {
	if a == nil || a.frame.limit == 0 {
		return
	}
	elapsed := int64(time.Since(t))
	a.frame.since.Store(a.now() - max(1, elapsed)) // may be negative, which is not 0
	a.frame.arm(a.frame.limit - elapsed)
}

// A watch calls fire when a mark has not moved for the duration limit. The first call of begin arms
// the timer, which then rearms itself, so moving the mark is usually the only cost.
type watch struct {
	a     *keepalive
	limit int64 // 0: no timeout, every method does nothing
	fire  func()
	timer *time.Timer
	since atomic.Int64 // the mark, as keepalive.now; 0 without a mark
	armed atomic.Bool  // the timer is running; the goroutine that sets armed starts the timer
	over  atomic.Bool  // the session has ended
}

func (w *watch) init(a *keepalive, limit time.Duration, fire func()) {
	if limit <= 0 {
		return
	}
	w.a, w.limit, w.fire = a, int64(limit), fire
	w.timer = time.AfterFunc(limit, w.check)
	w.timer.Stop()
}

// begin sets the mark.
func (w *watch) begin(now int64) {
	if w.limit == 0 {
		return
	}
	w.since.Store(now)
	w.arm(w.limit)
}

// beginOnce sets the mark unless a mark is set.
func (w *watch) beginOnce(now int64) {
	if w.limit != 0 && w.since.CompareAndSwap(0, now) {
		w.arm(w.limit)
	}
}

// moved moves the mark if a mark is set.
func (w *watch) moved(now int64) {
	if old := w.since.Load(); old != 0 {
		w.since.CompareAndSwap(old, now)
	}
}

// end clears the mark.
func (w *watch) end() {
	if w.limit != 0 {
		w.since.Store(0)
	}
}

// arm starts the timer unless it is running. check sees a mark set before arm, because check clears
// armed before it reads the mark.
func (w *watch) arm(wait int64) {
	if !w.over.Load() && w.armed.CompareAndSwap(false, true) {
		w.timer.Reset(time.Duration(wait))
	}
}

// check is the timer's function.
func (w *watch) check() {
	w.armed.Store(false)
	since := w.since.Load()
	if since == 0 || w.over.Load() {
		return
	}
	now := w.a.now()
	if left := w.limit - (now - since); left > 0 {
		w.arm(left)
		return
	}
	// The mark has not moved since the timer was armed for this time.
	if late := now - since - w.limit; wasFrozen(time.Duration(late)) {
		more := min(w.limit, int64(thawTime))
		w.since.CompareAndSwap(since, cmp.Or(now-w.limit+more, 1)) // 0 means no mark
		w.arm(more)
		return
	}
	w.fire()
}

func (w *watch) stop() {
	w.over.Store(true)
	if w.limit != 0 {
		w.timer.Stop()
	}
}
