package spdy

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/localcert"
)

// ConfigureTransport, on real sockets: an http.Transport with SPDY beside HTTP/1.1 and
// HTTP/2.

// A farm is a server of each kind, which all have the same certificate.
type farm struct {
	spdy  *served          // SPDY and HTTP/1.1
	h1    *httptest.Server // HTTP/1.1 only
	h2    *httptest.Server // HTTP/2 and HTTP/1.1
	conns atomic.Int32     // that the SPDY server has accepted and that are open
	total atomic.Int32     // that it has accepted
}

func startFarm(t *testing.T, conf *Config, h http.HandlerFunc) *farm {
	f := &farm{}
	cert, pool, err := localcert.New()
	require.NoError(t, err)
	srv := &Server{Handler: h, ErrorLog: quietLog, Config: conf, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f.spdy = &served{Server: srv, addr: ln.Addr().String(), pool: pool, end: make(chan error, 1)}
	go func() { f.spdy.end <- srv.ServeTLS(&countingListener{ln, f}, "", "") }()
	for _, h2 := range []bool{false, true} {
		s := httptest.NewUnstartedServer(h)
		s.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
		s.EnableHTTP2 = h2
		s.Config.ErrorLog = quietLog
		s.StartTLS()
		if h2 {
			f.h2 = s
		} else {
			f.h1 = s
		}
	}
	t.Cleanup(func() {
		f.h1.Close()
		f.h2.Close()
		assert.NoError(t, f.spdy.Close())
		assert.ErrorIs(t, <-f.spdy.end, http.ErrServerClosed)
	})
	return f
}

// A countingListener counts connections.
type countingListener struct {
	net.Listener
	f *farm
}

func (l *countingListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.f.conns.Add(1)
	l.f.total.Add(1)
	return &countedConn{Conn: c, open: &l.f.conns}, nil
}

type countedConn struct {
	net.Conn
	open *atomic.Int32
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// trusting returns a transport that trusts the farm, and is closed with the test.
func (f *farm) trusting(t *testing.T) *http.Transport {
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: f.spdy.pool, ServerName: "localhost"}}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// eventually waits for something that goroutines on real sockets bring about.
func eventually(t *testing.T, why string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, 10*time.Second, time.Millisecond, why)
}

func fetchOK(t *testing.T, rt http.RoundTripper, url string) string {
	t.Helper()
	body, err := fetchURL(rt, url)
	require.NoError(t, err)
	return body
}

func TestConfigureTransportProtocols(t *testing.T) {
	f := startFarm(t, nil, echoWay)
	conf := func() *tls.Config { return &tls.Config{RootCAs: f.spdy.pool, ServerName: "localhost"} }
	only := func(set ...func(*http.Protocols)) *http.Protocols {
		p := new(http.Protocols)
		for _, f := range set {
			f(p)
		}
		return p
	}
	h1 := func(p *http.Protocols) { p.SetHTTP1(true) }
	h2 := func(p *http.Protocols) { p.SetHTTP2(true) }
	for _, tt := range []struct {
		name   string
		tr     *http.Transport
		before func(tr *http.Transport) // before it is configured
		h2     string                   // what is spoken with the server of HTTP/2
		h1     string                   // and with that of HTTP/1.1; "" is an error
	}{
		{name: "as net/http would", tr: &http.Transport{TLSClientConfig: conf()}, h2: "HTTP/1.1", h1: "HTTP/1.1"},
		{name: "ForceAttemptHTTP2", tr: &http.Transport{TLSClientConfig: conf(), ForceAttemptHTTP2: true}, h2: "HTTP/2.0", h1: "HTTP/1.1"},
		{name: "Protocols", tr: &http.Transport{TLSClientConfig: conf(), Protocols: only(h1, h2)}, h2: "HTTP/2.0", h1: "HTTP/1.1"},
		{name: "no HTTP/2", tr: &http.Transport{TLSClientConfig: conf(), Protocols: only(h1)}, h2: "HTTP/1.1", h1: "HTTP/1.1"},
		{name: "no HTTP/1.1", tr: &http.Transport{TLSClientConfig: conf(), Protocols: only(h2)}, h2: "HTTP/2.0"},
		{name: "an empty TLSNextProto", tr: &http.Transport{TLSClientConfig: conf(), ForceAttemptHTTP2: true,
			TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}, h2: "HTTP/1.1", h1: "HTTP/1.1"},
		{name: "a clone of the default", tr: func() *http.Transport {
			tr := http.DefaultTransport.(*http.Transport).Clone()
			tr.TLSClientConfig = conf()
			return tr
		}(), h2: "HTTP/2.0", h1: "HTTP/1.1"},
		{name: "used already", tr: &http.Transport{TLSClientConfig: conf(), ForceAttemptHTTP2: true}, before: func(tr *http.Transport) {
			require.Contains(t, fetchOK(t, tr, f.h2.URL), "HTTP/2.0")
			tr.CloseIdleConnections()
		}, h2: "HTTP/2.0", h1: "HTTP/1.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.before != nil {
				tt.before(tt.tr)
			}
			mine := tt.tr.TLSClientConfig
			names := strings.Join(mine.NextProtos, " ")
			require.NoError(t, ConfigureTransport(tt.tr, nil))
			require.Equal(t, names, strings.Join(mine.NextProtos, " "), "the caller's configuration may be in use elsewhere")
			defer tt.tr.CloseIdleConnections()
			for range 2 {
				require.Equal(t, "spdy/3.1 tls:true", fetchOK(t, tt.tr, f.spdy.url("/")))
				require.Equal(t, tt.h2+" tls:true", fetchOK(t, tt.tr, f.h2.URL))
				if tt.h1 == "" {
					_, err := fetchURL(tt.tr, f.h1.URL)
					require.Error(t, err)
					continue
				}
				require.Equal(t, tt.h1+" tls:true", fetchOK(t, tt.tr, f.h1.URL))
			}
		})
	}
}

// TestConfigureTransportErrors: what it does not accept.
func TestConfigureTransportErrors(t *testing.T) {
	require.Error(t, ConfigureTransport(nil, nil))
	tr := &http.Transport{}
	require.NoError(t, ConfigureTransport(tr, nil))
	require.ErrorContains(t, ConfigureTransport(tr, nil), "already")
	taken := &http.Transport{}
	taken.RegisterProtocol("https", tr)
	require.Panics(t, func() { _ = ConfigureTransport(taken, nil) })
}

// TestConfigureTransportShares: requests that come together dial together, since
// http.Transport cannot know better, but one session stays.
func TestConfigureTransportShares(t *testing.T) {
	f := startFarm(t, nil, echoWay)
	tr := f.trusting(t)
	const requests = 50
	// A dial goes on when another one has served its request, so its connection may come
	// when all have their answers. Here all dial before the first has dialled.
	together := make(chan struct{})
	var dials atomic.Int32
	tr.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dials.Add(1) == requests {
			close(together)
		}
		<-together
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
	require.NoError(t, ConfigureTransport(tr, nil))
	var wg sync.WaitGroup
	for range requests {
		wg.Go(func() {
			body, err := fetchURL(tr, f.spdy.url("/"))
			assert.NoError(t, err)
			assert.Equal(t, "spdy/3.1 tls:true", body)
		})
	}
	wg.Wait()
	eventually(t, "one session", func() bool { return f.total.Load() == requests && f.conns.Load() == 1 })
	for range 10 {
		fetchOK(t, tr, f.spdy.url("/"))
	}
	require.EqualValues(t, requests, dials.Load(), "nobody dials any more")
	require.EqualValues(t, requests, f.total.Load())

	t.Run("a clone", func(t *testing.T) {
		clone := tr.Clone()
		require.Equal(t, "spdy/3.1 tls:true", fetchOK(t, clone, f.spdy.url("/")))
		eventually(t, "the same session", func() bool { return f.conns.Load() == 1 })
		clone.CloseIdleConnections()
	})
	t.Run("CloseIdleConnections", func(t *testing.T) {
		require.Equal(t, int32(1), f.conns.Load())
		(&http.Client{Transport: tr}).CloseIdleConnections()
		eventually(t, "the session is gone", func() bool { return f.conns.Load() == 0 })
		require.Equal(t, "spdy/3.1 tls:true", fetchOK(t, tr, f.spdy.url("/")))
	})
}

// TestConfigureTransportUsed: if HTTP/2 was there first, sessions end by themselves.
func TestConfigureTransportUsed(t *testing.T) {
	tr := &http.Transport{ForceAttemptHTTP2: true}
	tr.CloseIdleConnections() // is a use, too
	require.NotNil(t, tr.TLSNextProto["h2"])
	require.NoError(t, ConfigureTransport(tr, nil))
	inner := tr.TLSNextProto["spdy/3.1"]
	require.NotNil(t, inner)
	for _, tt := range []struct{ t, want time.Duration }{{0, briefIdleTimeout}, {time.Hour, time.Hour}} {
		require.Equal(t, tt.want, (&Transport{brief: true, IdleConnTimeout: tt.t}).idleTimeout(false))
	}
	require.Zero(t, (&Transport{}).idleTimeout(false))
}

func TestConfigureTransportOptions(t *testing.T) {
	block := make(chan struct{})
	var blocked atomic.Int32
	f := startFarm(t, &Config{MaxConcurrentStreams: 2}, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/block":
			blocked.Add(1)
			defer blocked.Add(-1)
			select {
			case <-block:
			case <-r.Context().Done():
			}
		case "/encoding":
			fmt.Fprint(w, r.Header.Get("Accept-Encoding"))
			return
		case "/body":
			_, _ = io.Copy(w, r.Body)
			return
		}
		echoWay(w, r)
	})
	t.Run("DisableKeepAlives", func(t *testing.T) {
		tr := f.trusting(t)
		tr.DisableKeepAlives = true
		require.NoError(t, ConfigureTransport(tr, nil))
		before := f.total.Load()
		for range 3 {
			require.Equal(t, "spdy/3.1 tls:true", fetchOK(t, tr, f.spdy.url("/")))
		}
		require.Equal(t, before+3, f.total.Load())
		eventually(t, "they are closed", func() bool { return f.conns.Load() == 0 })
	})
	t.Run("Request.Close", func(t *testing.T) {
		tr := f.trusting(t)
		tr.IdleConnTimeout = time.Hour
		require.NoError(t, ConfigureTransport(tr, nil))
		fetchOK(t, tr, f.spdy.url("/"))
		req, err := http.NewRequest("GET", f.spdy.url("/"), nil)
		require.NoError(t, err)
		req.Close = true
		res, err := tr.RoundTrip(req)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		eventually(t, "the session is closed", func() bool { return f.conns.Load() == 0 })
	})
	t.Run("DisableCompression", func(t *testing.T) {
		for _, disable := range []bool{false, true} {
			tr := f.trusting(t)
			require.NoError(t, ConfigureTransport(tr, nil))
			tr.DisableCompression = disable // until it is used
			require.Equal(t, disable, fetchOK(t, tr, f.spdy.url("/encoding")) == "")
		}
	})
	t.Run("ResponseHeaderTimeout", func(t *testing.T) {
		tr := f.trusting(t)
		tr.ResponseHeaderTimeout = 10 * time.Millisecond
		require.NoError(t, ConfigureTransport(tr, nil))
		_, err := fetchURL(tr, f.spdy.url("/block"))
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		require.True(t, timeout.Timeout())
	})
	t.Run("IdleConnTimeout", func(t *testing.T) {
		tr := f.trusting(t)
		tr.IdleConnTimeout = time.Millisecond
		require.NoError(t, ConfigureTransport(tr, nil))
		fetchOK(t, tr, f.spdy.url("/"))
		eventually(t, "the session ends", func() bool { return f.conns.Load() == 0 })
		fetchOK(t, tr, f.spdy.url("/"))
	})
	t.Run("DialTLSContext", func(t *testing.T) {
		for _, tt := range []struct {
			wrap func(*tls.Conn) net.Conn
			want string
		}{
			{func(c *tls.Conn) net.Conn { return c }, "spdy/3.1 tls:true"},
			{func(c *tls.Conn) net.Conn { return &stateConn{c} }, "HTTP/1.1 tls:true"},
		} {
			tr := f.trusting(t)
			conf := tr.TLSClientConfig.Clone()
			conf.NextProtos = []string{"spdy/3.1"}
			if tt.want[0] == 'H' {
				conf.NextProtos = nil
			}
			tr.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
				if err != nil {
					return nil, err
				}
				return tt.wrap(tls.Client(conn, conf)), nil
			}
			require.NoError(t, ConfigureTransport(tr, nil))
			require.Equal(t, tt.want, fetchOK(t, tr, f.spdy.url("/")))
		}
	})
	t.Run("Proxy", func(t *testing.T) {
		p := startConnectProxy(t, "", false)
		tr := f.trusting(t)
		tr.Proxy = http.ProxyURL(mustURL(p.URL))
		require.NoError(t, ConfigureTransport(tr, nil))
		for range 2 {
			require.Equal(t, "spdy/3.1 tls:true", fetchOK(t, tr, f.spdy.url("/")))
		}
		require.EqualValues(t, 1, p.tunnels.Load())
	})
	t.Run("httptrace", func(t *testing.T) {
		tr := f.trusting(t)
		require.NoError(t, ConfigureTransport(tr, nil))
		for i := range 2 {
			var log hookLog
			req, err := http.NewRequestWithContext(log.in(context.Background()), "GET", f.spdy.url("/"), nil)
			require.NoError(t, err)
			res, err := tr.RoundTrip(req)
			require.NoError(t, err)
			require.Same(t, req, res.Request)
			require.NoError(t, res.Body.Close())
			calls := log.take()
			require.Equal(t, 1, strings.Count(calls, "GetConn"), calls)
			require.Equal(t, 1, strings.Count(calls, "GotConn"), calls)
			require.Contains(t, calls, fmt.Sprintf("GotConn true %v", i == 1))
			require.Contains(t, calls, "WroteHeaders; WroteRequest <nil>; GotFirstResponseByte")
		}
	})
	t.Run("more sessions", func(t *testing.T) {
		tr := f.trusting(t)
		require.NoError(t, ConfigureTransport(tr, nil))
		fetchOK(t, tr, f.spdy.url("/"))
		var wg sync.WaitGroup
		unblock := sync.OnceFunc(func() { close(block) })
		defer wg.Wait()
		defer unblock()
		for range 6 {
			wg.Go(func() {
				body, err := fetchURL(tr, f.spdy.url("/block"))
				assert.NoError(t, err)
				assert.Equal(t, "spdy/3.1 tls:true", body)
			})
		}
		eventually(t, "six streams", func() bool { return blocked.Load() == 6 })
		require.GreaterOrEqual(t, f.conns.Load(), int32(3), "of which a session takes two")
		unblock()
	})
	t.Run("a body that cannot be rewound", func(t *testing.T) {
		tr := f.trusting(t)
		require.NoError(t, ConfigureTransport(tr, nil))
		body := &countedBody{Reader: strings.NewReader("once")}
		req, err := http.NewRequest("POST", f.spdy.url("/body"), body)
		require.NoError(t, err)
		res, err := tr.RoundTrip(req) // asks for a session, and dials because there is none
		require.NoError(t, err)
		echo, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		require.Equal(t, "once", string(echo))
		eventually(t, "the body is closed", func() bool { return body.closes.Load() == 1 })
	})
}

// A server that goes away before it looks at anything is not dialled for ever.
func TestConfigureTransportGivesUp(t *testing.T) {
	cert, pool, err := localcert.New()
	require.NoError(t, err)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"spdy/3.1"}})
	require.NoError(t, err)
	var accepted atomic.Int32
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			f := NewFramer(conn, conn, SPDY31)
			for {
				frame, err := f.ReadFrame()
				if err != nil {
					break
				}
				if _, ok := frame.(*SynStreamFrame); ok {
					_ = f.WriteFrame(&GoAwayFrame{})
				}
			}
			conn.Close()
		}
	}()
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	require.NoError(t, ConfigureTransport(tr, nil))
	_, err = fetchURL(tr, "https://"+ln.Addr().String())
	requireReset(t, "the server's refusal", err, RstRefusedStream, true)
	require.EqualValues(t, maxTries, accepted.Load())
	tr.CloseIdleConnections()
	require.NoError(t, ln.Close())
	<-done
}

// TestConfigureTransportGoesOn: what a session has refused goes to another one, which
// http.Transport has to dial, unless there is no sense in that.
func TestConfigureTransportGoesOn(t *testing.T) {
	for _, limit := range []uint32{0, 1} {
		var elsewhere *http.Request // what http.Transport is to send
		setup := func(r *poolRig) {
			r.tr.host = &http.Transport{}
			r.tr.host.RegisterProtocol("http", roundTripFunc(func(req *http.Request) (*http.Response, error) {
				elsewhere = req
				return &http.Response{Body: http.NoBody}, nil
			}))
		}
		scriptedTest(t, fmt.Sprint("limit ", limit), setup, func(t *testing.T, r *scriptedPool) {
			conn, err := r.dial(t.Context(), "", "")
			require.NoError(t, err)
			pool := r.tr.sessions()
			pool.add(r.tr.Config.ClientSession(conn), originKey{scheme: "http", addr: "a.example:80"}).serve()
			call := r.startGet("http://a.example/")
			p := r.peer(0)
			p.wantSynStream("the first request of the session", 1)
			other := r.startGet("http://a.example/")
			p.wantSynStream("another one, which is accepted", 3)
			p.sendSetting(SettingMaxConcurrentStreams, limit)
			p.sendRst(1, RstRefusedStream)
			call.wait("refused")
			if limit == 0 {
				requireReset(t, "another session would say the same", call.err, RstRefusedStream, true)
			} else {
				call.ok("another session answers")
				require.Equal(t, &tries{n: 1}, r.tr.triesOf(elsewhere), "it knows of the first try")
			}
			p.answer(3, "")
			other.ok("the answer")
		})
	}
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
