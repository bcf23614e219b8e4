package ownership

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// A backend is the server behind a proxy. It remembers the last request.
type backend struct {
	mu      sync.Mutex
	header  http.Header
	trailer http.Header
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // its trailer counts
	b.mu.Lock()
	b.header, b.trailer = r.Header.Clone(), r.Trailer.Clone()
	b.mu.Unlock()
	for _, name := range []string{"Proxy-Authenticate", "Proxy-Authorization", "Keep-Alive", "Upgrade", "X-End"} {
		w.Header().Set(name, "of the backend")
	}
}

// session returns the client session of a proxy with the backend.
func (b *backend) session(t *testing.T, v spdy.Version) *spdy.Session {
	return pair(t, v, b)
}

// pair returns a client session with a server of ours.
func pair(t *testing.T, v spdy.Version, h http.Handler) *spdy.Session {
	ours, theirs := testconn.Pair()
	conf := &spdy.Config{Version: v, Logger: slog.New(slog.DiscardHandler)}
	client, serving := conf.ClientSession(ours), conf.ServerSession(theirs, &http.Server{Handler: h})
	var ends sync.WaitGroup
	ends.Go(func() { _ = client.Serve() }) // both end when the test closes them
	ends.Go(func() { _ = serving.Serve() })
	t.Cleanup(func() {
		client.Close()
		serving.Close()
		ends.Wait()
	})
	return client
}

// dropNamed is the loop in the documentation of NewStreamProxy.
func dropNamed(h http.Header) {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
}

// proxies are proxies that say of each request whose it is, in X-User.
var proxies = map[string]func(s *spdy.Session) http.HandlerFunc{
	"ReverseProxy": func(s *spdy.Session) http.HandlerFunc {
		return (&httputil.ReverseProxy{Transport: s, Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "backend.example"})
			r.Out.Header.Set("X-User", "guest")
		}}).ServeHTTP
	},
	"NewStreamProxy": func(s *spdy.Session) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("X-User", "guest")
			_ = s.NewStreamProxy(r, w) // w has the answer
		}
	},
	"NewStreamProxy, as documented": func(s *spdy.Session) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			dropNamed(r.Header)
			r.Header.Set("X-User", "guest")
			_ = s.NewStreamProxy(r, w)
		}
	},
}

// hopByHop are the header lines of a client that mean its connection with the proxy, and
// the credentials for it.
const hopByHop = "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\nUpgrade: h2c\r\n" +
	"HTTP2-Settings: x\r\nProxy-Authorization: Basic eDp5\r\nproxy-authenticate: x\r\n"

// overHTTP1 writes requests to an HTTP/1.1 front, and returns the last answer's header.
func overHTTP1(t *testing.T, front http.Handler, requests ...string) http.Header {
	ln := testconn.Listen()
	srv := &http.Server{Handler: front}
	go srv.Serve(ln)
	defer srv.Close()
	conn, err := ln.Dial()
	require.NoError(t, err)
	defer conn.Close()
	r := bufio.NewReader(conn)
	var header http.Header
	for _, text := range requests {
		_, err = io.WriteString(conn, text)
		require.NoError(t, err)
		res, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, res.Body)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, res.StatusCode)
		header = res.Header
	}
	return header
}

// A header that a proxy adds reaches the server, whatever the client's Connection names,
// and what a client and a proxy say to each other reaches nobody else.
func TestAttackA30ForwardedHeaders(t *testing.T) {
	for name, proxy := range proxies {
		bubble.InVersions(t, "HTTP1/"+name, func(t *testing.T, v spdy.Version) {
			b := new(backend)
			answer := overHTTP1(t, proxy(b.session(t, v)), "GET / HTTP/1.1\r\nHost: front.example\r\nConnection: X-Hop, x-user, Upgrade\r\n"+
				"X-User: root\r\nX-Hop: 1\r\nX-End: 1\r\n"+hopByHop+"\r\n")
			require.Equal(t, []string{"guest"}, b.header["X-User"])
			require.Equal(t, []string{"1"}, b.header["X-End"])
			for _, key := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "Te", "Upgrade", "Proxy-Authorization", "Proxy-Authenticate"} {
				require.NotContains(t, b.header, key)
			}
			if name == "NewStreamProxy" {
				require.Equal(t, []string{"1"}, b.header["X-Hop"], "the handler may have added it")
			} else {
				require.NotContains(t, b.header, "X-Hop")
			}
			if name != "ReverseProxy" { // which knows it as a header that Connection has to name
				require.NotContains(t, b.header, "Http2-Settings")
			}
			require.Equal(t, "of the backend", answer.Get("X-End"))
			for _, key := range []string{"Keep-Alive", "Upgrade", "Proxy-Authenticate", "Proxy-Authorization"} {
				require.NotContains(t, answer, key)
			}
		})
		bubble.InVersions(t, "SPDY/"+name, func(t *testing.T, v spdy.Version) {
			b := new(backend)
			next := proxy(b.session(t, v))
			client := pair(t, v, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				assert.Equal(t, "secret", r.Header.Get("Proxy-Authorization"), "a client talks to its proxy")
				next(w, r)
			}))
			start(client, request(t, "GET", "/", "Proxy-Authorization: secret", "X-End: 1")).body(t)
			require.Equal(t, []string{"1"}, b.header["X-End"])
			require.NotContains(t, b.header, "Proxy-Authorization")
		})
	}
	testForwardedTrailers(t)
	testOtherTransports(t)
}

// Of a request's trailers those are forwarded that may be trailers.
func testForwardedTrailers(t *testing.T) {
	for name, proxy := range proxies {
		if name == "ReverseProxy" { // whose copy of a request has no values in its Trailer
			continue
		}
		bubble.InVersions(t, "trailers/"+name, func(t *testing.T, v spdy.Version) {
			b := new(backend)
			post := "POST / HTTP/1.1\r\nHost: front.example\r\nTransfer-Encoding: chunked\r\nTrailer: "
			const end = "\r\n\r\n4\r\nbody\r\n0\r\n"
			session := b.session(t, v)
			overHTTP1(t, proxy(session), post+"X-Sum, Connection, Proxy-Authorization, Http2-Settings"+end+
				"X-Sum: 42\r\nConnection: close\r\nProxy-Authorization: Basic eDp5\r\nHTTP2-Settings: x\r\n\r\n")
			if v == spdy.SPDY2 { // a server of SPDY/2 gets none
				require.Subset(t, []string{"X-Sum"}, keys(b.trailer))
			} else {
				require.Equal(t, http.Header{"X-Sum": {"42"}}, b.trailer)
			}
			overHTTP1(t, proxy(session), post+"Proxy-Authorization"+end+"Proxy-Authorization: Basic eDp5\r\n\r\n")
			require.Empty(t, b.trailer)
			synctest.Wait()
			require.Zero(t, session.Stats().Streams)
		})
	}
}

func keys(h http.Header) (names []string) {
	for name := range h {
		names = append(names, name)
	}
	return names
}

// Outside proxies a request keeps all but what describes an HTTP/1.1 connection, as with
// net/http, which is asked the same.
func testOtherTransports(t *testing.T) {
	ask := func(t *testing.T, rt http.RoundTripper, b *backend) http.Header {
		start(rt, request(t, "GET", "/", "Connection: X-A", "X-A: 1", "Proxy-Authorization: secret", "User-Agent: x", "Accept-Encoding: x")).body(t)
		b.header.Del("Connection")
		return b.header
	}
	bubble.InVersions(t, "RoundTrip", func(t *testing.T, v spdy.Version) {
		oracle := new(backend)
		ln := testconn.Listen()
		srv := &http.Server{Handler: oracle}
		go srv.Serve(ln)
		tr := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return ln.Dial() }}
		want := ask(t, tr, oracle)
		tr.CloseIdleConnections()
		require.NoError(t, srv.Close())
		b := new(backend)
		require.Equal(t, want, ask(t, b.session(t, v), b))
	})
}
