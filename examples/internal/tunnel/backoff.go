package tunnel

import (
	"context"
	"math/rand/v2"
	"time"
)

// A Backoff computes the wait before the next attempt: twice as long after each failure, up to a
// limit, with a random part, so that a thousand origins do not reconnect to a restarted proxy at
// the same moment. The zero value waits from half a second to half a minute.
type Backoff struct {
	Min time.Duration // upper bound of the first wait; default 500 ms
	Max time.Duration // longest wait; default 30 s

	last time.Duration
}

// next returns a random wait between half of the current wait and all of the current wait.
func (b *Backoff) next() time.Duration {
	shortest, longest := b.limits()
	b.last = min(max(2*b.last, shortest), longest)
	return b.last/2 + rand.N(b.last/2+1)
}

func (b *Backoff) limits() (shortest, longest time.Duration) {
	shortest, longest = b.Min, b.Max
	if shortest <= 0 {
		shortest = 500 * time.Millisecond
	}
	if longest <= 0 {
		longest = 30 * time.Second
	}
	return shortest, max(shortest, longest)
}

// reset restarts the sequence after a success.
func (b *Backoff) reset() { b.last = 0 }

// wait waits for d. If ctx ends first, wait returns false at once.
func (b *Backoff) wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
