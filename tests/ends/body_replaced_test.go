package ends

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// replacements are what handlers of a proxy do to the body of a request before it is forwarded.
var replacements = map[string]func(*http.Request){
	"removed": func(r *http.Request) { r.Body = http.NoBody },
	"cut": func(r *http.Request) {
		part := make([]byte, 2)
		n, _ := io.ReadFull(r.Body, part)
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(part[:n])), 2
	},
	"limited": func(r *http.Request) {
		r.Body, r.ContentLength = io.NopCloser(io.LimitReader(r.Body, 2)), -1
	},
}

// A replacingFront is a proxy of HTTP/1.1 that replaces bodies.
type replacingFront struct {
	server *http.Server
	ln     *testconn.Listener

	mu   sync.Mutex
	seen []string // paths of the requests that have reached the proxy
}

func newReplacingFront(t *testing.T, replace func(*http.Request), forward http.HandlerFunc) *replacingFront {
	f := &replacingFront{ln: testconn.Listen()}
	f.server = &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.seen = append(f.seen, r.URL.Path)
		f.mu.Unlock()
		replace(r)
		forward(w, r)
	})}
	go func() { _ = f.server.Serve(f.ln) }()
	t.Cleanup(func() { _ = f.server.Close() })
	return f
}

// send sends text on a connection and returns the paths that the proxy has seen, and whether the
// first answer is the last of the connection.
func (f *replacingFront) send(t *testing.T, text string) (seen []string, last bool) {
	conn, err := f.ln.Dial(testconn.WriteCap(256 << 10))
	require.NoError(t, err)
	defer conn.Close()
	go func() { _, _ = io.WriteString(conn, text) }() // the connection may end before
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	bubble.Pass(time.Second)
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.seen, res.Close
}

// TestBodyReplaced: if a handler replaces the body of a request, NewStreamProxy does not make the
// rest of the request the next request of the connection. httputil.ReverseProxy is the oracle.
func TestBodyReplaced(t *testing.T) {
	const forged = "GET /forged HTTP/1.1\r\nHost: x\r\n\r\n"
	long := strings.Repeat(forged, 20_000) // more than net/http discards
	requests := map[string]string{
		"long":      fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(long), long),
		"chunks":    fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(long), long),
		"bad chunk": "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\nZZ\r\n" + forged,
	}
	origin := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	for name, replace := range replacements {
		for kind, request := range requests {
			bubble.InVersions(t, name+"/"+kind, func(t *testing.T, v spdy.Version) {
				session := replacingSession(t, v, origin)
				f := newReplacingFront(t, replace, func(w http.ResponseWriter, r *http.Request) { _ = session.NewStreamProxy(r, w) })
				seen, last := f.send(t, request)
				require.Equal(t, []string{"/"}, seen)
				require.True(t, last)
			})
			bubble.Run(t, name+"/"+kind+"/ReverseProxy", func(t *testing.T) {
				home := newReplacingFront(t, func(*http.Request) {}, origin)
				transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return home.ln.Dial() }}
				t.Cleanup(transport.CloseIdleConnections)
				proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.Out.URL.Scheme, p.Out.URL.Host = "http", "home" },
					Transport: transport, ErrorLog: log.New(io.Discard, "", 0)}
				seen, _ := newReplacingFront(t, replace, proxy.ServeHTTP).send(t, request)
				require.Equal(t, []string{"/"}, seen)
			})
		}
	}
}

// TestBodyReplacedByItself: a body that a handler has read and restored, or wrapped, ends with the
// request, and the connection carries further requests.
func TestBodyReplacedByItself(t *testing.T) {
	for name, replace := range map[string]func(*http.Request){
		"restored": func(r *http.Request) {
			all, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(all))
		},
		"wrapped": func(r *http.Request) { r.Body = struct{ io.ReadCloser }{r.Body} },
	} {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			session := replacingSession(t, v, func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
			f := newReplacingFront(t, replace, func(w http.ResponseWriter, r *http.Request) { _ = session.NewStreamProxy(r, w) })
			post := "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
			seen, last := f.send(t, post+"GET /next HTTP/1.1\r\nHost: x\r\n\r\n")
			require.Equal(t, []string{"/", "/next"}, seen)
			require.False(t, last)
		})
	}
}

// replacingSession returns the client of a session whose server has handler h.
func replacingSession(t *testing.T, v spdy.Version, h http.HandlerFunc) *spdy.Session {
	near, far := testconn.Pair()
	server := bubble.Quiet(spdy.Config{}, v).ServerSession(far, &http.Server{Handler: h})
	client := bubble.Quiet(spdy.Config{}, v).ClientSession(near)
	go func() { _ = server.Serve() }()
	go func() { _ = client.Serve() }()
	t.Cleanup(func() { client.Close(); server.Close(); bubble.Pass(10 * time.Second) })
	return client
}
