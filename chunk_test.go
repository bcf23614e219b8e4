package spdy

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// A sender that finds its connection lost has nothing to write; its batch must
// go back to the pool as it came, for whoever slices it to its full size next.
func TestLostSessionLeavesBatchWhole(t *testing.T) {
	for range 20 {
		ours, peer := testconn.Pair()
		s := NewClientSession(ours)
		peer.Close()
		_ = s.Serve() // how it ends does not matter here
		buf := getBatch()
		require.GreaterOrEqual(t, cap(*buf), batchSize)
		putBatch(buf)
	}
}
