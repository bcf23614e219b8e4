package says

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
)

// TestProxyPassword: a proxy that is asked for a tunnel gets the user and the password of its URL,
// whatever the header of the request says, as with net/http. An error names it once.
func TestProxyPassword(t *testing.T) {
	var asked []string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+strings.Join(r.Header["Proxy-Authorization"], ","))
		w.WriteHeader(http.StatusProxyAuthRequired)
	}))
	defer proxy.Close()
	header := http.Header{"Proxy-Authorization": {"Bearer mine"}}
	for _, user := range []*url.Userinfo{nil, url.User("user"), url.UserPassword("user", "password")} {
		via, err := url.Parse(proxy.URL)
		require.NoError(t, err)
		name := via.String()
		via.User = user
		asked = nil
		plain := &http.Transport{Proxy: http.ProxyURL(via), ProxyConnectHeader: header.Clone()}
		ours := &spdy.Transport{Proxy: http.ProxyURL(via), ProxyConnectHeader: header.Clone()}
		for _, rt := range []http.RoundTripper{plain, ours} {
			req, err := http.NewRequest("GET", "https://origin.example/", nil)
			require.NoError(t, err)
			_, err = rt.RoundTrip(req)
			require.ErrorContains(t, err, "Proxy Authentication Required")
			if rt == ours {
				require.Equal(t, 1, strings.Count(err.Error(), name), "%v", err)
				require.Equal(t, 1, strings.Count(err.Error(), "spdy:"), "%v", err)
			}
		}
		d := &spdy.UpgradeDialer{Proxy: http.ProxyURL(via), ProxyConnectHeader: header.Clone()}
		_, _, err = d.Dial(t.Context(), "POST", "https://origin.example/")
		require.Equal(t, 1, strings.Count(err.Error(), name), "%v", err)
		require.Equal(t, []string{asked[0], asked[0], asked[0]}, asked)
		plain.CloseIdleConnections()
	}
}

// TestTimeoutsThroughProxies: an error of a dial through a proxy is a timeout wherever that of net/http
// is, also to a *url.Error and to os.IsTimeout, which ask the error itself.
func TestTimeoutsThroughProxies(t *testing.T) {
	dials := map[string]func(ctx context.Context, network, addr string) (net.Conn, error){
		"timeout": func(context.Context, string, string) (net.Conn, error) { return nil, os.ErrDeadlineExceeded },
		"refused": func(context.Context, string, string) (net.Conn, error) { return nil, syscall.ECONNREFUSED },
	}
	for name, dial := range dials {
		for _, scheme := range []string{"", "http", "https", "socks5"} {
			t.Run(name+"/"+scheme, func(t *testing.T) {
				plain, ours := &http.Transport{DialContext: dial}, &spdy.Transport{DialContext: dial}
				if scheme != "" {
					plain.Proxy = http.ProxyURL(&url.URL{Scheme: scheme, Host: "proxy.example:1"})
					ours.Proxy = plain.Proxy
				}
				var timeouts [2]bool
				for i, rt := range []http.RoundTripper{plain, ours} {
					_, err := (&http.Client{Transport: rt}).Get("https://origin.example/")
					var failed *url.Error
					require.ErrorAs(t, err, &failed)
					timeouts[i] = failed.Timeout()
					require.Equal(t, failed.Timeout(), os.IsTimeout(failed), "%v", err)
					var network net.Error
					require.Equal(t, failed.Timeout(), errors.As(failed.Err, &network) && network.Timeout(), "%v", err)
				}
				require.Equal(t, timeouts[0], timeouts[1])
				require.Equal(t, name != "refused", timeouts[0])
			})
		}
	}
}
