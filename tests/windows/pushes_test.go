package windows

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// acceptAll is a Config.AcceptPush.
func acceptAll(_, _ *http.Request) bool { return true }

// TestAttackA21Unclaimed: pushes that no request claims hold half of the slots, and their
// handlers at the server, for a minute at most.
func TestAttackA21Unclaimed(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		const slots = 20
		var running atomic.Int64
		var refused []error
		paths := 0
		client := spdy.Config{MaxConcurrentStreams: slots, AcceptPush: acceptAll}
		p := newPair(t, v, client, spdy.Config{}, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/page" {
				running.Add(1)
				defer running.Add(-1)
				_, _ = w.Write(make([]byte, 1<<20)) // more than the window, where there is one
				<-r.Context().Done()
				return
			}
			for range 5 {
				paths++
				if err := w.(http.Pusher).Push(fmt.Sprint("/", paths), nil); err != nil {
					refused = append(refused, err)
				}
				bubble.Pass(time.Second)
			}
		})
		for range 5 {
			get(t, p.client, "/page").Body.Close()
			synctest.Wait()
			require.LessOrEqual(t, p.client.Stats().Streams.Open, slots/2)
		}
		require.Empty(t, refused, "the newest pushes are taken")
		require.EqualValues(t, slots/2, running.Load())
		bubble.Pass(54500 * time.Millisecond)
		require.EqualValues(t, 5, running.Load(), "those of the latest page")
		bubble.Pass(5 * time.Second)
		require.Zero(t, running.Load())
		require.Zero(t, p.client.Stats().Streams.Open+p.server.Stats().Streams.Open)
		require.Zero(t, p.client.Stats().UnreadBytes)
		get(t, p.client, "/page").Body.Close()
		synctest.Wait()
		require.EqualValues(t, 5, running.Load())
	})
}

// TestUnclaimedEnds: a session ends in good order beside pushes that wait, and nothing is left
// of them.
func TestUnclaimedEnds(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		p := newPair(t, v, spdy.Config{MaxConcurrentStreams: 1, AcceptPush: acceptAll}, spdy.Config{}, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/page" {
				assert.NoError(t, w.(http.Pusher).Push("/1", nil))
				return
			}
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		})
		get(t, p.client, "/page").Body.Close()
		began := time.Now()
		require.NoError(t, p.client.Shutdown(t.Context()))
		require.Less(t, time.Since(began), time.Second)
	})
}

// TestAttackA21Verdicts: no more calls of AcceptPush wait than pushes may be open. They hold
// up no request for what is pushed, nor the end of the session, and the server that pushes
// on breaks no rule.
func TestAttackA21Verdicts(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		const slots, pushes = 10, 500
		var asked atomic.Int64
		told := make(chan struct{})
		defer close(told)
		p, s := scripted(t, v, spdy.Config{MaxConcurrentStreams: slots, AcceptPush: func(_, _ *http.Request) bool {
			asked.Add(1)
			<-told
			return true
		}})
		page := start(s, request(t, "GET", "/", nil))
		require.Equal(t, []uint32{1}, p.opened())
		p.reply(1, 0)
		for i := range uint32(pushes) {
			p.push(2*i+2, fmt.Sprint("/", i), spdy.FlagFin)
			bubble.Pass(100 * time.Millisecond) // by and by the server knows the limit
		}
		require.EqualValues(t, slots, asked.Load())
		require.Zero(t, s.Stats().ChargedResets)
		p.data(1, 1, spdy.FlagFin)
		page.answered(t).Body.Close()
		for i := range uint32(slots) {
			c := start(s, request(t, "GET", fmt.Sprint("/", i), nil))
			require.Len(t, p.opened(), 1)
			p.reply(2*i+3, spdy.FlagFin)
			c.answered(t).Body.Close()
		}
		require.NoError(t, s.Shutdown(t.Context()))
	})
}

// push pushes a path along with the answer on stream 1.
func (p *peer) push(id uint32, path string, flags spdy.FrameFlags) {
	p.t.Helper()
	h := spdy.HeaderBlock{
		{Name: ":scheme", Value: "http"}, {Name: ":host", Value: "origin.example"}, {Name: ":path", Value: path},
		{Name: ":status", Value: "200"}, {Name: ":version", Value: "HTTP/1.1"},
	}
	if p.v == spdy.SPDY2 {
		h = spdy.HeaderBlock{{Name: "url", Value: "http://origin.example" + path}, {Name: "status", Value: "200"}, {Name: "version", Value: "HTTP/1.1"}}
	}
	p.send(&spdy.SynStreamFrame{StreamID: id, AssociatedStreamID: 1, Flags: flags | spdy.FlagUnidirectional, Headers: h})
}
