package testconn

import (
	"net"
	"sync"
)

// A Listener accepts the connections made by Dial. A server under test listens on a Listener.
type Listener struct {
	mu      sync.Mutex
	changed chan struct{} // latch of the goroutines in Accept; nil if there are none
	backlog []*Conn
	closed  bool
}

// Listen returns a new Listener.
func Listen() *Listener { return new(Listener) }

// Dial returns the first end of a new pair; Accept returns the second end. Dial does not wait for
// Accept.
func (l *Listener) Dial(opts ...Option) (*Conn, error) {
	c, s := Pair(opts...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, c.opError("dial", errRefused)
	}
	l.backlog = append(l.backlog, s)
	l.wake()
	return c, nil
}

// Accept waits for a connection, in the order of the calls of Dial.
func (l *Listener) Accept() (net.Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if l.closed {
			return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
		}
		if len(l.backlog) > 0 {
			c := l.backlog[0]
			l.backlog = l.backlog[1:]
			return c, nil
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		<-changed
		l.mu.Lock()
	}
}

// Close ends Accept and resets the connections that were not accepted.
func (l *Listener) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return &net.OpError{Op: "close", Net: "tcp", Addr: l.Addr(), Err: net.ErrClosed}
	}
	l.closed = true
	for _, c := range l.backlog {
		c.Reset()
	}
	l.backlog = nil
	l.wake()
	return nil
}

// Addr returns the address to dial.
func (l *Listener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 2), Port: 443} }

func (l *Listener) wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}
