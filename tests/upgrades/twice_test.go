package upgrades

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/tests/bubble"
)

// TestHalfCloseTwice: as of a *net.TCPConn, a second CloseWrite of a tunnel is no error while the
// peer's direction is open, at either end. Nor is one behind an answer that is complete.
func TestHalfCloseTwice(t *testing.T) {
	twice := func(conn io.ReadWriter) {
		assert.NoError(t, closeWrite(conn))
		assert.NoError(t, closeWrite(conn))
	}
	homes := make(chan net.Conn, 1)
	home := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "POST" {
			conn, _, err := http.NewResponseController(w).Hijack()
			assert.NoError(t, err)
			_, err = io.WriteString(conn, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
			assert.NoError(t, err)
			assert.NoError(t, closeWrite(conn))
			homes <- conn
			return
		}
		conn, _ := hijacked(t, w, r)
		twice(conn)
		homes <- conn
	})
	for _, method := range []string{"GET", "POST"} {
		status := map[string]int{"GET": 101, "POST": 403}[method]
		t.Run("HTTP 1.1/"+method, func(t *testing.T) {
			p := new(path)
			conn := p.dial(t, p.serve(t, home))
			res, _ := ask(t, conn, method, upgradeText(method, "echo"))
			require.Equal(t, status, res.StatusCode)
			(<-homes).Close()
		})
		for _, v := range bubble.Versions {
			t.Run(v.String()+"/"+method, func(t *testing.T) {
				p := new(path)
				s := sessionTo(t, p, v, spdyServer(t, p, v, home, new(watcher).watch))
				req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(upgradeText(method, "echo"))))
				require.NoError(t, err)
				res, err := s.RoundTrip(&http.Request{Method: method, URL: req.URL, Host: req.Host, Header: req.Header})
				require.NoError(t, err)
				defer res.Body.Close()
				require.Equal(t, status, res.StatusCode)
				at := <-homes
				if method == "GET" {
					twice(res.Body.(io.ReadWriter))
				}
				at.Close()
			})
		}
	}
}
