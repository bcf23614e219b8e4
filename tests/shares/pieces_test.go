package shares

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// pieces is an endless body that is read in pieces of at most so many bytes.
type pieces int

func (n pieces) Read(p []byte) (int, error) {
	p = p[:min(len(p), int(n))]
	clear(p)
	return len(p), nil
}

// A response or a request that is written in small pieces gets at least half of its fair share
// of the line beside others that are written in large ones.
func TestSmallPieces(t *testing.T) {
	for _, v := range bubble.Versions {
		for _, method := range []string{http.MethodGet, http.MethodPut} {
			sizes := []int{4 << 10, 8 << 10, 16 << 10}
			if method == http.MethodPut {
				sizes = append(sizes, 200, 1<<10, 3000) // a response has at least 4 KiB in each piece
			}
			for _, piece := range sizes {
				for _, n := range []struct{ small, large int }{{1, 1}, {1, 3}, {1, 10}, {20, 2}} {
					name := fmt.Sprintf("%s of %d bytes, %d beside %d", method, piece, n.small, n.large)
					bubble.In(t, name, []spdy.Version{v}, func(t *testing.T, v spdy.Version) {
						got, all := transferPieces(t, v, linkRate, method, piece, n.small, n.large), int64(0)
						for _, n := range got {
							all += n
						}
						require.GreaterOrEqual(t, all, int64(4*linkRate*9/10), "the line is busy")
						require.GreaterOrEqual(t, slices.Min(got), all/int64(len(got))/2, "%d", got)
					})
				}
			}
		}
	}
}

// So does a request in small pieces where the line takes bursts, in which writers whose bytes
// have been taken need the processor to have more.
func TestSmallPiecesInBursts(t *testing.T) {
	for round := range 5 { // who is woken last is a matter of luck
		bubble.InVersions(t, fmt.Sprint(round), func(t *testing.T, v spdy.Version) {
			var small, large atomic.Int64
			a, b := testconn.Pair(testconn.Latency(10*time.Millisecond), testconn.WriteCap(256<<10))
			p := serve(a, b, v, spdy.Config{}, spdy.Config{}, func(_ http.ResponseWriter, r *http.Request) {
				to := map[string]*atomic.Int64{"/small": &small, "/large": &large}[r.URL.Path]
				_, _ = io.Copy(counter{to}, r.Body) // until it is cancelled
			})
			ctx, cancel := context.WithCancel(t.Context())
			for path, body := range map[string]io.Reader{"/small": pieces(4 << 10), "/large": zeros{}} {
				go func() {
					if res, err := p.client.RoundTrip(request(ctx, http.MethodPut, path, body)); err == nil {
						res.Body.Close()
					}
				}()
			}
			bubble.Pass(time.Second)
			cancel()
			p.close()
			require.LessOrEqual(t, large.Load(), 3*small.Load())
		})
	}
}

// transferPieces runs some transfers that are written in pieces, and others in large ones, for
// five seconds on a line of the given rate. It returns the number of bytes that each received in
// the last four, those in pieces first.
func transferPieces(t *testing.T, v spdy.Version, rate int, method string, piece, small, large int) []int64 {
	received := make([]atomic.Int64, small+large)
	p := newPair(v, rate, spdy.Config{}, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			_, _ = io.Copy(counter{&received[atoi(r)]}, r.Body) // until it is cancelled
			return
		}
		size := 1 << 20
		if atoi(r) < small {
			size = piece
		}
		for buf := make([]byte, size); ; {
			if _, err := w.Write(buf); err != nil {
				return
			}
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	for i := range received {
		go func() {
			body, size := io.Reader(nil), 1<<20
			if i < small {
				size = piece
			}
			if method == http.MethodPut {
				body = pieces(size)
			}
			res, err := p.client.RoundTrip(request(ctx, method, fmt.Sprint("/", i), body))
			if err != nil {
				return
			}
			defer res.Body.Close()
			_, _ = io.Copy(counter{&received[i]}, res.Body) // until it is cancelled
		}()
	}
	bubble.Pass(time.Second)
	got := make([]int64, len(received))
	for i := range received {
		got[i] = -received[i].Load()
	}
	bubble.Pass(4 * time.Second)
	for i := range received {
		got[i] += received[i].Load()
	}
	cancel()
	p.close()
	return got
}

// atoi is the number that is the path of a request.
func atoi(r *http.Request) (n int) {
	_, err := fmt.Sscan(strings.TrimPrefix(r.URL.Path, "/"), &n)
	if err != nil {
		panic(err)
	}
	return n
}
