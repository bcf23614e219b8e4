package spdy

import (
	"crypto/tls"
	"net"
	"net/http"
	"reflect"
	"sync"
	"time"
)

// Strangers are the clients of Server.ServeTLS that have not come as far as to say
// something: an http.Server without limits waits for their TLS handshake for ever, and
// then for their first request. Here they have as long as a session gives its client
// for the first frame. Connections are kept by value, since a wrapper would be in the
// way of users who look at what is below a tls.Conn; those of a type that cannot be a
// key, which no listener of the standard library makes, go without.
type strangers struct {
	mu     sync.Mutex
	timers map[net.Conn]*giveUp
}

// guard limits the connections that ln accepts; with no limit it is ln itself.
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

// Accept waits for the next connection, whose time begins.
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

// met says that the limit is over for a connection.
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

// watch is an http.Server's ConnState that tells g who is no stranger any more, and
// next, which may be nil, everything. A connection is new before its handshake, active
// when the first bytes of a request have come.
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
