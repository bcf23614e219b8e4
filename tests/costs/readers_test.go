package costs

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// The unread bytes of a page and of the pool in these tests. A stream may have 256 KiB unread.
const (
	pageSize   = 100 << 10
	wordSize   = 1 << 10
	unreadPool = 2 << 20
	piece      = 16 << 10
)

// A flow is a body of pieces without end. In SPDY/2 it pauses between pieces, because no window
// limits the sender.
type flow struct {
	ctx context.Context
	v   spdy.Version
}

func (f flow) Read(p []byte) (int, error) {
	if f.v == spdy.SPDY2 {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-f.ctx.Done():
		}
	}
	return min(len(p), piece), f.ctx.Err()
}

func (flow) Close() error { return nil }

// slowly reads pieces with pauses until the context ends, and returns the number of bytes, and the
// error of a body that ends before.
func slowly(ctx context.Context, body io.Reader) (got int64, err error) {
	for buf := make([]byte, piece); ; bubble.Pass(10 * time.Millisecond) {
		n, err := body.Read(buf)
		got += int64(n)
		switch {
		case ctx.Err() != nil:
			return got, nil
		case err != nil:
			return got, err
		}
	}
}

// streaming adds handlers for bodies in both directions.
func streaming(s *site, ends context.Context, read func(r *http.Request)) *site {
	others := s.srv.Handler
	s.srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/flow":
			_, _ = io.Copy(w, flow{r.Context(), s.v})
		case "/word":
			_, _ = w.Write(make([]byte, wordSize))
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case "/page":
			w.Header().Set("Content-Length", strconv.Itoa(pageSize))
			_, _ = w.Write(make([]byte, pageSize))
		case "/read":
			read(r)
		default:
			others.ServeHTTP(w, r)
		}
	})
	s.serve()
	return s
}

// download asks for an answer, and returns the body.
func download(ctx context.Context, t *testing.T, client http.RoundTripper, path string) io.ReadCloser {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, "GET", "http://example.com"+path, nil)
	assert.NoError(t, err)
	res, err := client.RoundTrip(req)
	if !assert.NoError(t, err) {
		return http.NoBody
	}
	return res.Body
}

// One user of a Transport reads nothing of many answers, which fill the pool of unread bytes. The
// downloads of other users, who read slowly, are not cut for them, whether the unread answers have
// ended or not.
func TestAttackA31ReadersStay(t *testing.T) {
	for _, path := range []string{"/page", "/flow"} {
		bubble.InVersions(t, path[1:], func(t *testing.T, v spdy.Version) {
			s := streaming(prepareSite(t, v, spdy.Config{}), t.Context(), nil)
			client := s.transport()
			client.Config.Pools.UnreadBytes = unreadPool
			client.IdleConnTimeout = 10 * time.Second
			ctx, cancel := context.WithCancel(t.Context())
			ask := func(path string) io.ReadCloser { return download(ctx, t, client, path) }
			var readers sync.WaitGroup
			for range 2 {
				body := ask("/flow")
				readers.Go(func() {
					defer body.Close()
					got, err := slowly(ctx, body)
					if err != nil || got < 256<<10 {
						t.Errorf("a download is cut after %d bytes: %v", got, err)
					}
				})
			}
			bubble.Pass(300 * time.Millisecond)
			for range 40 {
				defer ask(path).Close()
				bubble.Pass(7 * time.Millisecond)
			}
			bubble.Pass(300 * time.Millisecond)
			pool := client.PoolStats().UnreadBytes
			assert.Positive(t, pool.Reset, "what is not read gives way")
			assert.LessOrEqual(t, pool.Used, pool.Limit)
			cancel()
			readers.Wait()
			s.leave(nil) // after the sessions, which have been idle for too long
			wantEmpty(t, client.PoolStats())
		})
	}
}

// Beside answers that have ended, open answers that hold little are not reset, although nobody reads
// them for a while: that would not free the pool.
func TestAttackA31WordsStay(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		s := streaming(prepareSite(t, v, spdy.Config{}), t.Context(), nil)
		client := s.transport()
		client.Config.Pools.UnreadBytes = unreadPool
		client.IdleConnTimeout = 10 * time.Second
		ctx, cancel := context.WithCancel(t.Context())
		var words []io.ReadCloser
		for range 4 {
			words = append(words, download(ctx, t, client, "/word"))
		}
		bubble.Pass(2 * time.Second)
		for range 40 {
			defer download(ctx, t, client, "/page").Close()
			bubble.Pass(300 * time.Millisecond)
		}
		assert.Positive(t, client.PoolStats().UnreadBytes.Reset, "what is not read gives way")
		for _, body := range words {
			_, err := io.ReadFull(body, make([]byte, wordSize))
			assert.NoError(t, err, "a word that has not been read")
			body.Close()
		}
		cancel()
		s.leave(nil)
		wantEmpty(t, client.PoolStats())
	})
}

// The same for uploads: one user sends many to handlers that read nothing.
func TestAttackA31UploadsStay(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		ctx, cancel := context.WithCancel(t.Context())
		var cut, fine atomic.Int32
		s := streaming(prepareSite(t, v, spdy.Config{Pools: spdy.Pools{UnreadBytes: unreadPool}}), ctx, func(r *http.Request) {
			if _, err := slowly(ctx, r.Body); err != nil {
				cut.Add(1)
			} else {
				fine.Add(1)
			}
		})
		client := s.session()
		send := func(path string, body io.ReadCloser, length int64) {
			req, err := http.NewRequestWithContext(ctx, "POST", "http://example.com"+path, body)
			if err != nil {
				t.Error(err)
				return
			}
			req.ContentLength = length
			if res, err := client.RoundTrip(req); err == nil {
				res.Body.Close()
			}
		}
		var uploads sync.WaitGroup
		for range 2 {
			uploads.Go(func() { send("/read", flow{ctx, v}, -1) })
		}
		bubble.Pass(300 * time.Millisecond)
		for range 40 {
			uploads.Go(func() { send("/hang", io.NopCloser(io.LimitReader(flow{ctx, spdy.SPDY3}, pageSize)), pageSize) })
			bubble.Pass(7 * time.Millisecond)
		}
		bubble.Pass(300 * time.Millisecond)
		pool := s.srv.Stats().Pools.UnreadBytes
		assert.Positive(t, pool.Reset, "what is not read gives way")
		assert.Zero(t, cut.Load(), "uploads that are read are not cut")
		cancel()
		uploads.Wait()
		client.Close()
		s.leave(nil)
		assert.EqualValues(t, 2, fine.Load())
	})
}

// A client has left, but handlers that read nothing keep its uploads. Uploads of the clients that
// stay, which are small and wait as well, do not give way for them.
func TestAttackA31GoneUploadsPay(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		s := newSite(t, v, spdy.Config{Pools: spdy.Pools{UnreadBytes: unreadPool}})
		s.stuck = true
		send := func(client *spdy.Session, size int64) error {
			body := io.LimitReader(flow{t.Context(), spdy.SPDY3}, size)
			req, err := http.NewRequestWithContext(t.Context(), "POST", "http://example.com/hang", io.NopCloser(body))
			if err != nil {
				return err
			}
			req.ContentLength = size
			res, err := client.RoundTrip(req)
			if err != nil {
				return err
			}
			return res.Body.Close()
		}
		stays, leaves := s.session(), s.session()
		var uploads sync.WaitGroup
		for range 40 {
			uploads.Go(func() { assert.NoError(t, send(stays, wordSize), "an upload that waits") })
		}
		bubble.Pass(2 * time.Second)
		for range 20 {
			uploads.Go(func() { _ = send(leaves, pageSize) })
			bubble.Pass(50 * time.Millisecond)
		}
		leaves.Close()
		bubble.Pass(time.Second)
		pool := s.srv.Stats().Pools.UnreadBytes
		assert.Greater(t, pool.Used, pool.Limit/4*3, "the uploads are kept")
		for range 5 {
			bubble.Pass(2 * time.Second)
			honest(t, stays)
		}
		s.let()
		uploads.Wait()
		stays.Close()
		s.leave(nil)
	})
}
