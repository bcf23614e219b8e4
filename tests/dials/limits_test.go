package dials

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// proxied sets a proxy.
func proxied(rawURL string) func(tr *spdy.Transport) {
	return func(tr *spdy.Transport) {
		tr.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(rawURL) }
	}
}

// TestSilence: a request without a limit of time fails in the end, whatever says nothing: the
// network, a TLS server, an HTTP or a SOCKS5 proxy, over TLS too. The connections are closed.
func TestSilence(t *testing.T) {
	for _, tt := range []struct {
		name, url string
		set       func(tr *spdy.Transport)
		silent    bool // connections come, and bring nothing
		limit     time.Duration
		says      string
	}{
		{"network", origin, nil, false, dialTimeout, "dial of origin.example:80"},
		{"network, DialTimeout", origin, func(tr *spdy.Transport) { tr.DialTimeout = time.Second }, false, time.Second, "dial of"},
		{"network, for TLS", "https://a.example/", nil, false, dialTimeout, "dial of a.example:443"},
		{"network, DialTLSContext", "https://a.example/", func(tr *spdy.Transport) { tr.DialTLSContext = tr.DialContext }, false, dialTimeout, "dial of"},
		{"proxy's network", origin, proxied("http://proxy.example"), false, dialTimeout, "dial of proxy.example:80"},
		{"SOCKS5 proxy's network", origin, proxied("socks5://proxy.example"), false, dialTimeout, "dial of proxy.example:1080"},
		{"TLS server", "https://a.example/", nil, true, handshakeTimeout, "TLS handshake"},
		{"TLS server, TLSHandshakeTimeout", "https://a.example/", func(tr *spdy.Transport) { tr.TLSHandshakeTimeout = time.Second }, true, time.Second, "TLS handshake"},
		{"HTTP proxy", origin, proxied("http://proxy.example"), true, proxyTimeout, "tunnel to origin.example:80"},
		{"HTTPS proxy", origin, proxied("https://proxy.example"), true, handshakeTimeout, "TLS handshake"},
		{"SOCKS5 proxy", origin, proxied("socks5://proxy.example"), true, proxyTimeout, "tunnel to origin.example:80"},
		{"SOCKS5 proxy, for TLS", "https://a.example/", proxied("socks5h://u:p@proxy.example"), true, proxyTimeout, "tunnel to a.example:443"},
	} {
		inBubble(t, tt.name, ours(spdy.SPDY31, tt.set), nil, func(t *testing.T, n *network, rt http.RoundTripper) {
			if n.mute = tt.silent; !tt.silent {
				n.script = stuck(1000).script()
			}
			begun := time.Now()
			err := get(rt, tt.url, 0)
			requireTimeout(t, err)
			require.ErrorContains(t, err, tt.says)
			require.Equal(t, tt.limit, time.Since(begun))
			bubble.Pass(strayDial + proxyTimeout)
			require.Zero(t, n.alive(), "of its dials none is left")
		})
	}
}

// TestUpgradeSilence is TestSilence for an UpgradeDialer.
func TestUpgradeSilence(t *testing.T) {
	for _, tt := range []struct {
		url, proxy string
		limit      time.Duration
	}{
		{"https://a.example/", "", handshakeTimeout},
		{"http://a.example/", "https://proxy.example", handshakeTimeout},
		{"http://a.example/", "http://proxy.example", proxyTimeout},
		{"http://a.example/", "socks5://proxy.example", proxyTimeout},
	} {
		bubble.Run(t, tt.url+" "+tt.proxy, func(t *testing.T) {
			var conns []net.Conn
			d := &spdy.UpgradeDialer{DialContext: func(context.Context, string, string) (net.Conn, error) {
				c, _ := testconn.Pair()
				conns = append(conns, c)
				return c, nil
			}}
			if tt.proxy != "" {
				d.Proxy = func(*http.Request) (*url.URL, error) { return url.Parse(tt.proxy) }
			}
			begun := time.Now()
			_, _, err := d.Dial(context.Background(), "GET", tt.url)
			requireTimeout(t, err)
			require.Equal(t, tt.limit, time.Since(begun))
			synctest.Wait()
			require.Len(t, conns, 1)
			_, err = conns[0].Write(nil)
			require.ErrorIs(t, err, net.ErrClosed)
		})
	}
}

// TestNoLimit: negative limits are none.
func TestNoLimit(t *testing.T) {
	set := func(tr *spdy.Transport) { tr.DialTimeout = -1 }
	inBubble(t, "", ours(spdy.SPDY31, set), stuck(1000).script(), func(t *testing.T, n *network, rt http.RoundTripper) {
		begun := time.Now()
		require.ErrorIs(t, get(rt, origin, 24*time.Hour), context.DeadlineExceeded)
		require.Equal(t, 24*time.Hour, time.Since(begun))
		require.Less(t, n.dials(), 24, "ever less often")
	})
}

// A mix of requests that come while dials are slow, in different ways.
func mixedLoad(t *testing.T, rt http.RoundTripper, requests int) {
	var wg sync.WaitGroup
	errs := make([]error, requests)
	for i := range requests {
		wg.Go(func() {
			req, err := http.NewRequest("GET", fmt.Sprintf("%s?%dms", origin, 10*(i%7)), nil)
			if err == nil {
				req.Close = i%3 == 0
				err = send(rt, req)
			}
			errs[i] = err
		})
		bubble.Pass(time.Duration(i%5) * 40 * time.Millisecond)
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
}

// TestMaxConnsPerHost: there are never more connections than MaxConnsPerHost, those being dialled
// and those of a single request included, and all requests are answered, as with net/http.
func TestMaxConnsPerHost(t *testing.T) {
	for _, limit := range []int{1, 2, 5} {
		for _, keepAlives := range []bool{true, false} {
			all := []client{http1(func(tr *http.Transport) { tr.MaxConnsPerHost, tr.DisableKeepAlives = limit, !keepAlives })}
			for _, v := range bubble.Versions {
				all = append(all, ours(v, func(tr *spdy.Transport) { tr.MaxConnsPerHost, tr.DisableKeepAlives = limit, !keepAlives }))
			}
			for _, c := range all {
				inBubble(t, fmt.Sprintf("%d, keep-alives %v", limit, keepAlives), c, nil, func(t *testing.T, n *network, rt http.RoundTripper) {
					n.script = func(ctx context.Context, i int) error { return slow(ctx, time.Duration(100+i%4*300)*time.Millisecond) }
					mixedLoad(t, rt, 60)
					if _, open := n.peak(); c.name != "HTTP/1.1" { // which counts a connection as gone before it closes it
						require.LessOrEqual(t, open, limit)
						require.Positive(t, open)
					}
				})
			}
		}
	}
	limited := ours(spdy.SPDY31, func(tr *spdy.Transport) { tr.MaxConnsPerHost = 2 })
	inBubble(t, "dials that hang make way within the limit", limited, stuck(3).script(), func(t *testing.T, n *network, rt http.RoundTripper) {
		require.NoError(t, get(rt, origin, 10*time.Second))
		dials, open := n.peak()
		require.Equal(t, []int{2, 2}, []int{dials, open})
	})
}

// TestMaxSessionsPerHost: dials beyond the sessions that are allowed are for speed only; there are
// never more sessions.
func TestMaxSessionsPerHost(t *testing.T) {
	for _, set := range []func(tr *spdy.Transport){
		func(tr *spdy.Transport) { tr.MaxSessionsPerHost = 1 },
		func(tr *spdy.Transport) { tr.StrictMaxConcurrentStreams = true },
	} {
		inBubble(t, "", ours(spdy.SPDY31, set), nil, func(t *testing.T, n *network, rt http.RoundTripper) {
			n.script = func(context.Context, int) error { bubble.Pass(time.Second); return nil }
			var wg sync.WaitGroup
			for range 250 { // more than a session takes before its server has said how many
				wg.Go(func() { _ = get(rt, origin+"?5s", 0) })
			}
			bubble.Pass(3 * time.Second)
			require.Equal(t, 1, n.alive())
			require.Greater(t, n.dials(), 1)
			wg.Wait()
		})
	}
}

// TestMaxIdleConns: of idle connections no more are kept than the limits say, and of ours the
// latest. In use there may be more.
func TestMaxIdleConns(t *testing.T) {
	var all []client
	for _, v := range bubble.Versions {
		all = append(all, ours(v, func(tr *spdy.Transport) { tr.MaxIdleConns = 3 }))
	}
	for _, c := range append(all, http1(func(tr *http.Transport) { tr.MaxIdleConns = 3 })) {
		inBubble(t, "all hosts", c, nil, func(t *testing.T, n *network, rt http.RoundTripper) {
			host := func(i int) string { return fmt.Sprintf("http://host%d.example/", i) }
			var wg sync.WaitGroup
			for i := range 10 {
				wg.Go(func() { _ = get(rt, fmt.Sprintf("%s?%ds", host(i), 10+i), 0) })
			}
			bubble.Pass(9 * time.Second)
			require.Equal(t, 10, n.alive(), "they are in use")
			wg.Wait()
			bubble.Pass(5 * time.Second)
			require.Equal(t, 3, n.alive())
			for i := 7; i < 10; i++ {
				require.NoError(t, get(rt, host(i), 0))
			}
			require.Equal(t, 10, n.dials(), "the latest are there")
			require.NoError(t, get(rt, host(0), 0))
			require.Equal(t, 11, n.dials())
		})
	}
	for _, limit := range []int{-1, 1, 2} {
		set := func(tr *spdy.Transport) { tr.MaxIdleConnsPerHost = limit }
		for _, c := range []client{ours(spdy.SPDY31, set), http1(func(tr *http.Transport) { tr.MaxIdleConnsPerHost = limit })} {
			inBubble(t, fmt.Sprint("each host ", limit), c, nil, func(t *testing.T, n *network, rt http.RoundTripper) {
				for i := range 3 {
					require.NoError(t, get(rt, fmt.Sprintf("http://host%d.example/", i), 0))
				}
				bubble.Pass(5 * time.Second)
				require.Equal(t, 3*min(max(limit, 0), 1), n.alive())
			})
		}
	}
}
