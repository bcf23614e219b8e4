package spdy

import (
	"crypto/tls"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/nettest"

	"github.com/amahi/spdy/internal/localcert"
	"github.com/amahi/spdy/internal/testconn"
)

// rawTransports are the connections that raw streams have to work over.
var rawTransports = map[string]func(t *testing.T) (client, server net.Conn){
	"testconn": func(*testing.T) (net.Conn, net.Conn) {
		return pairOf(testconn.Pair())
	},
	"net.Pipe": func(*testing.T) (net.Conn, net.Conn) { return net.Pipe() },
	"TCP":      func(t *testing.T) (client, server net.Conn) { return tcpPair(t) },
	"TLS": func(t *testing.T) (net.Conn, net.Conn) {
		client, server := tcpPair(t)
		cert, roots, err := localcert.New("localhost")
		require.NoError(t, err)
		return tls.Client(client, &tls.Config{RootCAs: roots, ServerName: "localhost"}),
			tls.Server(server, &tls.Config{Certificates: []tls.Certificate{cert}})
	},
}

func pairOf(a, b *testconn.Conn) (net.Conn, net.Conn) { return a, b }

// tcpPair returns both ends of a TCP connection.
func tcpPair(t testing.TB) (client, server net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	client, err = net.Dial("tcp", ln.Addr().String())
	require.NoError(t, err)
	server, err = ln.Accept()
	require.NoError(t, err)
	return client, server
}

// TestRawConn: a raw stream is a net.Conn by x/net's own test of one, seen from the
// opener's end and from the acceptor's.
func TestRawConn(t *testing.T) {
	for name, dial := range rawTransports {
		for _, from := range []string{"opener", "acceptor"} {
			t.Run(name+"/"+from, func(t *testing.T) {
				t.Parallel()
				nettest.TestConn(t, func() (c1, c2 net.Conn, stop func(), err error) {
					cc, sc := dial(t)
					r := newRawRig(t, cc, sc, rigSetup{})
					a, b := r.pair()
					if from == "acceptor" {
						a, b = b, a
					}
					return a, b, r.close, nil
				})
			})
		}
	}
}
