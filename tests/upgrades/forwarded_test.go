package upgrades

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/spdytest"
	"github.com/amahi/spdy/tests/bubble"
)

// claims are the headers that say where a request came from.
var claims = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}

// claimsOf returns those of a header.
func claimsOf(h http.Header) http.Header {
	found := make(http.Header)
	for _, name := range claims {
		if values, ok := h[name]; ok {
			found[name] = values
		}
	}
	return found
}

// forge sets what a client makes up.
func forge(h http.Header) {
	h.Set("Forwarded", "for=10.0.0.1")
	h["X-Forwarded-For"] = []string{"10.0.0.1", "10.0.0.2"}
	h.Set("X-Forwarded-Host", "evil.example")
	h.Set("X-Forwarded-Proto", "gopher")
}

// TestAttackA30Claims compares what the home is told of a client with SetXForwarded of
// httputil.ReverseProxy. Nothing that the client sends changes it.
func TestAttackA30Claims(t *testing.T) {
	seen := make(chan http.Header, 1)
	home := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header.Clone() })
	plain := httptest.NewServer(home)
	defer plain.Close()
	u, err := url.Parse(plain.URL)
	require.NoError(t, err)
	oracle := func(keep bool) http.Handler {
		return &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			if keep {
				r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
			}
			r.SetXForwarded()
		}}
	}
	requests := map[string]func(r *http.Request){
		"plain":   func(*http.Request) {},
		"TLS":     func(r *http.Request) { r.TLS = new(tls.ConnectionState) },
		"IPv6":    func(r *http.Request) { r.RemoteAddr = "[2001:db8::1]:1234" },
		"no port": func(r *http.Request) { r.RemoteAddr = "pipe" },
		"forged":  func(r *http.Request) { forge(r.Header) },
		"forged and named": func(r *http.Request) {
			forge(r.Header)
			r.Header["Connection"] = []string{"x-forwarded-for, X-Forwarded-Host", "forwarded,close", "x-forwarded-proto"}
		},
		"named": func(r *http.Request) {
			r.Header["Connection"] = []string{"x-forwarded-for, X-Forwarded-Host, x-forwarded-proto"}
		},
	}
	for _, v := range bubble.Versions {
		p := spdytest.NewUnstartedPair(home)
		p.ClientConfig, p.ServerConfig = bubble.Quiet(spdy.Config{}, v), bubble.Quiet(spdy.Config{}, v)
		p.Start()
		defer p.Close()
		for name, edit := range requests {
			t.Run(v.String()+"/"+name, func(t *testing.T) {
				ask := func(h http.Handler) http.Header {
					r := httptest.NewRequest("GET", "http://front.example:8080/", nil)
					r.RemoteAddr = "192.0.2.7:40000"
					edit(r)
					before := r.Header.Clone()
					h.ServeHTTP(httptest.NewRecorder(), r)
					require.Equal(t, before, r.Header, "the request is not changed")
					return claimsOf(<-seen)
				}
				ours := func(o spdy.ProxyOptions) http.Handler {
					return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						if err := p.Client.Proxy(w, r, o); err != nil {
							t.Error(err)
						}
					})
				}
				require.Equal(t, ask(oracle(false)), ask(ours(spdy.ProxyOptions{XForwarded: true})))
				require.Equal(t, ask(oracle(true)), ask(ours(spdy.ProxyOptions{XForwarded: true, AppendForwardedFor: true})))
			})
		}
		t.Run(v.String()+"/in lower case", func(t *testing.T) { // of a handler, no server of net/http has it
			r := httptest.NewRequest("GET", "http://front.example:8080/", nil)
			r.RemoteAddr = "192.0.2.7:40000"
			r.Header["x-forwarded-for"] = []string{"10.0.0.3"}
			require.NoError(t, p.Client.Proxy(httptest.NewRecorder(), r, spdy.ProxyOptions{XForwarded: true}))
			require.Equal(t, []string{"192.0.2.7"}, (<-seen)["X-Forwarded-For"])
		})
		t.Run(v.String()+"/appended", func(t *testing.T) {
			r := httptest.NewRequest("GET", "http://front.example:8080/", nil)
			r.RemoteAddr = "192.0.2.7:40000"
			r.Header["X-Forwarded-For"] = []string{"10.0.0.1", "10.0.0.2"}
			require.NoError(t, p.Client.Proxy(httptest.NewRecorder(), r, spdy.ProxyOptions{XForwarded: true, AppendForwardedFor: true}))
			require.Equal(t, []string{"10.0.0.1, 10.0.0.2, 192.0.2.7"}, (<-seen)["X-Forwarded-For"])
		})
	}
}

// TestHTTP10: a request of HTTP/1.0 without Host passes.
func TestHTTP10(t *testing.T) {
	each(t, func(t *testing.T, p *path) {
		hosts := make(chan string, 1)
		front := p.front(t, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			hosts <- r.Host
			_, _ = io.WriteString(w, "a page")
		}), new(watcher).watch)
		res, _ := ask(t, p.dial(t, front), "GET", "GET / HTTP/1.0\r\n\r\n")
		require.Equal(t, 200, res.StatusCode)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Equal(t, "a page", string(body))
		switch host := <-hosts; {
		case p.name == "HTTP 1.1":
			require.Empty(t, host)
		case strings.HasSuffix(p.name, "NewStreamProxy"), strings.HasSuffix(p.name, "two sessions"):
			require.Equal(t, front.Listener.Addr().String(), host, "the address that the client has connected to")
		}
	})
}

// TestAttackA13WithoutUpgrades: the option keeps upgrades and tunnels from the home, as h2c is kept
// from it in any case.
func TestAttackA13WithoutUpgrades(t *testing.T) {
	for _, v := range bubble.Versions {
		seen := make(chan *http.Request, 1)
		p := spdytest.NewUnstartedPair(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r }))
		p.ClientConfig, p.ServerConfig = bubble.Quiet(spdy.Config{}, v), bubble.Quiet(spdy.Config{}, v)
		p.Start()
		defer p.Close()
		for name, tt := range map[string]struct {
			protocol string
			options  spdy.ProxyOptions
			passes   bool
		}{
			"passes":      {"websocket", spdy.ProxyOptions{}, true},
			"disabled":    {"websocket", spdy.ProxyOptions{DisableUpgrades: true}, false},
			"h2c":         {"h2c", spdy.ProxyOptions{}, false},
			"h2c, hidden": {"websocket, H2C", spdy.ProxyOptions{}, false},
		} {
			t.Run(v.String()+"/"+name, func(t *testing.T) {
				front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_ = p.Client.Proxy(w, r, tt.options)
				}))
				defer front.Close()
				conn := (&path{}).dial(t, front)
				ask(t, conn, "GET", strings.Replace(upgradeText("GET", tt.protocol), "X-Own: yes", "HTTP2-Settings: AAMAAABkAAQAAP__", 1))
				r := <-seen
				require.Equal(t, tt.passes, r.Header["Upgrade"] != nil)
				require.Equal(t, tt.passes, r.Header["Connection"] != nil)
				require.NotContains(t, r.Header, "Http2-Settings")
			})
		}
	}
}
