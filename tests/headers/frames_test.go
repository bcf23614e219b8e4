package headers

import (
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// incompressible returns headers whose values have n bytes together, which take half as many on
// the wire.
func incompressible(n int) http.Header {
	const most = 60000
	random := rand.NewChaCha8([32]byte{})
	h := make(http.Header)
	for i := 0; n > 0; i++ {
		value := make([]byte, min(n, most)/2)
		_, _ = random.Read(value) // never fails
		h.Set(fmt.Sprintf("X-%03d", i), hex.EncodeToString(value))
		n -= most
	}
	return h
}

// TestControlFramesOfStrangers: MaxControlFrame does not end a session for a header block of the
// size that honest peers send by default: whose block it is had no say in that limit, and the
// streams of others are on the session, too. net/http and x/net/http2 have no such limit: both
// answer 431 to a header that is too large for them.
func TestControlFramesOfStrangers(t *testing.T) {
	low := spdy.Config{MaxControlFrame: 4 << 10}
	bubble.InVersions(t, "request", func(t *testing.T, v spdy.Version) {
		r := newRig(t, v, nil, &low, func(http.ResponseWriter, *http.Request) {})
		res, err := r.Client.RoundTrip(r.request("/", incompressible(1<<20)))
		require.Equal(t, 200, status(t, res, err))
		r.done()
	})
	bubble.InVersions(t, "request too large", func(t *testing.T, v spdy.Version) {
		server := low
		server.MaxHeaderBytes = small
		r := newRig(t, v, nil, &server, func(http.ResponseWriter, *http.Request) {})
		res, err := r.Client.RoundTrip(r.request("/", incompressible(1<<20)))
		require.Equal(t, 431, status(t, res, err))
		r.done()
	})
	bubble.InVersions(t, "answer", func(t *testing.T, v spdy.Version) {
		r := newRig(t, v, &low, nil, func(w http.ResponseWriter, _ *http.Request) {
			for key, values := range incompressible(10 << 20) {
				w.Header()[key] = values
			}
		})
		res, err := r.Client.RoundTrip(r.request("/"))
		require.Equal(t, 200, status(t, res, err))
		r.done()
	})
}
