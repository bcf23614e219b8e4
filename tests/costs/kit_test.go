package costs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// small are pools of a part of the default.
var small = spdy.Pools{HeaderBytes: 16 << 20, UnreadBytes: 32 << 20, BufferBytes: 64 << 20, Handlers: 2048}

// sum is how many bytes pools have together.
func sum(p spdy.Pools) int64 { return int64(p.HeaderBytes + p.UnreadBytes + p.BufferBytes) }

// A site is a Server in memory whose handlers hang, but for those of "/honest".
type site struct {
	t       *testing.T
	v       spdy.Version
	srv     *spdy.Server
	ln      *testconn.Listener
	release chan struct{} // closed: handlers return
	served  chan error    // receives the result of Serve
	stuck   bool          // handlers do not look at their contexts
}

// left is closed when a handler may leave because of its context.
func (s *site) left(r *http.Request) <-chan struct{} {
	if s.stuck {
		return nil
	}
	return r.Context().Done()
}

func newSite(t *testing.T, v spdy.Version, conf spdy.Config) *site {
	s := prepareSite(t, v, conf)
	s.serve()
	return s
}

// readingSite returns a site whose handlers read as many bytes as the request says before they hang.
func readingSite(t *testing.T, v spdy.Version, conf spdy.Config) *site {
	s := prepareSite(t, v, conf)
	hang := s.srv.Handler
	s.srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := strconv.ParseInt(r.Header.Get("Read"), 10, 64)
		_, _ = io.CopyN(io.Discard, r.Body, n)
		hang.ServeHTTP(w, r)
	})
	s.serve()
	return s
}

// prepareSite returns a site that does not serve yet.
func prepareSite(t *testing.T, v spdy.Version, conf spdy.Config) *site {
	s := &site{t: t, v: v, ln: testconn.Listen(), release: make(chan struct{}), served: make(chan error, 1)}
	s.srv = &spdy.Server{
		Config:   bubble.Quiet(conf, v),
		ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/honest" {
				_, _ = io.Copy(w, r.Body)
				return
			}
			select {
			case <-s.release:
			case <-s.left(r):
			}
			runtime.KeepAlive(r)
		}),
	}
	return s
}

func (s *site) serve() {
	go func() { s.served <- s.srv.Serve(s.ln) }()
}

// dial returns a connection to the site whose end writes nothing by itself. What comes from
// the site is thrown away, until the connection ends.
func (s *site) dial() *testconn.Conn {
	conn, err := s.ln.Dial()
	require.NoError(s.t, err)
	go drain(conn)
	return conn
}

// drain throws away what comes, until the connection ends.
func drain(conn *testconn.Conn) {
	for buf := make([]byte, 64); ; {
		if _, err := conn.Read(buf); err != nil {
			conn.Close() // or it would keep what the other end has not read
			return
		}
	}
}

// sorted are the scripts of a table in a fixed order.
func sorted(table map[string]func(s *script)) (all []func(s *script)) {
	for _, name := range slices.Sorted(maps.Keys(table)) {
		all = append(all, table[name])
	}
	return all
}

// transport returns an honest client of the site.
func (s *site) transport() *spdy.Transport {
	return &spdy.Transport{Config: bubble.Quiet(spdy.Config{}, s.v), DialContext: func(context.Context, string, string) (net.Conn, error) {
		return s.ln.Dial()
	}}
}

// honest wants a client to be served.
func honest(t *testing.T, client http.RoundTripper) {
	t.Helper()
	const text = "an honest client"
	req, err := http.NewRequest("POST", "http://example.com/honest", strings.NewReader(text))
	require.NoError(t, err)
	res, err := client.RoundTrip(req)
	require.NoError(t, err, "an honest client is served")
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, text, string(body))
	require.NoError(t, res.Body.Close())
}

// close ends the site, which lets its handlers return.
func (s *site) close() {
	s.let()
	require.NoError(s.t, s.srv.Close())
	<-s.served
	synctest.Wait()
	s.empty()
}

// let lets the handlers return.
func (s *site) let() {
	select {
	case <-s.release:
	default:
		close(s.release)
	}
}

// empty wants nothing to be left in the pools.
func (s *site) empty() {
	s.t.Helper()
	wantEmpty(s.t, s.srv.Stats().Pools)
}

func wantEmpty(t *testing.T, p spdy.PoolStats) {
	t.Helper()
	used := fmt.Sprint(p.HeaderBytes.Used, p.UnreadBytes.Used, p.BufferBytes.Used, p.Handlers.Used)
	require.Equal(t, "0 0 0 0", used, "headers, unread bytes, buffers and handlers that pools still have")
}

// A script is what a peer sends.
type script struct {
	buf bytes.Buffer
	f   *spdy.Framer
	v   spdy.Version
}

func newScript(v spdy.Version) *script {
	s := &script{v: v}
	s.f = spdy.NewFramer(&s.buf, nil, v)
	s.f.Compression = spdy.CompressFull
	return s
}

func (s *script) add(frames ...spdy.Frame) {
	for _, frame := range frames {
		if err := s.f.WriteFrame(frame); err != nil {
			panic(err)
		}
	}
}

// wire is the version in a control frame.
func (s *script) wire() byte {
	if s.v == spdy.SPDY2 {
		return 2
	}
	return 3
}

// request is the header block of a request that hangs, with more.
func (s *script) request(more ...spdy.HeaderField) spdy.HeaderBlock {
	pairs := []string{":method", "POST", ":path", "/hang", ":version", "HTTP/1.1", ":host", "example.com", ":scheme", "http"}
	return append(block(s.v, pairs...), more...)
}

// answer is the header block of an answer, with more.
func (s *script) answer(more ...spdy.HeaderField) spdy.HeaderBlock {
	return append(block(s.v, ":status", "200 OK", ":version", "HTTP/1.1"), more...)
}

// block makes pairs a header block of a version.
func block(v spdy.Version, pairs ...string) (h spdy.HeaderBlock) {
	for i := 0; i < len(pairs); i += 2 {
		name := pairs[i]
		if v == spdy.SPDY2 {
			name = strings.Replace(strings.TrimPrefix(name, ":"), "path", "url", 1)
		}
		h = append(h, spdy.HeaderField{Name: name, Value: pairs[i+1]})
	}
	return h
}

// values is a field of n values of one byte.
func values(name string, n int) spdy.HeaderField {
	return spdy.HeaderField{Name: name, Value: strings.TrimSuffix(strings.Repeat("a\x00", n), "\x00")}
}

// names are n fields without a value.
func names(prefix string, n int) (h spdy.HeaderBlock) {
	for i := range n {
		h = append(h, spdy.HeaderField{Name: fmt.Sprint(prefix, i), Value: "v"})
	}
	return h
}

// liveHeap is what is in use after collecting garbage, and emptying what is pooled.
func liveHeap() int64 {
	for range 3 {
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
