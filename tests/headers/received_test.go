package headers

import (
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// TestAttackA26Received: what is too large for the side that receives it costs its stream,
// and the client of a server is told why.
func TestAttackA26Received(t *testing.T) {
	t.Run("request", func(t *testing.T) { bubble.InVersions(t, "", receivedRequest) })
	t.Run("largest requests", func(t *testing.T) { bubble.InVersions(t, "", receivedLargest) })
	t.Run("upload", func(t *testing.T) { bubble.InVersions(t, "", receivedUpload) })
	t.Run("names", func(t *testing.T) { bubble.InVersions(t, "", receivedNames) })
	t.Run("answer", func(t *testing.T) { bubble.InVersions(t, "", receivedAnswer) })
	t.Run("trailers", func(t *testing.T) { bubble.InVersions(t, "", receivedTrailers) })
	t.Run("raw", func(t *testing.T) { bubble.InVersions(t, "", receivedRaw) })
	t.Run("limits", func(t *testing.T) { bubble.InVersions(t, "", receivedLimits) })
	t.Run("reset by the server", func(t *testing.T) { bubble.InVersions(t, "", receivedReset) })
}

const small = 16 << 10 // a limit that is much smaller than the default

// receivedRequest sends requests that the server takes, by one byte, and requests that it
// does not take, many times.
func receivedRequest(t *testing.T, v spdy.Version) {
	var handled atomic.Int32
	r := newRig(t, v, nil, &spdy.Config{MaxHeaderBytes: small}, func(w http.ResponseWriter, req *http.Request) { handled.Add(1) })
	same := newRig(t, v, &spdy.Config{MaxSendHeaderBytes: small}, nil, nil) // tells sizes
	_, err := same.Client.RoundTrip(same.request("/", sized(small)))
	n := small - wantTooLarge(t, err, "request").Size + small
	same.done()

	res, err := r.Client.RoundTrip(r.request("/", sized(n)))
	require.Equal(t, 200, status(t, res, err), "as large as it may be")
	res, err = r.Client.RoundTrip(r.request("/", sized(n+1)))
	require.Equal(t, 431, status(t, res, err), "one byte more")
	large := r.request("/", sized(20<<10))
	for range 200 {
		res, err = r.Client.RoundTrip(large)
		require.Equal(t, 431, status(t, res, err))
	}
	res, err = r.Client.RoundTrip(r.request("/", sized(1<<20)))
	require.Equal(t, 431, status(t, res, err), "about the most that is sent by default")
	require.EqualValues(t, 1, handled.Load(), "no handler has seen the others")
	require.Zero(t, r.Server.Stats().ChargedResets)
	r.done()
}

// receivedLargest sends about the most that is sent by default, many times.
func receivedLargest(t *testing.T, v spdy.Version) {
	r := newRig(t, v, nil, &spdy.Config{MaxHeaderBytes: small}, nil)
	largest := r.request("/", sized(1<<20))
	for range 200 {
		res, err := r.Client.RoundTrip(largest)
		require.Equal(t, 431, status(t, res, err))
	}
	r.done()
}

// receivedUpload sends a request that is too large and has a body.
func receivedUpload(t *testing.T, v spdy.Version) {
	r := newRig(t, v, nil, &spdy.Config{MaxHeaderBytes: small}, nil)
	for _, size := range []int{10, 1 << 20} {
		req := r.request("/", sized(20<<10))
		req.Method, req.Body = "POST", io.NopCloser(strings.NewReader(strings.Repeat("b", size)))
		res, err := r.Client.RoundTrip(req)
		require.Equal(t, 431, status(t, res, err))
	}
	synctest.Wait()
	require.Equal(t, films, r.Server.Stats().Streams.Total(), "only the downloads are left")
	r.done()
}

// receivedNames sends a request of more names than the server takes.
func receivedNames(t *testing.T, v spdy.Version) {
	r := newRig(t, v, nil, &spdy.Config{MaxHeaderFields: 100}, func(w http.ResponseWriter, req *http.Request) {})
	res, err := r.Client.RoundTrip(r.request("/", named(90)))
	require.Equal(t, 200, status(t, res, err))
	res, err = r.Client.RoundTrip(r.request("/", named(101)))
	require.Equal(t, 431, status(t, res, err))
	r.done()
}

// receivedAnswer answers with more than the client takes, which the caller learns, and
// through a proxy its client.
func receivedAnswer(t *testing.T, v spdy.Version) {
	r := newRig(t, v, &spdy.Config{MaxHeaderBytes: small}, nil, func(w http.ResponseWriter, req *http.Request) {
		for key, values := range sized(20 << 10) {
			w.Header()[key] = values
		}
		_, _ = io.WriteString(w, "body")
	})
	for range 200 {
		_, err := r.Client.RoundTrip(r.request("/"))
		wantReset(t, err, spdy.RstFrameTooLarge, false)
	}
	w := httptest.NewRecorder()
	err := r.Client.NewStreamProxy(r.request("/"), w)
	wantReset(t, err, spdy.RstFrameTooLarge, false)
	require.Equal(t, 502, w.Code)
	r.done()
}

// receivedTrailers sends trailers that are too large for the server.
func receivedTrailers(t *testing.T, v spdy.Version) {
	uploaded := make(chan error, 1)
	r := newRig(t, v, nil, &spdy.Config{MaxHeaderBytes: small}, func(w http.ResponseWriter, req *http.Request) {
		_, err := io.Copy(io.Discard, req.Body)
		uploaded <- err
	})
	req := r.request("/")
	req.Method, req.Body, req.Trailer = "POST", io.NopCloser(strings.NewReader("body")), sized(20<<10)
	_, err := r.Client.RoundTrip(req)
	wantReset(t, err, tooLargeIn(v), true)
	wantReset(t, <-uploaded, spdy.RstFrameTooLarge, false)
	r.done()
}

// receivedRaw opens and answers raw streams with blocks that are too large for the peer.
func receivedRaw(t *testing.T, v spdy.Version) {
	limit := &spdy.Config{MaxHeaderBytes: small}
	p := rawPair(t, v, limit, limit)
	large, fits := block(t, sized(20<<10)), block(t, sized(10))
	refused, err := p.Client.OpenStream(t.Context(), large, spdy.StreamOptions{})
	require.NoError(t, err)
	_, err = refused.AwaitReply(t.Context())
	wantReset(t, err, tooLargeIn(v), true)
	ours, err := p.Client.OpenStream(t.Context(), fits, spdy.StreamOptions{})
	require.NoError(t, err)
	theirs, err := p.Server.AcceptStream(t.Context())
	require.NoError(t, err)
	require.Equal(t, ours.ID(), theirs.ID(), "nobody accepts the refused one")
	require.NoError(t, theirs.Reply(large, false))
	_, err = ours.AwaitReply(t.Context())
	wantReset(t, err, spdy.RstFrameTooLarge, false)
	require.NoError(t, p.Client.Err())
	require.NoError(t, p.Server.Err())
}

// receivedLimits configures limits that leave the range of an int when they are
// multiplied.
func receivedLimits(t *testing.T, v spdy.Version) {
	most := &spdy.Config{MaxHeaderBytes: math.MaxInt, MaxHeaderFields: math.MaxInt, MaxSendHeaderBytes: math.MaxInt}
	r := newRig(t, v, most, most, func(w http.ResponseWriter, req *http.Request) {
		for key, values := range sized(2 << 20) {
			w.Header()[key] = values
		}
	})
	res, err := r.Client.RoundTrip(r.request("/", sized(2<<20)))
	require.Equal(t, 200, status(t, res, err))
	require.Len(t, res.Header.Get("X-000"), 60000)
	r.done()
	p := rawPair(t, v, most, most)
	_, err = p.Client.OpenStream(t.Context(), block(t, sized(2<<20)), spdy.StreamOptions{})
	require.NoError(t, err)
	st, err := p.Server.AcceptStream(t.Context())
	require.NoError(t, err)
	require.Len(t, st.Header(), 35)
}

// receivedReset has a server reset a request with FRAME_TOO_LARGE. The caller learns why,
// a proxy's client gets status 431, and nothing is tried again.
func receivedReset(t *testing.T, v spdy.Version) {
	ours, theirs := testconn.Pair()
	client := conf(nil, v).ClientSession(ours)
	served := make(chan error, 1)
	go func() { served <- client.Serve() }()
	requests := make(chan int, 1)
	go func() {
		n := 0
		f := spdy.NewFramer(theirs, theirs, v)
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				requests <- n
				return
			}
			if syn, ok := frame.(*spdy.SynStreamFrame); ok {
				n++
				_ = f.WriteFrame(&spdy.RstStreamFrame{StreamID: syn.StreamID, Status: tooLargeIn(v)})
			}
		}
	}()
	req := httptest.NewRequest("GET", "http://example.com/", nil)
	_, err := client.RoundTrip(req)
	wantReset(t, err, tooLargeIn(v), true)
	w := httptest.NewRecorder()
	wantReset(t, client.NewStreamProxy(req, w), tooLargeIn(v), true)
	want := 431
	if v == spdy.SPDY2 { // which cannot say why
		want = 502
	}
	require.Equal(t, want, w.Code)
	theirs.Close()
	<-served
	require.Equal(t, 2, <-requests)
}
