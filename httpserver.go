package spdy

import (
	"context"
	"net/http"
)

// An httpServerApp serves HTTP on the streams of a session.
type httpServerApp struct {
	server *http.Server
	base   context.Context // of every request on the session
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
	req, err := parseRequestBlock(st.session.version, h)
	if err != nil {
		a.refuse(st, err)
		return nil
	}
	ctx, cancel := context.WithCancelCause(a.base)
	st.setContext(cancel)
	go a.serve(st, a.complete(st, req, ctx), cancel)
	return nil
}

// complete fills in what only the session knows of a request.
func (a *httpServerApp) complete(st *Stream, req *http.Request, ctx context.Context) *http.Request {
	s := st.session
	req.RemoteAddr = peerName(s)
	req.TLS = s.tls
	if st.in.atEnd() {
		if req.ContentLength < 0 {
			req.ContentLength = 0
		}
		if req.ContentLength == 0 {
			req.Body = http.NoBody
		}
	}
	req = req.WithContext(ctx)
	x := &exchange{req: req, length: -1}
	if req.Body == nil {
		x.body = &requestBody{st: st, req: req, check: newLengthCheck("request body", req.ContentLength)}
		req.Body = x.body
	}
	st.http = x
	return req
}

// refuse answers a request that no handler could make sense of.
func (a *httpServerApp) refuse(st *Stream, err error) {
	status := http.StatusBadRequest
	if e, ok := err.(*requestError); ok {
		status = e.Status
	}
	st.session.log.streamError(st.session, &StreamError{StreamID: st.id, Status: RstProtocolError, Err: err})
	st.http = &exchange{req: &http.Request{Method: http.MethodGet}, length: -1}
	st.Header().Set("Content-Type", "text/plain; charset=utf-8")
	st.http.freeze(status, st.Header())
	st.finish()
	st.stopReading()
	st.release()
}

// headers has nothing to do for a request: its trailers are read with its body.
func (a *httpServerApp) headers(*Stream) {}

// goingAway has nothing to do: what has been asked for is answered.
func (a *httpServerApp) goingAway() {}

// makeRoom can do nothing: what is unread is for handlers.
func (a *httpServerApp) makeRoom() bool { return false }
