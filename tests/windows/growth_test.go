package windows

import (
	"fmt"
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
// next, and the fewer are left of it the larger a part. The pool borrows from half of the slots.
func TestAttackA29GrowthLeavesHalf(t *testing.T) {
	bubble.In(t, "", withWindows, func(t *testing.T, v spdy.Version) {
		const window, pool = 64 << 10, 8 << 20
		conf := spdy.Config{StreamWindow: window, SessionWindow: 250*window + pool, MaxStreamWindow: 1 << 30}
		p := newPair(t, v, conf, spdy.Config{}, sized, testconn.Latency(50*time.Millisecond))
		const whole = pool + 125*window
		rest := float64(whole)
		for range 4 {
			given := rest / 2 * rest / whole
			unread := float64(paused(t, p.client))
			require.LessOrEqual(t, unread, given+window)
			require.GreaterOrEqual(t, unread, (given+window)*0.7) // a quarter of the window may be owed
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

// Downloads that have grown on a long path, and are paused then, leave the one that is read
// what it needs.
func TestAttackA29ParkedStreamsLeaveThePool(t *testing.T) {
	const line, latency = 8 << 20, 150 * time.Millisecond
	for parked, least := range map[int]float64{0: 0.95, 4: 0.95, 12: 0.95, 16: 0.35} {
		bubble.In(t, fmt.Sprint(parked), withWindows, func(t *testing.T, v spdy.Version) {
			p := newPair(t, v, spdy.Config{}, spdy.Config{}, sized,
				testconn.Bandwidth(line), testconn.Latency(latency), testconn.WriteCap(line))
			for range parked {
				readFor(t, get(t, p.client, "/1000000000000").Body, 8*time.Second)
			}
			bubble.Pass(5 * time.Second)
			body := get(t, p.client, "/1000000000000").Body
			readFor(t, body, 5*time.Second)
			n := readFor(t, body, 10*time.Second)
			require.GreaterOrEqual(t, float64(n)/10/line, least, "of the line")
		})
	}
}

// readFor reads as fast as bytes come until some time has passed, and returns how many.
func readFor(t *testing.T, r io.Reader, d time.Duration) (n int64) {
	t.Helper()
	p := make([]byte, 64<<10)
	for end := time.Now().Add(d); time.Now().Before(end); {
		k, err := r.Read(p)
		require.NoError(t, err)
		n += int64(k)
	}
	return n
}

// What the pool has borrowed from slots that are not open bounds how many streams a client
// opens, until it is given back.
func TestAttackA29LentSlotsStayClosed(t *testing.T) {
	bubble.In(t, "", withWindows, func(t *testing.T, v spdy.Version) {
		const window, slots = 64 << 10, 250
		conf := spdy.Config{StreamWindow: window, SessionWindow: slots*window + 1<<20, MaxStreamWindow: 1 << 30}
		p := newPair(t, v, conf, spdy.Config{MaxConcurrentStreams: 1000}, sized, testconn.Latency(50*time.Millisecond))
		var parked []io.Closer
		for range 6 {
			body := get(t, p.client, "/1000000000000").Body
			readFor(t, body, 3*time.Second)
			parked = append(parked, body)
		}
		for range slots {
			start(p.client, request(t, "GET", "/1000000000", nil))
		}
		bubble.Pass(time.Second)
		stats := p.client.Stats()
		require.LessOrEqual(t, stats.UnreadBytes, int64(conf.SessionWindow))
		require.Greater(t, stats.UnreadBytes, int64(conf.SessionWindow)*3/4)
		require.Greater(t, stats.WaitingOpeners, slots/4, "their windows are lent")
		require.Less(t, stats.WaitingOpeners, slots/2+6, "half of them never are")
		for i, body := range parked {
			require.NoError(t, body.Close())
			bubble.Pass(time.Second)
			require.LessOrEqual(t, p.client.Stats().WaitingOpeners, stats.WaitingOpeners-i)
		}
		require.Zero(t, p.client.Stats().WaitingOpeners)
	})
}
