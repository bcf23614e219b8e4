// Package headers tests the limits for header blocks, from outside the library: a block
// that is too large costs the one request, answer or stream that it belongs to.
package headers

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/spdytest"
)

// quiet is a logger that prints nothing.
var quiet = slog.New(slog.DiscardHandler)

var discardLog = log.New(io.Discard, "", 0)

// conf returns a copy of c, which may be nil, for a version.
func conf(c *spdy.Config, v spdy.Version) *spdy.Config {
	var d spdy.Config
	if c != nil {
		d = *c
	}
	d.Version = v
	if d.Logger == nil {
		d.Logger = quiet
	}
	return &d
}

// A rig is a client session and a server session, and ten downloads under way beside
// what a test does.
type rig struct {
	t *testing.T
	*spdytest.Pair
	release chan struct{} // closed: the downloads go on
	once    sync.Once     // closes it
	films   chan error    // how each of them has ended
}

const (
	films = 10
	film  = 64 << 10 // bytes, half of them before the test and half after it
)

// newRig starts the sessions and the downloads. The handler gets all other requests.
func newRig(t *testing.T, v spdy.Version, client, server *spdy.Config, handler http.HandlerFunc) *rig {
	r := &rig{t: t, release: make(chan struct{}), films: make(chan error, films)}
	r.Pair = spdytest.NewUnstartedPair(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/film" {
			handler(w, req)
			return
		}
		half := bytes.Repeat([]byte("f"), film/2)
		_, _ = w.Write(half)
		_ = http.NewResponseController(w).Flush()
		<-r.release
		_, _ = w.Write(half)
	}))
	r.ClientConfig, r.ServerConfig = conf(client, v), conf(server, v)
	r.Start()
	t.Cleanup(func() {
		r.goOn()
		r.Close()
	})
	for range films {
		go func() { r.films <- r.download() }()
	}
	synctest.Wait()
	return r
}

func (r *rig) download() error {
	res, err := r.Client.RoundTrip(r.request("/film"))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	n, err := io.Copy(io.Discard, res.Body)
	if err == nil && n != film {
		err = fmt.Errorf("%d of %d bytes", n, film)
	}
	return err
}

// request makes a request with a header block of so many fields.
func (r *rig) request(path string, header ...http.Header) *http.Request {
	req, err := http.NewRequest("GET", "http://example.com"+path, nil)
	require.NoError(r.t, err)
	for _, h := range header {
		req.Header = h
	}
	return req
}

func (r *rig) goOn() { r.once.Do(func() { close(r.release) }) }

// done lets the downloads end, and wants all of them whole, and both sessions alive.
func (r *rig) done() {
	r.t.Helper()
	synctest.Wait()
	r.goOn()
	for range films {
		require.NoError(r.t, <-r.films, "a download of somebody else")
	}
	res, err := r.Client.RoundTrip(r.request("/film"))
	require.NoError(r.t, err, "the session is still in use")
	res.Body.Close()
	require.NoError(r.t, r.Client.Err())
	require.NoError(r.t, r.Server.Err())
}

// sized returns headers whose values have n bytes together. No value is longer than
// SPDY/2 allows.
func sized(n int) http.Header {
	const most = 60000
	h := make(http.Header)
	for i := 0; n > 0; i++ {
		h.Set(fmt.Sprintf("X-%03d", i), strings.Repeat("v", min(n, most)))
		n -= most
	}
	return h
}

// named returns n headers.
func named(n int) http.Header {
	h := make(http.Header, n)
	for i := range n {
		h[fmt.Sprintf("X-%06d", i)] = []string{"v"}
	}
	return h
}

// block turns headers into a block.
func block(t *testing.T, h http.Header) spdy.HeaderBlock {
	b, err := spdy.NewHeaderBlock(h)
	require.NoError(t, err)
	return b
}

// status reads an answer to its end and returns its status.
func status(t *testing.T, res *http.Response, err error) int {
	t.Helper()
	require.NoError(t, err)
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	require.NoError(t, err)
	return res.StatusCode
}

// wantTooLarge wants the error of a block that has not been sent.
func wantTooLarge(t *testing.T, err error, part string) *spdy.HeaderTooLargeError {
	t.Helper()
	var e *spdy.HeaderTooLargeError
	require.ErrorAs(t, err, &e)
	require.ErrorIs(t, err, spdy.ErrInvalidHeader)
	require.Equal(t, part, e.Part)
	require.Greater(t, e.Size, e.Limit)
	require.NotContains(t, err.Error(), "vvv", "values are secret")
	return e
}

// wantReset wants the error of a stream that has been reset.
func wantReset(t *testing.T, err error, status spdy.RstStatus, remote bool) {
	t.Helper()
	var e *spdy.StreamError
	require.ErrorAs(t, err, &e)
	require.Equal(t, status, e.Status)
	require.Equal(t, remote, e.Remote)
	require.False(t, e.Retryable())
}

// tooLargeIn is the status of a reset for a block that is too large.
func tooLargeIn(v spdy.Version) spdy.RstStatus {
	if v == spdy.SPDY2 {
		return spdy.RstProtocolError
	}
	return spdy.RstFrameTooLarge
}

// countLines returns a logger, and a function that counts what it has printed.
func countLines() (lines func() int, logger *slog.Logger) {
	var mu sync.Mutex
	var out bytes.Buffer
	lines = func() int {
		mu.Lock()
		defer mu.Unlock()
		return bytes.Count(out.Bytes(), []byte("\n"))
	}
	return lines, slog.New(slog.NewTextHandler(writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return out.Write(p)
	}), nil))
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
