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

// TestOwnNoHalfClose: a peer that answers no PING is told after five seconds by the end of our
// direction. On a connection that cannot close one direction only its end would tell the peer, and
// could lose bytes. So that connection stays open, and can be answered, until the delivery times out.
func TestOwnNoHalfClose(t *testing.T) {
	for _, bare := range []bool{false, true} {
		bubble.InVersions(t, fmt.Sprint("bare ", bare), func(t *testing.T, v spdy.Version) {
			ours, theirs := testconn.Pair()
			conn, want := net.Conn(ours), 5*time.Second
			if bare {
				conn, want = ownBare{ours}, time.Minute
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
			require.Equal(t, want, time.Since(began))
			if bare {
				require.ErrorIs(t, <-ended, spdy.ErrDeliveryTimeout)
				return
			}
			p.conn.Close()
			require.NoError(t, <-ended)
		})
	}
}

// TestOwnBareSlowLink: over a link of 8 KiB/s that is silent for longer than five seconds, every byte
// of an answer arrives before Shutdown returns, also where the server's connections cannot close one
// direction. The client sends another request meanwhile: at a closed connection it would cause a
// reset, which discards the rest of the answer.
func TestOwnBareSlowLink(t *testing.T) {
	const size = 200 << 10
	for _, bare := range []bool{false, true} {
		bubble.InVersions(t, fmt.Sprint("bare ", bare), func(t *testing.T, v spdy.Version) {
			ln := testconn.Listen()
			inner := net.Listener(ln)
			if bare {
				inner = ownBareListener{inner}
			}
			written := make(chan struct{})
			srv := &spdy.Server{Config: bubble.Quiet(spdy.Config{}, v), ErrorLog: quiet, Handler: http.HandlerFunc(
				func(w http.ResponseWriter, _ *http.Request) {
					_, _ = w.Write(make([]byte, size))
					close(written)
				})}
			background(t, func() error { return srv.Serve(inner) }, func() { _ = srv.Close() })
			conn, err := ln.Dial(testconn.StrictClose(), testconn.Second(testconn.Bandwidth(8<<10)))
			require.NoError(t, err)
			client, err := bubble.Quiet(spdy.Config{}, v).NewClientConn(conn)
			require.NoError(t, err)
			defer client.Close()
			get := (&http.Client{Transport: client}).Get
			res, err := get("http://ends.example/")
			require.NoError(t, err)
			defer res.Body.Close()
			<-written
			bubble.Pass(10 * time.Millisecond) // the handler returns
			end := (&drain{shutdown: srv.Shutdown, written: closed()}).begin(context.Background())
			second := make(chan error, 1)
			go func() {
				bubble.Pass(15 * time.Second)
				_, err := get("http://ends.example/second")
				second <- err
			}()
			n, err := io.Copy(io.Discard, res.Body)
			last := time.Now()
			require.NoError(t, err)
			require.EqualValues(t, size, n)
			require.NoError(t, end.wait())
			require.False(t, end.at.Before(last), "Shutdown returned %v before the last byte arrived", last.Sub(end.at))
			require.Error(t, <-second, "the server goes away")
		})
	}
}
