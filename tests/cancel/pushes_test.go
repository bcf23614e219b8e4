package cancel_test

import (
	"io"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// push pushes a path along with an answer.
func push(w http.ResponseWriter, path string) error { return w.(http.Pusher).Push(path, nil) }

// A crowd counts handlers that run at once.
type crowd struct{ now, most atomic.Int64 }

func (c *crowd) enter() {
	n := c.now.Add(1)
	for most := c.most.Load(); n > most && !c.most.CompareAndSwap(most, n); {
		most = c.most.Load()
	}
}

func (c *crowd) leave() { c.now.Add(-1) }

// TestAttackA28PushHandlers: handlers of pushes count, whatever has become of the requests
// that they were pushed along with, and leave half of the limit to requests.
func TestAttackA28PushHandlers(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		const limit = 20
		var all, pushes crowd
		told := make(chan struct{})
		p := newPeer(t, v, spdy.Config{MaxConcurrentStreams: limit}, func(w http.ResponseWriter, r *http.Request) {
			all.enter()
			defer all.leave()
			switch r.URL.Path {
			case "/page":
				_ = push(w, "/pushed") // fails as soon as there are too many
			case "/pushed":
				pushes.enter()
				defer pushes.leave()
				<-told
			case "/stuck":
				<-told
			}
		})
		defer p.close()
		id := uint32(1)
		for range 500 {
			p.send(&spdy.SynStreamFrame{StreamID: id, Flags: spdy.FlagFin, Headers: request(v, "GET", "/page")})
			synctest.Wait() // the push has been made
			p.send(rst(id))
			synctest.Wait()
			id += 2
		}
		require.EqualValues(t, limit/2, pushes.now.Load())
		require.NoError(t, p.s.Err())
		p.frames()
		p.wantServed("others have their half", id)
		for range limit {
			id += 2
			p.send(&spdy.SynStreamFrame{StreamID: id, Flags: spdy.FlagFin, Headers: request(v, "GET", "/stuck")})
		}
		synctest.Wait()
		require.EqualValues(t, limit, all.now.Load())
		require.Equal(t, limit/2, p.s.Stats().WaitingHandlers)
		close(told)
		synctest.Wait()
		require.Zero(t, all.now.Load(), "all have had their turn")
		require.EqualValues(t, limit, all.most.Load())
		p.frames()
		p.send(&spdy.SynStreamFrame{StreamID: id + 2, Flags: spdy.FlagFin, Headers: request(v, "GET", "/page")})
		opened := 0
		for _, f := range p.frames() {
			if _, ok := f.(*spdy.SynStreamFrame); ok {
				opened++
			}
		}
		require.Equal(t, 1, opened, "there is room for pushes again")
	})
}

// TestHandlersThatAwaitPushes: handlers may wait until what they push is complete, however few
// may run at once. A push that has no place fails at once.
func TestHandlersThatAwaitPushes(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		for limit := 1; limit <= 4; limit++ {
			const requests = 30
			var made atomic.Int64
			returned := make(chan struct{}, requests)
			p := newPeer(t, v, spdy.Config{MaxConcurrentStreams: limit}, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/pushed" {
					defer func() { returned <- struct{}{} }()
					bubble.Pass(time.Second)
					return
				}
				if push(w, "/pushed") == nil {
					made.Add(1)
					<-returned
				}
			})
			for i := range uint32(requests) {
				id := 2*i + 1
				p.send(&spdy.SynStreamFrame{StreamID: id, Flags: spdy.FlagFin, Headers: request(v, "GET", "/page")})
				if int(i)%limit == limit-1 {
					bubble.Pass(time.Minute)
				}
			}
			bubble.Pass(time.Minute)
			require.Zero(t, p.s.Stats().Streams.Open+p.s.Stats().Streams.Lingering+p.s.Stats().WaitingHandlers)
			require.EqualValues(t, requests, p.s.Stats().StreamsAccepted)
			if limit > 1 {
				require.NotZero(t, made.Load())
			}
			p.close()
		}
	})
}

// TestAttackA28PushesForgotten: a handler that runs for long and pushes now and then keeps
// nothing of the pushes that are complete.
func TestAttackA28PushesForgotten(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		var pushed []weak.Pointer[http.Request]
		more := make(chan struct{})
		p := newPeer(t, v, spdy.Config{}, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/pushed" {
				pushed = append(pushed, weak.Make(r))
				_, _ = io.WriteString(w, "news")
				return
			}
			for range more {
				assert.NoError(t, push(w, "/pushed"))
			}
		})
		defer p.close()
		defer close(more)
		p.send(&spdy.SynStreamFrame{StreamID: 1, Flags: spdy.FlagFin, Headers: request(v, "GET", "/page")})
		const pushes = 50
		for range pushes {
			more <- struct{}{}
			p.frames()
		}
		require.EqualValues(t, pushes, p.s.Stats().StreamsOpened)
		runtime.GC()
		kept := 0
		for _, r := range pushed {
			if r.Value() != nil {
				kept++
			}
		}
		require.LessOrEqual(t, kept, 2, "of %d requests, those that are on a stack", len(pushed))
	})
}
