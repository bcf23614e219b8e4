package dials

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestNoDialForTheCancelled: a request whose context has ended before has no connection dialled, as
// in net/http.
func TestNoDialForTheCancelled(t *testing.T) {
	for _, c := range append([]client{http1(nil)}, everyone()[2:]...) {
		inBubble(t, "", c, nil, func(t *testing.T, n *network, rt http.RoundTripper) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			req, err := http.NewRequestWithContext(ctx, "GET", origin, nil)
			require.NoError(t, err)
			require.Equal(t, context.Canceled, send(rt, req))
			require.Zero(t, n.dials())
		})
	}
}
