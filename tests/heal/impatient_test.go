package heal

import (
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// TestImpatientUsers: users who give their requests up within the first round trip of a session
// do not have it replaced by another one, in which the same would happen. Others are served by
// the sessions that there are.
func TestImpatientUsers(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		const users, roundTrip = 1000, 200 * time.Millisecond
		ln := testconn.Listen()
		server := &spdy.Server{Config: bubble.Quiet(spdy.Config{}, v), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/wait" {
				<-r.Context().Done()
			}
			hello(w, r)
		})}
		var all sync.WaitGroup
		all.Go(func() { _ = server.Serve(ln) })
		var dials atomic.Int64
		tr := &spdy.Transport{Config: bubble.Quiet(spdy.Config{}, v), DialContext: func(context.Context, string, string) (net.Conn, error) {
			dials.Add(1)
			bubble.Pass(roundTrip)
			return ln.Dial(testconn.Latency(roundTrip/2), testconn.Bandwidth(1_000_000))
		}}
		s := &site{t: t}
		require.NoError(t, s.within(5*time.Second, tr, "/"))
		ctx, cancel := context.WithCancel(t.Context())
		for i := range users {
			all.Go(func() {
				random := rand.New(rand.NewPCG(1, uint64(i)))
				for ctx.Err() == nil {
					once, end := context.WithTimeout(ctx, time.Duration(random.Int64N(int64(time.Second))))
					_, _ = s.get(once, tr, "/wait")
					end()
					bubble.Pass(time.Duration(random.Int64N(int64(time.Second))))
				}
			})
		}
		bubble.Pass(5 * time.Second)
		before, slowest := dials.Load(), time.Duration(0)
		for range 20 {
			began := time.Now()
			require.NoError(t, s.within(5*time.Second, tr, "/"))
			slowest = max(slowest, time.Since(began))
		}
		more := dials.Load() - before
		cancel()
		bubble.Pass(2 * time.Second)
		require.NoError(t, server.Close())
		tr.CloseIdleConnections()
		bubble.Pass(2 * time.Second)
		all.Wait()
		require.LessOrEqual(t, more, int64(2), "dials while others are served")
		require.LessOrEqual(t, slowest, roundTrip*3/2)
	})
}
