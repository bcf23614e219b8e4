package shares

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// A trickle is a body that returns one byte in each tenth of a millisecond.
type trickle struct{}

func (trickle) Read(p []byte) (int, error) {
	bubble.Pass(100 * time.Microsecond)
	p[0] = 'x'
	return 1, nil
}

// A body that is written a byte at a time does not hold up the header blocks of others, in
// the direction of responses and in that of requests.
func TestTricklesAmongHeaderBlocks(t *testing.T) {
	for name, body := range map[string]io.Reader{"download": nil, "upload": trickle{}} {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			alone, beside := answersBeside(t, v, 0, body), answersBeside(t, v, 4, body)
			require.Greater(t, beside, alone/2, "answers in ten seconds, %d without trickles", alone)
		})
	}
}

// A body that returns one byte from each Read, but never pauses, is no trickle. It costs others
// what a body in large pieces does.
func TestSingleBytesAmongHeaderBlocks(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		large, single := answersBeside(t, v, 4, zeros{}), answersBeside(t, v, 4, piecewise(1))
		require.GreaterOrEqual(t, single, large*9/10)
	})
}

// answersBeside is the number of answers that a user gets in ten seconds, whose requests or
// responses have headers of 2 KiB, beside so many uploads of a body. With a nil body they are
// downloads, written a byte at a time.
func answersBeside(t *testing.T, v spdy.Version, others int, body io.Reader) int64 {
	up := body != nil
	var seed atomic.Int64
	a, b := testconn.Pair(testconn.Latency(25*time.Millisecond), testconn.Bandwidth(100_000), testconn.WriteCap(16<<10))
	p := serve(a, b, v, spdy.Config{}, spdy.Config{}, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/honest" && !up:
			w.Header().Set("X-Value", noise(seed.Add(1), 2<<10))
		case r.URL.Path == "/honest":
		case up:
			for p := make([]byte, 100); ; {
				if _, err := r.Body.Read(p); err != nil {
					return
				}
			}
		default:
			for {
				if _, err := w.Write([]byte("x")); err != nil {
					return
				}
				if http.NewResponseController(w).Flush() != nil {
					return
				}
			}
		}
	})
	defer p.close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range others {
		go func() {
			req := request(ctx, http.MethodGet, "/trickle", nil)
			if up {
				req = request(ctx, http.MethodPost, "/trickle", body)
			}
			if res, err := p.client.RoundTrip(req); err == nil {
				for p := make([]byte, 100); err == nil; {
					_, err = res.Body.Read(p)
				}
			}
		}()
	}
	var answers atomic.Int64
	for range 30 {
		go func() {
			for ctx.Err() == nil {
				req := request(ctx, http.MethodGet, "/honest", nil)
				if up {
					req.Header.Set("X-Value", noise(seed.Add(1), 2<<10))
				}
				if res, err := p.client.RoundTrip(req); err == nil {
					res.Body.Close()
					answers.Add(1)
				}
			}
		}()
	}
	bubble.Pass(10 * time.Second)
	return answers.Load()
}
