package spdy

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/localcert"
	"github.com/amahi/spdy/tests/socks"
)

// A Transport over TLS and through proxies, on real sockets.

// echoWay is a handler that says how a request came.
func echoWay(w http.ResponseWriter, r *http.Request) {
	version := r.Proto
	if st := streamOf(w); st != nil {
		version = st.session.Version().String()
	}
	fmt.Fprintf(w, "%s tls:%v", version, r.TLS != nil)
}

// A joint joins two connections until both have ended.
// A connectProxy is an HTTP proxy that makes tunnels.
type connectProxy struct {
	*httptest.Server
	tunnels atomic.Int32
	secret  string // the Proxy-Authorization that it wants, "" for none
	last    atomic.Pointer[http.Request]
}

func startConnectProxy(t *testing.T, secret string, overTLS bool) *connectProxy {
	p := &connectProxy{secret: secret}
	p.Server = httptest.NewUnstartedServer(p)
	p.Config.ErrorLog = quietLog
	if overTLS {
		p.StartTLS()
	} else {
		p.Start()
	}
	t.Cleanup(p.Close)
	return p
}

func (p *connectProxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.last.Store(r)
	switch {
	case p.secret != "" && r.Header.Get("Proxy-Authorization") != p.secret:
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	case r.Method != http.MethodConnect:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	there, err := net.Dial("tcp", r.Host)
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	here, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	p.tunnels.Add(1)
	_, _ = io.WriteString(here, "HTTP/1.1 200 Connection established\r\n\r\n")
	socks.Join(here, there)
}

// startSOCKS serves SOCKS5 (RFC 1928) with a user and a password (RFC 1929), if they are
// not empty. names gets the names that are to be connected to.
func startSOCKS(t *testing.T, user, password string, names *atomic.Pointer[string]) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	proxy := &socks.Proxy{User: user, Password: password, Dial: func(addr string) (net.Conn, error) {
		name, port, _ := net.SplitHostPort(addr)
		names.Store(&name)
		if strings.HasSuffix(name, ".example") { // all of them are here
			addr = net.JoinHostPort("127.0.0.1", port)
		}
		return net.Dial("tcp", addr)
	}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go proxy.Serve(conn)
		}
	}()
	t.Cleanup(func() { ln.Close(); <-done })
	return ln.Addr().String()
}

// withServer starts a server and a Transport that trusts it. kind is that of serveOn.
func withServer(t *testing.T, kind string) (*served, *Transport) {
	s := serveOn(t, &Server{Handler: http.HandlerFunc(echoWay), ErrorLog: quietLog}, kind)
	tr := &Transport{}
	if s.pool != nil {
		tr.TLSClientConfig = &tls.Config{RootCAs: s.pool}
	}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		assert.NoError(t, s.Close())
		assert.ErrorIs(t, <-s.end, http.ErrServerClosed)
	})
	return s, tr
}

func TestTransportTLS(t *testing.T) {
	t.Run("negotiated", func(t *testing.T) {
		s, tr := withServer(t, "tls")
		var log hookLog
		for range 2 {
			req, err := http.NewRequestWithContext(log.in(context.Background()), "GET", s.url("/"), nil)
			require.NoError(t, err)
			res, err := tr.RoundTrip(req)
			require.NoError(t, err)
			body, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.Equal(t, "spdy/3.1 tls:true", string(body))
			require.Equal(t, "spdy/3.1", res.TLS.NegotiatedProtocol)
			require.NoError(t, res.Body.Close())
		}
		calls := log.take()
		require.Regexp(t, "^GetConn 127.0.0.1:[0-9]+; ConnectStart; ConnectDone <nil>; TLSHandshakeStart; "+
			"TLSHandshakeDone spdy/3.1 <nil>; GotConn true false false 0s; WroteHeaders; ", calls)
		require.Equal(t, 1, strings.Count(calls, "TLSHandshakeStart"))
	})
	t.Run("an older dialect", func(t *testing.T) {
		s, tr := withServer(t, "tls")
		tr.TLSClientConfig.NextProtos = []string{"h2", "spdy/2", "spdy/3", "http/1.1"}
		tr.TLSClientConfig.ServerName = "localhost"
		body, err := fetchURL(tr, s.url("/"))
		require.NoError(t, err)
		require.Equal(t, "spdy/3 tls:true", body, "the server's order counts, of what is offered")
	})
	t.Run("not trusted", func(t *testing.T) {
		s, tr := withServer(t, "tls")
		tr.TLSClientConfig = nil
		_, err := fetchURL(tr, s.url("/"))
		var cert *tls.CertificateVerificationError
		require.ErrorAs(t, err, &cert)
	})
	t.Run("DialTLSContext", func(t *testing.T) {
		s, tr := withServer(t, "tls")
		conf := &tls.Config{RootCAs: s.pool, ServerName: "localhost", NextProtos: []string{"spdy/3"}}
		for name, wrap := range map[string]func(*tls.Conn) net.Conn{
			"spdy/3 tls:true":   func(c *tls.Conn) net.Conn { return c },
			"spdy/3 tls:true ":  func(c *tls.Conn) net.Conn { return &stateConn{c} },
			"spdy/3 tls:true  ": func(c *tls.Conn) net.Conn { return &readAheadConn{Conn: c} }, // tells nothing
		} {
			mine := &Transport{Config: &Config{Version: SPDY3}, DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
				if err != nil {
					return nil, err
				}
				return wrap(tls.Client(conn, conf)), nil
			}}
			body, err := fetchURL(mine, s.url("/"))
			require.NoError(t, err, name)
			require.Equal(t, strings.TrimSpace(name), body)
			mine.CloseIdleConnections()
		}
		tr.DialTLSContext = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("no") }
		_, err := fetchURL(tr, s.url("/"))
		require.EqualError(t, err, "no")
	})
}

// A stateConn is a TLS connection that is no *tls.Conn.
type stateConn struct{ *tls.Conn }

func TestTransportNegotiationError(t *testing.T) {
	for _, tt := range []struct {
		name   string
		offers []string // of the server; nil does not negotiate
		alert  bool
	}{
		{name: "nothing"},
		{name: "h2 only", offers: []string{"h2"}, alert: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cert, pool, err := localcert.New()
			require.NoError(t, err)
			raw, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			ln := tls.NewListener(raw, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: tt.offers})
			end := make(chan error, 1)
			go func() {
				conn, err := ln.Accept()
				if err == nil {
					_ = conn.(*tls.Conn).Handshake()
					_, err = conn.Read(make([]byte, 1))
					conn.Close()
				}
				end <- err
			}()
			tr := &Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
			_, err = fetchURL(tr, "https://"+raw.Addr().String())
			var e *NegotiationError
			require.ErrorAs(t, err, &e)
			require.Equal(t, raw.Addr().String(), e.Addr)
			require.Empty(t, e.Protocol)
			require.Equal(t, tt.alert, e.Err != nil, "%v", e.Err)
			require.Contains(t, err.Error(), "does not speak SPDY")
			require.Error(t, <-end, "the connection is closed, and nothing was sent")
			require.NoError(t, ln.Close())
			require.Nil(t, onlySession(tr))
		})
	}
	t.Run("prior knowledge", func(t *testing.T) {
		s, tr := withServer(t, "tls only")
		_, err := fetchURL(tr, s.url("/"))
		require.Error(t, err)
		knows := &Transport{Config: &Config{Version: SPDY31}, TLSClientConfig: tr.TLSClientConfig}
		body, err := fetchURL(knows, s.url("/"))
		require.NoError(t, err)
		require.Equal(t, "spdy/3.1 tls:true", body)
		knows.CloseIdleConnections()
	})
	t.Run("something else", func(t *testing.T) {
		s, _ := withServer(t, "tls")
		conf := &tls.Config{RootCAs: s.pool, ServerName: "localhost", NextProtos: []string{"http/1.1"}}
		tr := &Transport{Config: &Config{Version: SPDY31}, DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return (&tls.Dialer{Config: conf}).DialContext(ctx, network, addr)
		}}
		_, err := fetchURL(tr, s.url("/"))
		var e *NegotiationError
		require.ErrorAs(t, err, &e)
		require.Equal(t, "http/1.1", e.Protocol)
	})
	require.Contains(t, (&NegotiationError{Addr: "a:443", Protocol: "h2"}).Error(), "chosen h2")
}

func TestTransportProxies(t *testing.T) {
	secret := "Basic dXNlcjpwYXNz" // user:pass
	for _, kind := range []string{"plain", "tls"} {
		for _, overTLS := range []bool{false, true} {
			t.Run(fmt.Sprintf("CONNECT to %s, proxy over TLS: %v", kind, overTLS), func(t *testing.T) {
				s, tr := withServer(t, kind)
				p := startConnectProxy(t, secret, overTLS)
				if overTLS {
					if tr.TLSClientConfig == nil {
						tr.TLSClientConfig = &tls.Config{}
					}
					tr.TLSClientConfig.InsecureSkipVerify = true
				}
				u := mustURL(p.URL)
				u.User = url.UserPassword("user", "pass")
				tr.Proxy = http.ProxyURL(u)
				tr.ProxyConnectHeader = http.Header{"X-Mine": {"yes"}}
				asked := ""
				tr.OnProxyConnectResponse = func(_ context.Context, via *url.URL, req *http.Request, res *http.Response) error {
					asked = fmt.Sprintln(via.Host == u.Host, req.Method, req.Host == s.addr, res.StatusCode)
					return nil
				}
				for range 2 {
					body, err := fetchURL(tr, s.url("/"))
					require.NoError(t, err)
					require.Contains(t, body, fmt.Sprintf("tls:%v", kind == "tls"))
					require.Contains(t, body, "spdy/3")
				}
				require.EqualValues(t, 1, p.tunnels.Load(), "one session, one tunnel")
				require.Equal(t, "yes", p.last.Load().Header.Get("X-Mine"))
				require.Equal(t, "true CONNECT true 200\n", asked)
				require.Empty(t, tr.ProxyConnectHeader.Get("Proxy-Authorization"), "the caller's header is not changed")
			})
		}
	}
	t.Run("refused", func(t *testing.T) {
		s, tr := withServer(t, "plain")
		p := startConnectProxy(t, secret, false)
		u := mustURL(p.URL)
		u.User = url.UserPassword("user", "wrong")
		tr.Proxy = http.ProxyURL(u)
		_, err := fetchURL(tr, s.url("/"))
		var e *ProxyError
		require.ErrorAs(t, err, &e)
		require.Equal(t, 407, e.StatusCode)
		require.Contains(t, err.Error(), "407 Proxy Authentication Required")
		require.NotContains(t, err.Error(), "wrong", "no password in an error")

		mine := errors.New("mine")
		tr.GetProxyConnectHeader = func(context.Context, *url.URL, string) (http.Header, error) { return nil, mine }
		_, err = fetchURL(tr, s.url("/"))
		require.ErrorIs(t, err, mine)
		tr.GetProxyConnectHeader = func(_ context.Context, _ *url.URL, target string) (http.Header, error) {
			return http.Header{"X-Target": {target}}, nil
		}
		tr.OnProxyConnectResponse = func(context.Context, *url.URL, *http.Request, *http.Response) error { return mine }
		_, err = fetchURL(tr, s.url("/"))
		require.ErrorIs(t, err, mine)
		require.Equal(t, s.addr, p.last.Load().Header.Get("X-Target"))
	})
	t.Run("unreachable", func(t *testing.T) {
		_, tr := withServer(t, "plain")
		for proxy, text := range map[string]string{
			"http://127.0.0.1:1": "proxy http", "socks5://127.0.0.1:1": "proxy socks5", "gopher://127.0.0.1:1": "scheme",
		} {
			tr.Proxy = http.ProxyURL(mustURL(proxy))
			_, err := fetchURL(tr, "http://a.example/")
			require.ErrorContains(t, err, text)
		}
		mine := errors.New("mine")
		tr.Proxy = func(*http.Request) (*url.URL, error) { return nil, mine }
		_, err := fetchURL(tr, "http://a.example/")
		require.ErrorIs(t, err, mine)
	})
	t.Run("none for this request", func(t *testing.T) {
		s, tr := withServer(t, "plain")
		tr.Proxy = http.ProxyFromEnvironment // never for this machine
		_, err := fetchURL(tr, s.url("/"))
		require.NoError(t, err)
	})
	for _, kind := range []string{"plain", "tls"} {
		t.Run("SOCKS5 to "+kind, func(t *testing.T) {
			s, tr := withServer(t, kind)
			var name atomic.Pointer[string]
			addr := startSOCKS(t, "user", "pass", &name)
			tr.Proxy = http.ProxyURL(mustURL("socks5://user:pass@" + addr))
			if kind == "tls" {
				tr.TLSClientConfig.ServerName = "localhost"
			}
			_, port, _ := net.SplitHostPort(s.addr)
			body, err := fetchURL(tr, strings.TrimSuffix(s.url("/"), s.addr+"/")+"home.example:"+port)
			require.NoError(t, err)
			require.Contains(t, body, fmt.Sprintf("tls:%v", kind == "tls"))
			require.Equal(t, "home.example", *name.Load(), "the proxy looks names up")
			_, ok := onlySession(tr).conn.(interface{ CloseWrite() error })
			require.True(t, ok, "a goodbye needs it")

			tr.Proxy = http.ProxyURL(mustURL("socks5h://user:wrong@" + addr))
			_, err = fetchURL(tr, s.url("/"))
			require.Error(t, err)
		})
	}
	t.Run("SOCKS5 without a user", func(t *testing.T) {
		s, tr := withServer(t, "plain")
		var name atomic.Pointer[string]
		tr.Proxy = http.ProxyURL(mustURL("socks5h://" + startSOCKS(t, "", "", &name)))
		_, err := fetchURL(tr, s.url("/"))
		require.NoError(t, err)
	})
}

func onlySession(tr *Transport) *Session {
	p := tr.sessions()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.origins {
		return o.sessions[0].s
	}
	return nil
}

// TestTunnelReadsNoFurther: a server of SPDY may speak before its client, so that its
// first frame may come together with the proxy's answer.
func TestTunnelReadsNoFurther(t *testing.T) {
	scriptedTest(t, "SETTINGS with the answer", func(r *poolRig) {
		r.tr.Proxy = http.ProxyURL(mustURL("http://proxy.example:3128"))
		r.tr.StrictMaxConcurrentStreams = true
	}, func(t *testing.T, r *scriptedPool) {
		one := r.startGet("http://a.example/")
		two := r.startGet("http://a.example/")
		one.pending("the proxy has not answered")
		p := r.peers[0]
		req, err := http.ReadRequest(bufio.NewReader(p.conn))
		require.NoError(t, err)
		require.Equal(t, "CONNECT a.example:80", req.Method+" "+req.RequestURI)
		settings := []byte("HTTP/1.1 200 OK\r\n\r\n\x80\x03\x00\x04\x00\x00\x00\x0c\x00\x00\x00\x01\x00\x00\x00\x04\x00\x00\x00\x02")
		_, err = p.conn.Write(settings)
		require.NoError(t, err)
		r.peer(0)
		first, second := wantFrame[*SynStreamFrame](p, "a request"), wantFrame[*SynStreamFrame](p, "another one")
		require.Equal(t, []uint32{1, 3}, []uint32{first.StreamID, second.StreamID})
		three := r.startGet("http://a.example/")
		p.wantSilence("the limit has been read")
		p.answer(1, "")
		p.answer(3, "")
		one.ok("the answer")
		two.ok("the answer")
		p.wantSynStream("now", 5)
		p.answer(5, "")
		three.ok("the answer")
	})
	for name, answer := range map[string]string{
		"an endless header": "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", maxAnswerHeader),
		"no HTTP":           "220 mail.example ESMTP\r\n\r\n",
	} {
		scriptedTest(t, name, func(r *poolRig) {
			r.tr.Proxy = http.ProxyURL(mustURL("http://proxy.example:3128"))
		}, func(t *testing.T, r *scriptedPool) {
			call := r.startGet("http://a.example/")
			call.pending("the proxy has not answered")
			_, err := io.WriteString(r.peers[0].conn, answer)
			require.NoError(t, err)
			call.wait("that is no answer")
			require.ErrorContains(t, call.err, "proxy http://proxy.example:3128")
		})
	}
}
