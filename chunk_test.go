package spdy

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// Bytes waste no more than a quarter of their number in chunks, and half a kilobyte.
func TestChunksFit(t *testing.T) {
	for _, pieces := range [][]int{{1}, {500}, {513}, {2049}, {5000}, {8193}, {16 << 10}, {32 << 10}, {16 << 10, 16 << 10},
		{1, 8193}, {32 << 10, 1}, {600, 600, 600}, {100, 10_000, 30_000}} {
		var b northbound
		var kept memoryCount
		b.init(1 << 20)
		n := int64(0)
		for _, k := range pieces {
			require.Zero(t, b.append(make([]byte, k), &kept))
			n += int64(k)
		}
		require.LessOrEqual(t, kept.n.Load(), n+n/4+512, "%v", pieces)
		require.Equal(t, n, b.discard())
		require.Zero(t, kept.n.Load(), "%v", pieces)
	}
}

// What a buffer gives up counts no more: read, lent, or left to the program.
func TestChunksForgotten(t *testing.T) {
	for name, giveUp := range map[string]func(b *northbound, kept *memoryCount){
		"read": func(b *northbound, _ *memoryCount) { _, _, _, _ = b.read(make([]byte, 10_000)) },
		"lent": func(b *northbound, kept *memoryCount) {
			for range 2 {
				v, err := b.view()
				require.NoError(t, err)
				defer b.advance(v)
			}
			require.Zero(t, kept.n.Load(), "before they are returned")
		},
		"left to the program": func(b *northbound, _ *memoryCount) {
			b.finish(ErrStreamClosed, false)
			b.uncharge()
		},
	} {
		var b northbound
		var kept memoryCount
		b.init(1 << 20)
		require.Zero(t, b.append(make([]byte, 10_000), &kept))
		require.GreaterOrEqual(t, kept.n.Load(), int64(10_000))
		giveUp(&b, &kept)
		require.Zero(t, kept.n.Load(), name)
		b.discard()
		require.Zero(t, kept.n.Load(), name)
	}
}

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
