// Package heal shows that clients come back by themselves after a connection has died without
// a word, and that they give up no connection that is alive.
package heal

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/localcert"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// A site is a server of ours in memory that clients dial.
type site struct {
	t         *testing.T
	v         spdy.Version
	conf      *spdy.Config // of the client's sessions
	handler   http.HandlerFunc
	opts      []testconn.Option                                // of each connection
	script    func(n int, conn net.Conn, f *spdy.Framer) error // serves connection n instead of handler; nil if it does not
	secure    bool                                             // TLS, with ALPN for v
	dialTakes time.Duration                                    // of each dial
	streams   int                                              // the handler's MAX_CONCURRENT_STREAMS; 0 for the default
	running   sync.WaitGroup                                   // a goroutine for each connection; ends with it

	mu    sync.Mutex
	conns []*testconn.Conn // the server's ends
	ends  []*clientEnd
	stuck func(n int) bool // whether dial n hangs; nil for none
	dials int
}

// newSite returns a site that ends with the test.
func newSite(t *testing.T, v spdy.Version, h http.HandlerFunc) *site {
	s := &site{t: t, v: v, conf: bubble.Quiet(spdy.Config{}, v), handler: h}
	t.Cleanup(func() {
		s.mu.Lock()
		for _, c := range s.conns {
			c.SetBlackHole(false)
			c.Peer().SetBlackHole(false)
			c.SetHold(false)
			c.Peer().SetHold(false)
			c.Close()
			c.Peer().Close()
		}
		s.mu.Unlock()
		s.running.Wait()
	})
	return s
}

// dial connects a client.
func (s *site) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	s.mu.Lock()
	s.dials++
	n := s.dials
	stuck := s.stuck != nil && s.stuck(n)
	s.mu.Unlock()
	if stuck {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	bubble.Pass(s.dialTakes)
	ours, theirs := testconn.Pair(s.opts...)
	end := &clientEnd{Conn: ours}
	s.mu.Lock()
	s.conns, s.ends = append(s.conns, theirs), append(s.ends, end)
	s.mu.Unlock()
	s.running.Go(func() { s.serve(n, theirs) })
	return end, nil
}

// A clientEnd knows whether it has been closed.
type clientEnd struct {
	net.Conn
	closed atomic.Bool
}

func (c *clientEnd) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}

// CloseWrite closes the client's direction, as TCP can.
func (c *clientEnd) CloseWrite() error { return c.Conn.(*testconn.Conn).CloseWrite() }

// certificate is the site's. Clients do not verify it.
var certificate = sync.OnceValue(func() tls.Certificate {
	cert, _, err := localcert.New()
	if err != nil {
		panic(err)
	}
	return cert
})

func (s *site) serve(n int, raw *testconn.Conn) {
	defer raw.Close()
	conn := net.Conn(raw)
	if s.secure {
		secure := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{certificate()}, NextProtos: []string{s.v.String()}})
		if secure.Handshake() != nil {
			return
		}
		conn = secure
	}
	if s.script != nil {
		_ = s.script(n, conn, spdy.NewFramer(conn, conn, s.v)) // fails when the connection ends
		return
	}
	_ = bubble.Quiet(spdy.Config{MaxConcurrentStreams: s.streams}, s.v).ServerSession(conn, &http.Server{Handler: s.handler}).Serve()
}

// hole has the connections that there are swallow everything, or carry bytes again.
func (s *site) hole(on bool) {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.SetBlackHole(on)
		c.Peer().SetBlackHole(on)
	}
}

// mute has the connections that there are swallow what the client sends, or carry it again.
func (s *site) mute(on bool) {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.Peer().SetBlackHole(on)
	}
}

// hold has the connections that there are keep everything back, or deliver it.
func (s *site) hold(on bool) {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.conns {
		c.SetHold(on)
		c.Peer().SetHold(on)
	}
}

// dialled is the number of dials.
func (s *site) dialled() int {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dials
}

// closed reports whether the client has closed connection n, from 0.
func (s *site) closed(n int) bool {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ends[n].closed.Load()
}

// A client is a pool of sessions.
type client struct {
	name string
	make func(s *site) http.RoundTripper
}

var clients = []client{
	{"Transport", func(s *site) http.RoundTripper {
		tr := &spdy.Transport{Config: s.conf, DialContext: s.dial}
		s.t.Cleanup(tr.CloseIdleConnections)
		return tr
	}},
	{"ConfigureTransport", func(s *site) http.RoundTripper {
		s.secure = true
		tr := &http.Transport{DialContext: s.dial, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		require.NoError(s.t, spdy.ConfigureTransport(tr, s.conf))
		s.t.Cleanup(tr.CloseIdleConnections)
		return tr
	}},
}

// inAll runs f in fake time, for each version and client.
func inAll(t *testing.T, h http.HandlerFunc, f func(t *testing.T, s *site, rt http.RoundTripper)) {
	for _, c := range clients {
		bubble.InVersions(t, c.name, func(t *testing.T, v spdy.Version) {
			s := newSite(t, v, h)
			f(t, s, c.make(s))
		})
	}
}

// get sends a request and reads its answer.
func (s *site) get(ctx context.Context, rt http.RoundTripper, path string) (string, error) {
	scheme := "http"
	if s.secure {
		scheme = "https"
	}
	req, err := http.NewRequestWithContext(ctx, "GET", scheme+"://heal.example"+path, nil)
	require.NoError(s.t, err)
	return fetch(rt, req)
}

// fetch sends a request and reads its answer.
func fetch(rt http.RoundTripper, req *http.Request) (string, error) {
	res, err := rt.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return string(body), err
}

// within is get with a time limit.
func (s *site) within(d time.Duration, rt http.RoundTripper, path string) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), d)
	defer cancel()
	_, err := s.get(ctx, rt, path)
	return err
}

// failures is the number of requests that fail, one after the other, before one succeeds, of
// 100 at most.
func (s *site) failures(d time.Duration, rt http.RoundTripper) (n int) {
	for n < 100 && s.within(d, rt, "/") != nil {
		n++
	}
	return n
}

// hello answers at once; for /soon after five seconds, and for /slow after an hour.
func hello(w http.ResponseWriter, r *http.Request) {
	if delay := map[string]time.Duration{"/soon": 5 * time.Second, "/slow": time.Hour}[r.URL.Path]; delay > 0 {
		select {
		case <-time.After(delay):
		case <-r.Context().Done():
			return
		}
	}
	_, _ = io.WriteString(w, "hello")
}
