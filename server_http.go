package spdy

import (
	"context"
	"crypto/tls"
	"log"
	"log/slog"
	"math"
	"net"
	"net/http"
	"time"
)

// httpServer returns the http.Server that serves clients without SPDY, and whose
// fields every request can see under http.ServerContextKey.
func (srv *Server) httpServer() *http.Server {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.plain != nil {
		return srv.plain
	}
	srv.plain = &http.Server{
		Addr:                         srv.Addr,
		Handler:                      srv.Handler,
		DisableGeneralOptionsHandler: srv.DisableGeneralOptionsHandler,
		TLSConfig:                    withProtocols(srv.TLSConfig, srv.otherProtocols()...),
		ReadTimeout:                  srv.ReadTimeout,
		ReadHeaderTimeout:            srv.ReadHeaderTimeout,
		WriteTimeout:                 srv.WriteTimeout,
		IdleTimeout:                  srv.IdleTimeout,
		MaxHeaderBytes:               min(srv.MaxHeaderBytes, math.MaxInt32), // net/http adds to it
		TLSNextProto:                 make(map[string]func(*http.Server, *tls.Conn, http.Handler)),
		ConnState:                    srv.strangers.watch(srv.countOthers(srv.plainState())),
		ErrorLog:                     srv.errorLog(),
		BaseContext:                  srv.baseContext(),
		ConnContext:                  srv.ConnContext,
		Protocols:                    srv.Protocols,
	}
	srv.addTo(srv.plain)
	upgradesByServer.of(srv.plain).share(srv.poolsLocked())
	srv.plain.SetKeepAlivesEnabled(!srv.noKeepAlives.Load())
	for _, f := range srv.onShutdown {
		srv.plain.RegisterOnShutdown(f)
	}
	return srv.plain
}

// addTo makes an http.Server hand connections to srv that have negotiated SPDY.
func (srv *Server) addTo(hs *http.Server) {
	for _, v := range protocols {
		hs.TLSNextProto[v.String()] = func(hs *http.Server, conn *tls.Conn, h http.Handler) {
			srv.strangers.met(conn.NetConn()) // the session has the same limit from here on
			srv.others.Add(-1)
			defer srv.others.Add(1) // until net/http reports http.StateClosed
			base := context.Background()
			if b, ok := h.(interface{ BaseContext() context.Context }); ok {
				base = b.BaseContext() // net/http's own way to hand it on, ConnContext included
			}
			if srv.begin() {
				defer srv.done()
				_ = srv.serveConn(conn, sessionSetup{ // the session has logged what is worth it
					base: base, server: hs, handler: h, since: time.Now(), greeting: greeting{version: v},
				})
			}
		}
	}
}

// otherProtocols returns the ALPN names of what is spoken beside SPDY.
func (srv *Server) otherProtocols() (names []string) {
	if srv.Protocols == nil { // HTTP/2 has to be asked for
		return []string{protocolHTTP11}
	}
	return protocolsOf(srv.Protocols)
}

// protocolsOf returns the ALPN names of net/http's own protocols, best first.
func protocolsOf(p *http.Protocols) (names []string) {
	if p.HTTP2() {
		names = append(names, "h2")
	}
	if p.HTTP1() {
		names = append(names, protocolHTTP11)
	}
	return names
}

// baseContext is BaseContext for the http.Server, which gets to see a queue where
// the user expects his listener.
func (srv *Server) baseContext() func(net.Listener) context.Context {
	if srv.BaseContext == nil {
		return nil
	}
	return func(ln net.Listener) context.Context {
		if q, ok := ln.(*connQueue); ok {
			ln = q.ln
		}
		return srv.BaseContext(ln)
	}
}

// plainState is ConnState for the http.Server. Connections that this Server has
// accepted and handed on are known to the user already, and by themselves.
func (srv *Server) plainState() func(net.Conn, http.ConnState) {
	if srv.ConnState == nil {
		return nil
	}
	return func(conn net.Conn, state http.ConnState) {
		known := false
		switch c := conn.(type) {
		case interface{ accepted() net.Conn }:
			conn, known = c.accepted(), true
		case *tls.Conn:
			known = state == http.StateNew && srv.wasIntroduced(c)
		}
		if !known || state != http.StateNew {
			srv.ConnState(conn, state)
		}
	}
}

// countOthers is an http.Server's ConnState that counts its connections, and tells next, which
// may be nil, everything.
func (srv *Server) countOthers(next func(net.Conn, http.ConnState)) func(net.Conn, http.ConnState) {
	return func(conn net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			srv.others.Add(1)
		case http.StateClosed, http.StateHijacked:
			srv.others.Add(-1)
		}
		if next != nil {
			next(conn, state)
		}
	}
}

// introduce remembers that the user knows a connection which the http.Server is
// about to get.
func (srv *Server) introduce(conn *tls.Conn) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.introduced[conn] = struct{}{}
}

// wasIntroduced says so, once.
func (srv *Server) wasIntroduced(conn *tls.Conn) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	_, ok := srv.introduced[conn]
	delete(srv.introduced, conn)
	return ok
}

// tell reports the state of a connection that this Server has accepted.
func (srv *Server) tell(conn net.Conn, state http.ConnState) {
	if srv.ConnState != nil {
		srv.ConnState(conn, state)
	}
}

// errorLog is where the http.Server logs.
func (srv *Server) errorLog() *log.Logger {
	if srv.ErrorLog == nil && srv.Logger != nil {
		return slog.NewLogLogger(srv.Logger.Handler(), slog.LevelError)
	}
	return srv.ErrorLog
}

// RegisterOnShutdown registers a function that Shutdown calls, in a goroutine of its
// own, for connections that handlers have taken over. It must not wait for the
// shutdown to complete.
func (srv *Server) RegisterOnShutdown(f func()) {
	srv.mu.Lock()
	plain := srv.plain
	if plain == nil {
		srv.onShutdown = append(srv.onShutdown, f)
	}
	srv.mu.Unlock()
	if plain != nil {
		plain.RegisterOnShutdown(f)
	}
}

// SetKeepAlivesEnabled says whether connections live on after an answer; they do by
// default. When it is switched off, every session gets a GOAWAY, those that come
// later with their first answer: requests under way are answered and new ones go to
// another connection.
func (srv *Server) SetKeepAlivesEnabled(v bool) {
	srv.noKeepAlives.Store(!v)
	srv.mu.Lock()
	plain, sessions := srv.plain, srv.sessionsLocked()
	srv.mu.Unlock()
	if plain != nil {
		plain.SetKeepAlivesEnabled(v)
	}
	if v {
		return
	}
	for _, s := range sessions {
		s.goAway()
	}
}
