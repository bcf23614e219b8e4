package spdy

import (
	"context"
	"io"
	"net"
	"sync"
	"time"
)

// handshakeTimeout limits the TLS handshake of an accepted connection.
const handshakeTimeout = 10 * time.Second

// A greeting is a server's information about a client before there is a session.
type greeting struct {
	version  Version
	cautious bool   // SPDY/3 or SPDY/3.1: the wire does not show which
	http     bool   // the client speaks HTTP/1, not SPDY
	first    []byte // bytes already read
	unshaken bool   // the TLS handshake has failed
}

// greet detects a client's protocol: from the TLS negotiation or, without TLS or negotiation, from
// the first bytes (SPEC §7). Until they arrive the server sends nothing.
func (c *Config) greet(ctx context.Context, conn net.Conn, handshake time.Duration) (g greeting, err error) {
	if h, ok := conn.(interface{ HandshakeContext(context.Context) error }); ok {
		ctx, cancel := context.WithTimeout(ctx, handshake)
		defer cancel()
		if err := h.HandshakeContext(ctx); err != nil {
			return greeting{unshaken: true}, err
		}
		if state := connectionState(conn); state != nil && state.NegotiatedProtocol != "" {
			_, spdy := versionOf(state.NegotiatedProtocol)
			g.version, g.http = c.dialect(conn), !spdy
			return g, nil
		}
	}
	first := make([]byte, 2)
	if _, err := io.ReadFull(conn, first); err != nil {
		return g, err
	}
	g = c.recognize(first)
	g.first = first
	return g, nil
}

// recognize distinguishes the dialects and HTTP/1 by the first two bytes.
func (c *Config) recognize(first []byte) (g greeting) {
	told := Version(0)
	if c != nil {
		told = c.Version
	}
	switch {
	case first[0] < 0x80: // not a control frame, with which SPDY begins; net/http refuses any other protocol
		g.http = true
	case first[0] == 0x80 && first[1] == byte(SPDY2.wire()):
		g.version = SPDY2
	case told == SPDY3 || told == SPDY31:
		g.version = told
	default: // anything but 80 03 is an error that the session detects
		g.version, g.cautious = SPDY31, true
	}
	return g
}

// A readAheadConn is a connection whose first bytes have been read already.
type readAheadConn struct {
	net.Conn
	first []byte
}

// NetConn returns the connection below.
func (c *readAheadConn) NetConn() net.Conn { return c.Conn }

// Read returns the bytes already read, and then reads from the connection.
func (c *readAheadConn) Read(p []byte) (int, error) {
	if len(c.first) > 0 {
		n := copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	return c.Conn.Read(p)
}

// accepted returns the connection as the listener accepted it.
func (c *readAheadConn) accepted() net.Conn { return c.Conn }

// A halfCloser is a connection, or part of one, that can close our direction alone.
type halfCloser interface{ CloseWrite() error }

// A readAheadTLS is a readAheadConn with a TLS state.
type readAheadTLS struct {
	*readAheadConn
	tlsConn
}

// Connections with CloseWrite have types of their own: net/http and other packages decide by the
// presence of the method how to end a connection. A CloseWrite without support in the connection
// below would cause a response to be reset.
type (
	readAheadHalf struct {
		*readAheadConn
		halfCloser
	}
	readAheadTLSHalf struct {
		*readAheadConn
		tlsConn
		halfCloser
	}
)

// readAhead returns a connection whose first bytes have been read already. It has the methods
// CloseWrite and, unless opaque, ConnectionState if conn has them.
func readAhead(conn net.Conn, first []byte, opaque bool) net.Conn {
	ahead := &readAheadConn{Conn: conn, first: first}
	secure, tells := conn.(tlsConn)
	tells = tells && !opaque
	half, halves := conn.(halfCloser)
	switch {
	case tells && halves:
		return &readAheadTLSHalf{ahead, secure, half}
	case tells:
		return &readAheadTLS{ahead, secure}
	case halves:
		return &readAheadHalf{ahead, half}
	}
	return ahead
}

// A connQueue is a listener for connections that have been accepted elsewhere. Through it the
// HTTP/1 clients of a plaintext port reach the http.Server.
type connQueue struct {
	ln   net.Listener // the listener that accepted the connections
	bell chan struct{}
	done chan struct{} // latch: closed

	mu      sync.Mutex
	conns   []net.Conn
	pending int        // accepted connections whose protocol is not known yet
	left    []net.Conn // closed by Close, which may not call the user's ConnState: net/http holds a lock
	over    bool       // the listener has ended: no more connections will be pending
	closed  bool
}

func newConnQueue(ln net.Listener) *connQueue {
	return &connQueue{ln: ln, bell: make(chan struct{}, 1), done: make(chan struct{})}
}

// expect counts a connection whose protocol is not known yet, and settle ends the count. settle may
// be called on nil.
func (q *connQueue) expect() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.pending++
}

func (q *connQueue) settle() {
	if q == nil {
		return
	}
	q.mu.Lock()
	q.pending--
	q.mu.Unlock()
	ringBell(q.bell)
}

// finish records the end of the listener. As in net/http, connections accepted before are still
// served: Accept fails after the last of them.
func (q *connQueue) finish() {
	q.mu.Lock()
	q.over = true
	q.mu.Unlock()
	ringBell(q.bell)
}

// hand queues a connection, or closes it if the queue is closed, and reports whether it did.
func (q *connQueue) hand(conn net.Conn) (closed bool) {
	q.mu.Lock()
	closed = q.closed
	if !closed {
		q.conns = append(q.conns, conn)
	}
	q.mu.Unlock()
	if closed {
		conn.Close()
		return true
	}
	ringBell(q.bell)
	return false
}

// Accept waits for the next connection.
func (q *connQueue) Accept() (conn net.Conn, err error) {
	look := func() (bell chan struct{}) {
		conn, err = q.next()
		if conn != nil || err != nil {
			return nil
		}
		return q.bell
	}
	w := wait{end: q.done}
	w.until(look(), look)
	return conn, err
}

// next removes and returns the oldest connection of the queue, if there is one.
func (q *connQueue) next() (net.Conn, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case len(q.conns) > 0:
		conn := q.conns[0]
		q.conns = q.conns[1:]
		if len(q.conns) > 0 {
			ringBell(q.bell) // for the next Accept
		}
		return conn, nil
	case q.closed, q.over && q.pending == 0:
		return nil, net.ErrClosed
	}
	return nil, nil
}

// Close ends Accept and closes the queued connections, see left.
func (q *connQueue) Close() error {
	q.mu.Lock()
	q.left = append(q.left, q.conns...)
	left := q.conns
	q.conns = nil
	if !q.closed {
		q.closed = true
		close(q.done)
	}
	q.mu.Unlock()
	for _, conn := range left {
		conn.Close()
	}
	return nil
}

// neverServed returns the connections that the http.Server has not accepted. Called once, after the
// last Accept.
func (q *connQueue) neverServed() []net.Conn {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.left
}

// Addr returns the address of the underlying listener.
func (q *connQueue) Addr() net.Addr { return q.ln.Addr() }
