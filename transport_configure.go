package spdy

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// errNoSession reports to an http.Transport that no session has a free stream for the request. The
// http.Transport then dials.
var errNoSession error = noSessionError{}

type noSessionError struct{}

func (noSessionError) Error() string { return "spdy: no session takes the request" }

// IsHTTP2NoCachedConnError marks the error for net/http.
func (noSessionError) IsHTTP2NoCachedConnError() {}

// briefIdleTimeout is the idle timeout of sessions unreachable for CloseIdleConnections, if the
// http.Transport has no idle timeout.
const briefIdleTimeout = 90 * time.Second

// unclaimedTimeout is how long a connection dialled by an http.Transport waits for the first request,
// if the connection speaks HTTP/2, or SPDY with DisableKeepAlives. The request arrives at once unless
// it has been cancelled, and the http.Transport does not report that.
const unclaimedTimeout = 5 * time.Second

// ConfigureTransport adds SPDY to an http.Transport. https requests use SPDY with servers that
// choose it by ALPN, HTTP/2 with servers that choose HTTP/2 if t would use it without SPDY, and
// HTTP/1.1 with all other servers. SPDY is preferred where a server leaves the choice to the
// client. Plain http requests are unchanged. conf configures the sessions; nil means the defaults.
//
// t dials, so DialContext, TLSClientConfig, Proxy and TLSHandshakeTimeout keep their meaning. So do
// ResponseHeaderTimeout, MaxResponseHeaderBytes, ExpectContinueTimeout (see Transport),
// IdleConnTimeout, MaxIdleConns (idle sessions are counted apart from other connections),
// DisableCompression, DisableKeepAlives, Request.Close, and CloseIdleConnections for sessions on
// dialled connections. A DialTLSContext must offer SPDY by ALPN; connections other than *tls.Conn
// carry HTTP/1.1, as without SPDY. All requests for the same host and port share sessions, as with
// HTTP/2, whatever Proxy returns for a request. If no session has a free stream, t dials another
// session; as with HTTP/2, MaxConnsPerHost does not count full sessions. While a server allows no
// streams at all and has four sessions, requests wait until the server allows streams or a session
// ends. Where sessions have recently refused requests, t dials replacements at most four times a
// second. Requests are retried as by Transport. If the request that caused a dial is cancelled, the
// connection serves later requests; with HTTP/2, and with DisableKeepAlives, it ends after five
// seconds without a request.
//
// Call ConfigureTransport before t is used, and before golang.org/x/net/http2 configures HTTP/2 on
// t: http.Transport has a single slot for a protocol that intercepts https requests and is notified
// of CloseIdleConnections, and SPDY now occupies the slot. HTTP/2 works as if t were unchanged:
// with the options of t, including the field HTTP2, if the transport has neither a TLSClientConfig
// nor custom dialers, or if ForceAttemptHTTP2 or Protocols enable it. x/net's
// http2.ConfigureTransport fails afterwards. If HTTP/2 is already configured on t, which also
// happens at the first request, that configuration stays and SPDY works beside it.
// CloseIdleConnections then does not reach SPDY sessions: without an IdleConnTimeout they end after
// 90 idle seconds.
//
// t.TLSClientConfig is replaced by a copy that offers SPDY. A Clone of t shares the sessions of t;
// configure the Clone separately to avoid this. http.Transport.NewClientConn does not support SPDY
// and should not be used on t. ConfigureTransport returns an error if t is nil or already
// configured. Like RegisterProtocol, ConfigureTransport panics if t has another protocol registered
// for https.
func ConfigureTransport(t *http.Transport, conf *Config) error {
	if t == nil {
		return errors.New("spdy: ConfigureTransport of no transport")
	}
	if err := conf.check(conf.clientSending()); err != nil {
		return err
	}
	for _, name := range protocolNames() {
		if t.TLSNextProto[name] != nil {
			return errors.New("spdy: the transport is configured already for " + name)
		}
	}
	g := &graft{t: t, inner: &Transport{Config: conf, host: t, brief: true}}
	next := make(map[string]upgradeFunc, len(t.TLSNextProto)+len(protocols))
	maps.Copy(next, t.TLSNextProto) // the map may be shared with other transports
	alone := t.TLSNextProto["h2"] == nil
	if alone {
		g.keepHTTP2(next)
	} else {
		t.TLSClientConfig = withProtocols(t.TLSClientConfig, protocolHTTP11)
	}
	for _, name := range protocolNames() {
		next[name] = g.upgrade
	}
	t.TLSNextProto = next
	if alone {
		t.RegisterProtocol("https", httpsHook{g})
		t.CloseIdleConnections() // now net/http determines which protocols to notify
		g.inner.brief = !g.heard.Load()
	}
	return nil
}

// An upgradeFunc is a value of http.Transport.TLSNextProto.
type upgradeFunc = func(authority string, c *tls.Conn) http.RoundTripper

// A graft is SPDY on an http.Transport.
type graft struct {
	t     *http.Transport // dials, and passes requests to inner after a dial
	inner *Transport      // keeps the sessions, and never dials
	http2 *http.Protocols // the versions of HTTP/2 for t, nil for none
	heard atomic.Bool     // CloseIdleConnections reaches us

	once sync.Once                      // copies the options of t
	h2   atomic.Pointer[http.Transport] // keeps the connections of HTTP/2; nil without it

	// adding serializes the addition of sessions, so of several connections dialled by t at the
	// same time a single session is kept. Session.mu may be locked while adding is held.
	adding sync.Mutex
}

// keepHTTP2 configures HTTP/2 as net/http does for a transport without a TLSNextProto, but on a
// separate transport: net/http would register HTTP/2 in the slot needed for SPDY. The ALPN
// protocols are chosen as by http.Transport.
func (g *graft) keepHTTP2(next map[string]upgradeFunc) {
	t := g.t
	var speak http.Protocols
	if t.Protocols != nil {
		speak = *t.Protocols
	} else {
		custom := t.TLSClientConfig != nil || t.DialContext != nil || t.DialTLSContext != nil
		//lint:ignore SA1019 there are programs that still use them
		custom = custom || t.Dial != nil || t.DialTLS != nil
		speak.SetHTTP1(true)
		speak.SetHTTP2(t.TLSNextProto == nil && (t.ForceAttemptHTTP2 || !custom))
	}
	if speak.HTTP2() || speak.UnencryptedHTTP2() {
		scratch := &http.Transport{Protocols: &speak}
		scratch.CloseIdleConnections() // sets TLSNextProto, unless GODEBUG or a build tag forbids it
		for name := range scratch.TLSNextProto {
			next[name] = g.upgradeHTTP2
			g.http2 = &speak
		}
		if g.http2 != nil && speak.UnencryptedHTTP2() { // not in TLSNextProto since Go 1.27
			next[unencryptedHTTP2] = g.upgradeHTTP2
		}
	}
	t.TLSClientConfig = withProtocols(t.TLSClientConfig)
	names := slices.DeleteFunc(t.TLSClientConfig.NextProtos, func(name string) bool {
		return name == "h2" || name == protocolHTTP11
	})
	if next["h2"] != nil && speak.HTTP2() {
		names = append(names, "h2")
	}
	if speak.HTTP1() {
		names = append(names, protocolHTTP11)
	}
	t.TLSClientConfig.NextProtos = names
}

// setUp copies the options of t. The options do not change after the first connection or request.
func (g *graft) setUp() {
	g.once.Do(func() {
		t := g.t
		g.inner.DisableCompression = t.DisableCompression
		g.inner.DisableKeepAlives = t.DisableKeepAlives
		g.inner.IdleConnTimeout = t.IdleConnTimeout
		g.inner.MaxIdleConns = t.MaxIdleConns
		g.inner.ResponseHeaderTimeout = t.ResponseHeaderTimeout
		g.inner.MaxResponseHeaderBytes = t.MaxResponseHeaderBytes
		g.inner.ExpectContinueTimeout = t.ExpectContinueTimeout
		if g.http2 == nil {
			return
		}
		g.h2.Store(g.http2Options())
	})
}

// upgrade makes a session on a connection dialled by t, unless a session with the same server
// already accepts requests: t dials for every request without a session.
func (g *graft) upgrade(authority string, c *tls.Conn) http.RoundTripper {
	g.setUp()
	key := originKey{scheme: "https", addr: lowerAddr(authority)}
	if g.hasRoom(key) {
		c.Close()
		return graftedSessions{g}
	}
	s := g.inner.sessionConfig(key).ClientSession(c)
	g.adding.Lock()
	wanted := !g.hasRoom(key)
	var ps *pooledSession
	if wanted {
		ps = g.inner.sessions().add(s, key)
	}
	g.adding.Unlock()
	if wanted {
		ps.serve()
	} else {
		s.shutdown(ErrSessionClosed)
	}
	return graftedSessions{g}
}

// hasRoom reports whether a new connection is unnecessary.
func (g *graft) hasRoom(key originKey) bool {
	if g.t.DisableKeepAlives {
		return false
	}
	return g.inner.sessions().hasRoom(key)
}

// CloseIdleConnections is called by t.CloseIdleConnections.
func (g *graft) CloseIdleConnections() {
	g.heard.Store(true)
	g.inner.CloseIdleConnections()
	if h2 := g.h2.Load(); h2 != nil {
		h2.CloseIdleConnections()
	}
}

// graftedSessions is the http.RoundTripper for t after a dial.
type graftedSessions struct{ g *graft }

// RoundTrip sends a request on an existing session, or makes t dial.
func (r graftedSessions) RoundTrip(req *http.Request) (*http.Response, error) {
	return r.g.inner.RoundTrip(req)
}

// triesKey is the key of the *tries in the context of a request that t.host sends for t.
type triesKey struct{ t *Transport }

// triesOf returns the previous tries of the request.
func (t *Transport) triesOf(req *http.Request) *tries {
	if sent, ok := req.Context().Value(triesKey{t}).(*tries); ok {
		return sent
	}
	return new(tries)
}

// sendElsewhere makes t.host retry a request for which no session has a free stream. The host does
// not know of the previous tries; the request's context carries them through all tries of the host.
func (t *Transport) sendElsewhere(req *http.Request, body *tryBody, sent *tries) (*http.Response, error) {
	again := req.WithContext(context.WithValue(req.Context(), triesKey{t}, sent))
	body.release(again)
	return t.host.RoundTrip(again)
}

// An httpsHook is asked by t before t looks for a connection. net/http notifies a protocol of
// CloseIdleConnections if the type has a single exported field with that method.
type httpsHook struct{ Graft *graft }

// RoundTrip sends a request on an existing session, or leaves it to t.
func (h httpsHook) RoundTrip(req *http.Request) (*http.Response, error) {
	g := h.Graft
	g.setUp()
	if g.t.DisableKeepAlives {
		return nil, http.ErrSkipAltProtocol
	}
	res, err := g.inner.roundTripOf(req, true)
	if err == errNoSession {
		err = http.ErrSkipAltProtocol
	}
	return res, err
}
