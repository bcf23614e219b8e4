package ownership

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/spdytest"
)

// TestTrailersThroughProxy: trailers of a short response reach a client of HTTP/1.1 through
// NewStreamProxy, although the response has a Content-Length between the proxy and the server.
func TestTrailersThroughProxy(t *testing.T) {
	for _, key := range []string{"X-Sum", http.TrailerPrefix + "X-Sum"} {
		synctest.Test(t, func(t *testing.T) {
			home := spdytest.NewPair(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if key == "X-Sum" {
					w.Header().Set("Trailer", key)
				}
				io.WriteString(w, "body")
				w.Header().Set(key, "42")
			}))
			defer home.Close()
			front := spdytest.NewMemoryServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				require.NoError(t, home.Client.NewStreamProxy(r, w))
			}))
			defer front.Close()
			dialer := front.Listener.(*spdytest.Listener)
			client := &http.Transport{DialContext: dialer.DialContext}
			defer client.CloseIdleConnections()
			req, err := http.NewRequest("GET", front.URL, nil)
			require.NoError(t, err)
			res, err := client.RoundTrip(req)
			require.NoError(t, err)
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.Equal(t, "body", string(text))
			require.Equal(t, "42", res.Trailer.Get("X-Sum"))
		})
	}
}
