package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// A tap records the bytes in the two directions of a connection of ours. Conversations can then be
// judged, and failures explained, by the traffic and not only by the reports of the two sides.
type tap struct {
	mu    sync.Mutex
	bytes [2][]byte     // bytes sent, by side
	marks [2][]mark     // positions in bytes where Reads and Writes ended
	turn  int           // counts Reads and Writes of the two directions
	last  time.Time     // time of the latest Read or Write
	eof   chan struct{} // latch: the peer has closed its side
	once  sync.Once
}

// A mark records that the bytes up to end had passed at the given turn.
type mark struct{ end, turn int }

// A side is one end of a tapped connection.
type side int

const (
	ours   side = iota // this library
	theirs             // the peer
)

func (s side) String() string {
	if s == ours {
		return "->"
	}
	return "<-"
}

func newTap() *tap { return &tap{last: time.Now(), eof: make(chan struct{})} }

// ended is closed when the peer has closed its side.
func (t *tap) ended() <-chan struct{} { return t.eof }

func (t *tap) note(s side, p []byte) {
	if len(p) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.turn++
	t.last = time.Now()
	t.bytes[s] = append(t.bytes[s], p...)
	t.marks[s] = append(t.marks[s], mark{len(t.bytes[s]), t.turn})
}

// quiet returns the time since the last traffic.
func (t *tap) quiet() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Since(t.last)
}

// count returns the number of bytes that a side has sent.
func (t *tap) count(s side) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.bytes[s])
}

// snapshot copies the recorded bytes and marks.
func (t *tap) snapshot() (bytes [2][]byte, marks [2][]mark) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s := range bytes {
		bytes[s] = append([]byte(nil), t.bytes[s]...)
		marks[s] = append([]mark(nil), t.marks[s]...)
	}
	return bytes, marks
}

// awaitQuiet waits until a period of d without traffic.
func (t *tap) awaitQuiet(ctx context.Context, d time.Duration) error {
	tick := time.NewTicker(d / 8)
	defer tick.Stop()
	for t.quiet() < d {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// A tappedConn is a connection whose bytes pass through a tap.
type tappedConn struct {
	net.Conn
	tap *tap
}

// Sent bytes are recorded before they are sent, and received bytes as soon as they are read. Our
// reaction to received bytes therefore always has a later position in the record.
func (c *tappedConn) Write(p []byte) (int, error) {
	c.tap.note(ours, p)
	return c.Conn.Write(p)
}

func (c *tappedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.tap.note(theirs, p[:n])
	if err != nil {
		c.tap.once.Do(func() { close(c.tap.eof) })
	}
	return n, err
}

// CloseWrite supports half-closing.
func (c *tappedConn) CloseWrite() error {
	if w, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// A tappedTLS is a tappedConn whose plaintext is tapped.
type tappedTLS struct {
	tappedConn
	tls *tls.Conn
}

// ConnectionState makes a session treat the connection as TLS.
func (c *tappedTLS) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

// HandshakeContext lets a server do the handshake.
func (c *tappedTLS) HandshakeContext(ctx context.Context) error { return c.tls.HandshakeContext(ctx) }

// tapped attaches a tap to a connection of either kind.
func tapped(conn net.Conn, t *tap) net.Conn {
	if c, ok := conn.(*tls.Conn); ok {
		return &tappedTLS{tappedConn{c, t}, c}
	}
	return &tappedConn{conn, t}
}

// A tappedListener attaches taps to accepted connections: the given tap to the first connection,
// and unused taps to later connections.
type tappedListener struct {
	net.Listener
	tap *tap

	mu       sync.Mutex
	accepted int
}

func (ln *tappedListener) Accept() (net.Conn, error) {
	conn, err := ln.Listener.Accept()
	if err != nil {
		return nil, err
	}
	ln.mu.Lock()
	defer ln.mu.Unlock()
	ln.accepted++
	if ln.accepted > 1 {
		return tapped(conn, newTap()), nil
	}
	return tapped(conn, ln.tap), nil
}
