package heal

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

type connScript = func(conn net.Conn, f *spdy.Framer) error

// firstIs serves the first connection of a site with first, and the others with rest.
func (s *site) firstIs(first, rest connScript) {
	s.script = func(n int, conn net.Conn, f *spdy.Framer) error {
		if n == 1 {
			return first(conn, f)
		}
		return rest(conn, f)
	}
}

// swallow reads a connection and sends nothing.
func swallow(conn net.Conn, _ *spdy.Framer) error {
	_, err := io.Copy(io.Discard, conn)
	return err
}

// swallowAfterSettings sends SETTINGS and nothing else.
func swallowAfterSettings(conn net.Conn, f *spdy.Framer) error {
	err := f.WriteFrame(&spdy.SettingsFrame{Entries: []spdy.Setting{{ID: spdy.SettingMaxConcurrentStreams, Value: 100}}})
	if err != nil {
		return err
	}
	return swallow(conn, f)
}

// shortTrip is the latency of the sites of these tests.
var shortTrip = []testconn.Option{testconn.Latency(2 * time.Millisecond)}

// serveHandler serves the handler of the site.
func (s *site) serveHandler(conn net.Conn, _ *spdy.Framer) error {
	return bubble.Quiet(spdy.Config{}, s.v).ServerSession(conn, &http.Server{Handler: s.handler}).Serve()
}

// lostToFirst returns the number of requests that HTTP/1.1 and x/net/http2 lose if first1 and first2
// serve their first connections.
func lostToFirst(t *testing.T, patience time.Duration, first1, first2 connScript) (http1, h2 int) {
	bubble.Run(t, "HTTP 1.1", func(t *testing.T) {
		s := newSite(t, spdy.SPDY31, hello)
		s.opts = shortTrip
		s.firstIs(first1, serveHTTP1)
		tr := &http.Transport{DialContext: s.dial}
		t.Cleanup(tr.CloseIdleConnections)
		http1 = s.failures(patience, tr)
	})
	bubble.Run(t, "HTTP 2", func(t *testing.T) {
		s := newSite(t, spdy.SPDY31, hello)
		s.opts = shortTrip
		s.firstIs(first2, func(conn net.Conn, _ *spdy.Framer) error {
			new(http2.Server).ServeConn(conn, &http2.ServeConnOpts{Handler: s.handler})
			return nil
		})
		tr := &http2.Transport{AllowHTTP: true, DialTLSContext: func(ctx context.Context, network, addr string, _ *tls.Config) (net.Conn, error) {
			return s.dial(ctx, network, addr)
		}}
		t.Cleanup(tr.CloseIdleConnections)
		h2 = s.failures(patience, tr)
	})
	return http1, h2
}

// TestNeverAnswered: a connection whose server never answers a request costs at most one request
// more than with HTTP/1.1, however short the timeouts are. The server may have sent SETTINGS.
func TestNeverAnswered(t *testing.T) {
	for _, patience := range []time.Duration{30 * time.Millisecond, 100 * time.Millisecond, time.Second, 10 * time.Second} {
		http1, h2 := lostToFirst(t, patience, swallow, swallow)
		require.Equal(t, 1, http1)
		require.Greater(t, h2, 90, "nearly all, up to the limit of 100 failures")
		for name, silent := range map[string]connScript{"silent": swallow, "SETTINGS": swallowAfterSettings} {
			t.Run(name+" "+patience.String(), func(t *testing.T) {
				inAll(t, hello, func(t *testing.T, s *site, rt http.RoundTripper) {
					s.opts = shortTrip
					s.firstIs(silent, s.serveHandler)
					require.LessOrEqual(t, s.failures(patience, rt), http1+1)
					require.Equal(t, 2, s.dialled())
					bubble.Pass(3 * time.Second)
					require.True(t, s.closed(0), "the silent session has ended")
				})
			})
		}
	}
}

// TestLongPathUnanswered: on a long path, requests that time out within the first round trip of a
// session cause no further dial.
func TestLongPathUnanswered(t *testing.T) {
	const trip = 200 * time.Millisecond
	inAll(t, hello, func(t *testing.T, s *site, rt http.RoundTripper) {
		s.opts = []testconn.Option{testconn.Latency(trip / 2)}
		s.dialTakes = trip
		patient := make(chan error, 1)
		go func() { patient <- s.within(time.Minute, rt, "/") }()
		bubble.Pass(trip + time.Millisecond)
		if s.secure {
			bubble.Pass(trip)
		}
		for range 5 {
			require.Error(t, s.within(30*time.Millisecond, rt, "/"))
		}
		require.Empty(t, patient, "the first round trip is not over")
		require.NoError(t, <-patient)
		bubble.Pass(time.Second) // further dials end
		require.Equal(t, 1, s.dialled())
	})
}
