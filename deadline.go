package spdy

import (
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A limit holds a deadline. Most streams never set a deadline, so the first setting allocates it.
type limit struct{ atomic.Pointer[deadline] }

var _ limiter = (*limit)(nil)

// err returns os.ErrDeadlineExceeded if a deadline is set and has passed.
func (l *limit) err() error { return l.Load().err() }

// passed returns the latch of the deadline, or nil if no deadline was ever set.
func (l *limit) passed() <-chan struct{} { return l.Load().wait() }

// make returns the deadline and allocates it if necessary.
func (l *limit) make() *deadline {
	if d := l.Load(); d != nil {
		return d
	}
	l.CompareAndSwap(nil, new(deadline))
	return l.Load()
}

// A deadline is a point in time that a select can wait for and that can be moved at any moment. The
// zero value never passes.
type deadline struct {
	mu     sync.Mutex
	at     time.Time // zero means never
	timer  *time.Timer
	passed chan struct{} // latch: closed when the deadline passes
	closed bool          // passed has been closed
	moves  uint          // number of calls of setLocked, to detect an outdated timer
	then   func()        // called when the deadline passes; may be nil
	over   bool          // the stream has ended: no timer may keep the stream alive
	shared bool          // shared with a successor of the stream
	final  bool          // the application can no longer move the deadline, see enforce
}

// set moves the deadline. The zero time means never.
func (d *deadline) set(t time.Time) { d.setThen(t, nil) }

// setThen is set with a function then, called without locks when the deadline passes unless the
// deadline was moved before. If then is not nil, t must be in the future.
func (d *deadline) setThen(t time.Time, then func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.setLocked(t, then)
}

// resume continues the deadline of an ended stream for the stream that succeeds it.
func (d *deadline) resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over, d.shared = false, true
	if !d.closed {
		d.setLocked(d.at, d.then)
	}
}

func (d *deadline) setLocked(t time.Time, then func()) {
	d.at, d.then = t, then
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.moves++
	if d.closed {
		d.passed, d.closed = nil, false
	}
	d.latchLocked()
	if t.IsZero() {
		return
	}
	if wait := time.Until(t); wait > 0 {
		if d.over {
			return
		}
		move := d.moves
		d.timer = time.AfterFunc(wait, func() { d.expire(move) })
		return
	}
	d.expireLocked()
}

// expire ends the wait unless the deadline has been moved since.
func (d *deadline) expire(move uint) {
	d.mu.Lock()
	var then func()
	if d.moves == move {
		d.expireLocked()
		then = d.then
	}
	d.mu.Unlock()
	if then != nil {
		then()
	}
}

// enforce makes the deadline final: the application can no longer move it. If a deadline is set and
// has no other function, enforce makes it call then when it passes. A deadline that has already
// passed is extended by grace.
func (d *deadline) enforce(grace time.Duration, then func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.final = true
	switch {
	case d.then != nil || d.at.IsZero():
	case d.closed:
		d.setLocked(time.Now().Add(grace), then)
	default:
		d.then = then
	}
}

func (d *deadline) expireLocked() {
	if !d.closed {
		d.closed = true
		close(d.passed)
	}
}

// wait returns the latch to select on, or nil for a nil deadline. The latch does not change until
// the deadline has passed, however often the deadline is moved.
func (d *deadline) wait() <-chan struct{} {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.latchLocked()
	return d.passed
}

func (d *deadline) latchLocked() {
	if d.passed == nil {
		d.passed = make(chan struct{})
	}
}

// err returns os.ErrDeadlineExceeded if the deadline has passed.
func (d *deadline) err() error {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return os.ErrDeadlineExceeded
	}
	return nil
}

// SetReadDeadline makes reads of the peer's bytes fail with os.ErrDeadlineExceeded from t on. The
// zero time means never. A read of a request's body that has failed at the deadline fails for good, as
// in net/http. Other streams and the session are not affected.
func (st *Stream) SetReadDeadline(t time.Time) error {
	if err := st.unmade(); err != nil {
		return err
	}
	st.setDeadline(&st.readDeadline, t, nil)
	st.in.ring()
	return nil
}

// SetWriteDeadline makes writes blocked by the peer's window or by the network fail with
// os.ErrDeadlineExceeded from t on. The zero time means never. Other streams and the session are
// not affected.
//
// The deadline of a handler also limits the end of its response: the stream is reset if the
// connection has not accepted the last bytes by then. The deadline at the handler's return applies.
func (st *Stream) SetWriteDeadline(t time.Time) error {
	if err := st.unmade(); err != nil {
		return err
	}
	st.session.mu.Lock()
	// Otherwise nothing more is written, and limitSilence, limitTail or limitEnd uses the timer.
	if st.unfinished == nil && !st.closing && !st.writeDeadline.Load().isFinal() {
		st.setDeadline(&st.writeDeadline, t, nil)
	}
	ringBell(st.taken)
	ringBell(st.room)
	st.session.headers.flush.wakeLocked()
	st.session.mu.Unlock()
	return nil
}

// setDeadline sets the deadline in p. The caller must ring the bells of the waits limited by p
// afterwards, because this may be their first deadline.
func (st *Stream) setDeadline(p *limit, t time.Time, then func()) {
	d := p.Load()
	if d == nil {
		d = p.make()
		if latched(st.done) { // otherwise finishLocked stops the deadline
			d.stopUnlessShared()
		}
	}
	d.setThen(t, then)
}

// limitAnswer resets the stream at t unless the stream has ended or the write deadline has been
// moved. It implements a server's WriteTimeout, which also ends a stream whose handler has returned
// and whose client does not receive the rest.
func (st *Stream) limitAnswer(t time.Time) {
	st.setDeadline(&st.writeDeadline, t, func() {
		st.reset(RstInternalError, "the answer took longer than WriteTimeout", os.ErrDeadlineExceeded)
	})
}

// limitEnd applies the handler's write deadline to the end of the response, for which no goroutine
// waits. If the deadline passed between the last write and the handler's return, the client still
// has leaveTime to receive the end.
func (st *Stream) limitEnd() {
	if d := st.writeDeadline.Load(); d != nil {
		d.enforce(leaveTime, func() {
			st.reset(RstInternalError, "the end of the answer was not taken by the write deadline", os.ErrDeadlineExceeded)
		})
	}
}

// isFinal reports whether the application can no longer move the deadline. It may be called on nil.
func (d *deadline) isFinal() bool {
	if d == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.final
}

// stop releases the timer and prevents new timers.
func (d *deadline) stop() {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopLocked()
}

// stopUnlessShared is stop for a stream that may have a successor.
func (d *deadline) stopUnlessShared() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.shared {
		d.stopLocked()
	}
}

func (d *deadline) stopLocked() {
	d.over = true
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
