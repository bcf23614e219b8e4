package heal

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// An idler is a transport that ends idle connections.
type idler interface {
	http.RoundTripper
	CloseIdleConnections()
}

// farewells are the ways in which a client ends the connection to a peer that has fallen silent. ours
// and http1 have MaxConnsPerHost 1.
var farewells = map[string]struct {
	options func(ours *spdy.Transport, http1 *http.Transport)
	end     func(t *testing.T, s *site, rt idler)
}{
	"CloseIdleConnections": {nil, func(_ *testing.T, s *site, rt idler) {
		s.hole(true)
		rt.CloseIdleConnections()
	}},
	"CloseIdleConnections after a timeout": {nil, func(t *testing.T, s *site, rt idler) {
		s.hole(true)
		require.Error(t, s.post(10*time.Millisecond, rt, "/slow"))
		synctest.Wait() // until the stream has been reset: the session is idle then
		rt.CloseIdleConnections()
	}},
	"IdleConnTimeout": {func(ours *spdy.Transport, http1 *http.Transport) {
		ours.IdleConnTimeout, http1.IdleConnTimeout = time.Minute, time.Minute
	}, func(_ *testing.T, s *site, _ idler) {
		s.hole(true)
		bubble.Pass(time.Minute + time.Millisecond)
	}},
}

// TestFarewellsAtConnLimit: a connection that has no requests any more, and whose peer is silent, keeps
// requests from another connection for a second at most where MaxConnsPerHost is 1. HTTP/1.1 closes it
// at once.
func TestFarewellsAtConnLimit(t *testing.T) {
	for name, way := range farewells {
		meet := func(t *testing.T, s *site, ours *spdy.Transport, http1 *http.Transport, rt idler) {
			if way.options != nil {
				way.options(ours, http1)
			}
			t.Cleanup(rt.CloseIdleConnections)
			require.NoError(t, s.post(time.Second, rt, "/"))
			way.end(t, s, rt)
			require.NoError(t, s.post(1500*time.Millisecond, rt, "/"))
			require.True(t, s.closed(0))
		}
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			s := newSite(t, v, hello)
			tr := &spdy.Transport{Config: s.conf, DialContext: s.dial, MaxConnsPerHost: 1}
			meet(t, s, tr, new(http.Transport), tr)
		})
		bubble.Run(t, name+"/http1", func(t *testing.T) {
			s := newSite(t, spdy.SPDY31, nil)
			s.script = func(_ int, conn net.Conn, f *spdy.Framer) error { return serveHTTP1(conn, f) }
			tr := &http.Transport{DialContext: s.dial, MaxConnsPerHost: 1}
			meet(t, s, new(spdy.Transport), tr, tr)
		})
	}
}

// post uploads a body, whose receipt the server confirms when it answers a PING.
func (s *site) post(d time.Duration, rt http.RoundTripper, path string) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), d)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "POST", "http://heal.example"+path, strings.NewReader("body"))
	require.NoError(s.t, err)
	_, err = fetch(rt, req)
	return err
}

// serveHTTP1 answers requests of HTTP/1.1 at once, except for /slow.
func serveHTTP1(conn net.Conn, _ *spdy.Framer) error {
	r := bufio.NewReader(conn)
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return err
		}
		res := http.Response{ProtoMajor: 1, ProtoMinor: 1, StatusCode: 200, ContentLength: 5, Body: io.NopCloser(strings.NewReader("hello"))}
		if req.URL.Path == "/slow" {
			continue
		}
		if err := res.Write(conn); err != nil {
			return err
		}
	}
}
