package heal

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
)

// keepNone has a client dial for each request.
func keepNone(rt http.RoundTripper) {
	switch tr := rt.(type) {
	case *spdy.Transport:
		tr.DisableKeepAlives = true
	case *http.Transport:
		tr.DisableKeepAlives = true
	}
}

// TestAloneInHole: with DisableKeepAlives a connection that swallows everything is closed when its
// request is given up, and does not wait for a peer that says nothing.
func TestAloneInHole(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		inAll(t, hello, func(t *testing.T, s *site, rt http.RoundTripper) {
			keepNone(rt)
			for n := range 5 {
				ctx, cancel := context.WithCancel(t.Context())
				var body io.Reader
				if method == "POST" {
					body = strings.NewReader("the body of the request")
				}
				url := map[bool]string{false: "http", true: "https"}[s.secure] + "://heal.example/slow"
				req, err := http.NewRequestWithContext(ctx, method, url, body)
				require.NoError(t, err)
				time.AfterFunc(2*time.Second, cancel)
				time.AfterFunc(time.Second, func() {
					s.mu.Lock()
					defer s.mu.Unlock()
					s.conns[n].SetBlackHole(true)
					s.conns[n].Peer().SetBlackHole(true)
				})
				_, err = fetch(rt, req)
				require.ErrorIs(t, err, context.Canceled)
				require.True(t, s.closed(n), "connection %d", n)
			}
		})
	}
}
