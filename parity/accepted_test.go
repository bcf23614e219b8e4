package parity

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
)

// TestAcceptedConnOfHTTP1: without TLS a ConnContext and a Hijack of net/http get the connection of the
// listener. Those of a spdy.Server, which has read the first bytes, get a wrapper.
func TestAcceptedConnOfHTTP1(t *testing.T) {
	for _, ours := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ln := testconn.Listen()
			own := func(c net.Conn) bool { _, ok := c.(*testconn.Conn); return ok }
			var inContext, hijacked bool
			handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				c, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					return
				}
				hijacked = own(c)
				io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
				c.Close()
			})
			connContext := func(ctx context.Context, c net.Conn) context.Context {
				inContext = own(c)
				return ctx
			}
			theirs := &http.Server{Handler: handler, ConnContext: connContext}
			serve, end := theirs.Serve, theirs.Close
			if ours {
				srv := &spdy.Server{Handler: handler, ConnContext: connContext}
				serve, end = srv.Serve, srv.Close
			}
			go serve(ln)
			defer end()
			conn, err := ln.Dial()
			require.NoError(t, err)
			defer conn.Close()
			_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
			require.NoError(t, err)
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			require.Equal(t, http.StatusNoContent, res.StatusCode)
			synctest.Wait()
			require.Equal(t, !ours, inContext, "in ConnContext, of ours: %v", ours)
			require.Equal(t, !ours, hijacked, "hijacked, of ours: %v", ours)
		})
	}
}
