package ends

import (
	"bytes"
	"context"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// A shortConn drops a part of what one Write gets, and returns the smaller count without an error.
// No net.Conn may do so; some wrappers do.
type shortConn struct {
	net.Conn
	armed *atomic.Bool
}

func (c shortConn) Write(p []byte) (int, error) {
	if len(p) > 8<<10 && c.armed.Swap(false) {
		return c.Conn.Write(p[:len(p)-5000])
	}
	return c.Conn.Write(p)
}

type shortListener struct {
	*testconn.Listener
	armed *atomic.Bool
}

func (l shortListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return shortConn{conn, l.armed}, nil
}

// TestShortWrite: a connection drops bytes and reports a smaller count. The session ends with
// io.ErrShortWrite, and its answers are cut. As over HTTP/1.1, where net/http sends the rest or
// cuts the answer, the client reads no byte that the handler has not written for this answer.
func TestShortWrite(t *testing.T) {
	const size = 300 << 10
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, strings.Repeat(r.URL.Path[1:], size))
	})
	quiet, silent := log.New(io.Discard, "", 0), slog.New(slog.DiscardHandler)
	run := func(t *testing.T, serve func(net.Listener), stop func() error, client http.RoundTripper, ln *testconn.Listener) (cut int32) {
		armed := new(atomic.Bool)
		armed.Store(true)
		served := make(chan struct{})
		go func() { defer close(served); serve(shortListener{ln, armed}) }()
		var users sync.WaitGroup
		var failed atomic.Int32
		for _, letter := range []string{"a", "b", "c"} {
			users.Go(func() {
				req, err := http.NewRequestWithContext(t.Context(), "GET", "http://ends.example/"+letter, nil)
				if err != nil {
					panic(err)
				}
				res, err := client.RoundTrip(req)
				if err != nil {
					failed.Add(1)
					return
				}
				defer res.Body.Close()
				got, err := io.ReadAll(res.Body)
				if err != nil {
					failed.Add(1)
				} else if len(got) != size {
					t.Errorf("%d bytes read, and no error", len(got))
				}
				if left := bytes.Trim(got, letter); len(left) > 0 {
					t.Errorf("bytes of others among the bytes of %s: %q", letter, left[:min(len(left), 40)])
				}
			})
		}
		users.Wait()
		_ = stop()
		<-served
		bubble.Pass(time.Minute)
		return failed.Load()
	}
	bubble.Run(t, "HTTP/1.1", func(t *testing.T) {
		ln := testconn.Listen()
		client := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return ln.Dial() }}
		server := &http.Server{Handler: handler, ErrorLog: quiet}
		run(t, func(ln net.Listener) { _ = server.Serve(ln) }, server.Close, client, ln)
		client.CloseIdleConnections()
	})
	for _, keepalive := range []time.Duration{0, time.Minute} { // writes in pieces
		bubble.InVersions(t, keepalive.String(), func(t *testing.T, v spdy.Version) {
			ln := testconn.Listen()
			dialled, err := ln.Dial()
			require.NoError(t, err)
			client, err := (&spdy.Config{Version: v, Logger: silent}).NewClientConn(dialled)
			require.NoError(t, err)
			server := &spdy.Server{Handler: handler, ErrorLog: quiet, Config: bubble.Quiet(spdy.Config{WriteTimeout: keepalive}, v)}
			cut := run(t, func(ln net.Listener) { _ = server.Serve(ln) }, server.Close, client, ln)
			require.NotZero(t, cut)
			client.Close()
		})
	}
}
