package spdystream

import (
	"context"
	"sync/atomic"
	"time"

	amahi "github.com/amahi/spdy"
)

// farewell is how long a connection that is to end may go without progress, see
// watchedConn.move, before it ends although streams are open, where nobody has said how
// long: the original ends at once and loses what is under way. What comes and is not read is
// no progress, nor is what is sent to a peer that has said GOAWAY: both could go on for ever.
const farewell = time.Second

// slowFarewell is how long it may be so while the peer has not taken all that was written:
// the kernel of a slow reader makes room in large lumps.
const slowFarewell = 30 * time.Second

// CloseChan returns a channel that is closed when the connection is to end: the peer has
// said GOAWAY, this side has called Close and no stream is open, or no frame comes any more.
// Streams may still come to their end after a GOAWAY, and the network connection may still
// deliver what was written, see Wait.
func (c *Connection) CloseChan() <-chan bool { return c.closeChan }

// Close takes and opens no more streams, and ends the connection when those that are
// open have ended, but at the latest after the time of SetCloseTimeout; without one, if
// for a second the program has read nothing and nothing has been sent, or for half a minute
// while the peer is seen not to have taken what was written. It does not wait, see CloseWait
// and Wait. The error is always nil.
func (c *Connection) Close() error {
	c.mu.Lock()
	timeout := c.closeTimeout
	c.mu.Unlock()
	c.drain(timeout)
	c.flush(c.session.Flush)
	return nil
}

// CloseWait is Close, and waits until the connection is gone.
func (c *Connection) CloseWait() error {
	if err := c.Close(); err != nil {
		return err
	}
	return c.Wait(0)
}

// drain starts a shutdown, unless there is one.
func (c *Connection) drain(timeout time.Duration) {
	c.mu.Lock()
	again, gone := c.draining, c.gone
	c.draining = true
	c.mu.Unlock()
	c.conn.mine.Store(true)
	if gone { // the peer had hung up, which has left this open
		_ = c.conn.Conn.Close()
	}
	if !again {
		c.session.SendGoaway(0, nil) // begins at once: from now on streams are refused
		if c.session.Stats().Streams == (amahi.StreamStates{}) {
			c.closeStreams() // nothing comes any more; what is left is to deliver
		}
		go c.shutdown(timeout) // ends with the session
	}
}

// shutdown drains the session.
func (c *Connection) shutdown(timeout time.Duration) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	force := func() {
		c.conn.forced.Store(true)
		cancel()
	}
	if timeout > 0 {
		limit := time.AfterFunc(timeout, force)
		defer limit.Stop()
	} else {
		quiet := c.conn.newWatch(&c.conn.moved, func() {
			if c.session.Stats().Streams != (amahi.StreamStates{}) {
				force() // else the session waits until the peer has received everything
			}
		})
		quiet.takes = (&reading{conn: c, ctx: ctx}).left
		quiet.set(farewell)
		defer quiet.stop()
	}
	_ = c.session.Shutdown(ctx)
	_ = c.conn.Conn.Close() // which it is not if the peer has hung up first
	c.finish()
}

// A reading is how a peer gets on with what was written. That is with the kernels and
// passes our socket no more.
type reading struct {
	conn    *Connection
	ctx     context.Context // ends with the shutdown
	slow    bool            // our kernel has had bytes for the peer
	unheard atomic.Int32    // 1 while a PING behind them has no echo
}

// left is what the peer has not taken, as far as that can be seen. Where our kernel has
// had to wait for the peer's, that has a lot that the peer has not read, and would throw
// it away at the end. Only the peer can tell when it has read it.
func (r *reading) left() int {
	n := r.conn.session.Unacknowledged()
	switch {
	case n > 0:
		r.slow = true
	case r.slow && r.unheard.Load() == 0: // of what has come since the last PING, the next one
		r.slow = false
		r.unheard.Store(1)
		go func() { // ends with the echo, or with the shutdown
			_, _ = r.conn.session.PingContext(r.ctx)
			r.unheard.Store(0)
		}()
	}
	return n + int(r.unheard.Load())
}

// goneAway is what the peer's GOAWAY brings about. It is no news to a program that has
// closed the connection before.
func (c *Connection) goneAway() {
	id, _ := c.session.PeerLastGood()
	c.mu.Lock()
	timeout, notify, last := c.goAwayTimeout, c.lastStream, c.streams[id]
	closed := c.draining
	c.conn.leaving.Store(!closed)
	c.closeChanLocked()
	c.mu.Unlock()
	if notify != nil && !closed {
		if last != nil && last.overAlone() {
			last = nil
		}
		c.notify(notify, last)
	}
	if timeout > 0 || c.session.FlowControl() == amahi.FlowControlPeerUnaware {
		c.drain(timeout) // the original does not end before this side does
	}
}

// notify sends the last stream to who asked for it. If the channel has no room, it tries
// until some time after the connection has ended, and not for ever.
func (c *Connection) notify(to chan<- *Stream, last *Stream) {
	select {
	case to <- last:
		return
	default:
	}
	go func() { // ends when somebody receives, or with the connection
		select {
		case to <- last:
			return
		case <-c.ended:
		}
		limit := time.NewTimer(farewell)
		defer limit.Stop()
		select {
		case to <- last:
		case <-limit.C:
		}
	}()
}

// closeStreams says that no frame is handled any more.
func (c *Connection) closeStreams() {
	c.idle.stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeChanLocked()
}

func (c *Connection) closeChanLocked() {
	if !c.closed {
		c.closed = true
		close(c.closeChan)
	}
}

// finish says that the session is over and the network connection closed.
func (c *Connection) finish() {
	c.closeStreams()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.gone {
		c.gone = true
		close(c.ended)
	}
}

// Wait waits until the connection is gone, whatever has ended it, or for the timeout, for
// which it returns ErrTimeout; 0 stands for none.
func (c *Connection) Wait(waitTimeout time.Duration) error {
	if waitTimeout <= 0 {
		<-c.ended
		return nil
	}
	limit := time.NewTimer(waitTimeout)
	defer limit.Stop()
	select {
	case <-c.ended:
		return nil
	case <-limit.C:
		return ErrTimeout
	}
}

// NotifyClose has the peer's GOAWAY told: channel c gets the last of our streams that
// the peer has looked at, or nil if that has ended or there is none. timeout is how long
// streams may then take to end before the connection does; 0 leaves it to the peer, and
// if that is the original, to a second without traffic. A GOAWAY that comes after Close
// is not told. It has to be called before Serve.
func (s *Connection) NotifyClose(c chan<- *Stream, timeout time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastStream, s.goAwayTimeout = c, timeout
}

// SetCloseTimeout sets how long Close waits for streams to end.
func (c *Connection) SetCloseTimeout(timeout time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeTimeout = timeout
}

// SetIdleTimeout sets how long the connection may be without traffic before it ends,
// with all of its streams; 0 stands for any time. It counts anew from each call.
func (c *Connection) SetIdleTimeout(timeout time.Duration) { c.idle.set(timeout) }

// idleTimeout ends the connection. It waits for the network no longer than a second.
func (c *Connection) idleTimeout() {
	c.mu.Lock()
	c.idleEnd, c.draining = true, true
	c.mu.Unlock()
	c.conn.forced.Store(true)
	c.conn.mine.Store(true)
	c.session.Close()
	c.finish()
}
