package dials

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// hookGrace is how long a dial hook may take to return after the end of its context.
const hookGrace = 100 * time.Millisecond

// deafDials returns a script whose first dials do not heed the end of their contexts, as tls.Dial and
// net.Dial do not, and a function that lets them return.
func deafDials(dials int) (script func(ctx context.Context, n int) error, release func()) {
	over := make(chan struct{})
	script = func(_ context.Context, n int) error {
		if n <= dials {
			<-over
		}
		return nil
	}
	return script, func() { close(over) }
}

// TestDeafDials: dial hooks that do not heed their contexts do not hold up an origin, and the
// connections that they bring in the end are closed. With HTTP/1.1 each request dials for
// itself, so that each such dial costs one request. In x/net/http2 such a dial holds up all requests
// for ever, those too whose contexts have ended.
func TestDeafDials(t *testing.T) {
	for _, dials := range []int{1, 4, 8} {
		failed := make(map[string]int)
		for _, c := range append([]client{http1(nil)}, everyone()[2:]...) {
			inBubble(t, fmt.Sprintf("%d dials", dials), c, nil, func(t *testing.T, n *network, rt http.RoundTripper) {
				var release func()
				n.script, release = deafDials(dials)
				failed[c.name] = inTurn(30, 500*time.Millisecond).run(rt, origin)
				release()
				closeIdle(rt)
				bubble.Pass(time.Second)
				closeIdle(rt) // net/http has pooled the late ones
				bubble.Pass(time.Second)
				require.Zero(t, n.alive(), "connections that are open")
			})
		}
		for _, v := range bubble.Versions {
			require.LessOrEqual(t, failed[v.String()], failed["HTTP/1.1"], "%d dials, %v", dials, failed)
		}
	}
}

func closeIdle(rt http.RoundTripper) {
	rt.(interface{ CloseIdleConnections() }).CloseIdleConnections()
}

// TestDeafDialTimeout: DialTimeout limits a hook that does not heed its context, and then the place
// that MaxConnsPerHost has for the connection is free.
func TestDeafDialTimeout(t *testing.T) {
	for _, hook := range []string{"DialContext", "DialTLSContext"} {
		for _, v := range bubble.Versions {
			c := ours(v, func(tr *spdy.Transport) {
				tr.MaxConnsPerHost, tr.DialTimeout = 1, time.Second
				if hook == "DialTLSContext" {
					tr.DialTLSContext, tr.DialContext = tr.DialContext, nil
				}
			})
			inBubble(t, hook, c, nil, func(t *testing.T, n *network, rt http.RoundTripper) {
				var release func()
				n.script, release = deafDials(1)
				url := origin
				if hook == "DialTLSContext" {
					url = "https://origin.example/"
				}
				begun := time.Now()
				err := get(rt, url, 0)
				var timeout net.Error
				require.ErrorAs(t, err, &timeout)
				require.True(t, timeout.Timeout(), "%v", err)
				require.Equal(t, time.Second+hookGrace, time.Since(begun))
				require.NoError(t, get(rt, url, 0))
				release()
				synctest.Wait()
				require.Equal(t, 1, n.alive(), "the late connection is closed")
			})
		}
	}
}

// TestHookSaysWhy: the error of a hook that heeds its context is the request's.
func TestHookSaysWhy(t *testing.T) {
	own := &net.OpError{Op: "dial", Net: "test", Err: context.DeadlineExceeded}
	script := func(ctx context.Context, _ int) error {
		_ = hang(ctx)
		bubble.Pass(hookGrace / 2)
		return own
	}
	for _, v := range bubble.Versions {
		inBubble(t, "", ours(v, nil), script, func(t *testing.T, _ *network, rt http.RoundTripper) {
			require.Equal(t, error(own), get(rt, origin, 0))
			closeIdle(rt)
			bubble.Pass(hookGrace) // the other dials
		})
	}
}
