package shares

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

const (
	slowLine   = 1 << 20   // bytes per second
	hugeHeader = 900 << 10 // bytes, which take less than a second
	hugePushes = 30
	mostSent   = 64 << 20 // bytes, if nothing waits
)

// A pusher is a handler that pushes many answers with large headers.
type pusher struct {
	fields http.Header
	pushed atomic.Int32 // calls of Push that have returned
}

// newPusher divides the headers into values that SPDY/2 can express.
func newPusher() *pusher {
	p := &pusher{fields: make(http.Header)}
	for i := range int64(hugeHeader / (50 << 10)) {
		p.fields.Set(fmt.Sprintf("X-%d", i), noise(i, 50<<10))
	}
	return p
}

func (p *pusher) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/pushes":
		for i := range hugePushes {
			if w.(http.Pusher).Push(fmt.Sprintf("/pushed?%d", i), nil) != nil {
				return // the test is over
			}
			p.pushed.Add(1)
		}
	case "/pushed":
		for name, values := range p.fields {
			w.Header()[name] = values
		}
	}
}

// TestPushesTakeTurns: a handler that pushes one answer with large headers after the other waits
// for the line, and the answer to another request waits for no more than what is under way.
func TestPushesTakeTurns(t *testing.T) {
	bubble.InVersions(t, "SPDY", func(t *testing.T, v spdy.Version) {
		h := newPusher()
		c := newPair(v, slowLine, spdy.Config{AcceptPush: func(_, _ *http.Request) bool { return true }}, h.ServeHTTP)
		defer c.close()
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		go func() {
			if res, err := c.client.RoundTrip(request(ctx, "GET", "/pushes", nil)); err == nil {
				res.Body.Close()
			}
		}()
		bubble.Pass(5 * time.Second)
		require.LessOrEqual(t, h.pushed.Load(), int32(8), "the line has had the time for six")
		begun := time.Now()
		res, err := c.client.RoundTrip(request(ctx, "GET", "/small", nil))
		require.NoError(t, err)
		res.Body.Close()
		require.Less(t, time.Since(begun), 1500*time.Millisecond)
	})
	bubble.Run(t, "HTTP2", func(t *testing.T) {
		require.Less(t, besidePushesHTTP2(t, newPusher()), 1500*time.Millisecond)
	})
}

// besidePushesHTTP2 returns the time that HTTP/2 takes for the same.
func besidePushesHTTP2(t *testing.T, h http.Handler) time.Duration {
	a, b := testconn.Pair(testconn.Latency(25*time.Millisecond), testconn.Bandwidth(slowLine), testconn.WriteCap(256<<10))
	served, answered := make(chan struct{}), make(chan time.Time, 1)
	go func() {
		defer close(served)
		(&http2.Server{}).ServeConn(b, &http2.ServeConnOpts{Handler: h})
	}()
	_, _ = io.WriteString(a, http2.ClientPreface)
	f := http2.NewFramer(a, a)
	_ = f.WriteSettings()
	go func() {
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				return
			}
			if frame.Header().Type == http2.FrameHeaders && frame.Header().StreamID == 3 {
				answered <- time.Now()
			}
		}
	}()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	send := func(id uint32, path string) {
		block.Reset()
		for _, field := range [][2]string{{":method", "GET"}, {":path", path}, {":authority", "origin.example"}, {":scheme", "https"}} {
			_ = enc.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
		}
		_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true})
	}
	send(1, "/pushes")
	bubble.Pass(5 * time.Second)
	begun := time.Now()
	send(3, "/small")
	took := (<-answered).Sub(begun)
	a.Close()
	<-served
	return took
}

// rawStreams connects two raw sessions with a slow line and opens streams from one to the other.
func rawStreams(t *testing.T, v spdy.Version, n int) (ours, theirs []*spdy.RawStream) {
	a, b := testconn.Pair(testconn.Bandwidth(slowLine), testconn.WriteCap(256<<10))
	client, server := bubble.Quiet(spdy.Config{}, v).RawSession(a, true), bubble.Quiet(spdy.Config{}, v).RawSession(b, false)
	ended := make(chan error, 2)
	for _, s := range []*spdy.Session{client, server} {
		go func() { ended <- s.Serve() }()
	}
	t.Cleanup(func() {
		client.Close()
		server.Close()
		<-ended
		<-ended
	})
	for range n {
		our, err := client.OpenStream(t.Context(), nil, spdy.StreamOptions{})
		require.NoError(t, err)
		their, err := server.AcceptStream(t.Context())
		require.NoError(t, err)
		ours, theirs = append(ours, our), append(theirs, their)
	}
	return ours, theirs
}

// TestLateHeadersTakeTurns: a raw stream that sends large blocks all the time waits for the line.
// Blocks of another stream, and streams that open, wait for no more than what is under way.
func TestLateHeadersTakeTurns(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		ours, theirs := rawStreams(t, v, 2)
		large := spdy.HeaderBlock{{Name: "x", Value: noise(1, 48<<10)}}
		var sent atomic.Int64
		go func() {
			for sent.Load() < mostSent && ours[0].SendHeaders(large, false) == nil {
				sent.Add(int64(len(large[0].Value)))
			}
		}()
		go func() {
			for {
				if _, err := theirs[0].ReceiveHeaders(t.Context()); err != nil {
					return
				}
			}
		}()
		bubble.Pass(10 * time.Second)
		require.Less(t, sent.Load(), int64(10*slowLine*3/2), "nothing piles up")
		begun := time.Now()
		small := spdy.HeaderBlock{{Name: "x", Value: "1"}}
		for range 20 {
			require.NoError(t, ours[1].SendHeaders(small, false))
		}
		for range 20 {
			h, err := theirs[1].ReceiveHeaders(t.Context())
			require.NoError(t, err)
			require.Equal(t, small, h)
		}
		_, err := ours[1].Session().OpenStream(t.Context(), nil, spdy.StreamOptions{})
		require.NoError(t, err)
		_, err = theirs[1].Session().AcceptStream(t.Context())
		require.NoError(t, err)
		require.Less(t, time.Since(begun), 1500*time.Millisecond)
	})
}

// TestLateHeadersShare: streams that send blocks of different sizes all the time share the line.
func TestLateHeadersShare(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		sizes := []int{60000, 20000, 1000}
		ours, theirs := rawStreams(t, v, len(sizes))
		got := make([]atomic.Int64, len(sizes))
		for i, n := range sizes {
			h := spdy.HeaderBlock{{Name: "x", Value: noise(int64(i), n)}}
			go func() {
				for sent := 0; sent < mostSent && ours[i].SendHeaders(h, false) == nil; sent += n {
				}
			}()
			go func() {
				for {
					h, err := theirs[i].ReceiveHeaders(t.Context())
					if err != nil {
						return
					}
					got[i].Add(int64(len(h[0].Value)))
				}
			}()
		}
		bubble.Pass(30 * time.Second)
		for i := range got {
			for k := range got {
				require.Less(t, got[i].Load(), 2*got[k].Load(), "bytes of the stream with blocks of %d, and of %d", sizes[i], sizes[k])
			}
		}
	})
}
