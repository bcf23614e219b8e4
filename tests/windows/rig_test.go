// Package windows shows that a session backs every stream that it grants with a window, so
// that streams which no application reads never stop the others, and which streams a
// session resets where no window bounds the unread bytes.
package windows

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// serve runs a session until the test ends.
func serve(t *testing.T, s *spdy.Session) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve() // the end of the test closes it
	}()
	t.Cleanup(func() {
		s.Close()
		<-done
	})
}

// A pair is a client session and a server session.
type pair struct {
	t              *testing.T
	client, server *spdy.Session
}

// newPair connects two sessions. Options are those of the connection.
func newPair(t *testing.T, v spdy.Version, client, server spdy.Config, h http.HandlerFunc, opts ...testconn.Option) *pair {
	a, b := testconn.Pair(opts...)
	p := &pair{t: t}
	p.client = bubble.Quiet(client, v).ClientSession(a)
	p.server = bubble.Quiet(server, v).ServerSession(b, &http.Server{Handler: h})
	serve(t, p.client)
	serve(t, p.server)
	return p
}

// get sends a GET and returns the answer, whose body is unread.
func get(t *testing.T, rt http.RoundTripper, path string) *http.Response {
	t.Helper()
	res, err := rt.RoundTrip(request(t, "GET", path, nil))
	require.NoError(t, err)
	t.Cleanup(func() { res.Body.Close() })
	return res
}

func request(t *testing.T, method, path string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), method, "http://origin.example"+path, body)
	require.NoError(t, err)
	return req
}

// ping measures a round trip.
func ping(t *testing.T, s *spdy.Session) time.Duration {
	t.Helper()
	rtt, err := s.PingContext(context.Background())
	require.NoError(t, err)
	return rtt
}

// zeros is a body of n bytes.
func zeros(n int64) io.Reader { return io.LimitReader(endless{}, n) }

// endless is a body without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// sized is a handler whose answers have as many bytes as the path says.
func sized(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.URL.Path[1:], 10, 64)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	_, _ = io.Copy(w, zeros(n)) // the client may give up
}

// A group is a number of requests in progress.
type group struct {
	wg   sync.WaitGroup
	done atomic.Int64 // requests that succeeded
}

// download reads answers of n bytes, how many at once.
func (g *group) download(t *testing.T, rt http.RoundTripper, many int, n int64) {
	for range many {
		req := request(t, "GET", "/"+strconv.FormatInt(n, 10), nil)
		g.wg.Go(func() {
			res, err := rt.RoundTrip(req)
			if !assert.NoError(t, err) {
				return
			}
			defer res.Body.Close()
			got, err := io.Copy(io.Discard, res.Body)
			if assert.NoError(t, err) && assert.Equal(t, n, got) {
				g.done.Add(1)
			}
		})
	}
}

// A peer is the scripted end of a connection.
type peer struct {
	t      *testing.T
	v      spdy.Version
	conn   *testconn.Conn
	framer *spdy.Framer

	mu   sync.Mutex
	seen []spdy.Frame // that frames has not returned yet
}

// newPeer scripts one end of a connection.
func newPeer(t *testing.T, v spdy.Version, conn *testconn.Conn) *peer {
	p := &peer{t: t, v: v, conn: conn, framer: spdy.NewFramer(conn, conn, v)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for {
			f, err := p.framer.ReadFrame()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.seen = append(p.seen, f)
			p.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-read
	})
	return p
}

// scripted returns a client session and its scripted server.
func scripted(t *testing.T, v spdy.Version, conf spdy.Config) (*peer, *spdy.Session) {
	ours, theirs := testconn.Pair()
	s := bubble.Quiet(conf, v).ClientSession(ours)
	serve(t, s)
	return newPeer(t, v, theirs), s
}

// frames returns the frames of the session since the last call.
func (p *peer) frames() []spdy.Frame {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := p.seen
	p.seen = nil
	return seen
}

// opened returns the streams that the session has opened since the last call of frames.
func (p *peer) opened() (ids []uint32) {
	for _, f := range p.frames() {
		if f, ok := f.(*spdy.SynStreamFrame); ok {
			ids = append(ids, f.StreamID)
		}
	}
	return ids
}

// send sends a frame, and waits until the session has received it.
func (p *peer) send(f spdy.Frame) {
	p.t.Helper()
	require.NoError(p.t, p.framer.WriteFrame(f))
	synctest.Wait()
}

// reply sends the header of an answer.
func (p *peer) reply(id uint32, flags spdy.FrameFlags) {
	p.t.Helper()
	names := [2]string{":status", ":version"}
	if p.v == spdy.SPDY2 {
		names = [2]string{"status", "version"}
	}
	p.send(&spdy.SynReplyFrame{StreamID: id, Flags: flags, Headers: spdy.HeaderBlock{
		{Name: names[0], Value: "200"}, {Name: names[1], Value: "HTTP/1.1"},
	}})
}

// data sends n bytes in DATA frames of at most 16 KiB. flags are those of the last.
func (p *peer) data(id uint32, n int, flags spdy.FrameFlags) {
	p.t.Helper()
	for n > 0 {
		f := &spdy.DataFrame{StreamID: id, Data: make([]byte, min(n, 16<<10))}
		if n -= len(f.Data); n == 0 {
			f.Flags = flags
		}
		require.NoError(p.t, p.framer.WriteFrame(f))
	}
	synctest.Wait()
}

// A trip is a request in the background.
type trip struct {
	done chan struct{} // closed when res and err are set
	res  *http.Response
	err  error
}

func start(rt http.RoundTripper, req *http.Request) *trip {
	c := &trip{done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.res, c.err = rt.RoundTrip(req)
	}()
	return c
}

// pending reports that the request has no answer yet.
func (c *trip) pending() bool {
	synctest.Wait()
	select {
	case <-c.done:
		return false
	default:
		return true
	}
}

// answered returns the answer, which has to be there.
func (c *trip) answered(t *testing.T) *http.Response {
	t.Helper()
	require.False(t, c.pending(), "no answer yet")
	require.NoError(t, c.err)
	return c.res
}

// anyTime runs f at once in the background; the test waits for it at its end.
func anyTime(t *testing.T, f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	t.Cleanup(func() { <-done })
}
