//go:build unix

package heal

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/socks"
)

// patience is how long a request of the table may take, and most how many are sent.
const (
	patience = 500 * time.Millisecond
	most     = 12
)

// A column is a protocol with its client. All are asked for the same server, over TLS.
type column struct {
	name string
	make func(dial dialFunc, proxy *url.URL) http.RoundTripper
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

func insecure(names ...string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, NextProtos: names}
}

var columns = []column{
	{"HTTP/1.1", func(dial dialFunc, proxy *url.URL) http.RoundTripper {
		return &http.Transport{TLSClientConfig: insecure(), DialContext: dial, Proxy: http.ProxyURL(proxy)}
	}},
	{"x/net/http2", func(dial dialFunc, proxy *url.URL) http.RoundTripper {
		t := &http.Transport{TLSClientConfig: insecure(), DialContext: dial, Proxy: http.ProxyURL(proxy)}
		if err := http2.ConfigureTransport(t); err != nil {
			panic(err)
		}
		return t
	}},
	{"spdy.Transport", func(dial dialFunc, proxy *url.URL) http.RoundTripper {
		return &spdy.Transport{TLSClientConfig: insecure(), DialContext: dial, Proxy: http.ProxyURL(proxy)}
	}},
	{"ConfigureTransport", func(dial dialFunc, proxy *url.URL) http.RoundTripper {
		t := &http.Transport{TLSClientConfig: insecure(), DialContext: dial, Proxy: http.ProxyURL(proxy)}
		if err := spdy.ConfigureTransport(t, nil); err != nil {
			panic(err)
		}
		return t
	}},
}

// tableServer serves all protocols of the columns.
func tableServer(t *testing.T) (addr string) {
	ts := httptest.NewUnstartedServer(http.HandlerFunc(hello))
	ts.EnableHTTP2 = true
	require.NoError(t, http2.ConfigureServer(ts.Config, nil))
	require.NoError(t, spdy.ConfigureServer(ts.Config, nil))
	ts.TLS = ts.Config.TLSConfig
	ts.StartTLS()
	t.Cleanup(func() { _ = ts.Config.Close() })
	return ts.Listener.Addr().String()
}

// lost is the number of requests, one at a time, that fail before one succeeds.
func lost(rt http.RoundTripper, addr string) (n int) {
	for n < most && get(rt, "https://"+addr+"/", patience) != nil {
		n++
	}
	return n
}

// A row is a fault.
type row struct {
	name string
	lost func(t *testing.T, c column, addr string) int
}

var rows = []row{
	{"black hole", func(t *testing.T, c column, addr string) int {
		relay := newRelay(t, addr)
		rt := c.make(func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, relay.addr())
		}, nil)
		defer closeIdle(rt)
		require.NoError(t, get(rt, "https://"+addr+"/", time.Minute))
		relay.hole()
		return lost(rt, addr)
	}},
	{"silent server", func(t *testing.T, c column, addr string) int {
		silent := silentServer(t)
		var dials atomic.Int32
		rt := c.make(func(ctx context.Context, network, addr string) (net.Conn, error) {
			if dials.Add(1) == 1 {
				addr = silent
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		}, nil)
		defer closeIdle(rt)
		return lost(rt, addr)
	}},
	{"stuck dial", func(t *testing.T, c column, addr string) int {
		var dials atomic.Int32
		over, end := context.WithCancel(t.Context())
		defer end()
		rt := c.make(func(ctx context.Context, network, addr string) (net.Conn, error) {
			if dials.Add(1) == 1 {
				select {
				case <-ctx.Done():
				case <-over.Done():
				}
				return nil, context.Canceled
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		}, nil)
		defer closeIdle(rt)
		return crowdLost(rt, addr)
	}},
	{"silent SOCKS5 proxy", func(t *testing.T, c column, addr string) int {
		rt := c.make(nil, silentProxy(t))
		defer closeIdle(rt)
		return crowdLost(rt, addr)
	}},
	{"slow dial", func(t *testing.T, c column, addr string) int {
		rt := c.make(func(ctx context.Context, network, addr string) (net.Conn, error) {
			timer := time.NewTimer(patience * 3 / 2)
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		}, nil)
		defer closeIdle(rt)
		return lost(rt, addr)
	}},
	{"suspended process", lostToStop},
}

// crowdLost is lost for requests that overlap: one begins each half of patience. Those that begin
// before the first success count.
func crowdLost(rt http.RoundTripper, addr string) int {
	var failed atomic.Int32
	var users sync.WaitGroup
	done := make(chan struct{})
	var once sync.Once
	ticker := time.NewTicker(patience / 2)
	defer ticker.Stop()
	for i := 0; i < most; i++ {
		users.Go(func() {
			if get(rt, "https://"+addr+"/", patience) != nil {
				failed.Add(1)
				return
			}
			once.Do(func() { close(done) })
		})
		select {
		case <-done:
			i = most
		case <-ticker.C:
		}
	}
	users.Wait()
	return int(failed.Load())
}

func closeIdle(rt http.RoundTripper) { rt.(interface{ CloseIdleConnections() }).CloseIdleConnections() }

// silentProxy is a SOCKS5 proxy that says nothing on its first connection, and works on others.
func silentProxy(t *testing.T) *url.URL {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	proxy := &socks.Proxy{Dial: func(addr string) (net.Conn, error) { return net.Dial("tcp", addr) }}
	go func() {
		for n := 0; ; n++ {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			if n == 0 {
				t.Cleanup(func() { conn.Close() })
				continue
			}
			go proxy.Serve(conn) // ends with the connection
		}
	}()
	return &url.URL{Scheme: "socks5", Host: ln.Addr().String()}
}

// silentServer is a server that completes TLS handshakes, negotiates any protocol of the columns, and
// sends nothing else.
func silentServer(t *testing.T) (addr string) {
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{certificate()}, NextProtos: []string{"h2", "spdy/3.1", "http/1.1"}})
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { conn.Close() })
			go func() { _, _ = io.Copy(io.Discard, conn) }() // ends with the connection
		}
	}()
	return ln.Addr().String()
}

// measure is the row's line of the table.
func (r row) measure(t *testing.T, addr string) []int {
	counts := make([]int, len(columns))
	var cells sync.WaitGroup
	for i, c := range columns {
		cells.Go(func() { counts[i] = r.lost(t, c, addr) })
	}
	cells.Wait()
	return counts
}

// holds reports whether ours are as good as they have to be: never the worst, and to a black hole or
// a server that never answers they lose at most one request more than HTTP/1.1.
func (r row) holds(counts []int) bool {
	ours := max(counts[2], counts[3])
	return ours <= max(counts[0], counts[1]) && (r.name != "black hole" && r.name != "silent server" || ours <= counts[0]+1)
}

// TestFailedRequestsUntilRecovery prints the table of docs/net-http.md: of a series of requests, how
// many fail before one succeeds. A row that does not hold is measured three times: on a machine that
// is busy, requests also fail for want of time.
func TestFailedRequestsUntilRecovery(t *testing.T) {
	addr := tableServer(t)
	var page strings.Builder
	cell := func(text string) { fmt.Fprintf(&page, "| %-20s", text) }
	cell("")
	for _, c := range columns {
		cell(c.name)
	}
	for _, r := range rows {
		page.WriteString("|\n")
		cell(r.name)
		counts := r.measure(t, addr)
		for range 2 {
			if !r.holds(counts) {
				counts = r.measure(t, addr)
			}
		}
		for _, n := range counts {
			text := fmt.Sprint(n)
			if n == most {
				text += " of " + text
			}
			cell(text)
		}
		require.True(t, r.holds(counts), "%s: %v", r.name, counts)
	}
	page.WriteString("|")
	t.Log("failed requests until recovery\n" + page.String())
}
