package spdy

import (
	"context"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// TestPlayerIsNoFlood: a media player asks for a range, reads some, gives it up and asks
// for the next, fifty at a time and without a pause. That spends nothing of a budget,
// since each was answered, and each range begins where it should.
func TestPlayerIsNoFlood(t *testing.T) {
	film := func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, newPattern(1, 1<<30)) }
	setup := rigSetup{conn: []testconn.Option{testconn.Latency(10 * time.Millisecond)}}
	rigTest(t, film, setup, func(t *testing.T, r *rig) {
		watch := func() {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			req := r.request("GET", "/film", nil, "range", "bytes=0-")
			res, err := r.client.RoundTrip(req.WithContext(ctx))
			require.NoError(t, err)
			check := newPatternCheck(1, 1000)
			_, err = io.CopyN(check, res.Body, 1000)
			require.NoError(t, err)
			require.NoError(t, check.whole())
			require.NoError(t, res.Body.Close())
		}
		for range much(120) {
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(watch)
			}
			wg.Wait()
		}
		<-time.After(time.Second) // until the last resets have come
		synctest.Wait()
		require.NoError(t, r.server.Err())
		require.NoError(t, r.client.Err())
		require.Zero(t, r.server.Stats().ChargedResets)
		r.requireBalanced()
	})
}

// TestKubernetesIsNoFlood: a client of Kubernetes gives up all streams of a connection at
// once, and opens as many again.
func TestKubernetesIsNoFlood(t *testing.T) {
	const streams = defaultUnawareMaxStreams
	conf := Config{FlowControl: FlowControlPeerUnaware, AcceptBacklog: streams}
	for _, r := range bothRoles {
		story(t, r.String(), func(t *testing.T) {
			p := newPeer(t, r, peerOpts{conf: conf, app: newAcceptQueue(&conf), announce: true})
			next := p.peerID()
			for range 3 {
				first := next
				for range streams {
					p.sendSynStream(next, 0, HeaderField{"streamtype", "data"})
					next += 2
				}
				synctest.Wait()
				require.Equal(t, streams, openStreams(p.s))
				for id := first; id < next; id += 2 {
					p.sendRst(id, RstCancel)
				}
				synctest.Wait()
				require.NoError(t, p.s.Err())
				require.Zero(t, openStreams(p.s))
			}
			require.Zero(t, p.s.Stats().ChargedResets, "no handler of ours runs for them")
			require.EqualValues(t, 3*streams, p.s.Stats().StreamsAccepted, "none was refused")
		})
	}
}
