package spdy

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"
)

// A Transport is an http.RoundTripper that dials SPDY sessions and shares them among all requests
// for an origin. An http.Client or an httputil.ReverseProxy switches to SPDY by using a Transport:
//
//	client := &http.Client{Transport: &spdy.Transport{}}
//
// Requests for https URLs use TLS and negotiate the dialect by ALPN. If the server does not choose
// SPDY, the request fails with a *NegotiationError. Requests for http URLs use plain connections,
// to servers known to speak SPDY there: Config.Version selects the dialect, SPDY/3.1 by default. A
// Transport never speaks HTTP/1.1 or HTTP/2. ConfigureTransport uses SPDY where servers offer it
// and other protocols elsewhere.
//
// Requests are processed as by http.Transport, and the fields have the same names; docs/net-http.md
// covers every field and method of http.Transport. A session that has ended or is going away gets
// no new requests.
//
// All waiting requests for an origin share a dial. If the dial takes longer than 250 milliseconds,
// the Transport starts a second dial, with at most four per origin at a time. Further dials follow
// every 250 milliseconds while new requests arrive; without new requests every interval is twice as
// long as the last. If all waiting requests have been cancelled, the next request starts a dial at
// once. The first successful dial serves all waiting requests and cancels the other dials. Of four
// dials the oldest keeps running; the others are replaced by new dials after 250 milliseconds. When
// no request is waiting any more, the dials continue for 30 seconds for later requests. At most 100
// origins have such dials at a time. The dial for an unshared session, see DisableKeepAlives, ends
// with the request. DialTimeout, TLSHandshakeTimeout and a minute for the proxy limit each dial. A
// failed dial fails all requests that have waited as long as the dial took, and all waiting
// requests if no other dial is running.
//
// A request is retried, six tries in all, if the server has not processed it: the server refused
// the stream (SPEC X6), sent GOAWAY before the stream (SPEC G5), or the session ended before the
// SYN_STREAM was sent. The second try follows at once, the others after 100, 200, 400 and 800
// milliseconds, each varied by a quarter, within the request's context. The body must be unread, or
// Request.GetBody must return a new body. After a refusal, requests avoid the session for five
// seconds if there is an alternative or the limits allow a new dial. At most four sessions per
// origin are avoided at a time. While a server allows no streams at all, the Transport dials no
// more than four sessions to that server; idle sessions end after five seconds.
//
// A request that the server may have processed is sent again once, on another session, if the
// connection was lost before any byte of the response arrived and the request is replayable by the
// rules of http.Transport: the session carried a request before; the method is GET, HEAD, OPTIONS
// or TRACE, or the header has Idempotency-Key or X-Idempotency-Key; and there is no body, or
// GetBody returns a new body. Connections ended by Config.PingTimeout or Config.WriteTimeout count
// as lost; sessions closed by this side do not.
//
// The Transport detects a silent server from requests cancelled by their context or by
// ResponseHeaderTimeout: it resets the stream and sends a PING. If nothing arrives within half of
// the time the request had waited (at least ten milliseconds and two round trips, at most half a
// second; the dial counts as a round trip if the server has not responded to any request yet),
// requests use other sessions, or a new session, until a frame arrives. If nothing arrives within a
// second, or four round trips, the session accepts no more requests and ends with the last open
// stream. Bytes within a frame count if they arrive at 256 bytes per second or faster. With
// MaxConnsPerHost, a session with open requests is used again once the server sends a frame.
// Config.PingInterval ends a silent session sooner, for all requests.
//
// After a GOAWAY with an error status the request is not sent again: the request may be the cause,
// and would end the next session for all users. It fails with a *SessionError. In SPDY/2, where
// GOAWAY has no status, the request is sent again once.
//
// Hooks of httptrace.ClientTrace are called as by http.Transport: GetConn; GotConn (Reused means
// that the session has carried other requests, and WasIdle that none was open); the hooks of
// net.Dialer and of TLS, for the request that started the dial; WroteHeaders and WroteRequest, when
// the session's sender has accepted the data; GotFirstResponseByte, Wait100Continue and
// Got100Continue. Request.Cancel is obeyed, and costs a goroutine; contexts cost none.
//
// The zero value is ready for use. Do not change the fields after the first request. All methods
// are safe for concurrent use.
type Transport struct {
	// Config is the configuration of the sessions. nil means the defaults. If Config.Version is
	// set, TLS servers that negotiate no protocol at all are assumed to speak that dialect.
	Config *Config

	// DialContext opens plain connections, and the connections under TLS. nil means a zero
	// net.Dialer. Several calls for the same address may run concurrently. The context ends when
	// the connection is no longer needed, and at DialTimeout; it has the values of the context of
	// the request that caused the dial. A call that has not returned 100 milliseconds after the end
	// of the context, as may happen with net.Dial, is abandoned: the dial fails, MaxConnsPerHost
	// stops counting the connection, and a connection returned later is closed. The same holds for
	// DialTLSContext.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	// DialTimeout limits the time to connect to the server or to the proxy, including the name
	// lookup. It applies to a net.Dialer, to DialContext, and to DialTLSContext without the
	// handshake. 0 means 30 seconds, as in http.DefaultTransport; less means no limit. Later steps
	// have separate limits: the handshake TLSHandshakeTimeout, and a proxy's tunnel a minute.
	// Range: more than 0.
	DialTimeout time.Duration

	// DialTLSContext opens the connections for https URLs without a proxy, and the connections to
	// https proxies, instead of DialContext and TLSClientConfig. It must offer SPDY by ALPN. If the
	// connection has a HandshakeContext method, as *tls.Conn does, the Transport calls that method.
	// A connection without a ConnectionState method is assumed to speak Config.Version or SPDY/3.1.
	DialTLSContext func(ctx context.Context, network, addr string) (net.Conn, error)

	// TLSClientConfig is the TLS configuration, nil for the defaults. If NextProtos contains
	// dialects of SPDY, the Transport offers these dialects in that order; otherwise it offers all
	// three, newest first. Other protocols are not offered.
	TLSClientConfig *tls.Config

	// TLSHandshakeTimeout limits each TLS handshake. 0 means ten seconds, less means no limit.
	// Range: more than 0.
	TLSHandshakeTimeout time.Duration

	// Proxy returns the proxy for a request, nil for none; http.ProxyFromEnvironment has the right
	// type. The Transport sends CONNECT to http and https proxies, for http URLs too. With socks5
	// and socks5h the proxy resolves the name. User and password in the URL are used. nil means no
	// proxies.
	Proxy func(*http.Request) (*url.URL, error)

	// ProxyConnectHeader is sent with CONNECT requests. A user in the proxy's URL replaces the
	// Proxy-Authorization field, as in net/http.
	ProxyConnectHeader http.Header

	// GetProxyConnectHeader, if not nil, returns the header of the CONNECT request for target,
	// host:port, instead of ProxyConnectHeader.
	GetProxyConnectHeader func(ctx context.Context, proxy *url.URL, target string) (http.Header, error)

	// OnProxyConnectResponse, if not nil, checks a proxy's response to CONNECT. An error ends the
	// dial.
	OnProxyConnectResponse func(ctx context.Context, proxy *url.URL, req *http.Request, res *http.Response) error

	// DisableCompression prevents requests for gzip. Otherwise the Transport requests gzip unless
	// the request has Accept-Encoding or Range, or is a HEAD, and decompresses the response while
	// the caller reads: Content-Encoding and Content-Length are removed, and Uncompressed is set.
	DisableCompression bool

	// DisableKeepAlives dials a separate session for each request, as Request.Close does for a
	// single request. While MaxConnsPerHost allows no further connection, such requests share
	// existing sessions, which accept no more requests afterwards.
	DisableKeepAlives bool

	// IdleConnTimeout is the time a session stays open without requests. It is wall-clock time: the
	// time when the machine sleeps counts. 0 and less mean no limit; then a session that was idle
	// during a sleep of ten seconds or longer must answer a PING before it is used again. Range:
	// more than 0.
	IdleConnTimeout time.Duration

	// MaxIdleConns is the number of sessions kept without requests, over all origins; the sessions
	// idle the longest end first. 0 means no limit, less means that none are kept. Range: 1 and
	// more.
	MaxIdleConns int

	// MaxIdleConnsPerHost is the same limit for each origin. 0 means no limit, where http.Transport
	// keeps two: a session carries many requests at once, so an origin seldom has more than one.
	// Less means that none are kept. Range: 1 and more.
	MaxIdleConnsPerHost int

	// MaxConnsPerHost limits the connections to an origin, including connections being dialled,
	// connections of sessions that only finish open requests, and connections for a single request.
	// A session without requests that ends counts until the server has confirmed the last bytes,
	// but not after a second of silence, or four round trips if that is more. At the limit,
	// requests wait for a stream of a session or for a connection to close. With a limit of 1, a
	// dial that hangs blocks all requests until DialTimeout. 0 and less mean no limit. Range: 1 and
	// more.
	MaxConnsPerHost int

	// ResponseHeaderTimeout limits the time from when a request, including the body, has been
	// handed to the session until the response headers arrive. At the limit the request fails with
	// an error whose Timeout method returns true, and the stream is reset. 0 and less mean no
	// limit. Range: more than 0.
	ResponseHeaderTimeout time.Duration

	// MaxResponseHeaderBytes is the largest response header, in bytes as in HTTP/1.1; a larger
	// header fails the request. It applies unless Config.MaxHeaderBytes is set, which counts bytes
	// of the SPDY header block. 0 and less mean 10 MiB. Range: 1 to 126,318,712; more counts as
	// that.
	MaxResponseHeaderBytes int64

	// ExpectContinueTimeout applies to requests with a body and "Expect: 100-continue". If it is
	// more than 0, the Transport sends the header, and sends the body after an interim response or
	// after this time; if a final response arrives first, the body is not sent. SPDY has no interim
	// responses, so servers that follow the specification let the time pass (SPEC M11). 0 and less
	// mean that the header is not sent, and the body is sent at once. Range: more than 0.
	ExpectContinueTimeout time.Duration

	// MaxSessionsPerHost limits the sessions of an origin that accept requests, plus running dials.
	// Sessions for a single request do not count. At the limit, requests wait for a free stream. 0
	// and less mean no limit. Range: 1 and more.
	MaxSessionsPerHost int

	// StrictMaxConcurrentStreams makes requests queue, in order, when an origin's session has as
	// many streams as the server allows. Otherwise the Transport dials another session, and waiting
	// requests use the first free stream.
	StrictMaxConcurrentStreams bool

	host  *http.Transport // dials for us, see ConfigureTransport; nil if we do
	brief bool            // host does not tell us to close idle sessions
	owner *Client         // whose server serves all requests, whatever the URL; nil if there is none

	once sync.Once // sets up pool
	pool sessionPool
}

// RoundTrip sends a request and returns the response as soon as the headers have arrived. The body
// is streamed, and the caller must close it. The request's context cancels the request in every
// phase, until the response body has been read or closed; the error is then the context's error or
// cause. Other errors are dial errors, a *NegotiationError, a *ProxyError, a *StreamError, a
// *SessionError, a *ConnError, or describe an invalid request.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	return t.roundTripOf(req, t.host == nil)
}

// roundTripOf is RoundTrip. If announce is false, the hook GetConn has already been called.
func (t *Transport) roundTripOf(req *http.Request, announce bool) (*http.Response, error) {
	if req == nil {
		return nil, errNoRequest
	}
	obeying, release := obeyCancel(req)
	body := newTryBody(obeying, false)
	res, err := t.roundTrip(obeying, body, announce)
	switch err {
	case nil:
		res.Request = req
		return res, nil
	case errNoSession: // t.host dials, and sends the body
		body.handBack()
	default:
		body.Close()
	}
	release()
	return nil, err
}

// CloseIdleConnections ends the sessions without requests. Sessions with requests stay in use.
func (t *Transport) CloseIdleConnections() { t.sessions().closeIdle() }

// Clone returns a Transport with the same options and separate sessions. Config, TLSClientConfig
// and ProxyConnectHeader are copied.
func (t *Transport) Clone() *Transport {
	c := &Transport{
		DialContext: t.DialContext, DialTimeout: t.DialTimeout, DialTLSContext: t.DialTLSContext,
		TLSHandshakeTimeout: t.TLSHandshakeTimeout,
		Proxy:               t.Proxy, ProxyConnectHeader: t.ProxyConnectHeader.Clone(),
		GetProxyConnectHeader: t.GetProxyConnectHeader, OnProxyConnectResponse: t.OnProxyConnectResponse,
		DisableCompression: t.DisableCompression, DisableKeepAlives: t.DisableKeepAlives,
		MaxIdleConns: t.MaxIdleConns, MaxIdleConnsPerHost: t.MaxIdleConnsPerHost,
		MaxConnsPerHost: t.MaxConnsPerHost, MaxSessionsPerHost: t.MaxSessionsPerHost,
		StrictMaxConcurrentStreams: t.StrictMaxConcurrentStreams,
		IdleConnTimeout:            t.IdleConnTimeout,
		ResponseHeaderTimeout:      t.ResponseHeaderTimeout, ExpectContinueTimeout: t.ExpectContinueTimeout,
		MaxResponseHeaderBytes: t.MaxResponseHeaderBytes,
	}
	if t.Config != nil {
		conf := *t.Config
		c.Config = &conf
	}
	if t.TLSClientConfig != nil {
		c.TLSClientConfig = t.TLSClientConfig.Clone()
	}
	return c
}

func (t *Transport) sessions() *sessionPool {
	t.once.Do(func() { t.pool.t, t.pool.shared = t, newPools(t.Config) })
	return &t.pool
}

// roundTrip sends a request until there is a response, or a failure that forbids another try.
func (t *Transport) roundTrip(req *http.Request, body *tryBody, announce bool) (*http.Response, error) {
	key, err := t.originOf(req)
	if err != nil {
		return nil, err
	}
	sent := t.triesOf(req)
	first := sent.n
	var last attempt
	if err := causeOf(req.Context()); err != nil { // without this check a dial would start
		return nil, err
	}
	for {
		a := attempt{announce: announce}
		res, err := t.try(&a, body.attach(req), key)
		switch {
		case err == nil:
			body.settle()
			return res, nil
		case err == errNoSession && last.hopeless:
			return nil, last.err
		case err == errNoSession && first == 0 && sent.n > 0:
			return t.sendElsewhere(req, body, sent)
		case err == errNoSession:
			return nil, err
		case !sent.again(a.outlook) || !body.rewind(req):
			return nil, err
		}
		if err := pause(req.Context(), sent.n, t.owner.closes(), nil); err != nil {
			return nil, err
		}
		last = a
	}
}

// An attempt is a single try of a request.
type attempt struct {
	announce bool // GetConn is to be called

	err      error
	outlook  outlook
	hopeless bool // another new session would fail in the same way
}

// listsClose reports whether values of the header Connection contain the option close.
func listsClose(values []string) bool { return httpguts.HeaderValuesContainsToken(values, "close") }

// try sends a request once.
func (t *Transport) try(a *attempt, req *http.Request, key originKey) (*http.Response, error) {
	trace := httptrace.ContextClientTrace(req.Context())
	if t.host == nil {
		a.gettingConn(trace, key)
	}
	alone := req.Close || t.DisableKeepAlives || listsClose(req.Header["Connection"])
	ps, use, err := t.sessions().take(req.Context(), req, key, alone)
	if err != nil {
		return nil, err
	}
	if t.host != nil { // the host calls GetConn if it finds no session here
		a.gettingConn(trace, key)
	}
	s := ps.s
	if trace != nil && trace.GotConn != nil {
		trace.GotConn(httptrace.GotConnInfo{Conn: s.conn, Reused: use.reused, WasIdle: use.wasIdle, IdleTime: use.idleTime})
	}
	up := &upload{st: s.newLocalStream(priorityOf(req)), req: req, trace: trace, asked: t.asks(req)}
	up.st.reserved = true
	res, err := s.carry(up)
	if up.st.reserved { // the stream was never opened: there was a push, or an error
		ps.giveBack()
	}
	if alone { // a shared session accepts no more requests
		ps.retire()
	}
	if err != nil {
		a.outlook = up.st.outlook(req, err, use.reused)
		a.hopeless = !use.reused && ps.useless()
		if up.st.id == 0 && !latched(t.owner.closes()) {
			err = s.explainClosed(err)
		}
		a.err = err
		return nil, err
	}
	if up.asked.gzip && res.StatusCode != http.StatusSwitchingProtocols {
		decompress(res)
	}
	return res, nil
}

func (a *attempt) gettingConn(trace *httptrace.ClientTrace, key originKey) {
	if a.announce && trace != nil && trace.GetConn != nil {
		trace.GetConn(key.addr)
	}
}

// asks returns the Transport's options that apply to a request.
func (t *Transport) asks(req *http.Request) (a uploadOptions) {
	a.gzip = !t.DisableCompression && req.Method != http.MethodHead &&
		req.Header.Get("Accept-Encoding") == "" && req.Header.Get("Range") == ""
	a.answerTimeout = t.ResponseHeaderTimeout
	if httpguts.HeaderValuesContainsToken(req.Header["Expect"], "100-continue") {
		a.continueTimeout = t.ExpectContinueTimeout
	}
	return a
}

// sessionConfig returns the configuration for sessions of an origin.
func (t *Transport) sessionConfig(key originKey) *Config {
	d := t.Config.forOrigin(key.origin())
	d.shared = t.sessions().shared
	if t.MaxResponseHeaderBytes > 0 && d.MaxHeaderBytes <= 0 {
		d.MaxHeaderBytes = blockBytes(t.MaxResponseHeaderBytes)
	}
	return d
}

// PoolStats returns the usage of the pools of the Transport's sessions, see Pools. It may be called
// at any time.
func (t *Transport) PoolStats() PoolStats { return t.sessions().shared.stats() }

// mayHave reports whether the limits allow another session for an origin with n sessions.
func (t *Transport) mayHave(n int) bool {
	if t.host != nil {
		return t.host.MaxConnsPerHost <= 0 || n < t.host.MaxConnsPerHost
	}
	below := func(limit int) bool { return limit <= 0 || n < limit }
	return n == 0 || !t.StrictMaxConcurrentStreams && below(t.MaxSessionsPerHost) && below(t.MaxConnsPerHost)
}

// idleTimeout returns the time a session may be idle.
func (t *Transport) idleTimeout(alone bool) time.Duration {
	switch {
	case alone:
		return 0
	case t.host != nil && t.DisableKeepAlives:
		return unclaimedTimeout
	case t.brief && t.IdleConnTimeout == 0:
		return briefIdleTimeout
	}
	return t.IdleConnTimeout
}

// originOf returns the origin and the proxy of a request.
func (t *Transport) originOf(req *http.Request) (key originKey, err error) {
	if t.owner != nil {
		return t.owner.home, nil
	}
	if req.URL == nil {
		return key, &messageError{"http: nil Request.URL"}
	}
	port := ""
	switch key.scheme = strings.ToLower(req.URL.Scheme); key.scheme {
	case "http":
		port = "80"
	case "https":
		port = "443"
	default:
		return key, &messageError{fmt.Sprintf("unsupported protocol scheme %q", req.URL.Scheme)}
	}
	if req.URL.Host == "" {
		return key, &messageError{"http: no Host in request URL"}
	}
	if key.addr, err = urlAddr(req.URL, port); err != nil {
		return key, &messageError{fmt.Sprintf("spdy: invalid host %q", req.URL.Host)}
	}
	key.addr = lowerAddr(key.addr)
	if t.Proxy == nil || t.host != nil {
		return key, nil
	}
	proxy, err := t.Proxy(req)
	if err != nil || proxy == nil {
		return key, err
	}
	key.proxy = proxy.String()
	return key, nil
}
