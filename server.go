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

// A Server serves HTTP over SPDY, in every dialect, and HTTP/1.1 to clients that do not speak SPDY.
// The zero value serves http.DefaultServeMux on port 80, without TLS. Fields must not be changed
// once the server is serving.
type Server struct {
	Handler   http.Handler // nil means http.DefaultServeMux
	Addr      string       // host:port to listen on; "" means ":http", or ":https" with TLS
	TLSConfig *tls.Config  // for the TLS methods; may be nil

	// Config tunes the sessions. nil means the defaults.
	Config *Config

	// Protocols selects the protocols that the server speaks besides SPDY. nil means HTTP/1. With
	// HTTP2 the server also serves clients that negotiate h2, and with UnencryptedHTTP2 clients
	// that begin with the HTTP/2 preface on a plain connection.
	Protocols *http.Protocols

	// DisableGeneralOptionsHandler passes "OPTIONS *" to the Handler. By default the server
	// responds with 200 and no body.
	DisableGeneralOptionsHandler bool

	// ReadTimeout is the time limit for reading a request and the request's body: reads of the body
	// fail after that with os.ErrDeadlineExceeded. It stands in for ReadHeaderTimeout and
	// IdleTimeout where those are 0. A handler can move the deadline with http.ResponseController.
	// 0 and less mean no limit. Range: more than 0.
	ReadTimeout time.Duration

	// ReadHeaderTimeout is the time limit for a new client to send the first frame, or the header
	// of an HTTP/1.1 request. After that it limits the time from the first byte of a header frame
	// to the last. A slower client is disconnected. 0 means Config.FirstFrameTimeout, or
	// ReadTimeout if that is 0 too, or 10 seconds if both are, without a limit for an HTTP/1.1
	// request that has begun; less means no limit. Range: more than 0.
	ReadHeaderTimeout time.Duration

	// WriteTimeout is the time limit for a response, from the arrival of the request. A stream that
	// has not ended by then is reset. A handler can move the deadline with http.ResponseController.
	// 0 and less mean no limit. Config.WriteTimeout limits writes to the connection instead. Range:
	// more than 0.
	WriteTimeout time.Duration

	// IdleTimeout is the time after which a connection without requests is closed. 0 means
	// ReadTimeout, less means no limit. Config.IdleTimeout, if set, applies to sessions instead.
	// Range: more than 0.
	IdleTimeout time.Duration

	// MaxHeaderBytes limits the headers of a request over HTTP/1.1 and, unless Config sets a limit,
	// over SPDY. 0 and less mean the default of either. Range: 1 to 2^31-1, of which SPDY takes no
	// more than 126,318,712; more counts as that.
	MaxHeaderBytes int

	// ConnState, if not nil, is called for every connection when it is accepted (http.StateNew),
	// when a first handler starts (http.StateActive), when the last handler has returned
	// (http.StateIdle), and when the connection is closed (http.StateClosed). Changes in quick
	// succession may be merged.
	ConnState func(net.Conn, http.ConnState)

	// ErrorLog receives the messages of the HTTP/1.1 side, including failed TLS handshakes and
	// failed accepts, and, unless there is a Logger, the messages of sessions. nil means the
	// standard logger.
	ErrorLog *log.Logger

	// Logger receives the messages of sessions, and without an ErrorLog also those of the HTTP/1.1
	// side. Config.Logger, if set, replaces it for sessions. nil means ErrorLog, and if that is nil
	// too the package's logger, see SetLog.
	Logger *slog.Logger

	// BaseContext, if not nil, returns the parent context of every request served from a listener.
	BaseContext func(net.Listener) context.Context

	// ConnContext, if not nil, returns the context for the requests of a new connection.
	ConnContext func(ctx context.Context, c net.Conn) context.Context

	mu        sync.Mutex
	closing   bool
	life      context.Context // ends with Close or Shutdown
	end       context.CancelFunc
	plain     *http.Server // serves clients that do not speak SPDY
	listeners map[*net.Listener]struct{}
	sessions  map[*Session]struct{}
	greeting  map[*arrival]struct{} // connections without a session yet
	serving   int                   // number of connection goroutines, see begin
	unserved  chan struct{}         // latch: serving is 0; nil until awaitServing waits
	others    atomic.Int32          // connections of plain without a session
	ended     ServerStats           // totals of ended sessions

	shared     *pools                 // the sessions' pools; created for the first session
	introduced map[*tls.Conn]struct{} // see plainState
	onShutdown []func()               // registered before plain was created

	strangers strangers // clients of ServeTLS that have sent nothing yet

	noKeepAlives atomic.Bool
}

// ListenAndServe serves SPDY without TLS on addr, like http.ListenAndServe. Clients that do not
// begin with a SPDY frame are served HTTP/1.1. A nil handler means http.DefaultServeMux.
func ListenAndServe(addr string, handler http.Handler) (err error) {
	return (&Server{Addr: addr, Handler: handler}).ListenAndServe()
}

// ListenAndServeTLS serves HTTPS on addr, like http.ListenAndServeTLS: SPDY for clients that
// negotiate it by ALPN, HTTP/1.1 for all others.
func ListenAndServeTLS(addr, certFile, keyFile string, handler http.Handler) error {
	return (&Server{Addr: addr, Handler: handler}).ListenAndServeTLS(certFile, keyFile)
}

// ListenAndServeTLSSpdyOnly serves SPDY over TLS on addr. Negotiation is optional: if a client
// offers no protocols, the first bytes select the dialect, as without TLS. An HTTP/1.1 client
// receives an error response.
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

// ListenAndServeTLSSpdyOnly listens on Addr and serves SPDY over TLS, without negotiation. The file
// names may be empty if TLSConfig has a certificate.
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

// certified returns the TLS configuration with the certificate from the files.
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

// Serve serves the connections that ln accepts, of any kind. With TLS, the handshake selects the
// dialect. Without TLS, or if TLS has negotiated nothing, as behind a tls.NewListener without
// NextProtos, the client's first bytes and Config.Version select the dialect, and HTTP/1.1 clients
// are served HTTP/1.1. Serve closes ln, and always returns an error: http.ErrServerClosed after
// Close or Shutdown.
func (srv *Server) Serve(ln net.Listener) (err error) { return srv.serve(ln, false) }

// errNoListener is the error of Serve and ServeTLS for a nil listener.
var errNoListener = errors.New("spdy: no listener to serve")

// serve implements Serve. If only is set, HTTP clients are refused.
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
		defer queue.finish()
		go srv.serveQueue(hs, queue) // ends when queue is finished or closed
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
		if queue != nil {
			queue.expect()
		}
		go func() { // ends with the session
			closed := srv.greetConn(base, hs, a, queue)
			srv.done()
			if closed {
				srv.tell(conn, http.StateClosed) // may call Close, which waits for such goroutines
			}
		}()
	}
}

// ServeTLS serves HTTPS on ln: SPDY for clients that negotiate it by ALPN, HTTP/1.1 for all others.
// The file names may be empty if TLSConfig has a certificate. ServeTLS closes ln, and always
// returns an error: http.ErrServerClosed after Close or Shutdown.
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
	if srv.isClosing() { // we have closed ln ourselves, before http.Server noticed
		return http.ErrServerClosed
	}
	return err
}

// serve runs a handler. A panic in the handler resets only this stream.
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
	st.release() // before the FIN, after which the client may open another stream
	if finishes {
		st.finish()
	}
}

// removeFiles removes the temporary files that ParseMultipartForm has created for a request. As in
// net/http, errors are ignored.
func removeFiles(req *http.Request) {
	if req.MultipartForm != nil {
		_ = req.MultipartForm.RemoveAll()
	}
}

// call calls the user's handler, and no other code, so only panics of the handler are recovered.
// call reports whether the handler has returned.
func (st *Stream) call(handler http.Handler, req *http.Request) (returned bool) {
	defer func() {
		if v := recover(); v != nil && v != http.ErrAbortHandler {
			st.session.log.panicked(st.session, st, v, debug.Stack())
		}
	}()
	handler.ServeHTTP(st.writer(), req)
	return true
}

// Close ends the server at once: listeners, sessions and HTTP/1.1 connections are closed. Close
// does not wait for clients or handlers, whose contexts end. It waits at most a tenth of a second
// for functions such as GetCertificate and ConnContext. In a hook of a Trace, or other code on a
// session's own goroutines, Close does not wait at all.
func (srv *Server) Close() (err error) {
	began := time.Now()
	sessions, plain := srv.close()
	if insideSession() {
		for _, s := range sessions {
			s.shutdown(ErrSessionClosed)
		}
	} else if closeSoon(sessions...) { // http.Server would close their connections before the GOAWAY is sent
		defer srv.awaitServing(began)
	}
	if plain != nil {
		err = unlessClosed(plain.Close())
	}
	if errors.Is(err, net.ErrClosed) { // for a listener that we have closed ourselves
		err = nil
	}
	return err
}

// Shutdown ends the server gracefully. Listeners are closed. Sessions send a GOAWAY and end when
// their last stream has ended and the client has received the response, see Session.Shutdown.
// HTTP/1.1 connections end when idle. If a client does not confirm its response within
// Config.DeliveryTimeout, Shutdown returns ErrDeliveryTimeout: it returns nil only if every client
// that was still connected has received everything. If the context ends first, everything is closed
// within a tenth of a second whatever the peers do, and Shutdown returns the context's error,
// unless only connections were left to be closed. A hook of a Trace cannot wait: there Shutdown
// returns an error, and the hook should call Close.
func (srv *Server) Shutdown(ctx context.Context) error {
	sessions, _ := srv.close()
	plain := srv.httpServer() // its Shutdown calls the functions of RegisterOnShutdown
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
	whole := err == nil || err == ctx.Err() && srv.others.Load() == 0 // others does not count lingering sessions
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
	plain.Close() // not earlier: it would close connections before their GOAWAY is sent
	if whole {
		return undelivered(alive)
	}
	return ctx.Err()
}

// undelivered returns the error of a session whose peer did not confirm the last bytes, or which
// another Shutdown has ended. Other connection failures do not concern the server.
func undelivered(sessions []*Session) error {
	for _, s := range sessions {
		err := s.failure()
		if err == ErrSessionClosed || errors.Is(err, ErrDeliveryTimeout) {
			return err
		}
	}
	return nil
}

// unlessClosed drops the http.Server's error for a listener that close has already closed.
func unlessClosed(err error) error {
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}
