package windows

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// events answers /events/<gap> with 20 bytes after each gap, and anything else like sized.
func events(w http.ResponseWriter, r *http.Request) {
	name, ok := strings.CutPrefix(r.URL.Path, "/events/")
	if !ok {
		sized(w, r)
		return
	}
	gap, _ := time.ParseDuration(name)
	rc := http.NewResponseController(w)
	_ = rc.Flush()
	for tick := time.NewTicker(gap); ; {
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
		if _, err := w.Write(make([]byte, 20)); err != nil || rc.Flush() != nil {
			return
		}
	}
}

// dribblers keep n downloads of which they read some bytes every 100 ms, and begin another
// one when one is cut. cut counts those.
func dribblers(ctx context.Context, t *testing.T, rt http.RoundTripper, n int, some int64, cut *atomic.Int64) {
	for range n {
		anyTime(t, func() {
			for ctx.Err() == nil {
				res, err := rt.RoundTrip(request(t, "GET", "/1000000000", nil).WithContext(ctx))
				if err != nil {
					continue
				}
				for err == nil {
					_, err = io.CopyN(io.Discard, res.Body, some)
					bubble.Pass(100 * time.Millisecond)
				}
				res.Body.Close()
				if ctx.Err() == nil {
					cut.Add(1)
				}
			}
		})
	}
}

// listen reads events within 25 ms each until the context ends.
func listen(ctx context.Context, t *testing.T, rt http.RoundTripper, gap time.Duration, heard *atomic.Int64) {
	res := get(t, rt, "/events/"+gap.String())
	anyTime(t, func() {
		defer res.Body.Close()
		for p := make([]byte, 100); ; heard.Add(1) {
			_, err := io.ReadAtLeast(res.Body, p, 1)
			if ctx.Err() != nil {
				return
			}
			if !assert.NoError(t, err, "events with gaps of %v, after %d", gap, heard.Load()) {
				return
			}
			bubble.Pass(25 * time.Millisecond)
		}
	})
}

// Events that are read as they come are not cut, neither by ShedAfter nor at the bound of
// unread bytes in SPDY/2, beside strangers who dribble and so keep the session short of
// room: those are.
func TestAttackA29EventsBesideDribblers(t *testing.T) {
	for _, gap := range []time.Duration{10 * time.Millisecond, 1500 * time.Millisecond, 6 * time.Second} {
		bubble.In(t, gap.String(), []spdy.Version{spdy.SPDY2, spdy.SPDY31}, func(t *testing.T, v spdy.Version) {
			conf := spdy.Config{SessionWindow: 1 << 20, StreamWindow: 64 << 10, MaxStreamWindow: 64 << 10, ShedAfter: time.Second}
			p := newPair(t, v, conf, spdy.Config{}, events, testconn.Latency(latency), testconn.Bandwidth(2<<20), testconn.WriteCap(inFlight))
			ctx, cancel := context.WithCancel(t.Context())
			var heard, cut atomic.Int64
			listen(ctx, t, p.client, gap, &heard)
			dribblers(ctx, t, p.client, 14, 600, &cut)
			bubble.Pass(13 * time.Second)
			require.GreaterOrEqual(t, heard.Load(), int64(13*time.Second/max(2*gap, 200*time.Millisecond)))
			require.NotZero(t, cut.Load())
			cancel()
			bubble.Pass(time.Second)
		})
	}
}

// In SPDY/2, an answer that comes late and is read soon is not cut at the bound of unread bytes,
// nor is a small one that is read seconds after it has come.
func TestAttackA29LateAnswers(t *testing.T) {
	for _, think := range []time.Duration{1500 * time.Millisecond, 5 * time.Second} {
		bubble.Run(t, think.String(), func(t *testing.T) {
			p := newPair(t, spdy.SPDY2, spdy.Config{SessionWindow: 1 << 20}, spdy.Config{}, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/late" {
					_ = http.NewResponseController(w).Flush()
					bubble.Pass(think)
					_, _ = w.Write(make([]byte, 1000))
					return
				}
				sized(w, r)
			}, testconn.Latency(latency), testconn.Bandwidth(2<<20), testconn.WriteCap(inFlight))
			ctx, cancel := context.WithCancel(t.Context())
			var cut, whole atomic.Int64
			dribblers(ctx, t, p.client, 10, 1, &cut)
			bubble.Pass(time.Second)
			for i := range 50 {
				body := get(t, p.client, "/late").Body
				anyTime(t, func() {
					bubble.Pass(think + time.Duration(i)*60*time.Millisecond)
					if n, err := io.Copy(io.Discard, body); assert.NoError(t, err) && assert.EqualValues(t, 1000, n) {
						whole.Add(1)
					}
				})
			}
			bubble.Pass(think + 5*time.Second)
			require.EqualValues(t, 50, whole.Load())
			require.NotZero(t, cut.Load())
			cancel()
			bubble.Pass(time.Second)
		})
	}
}

// Small uploads of SPDY/2 that wait for their handlers to read them are not cut beside large
// ones that handlers read byte by byte.
func TestAttackA29UploadsThatWait(t *testing.T) {
	bubble.Run(t, "", func(t *testing.T) {
		p := newPair(t, spdy.SPDY2, spdy.Config{}, spdy.Config{SessionWindow: 2 << 20, StreamWindow: 64 << 10}, func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/dribble" {
				for {
					if _, err := r.Body.Read(make([]byte, 1)); err != nil || r.Context().Err() != nil {
						return
					}
					bubble.Pass(50 * time.Millisecond)
				}
			}
			wait, _ := strconv.Atoi(r.URL.Path[1:])
			bubble.Pass(time.Duration(wait) * time.Second)
			n, err := io.Copy(io.Discard, r.Body)
			assert.NoError(t, err)
			assert.EqualValues(t, 8<<10, n)
		}, testconn.Latency(latency), testconn.Bandwidth(8<<20), testconn.WriteCap(inFlight))
		ctx, cancel := context.WithCancel(t.Context())
		for range 10 {
			anyTime(t, func() {
				for ctx.Err() == nil {
					if res, err := p.client.RoundTrip(request(t, "POST", "/dribble", endless{}).WithContext(ctx)); err == nil {
						res.Body.Close()
					}
					bubble.Pass(100 * time.Millisecond) // the handler ends
				}
			})
		}
		var waiting []*trip
		for i := range 20 {
			waiting = append(waiting, start(p.client, request(t, "POST", "/"+strconv.Itoa(i/3), zeros(8<<10))))
		}
		for _, c := range waiting {
			<-c.done
			require.NoError(t, c.err)
		}
		require.NotZero(t, p.server.Stats().Shed)
		cancel()
		bubble.Pass(time.Second)
	})
}

// Answers that are complete shortly before a sweep of ShedAfter are not what it gives up,
// although nothing of their streams has been read for long.
func TestAttackA29ShedSparesWhatIsNew(t *testing.T) {
	bubble.In(t, "", withWindows, func(t *testing.T, v spdy.Version) {
		conf := four
		conf.ShedAfter = shedAfter
		gate := make(chan struct{})
		p := newPair(t, v, conf, spdy.Config{}, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/65536" {
				_ = http.NewResponseController(w).Flush()
				<-gate
			}
			sized(w, r)
		})
		old := get(t, p.client, "/65000").Body
		var recent []io.Reader
		for range 3 {
			recent = append(recent, get(t, p.client, "/65536").Body)
		}
		bubble.Pass(2*shedAfter - time.Second)
		close(gate)
		waits := start(p.client, request(t, "GET", "/100", nil))
		bubble.Pass(2 * time.Second)
		require.NoError(t, waits.answered(t).Body.Close())
		for _, body := range recent {
			n, err := io.Copy(io.Discard, body)
			require.NoError(t, err)
			require.EqualValues(t, 65536, n)
		}
		_, err := io.Copy(io.Discard, old)
		require.True(t, isShed(err), "%v", err)
	})
}

// ShedAfter does not reset streams that hold next to nothing while others, which are read in
// time, hold the window.
func TestAttackA29ShedSparesSmall(t *testing.T) {
	bubble.Run(t, "", func(t *testing.T) {
		conf := spdy.Config{SessionWindow: 1 << 20, StreamWindow: 64 << 10, MaxStreamWindow: 64 << 10, ShedAfter: shedAfter}
		p := newPair(t, spdy.SPDY31, conf, spdy.Config{}, events, testconn.Latency(latency))
		small := get(t, p.client, "/events/5s").Body
		ctx, cancel := context.WithCancel(t.Context())
		var cut atomic.Int64
		dribblers(ctx, t, p.client, 14, 1600, &cut) // 4 seconds for a window
		bubble.Pass(5 * shedAfter)
		require.Zero(t, cut.Load())
		_, err := io.ReadFull(small, make([]byte, 9*20))
		require.NoError(t, err)
		cancel()
		bubble.Pass(time.Second)
	})
}

// In SPDY/2, a download that has just begun and has the most unread bytes is not reset beside
// answers that nobody has read for long.
func TestAttackA29FreshBesideParked(t *testing.T) {
	bubble.Run(t, "", func(t *testing.T) {
		p := newPair(t, spdy.SPDY2, spdy.Config{SessionWindow: 1 << 20}, spdy.Config{}, sized,
			testconn.Latency(latency), testconn.Bandwidth(8<<20), testconn.WriteCap(inFlight))
		for range 5 {
			get(t, p.client, "/150000")
		}
		bubble.Pass(5 * time.Second)
		body := get(t, p.client, "/600000").Body
		bubble.Pass(200 * time.Millisecond)
		n, err := io.Copy(io.Discard, body)
		require.NoError(t, err)
		require.EqualValues(t, 600000, n)
		require.NotZero(t, p.client.Stats().Shed)
	})
}

// In SPDY/2, an event that nobody has read for an hour is not reset for others that have come
// just now: that would make no room.
func TestAttackA29SmallAndOld(t *testing.T) {
	bubble.Run(t, "", func(t *testing.T) {
		p, s := scripted(t, spdy.SPDY2, spdy.Config{SessionWindow: 1 << 20})
		var all []*trip
		for range 3 {
			all = append(all, start(s, request(t, "GET", "/", nil)))
			p.reply(p.opened()[0], 0)
		}
		p.data(1, 20, 0)
		bubble.Pass(time.Hour)
		for range 10 {
			p.data(3, 64<<10, 0)
			p.data(5, 48<<10, 0)
		}
		bubble.Pass(20 * time.Millisecond) // the time that readers have for bytes that have just come
		require.EqualValues(t, 1, s.Stats().Shed)
		_, err := io.ReadFull(all[0].answered(t).Body, make([]byte, 20))
		require.NoError(t, err)
		_, err = all[2].answered(t).Body.Read(make([]byte, 1))
		require.NoError(t, err, "another one had more")
		s.Close()
	})
}
