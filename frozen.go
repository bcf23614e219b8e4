package spdy

import (
	"sync/atomic"
	"time"
)

// A process may be stopped for a while: by SIGSTOP, by the hypervisor, by a machine that
// sleeps. Its timers then fire late, all at once, before it has read what its peers have sent
// meanwhile. A timer that would give a peer up, and that is late, waits once more.
const (
	// frozenAfter is the delay of a timer that is put down to a stop. A machine that is
	// busy, or collects garbage, delays timers by less.
	frozenAfter = 500 * time.Millisecond

	// thawTime is the wait that follows: enough to read what lies in the kernel, for a network
	// that has just come back to carry a packet again that was lost, and for its answer.
	thawTime = 2 * time.Second
)

// wasFrozen reports whether a timer that fires so late does so because the process was stopped.
func wasFrozen(late time.Duration) bool { return late > frozenAfter }

// sleepGap is the time asleep after which a connection has to show that it is alive. Clocks that
// are corrected jump by less, most of the time.
const sleepGap = 10 * time.Second

// wallAge is how much time has passed since t, which has a reading of the monotonic clock. On
// most systems that clock stands still while the machine sleeps, and the wall clock does not. A
// wall clock that is set back makes nothing younger; one that is set forward makes t older, and
// a connection that is given up for that costs a dial.
func wallAge(t time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}

// sleptSince reports whether the machine has slept since t, for sleepGap or longer.
func sleptSince(t time.Time) bool { return wallAge(t)-time.Since(t) >= sleepGap }

// A giveUp is a timer whose function gives a peer up. If the process was stopped meanwhile it
// waits for thawTime once more.
type giveUp struct {
	timer *time.Timer
	f     func()
	due   time.Time // of the timer; of newGiveUp, then of fire
	over  atomic.Bool
}

// newGiveUp calls f in d, in a goroutine of its own, unless Stop is called before.
func newGiveUp(d time.Duration, f func()) *giveUp {
	g := &giveUp{f: f, due: time.Now().Add(d)}
	g.timer = time.AfterFunc(1<<62, g.fire) // which needs the timer, so that this is set before it may run
	g.timer.Reset(d)
	return g
}

func (g *giveUp) fire() {
	now := time.Now()
	switch {
	case g.over.Load():
	case wasFrozen(now.Sub(g.due)):
		g.due = now.Add(thawTime)
		g.timer.Reset(thawTime)
	default:
		g.f()
	}
}

// Stop calls the timer off. f may be running.
func (g *giveUp) Stop() {
	g.over.Store(true)
	g.timer.Stop()
}
