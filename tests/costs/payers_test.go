package costs

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// A dripping body has a byte each half second, until its context ends.
type dripping struct{ ctx context.Context }

func (b dripping) Read(p []byte) (int, error) {
	select {
	case <-b.ctx.Done():
		return 0, b.ctx.Err()
	case <-time.After(500 * time.Millisecond):
		p[0] = 'x'
		return 1, nil
	}
}

func (dripping) Close() error { return nil }

// readers has the handlers of "/hold" read their requests, and so move bytes, until these end.
func readers(s *site) *site {
	others := s.srv.Handler
	s.srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/hold" {
			others.ServeHTTP(w, r)
			return
		}
		_, _ = io.Copy(io.Discard, r.Body)
	})
	s.serve()
	return s
}

// session returns a session of a client with the site.
func (s *site) session() *spdy.Session {
	conn, err := s.ln.Dial()
	require.NoError(s.t, err)
	session := bubble.Quiet(spdy.Config{}, s.v).ClientSession(conn)
	go session.Serve()
	return session
}

// same is n times the value of one byte.
func same(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = "1"
	}
	return all
}

// holds has a user of a session ask for "/hold" with many values, and drip.
func holds(ctx context.Context, s *spdy.Session, values int) {
	req := httptest.NewRequest("POST", "http://example.com/hold", nil).WithContext(ctx)
	req.Body, req.ContentLength = dripping{ctx}, -1
	req.Header["X"] = same(values)
	if res, err := s.RoundTrip(req); err == nil {
		res.Body.Close()
	}
}

// spree is how one user takes what there is of a pool: by requests of a MiB of headers each, and when
// these are refused by smaller ones.
func spree(ctx context.Context, s *spdy.Session) {
	for _, n := range []int{31000, 3100, 310, 31} {
		for range 30 {
			go holds(ctx, s, n)
		}
		bubble.Pass(3 * time.Second)
	}
}

// One user of a session that carries the requests of many, as that of NewStreamProxy, takes the pool, and
// moves a byte now and then. What gives way are requests of that user, and not those of others.
func TestAttackA31OneUserPays(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		s := readers(prepareSite(t, v, spdy.Config{Pools: small}))
		shared := s.session()
		var polls sync.WaitGroup
		var mu sync.Mutex
		got := make(map[int]int)
		for range 10 {
			polls.Go(func() {
				rec := httptest.NewRecorder()
				err := shared.NewStreamProxy(httptest.NewRequest("GET", "http://example.com/poll", nil), rec)
				mu.Lock()
				defer mu.Unlock()
				if got[rec.Code]++; err != nil {
					t.Error(err)
				}
			})
		}
		bubble.Pass(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		spree(ctx, shared)
		for range 20 {
			honest(t, shared)
			bubble.Pass(100 * time.Millisecond)
		}
		pool := s.srv.Stats().Pools.HeaderBytes
		require.LessOrEqual(t, pool.Used, pool.Limit)
		require.Positive(t, pool.Reset, "the large streams of that user give way")
		s.let()
		polls.Wait()
		require.Equal(t, map[int]int{http.StatusOK: 10}, got, "requests that rest, and hold next to nothing")
		cancel()
		shared.Close()
		s.leave(nil)
	})
}

// One client takes the pool in the same way. It pays, and not the others.
func TestAttackA31OneClientPays(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		s := readers(prepareSite(t, v, spdy.Config{Pools: small}))
		hostile := s.session()
		ctx, cancel := context.WithCancel(t.Context())
		spree(ctx, hostile)
		var others sync.WaitGroup
		sessions := []*spdy.Session{hostile}
		for range 20 {
			session := s.session()
			sessions = append(sessions, session)
			for range 20 {
				others.Go(func() {
					req := httptest.NewRequest("GET", "http://example.com/poll", nil)
					for i := range 20 {
						req.Header.Set(fmt.Sprint("X-Ordinary-", i), "an ordinary value, of some length, as that of a cookie")
					}
					res, err := session.RoundTrip(req)
					if err != nil {
						t.Error(err)
						return
					}
					res.Body.Close()
				})
			}
			// What the hostile one gives up is free when its handlers have returned, so the others
			// do not come all at once.
			bubble.Pass(10 * time.Millisecond)
		}
		bubble.Pass(10 * time.Second)
		s.let()
		others.Wait()
		require.Positive(t, s.srv.Stats().Pools.HeaderBytes.Reset)
		cancel()
		for _, session := range sessions {
			session.Close()
		}
		s.leave(nil)
	})
}

// One answer of one server takes no more than an eighth of the pool of a Transport: it fails for its own
// caller, and answers of other servers do not notice. So does a request at a server, which is
// answered with status 431.
func TestAttackA31OneBlock(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		s := prepareSite(t, v, spdy.Config{Pools: small})
		others := s.srv.Handler
		s.srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/large" {
				for i := range 20 {
					w.Header()[fmt.Sprint("X-", i)] = same(31000)
				}
				_ = http.NewResponseController(w).Flush()
			}
			others.ServeHTTP(w, r)
		})
		s.serve()
		client := s.transport()
		client.Config.Pools = small
		res, err := client.RoundTrip(httptest.NewRequest("GET", "http://other.example/large", nil))
		if err == nil {
			defer res.Body.Close() // which goes on meanwhile
		} else {
			full := (*spdy.PoolError)(nil)
			require.ErrorAs(t, err, &full)
			require.Equal(t, "HeaderBytes", full.Pool)
		}
		for range 10 {
			honest(t, client)
		}
		pool := client.PoolStats().HeaderBytes
		require.Zero(t, pool.Reset+pool.Refused)
		require.LessOrEqual(t, pool.Used, pool.Limit/8)
		require.Error(t, err)

		req := httptest.NewRequest("GET", "http://example.com/poll", nil)
		req.Header["X"], req.Header["Y"], req.Header["Z"] = same(31000), same(31000), same(31000)
		res, err = client.RoundTrip(req)
		require.NoError(t, err)
		require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, res.StatusCode)
		res.Body.Close()
		honest(t, client)
		client.CloseIdleConnections()
		s.leave(nil)
	})
}

// Late header blocks count with the first.
func TestLateBlocksCount(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		s := newSite(t, v, spdy.Config{Pools: small})
		c := s.talker()
		c.open(1)
		c.send(&spdy.SynStreamFrame{StreamID: 3, Headers: c.request(values("x", 31000), values("y", 17000))})
		c.send(&spdy.HeadersFrame{StreamID: 1, Headers: names("n", 5000)})
		require.Empty(t, c.resets)
		c.send(&spdy.HeadersFrame{StreamID: 3, Headers: names("n", 5000)})
		want := spdy.RstFrameTooLarge
		if v == spdy.SPDY2 { // which has no such status
			want = spdy.RstProtocolError
		}
		require.Equal(t, map[uint32]spdy.RstStatus{3: want}, c.resets, "more than 2 MiB")
		require.False(t, c.bye)
		c.conn.Close()
		s.leave(nil)
	})
}

// What handlers that do not return keep cannot be taken from them: their streams give way once, and
// not ever more streams in their place.
func TestGivesWayOnce(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		s := newSite(t, v, spdy.Config{Pools: small})
		s.stuck = true
		greedy, other := s.talker(), s.talker()
		greedy.greed()
		var reset uint64
		for id := uint32(1); id < 60; id += 2 {
			other.send(&spdy.SynStreamFrame{StreamID: id, Headers: other.request(values("x", 3100))})
			if now := s.srv.Stats().Pools.HeaderBytes.Reset; id == 19 {
				reset = now
			} else if id > 19 {
				require.Equal(t, reset, now, "%d", id)
			}
		}
		require.Positive(t, reset)
		require.Empty(t, func() (n []uint32) {
			for id, status := range other.resets {
				if status != spdy.RstRefusedStream {
					n = append(n, id)
				}
			}
			return n
		}())
		greedy.conn.Close()
		other.conn.Close()
		synctest.Wait()
		s.leave(nil)
	})
}

// While the pool is less than 85 percent full, only streams give way that rest and hold no less than
// the others, and the largest of them that moves does not.
func TestAttackA31RestingGivesWay(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		s := newSite(t, v, spdy.Config{Pools: small})
		greedy, other := s.talker(), s.talker()
		echoed := greedy.request(values("x", 31000), spdy.HeaderField{Name: "y", Value: "the largest"})
		echoed[1].Value = "/honest"
		greedy.send(&spdy.SynStreamFrame{StreamID: 1, Headers: echoed})
		refused := greedy.greed()
		greedy.send(&spdy.SynStreamFrame{StreamID: refused + 2, Headers: greedy.request()})
		require.Len(t, greedy.resets, 1, "a request that holds much less than the others is not refused")
		for id := uint32(1); id < 9; id += 2 {
			bubble.Pass(2 * time.Second)
			greedy.send(&spdy.DataFrame{StreamID: 1, Data: []byte("its handler reads this")})
			other.send(&spdy.SynStreamFrame{StreamID: id, Headers: other.request()})
		}
		require.Greater(t, len(greedy.resets), 1, "beside the one that was refused")
		require.Less(t, len(greedy.resets), int(refused)/2, "and not all of them")
		require.NotContains(t, greedy.resets, uint32(1), "which moves")
		require.NotContains(t, greedy.resets, refused+2, "which holds little")
		require.Empty(t, other.resets)
		s.leave([]*testconn.Conn{greedy.conn, other.conn})
	})
}

// One user cancels requests with large headers, whose handlers take no notice and keep the headers.
// The pool is nearly full of them, but requests of others that wait, and hold next to nothing, are
// not reset for them: that would not free the pool.
func TestAttackA31CancelledRequestsPay(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		s := newSite(t, v, spdy.Config{Pools: small})
		s.stuck = true
		shared := s.session()
		var polls sync.WaitGroup
		var served atomic.Int32
		for range 10 {
			polls.Go(func() {
				res, err := shared.RoundTrip(httptest.NewRequest("GET", "http://example.com/poll", nil))
				if err != nil {
					t.Errorf("a request that waits is cut: %v", err)
					return
				}
				served.Add(1)
				res.Body.Close()
			})
		}
		bubble.Pass(2 * time.Second)
		var spree sync.WaitGroup
		for range 20 {
			ctx, cancel := context.WithCancel(t.Context())
			spree.Go(func() { holds(ctx, shared, 31000) })
			bubble.Pass(100 * time.Millisecond)
			cancel()
		}
		spree.Wait()
		pool := s.srv.Stats().Pools.HeaderBytes
		assert.Greater(t, pool.Used, pool.Limit/4*3, "the headers are kept")
		assert.Positive(t, pool.Refused)
		for range 5 {
			bubble.Pass(2 * time.Second)
			honest(t, shared)
		}
		s.let()
		polls.Wait()
		assert.EqualValues(t, 10, served.Load())
		shared.Close()
		s.leave(nil)
	})
}

// A client has left, but handlers of its requests take no notice and keep the headers. The clients
// that stay do not give way for them, although each of them now holds most of those that stay.
func TestAttackA31GoneClientsPay(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		s := newSite(t, v, spdy.Config{Pools: small})
		s.stuck = true
		stays, leaves := s.session(), s.session()
		var polls, spree sync.WaitGroup
		var served atomic.Int32
		for range 40 {
			polls.Go(func() {
				req := httptest.NewRequest("GET", "http://example.com/poll", nil)
				for i := range 20 {
					req.Header.Set(fmt.Sprint("X-Ordinary-", i), "an ordinary value, of some length, as that of a cookie")
				}
				res, err := stays.RoundTrip(req)
				if err != nil {
					t.Errorf("a request that waits is cut: %v", err)
					return
				}
				served.Add(1)
				res.Body.Close()
			})
		}
		bubble.Pass(2 * time.Second)
		for range 20 {
			spree.Go(func() { holds(t.Context(), leaves, 31000) })
			bubble.Pass(100 * time.Millisecond)
		}
		leaves.Close()
		spree.Wait()
		pool := s.srv.Stats().Pools.HeaderBytes
		assert.Greater(t, pool.Used, pool.Limit/4*3, "the headers are kept")
		for range 5 {
			bubble.Pass(2 * time.Second)
			honest(t, stays)
		}
		s.let()
		polls.Wait()
		assert.EqualValues(t, 40, served.Load())
		stays.Close()
		s.leave(nil)
	})
}
