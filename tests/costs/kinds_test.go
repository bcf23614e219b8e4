//go:build !race

package costs

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// Without pools each kind of attack uses more memory than TestAttackA31EachKind allows.
func TestKindsNeedPools(t *testing.T) {
	for name := range attacks {
		bubble.In(t, name, bubble.Versions[2:], func(t *testing.T, v spdy.Version) {
			before := liveHeap()
			s, text := kind(t, v, name, spdy.Pools{HeaderBytes: -1, UnreadBytes: -1, BufferBytes: -1, Handlers: -1})
			var conns []*testconn.Conn
			var cost int64
			for len(conns) < kindCrowd && cost <= sum(smaller) {
				conns = append(conns, s.crowd(text, kindCrowd/10)...)
				cost = liveHeap() - before
			}
			s.leave(conns)
			require.Greater(t, cost, sum(smaller))
		})
	}
}
