package headers

import (
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// A request that is too large to be sent is counted, not built: it costs a fraction of its size.
func TestTooLargeRequestIsNotBuilt(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		const values, size, tries = 100, 50_000, 20
		r := newRig(t, v, nil, nil, func(http.ResponseWriter, *http.Request) {})
		req := r.request("/", nil)
		req.Header = make(http.Header)
		want := 0
		for i := range values {
			req.Header.Set(fmt.Sprintf("X-%02d", i), strings.Repeat("v", size))
			want += len("X-00") + size
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range tries {
			_, err := r.Client.RoundTrip(req)
			e := wantTooLarge(t, err, "request")
			require.InDelta(t, want, e.Size, 2000, "all of it is counted")
			require.Equal(t, defaultLimit, e.Limit)
		}
		runtime.ReadMemStats(&after)
		require.Less(t, (after.TotalAlloc-before.TotalAlloc)/tries, uint64(values*size/10))
	})
}
