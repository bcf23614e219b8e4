package spdy

import (
	"sync/atomic"
	"time"
)

// A goroutine of the library waits in this file and nowhere else, but for the sender's last
// wait and those for a latch alone; internal/house checks that. The order of the steps is
// what loses no wake-up:
//
//	waiter                                 setter
//	looks, and makes the bell if it has    changes what is looked for, or stores a deadline
//	  found nothing, under one lock        rings the bell, under that lock
//	loads the deadline
//	sleeps until the bell or the latch
//
// A change before the look is found. A change behind it finds the bell and rings it. A
// deadline that is stored before the load is found there; one that is stored behind it
// rings a bell that has been made.

// A wait names the events that end a sleep besides the bell. Fields that are nil end none.
type wait struct {
	limit limiter         // a deadline, which may be set and moved during the wait
	end   <-chan struct{} // the latch of a stream, session, or another object
	over  <-chan struct{} // the latch of a context, or another one
	clock <-chan time.Time

	// crowd counts the goroutines that wait for the same bell, if the first deadline may be
	// set while several do: the setter's ring reaches one of them, see until.
	crowd *atomic.Int32
}

// A limiter is a deadline that may not have been set yet.
type limiter interface {
	passed() <-chan struct{} // the latch of the deadline; nil before the first deadline
}

// A wakeUp is the event that has ended a sleep.
type wakeUp int

const (
	byBell wakeUp = iota
	byLimit
	byEnd
	byOver
	byClock
)

// until sleeps until look finds something. look returns the bell that announces the next
// change, or nil if there is no need to wait any longer: it has to notice a passed limit, a
// closed end and a closed over, too. The first bell is that of a look that the caller has
// made. The clock is for sleep only.
//
// Several goroutines may share a bell, and each ring wakes one of them. look rings again for
// what it leaves behind. It cannot do so for a deadline that others have not loaded yet, so
// until rings for those who still wait, whenever one leaves.
func (w *wait) until(bell chan struct{}, look func() (bell chan struct{})) {
	if bell == nil {
		return
	}
	shared := bell
	if w.crowd != nil {
		w.crowd.Add(1)
		bell = look() // those who left before that did not ring for this one
	}
	for bell != nil {
		w.sleep(bell)
		bell = look()
	}
	if w.crowd != nil && w.crowd.Add(-1) > 0 {
		ringBell(shared)
	}
}

// sleep waits once. The bell has been made, and the deadline is loaded here: not before.
func (w *wait) sleep(bell <-chan struct{}) wakeUp {
	var passed <-chan struct{}
	if w.limit != nil {
		passed = w.limit.passed()
	}
	select {
	case <-bell:
		return byBell
	case <-passed:
		return byLimit
	case <-w.end:
		return byEnd
	case <-w.over:
		return byOver
	case <-w.clock:
		return byClock
	}
}

// awaitVerdict waits for the one post of a verdict. posted is false if end or over has been
// closed before it. A verdict stays in its channel, so no order of steps can lose it.
func awaitVerdict[T any](verdict <-chan T, end, over <-chan struct{}) (v T, posted bool) {
	select {
	case v = <-verdict:
		return v, true
	case <-end:
	case <-over:
	}
	return v, false
}

// ringBell rings a doorbell; nil is one that has never been waited for.
func ringBell(bell chan struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// latched reports whether a latch has been closed.
func latched(latch <-chan struct{}) bool {
	select {
	case <-latch:
		return true
	default:
		return false
	}
}
