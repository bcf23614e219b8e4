package heal

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// TestBlackHole: after the connection has died without a word, at most two requests of a series
// fail, however patient they are, and then the connection is closed. HTTP/1.1 loses one.
func TestBlackHole(t *testing.T) {
	for name, cancelledBefore := range map[string]bool{"first cancel": false, "has answered a PING": true} {
		t.Run(name, func(t *testing.T) {
			for _, patience := range []time.Duration{30 * time.Millisecond, 200 * time.Millisecond, 1100 * time.Millisecond, 10 * time.Second} {
				t.Run(patience.String(), func(t *testing.T) {
					inAll(t, hello, func(t *testing.T, s *site, rt http.RoundTripper) {
						s.opts = []testconn.Option{testconn.Latency(2 * time.Millisecond)}
						require.NoError(t, s.within(time.Second, rt, "/"))
						if cancelledBefore {
							require.Error(t, s.within(time.Second, rt, "/slow"))
							bubble.Pass(time.Second)
						}
						s.hole(true)
						require.LessOrEqual(t, s.failures(patience, rt), 2)
						require.Equal(t, 2, s.dialled())
						bubble.Pass(3 * time.Second)
						require.True(t, s.closed(0), "the dead session has ended")
						require.Zero(t, s.failures(patience, rt))
						require.Equal(t, 2, s.dialled(), "the new one stays")
					})
				})
			}
		})
	}
}

// TestHoleBesideALongPoll: while a long poll is open on the connection that dies, each loss costs a
// session two of the other requests. HTTP/1.1 sends these on other connections, and loses none.
func TestHoleBesideALongPoll(t *testing.T) {
	losses := func(t *testing.T, s *site, rt http.RoundTripper, want int) {
		s.opts = []testconn.Option{testconn.Latency(2 * time.Millisecond)}
		for loss := range 3 {
			require.NoError(t, s.within(time.Second, rt, "/"))
			synctest.Wait() // the connection is idle
			poll := make(chan error, 1)
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				_, err := s.get(ctx, rt, "/slow")
				poll <- err
			}()
			synctest.Wait() // the poll is on the connection
			s.hole(true)
			require.Equal(t, want, s.failures(500*time.Millisecond, rt), "loss %d", loss)
			require.Empty(t, poll)
			cancel()
			require.Error(t, <-poll)
			bubble.Pass(3 * time.Second)
		}
	}
	inAll(t, hello, func(t *testing.T, s *site, rt http.RoundTripper) { losses(t, s, rt, 2) })
	bubble.Run(t, "HTTP/1.1", func(t *testing.T) {
		s := newSite(t, spdy.SPDY31, nil)
		s.script = func(_ int, conn net.Conn, _ *spdy.Framer) error {
			for r := bufio.NewReader(conn); ; {
				req, err := http.ReadRequest(r)
				if err != nil {
					return err
				}
				if req.URL.Path != "/slow" {
					_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
				}
			}
		}
		rt := &http.Transport{DialContext: s.dial}
		t.Cleanup(rt.CloseIdleConnections)
		losses(t, s, rt, 0)
	})
}

// TestBlackHoleOfMixedPatience: behind a request with a long timeout, a series of requests with short
// timeouts loses one request.
func TestBlackHoleOfMixedPatience(t *testing.T) {
	for _, first := range []time.Duration{500 * time.Millisecond, 2 * time.Second, 10 * time.Second} {
		for _, patience := range []time.Duration{30 * time.Millisecond, 100 * time.Millisecond, 400 * time.Millisecond} {
			t.Run(fmt.Sprintf("%v then %v", first, patience), func(t *testing.T) {
				inAll(t, hello, func(t *testing.T, s *site, rt http.RoundTripper) {
					s.opts = shortTrip
					require.NoError(t, s.within(time.Second, rt, "/"))
					s.hole(true)
					require.Error(t, s.within(first, rt, "/"))
					require.LessOrEqual(t, s.failures(patience, rt), 1)
					require.Equal(t, 2, s.dialled())
				})
			})
		}
	}
}

// TestBlackHoleUnderLoad: of many users with a request at a time each, none loses more than two
// requests.
func TestBlackHoleUnderLoad(t *testing.T) {
	inAll(t, hello, func(t *testing.T, s *site, rt http.RoundTripper) {
		require.NoError(t, s.within(time.Second, rt, "/"))
		s.hole(true)
		var users sync.WaitGroup
		for i := range 50 {
			users.Go(func() {
				bubble.Pass(time.Duration(i) * 10 * time.Millisecond)
				if n := s.failures(time.Second, rt); n > 2 {
					t.Errorf("user %d lost %d requests", i, n)
				}
			})
		}
		users.Wait()
	})
}

// TestOthersOfSilentSession: a session whose server is silent takes no more requests, and those
// that it has go on: the path may come back. When they have ended it ends.
func TestOthersOfSilentSession(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/long" {
			w.(http.Flusher).Flush()
			select {
			case <-time.After(time.Minute):
			case <-r.Context().Done():
			}
		}
		_, _ = io.WriteString(w, "hello")
	}
	inAll(t, h, func(t *testing.T, s *site, rt http.RoundTripper) {
		type result struct {
			body string
			err  error
		}
		long := make(chan result, 1)
		go func() {
			body, err := s.get(t.Context(), rt, "/long")
			long <- result{body, err}
		}()
		synctest.Wait()
		s.hold(true)
		require.LessOrEqual(t, s.failures(time.Second, rt), 2)
		bubble.Pass(10 * time.Second)
		require.False(t, s.closed(0))
		require.Empty(t, long)
		s.hold(false)
		require.Equal(t, result{"hello", nil}, <-long)
		bubble.Pass(10 * time.Second)
		require.True(t, s.closed(0), "nothing is open on it")
		require.NoError(t, s.within(time.Second, rt, "/"))
		require.Equal(t, 2, s.dialled())
	})
}

// TestSlowServer: a server that is slow and there keeps its session, although each request
// times out.
func TestSlowServer(t *testing.T) {
	inAll(t, hello, func(t *testing.T, s *site, rt http.RoundTripper) {
		s.opts = []testconn.Option{testconn.Latency(20 * time.Millisecond)}
		require.NoError(t, s.within(time.Second, rt, "/"))
		for range 20 {
			require.Error(t, s.within(300*time.Millisecond, rt, "/slow"))
		}
		bubble.Pass(time.Minute)
		require.NoError(t, s.within(time.Second, rt, "/"))
		require.Equal(t, 1, s.dialled())
	})
}

// TestSuspectServerReturns: while a session is suspect a request waits; the first frame of its
// server gives it the session's slot, without another dial being through.
func TestSuspectServerReturns(t *testing.T) {
	for _, c := range clients[:1] { // an http.Transport that dials does not look at sessions
		bubble.InVersions(t, c.name, func(t *testing.T, v spdy.Version) {
			s := newSite(t, v, hello)
			s.stuck = func(n int) bool { return n > 1 }
			rt := c.make(s)
			require.NoError(t, s.within(time.Second, rt, "/"))
			synctest.Wait()
			s.conns[0].SetHold(true) // what the server sends is late
			require.Error(t, s.within(400*time.Millisecond, rt, "/"))
			bubble.Pass(500 * time.Millisecond) // suspect since 200 ms after the PING
			began := time.Now()
			time.AfterFunc(300*time.Millisecond, func() { s.conns[0].SetHold(false) })
			require.NoError(t, s.within(time.Minute, rt, "/"))
			require.Equal(t, 300*time.Millisecond, time.Since(began))
		})
	}
}

// TestSessionsPerHostStayLimited: a suspect session may be replaced where there may be one only,
// and does not come back beside its successor.
func TestSessionsPerHostStayLimited(t *testing.T) {
	for name, limit := range map[string]func(tr *spdy.Transport){
		"MaxSessionsPerHost":         func(tr *spdy.Transport) { tr.MaxSessionsPerHost = 1 },
		"StrictMaxConcurrentStreams": func(tr *spdy.Transport) { tr.StrictMaxConcurrentStreams = true },
	} {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			s := newSite(t, v, hello)
			rt := clients[0].make(s)
			limit(rt.(*spdy.Transport))
			require.NoError(t, s.within(time.Second, rt, "/"))
			s.hold(true)
			require.LessOrEqual(t, s.failures(100*time.Millisecond, rt), 2)
			s.hold(false)
			bubble.Pass(3 * time.Second)
			require.Equal(t, 2, s.dialled())
			require.True(t, s.closed(0))
			require.False(t, s.closed(1))
		})
	}
}

// TestManyCancelsFewPings: 3,000 requests that are cancelled cost a server a PING for each round
// trip at most, and the session nothing.
func TestManyCancelsFewPings(t *testing.T) {
	var pings atomic.Int32
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		pings.Store(0)
		s := newSite(t, v, hello)
		s.opts = []testconn.Option{testconn.Latency(20 * time.Millisecond)}
		s.conf.Trace = &spdy.Trace{FrameSent: func(_ *spdy.Session, f spdy.FrameInfo) {
			if f.Type == spdy.FramePing {
				pings.Add(1)
			}
		}}
		rt := clients[0].make(s)
		require.NoError(t, s.within(time.Second, rt, "/"))
		began := time.Now()
		for range 50 {
			var users sync.WaitGroup
			for range 60 { // three times as many fit in the server's limit
				users.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
					defer cancel()
					_, err := s.get(ctx, rt, "/slow")
					require.Error(t, err)
				})
			}
			users.Wait()
		}
		bubble.Pass(time.Second)
		require.Equal(t, 1, s.dialled())
		trips := int32(time.Since(began) / (40 * time.Millisecond))
		require.LessOrEqual(t, pings.Load(), trips, "one in a round trip")
		require.Positive(t, pings.Load())
	})
}
