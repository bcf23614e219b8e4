package spdy

import (
	"crypto/tls"
	"net"
	"net/http"
	"reflect"
	"sync"
	"time"
)

// Strangers are the clients of Server.ServeTLS that have sent no request yet. An http.Server
// without limits waits forever for the TLS handshake, and then for the first request. Here the
// limit for a session's first frame applies. Connections are stored by value, since a wrapper would
// hinder users who inspect the connection below a tls.Conn. Connections of a type that cannot be a
// map key have no limit; no listener of the standard library returns any.
type strangers struct {
	mu     sync.Mutex
	timers map[net.Conn]*giveUp
}

// guard wraps ln to limit the connections it accepts. Without a limit, guard returns ln itself.
func (g *strangers) guard(ln net.Listener, limit time.Duration) net.Listener {
	if limit <= 0 {
		return ln
	}
	return &guardedListener{ln, g, limit}
}

type guardedListener struct {
	net.Listener
	strangers *strangers
	limit     time.Duration
}

// Accept waits for the next connection and starts the time limit.
func (ln *guardedListener) Accept() (net.Conn, error) {
	conn, err := ln.Listener.Accept()
	if err == nil {
		ln.strangers.add(conn, ln.limit)
	}
	return conn, err
}

func (g *strangers) add(conn net.Conn, limit time.Duration) {
	if !reflect.TypeOf(conn).Comparable() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.timers == nil {
		g.timers = make(map[net.Conn]*giveUp)
	}
	g.timers[conn] = newGiveUp(limit, func() {
		conn.Close()
		g.met(conn)
	})
}

// met ends the limit for a connection.
func (g *strangers) met(conn net.Conn) {
	if !reflect.TypeOf(conn).Comparable() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if timer := g.timers[conn]; timer != nil {
		timer.Stop()
		delete(g.timers, conn)
	}
}

// watch returns an http.Server's ConnState that calls met for connections that are no longer
// strangers, and passes every call to next, which may be nil. A connection is new before the
// handshake, and active when the first bytes of a request have arrived.
func (g *strangers) watch(next func(net.Conn, http.ConnState)) func(net.Conn, http.ConnState) {
	return func(conn net.Conn, state http.ConnState) {
		if t, ok := conn.(*tls.Conn); ok && state != http.StateNew {
			g.met(t.NetConn())
		}
		if next != nil {
			next(conn, state)
		}
	}
}
