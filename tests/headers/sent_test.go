package headers

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/spdytest"
	"github.com/amahi/spdy/tests/bubble"
)

// defaultLimit is the default of MaxSendHeaderBytes for requests.
const defaultLimit = 1<<20 + 1<<16 + 4096

// TestAttackA26Sent: what is too large to send fails where it is made, and nowhere else.
func TestAttackA26Sent(t *testing.T) {
	t.Run("request", func(t *testing.T) { bubble.InVersions(t, "", sentRequest) })
	t.Run("names", func(t *testing.T) { bubble.InVersions(t, "", sentNames) })
	t.Run("answer", func(t *testing.T) { bubble.InVersions(t, "", sentAnswer) })
	t.Run("trailers", func(t *testing.T) { bubble.InVersions(t, "", sentTrailers) })
	t.Run("push", func(t *testing.T) { bubble.InVersions(t, "", sentPush) })
	t.Run("raw", func(t *testing.T) { bubble.InVersions(t, "", sentRaw) })
	t.Run("one value", sentValue)
	t.Run("frame", sentFrame)
}

// sentRequest sends requests of exactly the limit, and of one byte more.
func sentRequest(t *testing.T, v spdy.Version) {
	for _, limit := range []int{0, 20_000} {
		var seen atomic.Int64
		r := newRig(t, v, &spdy.Config{MaxSendHeaderBytes: limit}, nil, func(w http.ResponseWriter, req *http.Request) {
			for key, values := range req.Header {
				if strings.HasPrefix(key, "X-") {
					seen.Add(int64(len(values[0])))
				}
			}
		})
		n := cmp.Or(limit, defaultLimit)
		_, err := r.Client.RoundTrip(r.request("/", sized(n)))
		e := wantTooLarge(t, err, "request")
		require.Equal(t, n, e.Limit)
		n -= e.Size - e.Limit
		opened := r.Client.Stats().StreamsOpened
		res, err := r.Client.RoundTrip(r.request("/", sized(n)))
		require.Equal(t, 200, status(t, res, err))
		require.EqualValues(t, n, seen.Load(), "the handler sees all of it")
		_, err = r.Client.RoundTrip(r.request("/", sized(n+1)))
		require.Equal(t, e.Limit+1, wantTooLarge(t, err, "request").Size)
		require.Equal(t, opened+1, r.Client.Stats().StreamsOpened, "nothing is sent of the others")
		again := r.request("/", sized(n+1))
		for range 200 {
			_, err = r.Client.RoundTrip(again)
			wantTooLarge(t, err, "request")
		}
		r.done()
	}
}

// sentNames sends as many names as are received, and more.
func sentNames(t *testing.T, v spdy.Version) {
	r := newRig(t, v, nil, nil, func(w http.ResponseWriter, req *http.Request) {})
	res, err := r.Client.RoundTrip(r.request("/", named(9_990)))
	require.Equal(t, 200, status(t, res, err))
	_, err = r.Client.RoundTrip(r.request("/", named(10_001)))
	e := wantTooLarge(t, err, "request")
	require.True(t, e.Names)
	require.Equal(t, 10_000, e.Limit)
	r.done()
}

// sentAnswer has handlers answer with more than can be sent, in the ways in which they
// answer. Each client gets status 500 and one line is logged.
func sentAnswer(t *testing.T, v spdy.Version) {
	large := func(w http.ResponseWriter) {
		for key, values := range sized(100_000) {
			w.Header()[key] = values
		}
	}
	var handlerErr error
	ways := map[string]func(w http.ResponseWriter){
		"nothing else": func(w http.ResponseWriter) {},
		"a short body": func(w http.ResponseWriter) { _, _ = io.WriteString(w, "short") },
		"a long body": func(w http.ResponseWriter) {
			_, handlerErr = w.Write(make([]byte, 100_000))
		},
		"a flush": func(w http.ResponseWriter) { handlerErr = http.NewResponseController(w).Flush() },
		"a length": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "10")
			w.WriteHeader(200)
		},
		"no content": func(w http.ResponseWriter) { w.WriteHeader(204) },
		"a panic": func(w http.ResponseWriter) {
			_, handlerErr = w.Write(make([]byte, 100_000))
			panic(http.ErrAbortHandler)
		},
		"trailers": func(w http.ResponseWriter) {
			w.Header().Set("Trailer", "Sum")
			_, _ = io.WriteString(w, "short")
			w.Header().Set("Sum", "1")
		},
	}
	server := &spdy.Config{MaxSendHeaderBytes: 50_000}
	lines, logger := countLines()
	server.Logger = logger
	r := newRig(t, v, nil, server, func(w http.ResponseWriter, req *http.Request) {
		if way := ways[req.Header.Get("Way")]; way != nil {
			large(w)
			way(w)
		}
	})
	want := 0
	for name := range ways {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			if method == "HEAD" && name == "a panic" { // nothing has begun by then
				continue
			}
			handlerErr = nil
			req := r.request("/", http.Header{"Way": {name}})
			req.Method = method
			if method == "POST" {
				req.Body = io.NopCloser(strings.NewReader(strings.Repeat("b", 10_000)))
			}
			res, err := r.Client.RoundTrip(req)
			require.Equal(t, 500, status(t, res, err), "%s %s", method, name)
			require.Empty(t, res.Header.Get("X-000"))
			synctest.Wait()
			if name == "a flush" || name == "a panic" {
				wantTooLarge(t, handlerErr, "answer")
			}
			want++
			require.Equal(t, want, lines(), "%s %s", method, name)
		}
	}
	r.done()
}

// sentTrailers has both sides send trailers that are too large. What they belong to
// fails, because it would be incomplete without.
func sentTrailers(t *testing.T, v spdy.Version) {
	limit := &spdy.Config{MaxSendHeaderBytes: 10_000}
	uploaded := make(chan error, 1)
	r := newRig(t, v, limit, limit, func(w http.ResponseWriter, req *http.Request) {
		if req.Method == "POST" {
			_, err := io.Copy(io.Discard, req.Body)
			uploaded <- err
			return
		}
		_, _ = io.WriteString(w, "body")
		_ = http.NewResponseController(w).Flush()
		for key, values := range sized(20_000) {
			w.Header()[http.TrailerPrefix+key] = values
		}
	})
	req := r.request("/")
	req.Method, req.Body, req.Trailer = "POST", io.NopCloser(strings.NewReader("body")), sized(20_000)
	_, err := r.Client.RoundTrip(req)
	wantTooLarge(t, err, "trailers")
	wantReset(t, <-uploaded, spdy.RstInternalError, true)

	res, err := r.Client.RoundTrip(r.request("/"))
	require.NoError(t, err)
	text, err := io.ReadAll(res.Body)
	require.Equal(t, "body", string(text))
	wantReset(t, err, spdy.RstInternalError, true)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	r.done()
}

// sentPush pushes what is too large.
func sentPush(t *testing.T, v spdy.Version) {
	pushed := make(chan error, 1)
	client := &spdy.Config{AcceptPush: func(promised, cause *http.Request) bool { return true }}
	r := newRig(t, v, client, &spdy.Config{MaxSendHeaderBytes: 10_000}, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/pushed" {
			for key, values := range sized(20_000) {
				w.Header()[key] = values
			}
			return
		}
		pushed <- w.(http.Pusher).Push("/pushed", nil)
	})
	res, err := r.Client.RoundTrip(r.request("/"))
	require.Equal(t, 200, status(t, res, err))
	wantTooLarge(t, <-pushed, "push")
	r.done()
}

// rawPair starts two raw sessions.
func rawPair(t *testing.T, v spdy.Version, client, server *spdy.Config) *spdytest.Pair {
	p := &spdytest.Pair{ClientConfig: conf(client, v), ServerConfig: conf(server, v)}
	p.Start()
	t.Cleanup(p.Close)
	return p
}

// sentRaw sends blocks that are too large on raw streams, which stay as they are.
func sentRaw(t *testing.T, v spdy.Version) {
	limit := &spdy.Config{MaxSendHeaderBytes: 10_000}
	p := rawPair(t, v, limit, limit)
	large, small := block(t, sized(20_000)), block(t, sized(10))
	_, err := p.Client.OpenStream(t.Context(), large, spdy.StreamOptions{})
	wantTooLarge(t, err, "headers")
	ours, err := p.Client.OpenStream(t.Context(), small, spdy.StreamOptions{})
	require.NoError(t, err)
	theirs, err := p.Server.AcceptStream(t.Context())
	require.NoError(t, err)
	require.Equal(t, small, theirs.Header())
	wantTooLarge(t, theirs.Reply(large, false), "headers")
	wantTooLarge(t, ours.SendHeaders(large, true), "headers")
	require.NoError(t, theirs.Reply(small, false))
	require.NoError(t, ours.SendHeaders(small, true))
	got, err := ours.AwaitReply(t.Context())
	require.NoError(t, err)
	require.Equal(t, small, got)
	got, err = theirs.ReceiveHeaders(t.Context())
	require.NoError(t, err)
	require.Equal(t, small, got)
}

// sentValue sends a value that SPDY/2 cannot express.
func sentValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, spdy.SPDY2, nil, nil, func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("X-Long", strings.Repeat("v", 65536))
		})
		_, err := r.Client.RoundTrip(r.request("/", http.Header{"X-Long": {strings.Repeat("v", 65536)}}))
		e := wantTooLarge(t, err, "request")
		require.Equal(t, []int{65536, 65535}, []int{e.Size, e.Limit})
		require.Error(t, errors.Unwrap(e))
		require.ErrorContains(t, err, `"x-long"`)
		res, err := r.Client.RoundTrip(r.request("/"))
		require.Equal(t, 500, status(t, res, err))
		r.done()
	})
}

// sentFrame sends blocks of bytes that compression makes longer, by every policy and the
// largest of all by the default one. They fit in a frame. A larger one is refused,
// whatever MaxSendHeaderBytes is.
func sentFrame(t *testing.T) {
	const largest = 14_913_016
	for _, c := range []struct {
		v      spdy.Version
		policy spdy.CompressionPolicy
		limit  int
		want   int
	}{
		{spdy.SPDY31, spdy.CompressSafe, math.MaxInt, largest}, {spdy.SPDY31, spdy.CompressNone, math.MaxInt, largest},
		{spdy.SPDY31, spdy.CompressFull, 1 << 20, 1 << 20},
		{spdy.SPDY2, spdy.CompressSafe, 1 << 20, 1 << 20}, {spdy.SPDY3, spdy.CompressSafe, 1 << 20, 1 << 20},
	} {
		t.Run(fmt.Sprint(c.v, " ", c.policy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sender := &spdy.Config{MaxSendHeaderBytes: c.limit, Compression: c.policy}
				p := rawPair(t, c.v, sender, &spdy.Config{MaxHeaderBytes: math.MaxInt})
				h := longValues(c.want)
				_, err := p.Client.OpenStream(t.Context(), h, spdy.StreamOptions{})
				e := wantTooLarge(t, err, "headers")
				require.Equal(t, c.want, e.Limit)
				_, err = p.Client.OpenStream(t.Context(), longValues(17<<20), spdy.StreamOptions{})
				wantTooLarge(t, err, "headers")
				last := &h[len(h)-1]
				last.Value = last.Value[:len(last.Value)-(e.Size-e.Limit)]
				most := int64(c.want + c.want/8 + 64)            // the bound for what compression may add
				for i, h := range []spdy.HeaderBlock{h, h[:1]} { // what follows is in step
					_, err = p.Client.OpenStream(t.Context(), h, spdy.StreamOptions{})
					require.NoError(t, err)
					st, err := p.Server.AcceptStream(t.Context())
					require.NoError(t, err)
					require.True(t, len(h) == len(st.Header()) && h[len(h)-1] == st.Header()[len(h)-1])
					if sent := p.Client.Stats().Sent; i == 0 {
						require.LessOrEqual(t, sent.CompressedHeaderBytes, most)
						require.Greater(t, sent.CompressedHeaderBytes, int64(c.want))
					}
				}
			})
		})
	}
}

// longValues returns a block of n bytes of values that take nine bits a byte and repeat
// nothing.
func longValues(n int) (h spdy.HeaderBlock) {
	const most = 60000
	x := uint32(1)
	for i := 0; n > 0; i++ {
		value := make([]byte, min(n, most))
		for j := range value {
			x = x*1664525 + 1013904223
			value[j] = 0x90 | byte(x>>24)&0x6f
		}
		h = append(h, spdy.HeaderField{Name: fmt.Sprint("x-", i), Value: string(value)})
		n -= most
	}
	return h
}
