package windows

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// Answers that have ended unread are reset too, where no window bounds them.
func TestAttackA29EndedUnreadWithoutWindows(t *testing.T) {
	bubble.Run(t, "", func(t *testing.T) {
		const limit = 1 << 20
		p := newPair(t, spdy.SPDY2, spdy.Config{SessionWindow: limit}, spdy.Config{}, sized)
		for range 3 {
			get(t, p.client, "/300000")
			synctest.Wait()
		}
		small := get(t, p.client, "/200000").Body
		bubble.Pass(20 * time.Millisecond) // the time that readers have for bytes that have just come
		n, err := io.Copy(io.Discard, small)
		require.NoError(t, err, "others have more unread bytes")
		require.EqualValues(t, 200000, n)
		require.EqualValues(t, 1, p.client.Stats().Shed)

		var bodies []io.ReadCloser
		for range 20 {
			bodies = append(bodies, get(t, p.client, "/100000").Body)
			synctest.Wait()
		}
		var g group
		g.download(t, p.client, 1, moved)
		g.wg.Wait()
		require.EqualValues(t, 1, g.done.Load())
		require.LessOrEqual(t, p.client.Stats().UnreadBytes, int64(limit))
		for _, body := range bodies[:9] {
			_, err := io.Copy(io.Discard, body)
			if err != nil {
				require.ErrorIs(t, err, io.ErrUnexpectedEOF, "a whole answer or an error")
			}
		}
		require.GreaterOrEqual(t, p.client.Stats().Shed, uint64(9))
	})
}

// A reader that has kept up and then stops, or reads a little each second, holds the
// others up for some seconds only.
func TestAttackA29ReaderThatStops(t *testing.T) {
	for name, trickle := range map[string]int64{"stops": 0, "trickles": 64 << 10} {
		bubble.Run(t, name, func(t *testing.T) {
			const limit, bandwidth, tick = 2 << 20, 8 << 20, 10 * time.Millisecond
			p := newPair(t, spdy.SPDY2, spdy.Config{SessionWindow: limit}, spdy.Config{}, sized,
				testconn.Bandwidth(bandwidth), testconn.WriteCap(inFlight))
			body := get(t, p.client, "/1000000000").Body
			var g group
			const size = 16 << 20
			g.download(t, p.client, 1, size)
			for range 200 { // two seconds at a quarter of the connection's speed
				_, err := io.CopyN(io.Discard, body, bandwidth/3/100)
				require.NoError(t, err)
				bubble.Pass(tick)
			}
			require.Zero(t, p.client.Stats().Shed, "it keeps up")
			if trickle > 0 {
				anyTime(t, func() {
					for {
						if _, err := io.CopyN(io.Discard, body, trickle); err != nil {
							return
						}
						bubble.Pass(900 * time.Millisecond)
					}
				})
			}
			began := time.Now()
			g.wg.Wait()
			require.EqualValues(t, 1, g.done.Load())
			require.Less(t, time.Since(began), 15*time.Second, "two periods of four seconds, and two to move the bytes")
			require.EqualValues(t, 1, p.client.Stats().Shed)
		})
	}
}
