// Package testconn is the network of the tests: pairs of net.Conn in memory that buffer like
// sockets and misbehave on request.
//
// Every blocking call waits on a channel or a timer, with no lock held. A goroutine in Read, Write
// or Accept is therefore durably blocked in the sense of testing/synctest, and latency, bandwidth
// and deadlines follow the bubble's clock. Outside a bubble the same code runs in real time. A pair
// must not be used from two bubbles.
package testconn

import (
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"time"
)

// A Conn is an end of a pair. The settings apply to this end: the cap, latency and bandwidth of its
// writes and the size of its reads. Any number of goroutines may call the methods, including the
// setters, at any time.
type Conn struct {
	link    *link
	side    int
	peer    *Conn
	addr    *net.TCPAddr
	in, out *half // written by the peer; written by this end
	strict  atomic.Bool
}

// Pair returns the two ends of a new connection, by default with unlimited buffers and no delay.
// Options apply to the two ends; First and Second restrict options to a single end.
func Pair(opts ...Option) (*Conn, *Conn) {
	up, down := new(half), new(half)
	l := &link{halves: [2]*half{up, down}}
	// 192.0.2.0/24 is reserved for examples (RFC 5737).
	a := &Conn{link: l, side: 0, in: down, out: up, addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 49152}}
	b := &Conn{link: l, side: 1, in: up, out: down, addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 443}}
	a.peer, b.peer = b, a
	for _, o := range opts {
		o(a)
		o(b)
	}
	return a, b
}

// Peer returns the other end.
func (c *Conn) Peer() *Conn { return c.peer }

// Read waits for bytes and returns the bytes that have arrived, up to the read size.
func (c *Conn) Read(p []byte) (int, error) {
	f := c.link.count(c, OpRead)
	if f != nil {
		if p = p[:min(f.Short, len(p))]; len(p) == 0 {
			return 0, c.opError("read", f.Err)
		}
	}
	n, err := c.in.read(p)
	if f != nil && err == nil {
		err = f.Err
	}
	return n, c.opError("read", err)
}

// Write buffers p for the peer. It waits only for room under the write cap and for other Writes:
// the bytes of a call stay contiguous.
func (c *Conn) Write(p []byte) (int, error) {
	f := c.link.count(c, OpWrite)
	if f != nil {
		if p = p[:min(f.Short, len(p))]; len(p) == 0 {
			return 0, c.opError("write", f.Err)
		}
	}
	n, err := c.out.write(p)
	if n > 0 && c.peer.strict.Load() {
		c.resetIfClosed()
	}
	if f != nil && err == nil {
		err = f.Err
	}
	return n, c.opError("write", err)
}

// resetIfClosed resets the connection if the peer has closed it, since bytes that arrive at a
// closed end cause a reset.
func (c *Conn) resetIfClosed() {
	defer c.link.lock()()
	if c.out.readErr == net.ErrClosed && !c.out.hole {
		c.link.abortAfter(c.out.latency + c.in.latency)
	}
}

// Close closes this end like a TCP connection. The peer reads the buffered bytes and then io.EOF,
// and its Writes fail with EPIPE after the network latency. With StrictClose, closing with unread
// bytes is a reset, and so are bytes that the peer sends afterwards.
func (c *Conn) Close() error {
	defer c.link.lock()()
	unread, err := c.in.closeReader()
	if err != nil {
		return c.opError("close", err)
	}
	if unread > 0 && c.strict.Load() {
		if c.out.disown() {
			c.link.abortAfter(c.out.latency)
		}
		return nil
	}
	if at, heard := c.out.closeWriter(net.ErrClosed); heard {
		c.in.readerGone(at)
	}
	return nil
}

// CloseWrite closes only this end's direction: the peer reads the buffered bytes, then io.EOF, and
// may continue writing.
func (c *Conn) CloseWrite() error {
	defer c.link.lock()()
	if c.in.readErr == net.ErrClosed {
		return c.opError("close", net.ErrClosed)
	}
	c.out.closeWriter(errPipe)
	return nil
}

// Reset breaks the connection: the two ends fail with ECONNRESET at once, and buffered bytes are
// lost.
func (c *Conn) Reset() {
	defer c.link.lock()()
	c.link.abort()
}

// LocalAddr returns this end's address, a *net.TCPAddr of a fictitious network.
func (c *Conn) LocalAddr() net.Addr { return c.addr }

// RemoteAddr returns the address of the other end.
func (c *Conn) RemoteAddr() net.Addr { return c.peer.addr }

// SetDeadline sets the deadline of Reads and Writes; the zero time removes it.
func (c *Conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// SetReadDeadline makes Reads that wait at t or later fail with os.ErrDeadlineExceeded.
func (c *Conn) SetReadDeadline(t time.Time) error {
	return c.opError("set", c.in.setReadDeadline(t))
}

// SetWriteDeadline makes Writes that wait at t or later fail with os.ErrDeadlineExceeded.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	return c.opError("set", c.out.setWriteDeadline(t))
}

// opError wraps an error like package net; io.EOF stays unwrapped, as in package net.
func (c *Conn) opError(op string, err error) error {
	if err == nil || err == io.EOF {
		return err
	}
	if err == errPipe || err == errReset || err == errRefused {
		err = os.NewSyscallError(op, err)
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.addr, Addr: c.peer.addr, Err: err}
}
