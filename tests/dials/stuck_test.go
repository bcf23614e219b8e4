package dials

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// everyone are the clients that are compared.
func everyone() []client {
	all := []client{http1(nil), xnet}
	for _, v := range bubble.Versions {
		all = append(all, ours(v, nil))
	}
	return all
}

// A load is a way to send requests. It returns the number of those that have failed.
type load struct {
	name string
	run  func(rt http.RoundTripper, url string) (failed int)
}

// inTurn sends n requests, one after the other, each with a limit of time.
func inTurn(n int, limit time.Duration) load {
	return load{fmt.Sprintf("%d requests in turn, %v each", n, limit), func(rt http.RoundTripper, url string) (failed int) {
		for range n {
			if get(rt, url, limit) != nil {
				failed++
			}
		}
		return failed
	}}
}

// steady sends n requests, one in each interval, each with a limit of time.
func steady(n int, interval, limit time.Duration) load {
	return load{fmt.Sprintf("%d requests, every %v, %v each", n, interval, limit), func(rt http.RoundTripper, url string) int {
		var failed atomic.Int32
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				if get(rt, url, limit) != nil {
					failed.Add(1)
				}
			})
			bubble.Pass(interval)
		}
		wg.Wait()
		return int(failed.Load())
	}}
}

// A fault is what happens to dials.
type fault struct {
	name   string
	script func() func(ctx context.Context, n int) error
}

// stuck are faults whose first n dials hang until they are called off.
func stuck(n int) fault {
	return fault{fmt.Sprintf("%d dials hang", n), func() func(context.Context, int) error {
		return func(ctx context.Context, i int) error {
			if i <= n {
				return hang(ctx)
			}
			return nil
		}
	}}
}

// down is a network that swallows what is dialled for a while.
func down(d time.Duration) fault {
	return fault{fmt.Sprintf("dials hang that begin in the first %v", d), func() func(context.Context, int) error {
		begun := time.Now()
		return func(ctx context.Context, _ int) error {
			if time.Since(begun) < d {
				return hang(ctx)
			}
			return nil
		}
	}}
}

// late is a network on which each dial takes d.
func late(d time.Duration) fault {
	return fault{fmt.Sprintf("a dial takes %v", d), func() func(context.Context, int) error {
		return func(ctx context.Context, _ int) error { return slow(ctx, d) }
	}}
}

// TestFailuresUntilRecovery: how many requests fail while dials hang or are slow. The table is
// printed with -v. Of the three clients ours is never the worst, and beside HTTP/1.1, which dials
// for each request, it loses no more than one request more.
func TestFailuresUntilRecovery(t *testing.T) {
	var rows []string
	for _, c := range []struct {
		fault fault
		load  load
	}{
		{stuck(1), steady(15, 200*time.Millisecond, 500*time.Millisecond)},
		{stuck(1), inTurn(15, 100*time.Millisecond)},
		{stuck(1), inTurn(5, 2*time.Second)},
		{stuck(3), inTurn(15, 100*time.Millisecond)},
		{down(3 * time.Second), steady(30, 200*time.Millisecond, 500*time.Millisecond)},
		{down(3 * time.Second), inTurn(60, 100*time.Millisecond)},
		{down(20 * time.Second), steady(150, 200*time.Millisecond, 500*time.Millisecond)},
		{late(300 * time.Millisecond), inTurn(10, 200*time.Millisecond)},
		{late(5 * time.Second), inTurn(20, 500*time.Millisecond)},
		{late(5 * time.Second), steady(40, 200*time.Millisecond, 500*time.Millisecond)},
	} {
		failed := make(map[string]int)
		for _, cl := range everyone() {
			inBubble(t, c.fault.name+"/"+c.load.name, cl, nil, func(t *testing.T, n *network, rt http.RoundTripper) {
				n.script = c.fault.script()
				failed[cl.name] = c.load.run(rt, origin)
			})
		}
		row := fmt.Sprintf("%-42s %-42s", c.fault.name, c.load.name)
		for _, cl := range everyone() {
			row += fmt.Sprintf("  %s: %d", cl.name, failed[cl.name])
		}
		rows = append(rows, row)
		for _, v := range bubble.Versions {
			require.LessOrEqual(t, failed[v.String()], failed["HTTP/1.1"]+1, row)
			require.LessOrEqual(t, failed[v.String()], max(failed["HTTP/1.1"], failed[xnet.name]), row)
		}
	}
	t.Log("failed requests\n" + strings.Join(rows, "\n"))
}

// TestSilentSOCKS: the same, with a SOCKS5 proxy that takes the first connections and says nothing on
// them. x/net/http2 has no proxies.
func TestSilentSOCKS(t *testing.T) {
	via := func(*http.Request) (*url.URL, error) { return url.Parse("socks5://proxy.example") }
	all := []client{http1(func(tr *http.Transport) { tr.Proxy = via })}
	for _, v := range bubble.Versions {
		all = append(all, ours(v, func(tr *spdy.Transport) { tr.Proxy = via }))
	}
	for _, load := range []load{inTurn(15, 100*time.Millisecond), steady(15, 200*time.Millisecond, 500*time.Millisecond)} {
		for _, silent := range []int{1, 3} {
			atMost := 0
			for _, c := range all {
				inBubble(t, load.name, c, nil, func(t *testing.T, n *network, rt http.RoundTripper) {
					n.silent = silent
					failed := load.run(rt, origin)
					t.Logf("%d silent connections, %s: %d failed", silent, c.name, failed)
					if c.name == "HTTP/1.1" {
						atMost = failed + 1 // it dials every 200 ms, ours every 250
					}
					require.LessOrEqual(t, failed, atMost)
				})
			}
		}
	}
}

// TestPatientRequest: a request without a limit of time is answered as soon as a dial gets through,
// and fails when the first dial has had its time. It dials ever less often.
func TestPatientRequest(t *testing.T) {
	c := ours(spdy.SPDY31, nil)
	inBubble(t, "a dial gets through", c, stuck(1).script(), func(t *testing.T, n *network, rt http.RoundTripper) {
		require.NoError(t, get(rt, origin, 0))
		require.Equal(t, []time.Duration{0, dialPatience}, n.times())
		require.Zero(t, n.pending(), "the dial that hangs is called off")
	})
	inBubble(t, "none gets through", c, stuck(1000).script(), func(t *testing.T, n *network, rt http.RoundTripper) {
		begun := time.Now()
		err := get(rt, origin, 0)
		requireTimeout(t, err)
		require.ErrorContains(t, err, "dial of origin.example:80")
		require.Equal(t, dialTimeout, time.Since(begun))
		ms := time.Millisecond
		require.Equal(t, []time.Duration{0, 250 * ms, 500 * ms, 1000 * ms, 2000 * ms, 4000 * ms, 8000 * ms, 16000 * ms}, n.times())
		most, _ := n.peak()
		require.Equal(t, maxDials, most)
		bubble.Pass(strayDial)
		require.Zero(t, n.pending())
	})
}

func requireTimeout(t *testing.T, err error) {
	t.Helper()
	var timeout interface{ Timeout() bool }
	require.ErrorAs(t, err, &timeout)
	require.True(t, timeout.Timeout())
}

// TestDialsAtATime: whatever hangs, and however many requests there are, no more than four dials
// of an origin are under way. The first has all of its time.
func TestDialsAtATime(t *testing.T) {
	inBubble(t, "", ours(spdy.SPDY31, nil), nil, func(t *testing.T, n *network, rt http.RoundTripper) {
		n.script = func(ctx context.Context, i int) error {
			if i == 1 {
				return slow(ctx, dialTimeout-time.Second)
			}
			return hang(ctx)
		}
		load := steady(2000, 10*time.Millisecond, 45*time.Millisecond)
		require.Equal(t, 2000, load.run(rt, origin))
		most, _ := n.peak()
		require.Equal(t, maxDials, most)
		require.Less(t, n.dials(), 300, "three dials in each 250 ms")
		bubble.Pass(dialTimeout)
		require.NoError(t, get(rt, origin, 10*time.Millisecond), "the first dial is through")
		require.Zero(t, n.pending())
		require.Equal(t, 1, n.alive())
	})
}

// TestFirstServesAll: of several dials the first that is through serves all who wait. The others
// are called off, and a connection that comes all the same is closed.
func TestFirstServesAll(t *testing.T) {
	for _, v := range bubble.Versions {
		inBubble(t, "", ours(v, nil), nil, func(t *testing.T, n *network, rt http.RoundTripper) {
			n.script = func(_ context.Context, i int) error {
				bubble.Pass([]time.Duration{0, 1100, 850, 300}[i] * time.Millisecond) // without a look at the context
				return nil
			}
			var wg sync.WaitGroup
			var failed atomic.Int32
			for range 20 {
				wg.Go(func() {
					if get(rt, origin, 900*time.Millisecond) != nil {
						failed.Add(1)
					}
				})
			}
			wg.Wait()
			require.Zero(t, failed.Load())
			require.Equal(t, 3, n.dials())
			bubble.Pass(2 * time.Second)
			require.Equal(t, 1, n.alive())
			require.False(t, n.conns[0].closed(), "the one of the third dial")
			require.NoError(t, get(rt, origin, time.Second))
			require.Equal(t, 3, n.dials())
		})
	}
}

// TestFailureOfADial: a dial that fails is the failure of those who have waited for as long as it
// took. Those who came later have the dial that began for them.
func TestFailureOfADial(t *testing.T) {
	inBubble(t, "", ours(spdy.SPDY31, nil), nil, func(t *testing.T, n *network, rt http.RoundTripper) {
		n.script = func(ctx context.Context, i int) error {
			if i == 1 {
				_ = slow(ctx, time.Second)
				return fmt.Errorf("dial 1 fails")
			}
			return slow(ctx, time.Second)
		}
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- get(rt, origin, 0) }()
		bubble.Pass(100 * time.Millisecond)
		go func() { second <- get(rt, origin, 0) }()
		require.ErrorContains(t, <-first, "dial 1 fails")
		synctest.Wait()
		require.Empty(t, second)
		require.NoError(t, <-second)
	})
}
