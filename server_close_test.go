package spdy

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/localcert"
)

// As with net/http, a program tells a stopped server from a failed one by
// http.ErrServerClosed, whichever of the two protocols the listener serves.
func TestServeTLSReturnsErrServerClosed(t *testing.T) {
	cert, trust, err := localcert.New()
	require.NoError(t, err)
	for name, stop := range map[string]func(*Server) error{
		"Close":    (*Server).Close,
		"Shutdown": func(srv *Server) error { return srv.Shutdown(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			srv := &Server{
				Handler:   http.NotFoundHandler(),
				TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
			}
			served := make(chan error, 1)
			go func() { served <- srv.ServeTLS(ln, "", "") }()
			conn, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{RootCAs: trust, NextProtos: []string{"spdy/3.1"}})
			require.NoError(t, err, "ServeTLS is in Accept")
			conn.Close()
			require.NoError(t, stop(srv))
			require.ErrorIs(t, <-served, http.ErrServerClosed)
		})
	}
}

// A slowListener is in Accept until it has been closed twice: by the Server and by
// the http.Server in it, which has still to notice.
type slowListener struct {
	net.Listener
	closed atomic.Int32
	twice  chan struct{}
}

func (l *slowListener) Accept() (net.Conn, error) {
	<-l.twice
	return nil, net.ErrClosed
}

func (l *slowListener) Close() error {
	n := l.closed.Add(1)
	if n == 2 {
		close(l.twice)
	}
	if n == 1 {
		return l.Listener.Close()
	}
	return net.ErrClosed
}

// That the Server has closed a listener before the http.Server came to it is no
// failure to close.
func TestServeTLSClosedTwice(t *testing.T) {
	cert, _, err := localcert.New()
	require.NoError(t, err)
	for name, stop := range map[string]func(*Server) error{
		"Close":    (*Server).Close,
		"Shutdown": func(srv *Server) error { return srv.Shutdown(t.Context()) },
	} {
		t.Run(name, func(t *testing.T) {
			inner, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			ln := &slowListener{Listener: inner, twice: make(chan struct{})}
			srv := &Server{TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}}
			serving := make(chan struct{})
			srv.BaseContext = func(net.Listener) context.Context { close(serving); return context.Background() }
			served := make(chan error, 1)
			go func() { served <- srv.ServeTLS(ln, "", "") }()
			<-serving // the http.Server knows its listener
			require.NoError(t, stop(srv))
			require.ErrorIs(t, <-served, http.ErrServerClosed)
		})
	}
}
