package spdy

import (
	"crypto/tls"
	"net"
	"net/http"
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
