package spdy

import (
	"runtime"
	"time"
)

// A gather lets a sender that was woken wait for what others are about to queue, so that one
// write carries it all: a write costs more than most of what is in it. The others are the
// goroutines that can run now, and the sender waits for one turn of theirs and no longer. Owned
// by the sender.
type gather struct {
	again time.Time // when it may wait again
}

const (
	// longTurn is a turn in which others computed instead of queueing. The processors are busy
	// then, and a turn costs what is to be sent more time than a write would.
	longTurn = 4 * time.Millisecond
	// turnShare bounds the time that long turns take: one part in turnShare.
	turnShare = 32
)

// wait leaves the processor to the others once, if it may.
func (g *gather) wait() {
	if before := time.Now(); g.due(before) {
		runtime.Gosched()
		g.took(before, time.Since(before))
	}
}

// due reports whether it is time to leave the processor.
func (g *gather) due(now time.Time) bool { return !now.Before(g.again) }

// took notes how long a turn was that began at before.
func (g *gather) took(before time.Time, turn time.Duration) {
	if turn > longTurn {
		g.again = before.Add(turnShare * turn)
	}
}
