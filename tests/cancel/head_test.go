package cancel_test

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// TestAttackA28BodyOfHead: the reply to HEAD ends its stream, which nobody has cancelled. So its
// handler may read the request's body, however many streams the peer opens meanwhile.
func TestAttackA28BodyOfHead(t *testing.T) {
	const limit, size, window = 4, 60_000, 64 << 10
	for name, conf := range map[string]spdy.Config{
		"default":       {MaxConcurrentStreams: limit},
		"small windows": {MaxConcurrentStreams: limit, StreamWindow: window, SessionWindow: limit * window},
	} {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			told := make(chan struct{})
			read := make(chan int64, 1)
			p := newPeer(t, v, conf, func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodHead {
					<-told
					return
				}
				w.(http.Flusher).Flush()
				<-told
				n, err := io.Copy(io.Discard, r.Body)
				assert.NoError(t, err)
				read <- n
			})
			defer p.close()
			p.send(&spdy.SynStreamFrame{StreamID: 1, Headers: request(v, "HEAD", "/")})
			p.send(&spdy.DataFrame{StreamID: 1, Data: make([]byte, size), Flags: spdy.FlagFin})
			synctest.Wait()
			require.Zero(t, p.s.Stats().Streams.Open)
			for i := range uint32(5 * limit) { // some are cancelled with unread bytes
				id := 2*i + 3
				p.send(&spdy.SynStreamFrame{StreamID: id, Headers: request(v, "POST", "/")})
				p.send(&spdy.DataFrame{StreamID: id, Data: make([]byte, 100)})
				if i < 4*limit {
					p.send(rst(id))
				}
				synctest.Wait()
			}
			require.Equal(t, limit, p.s.Stats().Streams.Open)
			require.GreaterOrEqual(t, p.s.Stats().UnreadBytes, int64(size))
			close(told)
			require.EqualValues(t, size, <-read)
			for i := range uint32(limit) {
				p.send(rst(2*(4*limit+i) + 3))
			}
			synctest.Wait()
			require.Zero(t, p.s.Stats().UnreadBytes)
			require.NoError(t, p.s.Err())
		})
	}
}
