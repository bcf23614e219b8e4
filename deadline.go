package spdy

import (
	"os"
	"sync"
	"time"
)

// A deadline is a point in time that a select can wait for and that can be
// moved at any moment. The zero value never passes.
type deadline struct {
	mu     sync.Mutex
	timer  *time.Timer
	passed chan struct{} // latch: closed when the time has come
	closed bool          // passed has been closed
	moves  uint          // counts set, so that a late timer knows it is out of date
}

// set moves the deadline; the zero time means never.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	d.moves++
	if d.passed == nil || d.closed {
		d.passed, d.closed = make(chan struct{}), false
	}
	if t.IsZero() {
		return
	}
	if wait := time.Until(t); wait > 0 {
		move := d.moves
		d.timer = time.AfterFunc(wait, func() { d.expire(move) })
		return
	}
	d.expireLocked()
}

// expire ends the wait, unless the deadline has been moved since.
func (d *deadline) expire(move uint) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.moves == move {
		d.expireLocked()
	}
}

func (d *deadline) expireLocked() {
	if !d.closed {
		d.closed = true
		close(d.passed)
	}
}

// wait returns the latch to select on; nil if no deadline was ever set.
func (d *deadline) wait() <-chan struct{} {
	if d == nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.passed
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

// stop releases the timer.
func (d *deadline) stop() {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
