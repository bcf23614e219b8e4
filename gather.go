package spdy

import (
	"runtime"
	"time"
)

// A gather lets a woken sender wait for frames that other goroutines are about to queue, so that
// one write sends all of them: a write costs more than most of its frames. The other goroutines are
// those that are runnable now; the sender waits for one scheduling turn and no longer. Owned by the
// sender.
type gather struct {
	again time.Time // time of the next permitted wait
}

const (
	// longTurn is the length of a turn in which other goroutines computed instead of queueing. Then
	// the processors are busy, and a turn delays the queued frames more than a write would.
	longTurn = 4 * time.Millisecond
	// turnShare bounds the time spent in long turns: one part in turnShare.
	turnShare = 32
)

// wait yields the processor once, if due.
func (g *gather) wait() {
	if before := time.Now(); g.due(before) {
		runtime.Gosched()
		g.took(before, time.Since(before))
	}
}

// due reports whether the sender may yield the processor.
func (g *gather) due(now time.Time) bool { return !now.Before(g.again) }

// took records the length of a turn that started at before.
func (g *gather) took(before time.Time, turn time.Duration) {
	if turn > longTurn {
		g.again = before.Add(turnShare * turn)
	}
}
