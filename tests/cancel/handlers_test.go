package cancel_test

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// stuck is a server whose handlers of /stuck run until stop is called. begun counts them.
func stuck(t *testing.T, v spdy.Version, conf spdy.Config) (p *peer, begun *atomic.Int64, stop func()) {
	begun = new(atomic.Int64)
	told := make(chan struct{})
	stop = sync.OnceFunc(func() { close(told) })
	t.Cleanup(stop)
	p = newPeer(t, v, conf, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stuck" {
			begun.Add(1)
			<-told
		}
	})
	return p, begun, stop
}

// hangUp opens a stream and cancels it at once, in the way of a client of ours: with a PING
// behind the RST_STREAM.
func (p *peer) hangUp(id uint32) {
	p.send(&spdy.SynStreamFrame{StreamID: id, Flags: spdy.FlagFin, Headers: request(p.v, "GET", "/stuck")},
		rst(id), &spdy.PingFrame{ID: id})
}

// refusals counts the streams that the session has refused since the last call, and wants
// nothing else to have happened to streams.
func (p *peer) refusals() (n int) {
	p.t.Helper()
	for _, frame := range p.frames() {
		switch f := frame.(type) {
		case *spdy.RstStreamFrame:
			require.Equal(p.t, spdy.RstRefusedStream, f.Status)
			n++
		case *spdy.PingFrame:
		default:
			require.Fail(p.t, "unexpected", "%v", show(frame))
		}
	}
	return n
}

// TestAttackA28HandlersStillRun: while handlers run for cancelled streams, no more of them begin
// than the limit, however many streams follow and are cancelled too. At ResetBurst streams are
// refused. It costs the peer, which cannot know how long handlers run, nothing.
func TestAttackA28HandlersStillRun(t *testing.T) {
	for name, c := range map[string]struct {
		conf              spdy.Config
		handlers, streams int
		refused           bool // the streams beyond; else they leave the queue
	}{
		"all slots":   {spdy.Config{MaxConcurrentStreams: 20}, 20, 100000, false},
		"ResetBurst":  {spdy.Config{MaxConcurrentStreams: 20, ResetBurst: 5}, 5, 5000, true},
		"one of many": {spdy.Config{MaxConcurrentStreams: 20, ResetBurst: 1}, 1, 5000, true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
				p, begun, stop := stuck(t, v, c.conf)
				defer p.close()
				refused, id := 0, uint32(1)
				for i := range c.streams {
					p.hangUp(id)
					if id += 2; i%500 == 499 || i < 100 {
						refused += p.refusals()
					}
				}
				require.NoError(t, p.s.Err())
				s := p.s.Stats()
				accepted, beyond := c.streams, 0
				if c.refused {
					accepted, beyond = c.handlers, c.streams-c.handlers
				}
				require.Equal(t, beyond, refused)
				require.EqualValues(t, accepted, s.StreamsAccepted)
				require.Equal(t, c.handlers, s.Streams.Lingering)
				require.EqualValues(t, c.handlers, s.ChargedResets, "those whose handlers have begun")
				require.LessOrEqual(t, s.IdleFrames, uint64(2*accepted), "PINGs")
				require.EqualValues(t, c.handlers, begun.Load())
				stop()
				synctest.Wait()
				require.Zero(t, p.s.Stats().Streams.Lingering)
				p.wantServed("the handlers have returned", id)
			})
		})
	}
}

// TestAttackA28OneHandlerReturns: each handler that returns makes room for a stream.
func TestAttackA28OneHandlerReturns(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		told := make(chan struct{})
		p := newPeer(t, v, spdy.Config{MaxConcurrentStreams: 20, ResetBurst: 3}, func(http.ResponseWriter, *http.Request) { <-told })
		defer p.close()
		defer close(told)
		for i := range uint32(10) {
			p.hangUp(2*i + 1)
			synctest.Wait()
		}
		require.Equal(t, 7, p.refusals())
		told <- struct{}{}
		synctest.Wait()
		require.Equal(t, 2, p.s.Stats().Streams.Lingering)
		p.hangUp(101)
		p.hangUp(103)
		require.Equal(t, 1, p.refusals(), "one handler has returned")
		require.Equal(t, 3, p.s.Stats().Streams.Lingering)
	})
}
