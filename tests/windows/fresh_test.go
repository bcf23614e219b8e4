package windows

import (
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/spdytest"
	"github.com/amahi/spdy/tests/bubble"
)

// TestFreshBytesAreNoBacklog: downloads that are all read at once are whole where no window holds
// the server back, although the session reaches its bound before any reader has had the time to
// read. Over HTTP/1.1 none is cut.
func TestFreshBytesAreNoBacklog(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		const film = 2 << 20
		p := spdytest.NewUnstartedPair(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = w.Write(make([]byte, film))
		}))
		p.ClientConfig = bubble.Quiet(spdy.Config{SessionWindow: 1 << 20}, v)
		p.ServerConfig = bubble.Quiet(spdy.Config{}, v)
		p.Start()
		defer p.Close()
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() {
				res, err := p.Client.RoundTrip(request(t, "GET", "/", nil))
				if assert.NoError(t, err) {
					n, err := io.Copy(io.Discard, res.Body)
					assert.NoError(t, err)
					assert.EqualValues(t, film, n)
				}
			})
		}
		all.Wait()
		assert.Zero(t, p.Client.Stats().Shed)
	})
}
