package spdy

import (
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// A limit holds a deadline from its first setting on. Most streams never get one, so it is
// made then.
type limit struct{ atomic.Pointer[deadline] }

var _ limiter = (*limit)(nil)

// err returns os.ErrDeadlineExceeded if there is a deadline and it has passed.
func (l *limit) err() error { return l.Load().err() }

// passed returns the latch of the deadline, nil if none was ever set.
func (l *limit) passed() <-chan struct{} { return l.Load().wait() }

// make returns the deadline, which it makes if there is none.
func (l *limit) make() *deadline {
	if d := l.Load(); d != nil {
		return d
	}
	l.CompareAndSwap(nil, new(deadline))
	return l.Load()
}

// A deadline is a point in time that a select can wait for and that can be
// moved at any moment. The zero value never passes.
type deadline struct {
	mu     sync.Mutex
	at     time.Time // zero for never
	timer  *time.Timer
	passed chan struct{} // latch: closed when the time has come
	closed bool          // passed has been closed
	moves  uint          // counts set, so that a late timer knows it is out of date
	then   func()        // called when the time has come; nil if nothing is to be
	over   bool          // its stream has ended: a timer would keep that
	shared bool          // a successor of the stream has it too
	final  bool          // the application moves it no more, see enforce
}

// set moves the deadline; the zero time means never.
func (d *deadline) set(t time.Time) { d.setThen(t, nil) }

// setThen is set with a function to be called, with no lock held, when the time has
// come and the deadline has not been moved. That must be in the future.
func (d *deadline) setThen(t time.Time, then func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.setLocked(t, then)
}

// resume continues a deadline whose stream has ended, for the stream that succeeds it.
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

// expire ends the wait, unless the deadline has been moved since.
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

// enforce has then called when the deadline passes, if there is one and nothing else is to be
// done by then: for those who will not wait any more, and whose deadline it stays. One that has
// passed is put off by grace.
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

// wait returns the latch to select on; nil if there is no deadline. The latch stays the same
// until the deadline has passed, however often it is moved.
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

// SetReadDeadline makes reads of the peer's bytes fail with
// os.ErrDeadlineExceeded from t on. The zero time means never. Other streams and
// the session do not notice.
func (st *Stream) SetReadDeadline(t time.Time) error {
	if err := st.unmade(); err != nil {
		return err
	}
	st.setDeadline(&st.readDeadline, t, nil)
	st.in.ring()
	return nil
}

// SetWriteDeadline makes writes that the peer has left no window for, or the
// network no room, fail with os.ErrDeadlineExceeded from t on. The zero time
// means never. Other streams and the session do not notice.
//
// The deadline of a handler limits the end of its answer, too: a stream whose last bytes have
// not been taken by then is reset. It counts as it was when the handler returned.
func (st *Stream) SetWriteDeadline(t time.Time) error {
	if err := st.unmade(); err != nil {
		return err
	}
	st.session.mu.Lock()
	// Else nothing is written any more, and limitSilence, limitTail or limitEnd has the timer.
	if st.unfinished == nil && !st.closing && !st.writeDeadline.Load().isFinal() {
		st.setDeadline(&st.writeDeadline, t, nil)
	}
	ringBell(st.taken)
	ringBell(st.room)
	st.session.headers.flush.wakeLocked()
	st.session.mu.Unlock()
	return nil
}

// setDeadline sets the deadline in p. The caller rings the bells of the waits that p limits
// afterwards, for it may be their first deadline.
func (st *Stream) setDeadline(p *limit, t time.Time, then func()) {
	d := p.Load()
	if d == nil {
		d = p.make()
		if latched(st.done) { // else finishLocked finds it, and stops it
			d.stopUnlessShared()
		}
	}
	d.setThen(t, then)
}

// limitAnswer resets the stream if it has not ended by t and nobody has moved its
// write deadline: that of a server's WriteTimeout, which also ends a stream whose
// handler has returned and whose client does not take the rest.
func (st *Stream) limitAnswer(t time.Time) {
	st.setDeadline(&st.writeDeadline, t, func() {
		st.reset(RstInternalError, "the answer took longer than WriteTimeout", os.ErrDeadlineExceeded)
	})
}

// limitEnd has the handler's write deadline limit the end of its answer, for which no goroutine
// waits. One that passed between the last write and the handler's return does not keep the end
// from the client, which has leaveTime to take it.
func (st *Stream) limitEnd() {
	if d := st.writeDeadline.Load(); d != nil {
		d.enforce(leaveTime, func() {
			st.reset(RstInternalError, "the end of the answer was not taken by the write deadline", os.ErrDeadlineExceeded)
		})
	}
}

// isFinal reports whether the application's deadline stays as it is. It may be called on nil.
func (d *deadline) isFinal() bool {
	if d == nil {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.final
}

// stop releases the timer, and needs no other one from now on.
func (d *deadline) stop() {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopLocked()
}

// stopUnlessShared is stop for a stream that may have been succeeded meanwhile.
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
