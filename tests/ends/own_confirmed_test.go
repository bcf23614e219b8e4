package ends

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/localcert"
	"github.com/amahi/spdy/spdytest"
	"github.com/amahi/spdy/tests/bubble"
)

// An ownOpenConn is a connection that its owner does not hang up.
type ownOpenConn struct{ net.Conn }

func (ownOpenConn) Close() error      { return nil }
func (ownOpenConn) CloseWrite() error { return nil }

// ownWhole asks for path, and reads the whole answer.
func ownWhole(rt http.RoundTripper, path string) error {
	req, err := http.NewRequest("GET", "http://example.com"+path, nil)
	if err != nil {
		return err
	}
	res, err := rt.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return err
}

// ownEcho sends a request with SPDY/3.1 and answers PINGs.
func ownEcho(t *testing.T, conn net.Conn) {
	f := spdy.NewFramer(conn, conn, spdy.SPDY31)
	header := bodyHead(spdy.SPDY31, ":method", "GET", ":path", "/", ":version", "HTTP/1.1", ":host", "a", ":scheme", "http")
	err := f.WriteFrame(&spdy.SynStreamFrame{StreamID: 1, Flags: spdy.FlagFin, Headers: header})
	for err == nil {
		var frame spdy.Frame
		if frame, err = f.ReadFrame(); err != nil {
			return
		}
		if ping, ok := frame.(*spdy.PingFrame); ok {
			err = f.WriteFrame(ping)
		}
	}
	t.Error(err)
}

// ownConfirmedPatience is less than the time for which a session lingers.
const ownConfirmedPatience = 600 * time.Millisecond

// TestOwnConfirmedShutdown: when the context of Shutdown ends after everything has been delivered
// and confirmed, it is no error that the peer has not hung up yet. The oracle returns nil for a
// connection that is idle. A request that has not been answered is one that the context has cut off.
func TestOwnConfirmedShutdown(t *testing.T) {
	for _, kind := range []string{ownOracle, ownServer} {
		for _, secure := range []bool{false, true} {
			for _, state := range []string{"idle", "answered", "active"} {
				for _, patience := range []time.Duration{0, ownConfirmedPatience} {
					if state == "answered" && patience == 0 && kind == ownServer {
						continue // nothing confirms the answer in no time
					}
					bubble.Run(t, fmt.Sprint(kind, "/", secure, "/", state, "/", patience), func(t *testing.T) {
						playOwnConfirmed(t, kind, secure, state, patience)
					})
				}
			}
		}
	}
}

func playOwnConfirmed(t *testing.T, kind string, secure bool, state string, patience time.Duration) {
	ln, over := spdytest.Listen(), make(chan struct{})
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "hello")
		if r.URL.Path == "/active" {
			<-over
		}
	})
	cert, _, err := localcert.New(localcert.Hosts...)
	require.NoError(t, err)
	conf, quiet := &tls.Config{Certificates: []tls.Certificate{cert}}, log.New(io.Discard, "", 0)
	srv := interface {
		ender
		ServeTLS(net.Listener, string, string) error
	}(&http.Server{Handler: h, TLSConfig: conf, ErrorLog: quiet})
	if kind == ownServer {
		srv = &spdy.Server{Handler: h, TLSConfig: conf, ErrorLog: quiet}
	}
	go func() {
		if secure {
			_ = srv.ServeTLS(ln, "", "")
		} else {
			_ = srv.Serve(ln)
		}
	}()
	raw, err := ln.DialContext(t.Context(), "", "")
	require.NoError(t, err)
	var conn net.Conn = ownOpenConn{raw}
	if secure {
		protocol := map[string]string{ownOracle: "http/1.1", ownServer: "spdy/3.1"}[kind]
		conn = tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}})
		require.NoError(t, conn.(*tls.Conn).HandshakeContext(t.Context()))
		conn = ownOpenConn{conn}
	}
	path := "/" + state
	if kind == ownOracle {
		_, err = io.WriteString(conn, "GET "+path+" HTTP/1.1\r\nHost: a\r\n\r\n")
		require.NoError(t, err)
		if state != "active" {
			res, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			_, _ = io.Copy(io.Discard, res.Body)
		}
	} else if state == "answered" {
		go ownEcho(t, conn) // ends with the connection
	} else {
		s := bubble.Quiet(spdy.Config{}, spdy.SPDY31).ClientSession(conn)
		go s.Serve() // ends with the connection
		switch state {
		case "idle":
			_, err = s.PingContext(t.Context())
			require.NoError(t, err)
		default:
			go ownWhole(s, path)
		}
	}
	synctest.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	began := time.Now()
	err = srv.Shutdown(ctx)
	took := time.Since(began)
	close(over)
	raw.Close()
	srv.Close()
	require.LessOrEqual(t, took, patience+100*time.Millisecond)
	if state == "active" {
		require.ErrorIs(t, err, context.DeadlineExceeded)
	} else {
		require.NoError(t, err)
	}
	bubble.Pass(time.Minute)
}

// TestOwnConfirmedSession is the same for Session.Shutdown and Client.Shutdown. A session whose peer confirms nothing returns the error of the context.
func TestOwnConfirmedSession(t *testing.T) {
	for _, confirms := range []bool{true, false} {
		bubble.InVersions(t, fmt.Sprint("raw/", confirms), func(t *testing.T, v spdy.Version) {
			p := ownRaw(0)(t, v)
			defer p.close()
			p.send(&spdy.SynStreamFrame{StreamID: 1, Flags: spdy.FlagFin})
			r, err := p.s.AcceptStream(t.Context())
			require.NoError(t, err)
			require.NoError(t, r.Reply(nil, true))
			ended := make(chan error, 1)
			ctx, cancel := context.WithTimeout(t.Context(), ownConfirmedPatience)
			defer cancel()
			go func() { ended <- p.s.Shutdown(ctx) }()
			require.Equal(t, 1, p.count(spdy.FramePing))
			if confirms {
				p.send(&spdy.PingFrame{ID: 2})
				require.NoError(t, <-ended)
				return
			}
			require.ErrorIs(t, <-ended, context.DeadlineExceeded)
		})
	}
	bubble.InVersions(t, "Client", func(t *testing.T, v spdy.Version) {
		ln := spdytest.Listen()
		accepted := make(chan net.Conn, 1)
		go func() {
			conn, err := ln.Accept()
			if err == nil {
				accepted <- conn
			}
		}()
		conn, err := ln.DialContext(t.Context(), "", "")
		require.NoError(t, err)
		theirs := <-accepted
		go bubble.Quiet(spdy.Config{}, v).ServerSession(ownOpenConn{theirs}, nil).Serve() // ends with the connection
		c, err := bubble.Quiet(spdy.Config{}, v).NewClientConn(conn)
		require.NoError(t, err)
		require.NoError(t, ownWhole(c, "/"))
		ctx, cancel := context.WithTimeout(t.Context(), ownConfirmedPatience)
		defer cancel()
		require.NoError(t, c.Shutdown(ctx))
		theirs.Close()
		bubble.Pass(time.Minute)
	})
}
