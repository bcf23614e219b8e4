// Package raw shows what programs build on raw sessions and on upgrades to them.
package raw

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/spdytest"
	"github.com/amahi/spdy/tests/bubble"
)

// dialStream opens a stream as a connection.
func dialStream(s *spdy.Session) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return s.OpenStream(ctx, nil, spdy.StreamOptions{})
	}
}

// echoes answers with what the request has in its body.
var echoes = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(w, r.Body)
})

// ask posts a body by way of dial, and returns the answer.
func ask(t *testing.T, dial func(context.Context, string, string) (net.Conn, error), body string) string {
	t.Helper()
	transport := &http.Transport{DialContext: dial}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var all string
	for range 3 { // on one connection, if the server keeps it
		res, err := client.Post("http://home.example/", "text/plain", strings.NewReader(body))
		require.NoError(t, err)
		text, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		all += res.Proto + " " + string(text) + "\n"
	}
	return all
}

// TestListenerServesHTTP shows that an http.Server serves the streams of a session, opened by
// either end, as it serves connections.
func TestListenerServesHTTP(t *testing.T) {
	body := strings.Repeat("0123456789abcdef", 20_000) // more than a window
	for _, from := range []string{"client", "server"} {
		bubble.Run(t, "opened by the "+from, func(t *testing.T) {
			ln := spdytest.Listen()
			oracle := &http.Server{Handler: echoes}
			go oracle.Serve(ln)
			defer oracle.Close()
			want := ask(t, ln.DialContext, body)

			pair := spdytest.NewRawPair()
			defer pair.Close()
			opener, home := pair.Client, pair.Server
			if from == "server" {
				opener, home = home, opener
			}
			server := &http.Server{Handler: echoes}
			served := make(chan error, 1)
			go func() { served <- server.Serve(home.Listener()) }()
			require.Equal(t, want, ask(t, dialStream(opener), body))
			require.NoError(t, server.Shutdown(t.Context()), "which closes the listener")
			require.Equal(t, http.ErrServerClosed, <-served)
			_, err := opener.PingContext(t.Context())
			require.NoError(t, err, "the session goes on")
		})
	}
}

// accepting calls Accept and returns its result later.
func accepting(ln net.Listener) <-chan result {
	c := make(chan result, 1)
	go func() {
		conn, err := ln.Accept()
		c <- result{conn, err}
	}()
	return c
}

type result struct {
	conn net.Conn
	err  error
}

// TestListenerClose shows that Close ends each Accept of a listener, and neither the session
// nor a stream.
func TestListenerClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := spdytest.NewRawPair()
		defer pair.Close()
		ln := pair.Server.Listener()
		require.Equal(t, pair.Server.LocalAddr(), ln.Addr())
		open := func(body string) *spdy.RawStream {
			st, err := pair.Client.OpenStream(t.Context(), nil, spdy.StreamOptions{})
			require.NoError(t, err)
			_, err = io.WriteString(st, body)
			require.NoError(t, err)
			require.NoError(t, st.CloseWrite())
			synctest.Wait()
			return st
		}
		open("first")
		first := <-accepting(ln)
		require.NoError(t, first.err)
		require.IsType(t, (*spdy.RawStream)(nil), first.conn)
		others := pair.Server.Listener()
		waiting := []<-chan result{accepting(ln), accepting(ln)}
		synctest.Wait()
		require.NoError(t, ln.Close())
		for _, c := range waiting {
			require.Equal(t, result{nil, net.ErrClosed}, <-c)
		}
		require.Equal(t, net.ErrClosed, ln.Close(), "as a net.TCPListener")

		open("second")
		open("third")
		require.Equal(t, result{nil, net.ErrClosed}, <-accepting(ln), "although a stream waits")
		text, err := io.ReadAll(first.conn)
		require.NoError(t, err)
		require.Equal(t, "first", string(text), "what was accepted goes on")
		other := <-accepting(others)
		require.NoError(t, other.err)
		text, err = io.ReadAll(other.conn)
		require.NoError(t, err)
		require.Equal(t, "second", string(text), "another listener gets what has waited")
		st, err := pair.Server.AcceptStream(t.Context())
		require.NoError(t, err)
		text, err = io.ReadAll(st)
		require.NoError(t, err)
		require.Equal(t, "third", string(text), "and so does AcceptStream")
	})
}

// TestListenerEnds shows what Accept returns when the session ends, and on others than raw ones.
func TestListenerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair := spdytest.NewRawPair()
		ln := pair.Server.Listener()
		waiting := accepting(ln)
		synctest.Wait()
		pair.Server.Close()
		got := <-waiting
		require.ErrorIs(t, got.err, net.ErrClosed)
		require.NotEqual(t, net.ErrClosed, got.err, "it says that the session has ended, not the listener")
		require.Nil(t, got.conn)
		require.NoError(t, ln.Close())
		pair.Close()

		pair = spdytest.NewRawPair()
		waiting = accepting(pair.Server.Listener())
		synctest.Wait()
		pair.Break()
		var lost *spdy.ConnError
		require.ErrorAs(t, (<-waiting).err, &lost)
		pair.Close()

		pair = spdytest.NewPair(echoes)
		got = <-accepting(pair.Server.Listener())
		require.ErrorContains(t, got.err, "not raw")
		require.Nil(t, got.conn)
		pair.Close()
		require.Error(t, (<-accepting(new(spdy.Session).Listener())).err)
		bubble.Pass(time.Second)
	})
}
