package spdy

import (
	"context"
	"crypto/tls"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// errNoSession tells an http.Transport that no session has a stream for the request, so
// that it dials.
var errNoSession error = noSessionError{}

type noSessionError struct{}

func (noSessionError) Error() string { return "spdy: no session takes the request" }

// IsHTTP2NoCachedConnError is what net/http looks for.
func (noSessionError) IsHTTP2NoCachedConnError() {}

// briefIdleTimeout is the idle timeout of sessions that CloseIdleConnections cannot
// reach, where the http.Transport has none.
const briefIdleTimeout = 90 * time.Second

// ConfigureTransport adds SPDY to an http.Transport: its https requests use SPDY with
// servers that choose it by ALPN, HTTP/2 with those that choose that, if t would use it
// without SPDY, and HTTP/1.1 with all others. SPDY is preferred where a server leaves the
// choice to the client. Plain http requests are not touched. conf configures the
// sessions; nil means the defaults.
//
// t dials, so DialContext, TLSClientConfig, Proxy and TLSHandshakeTimeout keep their
// meaning, and so do ResponseHeaderTimeout, MaxResponseHeaderBytes, ExpectContinueTimeout
// (see Transport), IdleConnTimeout, MaxIdleConns, which limits idle sessions apart from
// other connections, DisableCompression, DisableKeepAlives, Request.Close
// and CloseIdleConnections for what it dials. A DialTLSContext has to offer SPDY itself;
// connections that are no *tls.Conn carry HTTP/1.1, as they do without SPDY. Sessions are
// shared by all requests for the same host and port, as those of HTTP/2 are, whatever
// Proxy says of each request. For a request that no session has a stream for t dials
// another one, and as with HTTP/2 MaxConnsPerHost does not count those that are full. While a
// server allows no streams at all, requests wait when there are four sessions with it, until
// it allows some or a session ends; where sessions have refused requests lately, t dials four
// times a second at most in their place.
// Requests are sent again as by Transport.
//
// It has to be called before t is used, and before HTTP/2 is configured on t by
// golang.org/x/net/http2: http.Transport has one place for a protocol that takes its
// https requests over and hears of CloseIdleConnections, which now is that of SPDY.
// HTTP/2 goes on as if t had been left alone: with the options of t, its field HTTP2
// included, for a transport with neither TLSClientConfig nor dialers of its own, or if
// ForceAttemptHTTP2 or Protocols ask for it. x/net's http2.ConfigureTransport fails
// afterwards. If HTTP/2 is configured on t already, which also happens at its first
// request, it stays as it is, and SPDY works beside it, but CloseIdleConnections does not
// reach its sessions: without an IdleConnTimeout they end after 90 idle seconds.
//
// t.TLSClientConfig is replaced by a copy that offers SPDY. A Clone of t shares t's
// sessions, and has to be configured itself if it is not to. http.Transport.NewClientConn
// knows nothing of SPDY and should not be used on t. The error is about a t that is nil
// or configured already. Like RegisterProtocol, ConfigureTransport panics if t has another
// protocol registered for https.
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
	maps.Copy(next, t.TLSNextProto) // which others may have too
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
		t.CloseIdleConnections() // now net/http looks who is to hear of it
		g.inner.brief = !g.heard.Load()
	}
	return nil
}

// An upgradeFunc is a value of http.Transport.TLSNextProto.
type upgradeFunc = func(authority string, c *tls.Conn) http.RoundTripper

// A graft is SPDY on an http.Transport.
type graft struct {
	t     *http.Transport // dials, and asks inner for what it has dialled
	inner *Transport      // keeps the sessions, and never dials
	http2 *http.Protocols // what of HTTP/2 t is to speak, nil for nothing
	heard atomic.Bool     // CloseIdleConnections reaches us

	once sync.Once                      // sets up what depends on the options of t
	h2   atomic.Pointer[http.Transport] // keeps the connections of HTTP/2; nil without it

	// adding makes new sessions come one after the other, so that of those that t has
	// dialled at the same time one is kept. Session.mu may be taken while it is held.
	adding sync.Mutex
}

// keepHTTP2 does for HTTP/2 what net/http does for a transport with a TLSNextProto of
// nil, but by way of another transport: net/http would register HTTP/2 in the place that
// we need. What is negotiated is chosen as by http.Transport.
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
		scratch.CloseIdleConnections() // sets TLSNextProto, unless GODEBUG or a build tag forbid it
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

// setUp takes over the options of t. From the first connection or request on, they do
// not change any more.
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

// upgrade makes a session of a connection that t has dialled, unless there is one for
// the same server that takes requests: t dials for each request that finds none.
func (g *graft) upgrade(authority string, c *tls.Conn) http.RoundTripper {
	g.setUp()
	key := originKey{scheme: "https", addr: strings.ToLower(authority)}
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

// hasRoom reports whether a new connection is not needed.
func (g *graft) hasRoom(key originKey) bool {
	if g.t.DisableKeepAlives {
		return false
	}
	return g.inner.sessions().hasRoom(key)
}

// CloseIdleConnections is called by that of t.
func (g *graft) CloseIdleConnections() {
	g.heard.Store(true)
	g.inner.CloseIdleConnections()
	if h2 := g.h2.Load(); h2 != nil {
		h2.CloseIdleConnections()
	}
}

// graftedSessions is what t sends requests to once it has dialled.
type graftedSessions struct{ g *graft }

// RoundTrip sends a request by a session that is there, or has t dial.
func (r graftedSessions) RoundTrip(req *http.Request) (*http.Response, error) {
	return r.g.inner.RoundTrip(req)
}

// triesKey is the key of the *tries in the context of a request that t.host sends for t.
type triesKey struct{ t *Transport }

// triesOf returns the tries that the request has behind it.
func (t *Transport) triesOf(req *http.Request) *tries {
	if sent, ok := req.Context().Value(triesKey{t}).(*tries); ok {
		return sent
	}
	return new(tries)
}

// sendElsewhere has t.host send a request again for which no session has a stream. The
// host does not know that it has been sent; its context remembers that, in all of the
// host's tries.
func (t *Transport) sendElsewhere(req *http.Request, body *tryBody, sent *tries) (*http.Response, error) {
	again := req.WithContext(context.WithValue(req.Context(), triesKey{t}, sent))
	body.release(again)
	return t.host.RoundTrip(again)
}

// An httpsHook is asked by t before it looks for a connection. That it has one field,
// which is exported and has CloseIdleConnections, is how net/http knows a protocol that
// wants to hear of it.
type httpsHook struct{ Graft *graft }

// RoundTrip sends a request by a session that is there, or leaves it to t.
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
