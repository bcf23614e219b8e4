package spdy

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// One raw stream must not harm another, and none may keep a session's credit: what
// isolation_test.go shows for HTTP.

// TestRawUnread leaves one stream unread in each direction while others move as much as
// the HTTP test has them move.
func TestRawUnread(t *testing.T) {
	faultTest(t, "beside fifty that are read", func(t *testing.T, r *rawRig) {
		size := isolationBody() / 4
		unread, accepted := r.pair()
		var wg, busy sync.WaitGroup
		for _, st := range []*RawStream{unread, accepted} {
			wg.Go(func() {
				_, err := io.Copy(st, newPattern(0, 1<<40))
				if !errors.Is(err, ErrStreamClosed) { // or the other end's Close came first
					var reset *StreamError
					assert.ErrorAs(t, err, &reset)
					assert.True(t, reset != nil && reset.Remote && reset.Status == RstCancel, "%v", err)
				}
			})
		}
		synctest.Wait()
		before, start := liveHeap(), time.Now()
		for i := range int64(50) {
			opened, accepted := r.pair()
			for end, st := range []*RawStream{opened, accepted} {
				busy.Go(func() { writePattern(t, st, 2*i+int64(end), size) })
				busy.Go(func() { assert.NoError(t, readPattern(st, 2*i+int64(1-end), size)) })
			}
		}
		for range 20 {
			for _, s := range []*Session{r.client, r.server} {
				_, err := s.PingContext(context.Background())
				require.NoError(t, err)
				require.LessOrEqual(t, unreadBytes(s), int64(s.conf.SessionWindow))
			}
		}
		busy.Wait()
		require.Zero(t, time.Since(start), "nothing has to be waited for")
		for _, s := range []*Session{r.client, r.server} {
			require.EqualValues(t, defaultStreamWindow, unreadBytes(s), "the unread stream is where it was")
		}
		require.Less(t, liveHeap()-before, int64(defaultSessionWindow+defaultSessionWindow))
		require.NoError(t, unread.Close())
		require.NoError(t, accepted.Close())
		wg.Wait()
		r.requireBalanced()
	})
}

// TestRawUnreadStreamsFillTheSession: unread streams never take more than the session's
// window. With flow control a session grants no more streams than the window covers, so
// that those which the other side opens still get through. A peer without flow control can
// fill the window, which stops the bytes of others and nothing else; closing the unread
// streams sets all going.
func TestRawUnreadStreamsFillTheSession(t *testing.T) {
	for mode, conf := range faultModes {
		conf.StreamWindow, conf.SessionWindow = 64<<10, 256<<10
		t.Run(mode, func(t *testing.T) {
			rawTest(t, rigSetup{client: &conf, server: &conf}, func(t *testing.T, r *rawRig) {
				var wg sync.WaitGroup
				var unread []*RawStream
				streams, full := 8, conf.SessionWindow
				if conf.FlowControl == FlowControlStandard {
					streams, full = 2, 128<<10 // half of the window is for streams of the server
				}
				for range streams {
					opened, accepted := r.pair()
					unread = append(unread, accepted)
					wg.Go(func() { io.Copy(opened, newPattern(0, 200<<10)) })
					synctest.Wait()
					require.LessOrEqual(t, unreadBytes(r.server), int64(conf.SessionWindow))
				}
				require.EqualValues(t, full, unreadBytes(r.server))
				_, err := r.client.PingContext(context.Background())
				require.NoError(t, err)
				if conf.FlowControl != FlowControlStandard {
					roundTripTo(t, r.client, r.server)
				}
				roundTripTo(t, r.server, r.client)
				for _, st := range unread {
					require.NoError(t, st.Close())
				}
				wg.Wait()
				r.requireBalanced()
			})
		})
	}
}

// TestRawEndsKeepTheWindows ends streams in the middle of their bytes, by either side, in
// every way there is and at any moment, over a network that cuts and delays. Afterwards
// the windows are whole, nothing is left, and the next stream moves 10 MiB.
func TestRawEndsKeepTheWindows(t *testing.T) {
	many := 2000
	if raceEnabled {
		many = 300
	}
	ends := []func(st *RawStream){
		func(st *RawStream) { st.Close() },
		func(st *RawStream) { st.Reset(RstCancel) },
		func(st *RawStream) { st.CloseRead() },
		func(st *RawStream) { st.CloseWrite() },
		func(st *RawStream) { st.Reply(nil, true) },
		func(st *RawStream) { st.SetDeadline(time.Now()) },
		func(st *RawStream) { st.SendHeaders(HeaderBlock{{"a", "b"}}, false) },
		func(st *RawStream) { st.SendHeaders(nil, true) },
		func(st *RawStream) { io.CopyN(io.Discard, st, 1000) },
		func(st *RawStream) { io.CopyN(st, newPattern(0, 1<<40), 100<<10) },
		func(st *RawStream) { st.WriteTo(io.Discard) },
	}
	// live has both ends of a stream do a few things at random moments.
	live := func(st *RawStream, rng *rand.Rand) {
		defer st.Close()
		var wg sync.WaitGroup
		for range 1 + rng.IntN(4) {
			// Never at once: timers that are over when several goroutines ask for them crash
			// the race detector (go.dev/issue/78156).
			end, wait := ends[rng.IntN(len(ends))], time.Duration(1+rng.IntN(30))*time.Millisecond
			wg.Go(func() {
				<-time.After(wait)
				end(st)
			})
		}
		// Whatever still waits is let go.
		<-time.After(40 * time.Millisecond)
		if rng.IntN(2) == 0 {
			st.Close()
		} else {
			st.Reset(RstCancel)
		}
		wg.Wait()
	}
	configs := map[string]rigSetup{}
	for mode, conf := range faultModes {
		configs[mode] = rigSetup{client: &conf, server: &conf}
	}
	for _, v := range []Version{SPDY2, SPDY3} {
		configs[v.String()] = rigSetup{client: &Config{Version: v}, server: &Config{Version: v}}
	}
	for name, setup := range configs {
		setup.conn = []testconn.Option{testconn.ReadSize(3000), testconn.Latency(5 * time.Millisecond), testconn.WriteCap(40_000)}
		t.Run(name, func(t *testing.T) {
			rawTest(t, setup, func(t *testing.T, r *rawRig) {
				var wg sync.WaitGroup
				for n, s := range []*Session{r.client, r.server} {
					other := []*Session{r.server, r.client}[n]
					ctx, stop := context.WithCancel(context.Background())
					var accepting sync.WaitGroup
					accepting.Go(func() {
						for i := uint64(0); ; i++ {
							st, err := other.AcceptStream(ctx)
							if err != nil {
								return
							}
							wg.Go(func() { live(st, rand.New(rand.NewPCG(i, uint64(n)))) })
						}
					})
					var opening sync.WaitGroup
					for k := range 16 {
						opening.Go(func() {
							rng := rand.New(rand.NewPCG(uint64(k), 100+uint64(n)))
							for range many / 32 {
								st, err := s.OpenStream(context.Background(), nil, StreamOptions{
									Priority: uint8(rng.IntN(8)), Fin: rng.IntN(20) == 0, Unidirectional: rng.IntN(20) == 0,
								})
								if !assert.NoError(t, err) {
									return
								}
								live(st, rng)
							}
						})
					}
					opening.Wait()
					<-time.After(time.Second)
					stop()
					accepting.Wait()
				}
				wg.Wait()
				<-time.After(time.Second)
				require.NoError(t, r.client.Err())
				require.NoError(t, r.server.Err())
				r.requireBalanced()
				for _, s := range []*Session{r.client, r.server} {
					s.mu.Lock()
					require.Zero(t, s.peerStreams+s.ourStreams)
					require.Zero(t, s.keptRaw())
					s.mu.Unlock()
				}
				opened, accepted := r.pair()
				go writePattern(t, opened, 7, 10<<20)
				require.NoError(t, readPattern(accepted, 7, 10<<20))
				require.NoError(t, accepted.Close())
				require.NoError(t, opened.Close())
				<-time.After(time.Second) // what is on its way arrives
				r.requireBalanced()
			})
		})
	}
}
