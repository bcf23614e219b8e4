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
	"net/http/httputil"
	"net/url"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// cutOrigin writes a part of so many bytes and breaks off. A declared answer has a
// Content-Length, of twice as much.
func cutOrigin(part int, declared bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if declared {
			w.Header().Set("Content-Length", strconv.Itoa(2*part))
		}
		_, _ = w.Write(make([]byte, part))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// cutWays are the ways to the origin. The first one is the oracle.
var cutWays = []string{"http.Transport", "Transport", "NewStreamProxy"}

// cutProxy returns a handler that forwards to the origin. It announces each return.
func cutProxy(t *testing.T, way string, v spdy.Version, origin http.Handler, returned chan<- error) http.Handler {
	quiet := log.New(io.Discard, "", 0)
	proxy := &httputil.ReverseProxy{ErrorLog: quiet}
	if way == "http.Transport" {
		behind := httptest.NewUnstartedServer(origin)
		behind.Config.ErrorLog = quiet
		behind.Start()
		t.Cleanup(behind.Close)
		to, err := url.Parse(behind.URL)
		require.NoError(t, err)
		transport := new(http.Transport)
		t.Cleanup(transport.CloseIdleConnections)
		proxy.Transport, proxy.Rewrite = transport, func(r *httputil.ProxyRequest) { r.SetURL(to) }
	} else {
		ln := listenHere(t)
		behind := &spdy.Server{Handler: origin, ErrorLog: quiet, Config: bubble.Quiet(spdy.Config{}, v)}
		go func() { _ = behind.Serve(ln) }()
		t.Cleanup(func() { _ = behind.Close() })
		transport := &spdy.Transport{Config: bubble.Quiet(spdy.Config{}, v)}
		t.Cleanup(transport.CloseIdleConnections)
		to := &url.URL{Scheme: "http", Host: ln.Addr().String()}
		proxy.Transport, proxy.Rewrite = transport, func(r *httputil.ProxyRequest) { r.SetURL(to) }
		if way == "NewStreamProxy" {
			conn, err := net.Dial("tcp", ln.Addr().String())
			require.NoError(t, err)
			s := bubble.Quiet(spdy.Config{}, v).ClientSession(conn)
			go func() { _ = s.Serve() }()
			t.Cleanup(s.Close)
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				panics := true
				var err error
				defer func() {
					if panics {
						err = http.ErrAbortHandler
					}
					returned <- err
				}()
				err = s.NewStreamProxy(r, w)
				panics = false
			})
		}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { returned <- http.ErrAbortHandler }()
		proxy.ServeHTTP(w, r)
	})
}

func listenHere(t *testing.T) net.Listener {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	return ln
}

// A roomyListener is of connections whose kernel takes a whole part at once.
type roomyListener struct{ net.Listener }

func (l roomyListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(1 << 20)
	}
	return conn, err
}

// serveCut starts a server of HTTP/1.1, or with h2 of HTTP/2, for the proxy.
func serveCut(t *testing.T, h http.Handler, secure, h2 bool) *httptest.Server {
	ts := httptest.NewUnstartedServer(h)
	ts.Config.ErrorLog = log.New(io.Discard, "", 0)
	ts.Listener = roomyListener{ts.Listener}
	ts.EnableHTTP2 = h2
	if secure {
		ts.StartTLS()
	} else {
		ts.Start()
	}
	t.Cleanup(func() { ts.CloseClientConnections(); ts.Close() })
	return ts
}

// dialCut connects a client whose kernel takes little.
func dialCut(t *testing.T, ts *httptest.Server, secure bool) net.Conn {
	conn, err := net.Dial("tcp", ts.Listener.Addr().String())
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(16<<10))
	if secure {
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true})
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// TestCutAnswerOverHTTP1: the origin behind a proxy breaks its answer off. A client of HTTP/1
// that begins to read when all is over gets the part that was sent, and then the cut, as from
// httputil.ReverseProxy with http.Transport; also if the proxy has left a part of the client's
// request unread, which the oracle does not bear with.
func TestCutAnswerOverHTTP1(t *testing.T) {
	for _, v := range bubble.Versions {
		for _, way := range cutWays {
			for _, part := range []int{16, 100_000} {
				for _, declared := range []bool{false, true} {
					returned := make(chan error, 1)
					proxy := cutProxy(t, way, v, cutOrigin(part, declared), returned)
					for _, secure := range []bool{false, true} {
						ts := serveCut(t, proxy, secure, false)
						for _, upload := range []int{0, 60_000} {
							for minor := range 2 {
								if way != "NewStreamProxy" && (upload > 0 || declared) {
									continue // ReverseProxy loses what it has buffered
								}
								if minor == 0 && !declared || upload > 0 && (secure || part < 100) {
									continue // there are no chunks; the proxy waits for uploads
								}
								t.Run(fmt.Sprintf("%v/%s/%d/declared=%v/TLS=%v/upload=%d/1.%d", v, way, part, declared, secure, upload, minor), func(t *testing.T) {
									conn := dialCut(t, ts, secure)
									_, err := fmt.Fprintf(conn, "POST / HTTP/1.%d\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", minor, 2*upload, make([]byte, upload))
									require.NoError(t, err)
									require.Error(t, <-returned)
									res, err := http.ReadResponse(bufio.NewReader(conn), nil)
									require.NoError(t, err)
									n, err := io.Copy(io.Discard, res.Body)
									require.EqualValues(t, part, n)
									require.ErrorIs(t, err, io.ErrUnexpectedEOF)
								})
							}
						}
					}
				}
			}
		}
	}
}

// TestCutAnswerOverStreams is the same for clients of HTTP/2 and SPDY.
func TestCutAnswerOverStreams(t *testing.T) {
	for _, v := range bubble.Versions {
		for _, way := range cutWays {
			for _, part := range []int{16, 60_000} {
				returned := make(chan error, 1)
				proxy := cutProxy(t, way, v, cutOrigin(part, false), returned)
				ln := listenHere(t)
				front := &spdy.Server{Handler: proxy, ErrorLog: log.New(io.Discard, "", 0), Config: bubble.Quiet(spdy.Config{}, v)}
				go func() { _ = front.Serve(ln) }()
				t.Cleanup(func() { _ = front.Close() })
				transport := &spdy.Transport{Config: bubble.Quiet(spdy.Config{}, v)}
				t.Cleanup(transport.CloseIdleConnections)
				h2 := serveCut(t, proxy, true, true)
				for name, get := range map[string]func() (*http.Response, error){
					"h2": func() (*http.Response, error) { return h2.Client().Get(h2.URL) },
					"SPDY": func() (*http.Response, error) {
						return (&http.Client{Transport: transport}).Get("http://" + ln.Addr().String())
					},
				} {
					t.Run(fmt.Sprintf("%v/%s/%d/%s", v, way, part, name), func(t *testing.T) {
						res, err := get()
						require.NoError(t, err)
						require.Error(t, <-returned)
						n, err := io.Copy(io.Discard, res.Body)
						res.Body.Close()
						require.EqualValues(t, part, n)
						require.Error(t, err)
					})
				}
			}
		}
	}
}
