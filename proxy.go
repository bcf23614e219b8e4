package spdy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
)

// NewClientStream makes a stream for one request, see Stream.Request. The stream is opened when the
// request is sent.
func (s *Session) NewClientStream() *Stream { return s.made().newLocalStream(0) }

// NewStreamProxy sends r, a request received by a handler, over the session and streams the answer
// to w, flushing whenever no more data is pending. Bodies stream in both directions at once; no
// body is buffered whole.
//
// NewStreamProxy adds a User-Agent if r has none. SPDY/3 requires a host, so NewStreamProxy adds a
// host if r has none, as HTTP/1.0 allows: the address the client has connected to. NewStreamProxy
// adds nothing about the sender of the request. The scheme is the scheme of r.URL, which a client
// can choose by sending an absolute URL as the target; if r.URL has no scheme, the scheme shows
// whether r arrived over TLS. RemoteAddr of the other server's request is the address of the
// session's other end, not of the client. Session.Proxy with ProxyOptions.XForwarded sets
// X-Forwarded-For, -Host and -Proto, and the scheme, beyond the client's influence.
//
// Hop-by-hop headers are forwarded in neither direction: Connection, Keep-Alive, Proxy-Connection,
// TE, Transfer-Encoding, Upgrade, HTTP2-Settings, Proxy-Authenticate, Proxy-Authentication-Info and
// Proxy-Authorization. Nor are trailers forbidden by RFC 9110 §6.5.1, nor request trailers named
// Forwarded, X-Forwarded-For, -Host or -Proto. Headers named by r's Connection are forwarded, since
// NewStreamProxy cannot distinguish headers from the client from headers added by the handler. A
// handler that adds headers should first delete the named headers, as httputil.ReverseProxy does:
//
//	for _, line := range r.Header["Connection"] {
//		for name := range strings.SplitSeq(line, ",") {
//			if name = strings.TrimSpace(name); !strings.EqualFold(name, "Upgrade") {
//				r.Header.Del(name)
//			}
//		}
//	}
//
// A request for an upgrade, for instance to WebSocket, is forwarded as such if the other server
// accepts upgrades, see docs/upgrades.md, and if w can be hijacked. When the other server accepts
// the upgrade, NewStreamProxy hijacks the client's connection and copies bytes in both directions
// until both have ended. A half close is forwarded. If either side is cut off, or the context of r
// ends, the other side is cut off too. A CONNECT of HTTP/1 opens a tunnel in the same way. An
// upgrade to h2c is not forwarded: the proxy could not inspect the requests in it. A handler
// without upgrades uses ProxyOptions.DisableUpgrades.
//
// A request refused by the other server (REFUSED_STREAM, SPEC X6) for lack of streams is sent again
// on the same session, ten times in all, within the request's context. The pauses begin like those
// of a Transport and keep doubling, to 25 seconds in all. The request's body must not have been
// read, or Request.GetBody has to return another body.
//
// The request has the priority set by WithPriority on its context, or the default priority: a SPDY
// client's priority on the client's session is not forwarded.
//
// If there is no answer, w receives an error response: 502 Bad Gateway if the other server failed
// or sent too large headers, 503 Service Unavailable if the session accepts no requests or has
// refused this request for the last time, 504 Gateway Timeout if a deadline passed, 431 Request
// Header Fields Too Large if the headers of r are too large to be sent, or for the other server.
// Once the answer has begun, a failure aborts the answer, so that the client cannot mistake a part
// for the whole: the received part is flushed, and the stream reset or the connection closed. If w
// allows neither, NewStreamProxy panics with http.ErrAbortHandler. In every case NewStreamProxy
// returns the error, also when w failed. After a nil error, w has accepted the whole answer, and an
// HTTP/1 connection has passed the answer to the network.
//
// If a client of HTTP/1 is still sending the request when the answer has been written,
// NewStreamProxy waits for half a second, or five seconds if the client continues to send. After
// that the connection is closed, as after a handler with an unread request. A handler may replace
// the body of r. Unless the new body is as long as the client's Content-Length, the connection then
// ends with the answer.
func (s *Session) NewStreamProxy(r *http.Request, w http.ResponseWriter) (err error) {
	return s.NewClientStream().Request(r, w)
}

// errUsedStream is the error of a second request on a stream.
var errUsedStream = errors.New("spdy: the stream has carried its request already")

// Request sends one request and writes the answer to writer; see Session.NewStreamProxy for
// details. If the request is sent again, another stream carries it, with the deadlines of this
// stream. A second call fails.
func (st *Stream) Request(request *http.Request, writer http.ResponseWriter) (err error) {
	return st.proxy(writer, request, ProxyOptions{})
}

func (st *Stream) proxy(writer http.ResponseWriter, request *http.Request, o ProxyOptions) (err error) {
	if err := st.unmade(); err != nil {
		return err
	}
	if request == nil || writer == nil {
		return errNoRequest
	}
	if !st.claim() {
		return errUsedStream
	}
	st.priority = priorityOf(request)
	out := st.session.proxiedRequest(request)
	if o.XForwarded {
		out.Header = o.ownClaims(out.Header, request)
		if clientSetsScheme(request) {
			out.URL.Scheme = schemeOf(request)
		}
	}
	if !o.DisableUpgrades {
		st.askTunnel(writer, request, out)
	}
	front := proxyFront{writer: writer, body: out.Body}
	front.enableDuplex(request)
	defer front.end() // the caller's handler is about to return
	res, err := st.session.persist(st, out)
	if err != nil {
		front.closeAfterPart()
		refuseProxied(writer, err)
		front.whole = true
		return err
	}
	if back, ok := res.Body.(*tunnel); ok {
		front.whole = true // net/http no longer owns the connection
		return joinTunnel(writer, request, res, back)
	}
	defer res.Body.Close()
	st.http = &exchange{header: res.Header}
	copyForwarded(writer.Header(), res.Header)
	announced := announceTrailers(writer.Header(), res.Trailer)
	if announced > 0 && request.ProtoMajor < 2 && request.Method != http.MethodHead {
		writer.Header().Del("Content-Length") // net/http sends trailers over HTTP/1.1 only without it
	}
	front.closeAfterPart()
	writer.WriteHeader(res.StatusCode)
	if err := copyProxiedBody(writer, res); err != nil {
		front.abort(request, err)
		return err
	}
	front.whole = true
	err = front.deliver(request, len(res.Trailer) > announced)
	writeTrailers(writer.Header(), res.Trailer, announced)
	return err
}

// claim reserves a stream for its request. It fails for a claimed stream, and for a stream opened
// by the peer.
func (st *Stream) claim() bool {
	st.session.mu.Lock()
	defer st.session.mu.Unlock()
	if st.claimed || st.replied == nil {
		return false
	}
	st.claimed = true
	return true
}

// proxiedRequest copies the forwarded parts of a request received by a handler.
func (s *Session) proxiedRequest(r *http.Request) *http.Request {
	out := r.WithContext(r.Context())
	if r.URL == nil {
		out.URL = &url.URL{Path: "/"}
	} else {
		u := *r.URL
		out.URL = &u
	}
	if out.URL.Scheme == "" {
		out.URL.Scheme = schemeOf(r)
	}
	if out.Host == "" && out.URL.Host == "" {
		out.Host = s.defaultHost(r)
	}
	out.Header = forwardedHeader(r.Header)
	trailer := forwardTrailer(r.Trailer)
	out.Trailer = trailer.to
	none := r.ContentLength == 0 && r.RequestURI != "" // outside servers a length of 0 may stand for an unknown length
	if r.Body == nil || r.Body == http.NoBody || none {
		out.Body = http.NoBody
	} else {
		out.Body = &proxiedBody{ReadCloser: r.Body, trailer: trailer, length: -1}
	}
	return out
}

// announceTrailers announces the trailers known in advance, and returns their number.
func announceTrailers(dst, trailer http.Header) int {
	for key := range trailer {
		dst.Add("Trailer", key)
	}
	return len(trailer)
}

// writeTrailers forwards trailers, including unannounced trailers.
func writeTrailers(dst, trailer http.Header, announced int) {
	prefix := ""
	if len(trailer) != announced {
		prefix = http.TrailerPrefix
	}
	for key, values := range trailer {
		if len(values) > 0 {
			dst[prefix+key] = values
		}
	}
}

// copyProxiedBody writes the body of an answer while it arrives: the caller's goroutine drains the
// stream's northbound buffer into w.
func copyProxiedBody(w http.ResponseWriter, res *http.Response) error {
	body, ok := res.Body.(*responseBody)
	if !ok { // there is no body
		return nil
	}
	flusher := http.NewResponseController(w)
	_, fromWriter, err := body.forward(w, func() { _ = flusher.Flush() })
	if fromWriter {
		return causedError{"spdy: proxied answer", err}
	}
	return err
}

// refuseProxied answers a request that could not be forwarded, even if the request was cancelled: a
// cancelled request may still have a client waiting.
func refuseProxied(w http.ResponseWriter, err error) {
	status := proxyStatus(err)
	http.Error(w, http.StatusText(status), status)
}

// proxyStatus returns the status for a missing answer, by the cause.
func proxyStatus(err error) int {
	var (
		timeout net.Error
		reset   *StreamError
		session *SessionError
		lost    *ConnError
		large   *HeaderTooLargeError
	)
	switch {
	case errors.As(err, &large):
		return http.StatusRequestHeaderFieldsTooLarge
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		errors.As(err, &timeout) && timeout.Timeout():
		return http.StatusGatewayTimeout
	case errors.As(err, &reset):
		switch {
		case reset.Retryable():
			return http.StatusServiceUnavailable
		case reset.Remote && reset.Status == RstFrameTooLarge: // an origin that does not answer 431 itself
			return http.StatusRequestHeaderFieldsTooLarge
		}
		return http.StatusBadGateway
	case errors.Is(err, ErrSessionClosed):
		return http.StatusServiceUnavailable
	case errors.As(err, &session), errors.As(err, &lost):
		return http.StatusBadGateway
	}
	return http.StatusBadGateway
}

// abort cuts off an answer that has begun and cannot be completed. The client receives the part
// sent by the origin.
func (f *proxyFront) abort(r *http.Request, cause error) {
	w := f.writer
	_ = http.NewResponseController(w).Flush() // if w has failed, Flush fails again
	if st := streamOf(w); st != nil {
		if !st.answerReplaced() {
			st.reset(RstInternalError, "the proxied answer was cut off", cause)
		}
		return
	}
	conn, _, err := http.NewResponseController(w).Hijack()
	switch {
	case err == nil && showsCut(r, w.Header()):
		f.hangUp(conn)
	case err == nil:
		cutConn(conn)
	case r.Context().Value(http.ServerContextKey) != nil:
		panic(http.ErrAbortHandler)
	}
}

// cutConn closes a connection with a reset, which no client mistakes for the end of an answer. The
// lowest layer closes first: TLS above can then not send a close_notify, the mark of an orderly
// end.
func cutConn(conn net.Conn) {
	lowest, depth := conn, 0
	for c := range layers(conn) {
		if tcp, ok := c.(interface{ SetLinger(sec int) error }); ok {
			_ = tcp.SetLinger(0)
		}
		lowest = c
		depth++
	}
	lowest.Close()
	if depth > 1 {
		conn.Close() // the layers above may do accounting
	}
}

// streamOf finds the stream under a chain of wrapped ResponseWriters.
func streamOf(w http.ResponseWriter) *Stream {
	for {
		if st, ok := w.(*Stream); ok {
			return st
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return nil
		}
		w = u.Unwrap()
	}
}
