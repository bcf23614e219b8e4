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

// events streams nothing for an hour at /events, as fast as it can at /film, and answers /soon
// and all other paths like hello.
func events(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/events":
		_ = http.NewResponseController(w).Flush()
		select {
		case <-time.After(time.Hour):
		case <-r.Context().Done():
		}
	case "/film":
		for piece := make([]byte, 64<<10); ; {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	default:
		hello(w, r)
	}
}

// limited is a Transport that may have n connections.
func (s *site) limited(n int) *spdy.Transport {
	tr := &spdy.Transport{Config: s.conf, DialContext: s.dial, MaxConnsPerHost: n}
	s.t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// open begins a request that goes on behind the headers of its answer.
func (s *site) open(ctx context.Context, rt http.RoundTripper, path string) io.ReadCloser {
	req, err := http.NewRequestWithContext(ctx, "GET", "http://heal.example"+path, nil)
	require.NoError(s.t, err)
	res, err := rt.RoundTrip(req)
	require.NoError(s.t, err)
	return res.Body
}

// pauseAtLimit has the network stand still for two seconds while a request is given up, and
// returns what becomes of the next one, which the only connection carries beside a stream of
// events.
func pauseAtLimit(s *site, rt http.RoundTripper) error {
	defer s.open(s.t.Context(), rt, "/events").Close()
	s.hold(true)
	require.Error(s.t, s.within(100*time.Millisecond, rt, "/soon"))
	bubble.Pass(2 * time.Second)
	s.hold(false)
	return s.within(time.Second, rt, "/")
}

// TestPauseAtConnLimit: where MaxConnsPerHost allows no other connection, one that has been silent
// and carries requests takes others as soon as it is there again. If it did not, they would wait
// until the last of its streams has ended, which may be a stream of events.
func TestPauseAtConnLimit(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		s := newSite(t, v, events)
		require.NoError(t, pauseAtLimit(s, s.limited(1)))
		require.Equal(t, 1, s.dialled())
	})
	bubble.Run(t, "http2", func(t *testing.T) {
		s := newSite(t, spdy.SPDY31, events)
		s.script = func(_ int, conn net.Conn, _ *spdy.Framer) error {
			new(http2.Server).ServeConn(conn, &http2.ServeConnOpts{Handler: s.handler})
			return nil
		}
		tr := &http2.Transport{AllowHTTP: true, StrictMaxConcurrentStreams: true, DialTLSContext: func(ctx context.Context, network, addr string, _ *tls.Config) (net.Conn, error) {
			return s.dial(ctx, network, addr)
		}}
		t.Cleanup(tr.CloseIdleConnections)
		require.NoError(t, pauseAtLimit(s, tr))
		require.Equal(t, 1, s.dialled())
	})
}

// TestPausesBelowConnLimit: no pause takes a connection from those that MaxConnsPerHost allows.
func TestPausesBelowConnLimit(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		s := newSite(t, v, events)
		s.streams = 3
		rt := s.limited(3)
		for range 3 { // each pause has another connection dialled, as long as that is allowed
			body := s.open(t.Context(), rt, "/events")
			defer body.Close()
			s.hold(true)
			require.Error(t, s.within(100*time.Millisecond, rt, "/soon"))
			bubble.Pass(2 * time.Second)
			_ = s.within(100*time.Millisecond, rt, "/") // fails at the limit
			s.hold(false)
		}
		for range 6 { // the streams that are left on three connections
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			defer s.open(ctx, rt, "/events").Close()
		}
		require.Equal(t, 3, s.dialled())
	})
}

// TestLongQueueAtConnLimit: the same where answers to PINGs are behind seconds of a download.
func TestLongQueueAtConnLimit(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		s := newSite(t, v, events)
		s.opts = []testconn.Option{testconn.Bandwidth(20 << 10), testconn.WriteCap(512 << 10)}
		rt := s.limited(1)
		require.Error(t, s.within(time.Second, rt, "/soon")) // the server has answered a PING then
		bubble.Pass(time.Second)
		body := s.open(t.Context(), rt, "/film")
		defer body.Close()
		done := make(chan struct{})
		go func() { // ends with the body
			_, _ = io.Copy(io.Discard, body)
			close(done)
		}()
		bubble.Pass(time.Minute)
		for range 8 {
			require.Error(t, s.within(time.Second, rt, "/soon"))
		}
		require.NoError(t, s.within(time.Minute, rt, "/"))
		require.Equal(t, 1, s.dialled())
		body.Close()
		<-done
	})
}

// TestDeadAtConnLimit: a connection that is dead makes way when those that it carries give up.
func TestDeadAtConnLimit(t *testing.T) {
	for _, limit := range []int{1, 2} {
		bubble.InVersions(t, []string{1: "one", 2: "two"}[limit], func(t *testing.T, v spdy.Version) {
			s := newSite(t, v, events)
			rt := s.limited(limit)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			defer s.open(ctx, rt, "/events").Close()
			s.hole(true)
			require.Error(t, s.within(100*time.Millisecond, rt, "/soon"))
			bubble.Pass(2 * time.Second)
			require.Equal(t, limit == 2, s.within(time.Second, rt, "/") == nil)
			bubble.Pass(10 * time.Second)
			require.NoError(t, s.within(time.Second, rt, "/"))
			require.True(t, s.closed(0))
			require.Equal(t, 2, s.dialled())
		})
	}
}

// TestManyDeadBelowConnLimit: no request uses one of several dead connections, which streams keep,
// while MaxConnsPerHost allows another one.
func TestManyDeadBelowConnLimit(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		s := newSite(t, v, events)
		rt := s.limited(7)
		for n := range 6 {
			defer s.open(t.Context(), rt, "/events").Close()
			s.hole(true)
			require.Error(t, s.within(100*time.Millisecond, rt, "/soon"))
			bubble.Pass(2 * time.Second)
			require.NoError(t, s.within(time.Second, rt, "/"))
			require.Equal(t, n+2, s.dialled())
		}
	})
}
