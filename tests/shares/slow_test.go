package shares

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// A pacedReader reads r at a speed that may change.
type pacedReader struct {
	got  atomic.Int64 // bytes
	rate atomic.Int64 // bytes per second; 0 for as fast as they come
	err  atomic.Value // an error that is not the reader's, once there is one
}

func (p *pacedReader) drain(ctx context.Context, r io.Reader) {
	for buf := make([]byte, 16<<10); ctx.Err() == nil; {
		some := buf
		if rate := p.rate.Load(); rate > 0 {
			some = buf[:min(rate/4, int64(len(buf)))]
		}
		n, err := r.Read(some)
		p.got.Add(int64(n))
		if err != nil {
			if ctx.Err() == nil {
				p.err.Store(err)
			}
			return
		}
		if rate := p.rate.Load(); rate > 0 {
			bubble.Pass(time.Duration(n) * time.Second / time.Duration(rate))
		}
	}
}

// pass lets time pass and returns what was read in it, in bytes per second.
func (p *pacedReader) pass(d time.Duration) int64 {
	before := p.got.Load()
	bubble.Pass(d)
	return (p.got.Load() - before) * int64(time.Second) / int64(d)
}

// A crossing is a session on whose streams bodies without end are read, downloads or uploads.
type crossing struct {
	*pair
	up      bool
	readers map[string]*pacedReader // by path; immutable
}

// newCrossing starts one. conf is of the side that reads.
func newCrossing(v spdy.Version, rate int, up bool, conf spdy.Config, readers map[string]*pacedReader) *crossing {
	c := &crossing{up: up, readers: readers}
	h := func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/idle":
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		case up:
			readers[r.URL.Path].drain(r.Context(), r.Body)
		default:
			_, _ = io.Copy(w, zeros{})
		}
	}
	if up {
		c.pair = newPairOf(v, rate, spdy.Config{}, conf, h)
	} else {
		c.pair = newPairOf(v, rate, conf, spdy.Config{}, h)
	}
	return c
}

// start begins to move a body until the context ends.
func (c *crossing) start(ctx context.Context, path string) {
	req := request(ctx, http.MethodGet, path, nil)
	if c.up && path != "/idle" {
		req = request(ctx, http.MethodPost, path, zeros{})
	}
	go func() {
		res, err := c.client.RoundTrip(req)
		if err != nil {
			return
		}
		defer res.Body.Close()
		if p := c.readers[path]; p != nil && !c.up {
			p.drain(ctx, res.Body)
		}
	}()
}

// stop ends the crossing and waits for its readers.
func (c *crossing) stop(cancel context.CancelFunc) {
	cancel()
	c.close()
	bubble.Pass(2 * time.Second)
}

// slowCases are readers that read fast for some seconds, and then slow.
var slowCases = []struct{ line, window, fast, slow int }{
	{4 << 20, 1 << 20, 1200 << 10, 160 << 10},
	{5 << 20, 4 << 20, 1500 << 10, 500 << 10},
	{8 << 20, 1 << 20, 3 << 20, 300 << 10},
	{2 << 20, 8 << 20, 600 << 10, 20 << 10},
}

// A reader that has been fast and becomes slow does not hold the others back for more than
// some seconds, however small the session's window is and although bytes are read all the
// time.
func TestReadersThatBecomeSlow(t *testing.T) {
	for _, c := range slowCases {
		for _, up := range []bool{false, true} {
			name := fmt.Sprintf("%d MiB per second/window of %d MiB/upload %t", c.line>>20, c.window>>20, up)
			bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
				slow, other := new(pacedReader), new(pacedReader)
				p := newCrossing(v, c.line, up, spdy.Config{SessionWindow: c.window, StreamWindow: c.window / 2},
					map[string]*pacedReader{"/slow": slow, "/other": other})
				ctx, cancel := context.WithCancel(t.Context())
				defer p.stop(cancel)
				slow.rate.Store(int64(c.fast))
				p.start(ctx, "/slow")
				p.start(ctx, "/other")
				bubble.Pass(10 * time.Second)
				require.Nil(t, slow.err.Load(), "it keeps up")
				slow.rate.Store(int64(c.slow))
				bubble.Pass(10 * time.Second)
				require.Greater(t, other.pass(5*time.Second), int64(c.line/2), "its fair share, in bytes per second")
				require.Nil(t, other.err.Load())
			})
		}
	}
}

// Readers that are slower than the line are not reset: the only one, at a tenth of it, and one
// beside streams that bring nothing, at two thirds.
func TestReadersSlowerThanTheLine(t *testing.T) {
	const line, window = 4 << 20, 1 << 20
	for _, up := range []bool{false, true} {
		for _, idle := range []bool{false, true} {
			bubble.InVersions(t, fmt.Sprintf("upload %t/idle streams %t", up, idle), func(t *testing.T, v spdy.Version) {
				reader := new(pacedReader)
				p := newCrossing(v, line, up, spdy.Config{SessionWindow: window, StreamWindow: 64 << 10},
					map[string]*pacedReader{"/reader": reader})
				ctx, cancel := context.WithCancel(t.Context())
				defer p.stop(cancel)
				want := int64(line / 10)
				if idle {
					want = line / 3 * 2
					p.start(ctx, "/idle")
				}
				reader.rate.Store(want)
				p.start(ctx, "/reader")
				for range 2 {
					bubble.Pass(10 * time.Second)
					synctest.Wait()
					require.Nil(t, reader.err.Load())
				}
				rate := reader.pass(10 * time.Second)
				if v == spdy.SPDY2 { // in others the window and the path may be the bound
					require.Greater(t, rate, want*9/10)
				}
			})
		}
	}
}

// A request does not wait for good behind the only upload, whose reader has become very slow.
func TestLoneUploadThatBecomesSlow(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		const line = 4 << 20
		slow := new(pacedReader)
		p := newCrossing(v, line, true, spdy.Config{SessionWindow: 1 << 20, StreamWindow: 256 << 10},
			map[string]*pacedReader{"/slow": slow})
		ctx, cancel := context.WithCancel(t.Context())
		defer p.stop(cancel)
		slow.rate.Store(line / 2)
		p.start(ctx, "/slow")
		bubble.Pass(10 * time.Second)
		require.Nil(t, slow.err.Load(), "nobody waits")
		slow.rate.Store(60 << 10)
		bubble.Pass(10 * time.Second)
		began := time.Now()
		res, err := p.client.RoundTrip(request(ctx, http.MethodGet, "/idle", nil))
		require.NoError(t, err)
		res.Body.Close()
		require.Less(t, time.Since(began), time.Second)
	})
}
