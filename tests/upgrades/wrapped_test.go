package upgrades

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestWrappedBody has a handler in front of the proxy that wraps the body of every request, as
// http.MaxBytesHandler does, that of a request without a body included. Upgrades pass all the same.
func TestWrappedBody(t *testing.T) {
	each(t, func(t *testing.T, p *path) {
		home := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if conn, read := hijacked(t, w, r); conn != nil {
				_, _ = io.Copy(conn, read)
				conn.Close()
			}
		})
		inner := p.front(t, p, home, new(watcher).watch).Config.Handler
		front := p.serve(t, http.MaxBytesHandler(inner, 1<<20))
		res, read := askEcho(t, p, front, upgradeText("GET", "echo"))
		require.Equal(t, 101, res.StatusCode)
		require.Equal(t, []string{"echo"}, res.Header["Upgrade"])
		require.Equal(t, "hello", read)
	})
}

// askEcho asks for a tunnel to a home that echoes, and returns what comes back of "hello".
func askEcho(t *testing.T, p *path, front *httptest.Server, text string) (*http.Response, string) {
	conn := p.dial(t, front)
	res, read := ask(t, conn, "GET", text)
	if res.StatusCode != 101 {
		return res, ""
	}
	_, err := io.WriteString(conn, "hello")
	require.NoError(t, err)
	require.NoError(t, closeWrite(conn))
	got, err := io.ReadAll(read)
	require.NoError(t, err)
	return res, string(got)
}
