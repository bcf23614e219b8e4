package spdy

import (
	"context"
	"net/http"
	"time"
)

// An httpServerApp serves HTTP on the streams of a session.
type httpServerApp struct {
	server     *http.Server
	override   http.Handler  // instead of the server's, if not nil
	states     *connReporter // nil if nobody wants to know
	lastAnswer func() bool   // reports that the session ends with the next answer; may be nil

	base     context.Context // of every request on the session
	prepared bool            // base and peer are complete; receiver only
	peer     string          // RemoteAddr of all requests
}

func newHTTPServerApp(server *http.Server) *httpServerApp {
	if server == nil {
		server = &http.Server{}
	}
	return &httpServerApp{server: server, base: context.Background()}
}

// handler returns who answers a request. That of "OPTIONS *" is about the server, not
// about a resource, so it is not for the user's handler, as in net/http.
func (a *httpServerApp) handler(req *http.Request) http.Handler {
	switch {
	case a.override != nil: // net/http's own, which does what follows
		return a.override
	case req.RequestURI == "*" && req.Method == http.MethodOptions && !a.server.DisableGeneralOptionsHandler:
		return http.HandlerFunc(answerOptions)
	case a.server.Handler != nil:
		return a.server.Handler
	}
	return http.DefaultServeMux
}

// answerOptions says that the server is there.
func answerOptions(w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Length", "0") }

// accept makes a request of a stream that the client opened and starts its
// handler. A request that is none gets an answer without a handler (SPEC M2).
func (a *httpServerApp) accept(st *Stream, h HeaderBlock) *StreamError {
	if st.assoc != 0 || st.oneWay { // SPEC S11
		return streamErrorf(st.id, RstProtocolError, "a request must be a bidirectional stream of its own")
	}
	a.prepare(st.session)
	ctx, cancel := context.WithCancelCause(a.base)
	allowed := uint(requestPseudos)
	upgrades := st.session.upgrades.has(upgradesTaken) // the receiver alone sets it
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

// prepare completes the context of all requests before the first of them. By then
// something has come from the client: asking for an address may have to wait for that
// if a proxy announces it.
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

// begin is called by the goroutine of a handler before that, end after it. ReadTimeout counts
// from here: a client cannot send more than a window while its stream waits. WriteTimeout
// counts from the request, as in net/http, and has begun if the stream has waited.
func (a *httpServerApp) begin(st *Stream, how beginning) {
	if how != inTurn { // then the handler before has not said that it ended
		a.states.begin()
	}
	if d := a.server.ReadTimeout; d > 0 && st.http.body != nil {
		_ = st.SetReadDeadline(time.Now().Add(d)) // never fails
	}
	if d := a.server.WriteTimeout; d > 0 && how != inTurn {
		st.limitAnswer(time.Now().Add(d))
	}
}

func (a *httpServerApp) end(st *Stream, how beginning) {
	if a.lastAnswer != nil && a.lastAnswer() {
		st.session.goAway()
	}
	if !a.handOver(st.session, how) {
		a.states.end()
	}
}

// A requestEnd is the cause of the context of a request that the server has ended: because of a
// limit, a rule that the client has broken, or a Close. It matches context.Canceled as well.
type requestEnd struct{ reason error }

func (e requestEnd) Error() string   { return e.reason.Error() }
func (e requestEnd) Unwrap() []error { return []error{context.Canceled, e.reason} }

// contextCause returns the cause of the context of a stream that has ended for a reason. A client
// that has left is no cause for its handler, as in net/http: transports return the cause of a
// context as it is, and httputil.ReverseProxy logs every error but context.Canceled.
func (st *Stream) contextCause(reason error) error {
	switch _, serves := st.session.app.(*httpServerApp); {
	case !serves, reason == context.Canceled:
		return reason
	case clientLeft(reason):
		return context.Canceled
	}
	return requestEnd{reason}
}

// clientLeft reports whether a request has ended because its client cancelled it, ended the
// session, or lost the connection. A push ends with the request that it accompanies.
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

// complete fills in what only the session knows of a request.
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

// A servedStream is a stream that a client has opened, with its exchange.
type servedStream struct {
	st Stream
	x  exchange
}

// newServedStream makes a stream that is not open yet.
func newServedStream(s *Session, priority uint8) *Stream {
	served := new(servedStream)
	served.st.init(s, priority)
	served.st.http = &served.x
	return &served.st
}

// refuse answers a request that no handler could make sense of.
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

// headers has nothing to do for a request: its trailers are read with its body.
func (a *httpServerApp) headers(*Stream, HeaderBlock) {}

// goingAway has nothing to do: what has been asked for is answered.
func (a *httpServerApp) goingAway() {}

// makeRoom can do nothing: what is unread is for handlers.
func (a *httpServerApp) makeRoom() bool { return false }
