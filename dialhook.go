package spdy

import (
	"context"
	"net"
	"sync/atomic"
	"time"
)

// A dial hook of a Transport or an UpgradeDialer should return when its context ends. Some hooks do
// not: net.Dial and tls.Dial accept no context, and tls.Dial waits for a silent server without
// limit. Such a call is abandoned, so that it delays neither DialTimeout nor the dial slot of its
// pool. A connection returned later is closed.

// hookGrace is the time a hook has to return after its context ends. Most hooks return at once,
// with a more specific error than the context's.
const hookGrace = 100 * time.Millisecond

// A hookCall is a call of a dial hook.
type hookCall struct {
	outcome chan hookOutcome // capacity 1, posted unless the call was abandoned
	settled atomic.Bool      // the outcome is being posted, or the call was abandoned
}

// A hookOutcome is the result of a dial hook.
type hookOutcome struct {
	conn net.Conn
	err  error
}

// hookedDial wraps a dial hook so that it returns at most hookGrace after its context ends.
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
		_ = conn.Close() // the caller has returned: nothing reads an error
	}
}
