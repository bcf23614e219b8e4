package headers

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/spdytest"
	"github.com/amahi/spdy/tests/bubble"
)

// TestAttackA26Proxies: through the proxies that carry the requests of many, a header that
// is too large costs the request that has it, and what HTTP/1.1 lets through passes whole.
func TestAttackA26Proxies(t *testing.T) {
	t.Run("ReverseProxy", reverseProxies)
	t.Run("NewStreamProxy", func(t *testing.T) { bubble.InVersions(t, "", streamProxy) })
	t.Run("SPDY in front", func(t *testing.T) { bubble.InVersions(t, "", spdyInFront) })
	t.Run("ConfigureTransport", configuredTransport)
}

// A back is a server behind a ReverseProxy.
type back struct {
	name  string
	url   string
	trans http.RoundTripper
	conns *atomic.Int32 // sessions that have begun; nil if nobody counts them
	huge  int           // the status of a request of 3 MiB of headers
}

// backs starts a server for each protocol. All of them serve h.
func backs(t *testing.T, h http.Handler) []back {
	h1 := httptest.NewServer(h)
	t.Cleanup(h1.Close)
	h2 := httptest.NewUnstartedServer(h)
	h2.EnableHTTP2 = true
	h2.StartTLS()
	t.Cleanup(h2.Close)
	all := []back{
		{name: "h1", url: h1.URL, trans: h1.Client().Transport, huge: 431},
		{name: "h2", url: h2.URL, trans: h2.Client().Transport, huge: 502},
	}
	for _, v := range bubble.Versions {
		conns := new(atomic.Int32)
		s := spdytest.NewUnstartedServer(h)
		s.Config.Config = conf(&spdy.Config{Trace: &spdy.Trace{SessionStart: func(*spdy.Session) { conns.Add(1) }}}, v)
		s.Start()
		t.Cleanup(s.Close)
		trans := &spdy.Transport{Config: conf(nil, v)}
		t.Cleanup(trans.CloseIdleConnections)
		all = append(all, back{name: v.String(), url: s.URL, trans: trans, conns: conns, huge: 502})
	}
	return all
}

// reverseProxies puts an http.Server with a ReverseProxy in front of each back.
func reverseProxies(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	films := make(chan struct{}, 10) // a value lets one of the downloads go on
	h := http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path != "/film" {
			sum := 0
			for key, values := range req.Header {
				if strings.HasPrefix(key, "X-0") {
					sum += len(values[0])
				}
			}
			fmt.Fprint(w, sum)
			return
		}
		_, _ = w.Write(bytes.Repeat([]byte("f"), film/2))
		_ = http.NewResponseController(w).Flush()
		select {
		case <-films:
		case <-release:
			return
		}
		_, _ = w.Write(bytes.Repeat([]byte("f"), film/2))
	})
	for _, b := range backs(t, h) {
		t.Run(b.name, func(t *testing.T) { reverseProxy(t, b, films) })
	}
}

func reverseProxy(t *testing.T, b back, films chan<- struct{}) {
	to, err := url.Parse(b.url)
	require.NoError(t, err)
	front := httptest.NewUnstartedServer(&httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(to)
			p.SetXForwarded()
		},
		Transport: b.trans, ErrorLog: discardLog,
	})
	front.Config.MaxHeaderBytes = 8 << 20 // lets pass what the backs do not take
	front.Start()
	defer front.Close()
	get := func(path string, h http.Header) (*http.Response, error) {
		req, err := http.NewRequest("GET", front.URL+path, nil)
		require.NoError(t, err)
		req.Header = h
		return front.Client().Do(req)
	}
	var downloads []*http.Response
	for range 10 {
		res, err := get("/film", nil)
		require.NoError(t, err)
		defer res.Body.Close()
		downloads = append(downloads, res)
	}
	if b.name != "h2" { // which counts 32 bytes for each field
		const n = 1<<20 - 1000 // net/http takes 1 MiB and 4 KiB, names and all that is between them included
		res, err := get("/", sized(n))
		require.NoError(t, err)
		text, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, fmt.Sprint(n), string(text), "what the handler sees")
	}
	for range 5 {
		res, err := get("/", sized(3<<20))
		require.Equal(t, b.huge, status(t, res, err))
	}
	for range downloads {
		films <- struct{}{}
	}
	for _, res := range downloads {
		n, err := io.Copy(io.Discard, res.Body)
		require.NoError(t, err, "a download of somebody else")
		require.EqualValues(t, film, n)
	}
	if b.conns != nil {
		require.EqualValues(t, 1, b.conns.Load(), "one session carries all of it")
	}
}

// streamProxy hands on requests and answers that are too large to be sent.
func streamProxy(t *testing.T, v spdy.Version) {
	r := newRig(t, v, &spdy.Config{MaxSendHeaderBytes: 50_000}, &spdy.Config{MaxSendHeaderBytes: 50_000}, func(w http.ResponseWriter, req *http.Request) {
		for key, values := range sized(60_000) {
			w.Header()[key] = values
		}
	})
	for range 200 {
		w := httptest.NewRecorder()
		wantTooLarge(t, r.Client.NewStreamProxy(r.request("/", sized(60_000)), w), "request")
		require.Equal(t, 431, w.Code)
		w = httptest.NewRecorder()
		require.NoError(t, r.Client.NewStreamProxy(r.request("/"), w))
		require.Equal(t, 500, w.Code)
	}
	r.done()
}

// spdyInFront proxies answers that the front cannot send: its client gets status 500, and
// the sessions of front and back go on.
func spdyInFront(t *testing.T, v spdy.Version) {
	behind := newRig(t, v, nil, nil, func(w http.ResponseWriter, req *http.Request) {
		for key, values := range sized(60_000) {
			w.Header()[key] = values
		}
		_, _ = w.Write(make([]byte, 100_000))
	})
	fails := make(chan error, 1)
	front := newRig(t, v, nil, &spdy.Config{MaxSendHeaderBytes: 50_000}, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/reverse" {
			u := &url.URL{Scheme: "http", Host: "example.com"}
			(&httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(u) }, Transport: behind.Client, ErrorLog: discardLog}).ServeHTTP(w, req)
			return
		}
		fails <- behind.Client.NewStreamProxy(req, w)
	})
	for range 20 {
		res, err := front.Client.RoundTrip(front.request("/reverse"))
		require.Equal(t, 500, status(t, res, err))
		res, err = front.Client.RoundTrip(front.request("/stream"))
		require.Equal(t, 500, status(t, res, err))
		wantTooLarge(t, <-fails, "answer")
	}
	front.done()
	behind.done()
}

// configuredTransport has answers with large headers pass, or fail, as http.Transport
// does it over HTTP/1.1.
func configuredTransport(t *testing.T) {
	back := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		n := 0
		_, _ = fmt.Sscan(req.Header.Get("Size"), &n)
		for key, values := range sized(n) {
			w.Header()[key] = values
		}
	}))
	require.NoError(t, spdy.ConfigureServer(back.Config, conf(nil, 0)))
	back.TLS = back.Config.TLSConfig
	back.StartTLS()
	var closing sync.WaitGroup
	defer closing.Wait()
	defer back.Close()
	for _, limit := range []int64{0, 100_000} {
		for _, name := range []string{"h1", "configured", "Transport"} {
			t.Run(fmt.Sprint(limit, " ", name), func(t *testing.T) {
				var rt http.RoundTripper
				trust := back.Client().Transport.(*http.Transport).TLSClientConfig
				switch name {
				case "Transport":
					s := &spdy.Transport{MaxResponseHeaderBytes: limit, TLSClientConfig: &tls.Config{RootCAs: trust.RootCAs}}
					defer s.CloseIdleConnections()
					rt = s
				default:
					h := &http.Transport{MaxResponseHeaderBytes: limit, TLSClientConfig: &tls.Config{RootCAs: trust.RootCAs}}
					if name == "configured" {
						require.NoError(t, spdy.ConfigureTransport(h, conf(nil, 0)))
					}
					defer h.CloseIdleConnections()
					rt = h
				}
				get := func(size int) (*http.Response, error) {
					req, err := http.NewRequest("GET", back.URL, nil)
					require.NoError(t, err)
					req.Header.Set("Size", fmt.Sprint(size))
					return rt.RoundTrip(req)
				}
				most := int64(10 << 20)
				if limit != 0 {
					most = limit
				}
				res, err := get(int(most) - 10_000)
				require.Equal(t, 200, status(t, res, err))
				res, err = get(int(most + most/2))
				if limit == 0 && name != "h1" { // more than that a server does not send by default
					require.Equal(t, 500, status(t, res, err))
					return
				}
				require.Error(t, err)
				if name != "h1" && limit != 0 {
					wantReset(t, err, spdy.RstFrameTooLarge, false)
				}
			})
		}
	}
}
