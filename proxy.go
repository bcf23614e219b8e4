package spdy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"os"
)

// NewClientStream makes a stream for one request, see Stream.Request. The stream
// is opened when the request is sent.
func (s *Session) NewClientStream() *Stream { return s.made().newLocalStream(0) }

// NewStreamProxy sends r, a request that a handler got, down the session and
// writes the answer to w as it arrives, flushing whenever it has nothing more to
// write. Bodies stream in both directions at once; nothing is buffered whole.
//
// What it adds: a User-Agent if r has none, and a host if r has none, as HTTP/1.0 allows: the
// address that the client has connected to, since SPDY/3 requires one. It says nothing of
// where the request came from. Its scheme is that of r.URL, which a client can choose by a whole
// URL as its target, or else tells whether r came over TLS. RemoteAddr of the other server's
// request is the address of the session's other end, not that of the client. Session.Proxy with
// ProxyOptions.XForwarded sets X-Forwarded-For, -Host and -Proto, and the scheme, so that the
// client has no say in them.
//
// Headers for the next recipient only are forwarded in neither direction: Connection,
// Keep-Alive, Proxy-Connection, TE, Transfer-Encoding, Upgrade, HTTP2-Settings,
// Proxy-Authenticate, Proxy-Authentication-Info and Proxy-Authorization. The same holds
// for trailers that RFC 9110 §6.5.1 forbids, and for those of a request that are called
// Forwarded, X-Forwarded-For, -Host or -Proto. Headers that r's Connection names are
// forwarded, since NewStreamProxy cannot tell those of the client from those that the
// handler has added. A handler that adds headers should first delete the named ones, as
// httputil.ReverseProxy does:
//
//	for _, line := range r.Header["Connection"] {
//		for name := range strings.SplitSeq(line, ",") {
//			if name = strings.TrimSpace(name); !strings.EqualFold(name, "Upgrade") {
//				r.Header.Del(name)
//			}
//		}
//	}
//
// A request for an upgrade, of WebSocket for one, is forwarded as such if the other server takes
// upgrades, see docs/upgrades.md, and if w can be hijacked. When the other server grants it,
// NewStreamProxy hijacks the client's connection and passes bytes in both directions until
// both have ended. A half close passes, and if either side is cut off, or the context of r ends,
// the other is cut off too. A CONNECT of HTTP/1 opens a tunnel in the same way. An
// upgrade to h2c is not forwarded: the requests in it would pass unseen. A handler that takes
// no upgrades uses ProxyOptions.DisableUpgrades.
//
// A request that the other server refuses (REFUSED_STREAM, SPEC X6), which is how a
// server reports that it is short of streams, is sent again on the same session, ten
// times in all, within the request's context. The pauses begin as those of a Transport and
// double on, to 25 seconds in all. The request's body must not have been read, or
// Request.GetBody has to return another one.
//
// The request has the priority that WithPriority gave its context, or that of all requests:
// what a client of SPDY chose on its own session is not handed on.
//
// If there is no answer, w gets one that says why: 502 Bad Gateway if the other
// server failed or its headers are too large, 503 Service Unavailable if the session
// takes no requests or has refused this one for the last time, 504 Gateway Timeout if a
// deadline passed, 431 Request Header Fields Too Large if the headers of r are too large
// to be sent, or for the other server. Once the answer has begun, a failure
// aborts it, so that the client cannot take a part for the whole: the part that has
// come is flushed, and the stream reset or the connection closed. If w allows neither, NewStreamProxy panics
// with http.ErrAbortHandler. In every case the error is returned, also when it was
// w that failed. A nil error means that w has taken the whole answer, and that a
// connection of HTTP/1 has passed it to the network.
//
// A client of HTTP/1 that is still sending its request when the answer has been written
// keeps NewStreamProxy waiting for half a second, or five if it continues to send. After
// that its connection ends, as behind a handler that does not read its request.
func (s *Session) NewStreamProxy(r *http.Request, w http.ResponseWriter) (err error) {
	return s.NewClientStream().Request(r, w)
}

// errUsedStream is what a second request on a stream gets.
var errUsedStream = errors.New("spdy: the stream has carried its request already")

// Request sends one request and writes its answer to writer; see
// Session.NewStreamProxy for how. If the request is sent again, another stream carries
// it, with the deadlines of this one. A second call fails.
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
	duplex := http.NewResponseController(writer).EnableFullDuplex() == nil && request.ContentLength != 0 &&
		request.ProtoMajor == 1 && streamOf(writer) == nil // only HTTP/1 needs it
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
	if b, ok := out.Body.(*proxiedBody); ok {
		b.duplex = duplex
		if duplex && request.ContentLength < 0 {
			b.piece = drainPiece
		}
	}
	front := proxyFront{writer: writer, duplex: duplex, body: out.Body}
	defer front.end() // the caller's handler is about to return
	res, err := st.session.persist(st, out)
	if err != nil {
		front.closeAfterPart()
		refuseProxied(writer, err)
		front.whole = true
		return err
	}
	if back, ok := res.Body.(*tunnel); ok {
		front.whole = true // the connection is not net/http's any more
		return joinTunnel(writer, request, res, back)
	}
	defer res.Body.Close()
	st.http = &exchange{header: res.Header}
	copyForwarded(writer.Header(), res.Header)
	announced := announceTrailers(writer.Header(), res.Trailer)
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

// claim takes a stream for its one request. It fails for a stream that has had
// one, and for one that the peer opened.
func (st *Stream) claim() bool {
	st.session.mu.Lock()
	defer st.session.mu.Unlock()
	if st.claimed || st.replied == nil {
		return false
	}
	st.claimed = true
	return true
}

// proxiedRequest copies what goes on of a request that a handler got.
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
	none := r.ContentLength == 0 && r.RequestURI != "" // outside servers a length of 0 may stand for an unknown one
	if r.Body == nil || r.Body == http.NoBody || none {
		out.Body = http.NoBody
	} else {
		out.Body = &proxiedBody{ReadCloser: r.Body, trailer: trailer}
	}
	return out
}

// announceTrailers announces trailers that are known to come, and returns how
// many there are.
func announceTrailers(dst, trailer http.Header) int {
	for key := range trailer {
		dst.Add("Trailer", key)
	}
	return len(trailer)
}

// writeTrailers hands trailers on, those that nobody announced too.
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

// copyProxiedBody writes the body of an answer as it arrives: the stream's
// northbound buffer is emptied into w by the caller's goroutine.
func copyProxiedBody(w http.ResponseWriter, res *http.Response) error {
	body, ok := res.Body.(*responseBody)
	if !ok { // there is none
		return nil
	}
	flusher := http.NewResponseController(w)
	_, fromWriter, err := body.forward(w, func() { _ = flusher.Flush() })
	if fromWriter {
		return causedError{"spdy: proxied answer", err}
	}
	return err
}

// refuseProxied answers a request that could not be handed on. It does so also
// when the request was cancelled: that need not mean that the client has gone.
func refuseProxied(w http.ResponseWriter, err error) {
	status := proxyStatus(err)
	http.Error(w, http.StatusText(status), status)
}

// proxyStatus says by its cause why there is no answer.
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

// abort cuts an answer off that has begun and cannot be completed. The client gets the part
// that the origin has sent.
func (f *proxyFront) abort(r *http.Request, cause error) {
	w := f.writer
	_ = http.NewResponseController(w).Flush() // if w has failed, it fails again
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

// cutConn closes a connection by a reset, which no client takes for the end of an answer. The
// lowest layer ends first: TLS above it has no way left to say goodbye, which would be an end.
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
		conn.Close() // those above it keep accounts, perhaps
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
