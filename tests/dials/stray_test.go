package dials

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// TestDialIsFinished: a dial goes on when its only request has given up, and the next request uses
// its connection, as with net/http.
func TestDialIsFinished(t *testing.T) {
	all := []client{http1(nil)}
	for _, v := range bubble.Versions {
		all = append(all, ours(v, nil))
	}
	for _, c := range all {
		inBubble(t, "", c, late(20*time.Second).script(), func(t *testing.T, n *network, rt http.RoundTripper) {
			require.ErrorIs(t, get(rt, origin, 100*time.Millisecond), context.DeadlineExceeded)
			require.Equal(t, 1, n.pending())
			bubble.Pass(20 * time.Second)
			require.Zero(t, n.pending())
			require.NoError(t, get(rt, origin, time.Second))
			require.Equal(t, 1, n.dials())
		})
	}
}

// TestDialForNobodyEnds: such a dial has 30 seconds, whatever DialTimeout is, and ends with
// CloseIdleConnections, as with net/http. The dial for a request that is to be alone ends at once.
func TestDialForNobodyEnds(t *testing.T) {
	endless := func(tr *spdy.Transport) { tr.DialTimeout = -1 }
	inBubble(t, "time", ours(spdy.SPDY31, endless), stuck(1000).script(), func(t *testing.T, n *network, rt http.RoundTripper) {
		require.Error(t, get(rt, origin, 900*time.Millisecond))
		require.Equal(t, 3, n.pending())
		bubble.Pass(strayDial - 1)
		require.Equal(t, 3, n.pending())
		bubble.Pass(1)
		require.Zero(t, n.pending())
	})
	for _, c := range []client{http1(nil), ours(spdy.SPDY31, endless)} {
		inBubble(t, "CloseIdleConnections", c, stuck(1000).script(), func(t *testing.T, n *network, rt http.RoundTripper) {
			require.Error(t, get(rt, origin, 200*time.Millisecond))
			require.Equal(t, 1, n.pending())
			rt.(interface{ CloseIdleConnections() }).CloseIdleConnections()
			require.Zero(t, n.pending())
		})
	}
	inBubble(t, "alone", ours(spdy.SPDY31, endless), stuck(1000).script(), func(t *testing.T, n *network, rt http.RoundTripper) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", origin, nil)
		require.NoError(t, err)
		req.Close = true
		require.Error(t, send(rt, req))
		require.Zero(t, n.pending())
		require.Equal(t, 1, n.dials(), "nobody else waits")
	})
}

// TestDialsForNobodyAreFew: a client whose requests name many hosts that do not answer has dials
// for 100 of them.
func TestDialsForNobodyAreFew(t *testing.T) {
	inBubble(t, "", ours(spdy.SPDY31, nil), stuck(1000).script(), func(t *testing.T, n *network, rt http.RoundTripper) {
		for i := range 2 * maxStrays {
			require.Error(t, get(rt, fmt.Sprintf("http://host%d.example/", i), 10*time.Millisecond))
			require.LessOrEqual(t, n.pending(), maxStrays)
		}
		require.Equal(t, maxStrays, n.pending())
		require.Error(t, get(rt, "http://host0.example/", 10*time.Millisecond))
		require.Equal(t, 2*maxStrays+1, n.dials(), "the dial of the first host has made way")
		bubble.Pass(strayDial)
		require.Zero(t, n.pending())
	})
}
