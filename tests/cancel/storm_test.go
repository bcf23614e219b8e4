package cancel_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
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

// ticking is a request whose response never ends; ticks counts the bytes that arrived.
type ticking struct {
	*call
	ticks atomic.Int64
}

// tick writes a byte every 100 ms until the request is cancelled.
func tick(w http.ResponseWriter, r *http.Request) {
	for r.Context().Err() == nil {
		if _, err := w.Write([]byte(".")); err != nil {
			return
		}
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-r.Context().Done():
		}
	}
}

// startTicking requests /tick.
func startTicking(t *testing.T, rt http.RoundTripper, url string) *ticking {
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	require.NoError(t, err)
	k := &ticking{call: &call{cancel: cancel, err: make(chan error, 1)}}
	go func() {
		res, err := rt.RoundTrip(req)
		if err == nil {
			defer res.Body.Close()
			_, err = io.Copy(k, res.Body)
		}
		k.err <- err
	}()
	return k
}

// Write counts.
func (k *ticking) Write(p []byte) (int, error) {
	k.ticks.Add(int64(len(p)))
	return len(p), nil
}

// wantOn wants the response to go on for a second.
func (k *ticking) wantOn(t *testing.T) {
	t.Helper()
	before := k.ticks.Load()
	bubble.Pass(time.Second)
	require.InDelta(t, 10, k.ticks.Load()-before, 2, "ticks in a second")
	require.False(t, k.ended())
}

// TestAttackA28Storm: many downloads are cancelled together while a path of 50 ms is
// full of small frames. Their session carries on.
func TestAttackA28Storm(t *testing.T) {
	chunk := bytes.Repeat([]byte("x"), 2<<10)
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/tick" {
			tick(w, r)
			return
		}
		for {
			if _, err := w.Write(chunk); err != nil {
				return
			}
			if http.NewResponseController(w).Flush() != nil {
				return
			}
		}
	}
	for _, n := range []int{70, 100, 249} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
				// SPDY/2 has no windows: the connection holds the server back.
				r := newPair(v, spdy.Config{}, handler, testconn.Latency(50*time.Millisecond), testconn.WriteCap(512<<10))
				defer r.close()
				bubble.Pass(time.Second) // the client knows MAX_CONCURRENT_STREAMS
				window := r.client.Stats().ReceiveWindow
				live := startTicking(t, r.client, "http://cancel.example/tick")
				var downloads []*call
				for range n {
					downloads = append(downloads, start(t, r.client, "/download"))
				}
				bubble.Pass(500 * time.Millisecond)
				require.Equal(t, n+1, r.client.Stats().Streams.Total())
				before := r.client.Stats().Received
				for _, d := range downloads {
					d.cancel()
				}
				for _, d := range downloads {
					require.ErrorIs(t, <-d.err, context.Canceled)
				}
				bubble.Pass(time.Second)
				r.wantAlive(t)
				s := r.client.Stats()
				require.Greater(t, s.Received.Frames[spdy.FrameData]-before.Frames[spdy.FrameData], uint64(100), "DATA was in flight")
				require.EqualValues(t, n, s.Sent.Resets[spdy.RstCancel])
				require.EqualValues(t, n, s.Sent.Frames[spdy.FrameRstStream])
				require.Zero(t, s.ChargedResets)
				require.LessOrEqual(t, s.IdleFrames, uint64(10))
				require.Zero(t, r.server.Stats().ChargedResets, "the responses had begun")
				if v == spdy.SPDY31 {
					require.Greater(t, s.ReceiveWindow, window*3/4, "a quarter may be outstanding")
				}
				require.Equal(t, 1, s.Streams.Total())
				live.wantOn(t)
				live.cancel()
				require.ErrorIs(t, <-live.err, context.Canceled)
				synctest.Wait()
				require.Zero(t, r.client.Stats().UnreadBytes)
			})
		})
	}
}

// TestAttackA28HangUp: ten thousand requests are cancelled as soon as they are sent, or a
// little later. No more handlers run than MaxConcurrentStreams, and the session lives.
func TestAttackA28HangUp(t *testing.T) {
	for name, deaf := range map[string]time.Duration{"handlers notice": 0, "handlers notice after a second": time.Second} {
		t.Run(name, func(t *testing.T) {
			bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
				const callers, each, limit = 100, 100, 60
				var now, most, seen atomic.Int64
				handler := func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/tick" {
						tick(w, r)
						return
					}
					seen.Add(1)
					n := now.Add(1)
					for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
					}
					<-r.Context().Done()
					bubble.Pass(deaf)
					now.Add(-1)
				}
				r := newPair(v, spdy.Config{MaxConcurrentStreams: limit}, handler, testconn.Latency(2*time.Millisecond))
				defer r.close()
				bubble.Pass(time.Second)
				live := startTicking(t, r.client, "http://cancel.example/tick")
				synctest.Wait()
				var sent atomic.Int64
				var wg sync.WaitGroup
				for i := range callers {
					wg.Go(func() {
						for j := range each {
							hangUp(t, r.client, (i+j)%4 == 0, &sent)
						}
					})
				}
				wg.Wait()
				r.wantAlive(t)
				require.EqualValues(t, callers*each, sent.Load())
				require.Positive(t, seen.Load())
				require.LessOrEqual(t, most.Load(), int64(limit))
				require.Zero(t, r.client.Stats().ChargedResets)
				live.wantOn(t)
				live.cancel()
				bubble.Pass(2 * time.Second)
				require.Zero(t, now.Load())
				require.Zero(t, r.server.Stats().Streams.Total())
			})
		})
	}
}

// hangUp cancels a request when it has been sent, or 5 ms later.
func hangUp(t *testing.T, s *spdy.Session, later bool, sent *atomic.Int64) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	trace := &httptrace.ClientTrace{WroteRequest: func(info httptrace.WroteRequestInfo) {
		if info.Err != nil {
			return
		}
		sent.Add(1)
		if !later {
			cancel()
			return
		}
		time.AfterFunc(5*time.Millisecond, cancel)
	}}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), "GET", "http://cancel.example/slow", nil)
	require.NoError(t, err)
	res, err := s.RoundTrip(req)
	if err == nil {
		res.Body.Close()
	}
}
