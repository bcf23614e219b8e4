package spdy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"
)

// A Server serves HTTP over SPDY, in every dialect, and HTTP/1.1 to clients that
// speak no SPDY. The zero value serves http.DefaultServeMux on port 80, without
// TLS. Fields must not be changed once it serves.
type Server struct {
	Handler   http.Handler // nil means http.DefaultServeMux
	Addr      string       // host:port to listen on; "" means ":http", or ":https" with TLS
	TLSConfig *tls.Config  // for the TLS methods; may be nil

	// Config tunes the sessions. nil means the defaults.
	Config *Config

	// ErrorLog receives what the HTTP/1.1 side of ListenAndServeTLS has to say.
	// nil means the standard logger. Sessions log to Config.Logger.
	ErrorLog *log.Logger

	// BaseContext, if not nil, returns the context that every request served
	// from a listener descends from.
	BaseContext func(net.Listener) context.Context

	// ConnContext, if not nil, changes the context of the requests of a new
	// connection.
	ConnContext func(ctx context.Context, c net.Conn) context.Context

	mu        sync.Mutex
	closing   bool
	life      context.Context // ends with Close or Shutdown
	end       context.CancelFunc
	plain     *http.Server // serves clients that do not speak SPDY
	listeners map[net.Listener]struct{}
	sessions  map[*Session]struct{}
	greeting  map[net.Conn]struct{} // connections that are no sessions yet
	serving   sync.WaitGroup        // goroutines of serveConn
	ended     ServerStats           // totals of sessions that have ended
}

// ListenAndServe serves SPDY without TLS on addr, like http.ListenAndServe, and
// HTTP/1.1 to clients that do not begin with a SPDY frame. A nil handler means
// http.DefaultServeMux.
func ListenAndServe(addr string, handler http.Handler) (err error) {
	return (&Server{Addr: addr, Handler: handler}).ListenAndServe()
}

// ListenAndServeTLS serves HTTPS on addr, like http.ListenAndServeTLS: SPDY for
// clients that negotiate it by ALPN, HTTP/1.1 for all others.
func ListenAndServeTLS(addr, certFile, keyFile string, handler http.Handler) error {
	return (&Server{Addr: addr, Handler: handler}).ListenAndServeTLS(certFile, keyFile)
}

// ListenAndServeTLSSpdyOnly serves SPDY over TLS on addr. No negotiation is needed:
// a client that offers nothing is taken to speak Config.Version, or SPDY/3.1.
func ListenAndServeTLSSpdyOnly(addr, certFile, keyFile string, handler http.Handler) error {
	return (&Server{Addr: addr, Handler: handler}).ListenAndServeTLSSpdyOnly(certFile, keyFile)
}

// ListenAndServe listens on Addr and calls Serve.
func (srv *Server) ListenAndServe() (err error) {
	ln, err := srv.listen(":http")
	if err != nil {
		return err
	}
	return srv.Serve(ln)
}

// ListenAndServeTLS listens on Addr and calls ServeTLS.
func (srv *Server) ListenAndServeTLS(certFile, keyFile string) error {
	ln, err := srv.listen(":https")
	if err != nil {
		return err
	}
	defer ln.Close()
	return srv.ServeTLS(ln, certFile, keyFile)
}

// ListenAndServeTLSSpdyOnly listens on Addr and serves SPDY over TLS, without
// negotiation. The files may be empty if TLSConfig has a certificate.
func (srv *Server) ListenAndServeTLSSpdyOnly(certFile, keyFile string) error {
	conf, err := srv.certified(certFile, keyFile)
	if err != nil {
		return err
	}
	ln, err := srv.listen(":https")
	if err != nil {
		return err
	}
	return srv.Serve(tls.NewListener(ln, conf))
}

func (srv *Server) listen(usual string) (net.Listener, error) {
	if srv.isClosing() {
		return nil, http.ErrServerClosed
	}
	addr := srv.Addr
	if addr == "" {
		addr = usual
	}
	return net.Listen("tcp", addr)
}

// certified returns the TLS configuration with the certificate in the files.
func (srv *Server) certified(certFile, keyFile string) (*tls.Config, error) {
	conf := withProtocols(srv.TLSConfig)
	if certFile == "" && keyFile == "" &&
		(len(conf.Certificates) > 0 || conf.GetCertificate != nil || conf.GetConfigForClient != nil) {
		return conf, nil
	}
	cert, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, err
	}
	conf.Certificates = []tls.Certificate{cert}
	return conf, nil
}

// Serve serves the connections that ln accepts, whatever their kind: SPDY in the
// dialect that a TLS handshake negotiates, or that the client's first bytes or
// Config.Version tell, and HTTP/1.1 to clients without TLS that speak that. It
// closes ln, and always returns an error: http.ErrServerClosed after Close or
// Shutdown.
func (srv *Server) Serve(ln net.Listener) (err error) {
	defer ln.Close()
	if !srv.track(ln) {
		return http.ErrServerClosed
	}
	defer srv.forget(ln)
	hs := srv.httpServer()
	base := context.Background()
	if srv.BaseContext != nil {
		base = srv.BaseContext(ln)
	}
	queue := newConnQueue(ln)
	defer queue.Close()
	go hs.Serve(queue) // ends when the queue is closed
	pause := acceptPause{}
	for {
		conn, err := ln.Accept()
		if err != nil {
			if srv.isClosing() {
				return http.ErrServerClosed
			}
			if !pause.wait(err, srv.life.Done()) {
				return err
			}
			continue
		}
		pause.reset()
		if !srv.begin() {
			conn.Close()
			return http.ErrServerClosed
		}
		go func() { // ends with the session
			defer srv.serving.Done()
			srv.greetConn(base, hs, conn, queue)
		}()
	}
}

// ServeTLS serves HTTPS on ln: SPDY for clients that negotiate it by ALPN,
// HTTP/1.1 for all others. The files may be empty if TLSConfig has a certificate.
// It closes ln, and always returns an error: http.ErrServerClosed after Close or
// Shutdown.
func (srv *Server) ServeTLS(ln net.Listener, certFile, keyFile string) error {
	defer ln.Close()
	if !srv.track(ln) {
		return http.ErrServerClosed
	}
	defer srv.forget(ln)
	err := srv.httpServer().ServeTLS(ln, certFile, keyFile)
	if srv.isClosing() { // we have closed ln ourselves, before http.Server knew
		return http.ErrServerClosed
	}
	return err
}

// httpServer returns the http.Server that serves clients without SPDY, and whose
// fields every request can see under http.ServerContextKey.
func (srv *Server) httpServer() *http.Server {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.plain != nil {
		return srv.plain
	}
	srv.plain = &http.Server{
		Addr:         srv.Addr,
		Handler:      srv.Handler,
		TLSConfig:    withProtocols(srv.TLSConfig, protocolHTTP11),
		ErrorLog:     srv.ErrorLog,
		BaseContext:  srv.baseContext(),
		ConnContext:  srv.ConnContext,
		TLSNextProto: make(map[string]func(*http.Server, *tls.Conn, http.Handler)),
	}
	for _, v := range protocols {
		srv.plain.TLSNextProto[v.String()] = func(hs *http.Server, conn *tls.Conn, h http.Handler) {
			base := context.Background()
			if b, ok := h.(interface{ BaseContext() context.Context }); ok {
				base = b.BaseContext() // net/http's own way to hand it on, ConnContext included
			}
			if srv.begin() {
				defer srv.serving.Done()
				srv.serveConn(base, hs, conn, greeting{version: v})
			}
		}
	}
	return srv.plain
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

// greetConn finds out what a new connection speaks and serves it.
func (srv *Server) greetConn(base context.Context, hs *http.Server, conn net.Conn, queue *connQueue) {
	if !srv.meet(conn) {
		conn.Close()
		return
	}
	g, err := srv.Config.greet(srv.life, conn)
	srv.met(conn)
	switch {
	case err != nil: // gone, or no TLS: nothing has been asked for yet
		conn.Close()
	case g.http:
		queue.hand(&readAheadConn{Conn: conn, first: g.first})
	default:
		if srv.ConnContext != nil {
			base = srv.ConnContext(base, conn)
		}
		srv.serveConn(base, hs, conn, g)
	}
}

// serveConn runs a session on a connection until it ends.
func (srv *Server) serveConn(base context.Context, hs *http.Server, conn net.Conn, g greeting) {
	app := newHTTPServerApp(hs)
	app.base = context.WithValue(base, http.ServerContextKey, hs)
	app.base = context.WithValue(app.base, http.LocalAddrContextKey, conn.LocalAddr())
	s := newSession(conn, false, g.version, srv.Config, app)
	s.in.preload(g.first)
	if g.cautious {
		s.beCautious()
	}
	if !srv.enter(s) {
		s.Close()
		return
	}
	defer srv.leave(s)
	_ = s.Serve() // the session has logged what is worth it
}

// serve runs a handler. Its panic resets its stream and nothing else.
func (a *httpServerApp) serve(st *Stream, req *http.Request, cancel context.CancelCauseFunc) {
	returned := false
	defer func() {
		if !returned { // a panic, or runtime.Goexit
			if v := recover(); v != nil && v != http.ErrAbortHandler {
				st.session.log.panicked(st.session, st, v, debug.Stack())
			}
			st.reset(RstInternalError, "the handler did not return", nil)
			st.http.finished = true
			st.http.releaseBuffer()
		}
		st.http.push.decide(errPushFailed)
		cancel(context.Canceled)
		st.stopReading()
		st.release()
	}()
	a.handler(req).ServeHTTP(st, req)
	returned = true
	st.release() // before the FIN, upon which the client may open another stream
	st.finish()
}

// Close ends the server at once: listeners, sessions and HTTP/1.1 connections are
// closed. It does not wait for handlers; their contexts end. Called by a hook of a
// Trace, or other code that runs on a session's own goroutines, it waits for nothing.
func (srv *Server) Close() (err error) {
	sessions, plain := srv.close()
	for _, s := range sessions {
		s.shutdown(ErrSessionClosed)
	}
	if !insideSession() {
		for _, s := range sessions { // the http.Server would close their connections before the GOAWAY is out
			<-s.senderEnd
		}
		defer srv.serving.Wait()
	}
	if plain != nil {
		err = unlessClosed(plain.Close())
	}
	if errors.Is(err, net.ErrClosed) { // a listener that we have closed ourselves
		err = nil
	}
	return err
}

// Shutdown ends the server gracefully: listeners are closed, sessions get a GOAWAY
// and end with their last stream, HTTP/1.1 connections end when idle. If the
// context ends first, everything is closed and the context's error returned, within a
// tenth of a second whatever the peers do. A hook of a Trace, which cannot wait, gets an
// error and should call Close.
func (srv *Server) Shutdown(ctx context.Context) error {
	sessions, plain := srv.close()
	for _, s := range sessions {
		s.goAway()
	}
	if insideSession() {
		return errInside
	}
	var err error
	if plain != nil {
		err = unlessClosed(plain.Shutdown(ctx))
	}
	for _, s := range sessions {
		s.awaitEnd(ctx)
	}
	if ctx.Err() == nil {
		srv.serving.Wait()
		return err
	}
	if closeSoon(sessions...) {
		defer srv.serving.Wait()
	}
	if plain != nil { // it would close connections before their GOAWAY is out
		plain.Close()
	}
	return ctx.Err()
}

// unlessClosed drops the http.Server's complaint about a listener of its own that
// close has closed before it.
func unlessClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// close stops accepting and returns what is still running.
func (srv *Server) close() ([]*Session, *http.Server) {
	srv.mu.Lock()
	srv.closing = true
	end := srv.end
	var closers []io.Closer
	for ln := range srv.listeners {
		closers = append(closers, ln)
	}
	for conn := range srv.greeting {
		closers = append(closers, conn)
	}
	sessions := make([]*Session, 0, len(srv.sessions))
	for s := range srv.sessions {
		sessions = append(sessions, s)
	}
	plain := srv.plain
	srv.mu.Unlock()
	if end != nil {
		end()
	}
	for _, c := range closers {
		c.Close()
	}
	return sessions, plain
}

func (srv *Server) isClosing() bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.closing
}

// track enters a listener, unless the server is closing.
func (srv *Server) track(ln net.Listener) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.closing {
		return false
	}
	if srv.listeners == nil {
		srv.life, srv.end = context.WithCancel(context.Background())
		srv.listeners = make(map[net.Listener]struct{})
		srv.sessions = make(map[*Session]struct{})
		srv.greeting = make(map[net.Conn]struct{})
	}
	srv.listeners[ln] = struct{}{}
	return true
}

func (srv *Server) forget(ln net.Listener) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	delete(srv.listeners, ln)
}

// begin counts a connection's goroutine, unless the server is closing.
func (srv *Server) begin() bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.closing {
		return false
	}
	srv.serving.Add(1)
	return true
}

// meet remembers a connection that is no session yet, unless the server is
// closing.
func (srv *Server) meet(conn net.Conn) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.closing {
		return false
	}
	srv.greeting[conn] = struct{}{}
	return true
}

func (srv *Server) met(conn net.Conn) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	delete(srv.greeting, conn)
}

// enter remembers a session, unless the server is closing.
func (srv *Server) enter(s *Session) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.closing {
		return false
	}
	srv.sessions[s] = struct{}{}
	return true
}

func (srv *Server) leave(s *Session) {
	stats := s.Stats()
	srv.mu.Lock()
	defer srv.mu.Unlock()
	delete(srv.sessions, s)
	srv.ended.addTotals(&stats)
}

// An acceptPause slows down a listener that is out of file descriptors or the
// like, as net/http does.
type acceptPause struct{ delay time.Duration }

// wait reports whether accepting may go on; it may not after an error that stays.
func (a *acceptPause) wait(err error, done <-chan struct{}) bool {
	temporary, ok := err.(interface{ Temporary() bool })
	if !ok || !temporary.Temporary() {
		return false
	}
	a.delay = min(max(2*a.delay, 5*time.Millisecond), time.Second)
	timer := time.NewTimer(a.delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-done:
	}
	return true
}

func (a *acceptPause) reset() { a.delay = 0 }
