package spdy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/localcert"
	"github.com/amahi/spdy/internal/testconn"
)

// A lingerListener hands out connections that can be reset the way TCP ones can.
type lingerListener struct{ *testconn.Listener }

func (l lingerListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &lingerConn{Conn: c.(*testconn.Conn)}, nil
}

type lingerConn struct {
	*testconn.Conn
	abrupt atomic.Bool
}

func (c *lingerConn) SetLinger(sec int) error {
	c.abrupt.Store(sec == 0)
	return nil
}

func (c *lingerConn) Close() error {
	if c.abrupt.Load() {
		c.Reset()
		return nil
	}
	return c.Conn.Close()
}

// quietLog throws away what net/http says of broken connections.
var quietLog = log.New(io.Discard, "", 0)

// overHTTP1 fetches a path from an HTTP/1 server by hand. The body is complete only
// as far as the framing of HTTP/1 says so.
func overHTTP1(conn net.Conn, proto, path string) (status int, body []byte, err error) {
	if _, err := io.WriteString(conn, "GET "+path+" "+proto+"\r\nHost: x\r\n\r\n"); err != nil {
		return 0, nil, err
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0, nil, err
	}
	body, err = io.ReadAll(res.Body)
	return res.StatusCode, body, err
}

// TestCutProxiedToHTTP1 cuts the answers that a relay hands on to HTTP/1 clients: with a
// Content-Length, chunked, and delimited by the end of the connection.
func TestCutProxiedToHTTP1(t *testing.T) {
	rec := record(t)
	protos := [3]string{"HTTP/1.1", "HTTP/1.1", "HTTP/1.0"}
	for n := 0; n <= len(rec.down); n += cutStride(t) {
		synctest.Test(t, func(t *testing.T) {
			mine, peer := testconn.Pair()
			back := inVersion(t, nil).ClientSession(mine)
			go back.Serve()
			ln := lingerListener{testconn.Listen()}
			front := &http.Server{ErrorLog: quietLog, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				back.NewStreamProxy(r, w)
			})}
			go front.Serve(ln)
			var wg sync.WaitGroup
			for i, b := range threeBodies {
				conn, err := ln.Dial()
				require.NoError(t, err)
				wg.Go(func() {
					defer conn.Close()
					status, body, err := overHTTP1(conn, protos[i], b.path)
					switch {
					case finDelivered(rec.down[:n], b.id):
						require.NoError(t, err, "byte %d, %s", n, b.path)
						require.Equal(t, 200, status)
						require.Equal(t, patternBytes(10+int64(i), b.down), body)
					case headDelivered(rec.down[:n], b.id):
						require.Error(t, err, "byte %d, %s: %d bytes look whole", n, b.path, len(body))
						require.True(t, bytes.HasPrefix(patternBytes(10+int64(i), b.down), body))
					default:
						require.NoError(t, err)
						require.Equal(t, http.StatusBadGateway, status)
					}
				})
				synctest.Wait()
			}
			peer.Write(rec.down[:n])
			synctest.Wait()
			peer.Close()
			wg.Wait()
			<-back.Done()
			front.Close()
		})
		if t.Failed() {
			t.Fatalf("at byte %d of %d", n, len(rec.down))
		}
	}
}

// TestCutProxiedToSPDY cuts them on the way through a relay to a SPDY client.
func TestCutProxiedToSPDY(t *testing.T) {
	rec := record(t)
	for n := 0; n <= len(rec.down); n += 5 * cutStride(t) {
		synctest.Test(t, func(t *testing.T) {
			mine, peer := testconn.Pair()
			back := inVersion(t, nil).ClientSession(mine)
			go back.Serve()
			front := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				back.NewStreamProxy(r, wrapped{wrapped{w}}) // as middleware does
			}), rigSetup{})
			var wg sync.WaitGroup
			for i, b := range threeBodies {
				wg.Go(func() {
					res, body, err := front.fetch(front.request("GET", b.path, nil))
					switch {
					case finDelivered(rec.down[:n], b.id):
						require.NoError(t, err)
						require.Equal(t, string(patternBytes(10+int64(i), b.down)), body)
					case headDelivered(rec.down[:n], b.id):
						var reset *StreamError
						require.ErrorAs(t, err, &reset, "byte %d, %s: %d bytes look whole", n, b.path, len(body))
						require.True(t, reset.Remote)
						require.Equal(t, RstInternalError, reset.Status)
						require.True(t, strings.HasPrefix(string(patternBytes(10+int64(i), b.down)), body))
					default:
						require.NoError(t, err)
						require.Equal(t, http.StatusBadGateway, res.StatusCode)
					}
				})
				synctest.Wait()
			}
			peer.Write(rec.down[:n])
			synctest.Wait()
			peer.Close()
			wg.Wait()
			require.NoError(t, front.client.Err())
			front.requireBalanced()
			front.close()
		})
		if t.Failed() {
			t.Fatalf("at byte %d of %d", n, len(rec.down))
		}
	}
}

// wrapped is the ResponseWriter of a middleware.
type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// TestCutProxiedOverSockets cuts answers to real HTTP/1 clients. A TLS connection that
// is closed in an orderly way looks to an HTTP/1.0 client like the end of the answer.
func TestCutProxiedOverSockets(t *testing.T) {
	cert, pool, err := localcert.New()
	require.NoError(t, err)
	one, two := testconn.Pair()
	origin := inVersion(t, nil).ServerSession(two, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/length" {
			w.Header().Set("Content-Length", "1000000")
		}
		io.Copy(w, newPattern(1, 500_000))
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})})
	back := inVersion(t, nil).ClientSession(one)
	before := goroutineStacks()
	go origin.Serve()
	go back.Serve()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { back.NewStreamProxy(r, w) })
	for _, secure := range []bool{false, true} {
		front := httptest.NewUnstartedServer(handler)
		front.Config.ErrorLog = quietLog
		if secure {
			front.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
			front.StartTLS()
		} else {
			front.Start()
		}
		for _, proto := range []string{"HTTP/1.0", "HTTP/1.1"} {
			for _, path := range []string{"/length", "/none"} {
				conn := dialTest(t, front.Listener.Addr(), secure, pool)
				_, body, err := overHTTP1(conn, proto, path)
				require.Error(t, err, "TLS %v, %s, %s: %d bytes look whole", secure, proto, path, len(body))
				conn.Close()
			}
		}
		front.Close()
	}
	back.Close()
	origin.Close()
	require.Empty(t, awaitGoroutines(before, leakPatience))
}

func dialTest(t *testing.T, addr net.Addr, secure bool, pool *x509.CertPool) net.Conn {
	conn, err := net.Dial("tcp", addr.String())
	require.NoError(t, err)
	if !secure {
		return conn
	}
	return tls.Client(conn, &tls.Config{RootCAs: pool, ServerName: "localhost"})
}
