package spdy

import (
	"sync/atomic"
	"time"
)

// This file holds the only wait of the library. house_test.go lists the few files with other waits,
// which wait for a latch only. No wake-up is lost, because of the order of the steps:
//
//	the waiter                             the setter
//	  looks at the state; if it finds        changes the state, or stores a deadline
//	  nothing, it makes the bell             rings the bell, under the lock of the state
//	  under the same lock
//	  loads the deadline
//	  sleeps until the bell, the deadline,
//	  or the end
//
// The look finds an earlier change; a later change finds the bell. The load finds a deadline stored
// earlier; the setter of a later deadline finds the bell.

// A wait names the events that end a sleep besides the bell. Fields that are nil end none.
type wait struct {
	limit limiter         // a deadline, which may be set and moved during the wait
	end   <-chan struct{} // the latch of a stream, session, or another object
	over  <-chan struct{} // the latch of a context, or another one
	clock <-chan time.Time

	// crowd counts the goroutines that wait for the same bell. It is needed if the first deadline
	// may be set while several wait, because the setter's ring wakes only one of them, see until.
	crowd *atomic.Int32
}

// A limiter is a deadline that may not have been set yet.
type limiter interface {
	passed() <-chan struct{} // the latch of the deadline; nil before the first deadline
}

// A wakeUp is the event that ended a sleep.
type wakeUp int

const (
	byBell wakeUp = iota
	byLimit
	byEnd
	byOver
	byClock
)

// until sleeps until look returns nil. look returns nil if the wait has ended, and otherwise the
// bell of the next change. look must return nil, too, when limit has passed or when the latch end
// or over is closed. bell is the result of a first look by the caller. The clock is for sleep only.
//
// Several goroutines may share a bell, and a ring wakes one of them. So look rings again if it
// leaves bytes, headers or an end to other goroutines. A first deadline is different: look cannot
// determine whether the other goroutines have loaded the deadline. So each goroutine that leaves a
// crowd rings for the rest.
func (w *wait) until(bell chan struct{}, look func() (bell chan struct{})) {
	if bell == nil {
		return
	}
	shared := bell
	if w.crowd != nil {
		w.crowd.Add(1)
		bell = look() // a goroutine that left before this one was counted has not rung for it
	}
	for bell != nil {
		w.sleep(bell)
		bell = look()
	}
	if w.crowd != nil && w.crowd.Add(-1) > 0 {
		ringBell(shared)
	}
}

// sleep waits once. It loads the deadline itself, because the load has to follow the making of
// the bell.
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

// awaitVerdict waits for a verdict. posted is false if end or over closed first. A verdict stays
// in its channel, so no order of steps can lose it.
func awaitVerdict[T any](verdict <-chan T, end, over <-chan struct{}) (v T, posted bool) {
	select {
	case v = <-verdict:
		return v, true
	case <-end:
	case <-over:
	}
	return v, false
}

// ringBell rings a doorbell. A nil bell has not been made yet: no goroutine waits for it.
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
