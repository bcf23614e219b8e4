package windows

import (
	"context"
	"io"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// A request goes past 250 complete answers, each as large as a stream's window, that nobody
// reads: what they keep is taken from what windows may grow by.
func TestAttackA29KeptAnswers(t *testing.T) {
	bubble.In(t, "", bubble.Versions, func(t *testing.T, v spdy.Version) {
		p := newPair(t, v, spdy.Config{}, spdy.Config{}, sized)
		for range 250 {
			get(t, p.client, "/262144")
		}
		synctest.Wait()
		require.EqualValues(t, 250<<18, p.client.Stats().UnreadBytes)
		other := start(p.client, request(t, "GET", "/100", nil))
		require.NoError(t, other.answered(t).Body.Close())
	})
}

// The windows of open streams stay covered when ended ones have taken all that windows may
// grow by, and slots too: nobody's window grows, further requests wait, and a download
// goes on when everything else is full. What is read is given back.
func TestAttackA29KeptIsCovered(t *testing.T) {
	bubble.In(t, "", withWindows, func(t *testing.T, v spdy.Version) {
		const window, slots, pool, over = 64 << 10, 250, 8 << 20, 100
		conf := spdy.Config{StreamWindow: window, SessionWindow: slots*window + pool}
		p := newPair(t, v, conf, spdy.Config{}, sized, testconn.Latency(50*time.Millisecond))
		var kept []io.ReadCloser
		for range pool/window + over {
			kept = append(kept, get(t, p.client, "/65536").Body)
		}
		for range slots - over - 1 {
			get(t, p.client, "/1000000000")
		}
		bubble.Pass(time.Second)
		require.EqualValues(t, (slots-1)*window+pool, p.client.Stats().UnreadBytes)
		last := get(t, p.client, "/1000000000").Body
		waits := start(p.client, request(t, "GET", "/0", nil))
		n, err := io.CopyN(io.Discard, last, moved)
		require.NoError(t, err)
		require.EqualValues(t, moved, n)
		bubble.Pass(time.Second)
		require.LessOrEqual(t, p.client.Stats().UnreadBytes, int64(slots*window+pool), "no window has grown")
		require.Greater(t, p.client.Stats().UnreadBytes, int64(slots*window+pool-window))
		require.True(t, waits.pending())
		for _, body := range kept {
			_, err := io.Copy(io.Discard, body)
			require.NoError(t, err)
		}
		bubble.Pass(time.Second)
		require.NoError(t, waits.answered(t).Body.Close())
		before := p.client.Stats().UnreadBytes
		require.Greater(t, paused(t, p.client), int64(4*window), "there is something to grow by")
		require.Greater(t, p.client.Stats().UnreadBytes, before)
	})
}

// Windows that have grown give way to requests: what they return to the pool frees slots
// that unread answers hold.
func TestAttackA29GrownGivesWay(t *testing.T) {
	bubble.In(t, "", withWindows, func(t *testing.T, v spdy.Version) {
		const window, slots, pool = 64 << 10, 250, 8 << 20
		conf := spdy.Config{StreamWindow: window, SessionWindow: slots*window + pool}
		p := newPair(t, v, conf, spdy.Config{}, sized, testconn.Latency(50*time.Millisecond))
		body := get(t, p.client, "/1000000000").Body
		_, err := io.CopyN(io.Discard, body, 64<<20)
		require.NoError(t, err)
		var waits *trip
		for answers := 0; waits == nil; answers++ {
			c := start(p.client, request(t, "GET", "/65536", nil))
			bubble.Pass(time.Second)
			if c.pending() {
				require.GreaterOrEqual(t, answers, slots-1)
				waits = c
			}
		}
		_, err = io.CopyN(io.Discard, body, 64<<20)
		require.NoError(t, err)
		<-waits.done
		require.NoError(t, waits.err)
	})
}

// A keptRig is a client with ShedAfter on which four answers that nobody reads are complete.
type keptRig struct {
	rt     http.RoundTripper
	client *spdy.Session
	shed   chan error // from Trace.StreamShed
	bodies []io.ReadCloser
}

// newKeptRig makes one, of a Transport with a single session or of a session.
func newKeptRig(t *testing.T, v spdy.Version, after time.Duration, pooled bool) *keptRig {
	r := &keptRig{shed: make(chan error, 10)}
	conf := four
	conf.ShedAfter = after
	conf.Trace = &spdy.Trace{
		StreamShed: func(_ *spdy.Session, _ spdy.StreamInfo, err error) { r.shed <- err },
	}
	if pooled {
		o := &origin{t: t, v: v}
		rt := o.transport(conf, 1)
		rt.Config.Trace.StreamShed = conf.Trace.StreamShed
		r.rt = rt
		r.keep(t)
		r.client = o.sessions[0]
		return r
	}
	r.client = newPair(t, v, conf, spdy.Config{}, sized).client
	r.rt = r.client
	r.keep(t)
	return r
}

// keep gets four answers, of which the first is the largest.
func (r *keptRig) keep(t *testing.T) {
	for i := range 4 {
		r.bodies = append(r.bodies, get(t, r.rt, "/"+strconv.Itoa(65536-1000*i)).Body)
		synctest.Wait()
	}
}

// With ShedAfter, complete answers that nobody reads give way to requests that wait for
// what they hold; one that is read is spared, and so are all while nobody waits.
func TestAttackA29ShedKept(t *testing.T) {
	for _, pooled := range []bool{false, true} {
		name := map[bool]string{false: "session", true: "Transport"}[pooled]
		bubble.In(t, name, withWindows, func(t *testing.T, v spdy.Version) {
			r := newKeptRig(t, v, shedAfter, pooled)
			bubble.Pass(10*shedAfter + time.Second)
			require.Zero(t, r.client.Stats().Shed, "nobody waits")
			waits := start(r.rt, request(t, "GET", "/100", nil))
			require.True(t, waits.pending())
			_, err := io.ReadFull(r.bodies[0], make([]byte, 4<<10))
			require.NoError(t, err)
			bubble.Pass(shedAfter)
			require.NoError(t, waits.answered(t).Body.Close())
			require.EqualValues(t, 2, r.client.Stats().Shed, "half of the slots are ready for the next")
			failed := 0
			for i, body := range r.bodies {
				n, err := io.Copy(io.Discard, body)
				if err == nil {
					continue
				}
				failed++
				require.NotZero(t, i, "it was read")
				require.Zero(t, n)
				require.ErrorIs(t, err, io.ErrUnexpectedEOF)
				require.True(t, isShed(err))
				require.True(t, isShed(<-r.shed))
			}
			require.Equal(t, 2, failed)
			require.Empty(t, r.shed)
		})
		bubble.In(t, name+", never", withWindows, func(t *testing.T, v spdy.Version) {
			r := newKeptRig(t, v, 0, pooled)
			waits := start(r.rt, request(t, "GET", "/100", nil))
			bubble.Pass(time.Hour)
			require.True(t, waits.pending())
			require.Zero(t, r.client.Stats().Shed)
			require.NoError(t, r.bodies[0].Close())
			require.NoError(t, waits.answered(t).Body.Close())
		})
	}
}

// A raw session that reads nothing of what its peer's streams leave behind refuses more of
// them, before they stop one that is read.
func TestAttackA29KeptRaw(t *testing.T) {
	bubble.In(t, "", withWindows, func(t *testing.T, v spdy.Version) {
		const window = 64 << 10
		conf := spdy.Config{StreamWindow: window, SessionWindow: 8 * window, MaxConcurrentStreams: 4}
		a, b := testconn.Pair()
		here, there := bubble.Quiet(conf, v).RawSession(a, false), bubble.Quiet(spdy.Config{}, v).RawSession(b, true)
		serve(t, here)
		serve(t, there)
		open := func() (theirs, ours *spdy.RawStream) {
			theirs, err := there.OpenStream(t.Context(), nil, spdy.StreamOptions{})
			require.NoError(t, err)
			synctest.Wait()
			if theirs.Err() != nil {
				return theirs, nil
			}
			ours, err = here.AcceptStream(context.Background())
			require.NoError(t, err)
			require.NoError(t, ours.CloseWrite())
			return theirs, ours
		}
		film, reader := open()
		var kept []*spdy.RawStream
		for range 20 {
			st, ours := open()
			if ours == nil {
				continue
			}
			_, err := st.Write(make([]byte, window))
			require.NoError(t, err)
			require.NoError(t, st.CloseWrite())
			kept = append(kept, ours)
			synctest.Wait()
		}
		require.Len(t, kept, 3)
		require.Zero(t, here.Stats().ChargedResets, "the peer cannot know")
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := film.Write(make([]byte, moved))
			assert.NoError(t, err)
		})
		_, err := io.CopyN(io.Discard, reader, moved)
		require.NoError(t, err)
		wg.Wait()
		_, err = io.Copy(io.Discard, kept[0])
		require.NoError(t, err)
		_, next := open()
		require.NotNil(t, next, "there is room again")
	})
}

// Pushes that are complete and that no request has asked for give way to others, and those
// that were asked for and are not read keep others away, before they stop a download.
func TestAttackA29KeptPushes(t *testing.T) {
	bubble.In(t, "", withWindows, func(t *testing.T, v spdy.Version) {
		const window, size = 64 << 10, "/65000"
		conf := spdy.Config{
			StreamWindow: window, SessionWindow: 8 * window, MaxConcurrentStreams: 4,
			AcceptPush: func(promised, cause *http.Request) bool { return true },
		}
		var pushed []string // what the handler pushes; set before each request
		p := newPair(t, v, conf, spdy.Config{}, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/page" {
				for _, path := range pushed {
					assert.NoError(t, w.(http.Pusher).Push(path, nil))
				}
				bubble.Pass(time.Second) // they end before the page does
				return
			}
			sized(w, r)
		})
		page := func(paths ...string) {
			pushed = paths
			require.NoError(t, get(t, p.client, "/page").Body.Close())
		}
		for _, q := range []string{"?1", "?2", "?3", "?4", "?5"} {
			page(size + q)
		}
		require.EqualValues(t, 2*65000, p.client.Stats().UnreadBytes, "the oldest have gone")
		page(size + "?6")
		for _, q := range []string{"?5", "?6", "?7", "?8"} {
			if q > "?6" {
				page(size + q)
			}
			opened := p.client.Stats().StreamsOpened
			get(t, p.client, size+q) // and leave it unread
			require.Equal(t, opened, p.client.Stats().StreamsOpened, "it was pushed")
		}
		accepted := p.client.Stats().StreamsAccepted
		for _, q := range []string{"?9", "?10", "?11", "?12"} {
			page(size + q)
		}
		require.Equal(t, accepted, p.client.Stats().StreamsAccepted)
		var g group
		g.download(t, p.client, 1, moved)
		g.wg.Wait()
		require.EqualValues(t, 1, g.done.Load())
	})
}

// A push that Config.AcceptPush refuses when it is complete leaves nothing in the window.
func TestAttackA29RefusedPushes(t *testing.T) {
	refusals := map[string]func() bool{
		"false":  func() bool { return false },
		"Goexit": func() bool { runtime.Goexit(); return true },
	}
	for name, refuse := range refusals {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			conf := spdy.Config{SessionWindow: 2 << 20, AcceptPush: func(promised, cause *http.Request) bool {
				bubble.Pass(time.Second) // by then it is complete
				return refuse()
			}}
			p := newPair(t, v, conf, spdy.Config{}, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/page" {
					assert.NoError(t, w.(http.Pusher).Push("/60000", nil))
					return
				}
				sized(w, r)
			})
			for range 50 {
				require.NoError(t, get(t, p.client, "/page").Body.Close())
				bubble.Pass(2 * time.Second)
			}
			require.Zero(t, p.client.Stats().UnreadBytes)
			require.EqualValues(t, 50, p.client.Stats().StreamsAccepted)
			require.NoError(t, get(t, p.client, "/page").Body.Close())
			sent := start(p.client, request(t, "GET", "/60000", nil)) // which does not wait for the verdict on the push
			require.NoError(t, sent.answered(t).Body.Close())
			bubble.Pass(2 * time.Second)
			require.Zero(t, p.client.Stats().UnreadBytes)
		})
	}
}

// A byte now and then does not count as reading.
func TestAttackA29ShedTrickle(t *testing.T) {
	bubble.In(t, "", withWindows, func(t *testing.T, v spdy.Version) {
		r := newKeptRig(t, v, shedAfter, false)
		bubble.Pass(2 * shedAfter)
		waits := start(r.rt, request(t, "GET", "/100", nil))
		for range 8 {
			for _, body := range r.bodies {
				_, _ = body.Read(make([]byte, 1)) // fails when it has been shed
			}
			bubble.Pass(shedAfter / 4)
		}
		require.NoError(t, waits.answered(t).Body.Close())
		require.NotZero(t, r.client.Stats().Shed)
	})
}
