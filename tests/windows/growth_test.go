package windows

import (
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// paused reads a download for a while, and returns the bytes of it that are unread when the
// reader has stopped: its window.
func paused(t *testing.T, s *spdy.Session) int64 {
	before := s.Stats().UnreadBytes
	body := get(t, s, "/1000000000").Body
	for end := time.Now().Add(3 * time.Second); time.Now().Before(end); {
		_, err := io.CopyN(io.Discard, body, 16<<10)
		require.NoError(t, err)
	}
	bubble.Pass(time.Second)
	return s.Stats().UnreadBytes - before
}

// A download whose window has grown, and that is paused, leaves half of the pool to the
// next.
func TestAttackA29GrowthLeavesHalf(t *testing.T) {
	bubble.In(t, "", withWindows, func(t *testing.T, v spdy.Version) {
		const window, pool = 64 << 10, 8 << 20
		conf := spdy.Config{StreamWindow: window, SessionWindow: 250*window + pool, MaxStreamWindow: 1 << 30}
		p := newPair(t, v, conf, spdy.Config{}, sized, testconn.Latency(50*time.Millisecond))
		rest := int64(pool)
		for range 3 {
			given := paused(t, p.client) - window
			require.LessOrEqual(t, given, rest/2+window/2) // what is unread may be less than the window
			require.GreaterOrEqual(t, given, rest/2-window)
			rest -= given
		}
	})
}

// Ten readers of a long path get within a factor of two of each other.
func TestAttackA29GrowthIsFair(t *testing.T) {
	bubble.In(t, "", withWindows, func(t *testing.T, v spdy.Version) {
		p := newPair(t, v, spdy.Config{}, spdy.Config{}, sized, testconn.Latency(50*time.Millisecond))
		var read [10]atomic.Int64
		var wg sync.WaitGroup
		for i := range read {
			body := get(t, p.client, "/10000000000").Body
			wg.Go(func() {
				for end := time.Now().Add(5 * time.Second); time.Now().Before(end); {
					n, _ := io.CopyN(io.Discard, body, 64<<10)
					read[i].Add(n)
				}
				body.Close()
			})
		}
		wg.Wait()
		var all []int64
		for i := range read {
			all = append(all, read[i].Load())
		}
		require.LessOrEqual(t, slices.Max(all), 2*slices.Min(all), "%v", all)
	})
}
