package spdy

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"time"
)

// A sessionSetup is what a Server knows of a connection on which it is about to
// serve a session.
type sessionSetup struct {
	greeting
	base    context.Context
	server  *http.Server // whose limits apply
	handler http.Handler // nil means the server's
	since   time.Time    // since when the client's first frame is due
}

// greetConn finds out what a new connection speaks and serves it, or hands it on.
// It reports whether the connection has been closed. A nil queue takes nothing.
func (srv *Server) greetConn(base context.Context, hs *http.Server, a *arrival, queue *connQueue) (closed bool) {
	g, err := srv.greet(hs, a)
	switch {
	case err != nil: // gone, or too slow, or no TLS: nothing has been asked for yet
		if g.unshaken {
			srv.logHandshake(hs, a.conn, err)
		}
		return true
	case g.http && queue == nil:
		refuseHTTP(a.conn)
		return true
	case g.http:
		srv.handOn(queue, a.conn, g.first)
		return false
	}
	if srv.ConnContext != nil {
		base = srv.ConnContext(base, a.conn)
	}
	_ = srv.serveConn(a.conn, sessionSetup{ // the session has logged what is worth it
		greeting: g, base: base, server: hs, since: a.since,
	})
	return true
}

// greet finds out what a client speaks, for as long as it is allowed to keep us
// waiting. After an error the connection is closed.
func (srv *Server) greet(hs *http.Server, a *arrival) (g greeting, err error) {
	if !srv.meet(a) {
		a.conn.Close()
		return g, http.ErrServerClosed
	}
	defer srv.met(a)
	limit := srv.Config.firstFrameLimit(hs)
	if limit > 0 { // a deadline would do if every net.Conn had them
		timer := newGiveUp(limit, func() { a.conn.Close() })
		defer timer.Stop()
	}
	g, err = srv.Config.greet(srv.life, a.conn, handshakeLimit(hs))
	if err != nil {
		answerPlain(err)
		a.conn.Close()
	}
	return g, err
}

// refuseHTTP tells a client of HTTP/1 that this server speaks SPDY only, as net/http tells
// one that has forgotten TLS, and closes its connection.
func refuseHTTP(conn net.Conn) {
	if conn.SetWriteDeadline(time.Now().Add(linger)) == nil {
		io.WriteString(conn, "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\n\r\nThis server speaks SPDY only.\n")
	}
	conn.Close()
}

// refuseSession closes a connection for which there is no room. The client learns that nothing it
// has sent was looked at.
func refuseSession(conn net.Conn, v Version) {
	if conn.SetWriteDeadline(time.Now().Add(linger)) == nil {
		_, _ = conn.Write(appendGoAway(nil, v, 0, GoAwayOK)) // a client that has gone needs none
	}
	conn.Close()
}

// handOn gives a connection that speaks HTTP to the http.Server.
func (srv *Server) handOn(queue *connQueue, conn net.Conn, first []byte) {
	t, ok := conn.(*tls.Conn)
	if !ok || len(first) > 0 {
		queue.hand(readAhead(conn, first, false))
		return
	}
	if srv.ConnState != nil { // net/http looks for this type to find out what was negotiated
		srv.introduce(t)
	}
	queue.hand(t)
}

// serveConn runs a session on a connection until it ends, and returns what
// Session.Serve does.
func (srv *Server) serveConn(conn net.Conn, u sessionSetup) error {
	app := newHTTPServerApp(u.server)
	app.base, app.override = u.base, u.handler
	if srv.reports(u.server) {
		app.states = newConnReporter(u.server, conn)
	}
	app.lastAnswer = srv.noKeepAlives.Load
	defer app.states.stop()
	conf := srv.Config.serving(u.server)
	if srv.Logger != nil && (srv.Config == nil || srv.Config.Logger == nil) {
		conf.Logger = srv.Logger
	}
	conf.shared = srv.pools()
	if full := conf.shared.admit(); full != nil {
		refuseSession(conn, u.version)
		return full
	}
	s := newSession(conn, false, u.version, conf, app)
	s.in.preload(u.first)
	s.alive.awaitFrameSince(u.since)
	if u.cautious {
		s.beCautious()
	}
	if !srv.enter(s) {
		s.Close()
		return http.ErrServerClosed
	}
	defer srv.leave(s)
	return s.Serve()
}

// notSPDY is the error for a client that speaks something else: what TLS has negotiated, or
// what its first bytes show.
func (g *greeting) notSPDY(conn net.Conn) *NotSPDYError {
	e := notSPDY(addrText(conn), "", g.first)
	e.advice = adviceServer
	if state := connectionState(conn); state != nil {
		e.Protocol = state.NegotiatedProtocol
	}
	if _, protocol := judgeFirst(g.first, true); protocol != "" {
		e.Protocol = protocol
	}
	return e
}

// ServeConnOpts says how Server.ServeConn is to serve a connection. The zero value,
// and a nil pointer, leave everything to the Server.
type ServeConnOpts struct {
	// Context is what the context of every request descends from. nil means
	// context.Background.
	Context context.Context

	// BaseConfig has the limits, the ErrorLog and the ConnState that apply, and is
	// what handlers find under http.ServerContextKey. nil means those of the Server.
	BaseConfig *http.Server

	// Handler answers the requests. nil means BaseConfig.Handler, or if there is no
	// BaseConfig that of the Server.
	Handler http.Handler
}

// ServeConn serves SPDY on a connection that somebody else has accepted, or
// dialled, and returns when the session has ended: nil if in an orderly way, else
// what Session.Serve returns, or why there was no session. It closes conn, which may
// be any net.Conn. If that is one of TLS, its handshake is completed, and says
// which dialect to speak; where it has negotiated nothing, or there is no TLS, the client's
// first bytes do, or Config.Version. A client that speaks HTTP, or anything else, is not
// served: the error is a *NotSPDYError then. opts may be nil.
//
// Close and Shutdown end what ServeConn serves like everything else, and it fails
// with http.ErrServerClosed after them.
func (srv *Server) ServeConn(conn net.Conn, opts *ServeConnOpts) error {
	if conn == nil {
		return errNoConn
	}
	if opts == nil {
		opts = &ServeConnOpts{}
	}
	u := sessionSetup{base: opts.Context, server: opts.BaseConfig, handler: opts.Handler, since: time.Now()}
	if u.base == nil {
		u.base = context.Background()
	}
	if u.server == nil {
		u.server = srv.httpServer()
	}
	tell := func(state http.ConnState) {
		if u.server.ConnState != nil {
			u.server.ConnState(conn, state)
		}
	}
	tell(http.StateNew)
	defer tell(http.StateClosed)
	if !srv.begin() {
		conn.Close()
		return http.ErrServerClosed
	}
	defer srv.done()
	var err error
	if u.greeting, err = srv.greet(u.server, &arrival{conn: conn, since: u.since}); err != nil {
		return err
	}
	if u.http {
		conn.Close()
		return u.notSPDY(conn)
	}
	return srv.serveConn(conn, u)
}
