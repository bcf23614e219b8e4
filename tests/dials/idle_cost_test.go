//go:build !race

package dials

import (
	"fmt"
	"net/http"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// allocated is the number of bytes that the program has allocated so far.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// TestIdleSessionsCostNothing: with MaxIdleConns a request does not look at all sessions that are idle,
// which shows by what it allocates for that. The race detector allocates, too.
func TestIdleSessionsCostNothing(t *testing.T) {
	const requests = 200
	for _, v := range bubble.Versions {
		perRequest := make(map[int]uint64)
		for _, idle := range []int{1, 400} {
			c := ours(v, func(tr *spdy.Transport) { tr.MaxIdleConns, tr.MaxIdleConnsPerHost = 1000, 2 })
			inBubble(t, fmt.Sprintf("%d idle", idle), c, nil, func(t *testing.T, n *network, rt http.RoundTripper) {
				for i := range idle {
					require.NoError(t, get(rt, fmt.Sprintf("http://%d.example/", i), 0))
				}
				before := allocated()
				for range requests {
					require.NoError(t, get(rt, "http://0.example/", 0))
					n.dials() // everything rests
				}
				perRequest[idle] = (allocated() - before) / requests
				require.Equal(t, idle, n.alive())
			})
		}
		require.Less(t, perRequest[400], 2*perRequest[1]+4<<10, "bytes for a request, by idle sessions: %v", perRequest)
	}
}
