package spdy

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/localcert"
	"github.com/amahi/spdy/internal/testconn"
)

// A scriptedHost stands for whatever is dialled in these tests: each connection made to
// it is played by the script, after which the host reads until the other side closes.
type scriptedHost struct {
	dialled []string   // addresses, in turn
	closed  chan error // what the host's last Read returned, for each connection
	script  func(conn net.Conn, r *bufio.Reader)
}

func newScriptedHost(script func(conn net.Conn, r *bufio.Reader)) *scriptedHost {
	return &scriptedHost{closed: make(chan error, 10), script: script}
}

func (h *scriptedHost) dial(_ context.Context, _, addr string) (net.Conn, error) {
	h.dialled = append(h.dialled, addr)
	ours, theirs := testconn.Pair()
	go func() {
		r := bufio.NewReader(theirs)
		h.script(theirs, r)
		_, err := io.Copy(io.Discard, r)
		theirs.Close()
		h.closed <- err
	}()
	return ours, nil
}

// requireClosed waits until the connection has been closed from our side.
func (h *scriptedHost) requireClosed(t *testing.T) {
	t.Helper()
	select {
	case err := <-h.closed:
		assert.NoError(t, err)
	case <-t.Context().Done():
	}
	require.False(t, t.Failed())
}

// say writes text, which may fail: the other side may have hung up.
func say(conn net.Conn, text string) { _, _ = io.WriteString(conn, text) }

// heard reads a request's header and returns it.
func heard(r *bufio.Reader) *http.Request {
	req, err := http.ReadRequest(r)
	if err != nil {
		return &http.Request{Method: "none: " + err.Error(), Header: make(http.Header)}
	}
	return req
}

func TestProxyConnect(t *testing.T) {
	for name, answer := range map[string]string{
		"plain":    "HTTP/1.1 200 OK\r\n\r\n",
		"HTTP/1.0": "HTTP/1.0 200 Connection established\r\n\r\n",
		"length":   "HTTP/1.1 204 Fine\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
		"interim":  "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked *http.Request
				host := newScriptedHost(func(conn net.Conn, r *bufio.Reader) {
					asked = heard(r)
					say(conn, answer+"early ")
					io.CopyN(conn, r, 4)
				})
				d := &proxyDialer{dial: host.dial, header: http.Header{"X-Proxy": {"1"}}}
				conn, err := d.dialContext(t.Context(), mustURL("http://user:pass%20word@proxy.example"), "server.example:6443")
				require.NoError(t, err)
				require.Equal(t, []string{"proxy.example:80"}, host.dialled)
				require.Equal(t, "CONNECT", asked.Method)
				require.Equal(t, "server.example:6443", asked.RequestURI)
				require.Equal(t, "server.example:6443", asked.Host)
				require.Equal(t, "1", asked.Header.Get("X-Proxy"))
				require.Equal(t, "Basic dXNlcjpwYXNzIHdvcmQ=", asked.Header.Get("Proxy-Authorization"))
				say(conn, "echo")
				got := make([]byte, 10)
				_, err = io.ReadFull(conn, got)
				require.NoError(t, err)
				require.Equal(t, "early echo", string(got), "bytes behind the answer are kept")
				conn.Close()
				host.requireClosed(t)
			})
		})
	}
}

func TestProxyPasswordWinsOverHeader(t *testing.T) {
	d := &proxyDialer{header: http.Header{"Proxy-Authorization": {"Bearer x"}}}
	req := d.connectRequest(mustURL("http://user@proxy.example"), "h:1")
	require.Equal(t, []string{"Basic dXNlcjo="}, req.Header["Proxy-Authorization"])
	req = d.connectRequest(mustURL("http://proxy.example"), "h:1")
	require.Equal(t, []string{"Bearer x"}, req.Header["Proxy-Authorization"])
}

func TestProxyOverTLS(t *testing.T) {
	cert, trust, err := localcert.New("proxy.example")
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		host := newScriptedHost(func(conn net.Conn, _ *bufio.Reader) {
			secure := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}})
			r := bufio.NewReader(secure)
			heard(r)
			say(secure, "HTTP/1.1 200 "+secure.ConnectionState().NegotiatedProtocol+"\r\n\r\nearly")
			io.Copy(io.Discard, r)
		})
		d := &proxyDialer{dial: host.dial, tls: &tls.Config{RootCAs: trust, NextProtos: []string{"h2"}, Time: localTime(cert)}}
		conn, err := d.dialContext(t.Context(), mustURL("https://proxy.example"), "server.example:443")
		require.NoError(t, err)
		require.Equal(t, []string{"proxy.example:443"}, host.dialled)
		require.Equal(t, "http/1.1", connectionState(conn).NegotiatedProtocol, "also behind what was read ahead")
		got := make([]byte, 5)
		_, err = io.ReadFull(conn, got)
		require.NoError(t, err)
		require.Equal(t, "early", string(got))
		conn.Close()
		host.requireClosed(t)

		d.tls = nil // does not know the proxy's certificate
		_, err = d.dialContext(t.Context(), mustURL("https://proxy.example"), "server.example:443")
		require.ErrorContains(t, err, "proxy https://proxy.example: tls")
		<-host.closed
	})
}

// localTime is when the certificate is valid: the clock of a bubble starts in 2000.
func localTime(cert tls.Certificate) func() time.Time {
	return func() time.Time { return cert.Leaf.NotBefore.Add(time.Hour) }
}

func TestProxySOCKS(t *testing.T) {
	for _, scheme := range []string{"socks5", "socks5h"} {
		synctest.Test(t, func(t *testing.T) {
			var user, target []byte
			host := newScriptedHost(func(conn net.Conn, r *bufio.Reader) {
				io.CopyN(io.Discard, r, 4) // version, two methods
				say(conn, "\x05\x02")      // user and password
				user = make([]byte, 11)
				io.ReadFull(r, user)
				say(conn, "\x01\x00")
				target = make([]byte, 4+1+len("server.example")+2)
				io.ReadFull(r, target)
				say(conn, "\x05\x00\x00\x01\x7f\x00\x00\x01\x12\x34early")
			})
			d := &proxyDialer{dial: host.dial}
			conn, err := d.dialContext(t.Context(), mustURL(scheme+"://user:word@proxy.example"), "server.example:443")
			require.NoError(t, err)
			require.Equal(t, []string{"proxy.example:1080"}, host.dialled)
			require.Equal(t, "\x01\x04user\x04word", string(user))
			require.Equal(t, "server.example", string(target[5:19]), "the proxy looks the name up")
			require.Equal(t, uint16(443), binary.BigEndian.Uint16(target[19:]))
			got := make([]byte, 5)
			_, err = io.ReadFull(conn, got)
			require.NoError(t, err)
			require.Equal(t, "early", string(got))
			conn.Close()
			host.requireClosed(t)
		})
	}
}

func TestProxySOCKSRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := newScriptedHost(func(conn net.Conn, r *bufio.Reader) {
			io.CopyN(io.Discard, r, 3)
			say(conn, "\x05\xff") // no method is good enough
		})
		d := &proxyDialer{dial: host.dial}
		_, err := d.dialContext(t.Context(), mustURL("socks5://proxy.example:99"), "server.example:443")
		require.ErrorContains(t, err, "spdy: proxy socks5://proxy.example:99: ")
		require.Equal(t, []string{"proxy.example:99"}, host.dialled)
		host.requireClosed(t)
	})
}

// A refusal comes with its status, header and the beginning of its body, and the
// password of the proxy is in no text.
func TestProxyRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := newScriptedHost(func(conn net.Conn, r *bufio.Reader) {
			heard(r)
			say(conn, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n"+strings.Repeat("no", maxRefusalBody))
		})
		d := &proxyDialer{dial: host.dial}
		_, err := d.dialContext(t.Context(), mustURL("http://user:secret@proxy.example:3128"), "server.example:443")
		var refused *ProxyError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, 407, refused.StatusCode)
		require.Equal(t, "Basic", refused.Header.Get("Proxy-Authenticate"))
		require.Equal(t, strings.Repeat("no", maxRefusalBody/2), string(refused.Body))
		require.EqualError(t, err, "spdy: proxy http://proxy.example:3128 does not connect to server.example:443: 407 Proxy Authentication Required")
		<-host.closed
	})
}

// A refusal whose body does not end is reported all the same.
func TestProxyRefusalStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := newScriptedHost(func(conn net.Conn, r *bufio.Reader) {
			heard(r)
			say(conn, "HTTP/1.1 503 Later\r\nContent-Length: 100\r\n\r\nbusy")
		})
		start := time.Now()
		_, err := (&proxyDialer{dial: host.dial}).dialContext(t.Context(), mustURL("http://proxy.example"), "h:1")
		var refused *ProxyError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, "busy", string(refused.Body))
		require.Equal(t, refusalPatience, time.Since(start))
		host.requireClosed(t)
	})
}

// A refusal whose body has not come when the caller's time is up is a refusal.
func TestRefusalOutlivesTheCaller(t *testing.T) {
	const patience = refusalPatience / 2
	for name, dial := range map[string]func(ctx context.Context, d dialFunc) error{
		"proxy": func(ctx context.Context, d dialFunc) error {
			_, err := (&proxyDialer{dial: d}).dialContext(ctx, mustURL("http://proxy.example"), "h:1")
			return err
		},
		"upgrade": func(ctx context.Context, d dialFunc) error {
			_, _, err := (&UpgradeDialer{DialContext: d}).Dial(ctx, "GET", "http://server.example/")
			return err
		},
	} {
		synctest.Test(t, func(t *testing.T) {
			host := newScriptedHost(func(conn net.Conn, r *bufio.Reader) {
				heard(r)
				say(conn, "HTTP/1.1 503 Later\r\nConnection: close\r\n\r\nbusy")
			})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			start := time.Now()
			err := dial(ctx, host.dial)
			require.True(t, isRefusal(err), "%s: %v", name, err)
			require.ErrorContains(t, err, "503 Later")
			require.Equal(t, patience, time.Since(start))
			host.requireClosed(t)
		})
	}
}

// What a proxy may say before it has agreed to anything is bounded.
func TestProxyBounds(t *testing.T) {
	for name, answer := range map[string]string{
		"answer is larger":        "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxAnswerHeader),
		"interim answers":         strings.Repeat("HTTP/1.1 102 Wait\r\n\r\n", maxInterimAnswer),
		"malformed HTTP response": "SSH-2.0-OpenSSH_9.6\r\n\r\n",
		"malformed MIME header":   "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			host := newScriptedHost(func(conn net.Conn, r *bufio.Reader) {
				heard(r)
				say(conn, answer)
			})
			_, err := (&proxyDialer{dial: host.dial}).dialContext(t.Context(), mustURL("http://proxy.example"), "h:1")
			require.ErrorContains(t, err, name)
			<-host.closed
		})
	}
}

// A context that ends stops dialling in every phase, and no connection is left.
func TestProxyCancelled(t *testing.T) {
	cause := errors.New("enough")
	for name, test := range map[string]struct {
		via    string
		script func(conn net.Conn, r *bufio.Reader)
	}{
		"CONNECT":    {"http://proxy.example", func(net.Conn, *bufio.Reader) {}},
		"header":     {"http://proxy.example", func(conn net.Conn, r *bufio.Reader) { say(conn, "HTTP/1.1 200 OK\r\nX") }},
		"TLS":        {"https://proxy.example", func(net.Conn, *bufio.Reader) {}},
		"SOCKS":      {"socks5://proxy.example", func(net.Conn, *bufio.Reader) {}},
		"SOCKS auth": {"socks5://proxy.example", func(conn net.Conn, r *bufio.Reader) { say(conn, "\x05\x00") }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host := newScriptedHost(test.script)
				ctx, cancel := context.WithCancelCause(t.Context())
				result := make(chan error)
				go func() {
					conn, err := (&proxyDialer{dial: host.dial}).dialContext(ctx, mustURL(test.via), "server.example:1")
					assert.Nil(t, conn)
					result <- err
				}()
				synctest.Wait()
				cancel(cause)
				err := <-result
				require.ErrorIs(t, err, cause)
				<-host.closed
			})
		})
	}
}

func TestProxyURLs(t *testing.T) {
	for via, want := range map[string]string{
		"ftp://proxy.example": "spdy: proxy ftp://proxy.example: its scheme is not http, https, socks5 or socks5h",
		"http://":             "spdy: proxy http://: no host",
		"socks5://":           "spdy: proxy socks5://: no host",
	} {
		_, err := new(proxyDialer).dialContext(t.Context(), mustURL(via), "h:1")
		require.EqualError(t, err, want)
	}
	for u, want := range map[string]string{
		"http://bücher.example": "xn--bcher-kva.example:80", "http://[::1]": "[::1]:80", "http://[::1]:81": "[::1]:81",
		"http://h:": "h:80", "http://h:8080": "h:8080",
	} {
		addr, err := urlAddr(mustURL(u), "80")
		require.NoError(t, err)
		require.Equal(t, want, addr)
	}
}

func TestNoProxy(t *testing.T) {
	host := newScriptedHost(func(net.Conn, *bufio.Reader) {})
	conn, err := (&proxyDialer{dial: host.dial}).dialContext(t.Context(), (*url.URL)(nil), "h:1")
	require.NoError(t, err)
	conn.Close()
	host.requireClosed(t)
	require.Equal(t, []string{"h:1"}, host.dialled)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	conn, err = new(proxyDialer).dialContext(t.Context(), nil, ln.Addr().String())
	require.NoError(t, err, "the default dials TCP")
	conn.Close()
}
