package retries

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// How long a session that has refused a request is passed over, and how many of an origin's
// may be before no further one is dialled for that.
const (
	refusalRest = 5 * time.Second
	strayDial   = 30 * time.Second
	maxResting  = 4
)

// connection is the number of the exchange's connection, in the order of the dials.
func (e *exchange) connection() int {
	e.o.mu.Lock()
	defer e.o.mu.Unlock()
	for i, p := range e.o.peers {
		if p == e.peer {
			return i
		}
	}
	return -1
}

// dials is the number of connections.
func (o *origin) dials() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.peers)
}

// refuseOn makes an origin refuse what comes on the first n connections, and answer the rest.
// The result counts the requests by connection.
func (o *origin) refuseOn(n int) (seen func(connection int) int) {
	counts := make(map[int]int)
	o.fate = func(e *exchange) {
		i := e.connection()
		o.mu.Lock()
		counts[i]++
		o.mu.Unlock()
		if i < n {
			e.refuse()
		} else {
			e.answer("done")
		}
	}
	return func(connection int) int {
		o.mu.Lock()
		defer o.mu.Unlock()
		return counts[connection]
	}
}

// unreadable is a request whose body cannot be sent again.
func (o *origin) unreadable() *http.Request {
	return o.request("POST", "/", io.NopCloser(strings.NewReader("text")))
}

// TestAttackA28Refused: after a refusal, requests go to another session, which is dialled if
// there is none: the refused one, and those whose body cannot be sent again. The session that
// refused is used again later.
func TestAttackA28Refused(t *testing.T) {
	for _, c := range clients {
		bubble.InVersions(t, c.name, func(t *testing.T, v spdy.Version) {
			o := newOrigin(t, v)
			seen := o.refuseOn(1)
			rt := c.make(o)
			body, err := fetch(rt, o.request("GET", "/", nil))
			require.NoError(t, err)
			require.Equal(t, "done", body)
			for range 10 {
				_, err := fetch(rt, o.unreadable())
				require.NoError(t, err)
				bubble.Pass(refusalRest / 11)
			}
			require.Equal(t, []int{1, 11, 2}, []int{seen(0), seen(1), o.dials()})
			bubble.Pass(refusalRest / 10)
			_, err = fetch(rt, o.request("GET", "/", nil))
			require.NoError(t, err)
			require.Equal(t, []int{2, 12, 2}, []int{seen(0), seen(1), o.dials()})
		})
	}
}

// TestAttackA28RefusedByAll: a server that refuses everything gets a few connections for it, and
// each request as many tries as ever.
func TestAttackA28RefusedByAll(t *testing.T) {
	for _, c := range clients {
		bubble.InVersions(t, c.name, func(t *testing.T, v spdy.Version) {
			o := newOrigin(t, v)
			o.refuseOn(1000)
			rt := c.make(o)
			for i := range 20 {
				_, err := fetch(rt, o.request("GET", "/", nil))
				requireRetryable(t, err)
				require.Equal(t, maxSends*(i+1), o.sends())
			}
			require.Equal(t, maxResting, o.dials())
			errs := make(chan error, 20)
			for range cap(errs) {
				go func() {
					_, err := fetch(rt, o.unreadable())
					errs <- err
				}()
			}
			for range cap(errs) {
				requireRetryable(t, <-errs)
			}
			require.Equal(t, maxResting, o.dials())
		})
	}
}

// TestAttackA28RefusedAlone: where no other session can be had, requests go to the one that has
// refused.
func TestAttackA28RefusedAlone(t *testing.T) {
	for name, make := range map[string]func(o *origin) http.RoundTripper{
		"MaxSessionsPerHost": func(o *origin) http.RoundTripper {
			rt := clients[0].make(o)
			rt.(*spdy.Transport).MaxSessionsPerHost = 1
			return rt
		},
		"StrictMaxConcurrentStreams": func(o *origin) http.RoundTripper {
			rt := clients[0].make(o)
			rt.(*spdy.Transport).StrictMaxConcurrentStreams = true
			return rt
		},
		"MaxConnsPerHost": func(o *origin) http.RoundTripper {
			rt := clients[1].make(o)
			rt.(*http.Transport).MaxConnsPerHost = 1
			return rt
		},
		"no other connection": func(o *origin) http.RoundTripper {
			rt := clients[0].make(o)
			rt.(*spdy.Transport).DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if o.dials() > 0 {
					bubble.Pass(time.Millisecond)
					return nil, errors.New("no route")
				}
				return o.dial(ctx, network, addr)
			}
			return rt
		},
	} {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			o := newOrigin(t, v)
			o.fate = func(e *exchange) {
				if e.n < maxSends {
					e.refuse()
				} else {
					e.answer("done")
				}
			}
			rt := make(o)
			body, err := fetch(rt, o.request("GET", "/", nil))
			require.NoError(t, err)
			require.Equal(t, "done", body)
			_, err = fetch(rt, o.unreadable())
			require.NoError(t, err, "it rests, and there is no other")
			require.Equal(t, 1, o.dials())
		})
	}
}

// TestAttackA28RefusedWaiters: requests that wait for another session take what there is when
// it has come, and has too few streams for them.
func TestAttackA28RefusedWaiters(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		const requests = 150 // a new session has 100 streams
		o := newOrigin(t, v)
		o.fate = func(e *exchange) {
			if e.n == 1 {
				e.refuse()
				return
			}
			time.AfterFunc(time.Second, func() { e.answer("done") })
		}
		rt := slowDials(o, 2)
		errs, start := make(chan error, requests), time.Now()
		for i := range requests {
			go func() {
				_, err := fetch(rt, o.request("GET", "/", nil))
				errs <- err
			}()
			if i == 0 {
				bubble.Pass(150 * time.Millisecond) // it has been refused; the next dial takes 50 ms more
			}
		}
		for range requests {
			require.NoError(t, <-errs)
		}
		require.Equal(t, 2, o.dials())
		require.Equal(t, 1200*time.Millisecond, time.Since(start), "all at the same time")
	})
}

// TestAttackA28RefusedQueue: a request that waits for a stream does not get that of a refused
// one while another session is being dialled.
func TestAttackA28RefusedQueue(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		o := newOrigin(t, v)
		o.single = true
		o.fate = func(e *exchange) {
			if e.connection() > 0 {
				e.answer("done")
				return
			}
			time.AfterFunc(50*time.Millisecond, e.refuse)
		}
		rt := slowDials(o, 3)
		err := make(chan error, 1)
		go func() {
			_, e := fetch(rt, o.request("GET", "/", nil))
			err <- e
		}()
		bubble.Pass(110 * time.Millisecond)
		_, e := fetch(rt, o.unreadable())
		require.NoError(t, e)
		require.NoError(t, <-err)
	})
}

// slowDials makes a client whose dials take 100 ms.
func slowDials(o *origin, limit int) http.RoundTripper {
	rt := clients[0].make(o).(*spdy.Transport)
	rt.MaxSessionsPerHost = limit
	rt.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		bubble.Pass(100 * time.Millisecond)
		return o.dial(ctx, network, addr)
	}
	return rt
}

// TestAttackA28RefusedDialHangs: a session that has refused one request serves the others,
// and that one too, while the dial of another session hangs.
func TestAttackA28RefusedDialHangs(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		o := newOrigin(t, v)
		var refused atomic.Bool
		o.fate = func(e *exchange) {
			if !refused.Swap(true) {
				e.refuse()
				return
			}
			e.answer("done")
		}
		rt := clients[0].make(o).(*spdy.Transport)
		var dials atomic.Int32
		rt.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			if dials.Add(1) > 1 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return o.dial(ctx, network, addr)
		}
		o.warmUp(rt, 1)
		begun := time.Now()
		for range 12 {
			_, err := fetch(rt, o.request("GET", "/", nil))
			require.NoError(t, err)
		}
		require.EqualValues(t, 2, dials.Load())
		require.Less(t, time.Since(begun), 5*time.Second)
		rt.CloseIdleConnections()
	})
}
