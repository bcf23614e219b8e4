package spdy

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"time"
)

// A sessionSetup is a Server's information about a connection on which it is about to serve a
// session.
type sessionSetup struct {
	greeting
	base    context.Context
	server  *http.Server // the limits of this server apply
	handler http.Handler // nil means the server's handler
	since   time.Time    // start of the wait for the client's first frame

	accepted bool // the client has dialled the connection
}

// greetConn detects the protocol of a new connection and serves the connection or queues it for the
// http.Server. It reports whether the connection has been closed. A nil queue accepts no
// connections.
func (srv *Server) greetConn(base context.Context, hs *http.Server, a *arrival, queue *connQueue) (closed bool) {
	g, err := srv.greet(hs, a)
	if err != nil || !g.http {
		queue.settle()
	}
	switch {
	case err != nil: // closed, too slow, or no TLS: the client has sent no request yet
		if g.unshaken {
			srv.logHandshake(hs, a.conn, err)
		}
		return true
	case g.http && queue == nil:
		refuseHTTP(a.conn)
		return true
	case g.http:
		srv.handOn(queue, a.conn, g.first)
		queue.settle()
		return false
	}
	if srv.ConnContext != nil {
		base = srv.ConnContext(base, a.conn)
	}
	_ = srv.serveConn(a.conn, sessionSetup{ // the session has logged any error worth logging
		greeting: g, base: base, server: hs, since: a.since, accepted: true,
	})
	return true
}

// greet detects a client's protocol, within the time a client may keep us waiting. After an error
// the connection is closed.
func (srv *Server) greet(hs *http.Server, a *arrival) (g greeting, err error) {
	if !srv.meet(a) {
		a.conn.Close()
		return g, http.ErrServerClosed
	}
	defer srv.met(a)
	limit := srv.Config.firstFrameLimit(hs)
	if limit > 0 { // a deadline would do if every net.Conn supported deadlines
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

// refuseHTTP sends an HTTP/1 client the error that this server speaks SPDY only, like net/http to a
// client without TLS, and closes the connection.
func refuseHTTP(conn net.Conn) {
	if conn.SetWriteDeadline(time.Now().Add(linger)) == nil {
		io.WriteString(conn, "HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\n\r\nThis server speaks SPDY only.\n")
	}
	conn.Close()
}

// refuseSession closes a connection for which there is no room. The GOAWAY shows the client that no
// frames were processed.
func refuseSession(conn net.Conn, v Version) {
	if conn.SetWriteDeadline(time.Now().Add(linger)) == nil {
		_, _ = conn.Write(appendGoAway(nil, v, 0, GoAwayOK)) // a client that has disconnected needs no GOAWAY
	}
	conn.Close()
}

// handOn queues an HTTP connection for the http.Server.
func (srv *Server) handOn(queue *connQueue, conn net.Conn, first []byte) {
	t, ok := conn.(*tls.Conn)
	if !ok || len(first) > 0 {
		queue.hand(readAhead(conn, first, false))
		return
	}
	if srv.ConnState != nil { // net/http needs the type *tls.Conn to find the negotiated protocol
		srv.introduce(t)
	}
	queue.hand(t)
}

// serveConn runs a session on a connection until the session ends, and returns the error of
// Session.Serve.
func (srv *Server) serveConn(conn net.Conn, u sessionSetup) error {
	app := newHTTPServerApp(u.server)
	app.base, app.override = u.base, u.handler
	if srv.reports(u.server) {
		app.states = newConnReporter(u.server, conn)
	}
	app.accepted, app.lastAnswer = u.accepted, srv.noKeepAlives.Load
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

// notSPDY returns the error for a client of a different protocol, as negotiated by TLS or shown by
// the first bytes.
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

// ServeConnOpts holds options for Server.ServeConn. The zero value and a nil pointer use the
// Server's settings.
type ServeConnOpts struct {
	// Context is the parent of every request's context. nil means context.Background.
	Context context.Context

	// BaseConfig holds the limits, the ErrorLog and the ConnState that apply. Handlers find it
	// under http.ServerContextKey. nil means the Server's settings.
	BaseConfig *http.Server

	// Handler serves the requests. nil means BaseConfig.Handler or, without a BaseConfig, the
	// Server's Handler.
	Handler http.Handler
}

// ServeConn serves SPDY on a connection that the caller has accepted or dialled, and returns when
// the session has ended. It returns nil after an orderly end, otherwise the error of Session.Serve,
// or the reason why no session was started. It closes conn, which may be any net.Conn. On a TLS
// connection ServeConn completes the handshake, and the negotiated protocol selects the dialect. If
// TLS has negotiated nothing, or without TLS, the client's first bytes or Config.Version select the
// dialect. A client that speaks HTTP or anything else is not served, and the error is a
// *NotSPDYError. opts may be nil.
//
// Close and Shutdown also end the sessions of ServeConn. After Close or Shutdown, ServeConn fails
// with http.ErrServerClosed.
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
