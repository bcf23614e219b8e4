package ends

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// A bodyWrapper is a connection in the way that programs count or watch theirs.
type bodyWrapper struct {
	net.Conn
	closed *atomic.Int32
}

func (c bodyWrapper) NetConn() net.Conn { return c.Conn }

func (c bodyWrapper) Close() error {
	c.closed.Add(1)
	return c.Conn.Close()
}

// A bodyWrapping wraps its connections so often.
type bodyWrapping struct {
	net.Listener
	times  int
	closed *atomic.Int32
}

func (l bodyWrapping) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	for range l.times {
		if err == nil {
			c = bodyWrapper{c, l.closed}
		}
	}
	return c, err
}

// cutFront starts an origin whose answer is cut off when cut is closed, and an HTTP server in front of it whose
// connections are wrapped, before TLS and behind it. closed counts closed wrappers.
func cutFront(t *testing.T, v spdy.Version, cut <-chan struct{}, before, behind int, secure bool) (addr string, closed *atomic.Int32, results chan error) {
	results = make(chan error, 1)
	a, b := net.Pipe()
	part := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "part")
		_ = http.NewResponseController(w).Flush()
		<-cut
		panic(http.ErrAbortHandler)
	}
	origin := bubble.Quiet(spdy.Config{}, v).ServerSession(a, &http.Server{Handler: http.HandlerFunc(part)})
	s := bubble.Quiet(spdy.Config{}, v).ClientSession(b)
	for _, s := range []*spdy.Session{origin, s} {
		go func() { _ = s.Serve() }()
		t.Cleanup(func() { s.Close() })
	}
	front := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { results <- s.NewStreamProxy(r, w) }))
	front.Config.ErrorLog = log.New(io.Discard, "", 0)
	closed = new(atomic.Int32)
	front.Listener = bodyWrapping{front.Listener, before, closed}
	if secure {
		cert := httptest.NewUnstartedServer(nil)
		cert.StartTLS()
		cert.Close()
		front.Listener = tls.NewListener(front.Listener, &tls.Config{Certificates: cert.TLS.Certificates})
	}
	front.Listener = bodyWrapping{front.Listener, behind, closed}
	front.Start()
	t.Cleanup(front.Close)
	return front.Listener.Addr().String(), closed, results
}

// TestBodyCutBehindWrappers: a client of HTTP/1.0 knows the end of an answer by that of the
// connection. One that is cut off does not look whole, whatever the server's connections are
// wrapped in, and the wrappers learn of their end.
func TestBodyCutBehindWrappers(t *testing.T) {
	for _, v := range bubble.Versions {
		for before := range 3 {
			for behind := range 3 {
				for _, secure := range []bool{false, true} {
					t.Run(fmt.Sprintf("%v/%d/%d/TLS=%v", v, before, behind, secure), func(t *testing.T) {
						cut := make(chan struct{})
						addr, closed, results := cutFront(t, v, cut, before, behind, secure)
						conn, err := net.Dial("tcp", addr)
						require.NoError(t, err)
						defer conn.Close()
						if secure {
							conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
						}
						_, err = io.WriteString(conn, "GET / HTTP/1.0\r\nHost: ends.example\r\n\r\n")
						require.NoError(t, err)
						res, err := http.ReadResponse(bufio.NewReader(conn), nil)
						require.NoError(t, err)
						close(cut)
						got, err := io.ReadAll(res.Body)
						require.Error(t, err, "%q looks whole", got)
						require.Error(t, <-results)
						require.EqualValues(t, before+behind, closed.Load())
					})
				}
			}
		}
	}
}
