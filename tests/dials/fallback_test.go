package dials

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/localcert"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// A fallback is a fault of the first two dials of a client.
type fallback struct {
	name string
	dial func() error                          // fails before there is a connection; nil if it does not
	cut  func(conn net.Conn, conf *tls.Config) // serves a connection

	anyError bool // errors differ: they name what was negotiated, or what the client did as the connection ended
}

// A met is the outcome of a request.
type met struct {
	answer string
	err    string
}

// readHello reads the head of a ClientHello and a part of its body.
func readHello(conn net.Conn) { _, _ = io.ReadFull(conn, make([]byte, 50)) }

var errCut = errors.New("the network is unreachable")

var fallbacks = []fallback{
	{name: "none"},
	{name: "the dial fails at once", dial: func() error { return errCut }},
	{name: "the dial fails after a while", dial: func() error { bubble.Pass(100 * time.Millisecond); return errCut }},
	{name: "closed at once", anyError: true, cut: func(net.Conn, *tls.Config) {}},
	{name: "closed in the ClientHello", cut: func(conn net.Conn, _ *tls.Config) { readHello(conn) }},
	{name: "closed in the ServerHello", cut: func(conn net.Conn, _ *tls.Config) {
		readHello(conn)
		_, _ = io.WriteString(conn, "\x16\x03\x03\x00\x7a\x02\x00")
	}},
	{name: "an alert", cut: func(conn net.Conn, _ *tls.Config) {
		readHello(conn)
		_, _ = io.WriteString(conn, "\x15\x03\x03\x00\x02\x02\x28")
	}},
	{name: "HTTP in place of TLS", cut: func(conn net.Conn, _ *tls.Config) {
		readHello(conn)
		_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
	}},
	{name: "cut in the last flight", anyError: true, cut: func(conn net.Conn, conf *tls.Config) {
		_ = tls.Server(&shortConn{Conn: conn, left: 700}, conf).Handshake()
	}},
	{name: "closed behind the handshake", anyError: true, cut: func(conn net.Conn, conf *tls.Config) {
		_ = tls.Server(conn, conf).Handshake()
	}},
	{name: "closed behind the request", anyError: true, cut: func(conn net.Conn, conf *tls.Config) {
		secure := tls.Server(conn, conf)
		if secure.Handshake() == nil {
			_, _ = secure.Read(make([]byte, 1000))
		}
	}},
	{name: "no protocol in common", anyError: true, cut: func(conn net.Conn, conf *tls.Config) {
		conf = conf.Clone()
		conf.NextProtos = []string{"h3"}
		_ = tls.Server(conn, conf).Handshake()
	}},
}

// A shortConn is closed when it has sent so many bytes.
type shortConn struct {
	net.Conn
	left int
}

func (c *shortConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p[:min(len(p), c.left)])
	if c.left -= n; c.left == 0 {
		c.Conn.Close()
	}
	return n, err
}

// serveTLS serves what the handshake chooses.
func serveTLS(conn net.Conn, conf *tls.Config) {
	secure := tls.Server(conn, conf)
	if secure.Handshake() != nil {
		return
	}
	if name := secure.ConnectionState().NegotiatedProtocol; strings.HasPrefix(name, "spdy") {
		_ = bubble.Quiet(spdy.Config{}, 0).ServerSession(secure, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(w, r.Body)
		})}).Serve()
		return
	}
	for in := bufio.NewReader(secure); ; {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, _ := io.ReadAll(req.Body)
		_, _ = fmt.Fprintf(secure, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	}
}

// meet returns the outcomes of a series of requests, and the number of dials.
func (f fallback) meet(t *testing.T, cert tls.Certificate, protocols []string, set func(tr *http.Transport) error) (all []met, dials int32) {
	var running sync.WaitGroup
	var n atomic.Int32
	conf := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: protocols}
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DialContext: func(context.Context, string, string) (net.Conn, error) {
		faulty := n.Add(1) <= 2
		if faulty && f.dial != nil {
			return nil, f.dial()
		}
		near, far := testconn.Pair()
		running.Go(func() {
			defer far.Close()
			if faulty && f.cut != nil {
				f.cut(far, conf)
				return
			}
			serveTLS(far, conf)
		})
		return near, nil
	}}
	require.NoError(t, set(tr))
	for _, method := range []string{"GET", "POST", "GET", "POST", "GET"} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		req, err := http.NewRequestWithContext(ctx, method, "https://home.example/", nil)
		require.NoError(t, err)
		if method == "POST" {
			req.Body, req.ContentLength = io.NopCloser(strings.NewReader("hello")), 5
		}
		res, err := tr.RoundTrip(req)
		if err != nil {
			all = append(all, met{err: err.Error()})
			cancel()
			continue
		}
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		all = append(all, met{answer: strings.Join([]string{method, res.Status, string(body)}, " ")})
		cancel()
	}
	tr.CloseIdleConnections()
	bubble.Pass(time.Minute)
	running.Wait()
	return all, n.Load()
}

// TestFallback: where the first dials of an http.Transport fail half way, ConfigureTransport changes
// neither the answers nor the number of dials, whether the server speaks SPDY, HTTP/1.1 or both. The
// errors are the same too, unless they name what was negotiated. No request fails that net/http alone
// answers.
func TestFallback(t *testing.T) {
	cert, _, err := localcert.New()
	require.NoError(t, err)
	for _, protocols := range [][]string{{"spdy/3.1", "http/1.1"}, {"spdy/3"}, {"spdy/2"}, {"http/1.1"}, nil} {
		for _, f := range fallbacks {
			bubble.Run(t, f.name+" "+strings.ReplaceAll(strings.Join(protocols, " "), "/", " "), func(t *testing.T) {
				want, dials := f.meet(t, cert, protocols, func(*http.Transport) error { return nil })
				got, ours := f.meet(t, cert, protocols, func(tr *http.Transport) error {
					return spdy.ConfigureTransport(tr, bubble.Quiet(spdy.Config{}, 0))
				})
				if !f.anyError { // otherwise requests that were not sent are tried again
					require.Equal(t, dials, ours)
				}
				for i := range want {
					if want[i].err == "" || !f.anyError {
						require.Equal(t, want[i], got[i], "request %d", i)
					}
				}
			})
		}
	}
}
