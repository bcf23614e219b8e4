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
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// A contest is between strangers and users whose transfers have no end and go in the same
// direction.
type contest struct {
	name              string
	stranger, honest  string // paths
	asks              bool   // the strangers ask for the highest priority, the others for the lowest
	strangers, others int
	times             float64 // how many times their fair share the strangers may get
}

var contests = []contest{
	{name: "by path", stranger: "/report", honest: "/film.mp4", strangers: 1, others: 8, times: 1.05},
	{name: "by priority", stranger: "/", honest: "/", asks: true, strangers: 1, others: 8, times: 2},
	{name: "four by priority", stranger: "/", honest: "/", asks: true, strangers: 4, others: 4, times: 2},
}

// No stream takes more than twice its fair share of a session that all want to use, whatever
// priority it has, and its path gains it nothing.
func TestPrioritiesAreBounded(t *testing.T) {
	for _, c := range contests {
		for _, up := range []bool{false, true} {
			bubble.InVersions(t, fmt.Sprintf("%s/upload %t", c.name, up), func(t *testing.T, v spdy.Version) {
				fair := float64(c.strangers) / float64(c.strangers+c.others)
				share := c.share(t, v, up)
				require.LessOrEqual(t, share/fair, c.times, "times the fair share")
			})
		}
	}
}

// share returns which part of all bytes the strangers get.
func (c contest) share(t *testing.T, v spdy.Version, up bool) float64 {
	var strangers, all atomic.Int64
	count := func(r *http.Request, body io.Reader) {
		counters := []*atomic.Int64{&all}
		if r.Header.Get("X-Stranger") != "" {
			counters = append(counters, &strangers)
		}
		_, _ = io.Copy(counter(counters), body) // until it is cancelled
	}
	p := newPair(v, linkRate, spdy.Config{}, func(w http.ResponseWriter, r *http.Request) {
		if up {
			count(r, r.Body)
			return
		}
		_, _ = io.Copy(w, zeros{})
	})
	ctx, cancel := context.WithCancel(t.Context())
	for i := range c.strangers + c.others {
		go func() {
			req := c.request(ctx, i < c.strangers, up)
			if res, err := p.client.RoundTrip(req); err == nil {
				count(req, res.Body)
				res.Body.Close()
			}
		}()
	}
	bubble.Pass(3 * time.Second)
	strangers.Store(0)
	all.Store(0)
	bubble.Pass(10 * time.Second)
	share := float64(strangers.Load()) / float64(all.Load())
	cancel()
	p.close()
	synctest.Wait()
	return share
}

// request makes the request for one transfer.
func (c contest) request(ctx context.Context, stranger, up bool) *http.Request {
	path, priority := c.honest, uint8(7)
	if stranger {
		path, priority = c.stranger, 0
	}
	if c.asks {
		ctx = spdy.WithPriority(ctx, priority)
	}
	req := request(ctx, http.MethodGet, path, nil)
	if up {
		req = request(ctx, http.MethodPut, path, zeros{})
	}
	if stranger {
		req.Header.Set("X-Stranger", "1")
	}
	return req
}

// A counter counts what is written to it.
type counter []*atomic.Int64

func (c counter) Write(p []byte) (int, error) {
	for _, n := range c {
		n.Add(int64(len(p)))
	}
	return len(p), nil
}

// What a client asks for on its session is not for those who share the proxy's: only what
// the proxy asks for is.
func TestProxyChoosesPriorities(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		seen := make(chan uint8, 1)
		origin := newPairOf(v, linkRate, spdy.Config{}, spdy.Config{Trace: &spdy.Trace{
			StreamOpened: func(_ *spdy.Session, st spdy.StreamInfo) { seen <- st.Priority },
		}}, http.NotFound)
		front := newPair(v, linkRate, spdy.Config{}, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/asks" {
				r = r.WithContext(spdy.WithPriority(r.Context(), 6))
			}
			_ = origin.client.NewStreamProxy(r, w)
		})
		for path, want := range map[string]uint8{"/": 4, "/film.mp4": 4, "/image.iso": 4, "/asks": 6} {
			res, err := front.client.RoundTrip(request(spdy.WithPriority(t.Context(), 0), http.MethodGet, path, nil))
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			require.Equal(t, want, <-seen, path)
		}
		front.close()
		origin.close()
	})
}

// Equal uploads get equal shares also where the line takes bursts, in which writers whose
// bytes have been taken need the processor to have more.
func TestEqualUploads(t *testing.T) {
	for round := range 10 { // who is woken last is a matter of luck
		bubble.In(t, fmt.Sprint(round), []spdy.Version{spdy.SPDY2}, testEqualUploads)
	}
}

func testEqualUploads(t *testing.T, v spdy.Version) {
	var got [6]atomic.Int64
	a, b := testconn.Pair(testconn.Latency(10*time.Millisecond), testconn.WriteCap(256<<10))
	p := serve(a, b, v, spdy.Config{}, spdy.Config{}, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(counter{&got[r.URL.Path[1]-'0']}, r.Body) // until it is cancelled
	})
	ctx, cancel := context.WithCancel(t.Context())
	for i := range got {
		go func() {
			if res, err := p.client.RoundTrip(request(ctx, http.MethodPut, fmt.Sprint("/", i), zeros{})); err == nil {
				res.Body.Close()
			}
		}()
	}
	bubble.Pass(time.Second)
	least, most := got[0].Load(), int64(0)
	for i := range got {
		least, most = min(least, got[i].Load()), max(most, got[i].Load())
	}
	require.LessOrEqual(t, most, least*3/2)
	cancel()
	p.close()
}
