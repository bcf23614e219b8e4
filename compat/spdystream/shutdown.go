package spdystream

import (
	"context"
	"sync/atomic"
	"time"

	amahi "github.com/amahi/spdy"
)

// farewell is how long an ending connection without a timeout may go without progress, see
// watchedConn.move, before it ends with streams open. The original ends at once and loses the bytes
// in flight. Received bytes that nobody reads are no progress, nor are bytes sent to a peer that
// has sent GOAWAY: both could continue forever.
const farewell = time.Second

// slowFarewell replaces farewell while the peer has not accepted all written bytes: the kernel of a
// slow reader frees buffer space in large steps.
const slowFarewell = 30 * time.Second

// CloseChan returns a channel that is closed when the connection is to end: the peer has sent
// GOAWAY, this side has called Close, or no more frames can arrive. After Close with open streams
// the channel closes a second later, or up to half a minute later while the kernel (of Linux) has
// bytes for the peer. After a GOAWAY or Close open streams may still finish, and the network
// connection may still deliver written bytes, see Wait.
func (c *Connection) CloseChan() <-chan bool { return c.closeChan }

// Close refuses and opens no more streams, and ends the connection when all open streams have
// ended, or after the time of SetCloseTimeout. Without that timeout, Close ends the connection
// after a second in which the program has read nothing and nothing has been sent, or after half a
// minute of this if the peer is seen not to have accepted the written bytes. After half a minute,
// bytes that an original peer keeps sending no longer count as read. Close does not wait for the
// end, see CloseWait and Wait. The error is always nil.
func (c *Connection) Close() error {
	c.mu.Lock()
	timeout := c.closeTimeout
	c.mu.Unlock()
	c.drain(timeout)
	c.flush(c.session.Flush)
	return nil
}

// CloseWait calls Close, and waits until the connection has ended.
func (c *Connection) CloseWait() error {
	if err := c.Close(); err != nil {
		return err
	}
	return c.Wait(0)
}

// drain starts a shutdown, unless a shutdown runs.
func (c *Connection) drain(timeout time.Duration) {
	c.mu.Lock()
	again, gone := c.draining, c.gone
	c.draining = true
	c.mu.Unlock()
	c.conn.mine.Store(true)
	if gone { // the peer had closed first; Close then left the net.Conn open
		_ = c.conn.Conn.Close()
	}
	if !again {
		c.session.SendGoaway(0, nil) // begins at once: from now on streams are refused
		if c.session.Stats().Streams == (amahi.StreamStates{}) {
			c.closeStreams() // no more frames can arrive; only written bytes are left to deliver
		}
		c.noticeLater(slowFarewell)
		go c.shutdown(timeout) // ends with the session
	}
}

// noticeLater closes CloseChan after farewell. Programs write until CloseChan closes, which follows
// Close at once in the original, where the peer ends the connection: without the notice each would
// wait for the other. Some programs exit at the notice, so for as long as patience lasts it waits
// until the kernel has no bytes for the peer.
func (c *Connection) noticeLater(patience time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.notice = time.AfterFunc(farewell, func() {
		if patience > farewell && c.session.Unacknowledged() > 0 {
			c.noticeLater(patience - farewell)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.closeChanLocked()
	})
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
		late := time.AfterFunc(slowFarewell, func() {
			c.conn.late.Store(c.session.FlowControl() == amahi.FlowControlPeerUnaware)
		})
		defer late.Stop()
	}
	_ = c.session.Shutdown(ctx)
	_ = c.conn.Conn.Close() // still open if the peer has closed first
	c.finish()
}

// A reading tracks how much of the written bytes the peer has read. The bytes have passed our
// socket and are in the kernels.
type reading struct {
	conn    *Connection
	ctx     context.Context // ends with the shutdown
	slow    bool            // our kernel has held bytes for the peer
	unheard atomic.Int32    // 1 while the PING after the bytes has no echo
}

// left estimates the number of bytes that the peer has not accepted. If our kernel had to wait for
// the peer's kernel, the peer's kernel holds many bytes that the peer has not read, and would
// discard them at the end. Only the peer can report that it has read them.
func (r *reading) left() int {
	n := r.conn.session.Unacknowledged()
	switch {
	case n > 0:
		r.slow = true
	case r.slow && r.unheard.Load() == 0: // bytes written after the last PING need another PING
		r.slow = false
		r.unheard.Store(1)
		go func() { // ends with the echo, or with the shutdown
			_, _ = r.conn.session.PingContext(r.ctx)
			r.unheard.Store(0)
		}()
	}
	return n + int(r.unheard.Load())
}

// goneAway handles the peer's GOAWAY. A program that has already closed the connection is not
// notified.
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

// notify sends the last stream to the channel of NotifyClose. If the channel is full, notify keeps
// trying until a fixed time after the end of the connection.
func (c *Connection) notify(to chan<- *Stream, last *Stream) {
	select {
	case to <- last:
		return
	default:
	}
	go func() { // ends when the program receives, or with the connection
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

// closeStreams marks the connection as handling no more frames.
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
		if c.notice != nil {
			c.notice.Stop()
		}
	}
}

// finish marks the session as over and the network connection as closed.
func (c *Connection) finish() {
	c.closeStreams()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.gone {
		c.gone = true
		close(c.ended)
	}
}

// Wait waits until the connection has ended for any reason. After the timeout it returns ErrTimeout;
// 0 means no timeout.
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

// NotifyClose requests notice of the peer's GOAWAY: channel c receives the last of our streams that
// the peer has processed, or nil if that stream has ended or does not exist. timeout is how long
// streams may then run before the connection ends. With 0 the peer ends the connection; if the peer
// is the original, a second without traffic also ends it. A GOAWAY that arrives after Close is not
// reported. Call NotifyClose before Serve.
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

// SetIdleTimeout sets how long the connection may be without traffic before it ends, with all
// streams; 0 means no limit. Each call restarts the timeout.
func (c *Connection) SetIdleTimeout(timeout time.Duration) { c.idle.set(timeout) }

// idleTimeout ends the connection. It waits for the network for at most a second.
func (c *Connection) idleTimeout() {
	c.mu.Lock()
	c.idleEnd, c.draining = true, true
	c.mu.Unlock()
	c.conn.forced.Store(true)
	c.conn.mine.Store(true)
	c.session.Close()
	c.finish()
}
