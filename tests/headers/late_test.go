package headers

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// TestAttackA26Late: trailers that pass the check of a sender pass that of a receiver with
// the same limit. Larger ones cost their stream, and are not charged.
func TestAttackA26Late(t *testing.T) {
	t.Run("request", func(t *testing.T) { bubble.InVersions(t, "", lateRequest) })
	t.Run("too large request", func(t *testing.T) { bubble.InVersions(t, "", tooLateRequest) })
	t.Run("answer", func(t *testing.T) { bubble.InVersions(t, "", lateAnswer) })
	t.Run("raw", func(t *testing.T) { bubble.InVersions(t, "", lateRaw) })
}

// strict is a configuration with limits for strangers, which tolerates twenty violations.
var strict = spdy.Config{MaxHeaderBytes: small, MaxHeaderFields: 100, ResetBurst: 10, ResetRate: 1}

// trailers are n trailers that are encoded to 158 bytes each, or 154 in SPDY/2, where each
// has two integers, of 4 bytes or of 2.
func trailers(n int) http.Header {
	h := make(http.Header)
	for i := range n {
		h[fmt.Sprintf("X-%06d", i)] = []string{strings.Repeat("v", 142)}
	}
	return h
}

// upload sends a request with trailers. The handler answers with what it got.
func (r *rig) upload(h http.Header) (text string, err error) {
	req := r.request("/")
	req.Method, req.Body, req.Trailer = "POST", io.NopCloser(strings.NewReader("body")), h
	res, err := r.Client.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return string(b), err
}

func countTrailers(w http.ResponseWriter, req *http.Request) {
	_, err := io.Copy(io.Discard, req.Body)
	fmt.Fprintf(w, "%d %v", len(req.Trailer), err)
}

// lateRequest has a client send as many trailers, and as large ones, as its server takes.
func lateRequest(t *testing.T, v spdy.Version) {
	r := newRig(t, v, &spdy.Config{MaxSendHeaderBytes: small}, &strict, countTrailers)
	n := small - len("x-000") - 12 // for the count and two lengths
	if v == spdy.SPDY2 {
		n += 6
	}
	for range 10 {
		text, err := r.upload(trailers(100))
		require.NoError(t, err)
		require.Equal(t, "100 <nil>", text, "as many as it may have")
		text, err = r.upload(sized(n))
		require.NoError(t, err)
		require.Equal(t, "1 <nil>", text, "as large as they may be")
	}
	require.Zero(t, r.Server.Stats().ChargedResets)
	_, err := r.upload(sized(n + 1))
	require.Equal(t, small+1, wantTooLarge(t, err, "trailers").Size, "one byte more")
	r.done()
}

// tooLateRequest has a client send what its server does not take.
func tooLateRequest(t *testing.T, v spdy.Version) {
	r := newRig(t, v, nil, &strict, countTrailers)
	for range 20 {
		for _, h := range []http.Header{sized(small), trailers(101)} {
			_, err := r.upload(h)
			wantReset(t, err, tooLargeIn(v), true)
		}
	}
	require.Zero(t, r.Server.Stats().ChargedResets)
	r.done()
}

// lateAnswer has a handler answer with trailers that are smaller and larger than a client
// takes. Those that a client with the defaults would not take are not sent.
func lateAnswer(t *testing.T, v spdy.Version) {
	r := newRig(t, v, &spdy.Config{ResetBurst: 1, ResetRate: 1}, nil, func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.WriteString(w, "body")
		for key, values := range sized(map[string]int{"/large": 1 << 20, "/huge": 1200 << 10}[req.URL.Path]) {
			w.Header()[http.TrailerPrefix+key] = values
		}
	})
	get := func(path string) (*http.Response, error) {
		res, err := r.Client.RoundTrip(r.request(path))
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		_, err = io.ReadAll(res.Body)
		return res, err
	}
	for range 10 {
		res, err := get("/large")
		require.NoError(t, err)
		if v != spdy.SPDY2 { // which has no trailers
			require.NotEmpty(t, res.Trailer)
		}
		_, err = get("/huge")
		wantReset(t, err, spdy.RstInternalError, true)
	}
	require.Zero(t, r.Client.Stats().ChargedResets)
	r.done()
}

// lateRaw sends HEADERS of as many bytes as may be sent, in many small pairs, on raw streams.
func lateRaw(t *testing.T, v spdy.Version) {
	limits := &spdy.Config{MaxHeaderBytes: small, MaxSendHeaderBytes: small, ResetBurst: 1, ResetRate: 1}
	p := rawPair(t, v, limits, limits)
	ours, err := p.Client.OpenStream(t.Context(), nil, spdy.StreamOptions{})
	require.NoError(t, err)
	theirs, err := p.Server.AcceptStream(t.Context())
	require.NoError(t, err)
	n := (small - 4) / (8 + len("x-000000") + len("v"))
	if v == spdy.SPDY2 {
		n = (small - 2) / (4 + len("x-000000") + len("v"))
	}
	wantTooLarge(t, ours.SendHeaders(block(t, named(n+1)), false), "headers")
	require.NoError(t, ours.SendHeaders(block(t, named(n)), false))
	got, err := theirs.ReceiveHeaders(t.Context())
	require.NoError(t, err)
	require.Len(t, got, n)
	for range 5 { // more than may wait
		require.NoError(t, ours.SendHeaders(block(t, named(n)), false))
		bubble.Pass(1)
		require.NoError(t, ours.SendHeaders(block(t, named(n)), false))
		bubble.Pass(1)
		wantReset(t, ours.SendHeaders(nil, false), tooLargeIn(v), true)
		ours, err = p.Client.OpenStream(t.Context(), nil, spdy.StreamOptions{})
		require.NoError(t, err)
	}
	require.Zero(t, p.Server.Stats().ChargedResets)
	require.NoError(t, p.Server.Err())
}
