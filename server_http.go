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

// httpServer returns the http.Server that serves clients without SPDY. Requests find it under
// http.ServerContextKey.
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
		MaxHeaderBytes:               min(srv.MaxHeaderBytes, math.MaxInt32), // net/http adds to this limit
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

// addTo makes an http.Server pass connections that have negotiated SPDY to srv.
func (srv *Server) addTo(hs *http.Server) {
	for _, v := range protocols {
		hs.TLSNextProto[v.String()] = func(hs *http.Server, conn *tls.Conn, h http.Handler) {
			srv.strangers.met(conn.NetConn()) // the session applies the same limit from here on
			srv.others.Add(-1)
			defer srv.others.Add(1) // until net/http reports http.StateClosed
			base := context.Background()
			if b, ok := h.(interface{ BaseContext() context.Context }); ok {
				base = b.BaseContext() // net/http's way to pass the context, including that of ConnContext
			}
			if srv.begin() {
				defer srv.done()
				_ = srv.serveConn(conn, sessionSetup{ // the session has logged any error worth logging
					base: base, server: hs, handler: h, since: time.Now(), greeting: greeting{version: v}, accepted: true,
				})
			}
		}
	}
}

// otherProtocols returns the ALPN names of the protocols served besides SPDY.
func (srv *Server) otherProtocols() (names []string) {
	if srv.Protocols == nil { // HTTP/2 must be enabled explicitly
		return []string{protocolHTTP11}
	}
	return protocolsOf(srv.Protocols)
}

// protocolsOf returns the ALPN names of net/http's own protocols, in order of preference.
func protocolsOf(p *http.Protocols) (names []string) {
	if p.HTTP2() {
		names = append(names, "h2")
	}
	if p.HTTP1() {
		names = append(names, protocolHTTP11)
	}
	return names
}

// baseContext returns the BaseContext of the http.Server, whose listener is a queue. It passes the
// user's listener instead.
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

// plainState returns the ConnState of the http.Server. It skips http.StateNew for connections that
// this Server has accepted and passed on, since the user knows them already. The user knows the
// connection itself, not the wrapper.
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

// countOthers returns a ConnState that counts an http.Server's connections and passes every call to
// next, which may be nil.
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

// introduce records a connection that the user already knows and the http.Server is about to
// receive.
func (srv *Server) introduce(conn *tls.Conn) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.introduced[conn] = struct{}{}
}

// wasIntroduced reports whether conn was introduced, and removes the record.
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

// errorLog returns the logger of the http.Server.
func (srv *Server) errorLog() *log.Logger {
	if srv.ErrorLog == nil && srv.Logger != nil {
		return slog.NewLogLogger(srv.Logger.Handler(), slog.LevelError)
	}
	return srv.ErrorLog
}

// RegisterOnShutdown registers a function that Shutdown calls in a new goroutine, for hijacked
// connections. The function must not wait for the shutdown to complete.
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

// SetKeepAlivesEnabled controls whether connections stay open after a response. By default they do.
// When keep-alives are disabled, every session sends a GOAWAY, and later sessions send a GOAWAY
// with the first response: running requests are answered, and new requests use another connection.
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
