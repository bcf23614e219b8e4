package spdy

import (
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// TestOptionsOfTheServer: as in net/http, "OPTIONS *" is answered for the handler,
// unless the server does not want that.
func TestOptionsOfTheServer(t *testing.T) {
	for disable, want := range map[bool]int{false: http.StatusOK, true: http.StatusTeapot} {
		synctest.Test(t, func(t *testing.T) {
			one, two := testconn.Pair()
			client := NewClientSession(one)
			server := NewServerSession(two, &http.Server{
				DisableGeneralOptionsHandler: disable,
				Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.WriteHeader(http.StatusTeapot)
				}),
			})
			go client.Serve()
			go server.Serve()
			defer server.Close()
			defer client.Close()
			status := func(method, path string) int {
				req, err := http.NewRequest(method, "http://example.com", nil)
				require.NoError(t, err)
				req.URL.Path = path
				res, err := client.RoundTrip(req)
				require.NoError(t, err)
				require.NoError(t, res.Body.Close())
				return res.StatusCode
			}
			require.Equal(t, want, status("OPTIONS", "*"))
			require.Equal(t, http.StatusTeapot, status("OPTIONS", "/"))
			require.Equal(t, http.StatusTeapot, status("GET", "/"))
		})
	}
}
