package ends

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// errAccept is the error of a broken listener.
var errAccept = errors.New("the listener is broken")

// A breakingListener fails after it has accepted some connections.
type breakingListener struct {
	*testconn.Listener
	left int
}

func (l *breakingListener) Accept() (net.Conn, error) {
	if l.left == 0 {
		return nil, errAccept
	}
	l.left--
	return l.Listener.Accept()
}

// listenerServer serves a listener that fails after one connection, with net/http or with ours. It
// returns the client's end of that connection once Serve has returned.
func listenerServer(t *testing.T, ours bool, tell func(net.Conn, http.ConnState)) (net.Conn, func(context.Context) error) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "whole") })
	quiet := log.New(io.Discard, "", 0)
	ln := &breakingListener{testconn.Listen(), 1}
	var server interface {
		Serve(net.Listener) error
		Shutdown(context.Context) error
		Close() error
	} = &http.Server{Handler: handler, ErrorLog: quiet, ConnState: tell}
	if ours {
		server = &spdy.Server{Handler: handler, ErrorLog: quiet, ConnState: tell, Logger: slog.New(slog.DiscardHandler)}
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	conn, err := ln.Dial()
	require.NoError(t, err)
	require.Equal(t, errAccept, <-served)
	t.Cleanup(func() { conn.Close(); server.Close(); bubble.Pass(time.Minute) })
	return conn, server.Shutdown
}

// TestListenerEndsNoConnection: a listener fails, or its owner closes it for a successor. A client
// that has connected before and has sent nothing yet is served, as by net/http.
func TestListenerEndsNoConnection(t *testing.T) {
	for name, ours := range map[string]bool{"net/http": false, "ours": true} {
		bubble.Run(t, name, func(t *testing.T) {
			conn, shutdown := listenerServer(t, ours, nil)
			bubble.Pass(time.Second)
			read := bufio.NewReader(conn)
			for range 2 {
				_, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
				require.NoError(t, err)
				res, err := http.ReadResponse(read, nil)
				require.NoError(t, err)
				got, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				require.Equal(t, "whole", string(got))
			}
			require.NoError(t, shutdown(t.Context()))
			_, err := read.ReadByte()
			require.Equal(t, io.EOF, err)
		})
	}
	bubble.InVersions(t, "ours", func(t *testing.T, v spdy.Version) {
		conn, shutdown := listenerServer(t, true, nil)
		bubble.Pass(time.Second)
		client, err := bubble.Quiet(spdy.Config{}, v).NewClientConn(conn)
		require.NoError(t, err)
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://ends.example/", nil)
		require.NoError(t, err)
		res, err := client.Do(req)
		require.NoError(t, err)
		got, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Equal(t, "whole", string(got))
		require.NoError(t, shutdown(t.Context()))
	})
}

// TestListenerEndsBeforeSilence: the connection of a client that never sends anything ends at the
// server's limit, and nothing is left.
func TestListenerEndsBeforeSilence(t *testing.T) {
	bubble.Run(t, "", func(t *testing.T) {
		states := make(chan http.ConnState, 9)
		conn, shutdown := listenerServer(t, true, func(_ net.Conn, state http.ConnState) { states <- state })
		_, err := conn.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
		synctest.Wait()
		require.Equal(t, http.StateNew, <-states)
		require.Equal(t, http.StateClosed, <-states)
		require.NoError(t, shutdown(t.Context()))
	})
}
