//go:build pairings

package pairings

import (
	"net"
	"net/http"
	"testing"
	"time"

	ours "github.com/moby/spdystream"
	"github.com/stretchr/testify/require"

	moby "github.com/amahi/spdy/interop/kubernetes/internal/original"
)

// A stream has what both libraries offer.
type stream interface {
	net.Conn
	Reset() error
	Cancel() error
	Refuse() error
	Wait() error
	WaitTimeout(time.Duration) error
	SendReply(http.Header, bool) error
	SendHeader(http.Header, bool) error
	ReceiveHeader() (http.Header, error)
	Headers() http.Header
	WriteData([]byte, bool) error
}

// A connection has what both libraries offer.
type connection interface {
	Close() error
	CloseWait() error
	Wait(time.Duration) error
	CloseChan() <-chan bool
	Ping() (time.Duration, error)
	SetIdleTimeout(time.Duration)
}

// An end is one end of a connection.
type end struct {
	connection
	net    *net.TCPConn
	create func(h http.Header) (stream, error)
	child  func(of stream) (stream, error)
	serve  func(func(stream))
}

// newEnd makes an end with a library: 'm' or 'o'.
func newEnd(t testing.TB, library byte, conn *net.TCPConn, server bool) *end {
	if library == 'm' {
		c, err := moby.NewConnection(conn, server)
		require.NoError(t, err)
		return &end{
			connection: c, net: conn,
			create: func(h http.Header) (stream, error) { return c.CreateStream(h, nil, false) },
			child:  func(of stream) (stream, error) { return c.CreateStream(header, of.(*moby.Stream), false) },
			serve:  func(f func(stream)) { c.Serve(func(s *moby.Stream) { f(s) }) },
		}
	}
	c, err := ours.NewConnection(conn, server)
	require.NoError(t, err)
	return &end{
		connection: c, net: conn,
		create: func(h http.Header) (stream, error) { return c.CreateStream(h, nil, false) },
		child:  func(of stream) (stream, error) { return c.CreateStream(header, of.(*ours.Stream), false) },
		serve:  func(f func(stream)) { c.Serve(func(s *ours.Stream) { f(s) }) },
	}
}

// header is what streams are opened with.
var header = http.Header{"Streamtype": {"data"}, "Port": {"80"}}

// tcpPair returns both ends of a connection.
func tcpPair(t testing.TB) (client, server *net.TCPConn) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	s, err := ln.Accept()
	require.NoError(t, err)
	t.Cleanup(func() {
		c.Close()
		s.Close()
	})
	return c.(*net.TCPConn), s.(*net.TCPConn)
}
