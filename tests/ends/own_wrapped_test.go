package ends

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/localcert"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/spdytest"
	"github.com/amahi/spdy/tests/bubble"
)

// An ownBare is a connection that has the methods of net.Conn alone, as those of
// netutil.LimitListener.
type ownBare struct{ net.Conn }

type ownBareListener struct{ net.Listener }

func (l ownBareListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return ownBare{conn}, nil
}

// TestOwnUnreadUpload: behind an answer to an upload that nobody has read, the connection stays open
// for as long as with net/http, half a second, whether it can close one direction or not. Closed
// at once it would be reset, and the client lose the answer.
func TestOwnUnreadUpload(t *testing.T) {
	cert, _, err := localcert.New(localcert.Hosts...)
	require.NoError(t, err)
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, strings.Repeat("x", 10000), http.StatusRequestEntityTooLarge)
	})
	for _, bare := range []bool{false, true} {
		for _, secure := range []bool{false, true} {
			kept := make(map[string]time.Duration)
			for kind, srv := range ownPlainServers(h) {
				bubble.Run(t, fmt.Sprint("bare ", bare, "/TLS ", secure, "/", kind), func(t *testing.T) {
					kept[kind] = ownKept(t, srv, bare, secure, cert)
				})
			}
			require.Equal(t, kept[ownOracle], kept[ownServer], "bare %v, TLS %v", bare, secure)
			require.GreaterOrEqual(t, kept[ownServer], 500*time.Millisecond)
		}
	}
}

// ownKept returns for how long the server keeps the connection after its answer.
func ownKept(t *testing.T, srv ender, bare, secure bool, cert tls.Certificate) time.Duration {
	ln := spdytest.Listen()
	inner := net.Listener(ln)
	if bare {
		inner = ownBareListener{inner}
	}
	if secure { // without ALPN
		inner = tls.NewListener(inner, &tls.Config{Certificates: []tls.Certificate{cert}})
	}
	go srv.Serve(inner)
	defer srv.Close()
	raw, err := ln.DialContext(t.Context(), "", "")
	require.NoError(t, err)
	defer raw.Close()
	conn := raw
	if secure {
		conn = tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
	}
	_, err = io.WriteString(conn, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4000000\r\n\r\n")
	require.NoError(t, err)
	answer := make([]byte, 5)
	_, err = io.ReadFull(conn, answer)
	require.NoError(t, err)
	synctest.Wait()
	began := time.Now()
	for {
		if _, err := raw.Write([]byte("x")); err != nil { // the server has closed the connection
			return time.Since(began)
		}
		bubble.Pass(30 * time.Millisecond)
	}
}

// TestOwnNoHalfClose: a peer that answers no PING, on a connection that cannot close one direction, is
// told by the end of all of it, after as long as another peer by the end of one direction. Until
// then it can be answered. The oracle keeps such a connection for half a second.
func TestOwnNoHalfClose(t *testing.T) {
	for _, bare := range []bool{false, true} {
		bubble.InVersions(t, fmt.Sprint("bare ", bare), func(t *testing.T, v spdy.Version) {
			ours, theirs := testconn.Pair()
			conn := net.Conn(ours)
			if bare {
				conn = ownBare{ours}
			}
			p := newOwnPeer(t, v, theirs, bubble.Quiet(spdy.Config{}, v).RawSession(conn, false))
			defer p.close()
			p.send(&spdy.SynStreamFrame{StreamID: 1, Flags: spdy.FlagFin})
			r, err := p.s.AcceptStream(t.Context())
			require.NoError(t, err)
			require.NoError(t, r.Reply(nil, true))
			began, ended := time.Now(), make(chan error, 1)
			go func() { ended <- p.s.Shutdown(context.Background()) }()
			<-p.over // what the peer sees as the end
			require.Equal(t, 5*time.Second, time.Since(began))
			if bare {
				require.NoError(t, <-ended)
				require.Equal(t, 5*time.Second, time.Since(began))
				return
			}
			p.conn.Close()
			require.NoError(t, <-ended)
		})
	}
}
