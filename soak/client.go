package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/amahi/spdy"
)

// A lane is one protocol for requests to the relay, with connections shared by all users.
type lane struct {
	name    string
	base    string // scheme and host of the URLs
	version spdy.Version
	http    *http.Client
	close   func()
	conns   *connections
}

// connections is the set of a lane's open connections, so that a fault can cut them.
type connections struct {
	mu   sync.Mutex
	open map[*trackedConn]struct{}
}

// A trackedConn removes itself from the set when it is closed.
type trackedConn struct {
	*net.TCPConn
	list *connections
}

func (c *trackedConn) Close() error {
	c.list.mu.Lock()
	delete(c.list.open, c)
	c.list.mu.Unlock()
	return c.TCPConn.Close()
}

func (l *connections) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c := &trackedConn{TCPConn: conn.(*net.TCPConn), list: l}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open[c] = struct{}{}
	return c, nil
}

// cutOne resets one of the connections, if there are any.
func (l *connections) cutOne() bool {
	l.mu.Lock()
	var victim *trackedConn
	for c := range l.open {
		victim = c
		break
	}
	l.mu.Unlock()
	if victim == nil {
		return false
	}
	victim.SetLinger(0)
	victim.Close()
	return true
}

// newLanes returns all lanes: HTTP/1.1, the three dialects, and SPDY/3.1 over TLS.
func newLanes(set settings) ([]*lane, error) {
	lanes := []*lane{{name: "HTTP/1.1"}, {name: "SPDY/2", version: spdy.SPDY2}, {name: "SPDY/3", version: spdy.SPDY3},
		{name: "SPDY/3.1", version: spdy.SPDY31}, {name: "SPDY over TLS"}}
	cert, err := x509.ParseCertificate(set.Cert)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	for i, l := range lanes {
		l.conns = &connections{open: make(map[*trackedConn]struct{})}
		l.base = "http://" + set.Plain
		if i == 0 {
			t := &http.Transport{DialContext: l.conns.dial, MaxIdleConnsPerHost: 8, DisableCompression: true}
			l.http, l.close = &http.Client{Transport: t}, t.CloseIdleConnections
			continue
		}
		t := &spdy.Transport{
			Config:      &spdy.Config{Version: l.version, PingInterval: set.Dwell / 2, PingTimeout: set.Dwell, Logger: quiet},
			DialContext: l.conns.dial, TLSClientConfig: &tls.Config{RootCAs: pool}, DisableCompression: true,
			IdleConnTimeout: 20 * time.Second,
		}
		if l.version == 0 {
			l.base = "https://" + set.Secure
		}
		l.http, l.close = &http.Client{Transport: t}, t.CloseIdleConnections
	}
	return lanes, nil
}

// Clients are the workers of one client process. Every worker runs random deeds in sequence.
type clients struct {
	set    settings
	counts tally
	lanes  []*lane
	done   chan struct{}
	work   sync.WaitGroup
}

func newClients(set settings) *clients { return &clients{set: set, done: make(chan struct{})} }

func (c *clients) start(ctx context.Context) (err error) {
	if c.lanes, err = newLanes(c.set); err != nil {
		return err
	}
	if c.set.Verify {
		c.work.Go(func() { c.verifyAll(ctx) })
	} else {
		for n := range c.set.Workers {
			c.work.Go(func() { c.worker(ctx, uint64(n)) })
		}
	}
	go func() {
		c.work.Wait()
		for _, l := range c.lanes {
			l.close()
		}
		close(c.done)
	}()
	return nil
}

func (c *clients) finished() <-chan struct{} { return c.done }

func (c *clients) do(string) {}

func (c *clients) sample(s *sample) {
	s.Counts, s.Notes = c.counts.all()
	select {
	case <-c.done:
		s.Gauges["finished"] = 1
	default:
	}
}

// A user is a worker with a separate random source.
type user struct {
	*clients
	*rand.Rand
	lane *lane
}

// worker runs deeds until ctx ends.
func (c *clients) worker(ctx context.Context, n uint64) {
	u := &user{clients: c, Rand: rand.New(rand.NewPCG(c.set.Seed, 100+n))}
	for ctx.Err() == nil {
		u.lane = c.lanes[u.IntN(len(c.lanes))]
		deeds[deck[u.IntN(len(deck))]](u, ctx)
		if !pause(ctx, time.Duration(u.IntN(150))*time.Millisecond) {
			return
		}
	}
}

// deeds are the users' actions; deck holds the index of each as often as it is to be picked.
var (
	deeds = []func(u *user, ctx context.Context){
		(*user).fetch, (*user).play, (*user).storm, (*user).readSlowly, (*user).upload, (*user).leaveUpload,
		(*user).ownSession, (*user).askIfModified, (*user).goodbye, (*user).cutLane,
		(*user).rawSession, (*user).overlap,
	}
	deck = []int{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 3, 3, 4, 4, 4, 4, 4, 5, 5, 5, 6, 6, 7, 7, 8, 9, 10, 10, 10, 11, 11, 11}
)

// request returns a request for f.
func (u *user) request(ctx context.Context, method string, f file) *http.Request {
	req, err := http.NewRequestWithContext(ctx, method, u.lane.base+f.name, nil)
	if err != nil {
		panic(err) // the URL is ours
	}
	u.counts.add(requests, 1)
	return req
}

// limited limits the duration of a deed. No deed takes nearly as long, even when processes are
// stopped for a while: a deed that times out hangs.
func (c *clients) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, c.set.Patience, errHung)
}

// failed counts a failed exchange: as hung after a timeout, and as abandoned if the whole client
// ends.
func (u *user) failed(ctx context.Context, what string, err error) {
	switch {
	case errors.Is(err, errCorrupt), errors.Is(err, errTruncated):
	case errors.Is(context.Cause(ctx), errHung):
		err = fmt.Errorf("%w: %w", errHung, err)
	case ctx.Err() != nil:
		u.counts.add(abandoned, 1)
		return
	}
	u.counts.failed(u.lane.name+": "+what, err)
}

// answered checks a status. The response of a relay without a tunnel is counted as unavailable.
func (u *user) answered(res *http.Response, want int) bool {
	switch {
	case res.StatusCode == want:
		return true
	case isUnavailable(res.StatusCode):
		u.counts.add(unavailable, 1)
	default:
		u.counts.never(wrong, fmt.Sprintf("%s: %s %s: %s instead of %d",
			u.lane.name, res.Request.Method, res.Request.URL, res.Status, want))
	}
	return false
}

// verifyAll requests a download, a live download and an upload over every lane and through every
// tunnel. No error is allowed, since there are no faults meanwhile.
func (c *clients) verifyAll(ctx context.Context) {
	for i, l := range c.lanes {
		for n := range tunnelVersions {
			ctx, cancel := c.limited(ctx)
			u := &user{clients: c, Rand: rand.New(rand.NewPCG(uint64(i), uint64(n))), lane: l}
			via := func(req *http.Request) *http.Request {
				req.Header.Set(tunnelHeader, strconv.Itoa(n))
				return req
			}
			for _, kind := range []string{"media", "live"} {
				f := newFile(kind, uint64(i), 300_000+int64(n))
				u.download(ctx, via(u.request(ctx, http.MethodGet, f)), f, 0)
			}
			f := newFile("upload", uint64(i), 300_000+int64(n))
			u.send(ctx, via(u.request(ctx, http.MethodPost, f)), f, &fileReader{file: f}, f.size)
			cancel()
		}
	}
}
