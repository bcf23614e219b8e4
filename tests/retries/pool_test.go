package retries

import (
	"context"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// A queue is a Transport with one session, which takes a few streams at a time. Its further
// dials hang until they are called off.
type queue struct {
	t      *testing.T
	o      *origin
	rt     *spdy.Transport
	ctx    context.Context
	open   map[string]*exchange // what the server has got and not answered
	paths  []string             // all that it has got
	hangs  atomic.Int32         // dials that hang
	failed atomic.Int32         // requests that have failed
	done   atomic.Int32         // requests that have been answered
}

func newQueue(t *testing.T, v spdy.Version, streams uint32) *queue {
	ctx, cancel := context.WithCancel(t.Context())
	q := &queue{t: t, o: newOrigin(t, v), ctx: ctx, open: make(map[string]*exchange)}
	t.Cleanup(func() {
		cancel()
		synctest.Wait()
		q.rt.CloseIdleConnections()
		synctest.Wait()
	})
	q.o.streams = streams
	q.o.fate = func(e *exchange) {
		q.o.mu.Lock()
		defer q.o.mu.Unlock()
		q.open[e.path] = e
		q.paths = append(q.paths, e.path)
	}
	q.rt = clients[0].make(q.o).(*spdy.Transport)
	q.rt.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if q.o.dials() == 0 {
			return q.o.dial(ctx, network, addr)
		}
		q.hangs.Add(1)
		defer q.hangs.Add(-1)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	q.o.warmUp(q.rt, 1)
	return q
}

// start sends requests, one after the other.
func (q *queue) start(paths ...string) (cancel func()) {
	ctx, cancel := context.WithCancel(q.ctx)
	for _, path := range paths {
		go func() {
			res, err := q.rt.RoundTrip(q.o.request("GET", path, nil).WithContext(ctx))
			if err != nil {
				q.failed.Add(1)
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			q.done.Add(1)
		}()
		synctest.Wait()
	}
	return cancel
}

// take takes a request out of those that the server has got.
func (q *queue) take(path string) *exchange {
	q.o.mu.Lock()
	defer q.o.mu.Unlock()
	e := q.open[path]
	require.NotNil(q.t, e, path)
	delete(q.open, path)
	return e
}

// got returns the paths of what the server has got since the last call.
func (q *queue) got() (paths []string) {
	synctest.Wait()
	q.o.mu.Lock()
	defer q.o.mu.Unlock()
	paths, q.paths = q.paths, nil
	return paths
}

// TestWaitersGetFreeSlots: slots of a session that has refused a request go to those who wait,
// although one that waits with them, and perhaps gives up, would rather have another session.
func TestWaitersGetFreeSlots(t *testing.T) {
	for name, leaves := range map[string]bool{"stays": false, "gives up": true} {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			q := newQueue(t, v, 3)
			q.start("/a", "/b", "/c")
			require.Equal(t, []string{"/a", "/b", "/c"}, q.got())
			q.take("/c").refuse()
			bubble.Pass(300 * time.Millisecond)
			want := []string{"/c"}
			require.Equal(t, want, q.got(), "where it was refused: no other session has come")
			q.start("/w")
			bubble.Pass(200 * time.Millisecond)
			giveUp := q.start("/p")
			bubble.Pass(100 * time.Millisecond)
			want = []string{"/p", "/w"}
			if leaves {
				giveUp()
				synctest.Wait()
				want = []string{"/w"}
			}
			q.take("/a").answer("")
			q.take("/b").answer("")
			bubble.Pass(500 * time.Millisecond)
			require.ElementsMatch(t, want, q.got())
		})
	}
}

// TestWaitersAreNotOvertaken: a session that refuses a request five times a second serves those
// that wait, in turn, and not those that come later.
func TestWaitersAreNotOvertaken(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		q := newQueue(t, v, 4)
		q.start("/0", "/1", "/2", "/3")
		running := q.got()
		var sent []string
		names := []string{"/w"}
		for c := 'a'; c <= 'z'; c++ {
			names = append(names, "/n"+string(c))
		}
		for i, name := range names {
			q.start(name)
			if i%2 == 0 {
				q.take(running[0]).refuse()
			} else {
				q.take(running[0]).answer("")
			}
			running = running[1:]
			bubble.Pass(200 * time.Millisecond)
			now := q.got()
			running, sent = append(running, now...), append(sent, now...)
			if len(running) == 0 {
				bubble.Pass(time.Second)
				now = q.got()
				running, sent = append(running, now...), append(sent, now...)
			}
		}
		at := slices.Index(sent, "/w")
		require.True(t, 0 <= at && at < 4, "sent after %d others", at)
		news := slices.DeleteFunc(sent, func(path string) bool { return path[1] != 'n' })
		seen := make(map[string]bool)
		firsts := slices.DeleteFunc(news, func(path string) bool { again := seen[path]; seen[path] = true; return again })
		require.True(t, slices.IsSorted(firsts), "in turn: %v", firsts)
		require.Greater(t, len(firsts), 10)
	})
}

// TestDialsForNobodyEnd: a dial ends when the requests have given up for which it was, those too
// that could have had a slot of a session that rests; and when they got such a slot, after some
// time without others.
func TestDialsForNobodyEnd(t *testing.T) {
	bubble.InVersions(t, "given up", func(t *testing.T, v spdy.Version) {
		q := newQueue(t, v, 3)
		giveUp := q.start("/a")
		q.take("/a").refuse()
		bubble.Pass(100 * time.Millisecond)
		require.EqualValues(t, 1, q.hangs.Load())
		giveUp()
		bubble.Pass(strayDial)
		require.Zero(t, q.hangs.Load())
	})
	bubble.InVersions(t, "served", func(t *testing.T, v spdy.Version) {
		q := newQueue(t, v, 3)
		q.start("/a")
		q.take("/a").refuse()
		bubble.Pass(300 * time.Millisecond)
		require.EqualValues(t, 1, q.hangs.Load(), "later requests had better have its session")
		q.take("/a").answer("")
		bubble.Pass(strayDial)
		require.EqualValues(t, 1, q.done.Load())
		require.Zero(t, q.hangs.Load())
	})
}

// TestNoStreamsAtPresent: a server that takes no streams gets few connections at a time, which
// end when they are idle; requests that it does not get fail or wait. When it takes some again,
// those that wait go out.
func TestNoStreamsAtPresent(t *testing.T) {
	for _, c := range clients {
		bubble.InVersions(t, c.name, func(t *testing.T, v spdy.Version) {
			o := newOrigin(t, v)
			o.closed = true
			o.fate = func(e *exchange) { e.refuse() }
			rt := c.make(o)
			most := 0
			for range 10 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				_, err := fetch(rt, o.request("GET", "/", nil).WithContext(ctx))
				cancel()
				require.Error(t, err)
				most = max(most, o.alive())
			}
			require.LessOrEqual(t, most, maxResting)
			bubble.Pass(time.Minute)
			require.Zero(t, o.alive())
		})
	}
	bubble.InVersions(t, "takes some again", func(t *testing.T, v spdy.Version) {
		o := newOrigin(t, v)
		o.fate = func(e *exchange) { e.answer("done") }
		rt := clients[0].make(o).(*spdy.Transport)
		rt.StrictMaxConcurrentStreams = true
		o.warmUp(rt, 1)
		set := func(n uint32) {
			o.peers[0].send(&spdy.SettingsFrame{Entries: []spdy.Setting{{ID: spdy.SettingMaxConcurrentStreams, Value: n}}})
			synctest.Wait()
		}
		set(0)
		bubble.Pass(refusalRest / 2)
		set(10)
		bubble.Pass(time.Hour)
		require.Equal(t, 1, o.alive(), "an idle session that is of use stays")
		set(0)
		err := make(chan error, 1)
		go func() {
			_, e := fetch(rt, o.request("GET", "/", nil))
			err <- e
		}()
		bubble.Pass(refusalRest / 2)
		set(10)
		require.NoError(t, <-err)
		require.Equal(t, 1, o.dials())
	})
}
