package spdystream

import (
	"sync"
	"time"
)

// A deadline is a point in time that callers can move and wait for. The session has the deadlines
// of reads and writes; a deadline covers the waits outside the session.
type deadline struct {
	mu     sync.Mutex
	timer  *time.Timer
	passed chan struct{} // latch, replaced when the deadline moves; nil before the first wait
	at     time.Time     // zero for never
}

// set moves the deadline.
func (d *deadline) set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = t
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.passed == nil {
		return
	}
	select {
	case <-d.passed:
		d.passed = make(chan struct{})
	default:
	}
	d.startLocked()
}

// wait returns a channel that is closed when the deadline has passed. If the deadline moves after
// it has passed, callers must call wait again.
func (d *deadline) wait() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.passed == nil {
		d.passed = make(chan struct{})
		d.startLocked()
	}
	return d.passed
}

// startLocked arranges for the latch to be closed at the deadline.
func (d *deadline) startLocked() {
	if d.at.IsZero() {
		return
	}
	latch := d.passed
	if until := time.Until(d.at); until > 0 {
		d.timer = time.AfterFunc(until, func() { d.expire(latch) })
		return
	}
	closeOnce(latch)
}

// expire closes the latch unless the deadline has moved.
func (d *deadline) expire(latch chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.passed == latch && !d.at.IsZero() && time.Until(d.at) <= 0 {
		closeOnce(latch)
	}
}

// closeOnce closes a latch whose lock the caller holds.
func closeOnce(latch chan struct{}) {
	select {
	case <-latch:
	default:
		close(latch)
	}
}

// over reports whether the deadline has passed.
func (d *deadline) over() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !d.at.IsZero() && time.Until(d.at) <= 0
}
