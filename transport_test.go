package spdy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// The sessions of a Transport: who gets which, when there is another one, when they end.

func echoPath(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Host+r.URL.Path) }

// pass lets fake time pass.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestTransportShares(t *testing.T) {
	poolStory(t, "one session for an origin", echoPath, nil, func(t *testing.T, r *poolRig) {
		require.Equal(t, "a.example/1", r.get("http://a.example/1"))
		require.Equal(t, "A.example:80/2", r.get("http://A.example:80/2"))
		require.Equal(t, 1, r.dials())
		require.Equal(t, "a.example:81/", r.get("http://a.example:81/"))
		require.Equal(t, "b.example/", r.get("http://b.example/"))
		require.Equal(t, 3, r.dials())
		require.Equal(t, 3, r.sessions())
	})
	poolStory(t, "one dial for all who come meanwhile", echoPath, nil, func(t *testing.T, r *poolRig) {
		r.slow(time.Second)
		var calls []*poolCall
		for range 50 {
			calls = append(calls, r.startGet("http://a.example/"))
		}
		synctest.Wait()
		calls[49].pending("the dial takes a second")
		pass(time.Second)
		for _, c := range calls {
			c.ok("all of them")
		}
		require.Equal(t, 1, r.dials())
	})
	poolStory(t, "zero value", nil, nil, func(t *testing.T, r *poolRig) {
		_, err := new(Transport).RoundTrip(r.request("GET", "ftp://a.example/", nil))
		require.ErrorContains(t, err, "ftp")
		_, err = new(Transport).RoundTrip(r.request("GET", "http:///path", nil))
		require.ErrorContains(t, err, "no Host")
		new(Transport).CloseIdleConnections()
	})
}

// slow makes each dial take d.
func (r *poolRig) slow(d time.Duration) {
	dial := r.tr.DialContext
	r.tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		select {
		case <-time.After(d):
			return dial(ctx, network, addr)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func TestTransportDials(t *testing.T) {
	type key struct{}
	poolStory(t, "a dial outlives the request that began it", echoPath, func(r *poolRig) {
		dial := r.dial
		r.tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			assert.Equal(r.t, "first", ctx.Value(key{}))
			assert.Equal(r.t, "tcp a.example:80", network+" "+addr)
			return dial(ctx, network, addr)
		}
		r.slow(time.Second)
	}, func(t *testing.T, r *poolRig) {
		ctx, cancel := context.WithCancelCause(context.WithValue(context.Background(), key{}, "first"))
		first := r.start(r.request("GET", "http://a.example/", nil).WithContext(ctx))
		synctest.Wait()
		second := r.startGet("http://a.example/")
		synctest.Wait()
		why := errors.New("changed my mind")
		cancel(why)
		first.wait("cancelled while dialling")
		require.ErrorIs(t, first.err, why)
		second.pending("its dial goes on")
		pass(time.Second)
		second.ok("the dial")
		require.Equal(t, 1, r.dials())
	})
	poolStory(t, "a dial that nobody waits for ends at last", echoPath, nil, func(t *testing.T, r *poolRig) {
		var began, ended atomic.Int32
		dial := r.tr.DialContext
		r.tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if began.Add(1) > 1 {
				return dial(ctx, network, addr)
			}
			<-ctx.Done()
			ended.Add(1)
			after(time.Second) // it does not notice at once
			return dial(ctx, network, addr)
		}
		r.tr.DialTimeout = -1
		ctx, cancel := context.WithCancel(context.Background())
		first := r.start(r.request("GET", "http://a.example/", nil).WithContext(ctx))
		second := r.start(r.request("GET", "http://a.example/", nil).WithContext(ctx))
		synctest.Wait()
		cancel()
		first.wait("cancelled")
		second.wait("cancelled")
		require.ErrorIs(t, first.err, context.Canceled)
		pass(strayDial - 1)
		require.Zero(t, ended.Load())
		pass(1)
		synctest.Wait()
		require.EqualValues(t, 1, ended.Load())
		r.get("http://a.example/") // dials anew, and does not wait for the other
		pass(time.Second)
		require.EqualValues(t, 2, began.Load())
		require.Equal(t, 1, r.sessions(), "the late connection is closed")
		_, err := r.conns[1].Write([]byte("x"))
		require.ErrorIs(t, err, net.ErrClosed)
	})
	poolStory(t, "a failure is everybody's", echoPath, nil, func(t *testing.T, r *poolRig) {
		broken := errors.New("no route")
		dial := r.tr.DialContext
		r.tr.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, broken }
		r.slow(time.Second)
		one, two := r.startGet("http://a.example/"), r.startGet("http://a.example/")
		pass(time.Second)
		one.wait("the dial has failed")
		two.wait("the dial has failed")
		require.ErrorIs(t, one.err, broken)
		require.ErrorIs(t, two.err, broken)
		pass(time.Second)
		require.Zero(t, r.origins(), "nothing is remembered of it, nor of the dials that followed it")
		r.tr.DialContext = dial
		r.get("http://a.example/")
	})
	poolStory(t, "a hook that returns nothing", echoPath, func(r *poolRig) {
		r.tr.DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, nil }
	}, func(t *testing.T, r *poolRig) {
		_, err := r.tr.RoundTrip(r.request("GET", "http://a.example/", nil))
		require.ErrorContains(t, err, "neither a connection nor an error")
	})
}

func TestTransportLeaves(t *testing.T) {
	poolStory(t, "a dead session", echoPath, nil, func(t *testing.T, r *poolRig) {
		r.get("http://a.example/")
		r.conns[0].Reset()
		require.Zero(t, r.sessions())
		require.Zero(t, r.origins())
		r.get("http://a.example/")
		require.Equal(t, 2, r.dials())
	})
	poolStory(t, "a draining session", slowHandler, nil, func(t *testing.T, r *poolRig) {
		running := r.startGet("http://a.example/slow")
		synctest.Wait()
		for _, s := range r.serverSessions() {
			s.goAway()
		}
		require.Zero(t, r.sessions())
		r.get("http://a.example/")
		require.Equal(t, 2, r.dials())
		running.pending("it may finish")
		pass(time.Minute)
		running.ok("it has finished")
		require.Equal(t, 1, r.sessions())
	})
	poolStory(t, "an idle session, negative limit", slowHandler, func(r *poolRig) {
		r.tr.IdleConnTimeout = -1
	}, func(t *testing.T, r *poolRig) {
		for range 3 {
			r.get("http://a.example/")
			pass(time.Hour)
		}
		require.Equal(t, 1, r.dials(), "no limit, as in net/http")
	})
	poolStory(t, "an idle session", slowHandler, func(r *poolRig) {
		r.tr.IdleConnTimeout = time.Minute
	}, func(t *testing.T, r *poolRig) {
		r.get("http://a.example/")
		pass(50 * time.Second)
		r.get("http://a.example/")
		pass(50 * time.Second)
		require.Equal(t, 1, r.sessions(), "it was used meanwhile")
		running := r.startGet("http://a.example/slow")
		pass(30 * time.Second)
		require.Equal(t, 1, r.sessions(), "it is in use")
		pass(30 * time.Second)
		running.ok("a minute")
		pass(time.Minute - 1)
		require.Equal(t, 1, r.sessions())
		pass(1)
		require.Zero(t, r.sessions())
		require.Zero(t, r.origins())
		require.Equal(t, 1, r.dials())
		r.get("http://a.example/")
		require.Equal(t, 2, r.dials())
	})
	poolStory(t, "CloseIdleConnections", slowHandler, nil, func(t *testing.T, r *poolRig) {
		running := r.startGet("http://a.example/slow")
		r.get("http://b.example/")
		require.Equal(t, 2, r.sessions())
		r.tr.CloseIdleConnections()
		require.Equal(t, 1, r.sessions())
		pass(time.Minute)
		running.ok("it was not idle")
		r.tr.CloseIdleConnections()
		require.Zero(t, r.sessions())
	})
	poolStory(t, "Request.Close", slowHandler, nil, func(t *testing.T, r *poolRig) {
		r.get("http://a.example/")
		req := r.request("GET", "http://a.example/slow", nil)
		req.Close = true
		alone := r.start(req)
		synctest.Wait()
		require.Equal(t, 2, r.dials(), "it gets a session of its own")
		r.get("http://a.example/")
		require.Equal(t, 2, r.dials(), "which is nobody else's")
		pass(time.Minute)
		alone.ok("the answer")
		_, err := r.conns[1].Write(nil)
		require.ErrorIs(t, err, net.ErrClosed, "and is over")
		require.Equal(t, 1, r.sessions())
	})
	poolStory(t, "DisableKeepAlives", echoPath, func(r *poolRig) { r.tr.DisableKeepAlives = true },
		func(t *testing.T, r *poolRig) {
			r.get("http://a.example/")
			r.get("http://a.example/")
			require.Equal(t, 2, r.dials())
			require.Zero(t, r.sessions())
			for _, c := range r.conns {
				_, err := c.Write(nil)
				require.ErrorIs(t, err, net.ErrClosed)
			}
		})
	poolStory(t, "stream ids are used up", slowHandler, nil, func(t *testing.T, r *poolRig) {
		running := r.startGet("http://a.example/slow")
		synctest.Wait()
		old := r.pooled(0)
		old.mu.Lock()
		old.nextID = maxStreamID
		old.mu.Unlock()
		r.get("http://a.example/")
		require.Equal(t, 1, r.dials(), "the last id")
		require.False(t, old.CanTakeNewRequest())
		r.get("http://a.example/")
		require.Equal(t, 2, r.dials())
		require.Equal(t, 1, r.sessions())
		pass(time.Minute)
		running.ok("the old session finishes what it has")
	})
}

// slowHandler takes a minute for /slow.
func slowHandler(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/slow" {
		select {
		case <-time.After(time.Minute):
		case <-r.Context().Done():
		}
	}
	echoPath(w, r)
}

// pooled returns the n-th session in the pool of the only origin.
func (r *poolRig) pooled(n int) *Session {
	synctest.Wait()
	p := r.tr.sessions()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.origins {
		return o.sessions[n].s
	}
	return nil
}

// serverSessions are the server's ends.
func (r *poolRig) serverSessions() (all []*Session) {
	r.srv.mu.Lock()
	defer r.srv.mu.Unlock()
	for s := range r.srv.sessions {
		all = append(all, s)
	}
	return all
}

func TestTransportStreamLimit(t *testing.T) {
	limit := func(n int, set func(tr *Transport)) func(r *poolRig) {
		return func(r *poolRig) {
			r.srv.Config = &Config{Version: SPDY31, MaxConcurrentStreams: n, Logger: quietConfig.Logger}
			if set != nil {
				set(r.tr)
			}
		}
	}
	poolStory(t, "more sessions", slowHandler, limit(2, nil), func(t *testing.T, r *poolRig) {
		r.get("http://a.example/") // brings the limit
		var calls []*poolCall
		for range 7 {
			calls = append(calls, r.startGet("http://a.example/slow"))
			synctest.Wait()
		}
		require.Equal(t, 4, r.dials())
		pass(time.Minute)
		for _, c := range calls {
			c.ok("all at once")
		}
	})
	poolStory(t, "strict", slowHandler, limit(2, func(tr *Transport) { tr.StrictMaxConcurrentStreams = true }),
		func(t *testing.T, r *poolRig) {
			r.get("http://a.example/")
			var calls []*poolCall
			for range 5 {
				calls = append(calls, r.startGet("http://a.example/slow"))
				synctest.Wait()
			}
			for i := range 3 {
				require.Equal(t, 1, r.dials())
				calls[min(2*i, 4)].pending("its turn has not come")
				pass(time.Minute)
				for _, c := range calls[2*i : min(2*i+2, 5)] {
					c.ok("in turn")
				}
			}
		})
	poolStory(t, "at most two sessions", slowHandler, limit(1, func(tr *Transport) { tr.MaxSessionsPerHost = 2 }),
		func(t *testing.T, r *poolRig) {
			r.get("http://a.example/")
			one := r.startGet("http://a.example/slow")
			pass(10 * time.Second)
			two := r.startGet("http://a.example/slow")
			synctest.Wait()
			ctx, cancel := context.WithCancel(context.Background())
			gone := r.start(r.request("GET", "http://a.example/slow", nil).WithContext(ctx))
			synctest.Wait()
			three, four := r.startGet("http://a.example/slow"), r.startGet("http://a.example/slow")
			synctest.Wait()
			require.Equal(t, 2, r.dials())
			cancel()
			gone.wait("cancelled while it waits for a slot")
			require.ErrorIs(t, gone.err, context.Canceled)
			pass(50 * time.Second)
			one.ok("first")
			two.pending("second")
			pass(10 * time.Second)
			two.ok("second")
			three.pending("it began when the first ended")
			pass(50 * time.Second)
			require.True(t, three.returned() != four.returned(), "one of them has taken the first one's place")
			pass(10 * time.Second)
			three.ok("all")
			four.ok("all")
			require.Equal(t, 2, r.dials())
		})
	poolStory(t, "those who wait move on", slowHandler, limit(1, func(tr *Transport) { tr.StrictMaxConcurrentStreams = true }),
		func(t *testing.T, r *poolRig) {
			r.get("http://a.example/")
			running := r.startGet("http://a.example/slow")
			synctest.Wait()
			waiting, waiting2 := r.startGet("http://a.example/"), r.startGet("http://a.example/")
			synctest.Wait()
			for _, s := range r.serverSessions() {
				s.goAway()
			}
			waiting.ok("by another session")
			waiting2.ok("by another session")
			require.Equal(t, 2, r.dials())
			pass(time.Minute)
			running.ok("by the old one")
		})
	poolStory(t, "a limit that is not known yet", slowHandler, limit(3, nil), func(t *testing.T, r *poolRig) {
		var calls []*poolCall
		for range 20 {
			calls = append(calls, r.startGet("http://a.example/slow"))
		}
		pass(3 * time.Minute) // refused streams are tried again, after pauses
		for _, c := range calls {
			c.ok("all")
		}
	})
}

// goAwayAfter is a Trace that makes a session go away when it has accepted n streams and
// the next one comes. It is for one session.
func goAwayAfter(n int) *Trace {
	return &Trace{FrameReceived: func(s *Session, f FrameInfo) {
		if f.Type != FrameSynStream {
			return
		}
		if n--; n == -1 {
			s.goAway()
		}
	}}
}

// TestTransportGoAway is the promise of issue 4: a server that goes away after every
// hundredth request loses none and gets none twice.
func TestTransportGoAway(t *testing.T) {
	const requests, workers, every = 10_000, 64, 100
	var mu sync.Mutex
	handled := make(map[string]int)
	h := func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		handled[req.URL.Path]++
		mu.Unlock()
		fmt.Fprint(w, req.URL.Path)
	}
	synctest.Test(t, func(t *testing.T) {
		var servers sync.WaitGroup
		var dials, tries, next atomic.Int32
		tr := &Transport{Config: quietConfig, DialContext: func(context.Context, string, string) (net.Conn, error) {
			dials.Add(1)
			c, sc := testconn.Pair()
			conf := &Config{Version: SPDY31, Logger: quietConfig.Logger, Trace: goAwayAfter(every)}
			s := conf.ServerSession(sc, &http.Server{Handler: http.HandlerFunc(h)})
			servers.Go(func() { _ = s.Serve() })
			return c, nil
		}}
		trace := &httptrace.ClientTrace{GetConn: func(string) { tries.Add(1) }}
		ctx := httptrace.WithClientTrace(context.Background(), trace)
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for n := next.Add(1); n <= requests; n = next.Add(1) {
					path := fmt.Sprintf("/%d", n)
					req, err := http.NewRequestWithContext(ctx, "GET", "http://a.example"+path, nil)
					assert.NoError(t, err)
					res, err := tr.RoundTrip(req)
					if !assert.NoError(t, err) {
						return
					}
					body, err := io.ReadAll(res.Body)
					assert.NoError(t, err)
					assert.Equal(t, path, string(body))
					res.Body.Close()
				}
			})
		}
		wg.Wait()
		tr.CloseIdleConnections()
		servers.Wait()
		require.EqualValues(t, requests/every, dials.Load())
		require.Greater(t, tries.Load(), int32(requests), "some were on their way")
		t.Logf("%d tries", tries.Load())
	})
	require.Len(t, handled, requests)
	for path, n := range handled {
		require.Equal(t, 1, n, path)
	}
}

// TestTransportDialsOn: one dial is not enough for all who wait.
func TestTransportDialsOn(t *testing.T) {
	scriptedTest(t, "three sessions for 250", nil, func(t *testing.T, r *scriptedPool) {
		var calls []*poolCall
		for range 250 {
			calls = append(calls, r.startGet("http://a.example/"))
		}
		synctest.Wait()
		require.Equal(t, 3, r.dials())
		for n, want := range []int{assumedMaxStreams, assumedMaxStreams, 50} {
			p := r.peer(n)
			for i := range want {
				id := uint32(1 + 2*i)
				p.wantSynStream("a request", id)
				p.answer(id, "")
			}
			p.wantSilence("no others")
		}
		for _, c := range calls {
			c.ok("the answer")
		}
	})
}

// TestTransportCanTake is about the hint for those who keep sessions themselves.
func TestTransportCanTake(t *testing.T) {
	story(t, "CanTakeNewRequest", func(t *testing.T) {
		p := newPeer(t, asClient)
		require.True(t, p.s.CanTakeNewRequest())
		p.sendSetting(SettingMaxConcurrentStreams, 1)
		synctest.Wait()
		require.True(t, p.s.CanTakeNewRequest())
		st := p.open("the only one", FlagFin)
		p.wantSynStream("the only one", 1)
		require.False(t, p.s.CanTakeNewRequest())
		p.sendSynReply(1, FlagFin)
		p.hasEnded("the only one", st)
		require.True(t, p.s.CanTakeNewRequest())
		p.sendGoAway(1, GoAwayOK)
		synctest.Wait()
		require.False(t, p.s.CanTakeNewRequest())
	})
}
