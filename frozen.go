package spdy

import (
	"sync/atomic"
	"time"
)

// A process may be stopped for a while: by SIGSTOP, by the hypervisor, or by a machine that sleeps.
// Afterwards all timers fire late, at once, before the process has read the bytes that peers have
// sent meanwhile. So a timer that ends the wait for a peer waits once more if the timer fires late.
const (
	// frozenAfter is the delay from which on a late timer is attributed to a stop. A busy machine,
	// or garbage collection, delays timers by less.
	frozenAfter = 500 * time.Millisecond

	// thawTime is the additional wait: enough time to read the bytes in the kernel's buffers, and
	// for a network that has just resumed to retransmit a lost packet and return the reply.
	thawTime = 2 * time.Second
)

// wasFrozen reports whether a timer is so late that the process must have been stopped.
func wasFrozen(late time.Duration) bool { return late > frozenAfter }

// sleepGap is the sleep time after which a connection must prove that it still works. Clock
// corrections are usually smaller.
const sleepGap = 10 * time.Second

// wallAge returns the time since t, which has a monotonic clock reading. On most systems the
// monotonic clock stops while the machine sleeps, and the wall clock continues. If the wall clock
// is set back, the age stays correct; if the wall clock is set forward, t appears older, and a
// connection that is closed for this reason costs a dial.
func wallAge(t time.Time) time.Duration {
	now := time.Now()
	return max(now.Sub(t), now.Round(0).Sub(t.Round(0)))
}

// sleptSince reports whether the machine has slept since t, for sleepGap or longer.
func sleptSince(t time.Time) bool { return wallAge(t)-time.Since(t) >= sleepGap }

// A giveUp is a timer whose function ends the wait for a peer. If the process was stopped
// meanwhile, the timer waits for another thawTime.
type giveUp struct {
	timer *time.Timer
	f     func()
	due   time.Time // expiry of the timer; written by newGiveUp, then by fire
	over  atomic.Bool
}

// newGiveUp calls f after d, in a separate goroutine, unless Stop is called before.
func newGiveUp(d time.Duration, f func()) *giveUp {
	g := &giveUp{f: f, due: time.Now().Add(d)}
	g.timer = time.AfterFunc(1<<62, g.fire) // fire uses g.timer, so g.timer is set before fire can run
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

// Stop cancels the timer. f may be running.
func (g *giveUp) Stop() {
	g.over.Store(true)
	g.timer.Stop()
}
