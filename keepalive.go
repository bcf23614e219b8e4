package spdy

import (
	"cmp"
	"sync/atomic"
	"time"
)

// ErrPingTimeout is why a session ended whose peer answered nothing to a PING for
// Config.PingTimeout. Calls fail with a *ConnError that wraps it, and that is a
// net.Error whose Timeout method reports true.
var ErrPingTimeout error = timeoutError("the peer does not answer a PING")

// ErrWriteTimeout is why a session ended whose connection took no bytes for
// Config.WriteTimeout. Calls fail with a *ConnError that wraps it, and that is a
// net.Error whose Timeout method reports true.
var ErrWriteTimeout error = timeoutError("the connection takes no bytes")

// errFrameTimeout is why a session cut a peer that did not complete a frame.
var errFrameTimeout error = timeoutError("the peer does not complete a frame")

// A timeoutError is a net.Error.
type timeoutError string

func (e timeoutError) Error() string { return "spdy: timeout: " + string(e) }
func (timeoutError) Timeout() bool   { return true }
func (timeoutError) Temporary() bool { return true }

// What a session that watches its writes writes at once, in bytes. A piece is the
// least progress that can be seen, so on a slow connection pieces are small; on a
// fast one they are as large as a record of TLS, so that they cost next to nothing.
// The connection's own deadlines would not do: a tls.Conn is broken by a Write
// that timed out, whatever it had written.
const (
	minPiece = 1 << 10
	maxPiece = 16 << 10

	maxProofPiece = 64 << 10
)

// A keepalive watches over a session by the clock: is the peer still there, does
// the connection take what we write, is the session of use to anybody. It has no
// goroutine, only a timer for each thing that is to be watched, and a session whose
// Config watches nothing has no keepalive. Its methods may be called on nil.
//
// Bytes only move a mark, which costs a look at the clock; the timers look at the
// marks when they fire and wait for what is left.
type keepalive struct {
	s    *Session
	born time.Time // what marks count from

	quiet watch // PingInterval since the peer's last byte
	echo  watch // PingTimeout since our PING was queued, or came closer to the wire
	write watch // WriteTimeout since the write under way began, or got on
	idle  watch // IdleTimeout since the last stream went
	frame watch // FirstFrameTimeout since the peer began a frame

	// unsent is where our PING is until it has been written.
	unsent atomic.Int32

	// acked is how many bytes the peer's system had acknowledged at the last look, see
	// Config.PingProof.
	acked atomic.Int64

	// holding says that the receiver waits for an application, see awaitRoom: the
	// peer may talk as much as it likes, nobody listens.
	holding atomic.Bool

	greeted bool // the peer has completed its first frame; receiver only

	// Sender only.
	inPieces bool
	piece    int   // how much to write at once
	most     int   // the largest piece
	slow     int64 // a piece that takes as long is too large

	lastPing uint32 // id of the latest PING of ours; guarded by Session.mu
}

// The states of keepalive.unsent. Only the timer sets pingQueued and only the
// sender the others.
const (
	pingNone   = iota // there is none, or it is on its way
	pingQueued        // among the control frames
	pingTaken         // in the batch that is being written
)

// newKeepalive returns what watches over s, nil if nothing is to be watched.
func newKeepalive(s *Session) *keepalive {
	c := s.conf
	if c.PingInterval <= 0 && c.WriteTimeout <= 0 && c.IdleTimeout <= 0 && c.FirstFrameTimeout <= 0 {
		return nil
	}
	a := &keepalive{s: s, born: time.Now(), piece: minPiece, most: maxPiece}
	if c.PingProof { // which knows of less progress
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

// now is the time since the keepalive was made, never 0.
func (a *keepalive) now() int64 { return int64(time.Since(a.born)) + 1 }

// start begins to watch, when the session begins to run.
func (a *keepalive) start() {
	if a == nil {
		return
	}
	now := a.now()
	a.quiet.begin(now)
	a.idle.begin(now)
	a.frame.beginOnce(now)
}

// stop ends all watching, when the session has ended.
func (a *keepalive) stop() {
	if a == nil {
		return
	}
	for _, w := range [...]*watch{&a.quiet, &a.echo, &a.write, &a.idle, &a.frame} {
		w.stop()
	}
}

// deliver leaves it to the delivery at the session's end to find out whether the peer is
// there.
func (a *keepalive) deliver() {
	if a != nil {
		a.quiet.stop()
		a.echo.stop()
		a.idle.stop()
	}
}

// heard notes that the peer has sent something. Called by the receiver.
func (a *keepalive) heard() {
	if a == nil || a.quiet.limit == 0 {
		return
	}
	a.quiet.begin(a.now())
	if a.echo.since.Load() != 0 {
		a.echo.end()
	}
}

// hold says that the receiver begins, or ends, to wait for an application, in
// which time the peer cannot be heard.
func (a *keepalive) hold(on bool) {
	if a == nil {
		return
	}
	a.holding.Store(on)
	if !on {
		a.heard()
	}
}

// ping asks a peer that has been quiet for a sign of life (SPDY/3.1 §2.6.5).
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
	if s.end.err != nil || s.hushed() || s.silent { // a PING would not leave
		s.mu.Unlock()
		a.quiet.begin(a.now()) // does nothing once the session has ended
		return
	}
	a.echo.beginOnce(a.now())          // before the echo can come, which takes the mark away
	if a.unsent.Load() != pingQueued { // one in the batch under way may have been answered already
		delete(s.pings, a.lastPing) // a peer that never answers must not make the map grow
		a.lastPing = s.quietPingLocked(newPingWaiter())
		a.unsent.Store(pingQueued)
	}
	s.mu.Unlock()
	s.ring()
}

// noEcho ends the session of a peer that gave no sign of life.
func (a *keepalive) noEcho() {
	if a.holding.Load() {
		a.heard()
		return
	}
	if a.mayNotRead() {
		a.echo.begin(a.now()) // one PING is enough: others would fill the queues of the peer
		return
	}
	a.s.shutdown(&ConnError{Err: ErrPingTimeout})
}

// mayNotRead reports whether a peer that does not answer may be one that does not read, see
// Config.PingProof.
func (a *keepalive) mayNotRead() bool {
	s := a.s
	if !s.conf.PingProof {
		return false
	}
	before := a.acked.Load()
	progress, flying := a.lookAcked()-before, inFlight(s.conn)
	if s.FlowControl() != FlowControlPeerUnaware { // its receiver always reads
		return progress >= minPiece
	}
	return progress > 0 || flying == 0
}

// lookAcked notes how many bytes the peer's system has acknowledged.
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

// takenLocked notes that the sender has taken the control frames into its batch.
func (a *keepalive) takenLocked() {
	if a != nil {
		a.unsent.CompareAndSwap(pingQueued, pingTaken)
	}
}

// writeOut writes a batch so that its progress can be seen: a PING that waits for a
// slow write to end has all the time it needs, one that waits for a write that is
// stuck has not.
func (a *keepalive) writeOut(b []byte) error {
	if !a.inPieces { // nobody looks
		return a.s.writeConn(b)
	}
	a.write.begin(a.now())
	for len(b) > 0 {
		n := len(b)
		if n > a.piece+a.piece/4 { // no short rest by itself
			n = a.piece
		}
		start := a.now()
		if err := a.s.writeConn(b[:n]); err != nil {
			a.write.end() // the connection does not take bytes slowly, but none
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

// pace fits the pieces to the speed of the connection.
func (a *keepalive) pace(n int, took int64) {
	switch {
	case took > a.slow:
		a.piece = minPiece
	case n >= a.piece && took < a.slow/2:
		a.piece = min(2*a.piece, a.most)
	}
}

// restLocked notes that the last stream may have gone. The caller holds Session.mu.
func (a *keepalive) restLocked() {
	if a != nil && a.idle.limit != 0 && a.s.restingLocked() {
		a.idle.begin(a.now())
	}
}

// restingLocked reports that nothing is open on the session and nobody waits to
// open anything.
func (s *Session) restingLocked() bool {
	return len(s.streams) == 0 && s.peerStreams == 0 && s.activeLocked() == 0 && len(s.openers) == 0
}

// goIdle ends a session that nobody uses. One that is used now is looked at again,
// at the latest when its last stream has gone for as long. The mark that made the
// timer call may be old: the last stream may have gone since, and set a new one.
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

// frameBegun notes that a part of a frame has come, frameDone that all of it has.
// Called by the receiver.
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

// frameProgress is how many bytes of a control frame are progress: one with a large header
// block takes its time on a slow connection, and must not end the session of others.
const frameProgress = 4 << 10

// frameMoved notes that frameProgress more bytes of a frame have come. The first frame gets
// no more time. Called by the receiver.
func (a *keepalive) frameMoved() {
	if a != nil && a.greeted {
		a.frame.moved(a.now())
	}
}

// awaitFrameSince says since when the first frame is due, before Serve.
func (a *keepalive) awaitFrameSince(t time.Time) {
	if a == nil || a.frame.limit == 0 {
		return
	}
	elapsed := int64(time.Since(t))
	a.frame.since.Store(a.now() - max(1, elapsed)) // may be negative, which is not 0
	a.frame.arm(a.frame.limit - elapsed)
}

// A watch calls fire when a mark has not been moved for the time of limit. Its
// timer is armed by the first to begin and then looks after itself, so that moving
// the mark is all that it usually costs.
type watch struct {
	a     *keepalive
	limit int64 // 0: nothing is watched, every method does nothing
	fire  func()
	timer *time.Timer
	since atomic.Int64 // the mark, as keepalive.now; 0 if nothing is to be watched
	armed atomic.Bool  // the timer runs; whoever sets this starts it
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

// beginOnce sets the mark unless there is one.
func (w *watch) beginOnce(now int64) {
	if w.limit != 0 && w.since.CompareAndSwap(0, now) {
		w.arm(w.limit)
	}
}

// moved moves the mark if there is one.
func (w *watch) moved(now int64) {
	if old := w.since.Load(); old != 0 {
		w.since.CompareAndSwap(old, now)
	}
}

// end takes the mark away.
func (w *watch) end() {
	if w.limit != 0 {
		w.since.Store(0)
	}
}

// arm starts the timer unless it runs. What has set the mark before is seen by
// check, which says that the timer is off before it looks at the mark.
func (w *watch) arm(wait int64) {
	if !w.over.Load() && w.armed.CompareAndSwap(false, true) {
		w.timer.Reset(time.Duration(wait))
	}
}

// check is what the timer does.
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
	// The mark has not been moved since the timer was armed, which was for this time.
	if late := now - since - w.limit; wasFrozen(time.Duration(late)) {
		more := min(w.limit, int64(thawTime))
		w.since.CompareAndSwap(since, cmp.Or(now-w.limit+more, 1)) // 0 is no mark
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
