package spdy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// A13, an upgrade behind a proxy's back (golang/go#80416, CVE-2018-1002105): neither a
// request that asks for one nor half an upgrade opens a connection to whom nobody
// looks at any more.
func TestAttackA13Upgrade(t *testing.T) {
	for name, test := range map[string]struct {
		text   string
		status int
	}{
		"a body":           {upgradeRequest(append([]string{"Content-Length: 4"}, upgradeLines...)...) + "evil", 400},
		"a chunked body":   {upgradeRequest(append([]string{"Transfer-Encoding: chunked"}, upgradeLines...)...) + "0\r\n\r\n", 400},
		"HTTP/1.0":         {strings.Replace(upgradeRequest(upgradeLines...), "HTTP/1.1", "HTTP/1.0", 1), 400},
		"no Connection":    {upgradeRequest("Upgrade: SPDY/3.1"), 400},
		"another protocol": {upgradeRequest("Connection: Upgrade", "Upgrade: h2c"), 400},
		"a longer name":    {upgradeRequest("Connection: Upgrade", "Upgrade: SPDY/3.10"), 400},
		"part of a list":   {upgradeRequest("Connection: not-upgrade", "Upgrade: SPDY/3.1"), 400},
	} {
		t.Run("server/v3.1/"+name, func(t *testing.T) {
			upgradeTest(t, new(Upgrader), test.text, func(t *testing.T, _ *testconn.Conn, got *upgraded) {
				require.Error(t, got.err)
				require.Nil(t, got.session)
				require.Contains(t, got.answer, fmt.Sprintf(" %d ", test.status))
				require.NotContains(t, got.answer, "101")
			})
		})
	}
	t.Run("server/v3.1/a second request behind the first", func(t *testing.T) {
		text := upgradeRequest(upgradeLines...) + "GET /evil HTTP/1.1\r\nHost: kubelet\r\n\r\n"
		upgradeTest(t, new(Upgrader), text, func(t *testing.T, _ *testconn.Conn, got *upgraded) {
			require.NoError(t, got.err)
			var failed *NotSPDYError // the bytes are no frames
			require.ErrorAs(t, got.session.Serve(), &failed)
			require.Equal(t, "HTTP/1.1", failed.Protocol)
			require.Equal(t, 1, strings.Count(got.answer, "HTTP/1.1"))
		})
	})
	for name, answer := range map[string]string{
		"200":               "HTTP/1.1 200 OK\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 0\r\n\r\n",
		"302":               "HTTP/1.1 302 Found\r\nLocation: http://evil.example/\r\nContent-Length: 0\r\n\r\n",
		"403":               "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n",
		"no Upgrade":        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n",
		"no Connection":     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\n\r\n",
		"another protocol":  "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		"two protocols":     "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1, h2c\r\n\r\n",
		"not what we asked": "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v9\r\n\r\n",
		"no HTTP":           "\x80\x03\x00\x04\x00\x00\x00\x04\x00\x00\x00\x00",
	} {
		story(t, "client/v3.1/"+name, func(t *testing.T) {
			host := newScriptedHost(func(conn net.Conn, r *bufio.Reader) {
				heard(r)
				say(conn, answer)
			})
			d := &UpgradeDialer{DialContext: host.dial, Protocols: []string{"v4"}}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			s, _, err := d.Dial(ctx, "POST", "http://kubelet.example/exec")
			require.Error(t, err)
			require.Nil(t, s)
			host.requireClosed(t) // none is left to be used for something else
			require.Len(t, host.dialled, 1)
		})
	}
	testUpgradeThroughProxies(t)
}

// testUpgradeThroughProxies: a request to upgrade whose client's connection cannot be hijacked
// gets no upgrade, by way of whatever proxy is made of this library, and leaves nothing open.
func testUpgradeThroughProxies(t *testing.T) {
	upgrade := func(r *http.Request) {
		r.Header.Set("Connection", "Upgrade, X-Hop")
		r.Header.Set("Upgrade", "SPDY/3.1")
		r.Header.Set("X-Stream-Protocol-Version", "v4.channel.k8s.io")
	}
	proxies := map[string]func(s *Session) http.HandlerFunc{
		"ReverseProxy": func(s *Session) http.HandlerFunc {
			return (&httputil.ReverseProxy{
				Rewrite:   func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "backend.example" },
				Transport: s, ErrorLog: quietLog,
			}).ServeHTTP
		},
		"NewStreamProxy": func(s *Session) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				_ = s.NewStreamProxy(r, w) // w has the answer
			}
		},
	}
	for name, proxy := range proxies {
		for _, v := range everyVersion {
			story(t, "proxy/"+versionElement(v)+"/"+name, func(t *testing.T) {
				asked := make(chan http.Header, 1)
				conf := &Config{Version: v, Logger: quietConfig.Logger}
				r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					asked <- r.Header.Clone()
					w.Header().Set("Upgrade", "SPDY/3.1")
					w.Header().Set("Connection", "Upgrade")
					w.WriteHeader(http.StatusSwitchingProtocols)
					_, _ = io.WriteString(w, "no tunnel")
				}), rigSetup{client: conf, server: conf})
				defer r.close()
				rec := httptest.NewRecorder()
				ctx, over := context.WithCancel(context.WithValue(t.Context(), http.ServerContextKey, new(http.Server)))
				req := httptest.NewRequest("GET", "http://front.example/exec", nil).WithContext(ctx)
				upgrade(req)
				proxy(r.client)(rec, req)
				over() // as when a handler returns
				synctest.Wait()
				require.NotEqual(t, http.StatusSwitchingProtocols, rec.Code)
				require.NotContains(t, rec.Header(), "Upgrade")
				if h := <-asked; name == "ReverseProxy" { // which asks before it knows
					require.Equal(t, http.StatusBadGateway, rec.Code)
					require.Equal(t, []string{"Upgrade"}, h["Connection"], "without X-Hop")
				} else {
					require.NotContains(t, h, "Upgrade")
					require.NotContains(t, h, "Connection")
				}
				require.Zero(t, openStreams(r.client))
			})
		}
	}
}
