package cancel_test

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// TestInterimAnswersOfStrangers: an origin that sends many interim answers to each request, as
// many as a stream may have, does not end the session that carries the requests of others. Of
// x/net/http2, too, they cost a stream at most.
func TestInterimAnswersOfStrangers(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		p := newPeer(t, v, spdy.Config{}, nil)
		defer p.close()
		early := answer(v)
		early[0].Value = "103"
		for id := uint32(1); id < 600; id += 2 {
			c := p.get("/")
			synctest.Wait()
			require.IsType(t, &spdy.SynStreamFrame{}, p.frames()[0])
			for range 100 {
				p.send(&spdy.SynReplyFrame{StreamID: id, Headers: early})
			}
			p.send(&spdy.SynReplyFrame{StreamID: id, Flags: spdy.FlagFin, Headers: answer(v)})
			require.True(t, c.ended())
			require.NoError(t, <-c.err)
		}
		require.NoError(t, p.s.Err())
		require.Zero(t, p.s.Stats().IdleFrames)
	})
}
