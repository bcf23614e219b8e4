package spdy

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/localcert"
)

const switching = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"

func TestUpgradeDial(t *testing.T) {
	for name, test := range map[string]struct {
		answer   string
		protocol string
	}{
		"chosen":        {switching + "X-Stream-Protocol-Version: v4\r\n\r\n", "v4"},
		"an old server": {switching + "\r\n", ""},
		"any case":      {"HTTP/1.1 101 \r\nconnection: keep-alive, upgrade\r\nupgrade: spdy/3.1\r\nx-stream-protocol-version: v0\r\n\r\n", "v0"},
		"interim":       {"HTTP/1.1 103 Early Hints\r\n\r\n" + switching + "\r\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked *http.Request
				host := newScriptedHost(func(conn net.Conn, r *bufio.Reader) {
					asked = heard(r)
					say(conn, test.answer+string(appendPing(nil, SPDY31, 2)))
				})
				d := &UpgradeDialer{
					DialContext: host.dial, Protocols: []string{"v5", "v4"},
					Header: http.Header{"host": {"kubelet"}, "x-stream-protocol-version": {"v0"}, "Connection": {"close"}},
				}
				s, protocol, err := d.Dial(t.Context(), "POST", "http://me:secret@server.example/exec?command=x&command=y")
				require.NoError(t, err)
				require.Equal(t, test.protocol, protocol)
				require.Equal(t, []string{"server.example:80"}, host.dialled)
				require.Equal(t, "POST", asked.Method)
				require.Equal(t, "/exec?command=x&command=y", asked.RequestURI)
				require.Equal(t, "kubelet", asked.Host)
				require.Zero(t, asked.ContentLength)
				require.Equal(t, []string{"Upgrade"}, asked.Header["Connection"])
				require.Equal(t, []string{"SPDY/3.1"}, asked.Header["Upgrade"])
				require.Equal(t, []string{"v0", "v5", "v4"}, asked.Header["X-Stream-Protocol-Version"])
				user, password, _ := asked.BasicAuth()
				require.Equal(t, "me secret", user+" "+password)
				require.Equal(t, SPDY31, s.Version())
				go s.Serve()
				synctest.Wait()
				s.Close()
				host.requireClosed(t)
				require.Equal(t, map[string][]string{"host": {"kubelet"}, "x-stream-protocol-version": {"v0"}, "Connection": {"close"}}, map[string][]string(d.Header), "the caller's header stays as it is")
			})
		})
	}
}

// TestUpgradeDialTLS: ALPN offers HTTP/1.1 alone, even if the caller's configuration
// offers HTTP/2, which has no upgrade.
func TestUpgradeDialTLS(t *testing.T) {
	cert, trust, err := localcert.New("server.example")
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		var negotiated string
		host := newScriptedHost(func(conn net.Conn, _ *bufio.Reader) {
			secure := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2", "http/1.1"}})
			r := bufio.NewReader(secure)
			heard(r)
			negotiated = secure.ConnectionState().NegotiatedProtocol
			say(secure, switching+"\r\n")
			io.Copy(io.Discard, r)
		})
		d := &UpgradeDialer{DialContext: host.dial, TLSClientConfig: &tls.Config{RootCAs: trust, NextProtos: []string{"h2"}, Time: localTime(cert)}}
		s, _, err := d.Dial(t.Context(), "GET", "https://server.example")
		require.NoError(t, err)
		require.Equal(t, "http/1.1", negotiated)
		require.Equal(t, []string{"server.example:443"}, host.dialled)
		s.Close()
		host.requireClosed(t)

		d.TLSClientConfig = nil
		_, _, err = d.Dial(t.Context(), "GET", "https://server.example")
		var failed *UpgradeError
		require.ErrorAs(t, err, &failed)
		require.Zero(t, failed.StatusCode)
		var unverified *tls.CertificateVerificationError
		require.ErrorAs(t, err, &unverified)
		<-host.closed
	})
}

// TestUpgradeDialProxyTLS: TLS to the server within TLS to the proxy, each with the
// name of its own host.
func TestUpgradeDialProxyTLS(t *testing.T) {
	cert, trust, err := localcert.New("server.example", "proxy.example")
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		names := make(chan string, 2)
		conf := &tls.Config{GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			names <- hello.ServerName
			return &cert, nil
		}}
		var tunnel, asked *http.Request
		host := newScriptedHost(func(conn net.Conn, _ *bufio.Reader) {
			outer := tls.Server(conn, conf)
			r := bufio.NewReader(outer)
			tunnel = heard(r)
			say(outer, "HTTP/1.1 200 OK\r\n\r\n")
			inner := tls.Server(&bufferedConn{outer, r}, conf)
			asked = heard(bufio.NewReader(inner))
			say(inner, switching+"\r\n")
			io.Copy(io.Discard, inner)
		})
		d := &UpgradeDialer{
			DialContext:        host.dial,
			TLSClientConfig:    &tls.Config{RootCAs: trust, ServerName: "server.example", Time: localTime(cert)},
			ProxyConnectHeader: http.Header{"X-Proxy": {"1"}},
			Proxy: func(r *http.Request) (*url.URL, error) {
				return url.Parse("https://proxy.example:8443/?for=" + r.URL.Host)
			},
		}
		s, _, err := d.Dial(t.Context(), "GET", "https://10.0.0.1:6443/attach")
		require.NoError(t, err)
		require.Equal(t, []string{"proxy.example:8443"}, host.dialled)
		require.Equal(t, "proxy.example", <-names)
		require.Equal(t, "server.example", <-names)
		require.Equal(t, "10.0.0.1:6443", tunnel.RequestURI)
		require.Equal(t, "1", tunnel.Header.Get("X-Proxy"))
		require.Equal(t, "/attach", asked.RequestURI)
		require.Empty(t, asked.Header.Get("X-Proxy"))
		s.Close()
		host.requireClosed(t)
	})
}

type bufferedConn struct {
	net.Conn
	r io.Reader
}

func (c *bufferedConn) Read(p []byte) (int, error) { return c.r.Read(p) }

// What is not an upgrade is an error with all there is to know, and nobody goes after a
// redirect.
func TestUpgradeDialRefused(t *testing.T) {
	for name, test := range map[string]struct {
		answer string
		status int
		body   string
		text   string
	}{
		"unauthorized": {
			"HTTP/1.1 401 Unauthorized\r\nWww-Authenticate: Basic\r\nContent-Length: 5\r\n\r\nlogin", 401, "login",
			"401 Unauthorized",
		},
		"redirect": {
			"HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nelse\r\n0\r\n\r\n", 302, "else",
			"302 Found",
		},
		"forbidden": {
			"HTTP/1.1 403 Forbidden\r\nX-Accepted-Stream-Protocol-Versions: v1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", 403, "",
			"403 Forbidden",
		},
		"not switched":     {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi", "200 OK"},
		"another protocol": {strings.Replace(switching, "SPDY/3.1", "websocket", 1) + "\r\n", 101, "", `101 Switching Protocols: the server switches to ["websocket"], not to SPDY/3.1`},
		"two protocols":    {strings.Replace(switching, "SPDY/3.1", "SPDY/3.1, h2c", 1) + "\r\n", 101, "", `101 Switching Protocols: the server switches to ["SPDY/3.1" "h2c"], not to SPDY/3.1`},
		"no Upgrade":       {"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\n\r\n", 101, "", `101 Switching: the server switches to [], not to SPDY/3.1`},
		"no Connection":    {"HTTP/1.1 101 Switching\r\nUpgrade: SPDY/3.1\r\n\r\n", 101, "", "101 Switching: the header field Connection of the answer does not say Upgrade"},
		"not offered":      {switching + "X-Stream-Protocol-Version: v9\r\n\r\n", 101, "", `101 Switching Protocols: the server chooses ["v9"], which was not offered`},
		"two chosen":       {switching + "X-Stream-Protocol-Version: v4\r\nX-Stream-Protocol-Version: v4\r\n\r\n", 101, "", `101 Switching Protocols: the server chooses ["v4" "v4"], which was not offered`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host := newScriptedHost(func(conn net.Conn, r *bufio.Reader) {
					heard(r)
					say(conn, test.answer)
				})
				d := &UpgradeDialer{DialContext: host.dial, Protocols: []string{"v4"}}
				s, _, err := d.Dial(t.Context(), "POST", "http://me:secret@server.example/x")
				require.Nil(t, s)
				var refused *UpgradeError
				require.ErrorAs(t, err, &refused)
				require.Equal(t, test.status, refused.StatusCode)
				require.Equal(t, test.body, string(refused.Body))
				require.Equal(t, "http://server.example/x", refused.URL)
				require.EqualError(t, err, "spdy: upgrade of http://server.example/x: "+test.text)
				switch test.status {
				case 302:
					require.Equal(t, "http://evil.example/", refused.Header.Get("Location"))
				case 401:
					require.Equal(t, "Basic", refused.Header.Get("Www-Authenticate"))
				}
				require.Len(t, host.dialled, 1)
				host.requireClosed(t)
			})
		})
	}
}

// The refusal of a proxy is told like that of the server.
func TestUpgradeDialProxyRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := newScriptedHost(func(conn net.Conn, r *bufio.Reader) {
			heard(r)
			say(conn, "HTTP/1.1 407 Who\r\nProxy-Authenticate: Basic\r\nContent-Length: 3\r\n\r\nyou")
		})
		d := &UpgradeDialer{DialContext: host.dial, Proxy: http.ProxyURL(mustURL("http://me:secret@proxy.example"))}
		_, _, err := d.Dial(t.Context(), "POST", "http://server.example/x")
		var refused *UpgradeError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, 407, refused.StatusCode)
		require.Equal(t, "Basic", refused.Header.Get("Proxy-Authenticate"))
		require.Equal(t, "you", string(refused.Body))
		var proxy *ProxyError
		require.ErrorAs(t, err, &proxy)
		require.EqualError(t, err, "spdy: upgrade of http://server.example/x: proxy http://proxy.example does not connect to server.example:80: 407 Who")
		host.requireClosed(t)
	})
}

var errNoNetwork = errors.New("no network")

// Failures before there is an answer are upgrade errors too, and tell no password.
func TestUpgradeDialFails(t *testing.T) {
	noNetwork := func(context.Context, string, string) (net.Conn, error) { return nil, errNoNetwork }
	for name, test := range map[string]struct {
		dialer UpgradeDialer
		method string
		url    string
		text   string
	}{
		"dial":    {UpgradeDialer{DialContext: noNetwork}, "GET", "http://me:secret@h/", "http://h/: no network"},
		"proxy":   {UpgradeDialer{Proxy: func(*http.Request) (*url.URL, error) { return nil, errNoNetwork }}, "GET", "http://h/", "http://h/: no network"},
		"scheme":  {UpgradeDialer{}, "GET", "ftp://me:secret@h/", `ftp://h/: the request: scheme "ftp" is not http or https`},
		"URL":     {UpgradeDialer{}, "GET", "http://me:secret@h\x7f/", "an invalid URL: the request: net/url: invalid control character in URL"},
		"no host": {UpgradeDialer{}, "GET", "http:///x", "http:///x: no host"},
		"method":  {UpgradeDialer{}, "G T", "http://h/", `http://h/: the request: net/http: invalid method "G T"`},
		"name":    {UpgradeDialer{Header: http.Header{"a b": {"c"}}}, "GET", "http://h/", `http://h/: the request: header field "a b" is not valid`},
		"value":   {UpgradeDialer{Header: http.Header{"a": {"c\r\nd: e"}}}, "GET", "http://h/", `http://h/: the request: header field "a" is not valid`},
		"offer":   {UpgradeDialer{Protocols: []string{"c\r\nd: e"}}, "GET", "http://h/", `http://h/: the request: stream protocol "c\r\nd: e" is not valid`},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := test.dialer.Dial(t.Context(), test.method, test.url)
			var failed *UpgradeError
			require.ErrorAs(t, err, &failed)
			require.EqualError(t, err, "spdy: upgrade of "+test.text)
		})
	}
}

// TestUpgradeDialCancelled: a context that ends stops every phase, and the connection
// is closed.
func TestUpgradeDialCancelled(t *testing.T) {
	for name, test := range map[string]struct {
		url    string
		proxy  string
		script func(conn net.Conn, r *bufio.Reader)
	}{
		"TLS":          {"https://server.example", "", func(net.Conn, *bufio.Reader) {}},
		"answer":       {"http://server.example", "", func(net.Conn, *bufio.Reader) {}},
		"header":       {"http://server.example", "", func(conn net.Conn, _ *bufio.Reader) { say(conn, switching) }},
		"body":         {"http://server.example", "", func(conn net.Conn, _ *bufio.Reader) { say(conn, "HTTP/1.1 401 No\r\n\r\nno") }},
		"proxy":        {"http://server.example", "http://proxy.example", func(net.Conn, *bufio.Reader) {}},
		"behind proxy": {"http://server.example", "http://proxy.example", func(conn net.Conn, _ *bufio.Reader) { say(conn, "HTTP/1.1 200 OK\r\n\r\n") }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				host := newScriptedHost(test.script)
				d := &UpgradeDialer{DialContext: host.dial}
				if test.proxy != "" {
					d.Proxy = http.ProxyURL(mustURL(test.proxy))
				}
				ctx, cancel := context.WithCancel(t.Context())
				result := make(chan error)
				go func() {
					s, _, err := d.Dial(ctx, "GET", test.url)
					assert.Nil(t, s)
					result <- err
				}()
				synctest.Wait()
				cancel()
				err := <-result
				require.ErrorIs(t, err, context.Canceled)
				<-host.closed
			})
		})
	}
	t.Run("dial", func(t *testing.T) {
		d := &UpgradeDialer{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, _, err := d.Dial(ctx, "GET", "http://h/")
		require.ErrorIs(t, err, context.Canceled)
	})
}

// The context of Dial has no say once there is a session.
func TestUpgradeDialContextEndsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		host := newScriptedHost(func(conn net.Conn, r *bufio.Reader) {
			heard(r)
			say(conn, switching+"\r\n")
		})
		ctx, cancel := context.WithCancel(t.Context())
		s, _, err := (&UpgradeDialer{DialContext: host.dial}).Dial(ctx, "GET", "http://h/")
		require.NoError(t, err)
		go s.Serve()
		cancel()
		synctest.Wait()
		require.NoError(t, s.Err())
		s.Close()
		host.requireClosed(t)
	})
}

// Frames that come right behind the 101 are the session's first.
func TestUpgradeDialKeepsWhatCameBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		echoed := make(chan uint32, 1)
		host := newScriptedHost(func(conn net.Conn, r *bufio.Reader) {
			heard(r)
			say(conn, switching+"\r\n"+string(appendPing(nil, SPDY31, 78)))
			for f := NewFramer(nil, r, SPDY31); ; {
				frame, err := f.ReadFrame()
				if !assert.NoError(t, err) {
					return
				}
				if ping, ok := frame.(*PingFrame); ok {
					echoed <- ping.ID
					return
				}
			}
		})
		s, _, err := (&UpgradeDialer{DialContext: host.dial}).Dial(t.Context(), "GET", "http://h/")
		require.NoError(t, err)
		go s.Serve()
		require.EqualValues(t, 78, <-echoed)
		s.Close()
		host.requireClosed(t)
	})
}
