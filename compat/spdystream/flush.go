package spdystream

import (
	"context"
	"errors"
	"time"
)

// flushPatience is how long a call waits for a network that accepts nothing. The original waits
// forever.
const flushPatience = 5 * time.Second

// flush waits until the network has accepted the frames that a call has queued. In the original
// each call writes the frames directly, so programs exit, or close the net.Conn, right after the
// last call. If the wait fails the call has still succeeded: the frame stays queued, or the
// connection has ended, which the next call reports.
func (c *Connection) flush(wait func(context.Context) error) {
	for {
		before := c.conn.taken.Load()
		ctx, cancel := context.WithTimeout(context.Background(), flushPatience)
		err := wait(ctx)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || c.conn.taken.Load() == before {
			return
		}
	}
}

// flush is Connection.flush for the frames of the stream.
func (s *Stream) flush() { s.conn.flush(s.raw.Flush) }
