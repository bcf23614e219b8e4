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

// A Transport is an http.RoundTripper that dials SPDY sessions and shares each of them
// among all requests that go to the same origin. An http.Client or an
// httputil.ReverseProxy moves to SPDY by using one:
//
//	client := &http.Client{Transport: &spdy.Transport{}}
//
// Requests for https URLs go over TLS, where the dialect is negotiated by ALPN; a server
// that does not choose SPDY is an error, a *NegotiationError. Those for http URLs go
// over plain connections to servers that are known to speak SPDY on them: Config.Version
// says which, SPDY/3.1 by default. A Transport never speaks HTTP/1.1 or HTTP/2. To use
// SPDY where it is offered, and those where it is not, see ConfigureTransport.
//
// What it does with a request follows http.Transport, as do the names of its fields;
// docs/net-http.md goes through the fields and methods that http.Transport has. A session
// that has ended or is going away gets no more requests.
//
// A dial is shared by all requests that wait for it. If it takes longer than 250 milliseconds
// another one is started for them, four of an origin at a time; further ones follow every 250
// milliseconds while requests come, and else after twice as long each. If all who waited have
// given up, the next request starts another at once. The first that is through serves
// all who wait, and the others are cancelled. Of four the oldest has its whole time; each of
// the others makes way for a new one after 250 milliseconds. When nobody waits any more the
// dials go on for 30 seconds, for requests that come later: at most 100 origins have such
// dials at a time. A dial for a request that is to be alone, see DisableKeepAlives, ends with
// the request. DialTimeout, TLSHandshakeTimeout and the minute that a proxy has limit each
// dial. A dial that fails is an error for all who have waited as long as it took, and if no
// other is under way for all who wait.
//
// A request is sent again, six times in all, if the server has not processed it: it
// refused the stream (SPEC X6), it went away before the stream (SPEC G5), or the session
// ended before the SYN_STREAM left. The second try follows at once, the others after 100,
// 200, 400 and 800 milliseconds, each varied by a quarter, within the request's context.
// The body must not have been read, or Request.GetBody has to return another one. A session
// that has refused a request is passed over for five seconds where there is another, or one
// more may be dialled: four of an origin at most may rest so at a time. While a server
// allows no streams at all, no more than four sessions with it are dialled, and those that
// are idle end after five seconds.
//
// A request that the server may have processed is sent again once, on another session, if
// its connection was lost before anything of the answer arrived and it may be repeated, by
// the rules of http.Transport: the session carried a request before; the method is GET,
// HEAD, OPTIONS or TRACE, or there is a header Idempotency-Key or X-Idempotency-Key; and
// there is no body, or GetBody returns another one. Connections that Config.PingTimeout or
// Config.WriteTimeout ended are lost too; sessions that this side closed are not.
//
// A session whose server has gone silent is found out by the requests that are given up, by
// their context or ResponseHeaderTimeout: each is reset with a PING behind it. If no byte comes
// within half of the time that the request had waited (at least ten milliseconds and two
// round trips, at most half a second, and half a second if the server has answered nothing yet) requests go to other sessions, or to a new one, until one
// does; if none comes within a second, or four round trips, the session takes no more requests and
// ends when those that it has do. With MaxConnsPerHost a session that has requests is used again
// if its server is heard later. Config.PingInterval ends it sooner, and for all of them.
//
// A request that met a GOAWAY with an error status is not sent again: it may be the cause,
// and would end the next session for all who share it. It fails with a *SessionError. In
// SPDY/2, whose GOAWAY has no status, it is sent again once.
//
// Hooks of httptrace.ClientTrace are called as by http.Transport: GetConn, GotConn (a
// session that carries other requests is Reused, and WasIdle if it carried none), those
// of net.Dialer and of TLS for the request that started the dial, WroteHeaders and
// WroteRequest when the session's sender has taken what is written, GotFirstResponseByte,
// Wait100Continue and Got100Continue. Request.Cancel is not looked at; contexts are.
//
// The zero value is ready for use. Its fields must not be changed after the first
// request. All methods may be called by any number of goroutines at once.
type Transport struct {
	// Config is what sessions are configured with. nil means the defaults. If
	// Config.Version is set, servers that negotiate no protocol at all are taken to
	// speak that dialect over TLS too.
	Config *Config

	// DialContext makes plain connections, those under TLS too. nil means a zero
	// net.Dialer. It may be called for several connections to one address at once. The
	// context ends when the connection is not needed any more, and at DialTimeout; it has
	// the values of the request's context that caused the dial. A call that has not returned
	// 100 milliseconds after the end of its context, as net.Dial may not, is left to itself:
	// the dial has failed, MaxConnsPerHost does not count it any more, and a connection that it
	// returns later is closed. The same holds for DialTLSContext.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)

	// DialTimeout limits how long a connection takes, the look-up of its name included,
	// to the server or to its proxy: a net.Dialer's, that of DialContext, and that of
	// DialTLSContext without the handshake. 0 means 30 seconds, as in
	// http.DefaultTransport; less means no limit. What follows has limits of
	// its own: the handshake TLSHandshakeTimeout, and a proxy a minute to make a tunnel.
	// Range: more than 0.
	DialTimeout time.Duration

	// DialTLSContext makes the connections for https URLs that need no proxy, and
	// those to https proxies, instead of DialContext and TLSClientConfig. It has to
	// offer SPDY itself. If the connection has the method HandshakeContext, as
	// *tls.Conn has, that is called. A connection that has no ConnectionState method
	// is taken to speak Config.Version or SPDY/3.1.
	DialTLSContext func(ctx context.Context, network, addr string) (net.Conn, error)

	// TLSClientConfig is the TLS configuration, nil for the default one. If its
	// NextProtos name dialects of SPDY these are offered, in that order; otherwise
	// all three, the newest first. Other protocols are not offered.
	TLSClientConfig *tls.Config

	// TLSHandshakeTimeout limits each TLS handshake. 0 means ten seconds, less means no
	// limit. Range: more than 0.
	TLSHandshakeTimeout time.Duration

	// Proxy returns the proxy for a request, nil for none; http.ProxyFromEnvironment
	// fits. Proxies with the schemes http and https are asked by CONNECT for a tunnel,
	// for http URLs too; socks5 and socks5h both let the proxy look
	// names up. User and password in the URL are used. nil means no proxies.
	Proxy func(*http.Request) (*url.URL, error)

	// ProxyConnectHeader is sent with CONNECT requests. Its Proxy-Authorization is replaced if
	// the proxy's URL has a user, as in net/http.
	ProxyConnectHeader http.Header

	// GetProxyConnectHeader, if it is set, returns the header for a CONNECT request
	// for target, host:port, instead of ProxyConnectHeader.
	GetProxyConnectHeader func(ctx context.Context, proxy *url.URL, target string) (http.Header, error)

	// OnProxyConnectResponse, if it is set, looks at a proxy's answer to CONNECT. An
	// error ends the dial.
	OnProxyConnectResponse func(ctx context.Context, proxy *url.URL, req *http.Request, res *http.Response) error

	// DisableCompression keeps requests from asking for gzip. Without it a request
	// that has neither Accept-Encoding nor Range and is no HEAD asks, and an answer
	// that is compressed then is decompressed as it is read: it has no Content-Encoding
	// and Content-Length, and Uncompressed is set.
	DisableCompression bool

	// DisableKeepAlives dials a session for each request. Request.Close does so for
	// that one. While MaxConnsPerHost allows no further connection, such requests share
	// sessions, which take no more requests afterwards.
	DisableKeepAlives bool

	// IdleConnTimeout is how long a session stays without requests, by the wall clock: the time
	// that the machine sleeps counts. 0 and less mean no limit; then a session that was idle while the
	// machine slept for ten seconds or longer is used again if it answers a PING. Range: more than 0.
	IdleConnTimeout time.Duration

	// MaxIdleConns is how many sessions without requests are kept, with all origins
	// together; those that have been idle the longest end. 0 means no limit, less that none
	// is kept. Range: 1 and more.
	MaxIdleConns int

	// MaxIdleConnsPerHost is the same for each origin. 0 means no limit, where
	// http.Transport keeps two: a session carries many requests at once, so that there
	// is seldom more than one. Less means that none is kept. Range: 1 and more.
	MaxIdleConnsPerHost int

	// MaxConnsPerHost limits the connections with one origin: those being dialled, those
	// of sessions that take no more requests and finish what they have, and those for a
	// single request included. At the limit requests wait for a stream of a session, or
	// for a connection to be closed. With a limit of 1, a dial that hangs holds all
	// requests up until DialTimeout. 0 and less mean no limit. Range: 1 and more.
	MaxConnsPerHost int

	// ResponseHeaderTimeout limits the time from when a request, its body included,
	// has been handed to the session until the headers of the answer have come. The
	// request fails then with an error whose Timeout method returns true, and its
	// stream is reset. 0 and less mean no limit. Range: more than 0.
	ResponseHeaderTimeout time.Duration

	// MaxResponseHeaderBytes is the largest header of an answer, in bytes as they would
	// be in HTTP/1.1; a larger one fails its request. It applies unless
	// Config.MaxHeaderBytes is set, which counts bytes of the SPDY header block. 0 and less mean
	// 10 MiB. Range: 1 to 126,318,712; more counts as that.
	MaxResponseHeaderBytes int64

	// ExpectContinueTimeout is for requests with a body and "Expect: 100-continue". If
	// it is more than 0 the header is sent, and the body after an interim answer, or after
	// this time; a final answer that comes first keeps the body from being sent. SPDY
	// has no interim answers, so that servers which follow the specification let the
	// time pass (SPEC M11). 0 and less mean that the header is not sent, and the body at once.
	// Range: more than 0.
	ExpectContinueTimeout time.Duration

	// MaxSessionsPerHost limits the sessions with one origin that take requests, not
	// counting those for a single request, and dials. At the limit requests wait for a
	// stream of one of them. 0 and less mean no limit. Range: 1 and more.
	MaxSessionsPerHost int

	// StrictMaxConcurrentStreams makes requests wait, in turn, when an origin's session
	// has as many streams as the server takes at once. Without it another session is
	// dialled; requests that wait go where a stream is free first.
	StrictMaxConcurrentStreams bool

	host  *http.Transport // dials for us, see ConfigureTransport; nil if we do
	brief bool            // host does not tell us to close idle sessions
	owner *Client         // whose server all requests go to, whatever their URL; nil if there is none

	once sync.Once // sets up pool
	pool sessionPool
}

// RoundTrip sends a request and returns its answer as soon as the headers have come; the
// body streams and has to be closed. The request's context cancels it in every phase,
// until the body of the answer has been read or closed. The error is then the context's,
// or its cause. Other errors are those of dialling, a *NegotiationError, a
// *ProxyError, a *StreamError, a *SessionError, a *ConnError, or say what is wrong
// with the request.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	return t.roundTripOf(req, t.host == nil)
}

// roundTripOf is RoundTrip. Unless announce is set, the hook GetConn has been called.
func (t *Transport) roundTripOf(req *http.Request, announce bool) (*http.Response, error) {
	if req == nil {
		return nil, errNoRequest
	}
	body := newTryBody(req, false)
	res, err := t.roundTrip(req, body, announce)
	switch err {
	case nil:
		res.Request = req
	case errNoSession: // t.host dials, and sends the body
		body.handBack()
	default:
		body.Close()
	}
	return res, err
}

// CloseIdleConnections ends the sessions that carry no request. Those that do are left
// alone, and stay in use.
func (t *Transport) CloseIdleConnections() { t.sessions().closeIdle() }

// Clone returns a Transport with the same options and sessions of its own. Config,
// TLSClientConfig and ProxyConnectHeader are copied.
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

// roundTrip sends a request until there is an answer, or a failure that forbids another
// try.
func (t *Transport) roundTrip(req *http.Request, body *tryBody, announce bool) (*http.Response, error) {
	key, err := t.originOf(req)
	if err != nil {
		return nil, err
	}
	sent := t.triesOf(req)
	first := sent.n
	var last attempt
	if err := causeOf(req.Context()); err != nil { // else it would have a session dialled
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

// An attempt is one try of a request.
type attempt struct {
	announce bool // GetConn is to be called

	err      error
	outlook  outlook
	hopeless bool // another new session would not do better
}

// try sends a request once.
func (t *Transport) try(a *attempt, req *http.Request, key originKey) (*http.Response, error) {
	trace := httptrace.ContextClientTrace(req.Context())
	if t.host == nil {
		a.gettingConn(trace, key)
	}
	alone := req.Close || t.DisableKeepAlives
	ps, use, err := t.sessions().take(req.Context(), key, alone)
	if err != nil {
		return nil, err
	}
	if t.host != nil { // it calls GetConn if there is none here
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
	if alone { // a session that others may use takes no more requests
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

// asks are the options of a Transport as a request has them.
func (t *Transport) asks(req *http.Request) (a uploadOptions) {
	a.gzip = !t.DisableCompression && req.Method != http.MethodHead &&
		req.Header.Get("Accept-Encoding") == "" && req.Header.Get("Range") == ""
	a.answerTimeout = t.ResponseHeaderTimeout
	if httpguts.HeaderValuesContainsToken(req.Header["Expect"], "100-continue") {
		a.continueTimeout = t.ExpectContinueTimeout
	}
	return a
}

// sessionConfig is the configuration of the sessions of an origin.
func (t *Transport) sessionConfig(key originKey) *Config {
	d := t.Config.forOrigin(key.origin())
	d.shared = t.sessions().shared
	if t.MaxResponseHeaderBytes > 0 && d.MaxHeaderBytes <= 0 {
		d.MaxHeaderBytes = blockBytes(t.MaxResponseHeaderBytes)
	}
	return d
}

// PoolStats returns what is used of the pools of the Transport's sessions, see Pools. It may be
// called at any time.
func (t *Transport) PoolStats() PoolStats { return t.sessions().shared.stats() }

// mayHave reports whether an origin with n sessions may get another one.
func (t *Transport) mayHave(n int) bool {
	if t.host != nil {
		return t.host.MaxConnsPerHost <= 0 || n < t.host.MaxConnsPerHost
	}
	below := func(limit int) bool { return limit <= 0 || n < limit }
	return n == 0 || !t.StrictMaxConcurrentStreams && below(t.MaxSessionsPerHost) && below(t.MaxConnsPerHost)
}

// idleTimeout is how long a session may be idle.
func (t *Transport) idleTimeout(alone bool) time.Duration {
	switch {
	case alone:
		return 0
	case t.brief && t.IdleConnTimeout == 0:
		return briefIdleTimeout
	}
	return t.IdleConnTimeout
}

// originOf is where a request goes, and by which way.
func (t *Transport) originOf(req *http.Request) (key originKey, err error) {
	if t.owner != nil {
		return t.owner.home, nil
	}
	if req.URL == nil {
		return key, &messageError{"nil Request.URL"}
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
		return key, &messageError{"no Host in request URL"}
	}
	if key.addr, err = urlAddr(req.URL, port); err != nil {
		return key, &messageError{fmt.Sprintf("invalid host %q", req.URL.Host)}
	}
	key.addr = strings.ToLower(key.addr)
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
