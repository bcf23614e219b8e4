package heal

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/tests/bubble"
)

// pause has the path stand still for d while the PING behind a request that is given up is out. The
// session goes on to be used.
func pause(t *testing.T, s *site, rt http.RoundTripper, d time.Duration) {
	s.hold(true)
	require.Error(t, s.within(20*time.Millisecond, rt, "/slow"))
	bubble.Pass(d)
	s.hold(false)
	bubble.Pass(time.Second)
	for range 3 {
		require.NoError(t, s.within(time.Minute, rt, "/"))
	}
	require.Equal(t, 1, s.dialled(), "the session goes on")
}

// TestLongTripIsForgotten: a PING whose echo came late, because the path stood still, does not
// make the session's death, long after, cost more requests than two.
func TestLongTripIsForgotten(t *testing.T) {
	for name, known := range map[string]bool{"the first PING": false, "not the first": true} {
		t.Run(name, func(t *testing.T) {
			inAll(t, hello, func(t *testing.T, s *site, rt http.RoundTripper) {
				require.NoError(t, s.within(time.Second, rt, "/"))
				if known {
					require.Error(t, s.within(100*time.Millisecond, rt, "/slow"))
					bubble.Pass(time.Second)
				}
				pause(t, s, rt, 900*time.Millisecond)
				pause(t, s, rt, 900*time.Millisecond)
				s.hole(true)
				require.LessOrEqual(t, s.failures(30*time.Millisecond, rt), 2)
				bubble.Pass(2 * time.Second)
				require.True(t, s.closed(0), "the dead session has ended")
			})
		})
	}
}
