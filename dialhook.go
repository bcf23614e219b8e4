package spdy

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

// A dial hook of a Transport or an UpgradeDialer should return when its context ends. Some do not: net.Dial and
// tls.Dial know no context, and the latter waits for a silent server without a limit. Such a call is left
// to itself, so that it holds up neither DialTimeout nor the place of a dial in its pool. The
// connection that it may return later is closed.

// hookGrace is how long a hook has to return after the end of its context. Most do at once, and
// their error says more than the context's.
const hookGrace = 100 * time.Millisecond

// A hookCall is a call of a dial hook.
type hookCall struct {
	outcome chan hookOutcome // capacity 1, posted unless the call has been left
	settled atomic.Bool      // the outcome is being posted, or the call has been left
}

// A hookOutcome is what a dial hook has returned.
type hookOutcome struct {
	conn net.Conn
	err  error
}

// hookedDial is a dial hook that returns at the latest hookGrace after the end of its context.
func hookedDial(hook dialFunc) dialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c := &hookCall{outcome: make(chan hookOutcome, 1)}
		go c.run(ctx, hook, network, addr) // ends when the hook returns
		out, posted := awaitVerdict(c.outcome, nil, ctx.Done())
		if !posted {
			grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), hookGrace)
			defer cancel()
			out, posted = awaitVerdict(c.outcome, nil, grace.Done())
		}
		switch {
		case posted:
			return out.conn, out.err
		case c.settled.CompareAndSwap(false, true):
			return nil, causeOf(ctx)
		}
		out, _ = awaitVerdict(c.outcome, nil, nil)
		return out.conn, out.err
	}
}

// run calls the hook.
func (c *hookCall) run(ctx context.Context, hook dialFunc, network, addr string) {
	conn, err := hook(ctx, network, addr)
	switch {
	case c.settled.CompareAndSwap(false, true):
		select {
		case c.outcome <- hookOutcome{conn, err}:
		default: // does not happen: nothing else posts
		}
	case conn != nil:
		_ = conn.Close() // an error has no reader
	}
}
