// Package dials shows what requests meet while connections are slow to come or do not come at
// all, and how many connections clients make, beside net/http in the same test.
package dials

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
	"github.com/amahi/spdy/tests/socks"
)

// The numbers that Transport documents.
const (
	dialPatience = 250 * time.Millisecond
	maxDials     = 4
	strayDial    = 30 * time.Second
	maxStrays    = 100

	dialTimeout      = 30 * time.Second
	handshakeTimeout = 10 * time.Second
	proxyTimeout     = time.Minute
)

// A network connects clients with one server in memory, by a script.
type network struct {
	t      *testing.T
	script func(ctx context.Context, n int) error // decides on dial n, from 1; nil lets all through
	ln     *testconn.Listener
	mute   bool // connections lead to nobody
	silent int  // connections lead to a SOCKS5 proxy if this is positive; the first so many to nobody

	mu      sync.Mutex
	began   []time.Duration // when dials began, since the network was made
	waiting int             // dials that are under way
	most    int             // the most that were at a time
	open    int             // connections that are open or being dialled
	mostOf  int             // the most that were at a time
	conns   []*conn
	start   time.Time
}

// A conn is a client's end of a connection.
type conn struct {
	net.Conn
	once sync.Once
	n    *network
}

// Close closes the connection, and counts that.
func (c *conn) Close() error {
	c.once.Do(func() { c.n.count(0, -1) })
	return c.Conn.Close()
}

// CloseWrite closes the client's direction.
func (c *conn) CloseWrite() error { return c.Conn.(*testconn.Conn).CloseWrite() }

// closed reports whether the client has closed the connection.
func (c *conn) closed() bool {
	_, err := c.Write(nil)
	return err != nil
}

func (n *network) count(waiting, open int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waiting += waiting
	n.open += open
	n.most, n.mostOf = max(n.most, n.waiting), max(n.mostOf, n.open)
}

// dial is a client's DialContext.
func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	n.count(1, 1)
	n.mu.Lock()
	n.began = append(n.began, time.Since(n.start))
	number := len(n.began)
	n.mu.Unlock()
	var err error
	if n.script != nil {
		err = n.script(ctx, number)
	}
	var ours *testconn.Conn
	switch {
	case err != nil:
	case n.mute || number <= n.silent:
		ours, _ = testconn.Pair()
	case n.silent > 0:
		var theirs *testconn.Conn
		ours, theirs = testconn.Pair()
		proxy := &socks.Proxy{Dial: func(string) (net.Conn, error) { return n.ln.Dial() }}
		go proxy.Serve(theirs) // ends with the connection
	default:
		ours, err = n.ln.Dial()
	}
	if err != nil {
		n.count(-1, -1)
		return nil, err
	}
	n.count(-1, 0)
	c := &conn{Conn: ours, n: n}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conns = append(n.conns, c)
	return c, nil
}

// dials is the number of dials so far.
func (n *network) dials() int {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.began)
}

// pending is the number of dials that are under way.
func (n *network) pending() int {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.waiting
}

// alive is the number of connections that are open or being dialled.
func (n *network) alive() int {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.open
}

// peak is the most dials that were under way, and the most connections that were open or being
// dialled, at a time.
func (n *network) peak() (dials, open int) {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.most, n.mostOf
}

// times are those at which dials began.
func (n *network) times() []time.Duration {
	synctest.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.began)
}

// hang waits for the end of the dial's context.
func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// slow waits, or for the end of the dial's context.
func slow(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A kind of client, and the network that it uses.
type client struct {
	name string
	make func(n *network) http.RoundTripper
}

// ours makes a Transport, which set, if it is not nil, configures.
func ours(v spdy.Version, set func(tr *spdy.Transport)) client {
	return client{v.String(), func(n *network) http.RoundTripper {
		tr := &spdy.Transport{Config: bubble.Quiet(spdy.Config{}, v), DialContext: n.dial}
		if set != nil {
			set(tr)
		}
		return tr
	}}
}

// http1 is net/http.
func http1(set func(tr *http.Transport)) client {
	return client{"HTTP/1.1", func(n *network) http.RoundTripper {
		tr := &http.Transport{DialContext: n.dial}
		if set != nil {
			set(tr)
		}
		return tr
	}}
}

// xnet is golang.org/x/net/http2, which dials by itself. It speaks HTTP/2 without TLS.
var xnet = client{"x/net/http2", func(n *network) http.RoundTripper {
	return &http2.Transport{AllowHTTP: true, DialTLSContext: func(ctx context.Context, network, addr string, _ *tls.Config) (net.Conn, error) {
		return n.dial(ctx, network, addr)
	}}
}}

// A server runs until it is closed.
type server interface {
	Serve(ln net.Listener) error
	Close() error
}

// serverFor is the server that a client expects.
func serverFor(name string) server {
	quiet := log.New(io.Discard, "", 0)
	if name == xnet.name {
		var speaks http.Protocols
		speaks.SetUnencryptedHTTP2(true)
		return &http.Server{Handler: http.HandlerFunc(serve), ErrorLog: quiet, Protocols: &speaks}
	}
	conf := bubble.Quiet(spdy.Config{}, spdy.SPDY31)
	for _, v := range bubble.Versions {
		if v.String() == name {
			conf.Version = v
		}
	}
	return &spdy.Server{Handler: http.HandlerFunc(serve), ErrorLog: quiet, Config: conf}
}

// inBubble runs f in fake time with a network and a client of it.
func inBubble(t *testing.T, name string, c client, script func(ctx context.Context, n int) error, f func(t *testing.T, n *network, rt http.RoundTripper)) {
	t.Helper()
	bubble.Run(t, name+"/"+c.name, func(t *testing.T) {
		n := &network{t: t, script: script, ln: testconn.Listen(), start: time.Now()}
		srv := serverFor(c.name)
		end := make(chan error, 1)
		go func() { end <- srv.Serve(n.ln) }()
		rt := c.make(n)
		defer func() {
			rt.(interface{ CloseIdleConnections() }).CloseIdleConnections()
			require.NoError(t, srv.Close())
			require.ErrorIs(t, <-end, http.ErrServerClosed)
		}()
		f(t, n, rt)
	})
}

// serve answers after the time that the query names.
func serve(w http.ResponseWriter, r *http.Request) {
	if d, err := time.ParseDuration(r.URL.RawQuery); err == nil {
		_ = slow(r.Context(), d)
	}
	fmt.Fprint(w, "answer")
}

// get fetches a URL within a time, 0 for any.
func get(rt http.RoundTripper, url string, limit time.Duration) error {
	ctx := context.Background()
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return err
	}
	return send(rt, req)
}

// send sends a request and reads the answer.
func send(rt http.RoundTripper, req *http.Request) error {
	res, err := rt.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && string(body) != "answer" {
		err = fmt.Errorf("the answer is %q", body)
	}
	return err
}

const origin = "http://origin.example/"
