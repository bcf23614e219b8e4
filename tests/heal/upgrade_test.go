package heal

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
)

// TestBlackHoleOfUpgrades: requests for an upgrade find a dead connection out as others do, on a
// session whose server has not said yet whether it takes them. An http.Transport sends those for
// WebSockets over HTTP/1.1 itself.
func TestBlackHoleOfUpgrades(t *testing.T) {
	inAll(t, hello, func(t *testing.T, s *site, rt http.RoundTripper) {
		if _, ours := rt.(*spdy.Transport); !ours {
			return
		}
		require.NoError(t, s.within(time.Second, rt, "/"))
		s.hole(true)
		failed := 0
		for range 10 {
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			scheme := map[bool]string{true: "https", false: "http"}[s.secure]
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://heal.example/", nil)
			require.NoError(t, err)
			req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}}
			if _, err := fetch(rt, req); err != nil {
				failed++
			}
			cancel()
		}
		require.LessOrEqual(t, failed, 2)
		require.Equal(t, 2, s.dialled())
	})
}
