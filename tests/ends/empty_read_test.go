package ends

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// An emptyConn returns neither bytes nor an error once it is empty, for ever or for some Reads.
type emptyConn struct {
	net.Conn
	empty atomic.Int32 // Reads that return nothing
	reads atomic.Int32
}

func (c *emptyConn) Read(p []byte) (int, error) {
	if c.empty.Load() == 0 {
		return c.Conn.Read(p)
	}
	if c.reads.Add(1) > 1e6 {
		return 0, io.ErrClosedPipe // for a reader that would go on for ever
	}
	c.empty.Add(-1)
	return 0, nil
}

// TestEmptyReads: a connection whose Read returns nothing is lost with io.ErrNoProgress, as with
// net/http, and does not keep a processor busy. A few such Reads are no failure.
func TestEmptyReads(t *testing.T) {
	ask := func(t *testing.T, client http.RoundTripper) error {
		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://ends.example/", nil)
		require.NoError(t, err)
		res, err := client.RoundTrip(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		_, err = io.ReadAll(res.Body)
		return err
	}
	for empty, want := range map[int32]error{99: nil, 1e9: io.ErrNoProgress} {
		bubble.Run(t, "HTTP/1.1", func(t *testing.T) {
			a, b := testconn.Pair()
			server := http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
			ln := &breakingListener{testconn.Listen(), 1}
			go func() { _ = server.Serve(ln) }()
			client := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
				conn, err := ln.Dial()
				c := &emptyConn{Conn: conn}
				c.empty.Store(empty)
				return c, err
			}}
			require.ErrorIs(t, ask(t, client), want)
			client.CloseIdleConnections()
			server.Close()
			a.Close()
			b.Close()
			bubble.Pass(time.Minute)
		})
		bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
			a, b := testconn.Pair()
			c := &emptyConn{Conn: a}
			c.empty.Store(empty)
			client := bubble.Quiet(spdy.Config{}, v).ClientSession(c)
			server := bubble.Quiet(spdy.Config{}, v).ServerSession(b, &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})})
			for _, s := range []*spdy.Session{client, server} {
				served := make(chan struct{})
				go func() { defer close(served); _ = s.Serve() }()
				defer func() { s.Close(); <-served }()
			}
			require.ErrorIs(t, ask(t, client), want)
		})
	}
}
