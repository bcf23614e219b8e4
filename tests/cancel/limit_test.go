package cancel_test

import (
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// early opens streams that a server with a limit of two refuses: count of them from id on.
// It returns the ids of the PINGs that the server has sent.
func (p *peer) early(id uint32, count int) []uint32 {
	p.t.Helper()
	for i := range uint32(count) {
		p.send(p.open(id + 2*i))
	}
	all := p.frames()
	refused := 0
	for _, frame := range all {
		if r, ok := frame.(*spdy.RstStreamFrame); ok {
			require.Equal(p.t, spdy.RstRefusedStream, r.Status)
			refused++
		}
	}
	require.Equal(p.t, count, refused)
	require.NoError(p.t, p.s.Err())
	return pings(all)
}

// TestAttackA28EarlyStreams: a client that opens streams before our SETTINGS have reached it
// is refused them and breaks no rule. One PING, sent when the first of them is refused, shows
// when it must know the limit.
func TestAttackA28EarlyStreams(t *testing.T) {
	const early = 10 * burst
	for _, way := range []struct {
		name        string
		echo, known time.Duration // when the echo comes, 0 for never, and from when on streams are charged
	}{{"quick", time.Millisecond, time.Second}, {"slow", 3 * time.Second, 12 * time.Second}, {"no echo", 0, 10 * time.Second}} {
		t.Run(way.name, func(t *testing.T) {
			bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
				p, _, stop := stuck(t, v, spdy.Config{MaxConcurrentStreams: 2, ResetBurst: burst, ResetRate: 1})
				defer p.close()
				defer stop()
				for id := range uint32(2) {
					p.send(&spdy.SynStreamFrame{StreamID: 2*id + 1, Headers: request(v, "POST", "/stuck")})
				}
				p.want("no PING as long as all is well")
				require.Equal(t, []uint32{2}, p.early(5, early))
				if way.echo != 0 {
					bubble.Pass(way.echo)
					p.send(&spdy.PingFrame{ID: 2})
				}
				bubble.Pass(way.known - way.echo - 1)
				require.Empty(t, p.early(5+2*early, early), "no second PING")
				require.Zero(t, p.s.Stats().ChargedResets)
				bubble.Pass(1)
				p.early(5+4*early, 3)
				require.EqualValues(t, 3, p.s.Stats().ChargedResets, "it must know by now")
			})
		})
	}
}

// TestAttackA28EarlyRequests: our client opens as many streams as it may assume on a fresh
// session. That a server takes fewer, and tolerates few violations, does not end the session.
func TestAttackA28EarlyRequests(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		server := spdy.Config{MaxConcurrentStreams: 10, ResetBurst: 5, ResetRate: 1}
		r := newPair(v, server, func(http.ResponseWriter, *http.Request) { bubble.Pass(20 * time.Millisecond) },
			testconn.Latency(100*time.Millisecond), testconn.Bandwidth(4<<20))
		defer r.close()
		var users sync.WaitGroup
		for range 100 {
			users.Go(func() {
				req, err := http.NewRequest("GET", "http://cancel.example/", nil)
				if err == nil {
					if res, err := r.client.RoundTrip(req); err == nil {
						res.Body.Close()
					}
				}
			})
		}
		users.Wait()
		bubble.Pass(time.Second)
		require.Equal(t, http.StatusOK, r.status(t, "/"))
		r.wantAlive(t)
		require.Zero(t, r.server.Stats().ChargedResets)
	})
}

// status makes a request and returns the status of the answer.
func (r *pair) status(t *testing.T, path string) int {
	t.Helper()
	req, err := http.NewRequest("GET", "http://cancel.example"+path, nil)
	require.NoError(t, err)
	res, err := r.client.RoundTrip(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode
}

// TestAttackA28EarlyPush: a server that pushes before it can know that the client takes no
// pushes breaks no rule either.
func TestAttackA28EarlyPush(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		p := newPeer(t, v, spdy.Config{ResetBurst: burst, ResetRate: 1}, nil)
		defer p.close()
		c := p.get("/")
		p.want("a request", "SYN_STREAM 1")
		id := uint32(0)
		push := func(n int) []spdy.Frame {
			for range n {
				id += 2
				p.send(&spdy.SynStreamFrame{StreamID: id, AssociatedStreamID: 1, Flags: spdy.FlagUnidirectional,
					Headers: pushed(v, fmt.Sprintf("/%d", id))})
			}
			return p.frames()
		}
		echo := pings(push(5 * burst))
		require.Equal(t, []uint32{1}, echo, "one PING")
		p.send(&spdy.PingFrame{ID: 1})
		bubble.Pass(time.Second - 1)
		push(5 * burst)
		require.NoError(t, p.s.Err())
		require.Zero(t, p.s.Stats().ChargedResets)
		bubble.Pass(1)
		push(3)
		require.EqualValues(t, 3, p.s.Stats().ChargedResets)
		p.send(p.reply(1))
		require.True(t, c.ended())
		require.NoError(t, <-c.err)
	})
}

// pushed is the header block of a push whose status comes later.
func pushed(v spdy.Version, path string) spdy.HeaderBlock {
	if v == spdy.SPDY2 {
		return spdy.HeaderBlock{{Name: "url", Value: "http://cancel.example" + path}}
	}
	return spdy.HeaderBlock{{Name: ":scheme", Value: "http"}, {Name: ":host", Value: "cancel.example"}, {Name: ":path", Value: path}}
}
