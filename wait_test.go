package spdy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A counter hands out items, for which its customers wait by the one wait of the library.
type counter struct {
	mu    sync.Mutex
	items int
	bell  chan struct{}

	limit     limit
	end, over chan struct{}
	crowd     atomic.Int32
}

func newCounter() *counter {
	return &counter{end: make(chan struct{}), over: make(chan struct{})}
}

var errCounterEnded = errors.New("the counter has closed")

// A steppedLimit tells step before and after the deadline is loaded.
type steppedLimit struct {
	*limit
	step func()
}

func (l steppedLimit) passed() <-chan struct{} {
	l.step()
	defer l.step()
	return l.limit.passed()
}

// take waits for an item. It calls step between any two steps of the wait.
func (c *counter) take(step func()) (err error) {
	look := func() (bell chan struct{}) {
		step()
		if err = c.limit.err(); err != nil {
			return nil
		}
		step()
		found, ended := false, latched(c.end) || latched(c.over)
		if found, bell = c.look(); found {
			step()
			return nil
		}
		step()
		if ended {
			err = errCounterEnded
			return nil
		}
		return bell
	}
	w := wait{limit: steppedLimit{&c.limit, step}, end: c.end, over: c.over, crowd: &c.crowd}
	w.until(look(), look)
	return err
}

func (c *counter) look() (found bool, bell chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.items > 0 {
		c.items--
		if c.items > 0 {
			ringBell(c.bell)
		}
		return true, nil
	}
	if c.bell == nil {
		c.bell = make(chan struct{}, 1)
	}
	return false, c.bell
}

func (c *counter) put() {
	c.mu.Lock()
	c.items++
	ringBell(c.bell)
	c.mu.Unlock()
}

func (c *counter) setDeadline(t time.Time) {
	c.limit.make().set(t)
	c.mu.Lock()
	ringBell(c.bell)
	c.mu.Unlock()
}

// An incident is an event that may happen at any moment of a wait.
type incident struct {
	name string
	do   func(c *counter)
	ends bool          // the wait
	at   time.Duration // of the deadline that it sets, -1 for none
	sets bool          // a deadline
}

var incidents = []incident{
	{name: "item", do: (*counter).put, ends: true},
	{name: "past deadline", do: func(c *counter) { c.setDeadline(time.Now().Add(-1)) }, sets: true},
	{name: "deadline", do: func(c *counter) { c.setDeadline(time.Now().Add(time.Second)) }, sets: true, at: time.Second},
	{name: "later deadline", do: func(c *counter) { c.setDeadline(time.Now().Add(time.Minute)) }, sets: true, at: time.Minute},
	{name: "no deadline", do: func(c *counter) { c.setDeadline(time.Time{}) }, sets: true, at: -1},
	{name: "end", do: func(c *counter) { close(c.end) }, ends: true},
	{name: "context", do: func(c *counter) { close(c.over) }, ends: true},
}

// stepsOfWait returns how many steps a wait takes until it sleeps.
func stepsOfWait(t *testing.T) (n int) {
	synctest.Test(t, func(t *testing.T) {
		c := newCounter()
		go func() { _ = c.take(func() { n++ }) }()
		synctest.Wait()
		asleep := n
		close(c.end)
		synctest.Wait()
		n = asleep
	})
	return n
}

// TestWaitLosesNoWakeUp has two events happen at any two moments of a wait: before, between
// and after its steps, and while it sleeps. The wait returns at once for an item, an end and a
// passed deadline, and in time for a later deadline.
func TestWaitLosesNoWakeUp(t *testing.T) {
	steps := stepsOfWait(t)
	require.Greater(t, steps, 6)
	for _, first := range incidents {
		for _, second := range incidents {
			if first.name == second.name && first.ends {
				continue // a latch closes once
			}
			t.Run(first.name+", "+second.name, func(t *testing.T) {
				for i := range steps + 1 {
					for j := i; j <= steps; j++ {
						synctest.Test(t, func(t *testing.T) { interrupt(t, first, second, i, j, steps) })
					}
				}
			})
		}
	}
}

// interrupt has two incidents happen at the steps i and j of a wait.
func interrupt(t *testing.T, first, second incident, i, j, steps int) {
	c, step, where := newCounter(), 0, fmt.Sprintf("at %d and %d of %d", i, j, steps)
	both, at, happened := []incident{first, second}, [...]int{i, j}, 0
	happen := func() {
		for happened < len(both) && at[happened] == step {
			happened++
			both[happened-1].do(c)
		}
		step++
	}
	var err error
	done := make(chan struct{})
	go func() {
		err = c.take(happen)
		close(done)
	}()
	synctest.Wait()
	for happened < len(both) { // the wait sleeps, or has ended before
		happened++
		both[happened-1].do(c)
		synctest.Wait()
	}
	limit := time.Duration(-1)
	for _, in := range both {
		if in.sets {
			limit = in.at
		}
	}
	if first.ends || second.ends || limit == 0 {
		require.True(t, latched(done), "%s: still asleep", where)
		return
	}
	if latched(done) {
		require.True(t, first.sets && first.at == 0, "%s: woken early: %v", where, err)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, where)
		return
	}
	if limit > 0 {
		<-time.NewTimer(limit - 1).C
		synctest.Wait()
		require.False(t, latched(done), "%s: the deadline has not come", where)
		<-time.NewTimer(1).C
		synctest.Wait()
		require.True(t, latched(done), "%s: asleep beyond the deadline", where)
		require.ErrorIs(t, err, os.ErrDeadlineExceeded, where)
		return
	}
	<-time.NewTimer(time.Hour).C
	require.False(t, latched(done), where)
	c.put()
	synctest.Wait()
	require.True(t, latched(done), "%s: still asleep", where)
	require.NoError(t, err, where)
}

// TestWaitOfSeveral stops one of three goroutines that wait for one bell, at each of its steps.
// Meanwhile the first deadline is set, and the goroutines that know it find items and leave.
// The deadline wakes the rest.
func TestWaitOfSeveral(t *testing.T) {
	steps := stepsOfWait(t)
	for stop := range steps {
		for _, items := range []int{0, 1, 2} {
			synctest.Test(t, func(t *testing.T) {
				c, goOn := newCounter(), make(chan struct{})
				var errs [3]error
				var group sync.WaitGroup
				start := func(i int, step func()) {
					group.Go(func() { errs[i] = c.take(step) })
					synctest.Wait()
				}
				start(0, func() {})
				start(1, func() {})
				at := 0
				start(2, func() {
					if at == stop {
						<-goOn
					}
					at++
				})
				c.setDeadline(time.Now().Add(time.Second))
				synctest.Wait()
				for range items {
					c.put()
					synctest.Wait()
				}
				close(goOn)
				began := time.Now()
				group.Wait()
				require.LessOrEqual(t, time.Since(began), time.Second)
				late := slices.DeleteFunc(errs[:], func(err error) bool { return err == nil })
				require.Len(t, late, 3-items, "stopped at step %d of %d", stop, steps)
				for _, err := range late {
					require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				}
			})
		}
	}
}

// A firstWait is a call that waits on a stream with no deadline, and the setter's part of
// giving it its first one, for which a lock is held.
type firstWait struct {
	name  string
	at    string // where the call stops while the lock is held
	lock  func(st *Stream) *sync.Mutex
	call  func(r *RawStream) error
	limit func(st *Stream) *limit
	ring  func(st *Stream)
}

var firstWaits = []firstWait{
	{"Read", "(*northbound).read", inLock, func(r *RawStream) error {
		_, err := r.Read(make([]byte, 1))
		return err
	}, readLimit, ringIn},
	{"WriteTo", "(*northbound).readable", inLock, func(r *RawStream) error {
		_, err := r.WriteTo(io.Discard)
		return err
	}, readLimit, ringIn},
	{"a body that is sent on", "(*northbound).view", inLock, func(r *RawStream) error {
		_, _, err := r.st.northbound(io.Discard, func() {})
		return err
	}, readLimit, ringIn},
	{"Write", "(*Stream).write", sessionLock, func(r *RawStream) error {
		_, err := r.Write([]byte("bytes"))
		return err
	}, writeLimit, ringTaken},
	{"Flush", "(*Stream).headersQueued", sessionLock, func(r *RawStream) error { return r.st.awaitHeaders() }, writeLimit, ringTaken},
	{"the writer's turn", "(*turn).queueUp", sessionLock, func(r *RawStream) error {
		r.st.turn.try()
		return r.st.takeTurn()
	}, writeLimit, func(st *Stream) { ringBell(st.turn.bell) }},
}

func inLock(st *Stream) *sync.Mutex      { return &st.in.mu }
func sessionLock(st *Stream) *sync.Mutex { return &st.session.mu }
func readLimit(st *Stream) *limit        { return &st.readDeadline }
func writeLimit(st *Stream) *limit       { return &st.writeDeadline }
func ringIn(st *Stream)                  { st.in.ringLocked() }
func ringTaken(st *Stream)               { ringBell(st.taken) }

// TestFirstDeadlineBesideFirstWait holds the lock that a call takes for its look, after it has
// found no deadline, and sets one meanwhile. The call notices.
func TestFirstDeadlineBesideFirstWait(t *testing.T) {
	for _, first := range firstWaits {
		for _, d := range []time.Duration{-time.Hour, 50 * time.Millisecond} {
			t.Run(fmt.Sprint(first.name, " ", d), func(t *testing.T) {
				r := silentStream(t)
				lock, done := first.lock(&r.st), make(chan error, 1)
				lock.Lock()
				go func() { done <- first.call(r) }()
				awaitLockedOut(first.at)
				r.st.setDeadline(first.limit(&r.st), time.Now().Add(d), nil)
				first.ring(&r.st)
				lock.Unlock()
				select {
				case err := <-done:
					require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				case <-time.NewTimer(10 * time.Second).C:
					t.Fatal("asleep beyond the deadline")
				}
			})
		}
	}
}

// silentStream is a stream of a session that neither sends nor receives.
func silentStream(t *testing.T) *RawStream {
	conn, peer := net.Pipe()
	t.Cleanup(func() { peer.Close() })
	s := (&Config{Version: SPDY31}).RawSession(conn, true)
	t.Cleanup(s.Close)
	r, err := s.OpenStream(context.Background(), nil, StreamOptions{})
	require.NoError(t, err)
	return r
}

// awaitLockedOut returns when a function waits for a lock.
func awaitLockedOut(function string) {
	for buf := make([]byte, 1<<20); ; runtime.Gosched() {
		for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(stack, "[sync.Mutex.Lock") && strings.Contains(stack, "."+function+"(") {
				return
			}
		}
	}
}

// TestConnQueueRingsForTheNext: one ring for two connections wakes both goroutines that accept.
func TestConnQueueRingsForTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newConnQueue(nil)
		var group sync.WaitGroup
		q.mu.Lock()
		q.conns = make([]net.Conn, 0, 2)
		for range 2 {
			conn, peer := net.Pipe()
			defer peer.Close()
			q.conns = append(q.conns, conn)
		}
		conns := q.conns
		q.conns = nil
		q.mu.Unlock()
		for range 2 {
			group.Go(func() {
				conn, err := q.Accept()
				require.NoError(t, err)
				conn.Close()
			})
		}
		synctest.Wait()
		q.mu.Lock()
		q.conns = conns
		q.mu.Unlock()
		ringBell(q.bell) // one ring for both
		group.Wait()
	})
}
