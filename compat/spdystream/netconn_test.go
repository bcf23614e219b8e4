package spdystream_test

import (
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/moby/spdystream"
)

// A connection that the peer has closed is the program's to close, as with the original: its
// net.Conn, or the Connection. The peer sees an end all the same.
func TestCloseAfterHangUp(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, c *spdystream.Connection, conn net.Conn){
		"the net.Conn": func(t *testing.T, _ *spdystream.Connection, conn net.Conn) { require.NoError(t, conn.Close()) },
		"the Connection": func(t *testing.T, c *spdystream.Connection, conn net.Conn) {
			require.NoError(t, c.CloseWait())
			require.ErrorIs(t, conn.Close(), net.ErrClosed)
		},
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			defer ln.Close()
			theirs, err := net.Dial("tcp", ln.Addr().String())
			require.NoError(t, err)
			ours, err := ln.Accept()
			require.NoError(t, err)
			c := newConnection(t, ours, true)
			go c.Serve(nil)
			_, err = c.CreateStream(http.Header{}, nil, false)
			require.NoError(t, err)
			_, err = theirs.Read(make([]byte, 1))
			require.NoError(t, err)
			require.NoError(t, theirs.(*net.TCPConn).CloseWrite())
			require.NoError(t, c.Wait(patience))
			require.NoError(t, theirs.SetReadDeadline(time.Now().Add(patience)))
			_, err = io.Copy(io.Discard, theirs)
			require.NotErrorIs(t, err, os.ErrDeadlineExceeded)
			end(t, c, ours)
			require.NoError(t, theirs.Close())
		})
	}
}
