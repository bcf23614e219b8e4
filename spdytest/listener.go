package spdytest

import (
	"context"
	"net"

	"github.com/amahi/spdy/internal/testconn"
)

// A Listener is a net.Listener in memory. Its DialContext creates the connections. They have
// unlimited buffers and no delay, and support deadlines like any net.Conn. A Listener may be used
// in a bubble of testing/synctest, and by any number of goroutines.
type Listener struct {
	ln *testconn.Listener
}

// Listen returns a new Listener.
func Listen() *Listener { return &Listener{ln: testconn.Listen()} }

// Accept waits for the next connection. After Close it fails with an error that
// matches net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) { return l.ln.Accept() }

// Close ends Accept, and resets the connections that have not been accepted.
func (l *Listener) Close() error { return l.ln.Close() }

// Addr returns the address of the listener: a *net.TCPAddr in a network reserved for examples,
// which no other machine has.
func (l *Listener) Addr() net.Addr { return l.ln.Addr() }

// DialContext connects to the listener, for any network and address. It does not wait for Accept.
// It fails if the context has ended. If the listener is closed, the error matches
// syscall.ECONNREFUSED. It fits the field DialContext of http.Transport.
func (l *Listener) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Addr: l.Addr(), Err: err}
	}
	conn, err := l.ln.Dial()
	if err != nil {
		return nil, err // not a nil *testconn.Conn in an interface
	}
	return conn, nil
}
