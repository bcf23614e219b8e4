package spdy

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
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

	// Protocols says what the server speaks beside SPDY. nil means HTTP/1; with
	// HTTP2 also clients that negotiate h2 are served, and with UnencryptedHTTP2
	// those that begin with its preface on a plain connection.
	Protocols *http.Protocols

	// DisableGeneralOptionsHandler passes "OPTIONS *" to the Handler. By default it
	// is answered with 200 and no body.
	DisableGeneralOptionsHandler bool

	// ReadTimeout is how long reading a request may take, its body included: reads
	// of the body fail from then on with os.ErrDeadlineExceeded. It stands in for
	// ReadHeaderTimeout and IdleTimeout where those are 0. A handler can move it with
	// http.ResponseController. 0 and less mean no limit. Range: more than 0.
	ReadTimeout time.Duration

	// ReadHeaderTimeout is how long a new client may take to say something: to send
	// its first frame, or the header of an HTTP/1.1 request. Later it is how long a
	// frame that brings headers may take from its first byte to its last. A client
	// that takes longer is cut. 0 means Config.FirstFrameTimeout, if that is 0 too
	// ReadTimeout, and if none is set 10 seconds, but for an HTTP/1.1 request that has
	// begun; less means no limit. Range: more than 0.
	ReadHeaderTimeout time.Duration

	// WriteTimeout is how long an answer may take, from when its request has come. A
	// stream that has not ended by then is reset. A handler can move it with
	// http.ResponseController. 0 and less mean no limit. Config.WriteTimeout is
	// about the connection instead. Range: more than 0.
	WriteTimeout time.Duration

	// IdleTimeout is how long a connection is kept on which nothing is asked. 0
	// means ReadTimeout, less means no limit. Config.IdleTimeout, if it is set,
	// is that of sessions. Range: more than 0.
	IdleTimeout time.Duration

	// MaxHeaderBytes bounds the headers of a request, with HTTP/1.1 and, unless
	// Config has a bound of its own, with SPDY. 0 and less mean the default of either. Range:
	// 1 to 2^31-1, of which SPDY takes no more than 126,318,712; more counts as that.
	MaxHeaderBytes int

	// ConnState, if not nil, is told of every connection when it is accepted
	// (http.StateNew), when the first of its handlers begins (http.StateActive), when
	// none is left (http.StateIdle), and when it is closed (http.StateClosed).
	// Changes that follow each other closely may be reported as one.
	ConnState func(net.Conn, http.ConnState)

	// ErrorLog receives what the HTTP/1.1 side has to say, TLS handshakes that fail and connections
	// that cannot be accepted included,
	// and, unless there is a Logger, what sessions have. nil means the standard logger.
	ErrorLog *log.Logger

	// Logger receives what sessions have to say, and without an ErrorLog also what
	// the HTTP/1.1 side has. Config.Logger, if it is set, is that of sessions. nil
	// means ErrorLog, and if that is nil too the package's logger, see SetLog.
	Logger *slog.Logger

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
	listeners map[*net.Listener]struct{}
	sessions  map[*Session]struct{}
	greeting  map[*arrival]struct{} // connections that are no sessions yet
	serving   int                   // goroutines of connections, see begin
	unserved  chan struct{}         // latch: none of them is left; nil until awaitServing waits
	others    atomic.Int32          // connections of plain that carry no session
	ended     ServerStats           // totals of sessions that have ended

	shared     *pools                 // of the sessions; made by the first
	introduced map[*tls.Conn]struct{} // see plainState
	onShutdown []func()               // registered before plain was there

	strangers strangers // clients of ServeTLS that have said nothing yet

	noKeepAlives atomic.Bool
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

// ListenAndServeTLSSpdyOnly serves SPDY over TLS on addr. No negotiation is needed: the
// first bytes of a client that offers nothing tell its dialect, as without TLS. A client of
// HTTP/1.1 is told that it is wrong here.
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
	return srv.serve(tls.NewListener(ln, conf), true)
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

// Serve serves the connections that ln accepts, whatever their kind: SPDY in the dialect that
// a TLS handshake negotiates. Without TLS, and where TLS has negotiated nothing, as behind a
// tls.NewListener without NextProtos, the client's first bytes and Config.Version tell the
// dialect, and clients that speak HTTP/1.1 are served that. It closes ln, and always returns
// an error: http.ErrServerClosed after Close or Shutdown.
func (srv *Server) Serve(ln net.Listener) (err error) { return srv.serve(ln, false) }

// errNoListener is what Serve and ServeTLS return for a nil listener.
var errNoListener = errors.New("spdy: no listener to serve")

// serve is Serve. With only set, clients of HTTP are turned away.
func (srv *Server) serve(ln net.Listener, only bool) (err error) {
	if ln == nil {
		return errNoListener
	}
	defer ln.Close()
	if !srv.track(&ln) {
		return http.ErrServerClosed
	}
	defer srv.forget(&ln)
	if err := srv.Config.check(httpSending); err != nil {
		return err
	}
	hs := srv.httpServer()
	base := context.Background()
	if srv.BaseContext != nil {
		base = srv.BaseContext(ln)
	}
	var queue *connQueue
	if !only {
		queue = newConnQueue(ln)
		defer queue.Close()
		go hs.Serve(queue) // ends when the queue is closed
	}
	pause := acceptPause{}
	for {
		conn, err := ln.Accept()
		if err != nil {
			if srv.isClosing() {
				return http.ErrServerClosed
			}
			if !pause.wait(err, srv.life.Done(), hs.ErrorLog) {
				return err
			}
			continue
		}
		pause.reset()
		srv.tell(conn, http.StateNew)
		if !srv.begin() {
			conn.Close()
			srv.tell(conn, http.StateClosed)
			return http.ErrServerClosed
		}
		a := &arrival{conn: conn, since: time.Now()}
		go func() { // ends with the session
			closed := srv.greetConn(base, hs, a, queue)
			srv.done()
			if closed {
				srv.tell(conn, http.StateClosed) // may call Close, which waits for such goroutines
			}
		}()
	}
}

// ServeTLS serves HTTPS on ln: SPDY for clients that negotiate it by ALPN,
// HTTP/1.1 for all others. The files may be empty if TLSConfig has a certificate.
// It closes ln, and always returns an error: http.ErrServerClosed after Close or
// Shutdown.
func (srv *Server) ServeTLS(ln net.Listener, certFile, keyFile string) error {
	if ln == nil {
		return errNoListener
	}
	defer ln.Close()
	if !srv.track(&ln) {
		return http.ErrServerClosed
	}
	defer srv.forget(&ln)
	if err := srv.Config.check(httpSending); err != nil {
		return err
	}
	hs := srv.httpServer()
	err := hs.ServeTLS(srv.strangers.guard(ln, srv.Config.firstFrameLimit(hs)), certFile, keyFile)
	if srv.isClosing() { // we have closed ln ourselves, before http.Server knew
		return http.ErrServerClosed
	}
	return err
}

// serve runs a handler. Its panic resets its stream and nothing else.
func (a *httpServerApp) serve(st *Stream, how beginning) {
	a.begin(st, how)
	req := st.http.req
	handler, returned := a.handler(req), false
	defer func() {
		if !returned && st.http.ends() { // a panic, or runtime.Goexit
			st.breakOff()
		}
		st.http.push.decide(errPushFailed)
		st.cancelContext(context.Canceled)
		if !st.http.hijacked() {
			removeFiles(req)
			st.stopReading()
		}
		st.release()
		a.end(st, how)
	}()
	if !st.call(handler, req) {
		return
	}
	returned = true
	finishes := st.http.ends()
	st.release() // before the FIN, upon which the client may open another stream
	if finishes {
		st.finish()
	}
}

// removeFiles removes the files that ParseMultipartForm has made of a request. As in net/http an
// error has no reader.
func removeFiles(req *http.Request) {
	if req.MultipartForm != nil {
		_ = req.MultipartForm.RemoveAll()
	}
}

// call calls the user's handler, and nothing else of which a panic would be recovered. It
// reports whether the handler has returned.
func (st *Stream) call(handler http.Handler, req *http.Request) (returned bool) {
	defer func() {
		if v := recover(); v != nil && v != http.ErrAbortHandler {
			st.session.log.panicked(st.session, st, v, debug.Stack())
		}
	}()
	handler.ServeHTTP(st.writer(), req)
	return true
}

// Close ends the server at once: listeners, sessions and HTTP/1.1 connections are
// closed. It waits neither for clients nor for handlers, whose contexts end, and at most a tenth of a
// second for functions such as GetCertificate and ConnContext. Called by a hook of a
// Trace, or other code that runs on a session's own goroutines, it waits for nothing.
func (srv *Server) Close() (err error) {
	began := time.Now()
	sessions, plain := srv.close()
	if insideSession() {
		for _, s := range sessions {
			s.shutdown(ErrSessionClosed)
		}
	} else if closeSoon(sessions...) { // the http.Server would close their connections before the GOAWAY is out
		defer srv.awaitServing(began)
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
// and end when their last stream has and its client has received the answer, see
// Session.Shutdown, HTTP/1.1 connections end when idle. A client that does not confirm
// its answer for Config.DeliveryTimeout makes it return ErrDeliveryTimeout: it returns nil only
// if every client that was still connected has received everything. If the
// context ends first, everything is closed within a tenth of a second whatever the peers do, and the
// context's error returned, unless only connections were left to be closed. A hook of a Trace, which cannot wait, gets an
// error and should call Close.
func (srv *Server) Shutdown(ctx context.Context) error {
	sessions, _ := srv.close()
	plain := srv.httpServer() // which calls what RegisterOnShutdown was given
	if insideSession() {
		for _, s := range sessions {
			s.goAway()
		}
		return errInside
	}
	alive := slices.DeleteFunc(slices.Clone(sessions), (*Session).ended)
	for _, s := range sessions {
		s.wait(1)
		defer s.wait(-1)
		s.goAway()
	}
	err := unlessClosed(plain.Shutdown(ctx))
	whole := err == nil || err == ctx.Err() && srv.others.Load() == 0 // which counts no sessions that linger
	for _, s := range sessions {
		whole = (s.awaitEnd(ctx) || s.delivered()) && whole
	}
	began := time.Now()
	if ctx.Err() == nil {
		srv.awaitServing(began)
		return cmp.Or(err, undelivered(alive))
	}
	if cutShort(sessions...) {
		defer srv.awaitServing(began)
	}
	plain.Close() // not before: it would close connections before their GOAWAY is out
	if whole {
		return undelivered(alive)
	}
	return ctx.Err()
}

// undelivered returns why a session ended whose peer did not confirm the last bytes, or that
// another Shutdown has ended it. What has become of a connection otherwise is no concern of
// its server.
func undelivered(sessions []*Session) error {
	for _, s := range sessions {
		err := s.failure()
		if err == ErrSessionClosed || errors.Is(err, ErrDeliveryTimeout) {
			return err
		}
	}
	return nil
}

// unlessClosed drops the http.Server's complaint about a listener of its own that
// close has closed before it.
func unlessClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
