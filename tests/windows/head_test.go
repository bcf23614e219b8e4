package windows

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// TestAttackA29BodiesOfHead: what handlers of HEAD have not read, after the reply has ended the
// stream, is taken from what windows may grow by.
func TestAttackA29BodiesOfHead(t *testing.T) {
	bubble.In(t, "", withWindows, func(t *testing.T, v spdy.Version) {
		const window, heads = 64 << 10, 3
		conf := spdy.Config{MaxConcurrentStreams: heads + 1, StreamWindow: window, SessionWindow: (2*heads + 1) * window}
		told := make(chan struct{})
		p := newPair(t, v, spdy.Config{}, conf, func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodHead {
				w.(http.Flusher).Flush()
				<-told
				n, err := io.Copy(io.Discard, r.Body)
				assert.NoError(t, err)
				assert.EqualValues(t, window, n)
				return
			}
			_, _ = io.CopyN(io.Discard, r.Body, 8<<20) // the window grows, if it can
			<-told
		}, testconn.Latency(50*time.Millisecond))
		for range heads {
			res, err := p.client.RoundTrip(request(t, "HEAD", "/", zeros(window)))
			require.NoError(t, err)
			res.Body.Close()
		}
		bubble.Pass(time.Second)
		require.EqualValues(t, heads*window, p.server.Stats().UnreadBytes)
		require.Zero(t, p.server.Stats().Streams.Open)
		upload := start(p.client, request(t, "POST", "/", zeros(1<<30)))
		bubble.Pass(time.Minute)
		require.LessOrEqual(t, p.server.Stats().UnreadBytes, int64((heads+1)*window), "no window has grown")
		close(told)
		synctest.Wait()
		<-upload.done
		bubble.Pass(time.Second)
		require.Zero(t, p.server.Stats().UnreadBytes)
	})
}
