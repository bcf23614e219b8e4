package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// A tap keeps the bytes that pass over one connection of ours, in both
// directions, so that a conversation can be judged, and explained when it fails,
// by what was on the wire and not only by what either side says about it.
type tap struct {
	mu    sync.Mutex
	bytes [2][]byte     // by side: what it sent
	marks [2][]mark     // where in bytes each Read and Write ended
	turn  int           // counts Reads and Writes of both directions
	last  time.Time     // of the latest of them
	eof   chan struct{} // latch: the peer has closed its side
	once  sync.Once
}

// A mark says that the bytes up to end had passed when turn was counted.
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

// quiet is how long nothing has passed.
func (t *tap) quiet() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Since(t.last)
}

// count is how many bytes a side has sent.
func (t *tap) count(s side) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.bytes[s])
}

// snapshot copies what has been kept so far.
func (t *tap) snapshot() (bytes [2][]byte, marks [2][]mark) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for s := range bytes {
		bytes[s] = append([]byte(nil), t.bytes[s]...)
		marks[s] = append([]mark(nil), t.marks[s]...)
	}
	return bytes, marks
}

// awaitQuiet waits until nothing has passed for d.
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

// A tappedConn is a connection whose bytes go through a tap.
type tappedConn struct {
	net.Conn
	tap *tap
}

// Bytes count as sent before they are, and as received when we know them, so that
// whatever we do because of them comes later in the record.
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

// CloseWrite keeps half-closing possible.
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

// ConnectionState makes a session take the connection for one of TLS.
func (c *tappedTLS) ConnectionState() tls.ConnectionState { return c.tls.ConnectionState() }

// HandshakeContext lets a server do the handshake.
func (c *tappedTLS) HandshakeContext(ctx context.Context) error { return c.tls.HandshakeContext(ctx) }

// tapped puts a connection of either kind behind a tap.
func tapped(conn net.Conn, t *tap) net.Conn {
	if c, ok := conn.(*tls.Conn); ok {
		return &tappedTLS{tappedConn{c, t}, c}
	}
	return &tappedConn{conn, t}
}

// A tappedListener puts what it accepts behind a tap: the first connection behind
// the one it was made with, any further one behind a tap of its own that nobody
// looks at.
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
