package spdy

import (
	"context"
	"net/http"
	"time"

	"golang.org/x/net/http/httpguts"
)

// An httpServerApp serves HTTP on the streams of a session.
type httpServerApp struct {
	server     *http.Server
	override   http.Handler  // replaces the server's handler if not nil
	states     *connReporter // nil if the server has no ConnState
	accepted   bool          // the client has dialled the connection
	lastAnswer func() bool   // reports whether the session ends after the next response; may be nil

	base     context.Context // parent of all request contexts of the session
	prepared bool            // base and peer are complete; receiver only
	peer     string          // RemoteAddr of all requests
}

func newHTTPServerApp(server *http.Server) *httpServerApp {
	if server == nil {
		server = &http.Server{}
	}
	return &httpServerApp{server: server, base: context.Background()}
}

// handler returns the handler for a request. "OPTIONS *" asks about the server, not about a
// resource, and does not reach the user's handler, as in net/http.
func (a *httpServerApp) handler(req *http.Request) http.Handler {
	switch {
	case a.override != nil: // net/http's own handler, which implements the cases below
		return a.override
	case req.RequestURI == "*" && req.Method == http.MethodOptions && !a.server.DisableGeneralOptionsHandler:
		return http.HandlerFunc(answerOptions)
	case a.server.Handler != nil:
		return a.server.Handler
	}
	return http.DefaultServeMux
}

// answerOptions sends an empty response.
func answerOptions(w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Length", "0") }

// accept turns a stream opened by the client into a request and starts the handler. A malformed
// request gets a response without a handler (SPEC M2).
func (a *httpServerApp) accept(st *Stream, h HeaderBlock) *StreamError {
	if st.assoc != 0 || st.oneWay { // SPEC S11
		return streamErrorf(st.id, RstProtocolError, "a request must be a bidirectional stream of its own")
	}
	a.prepare(st.session)
	ctx, cancel := context.WithCancelCause(a.base)
	allowed := uint(requestPseudos)
	upgrades := st.session.upgrades.has(upgradesTaken) // only the receiver sets the flag
	if upgrades {
		allowed |= upgradePseudos
	}
	req, err := parseRequest(ctx, st.session.version, h, allowed)
	if err != nil {
		cancel(err)
		a.refuse(st, err)
		return nil
	}
	st.setContext(cancel)
	st.http.tunnel = opensTunnel(req, upgrades)
	a.complete(st, req)
	a.start(st)
	return nil
}

// prepare completes the base context before the first request. The client has sent bytes by then:
// asking for an address earlier might block if a proxy announces the address.
func (a *httpServerApp) prepare(s *Session) {
	if a.prepared {
		return
	}
	a.prepared = true
	a.peer = peerName(s)
	ctx := context.WithValue(a.base, http.ServerContextKey, a.server)
	ctx = context.WithValue(ctx, http.LocalAddrContextKey, s.conn.LocalAddr())
	a.base = context.WithValue(ctx, sessionContextKey{}, s)
}

// begin runs on the handler's goroutine before the handler, and end after the handler. ReadTimeout
// counts from begin: a client cannot send more than a window while the stream is queued.
// WriteTimeout counts from the request, as in net/http, and is already running if the stream was
// queued.
func (a *httpServerApp) begin(st *Stream, how beginning) {
	if how != inTurn { // in turn, the previous handler has not reported its end
		a.states.begin()
	}
	if d := a.server.ReadTimeout; d > 0 && st.http.body != nil {
		_ = st.SetReadDeadline(time.Now().Add(d)) // never fails
	}
	if d := a.server.WriteTimeout; d > 0 && how != inTurn {
		st.limitAnswer(time.Now().Add(d))
	}
}

// closesConnection reports whether the handler has asked to close the connection after the
// response. As over HTTP/2 the session then accepts no further streams, and ends after the streams
// it has. Only a session on an accepted connection does so, because its client can dial again. A
// request for "*" has no such effect: http.ServeMux asks to close the connection in response to it,
// so a user of a proxy could end the sessions of all users.
func (st *Stream) closesConnection(header http.Header) bool {
	x, values := st.http, header["Connection"]
	if len(values) == 0 || !listsClose(values) || x.status == http.StatusSwitchingProtocols || x.req.RequestURI == "*" {
		return false
	}
	app, ok := st.session.app.(*httpServerApp)
	return ok && app.accepted
}

// listsClose reports whether values of the header Connection contain the option close.
func listsClose(values []string) bool { return httpguts.HeaderValuesContainsToken(values, "close") }

func (a *httpServerApp) end(st *Stream, how beginning) {
	if a.lastAnswer != nil && a.lastAnswer() {
		st.session.goAway()
	}
	if !a.handOver(st.session, how) {
		a.states.end()
	}
}

// A requestEnd is the context cause of a request that the server ended because of a limit, a
// protocol violation by the client, or a Close. It also matches context.Canceled.
type requestEnd struct{ reason error }

func (e requestEnd) Error() string   { return e.reason.Error() }
func (e requestEnd) Unwrap() []error { return []error{context.Canceled, e.reason} }

// contextCause returns the context cause of a stream that ended for a reason. A disconnected client
// yields plain context.Canceled, as in net/http: transports return the cause of a context
// unchanged, and httputil.ReverseProxy logs every error except context.Canceled.
func (st *Stream) contextCause(reason error) error {
	switch _, serves := st.session.app.(*httpServerApp); {
	case !serves, reason == context.Canceled:
		return reason
	case clientLeft(reason):
		return context.Canceled
	}
	return requestEnd{reason}
}

// clientLeft reports whether a request ended because the client cancelled the request, ended the
// session, or lost the connection. A push ends with its associated request.
func clientLeft(reason error) bool {
	switch e := reason.(type) {
	case *StreamError:
		return e.Remote || e.Status == RstCancel && clientLeft(e.Err)
	case *SessionError:
		return e.Remote
	case *ConnError:
		return !e.Timeout()
	}
	return false
}

// complete sets the request fields that only the session knows.
func (a *httpServerApp) complete(st *Stream, req *http.Request) {
	s := st.session
	req.RemoteAddr = a.peer
	req.TLS = s.tls
	if st.in.atEnd() {
		if req.ContentLength < 0 {
			req.ContentLength = 0
		}
		if req.ContentLength == 0 {
			req.Body = http.NoBody
		}
	}
	x := st.http
	x.req, x.length = req, -1
	if req.Body == nil {
		x.body = &requestBody{st: st, req: req}
		x.body.check.init(false, req.ContentLength)
		req.Body = x.body
	}
}

// A servedStream is a stream opened by a client, with its exchange.
type servedStream struct {
	st Stream
	x  exchange
}

// newServedStream returns a stream that is not open yet.
func newServedStream(s *Session, priority uint8) *Stream {
	served := new(servedStream)
	served.st.init(s, priority)
	served.st.http = &served.x
	return &served.st
}

// refuse responds to a malformed request without a handler.
func (a *httpServerApp) refuse(st *Stream, err error) {
	status := http.StatusBadRequest
	if e, ok := err.(*requestError); ok {
		status = e.Status
	}
	st.session.log.streamError(st.session, &StreamError{StreamID: st.id, Status: RstProtocolError, Err: err})
	st.http.req, st.http.length = &http.Request{Method: http.MethodGet}, -1
	st.Header().Set("Content-Type", "text/plain; charset=utf-8")
	st.http.freeze(status, st.Header())
	st.release()
	st.finish()
	st.stopReading()
}

// headers does nothing for a request: trailers are read with the body.
func (a *httpServerApp) headers(*Stream, HeaderBlock) {}

// goingAway does nothing: received requests still get responses.
func (a *httpServerApp) goingAway() {}

// makeRoom does nothing: unread bytes belong to the handlers.
func (a *httpServerApp) makeRoom() bool { return false }
