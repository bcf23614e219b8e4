// Package floors tests that no value of a budget ends the sessions of honest peers.
package floors

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// many is how many streams an honest client has open at once.
const many = 100

// A load is what an honest client does at once. The handlers end when release is closed.
type load struct {
	name    string
	handler func(w http.ResponseWriter, r *http.Request, release <-chan struct{})
	run     func(t *testing.T, client *spdy.Session, release chan struct{})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// each runs f for many requests at once.
func each(f func(i int)) {
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() { f(i) })
	}
	all.Wait()
}

func send(t *testing.T, client *spdy.Session, ctx context.Context, method string, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://origin/", body)
	require.NoError(t, err)
	return client.RoundTrip(req)
}

var loads = []load{
	{
		name:    "nothing",
		handler: func(http.ResponseWriter, *http.Request, <-chan struct{}) {},
		run:     func(*testing.T, *spdy.Session, chan struct{}) {},
	},
	{
		name: "downloads",
		handler: func(w http.ResponseWriter, _ *http.Request, _ <-chan struct{}) {
			_, _ = io.CopyN(w, zeros{}, 1<<20)
		},
		run: func(t *testing.T, client *spdy.Session, _ chan struct{}) {
			each(func(int) {
				res, err := send(t, client, t.Context(), http.MethodGet, nil)
				if err == nil {
					_, err = io.Copy(io.Discard, res.Body)
				}
				require.NoError(t, err)
			})
		},
	},
	{
		name: "readers that begin at once",
		handler: func(w http.ResponseWriter, _ *http.Request, _ <-chan struct{}) {
			_, _ = io.CopyN(w, zeros{}, 1<<20)
		},
		run: func(t *testing.T, client *spdy.Session, release chan struct{}) {
			go func() {
				bubble.Pass(time.Minute)
				close(release)
			}()
			each(func(int) {
				res, err := send(t, client, t.Context(), http.MethodGet, nil)
				require.NoError(t, err)
				<-release
				_, err = io.Copy(io.Discard, res.Body)
				require.NoError(t, err)
			})
		},
	},
	{
		name: "uploads",
		handler: func(_ http.ResponseWriter, r *http.Request, _ <-chan struct{}) {
			_, _ = io.Copy(io.Discard, r.Body)
		},
		run: func(t *testing.T, client *spdy.Session, _ chan struct{}) {
			each(func(int) {
				res, err := send(t, client, t.Context(), http.MethodPut, io.LimitReader(zeros{}, 1<<20))
				require.NoError(t, err)
				res.Body.Close()
			})
		},
	},
	{
		name: "cancelled downloads",
		handler: func(w http.ResponseWriter, _ *http.Request, _ <-chan struct{}) {
			_, _ = io.CopyN(w, zeros{}, 10<<20)
		},
		run: func(t *testing.T, client *spdy.Session, release chan struct{}) {
			for range 3 {
				release := make(chan struct{})
				go func() {
					bubble.Pass(time.Minute)
					close(release)
				}()
				each(func(int) {
					res, err := send(t, client, t.Context(), http.MethodGet, nil)
					require.NoError(t, err)
					<-release
					_, _ = io.CopyN(io.Discard, res.Body, 100<<10)
					res.Body.Close()
				})
			}
		},
	},
	{
		name: "cancelled requests",
		handler: func(_ http.ResponseWriter, r *http.Request, _ <-chan struct{}) {
			<-r.Context().Done()
		},
		run: func(t *testing.T, client *spdy.Session, _ chan struct{}) {
			for range 3 {
				each(func(i int) {
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					_, err := send(t, client, ctx, http.MethodPut, zeros{})
					require.Error(t, err)
				})
			}
		},
	},
	{
		name: "refused uploads",
		handler: func(_ http.ResponseWriter, r *http.Request, _ <-chan struct{}) {
			panic(http.ErrAbortHandler)
		},
		run: func(t *testing.T, client *spdy.Session, _ chan struct{}) {
			for range 3 {
				each(func(i int) {
					_, err := send(t, client, t.Context(), http.MethodPut, zeros{})
					require.Error(t, err)
				})
			}
		},
	},
}

func (l load) survives(t *testing.T, v spdy.Version, burst int) (cause error) {
	release := make(chan struct{})
	a, b := testconn.Pair(testconn.Latency(25 * time.Millisecond))
	conf := spdy.Config{IdleFrameBurst: burst, IdleFrameRate: 1}
	server := bubble.Quiet(conf, v).ServerSession(b, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.handler(w, r, release)
	})})
	client := bubble.Quiet(conf, v).ClientSession(a)
	ended := make(chan error, 2)
	go func() { ended <- server.Serve() }()
	go func() { ended <- client.Serve() }()
	synctest.Wait()
	l.run(t, client, release)
	bubble.Pass(time.Minute)
	for _, s := range []*spdy.Session{server, client} {
		if cause == nil {
			cause = s.Err()
		}
	}
	client.Close()
	server.Close()
	<-ended
	<-ended
	return cause
}

// A session with the smallest budgets serves honest peers. What they need is beyond IdleFrameBurst:
// an honest peer begins with two frames without a use, and grants credit for a hundred streams in
// one write. SPDY/2 has no windows.
func TestLeastIdleBudget(t *testing.T) {
	for _, l := range loads {
		for burst := 1; burst <= 2; burst++ {
			bubble.In(t, fmt.Sprintf("%s, %d", l.name, burst), []spdy.Version{spdy.SPDY3, spdy.SPDY31}, func(t *testing.T, v spdy.Version) {
				require.NoError(t, l.survives(t, v, burst))
			})
		}
	}
}

// It still ends for a flood.
func TestLeastIdleBudgetIsOne(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		a, b := testconn.Pair()
		server := bubble.Quiet(spdy.Config{IdleFrameBurst: 1, IdleFrameRate: 1}, v).ServerSession(b, &http.Server{Handler: http.NotFoundHandler()})
		ended := make(chan error, 1)
		go func() { ended <- server.Serve() }()
		go io.Copy(io.Discard, a)
		f := spdy.NewFramer(a, a, v)
		for range 100 {
			if f.WriteFrame(&spdy.SettingsFrame{}) != nil {
				break
			}
		}
		var flood *spdy.FloodError
		require.ErrorAs(t, <-ended, &flood)
		require.Equal(t, spdy.BudgetIdleFrames, flood.Budget)
		require.Equal(t, 16, flood.Limit)
		a.Close()
	})
}
