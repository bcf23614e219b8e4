package tunnel

import (
	"context"
	"math/rand/v2"
	"time"
)

// A Backoff is how long to wait before the next attempt: twice as long after each
// failure, up to a limit, and a random part of it, so that a thousand origins do
// not come back to a restarted proxy in the same moment. The zero value waits
// from half a second to half a minute.
type Backoff struct {
	Min time.Duration // first wait, at most; default 500 ms
	Max time.Duration // longest wait; default 30 s

	last time.Duration
}

// next returns between half of the wait that is due and all of it.
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

// reset begins anew after a success.
func (b *Backoff) reset() { b.last = 0 }

// wait waits; it returns false, at once, when ctx ends.
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
