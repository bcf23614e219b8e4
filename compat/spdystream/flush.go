package spdystream

import (
	"context"
	"errors"
	"time"
)

// flushPatience is how long a call waits for a network that takes nothing at all. The original
// waits for ever.
const flushPatience = 5 * time.Second

// flush waits until what a call has queued is with the network. In the original each call writes
// its frames itself, so programs exit, or close their net.Conn, right behind the last one. The
// call has done its work if the wait fails: the frame stays queued, or the connection is gone,
// which the next call reports.
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
