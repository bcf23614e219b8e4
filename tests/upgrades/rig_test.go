// Package upgrades shows that upgrades and CONNECT pass through sessions as they pass through
// connections of HTTP/1.1, which are the oracle of these tests.
package upgrades

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/spdytest"
	"github.com/amahi/spdy/tests/bubble"
)

var (
	quiet      = slog.New(slog.DiscardHandler)
	discardLog = log.New(io.Discard, "", 0)
)

// patience limits waits that end long before it, so that a failure is no hang.
const patience = time.Minute

// A path is a way from a client of HTTP/1.1 to the home, which is the server whose handler a
// test is about.
type path struct {
	name string
	tls  bool // on every connection

	// front returns the address that clients connect to. Sessions on the way are passed to
	// watch.
	front func(t *testing.T, p *path, home http.Handler, watch func(*spdy.Session)) *httptest.Server
}

// serve starts a server of HTTP/1.1.
func (p *path) serve(t *testing.T, h http.Handler) *httptest.Server {
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = discardLog
	if p.tls {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

// paths returns the oracles and the ways by SPDY, of each version.
func paths() (all []*path) {
	for _, secure := range []bool{false, true} {
		all = append(all,
			&path{name: "HTTP 1.1", tls: secure, front: direct},
			&path{name: "HTTP 1.1 ReverseProxy", tls: secure, front: reverseHTTP})
		for _, v := range bubble.Versions {
			all = append(all,
				&path{name: v.String() + " ReverseProxy", tls: secure, front: reverse(v)},
				&path{name: v.String() + " NewStreamProxy", tls: secure, front: stream(v)},
				&path{name: v.String() + " two sessions", tls: secure, front: twoSessions(v)})
		}
		all = append(all, &path{name: "spdy/3.1 ReverseProxy between sessions", tls: secure, front: between(spdy.SPDY31)})
	}
	return all
}

// each runs a test on every path.
func each(t *testing.T, f func(t *testing.T, p *path)) {
	for _, p := range paths() {
		name := p.name
		if p.tls {
			name += " TLS"
		}
		t.Run(name, func(t *testing.T) { f(t, p) })
	}
}

func direct(t *testing.T, p *path, home http.Handler, _ func(*spdy.Session)) *httptest.Server {
	return p.serve(t, home)
}

// reverseTo returns a ReverseProxy.
func reverseTo(target string, rt http.RoundTripper) http.Handler {
	u, err := url.Parse(target)
	if err != nil {
		panic(err)
	}
	return &httputil.ReverseProxy{
		Transport: rt, ErrorLog: discardLog,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			if r.In.Host != "" {
				r.Out.Host = r.In.Host
			}
		},
	}
}

func reverseHTTP(t *testing.T, p *path, home http.Handler, _ func(*spdy.Session)) *httptest.Server {
	back := p.serve(t, home)
	return p.serve(t, reverseTo(back.URL, back.Client().Transport))
}

func reverse(v spdy.Version) func(*testing.T, *path, http.Handler, func(*spdy.Session)) *httptest.Server {
	return func(t *testing.T, p *path, home http.Handler, watch func(*spdy.Session)) *httptest.Server {
		back := spdyServer(t, p, v, home, watch)
		transport := &spdy.Transport{Config: &spdy.Config{Version: v, Logger: quiet}, TLSClientConfig: clientTLS(back.Certificate())}
		t.Cleanup(transport.CloseIdleConnections)
		return p.serve(t, reverseTo(back.URL, transport))
	}
}

func stream(v spdy.Version) func(*testing.T, *path, http.Handler, func(*spdy.Session)) *httptest.Server {
	return func(t *testing.T, p *path, home http.Handler, watch func(*spdy.Session)) *httptest.Server {
		return p.serve(t, streamProxy(sessionTo(t, p, v, spdyServer(t, p, v, home, watch))))
	}
}

func twoSessions(v spdy.Version) func(*testing.T, *path, http.Handler, func(*spdy.Session)) *httptest.Server {
	return func(t *testing.T, p *path, home http.Handler, watch func(*spdy.Session)) *httptest.Server {
		last := sessionTo(t, p, v, spdyServer(t, p, v, home, watch))
		first := sessionTo(t, p, v, spdyServer(t, p, v, streamProxy(last), watch))
		return p.serve(t, streamProxy(first))
	}
}

// between is a ReverseProxy between two sessions.
func between(v spdy.Version) func(*testing.T, *path, http.Handler, func(*spdy.Session)) *httptest.Server {
	return func(t *testing.T, p *path, home http.Handler, watch func(*spdy.Session)) *httptest.Server {
		last := sessionTo(t, p, v, spdyServer(t, p, v, home, watch))
		first := sessionTo(t, p, v, spdyServer(t, p, v, reverseTo("http://home.example", last), watch))
		return p.serve(t, streamProxy(first))
	}
}

func streamProxy(s *spdy.Session) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = s.NewStreamProxy(r, w) })
}

// spdyServer starts a server of SPDY.
func spdyServer(t *testing.T, p *path, v spdy.Version, h http.Handler, watch func(*spdy.Session)) *spdytest.Server {
	s := spdytest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		watch(spdy.SessionFromContext(r.Context()))
		h.ServeHTTP(w, r)
	}))
	s.Config.Config = &spdy.Config{Version: v, Logger: quiet}
	if p.tls {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func clientTLS(cert *x509.Certificate) *tls.Config {
	if cert == nil {
		return nil
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return &tls.Config{RootCAs: pool}
}

// sessionTo returns a session with a server of SPDY.
func sessionTo(t *testing.T, p *path, v spdy.Version, server *spdytest.Server) *spdy.Session {
	addr := server.Listener.Addr().String()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	if p.tls {
		conf := clientTLS(server.Certificate())
		conf.NextProtos, conf.ServerName = []string{v.String()}, "127.0.0.1"
		secure := tls.Client(conn, conf)
		require.NoError(t, secure.Handshake())
		conn = secure
	}
	s := (&spdy.Config{Version: v, Logger: quiet}).ClientSession(conn)
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve() // the test closes it
	}()
	t.Cleanup(func() {
		s.Close()
		<-served
	})
	return s
}

// dial connects to a front, as a client of HTTP/1.1.
func (p *path) dial(t *testing.T, front *httptest.Server) net.Conn {
	conn, err := net.Dial("tcp", front.Listener.Addr().String())
	require.NoError(t, err)
	if p.tls {
		conf := clientTLS(front.Certificate())
		conf.ServerName = "example.com"
		conn = tls.Client(conn, conf)
	}
	require.NoError(t, conn.SetDeadline(time.Now().Add(patience)))
	t.Cleanup(func() { conn.Close() })
	return conn
}

// ask sends the text of a request and returns the answer's head, and the connection with
// what has been read behind that.
func ask(t *testing.T, conn net.Conn, method, text string) (*http.Response, io.Reader) {
	_, err := io.WriteString(conn, text)
	require.NoError(t, err)
	r := bufio.NewReader(conn)
	res, err := http.ReadResponse(r, &http.Request{Method: method})
	require.NoError(t, err)
	return res, r
}

// upgradeText is a request to upgrade.
func upgradeText(method, protocol string) string {
	return fmt.Sprintf("%s /up?q=1 HTTP/1.1\r\nHost: home.example\r\nConnection: Upgrade\r\nUpgrade: %s\r\nX-Own: yes\r\n\r\n", method, protocol)
}

// closeWrite ends the direction of a connection to its peer.
func closeWrite(c io.Writer) error {
	half, ok := c.(interface{ CloseWrite() error })
	if !ok {
		return errors.New("no half close")
	}
	return half.CloseWrite()
}

// reset cuts a connection off.
func reset(conn net.Conn) {
	lowest := lowestOf(conn)
	_ = lowest.(interface{ SetLinger(int) error }).SetLinger(0)
	lowest.Close()
}

// lowestOf returns the connection below TLS.
func lowestOf(conn net.Conn) net.Conn {
	if c, ok := conn.(interface{ NetConn() net.Conn }); ok {
		return c.NetConn()
	}
	return conn
}

// census is what a process holds.
type census struct{ goroutines, files int }

func count() census {
	files, _ := os.ReadDir("/proc/self/fd") // none where there is no such directory
	return census{runtime.NumGoroutine(), len(files)}
}

// settles waits until holds returns true.
func settles(t *testing.T, why string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			buf := make([]byte, 1<<20)
			require.Fail(t, why, "%s", buf[:runtime.Stack(buf, true)])
		}
	}
}
