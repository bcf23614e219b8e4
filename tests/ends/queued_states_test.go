package ends

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/spdytest"
	"github.com/amahi/spdy/tests/bubble"
)

// TestQueuedConnIsReported: Server reports http.StateClosed for a connection of HTTP/1.1 that is
// closed on the way from the detection of the protocol to the http.Server: one that waits in the
// queue when the Server is closed, and one that arrives after a handler has closed the http.Server.
func TestQueuedConnIsReported(t *testing.T) {
	var mu sync.Mutex
	var conns []net.Conn // in the order of their arrival
	states := make(map[net.Conn][]http.ConnState)
	report := func(conn net.Conn, state http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		if states[conn] == nil {
			conns = append(conns, conn)
		}
		states[conn] = append(states[conn], state)
	}
	dial := func(t *testing.T, ln *spdytest.Listener) (conn net.Conn) {
		conn, err := ln.DialContext(t.Context(), "tcp", "a.example:80")
		require.NoError(t, err)
		_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
		require.NoError(t, err)
		synctest.Wait()
		return conn
	}
	end := func(t *testing.T) {
		synctest.Wait()
		require.Len(t, conns, 2)
		require.Equal(t, []http.ConnState{http.StateNew, http.StateClosed}, states[conns[1]])
		require.Equal(t, http.StateClosed, states[conns[0]][len(states[conns[0]])-1])
		conns = nil
	}
	bubble.Run(t, "waits in the queue", func(t *testing.T) {
		gate := make(chan struct{})
		srv := &spdy.Server{ConnState: report, ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			<-gate // net/http calls it in its accept loop
			return ctx
		}}
		ln, served := spdytest.Listen(), make(chan error, 1)
		go func() { served <- srv.Serve(ln) }()
		first, second := dial(t, ln), dial(t, ln)
		closed := make(chan error, 1)
		go func() { closed <- srv.Close() }()
		synctest.Wait() // Close waits for the accept loop
		close(gate)
		require.NoError(t, <-closed)
		require.ErrorIs(t, <-served, http.ErrServerClosed)
		first.Close()
		_, err := io.ReadAll(second)
		require.NoError(t, err)
		end(t)
	})
	bubble.Run(t, "arrives late", func(t *testing.T) {
		srv := &spdy.Server{ConnState: report, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			r.Context().Value(http.ServerContextKey).(*http.Server).Close()
		})}
		ln, served := spdytest.Listen(), make(chan error, 1)
		go func() { served <- srv.Serve(ln) }()
		first := dial(t, ln)
		second := dial(t, ln)
		_, err := io.ReadAll(second)
		require.NoError(t, err)
		require.NoError(t, srv.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
		first.Close()
		end(t)
	})
}
