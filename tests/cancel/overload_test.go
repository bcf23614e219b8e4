package cancel_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// A service is a server and the transport of its clients, over connections of 5 ms.
type service struct {
	transport http.RoundTripper
	close     func() // ends both and waits for them
}

// path is the path between client and server.
func path() testconn.Option { return testconn.Latency(5 * time.Millisecond) }

// spdyService is a Server of ours and a Transport of ours, which speak v.
func spdyService(t *testing.T, v spdy.Version, h http.Handler) service {
	ln := testconn.Listen()
	srv := &spdy.Server{Handler: h, Config: bubble.Quiet(spdy.Config{}, v), Logger: slog.New(slog.DiscardHandler)}
	end := make(chan error, 1)
	go func() { end <- srv.Serve(ln) }()
	tr := &spdy.Transport{Config: bubble.Quiet(spdy.Config{}, v), DialContext: func(context.Context, string, string) (net.Conn, error) {
		return ln.Dial(path())
	}}
	return service{transport: tr, close: func() {
		s := srv.Stats()
		require.Zero(t, s.Flooded)
		require.EqualValues(t, s.SessionsTotal, s.Sessions, "sessions have ended")
		tr.CloseIdleConnections()
		require.NoError(t, srv.Close())
		require.ErrorIs(t, <-end, http.ErrServerClosed)
	}}
}

// http2Service is the same with golang.org/x/net/http2.
func http2Service(h http.Handler) service {
	var wg sync.WaitGroup
	tr := &http2.Transport{AllowHTTP: true, DialTLSContext: func(context.Context, string, string, *tls.Config) (net.Conn, error) {
		ours, theirs := testconn.Pair(path())
		wg.Go(func() { new(http2.Server).ServeConn(theirs, &http2.ServeConnOpts{Handler: h}) })
		return ours, nil
	}}
	return service{transport: tr, close: func() {
		tr.CloseIdleConnections()
		wg.Wait()
	}}
}

// TestAttackA28Overload: handlers take five seconds, callers wait one. However many requests are
// cancelled so, the one long response beside them is not cut. HTTP/2 does as well.
func TestAttackA28Overload(t *testing.T) {
	t.Run("http2", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { overload(t, http2Service) })
	})
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		overload(t, func(h http.Handler) service { return spdyService(t, v, h) })
	})
}

// overload runs the test with a service.
func overload(t *testing.T, serve func(h http.Handler) service) {
	const callers, total = 160, time.Minute
	s := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/tick" {
			tick(w, r)
			return
		}
		bubble.Pass(5 * time.Second) // whatever the client does
	}))
	defer s.close()
	live := startTicking(t, s.transport, "http://overload.example/tick")
	bubble.Pass(time.Second)
	end := time.Now().Add(total)
	var asked, answered atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for time.Now().Before(end) {
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				req, err := http.NewRequestWithContext(ctx, "GET", "http://overload.example/slow", nil)
				if err != nil {
					panic(err)
				}
				asked.Add(1)
				if res, err := s.transport.RoundTrip(req); err == nil {
					answered.Add(1)
					res.Body.Close()
				}
				cancel()
				bubble.Pass(10 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	require.Zero(t, answered.Load())
	require.Greater(t, asked.Load(), int64(callers*40))
	require.InDelta(t, 10*(total+time.Second).Seconds(), live.ticks.Load(), 50)
	live.wantOn(t)
	bubble.Pass(10 * time.Second) // the last handlers return
	res, err := s.transport.RoundTrip(patient(t))
	require.NoError(t, err, "the server has recovered")
	res.Body.Close()
	live.cancel()
	require.ErrorIs(t, <-live.err, context.Canceled)
	bubble.Pass(10 * time.Second)
}

// patient is a request without a deadline.
func patient(t *testing.T) *http.Request {
	req, err := http.NewRequest("GET", "http://overload.example/slow", nil)
	require.NoError(t, err)
	return req
}
