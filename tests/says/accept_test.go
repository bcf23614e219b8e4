package says

import (
	"bytes"
	"errors"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// A crowdedListener has no file descriptors for a while.
type crowdedListener struct {
	*testconn.Listener
	fails int // how often Accept still fails
}

type temporaryError struct{ error }

func (temporaryError) Temporary() bool { return true }
func (temporaryError) Timeout() bool   { return false }

func (l *crowdedListener) Accept() (net.Conn, error) {
	if l.fails > 0 {
		l.fails--
		return nil, temporaryError{errors.New("too many open files")}
	}
	return l.Listener.Accept()
}

// TestAcceptErrors: a server without file descriptors logs that it waits, and for how long, as one of
// net/http does, and goes on.
func TestAcceptErrors(t *testing.T) {
	bubble.Run(t, "both", func(t *testing.T) {
		var said [2]string
		for i, serve := range []func(ln net.Listener, l *log.Logger) (closes func() error){
			func(ln net.Listener, l *log.Logger) func() error {
				srv := &http.Server{ErrorLog: l}
				go func() { _ = srv.Serve(ln) }()
				return srv.Close
			},
			func(ln net.Listener, l *log.Logger) func() error {
				srv := &spdy.Server{ErrorLog: l}
				var served sync.WaitGroup
				served.Go(func() { _ = srv.Serve(ln) })
				return func() error { defer served.Wait(); return srv.Close() }
			},
		} {
			var text bytes.Buffer
			ln := &crowdedListener{Listener: testconn.Listen(), fails: 10}
			closes := serve(ln, log.New(&text, "", 0))
			conn, err := ln.Dial()
			require.NoError(t, err)
			_, err = conn.Write([]byte("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
			require.NoError(t, err)
			_, err = conn.Read(make([]byte, 1))
			require.NoError(t, err)
			require.NoError(t, closes())
			conn.Close()
			said[i] = text.String()
		}
		require.Equal(t, 10, strings.Count(said[0], "too many open files; retrying in"))
		require.Equal(t, strings.ReplaceAll(said[0], "http:", "spdy:"), said[1])
	})
}
