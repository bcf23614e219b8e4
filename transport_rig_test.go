package spdy

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// A poolRig is a Transport in a bubble, whose dials all reach one server in memory, or
// scripted peers.
type poolRig struct {
	t   *testing.T
	tr  *Transport
	srv *Server
	ln  *testconn.Listener
	end chan error

	mu    sync.Mutex
	conns []*testconn.Conn // our ends, in the order of the dials
}

// poolTest runs f in a bubble. setup may be nil.
func poolTest(t *testing.T, h http.HandlerFunc, setup func(r *poolRig), f func(t *testing.T, r *poolRig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newPoolRig(t, h)
		if setup != nil {
			setup(r)
		}
		r.serve()
		defer r.close()
		f(t, r)
	})
}

// poolStory is poolTest as a subtest.
func poolStory(t *testing.T, name string, h http.HandlerFunc, setup func(r *poolRig), f func(t *testing.T, r *poolRig)) {
	t.Run(name, func(t *testing.T) { poolTest(t, h, setup, f) })
}

func newPoolRig(t *testing.T, h http.HandlerFunc) *poolRig {
	r := &poolRig{t: t, ln: testconn.Listen(), end: make(chan error, 1)}
	r.srv = &Server{Handler: h, ErrorLog: quietLog, Config: &Config{Version: SPDY31, Logger: quietConfig.Logger}}
	r.tr = &Transport{DialContext: r.dial, Config: quietConfig}
	return r
}

func (r *poolRig) serve() { go func() { r.end <- r.srv.Serve(r.ln) }() }

func (r *poolRig) close() {
	r.tr.CloseIdleConnections()
	require.NoError(r.t, r.srv.Close())
	require.ErrorIs(r.t, <-r.end, http.ErrServerClosed)
}

// dial is the Transport's DialContext.
func (r *poolRig) dial(context.Context, string, string) (net.Conn, error) {
	c, err := r.ln.Dial()
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.conns = append(r.conns, c)
	r.mu.Unlock()
	return c, nil
}

// dials is how many there were.
func (r *poolRig) dials() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.conns)
}

// sessions is how many the Transport has in its pool, for all origins, when all is quiet.
func (r *poolRig) sessions() (n int) {
	synctest.Wait()
	p := r.tr.sessions()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.origins {
		n += len(o.sessions)
	}
	return n
}

// origins is how many of them it remembers.
func (r *poolRig) origins() int {
	synctest.Wait()
	p := r.tr.sessions()
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.origins)
}

func (r *poolRig) request(method, url string, body io.Reader, header ...string) *http.Request {
	req, err := http.NewRequestWithContext(context.Background(), method, url, body)
	require.NoError(r.t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	return req
}

// A poolCall is a request that runs beside the test.
type poolCall struct {
	r    *poolRig
	end  chan struct{}
	res  *http.Response
	body string
	err  error
}

// start sends a request and reads the whole answer.
func (r *poolRig) start(req *http.Request) *poolCall {
	c := &poolCall{r: r, end: make(chan struct{})}
	go func() {
		defer close(c.end)
		if c.res, c.err = r.tr.RoundTrip(req); c.err == nil {
			c.readAll()
		}
	}()
	return c
}

func (c *poolCall) readAll() {
	var b bytes.Buffer
	_, c.err = b.ReadFrom(c.res.Body)
	c.body = b.String()
	c.res.Body.Close()
}

func (r *poolRig) startGet(url string) *poolCall { return r.start(r.request("GET", url, nil)) }

// get fetches a URL.
func (r *poolRig) get(url string) string {
	r.t.Helper()
	return r.startGet(url).ok("GET " + url)
}

// ok wants the whole answer, once all is quiet.
func (c *poolCall) ok(why string) string {
	c.r.t.Helper()
	c.wait(why)
	require.NoError(c.r.t, c.err, why)
	return c.body
}

func (c *poolCall) wait(why string) {
	c.r.t.Helper()
	require.True(c.r.t, c.returned(), "%s: still waits", why)
}

func (c *poolCall) pending(why string) {
	c.r.t.Helper()
	if c.returned() {
		require.FailNow(c.r.t, why, "has returned %v", c.err)
	}
}

func (c *poolCall) returned() bool {
	synctest.Wait()
	select {
	case <-c.end:
		return true
	default:
		return false
	}
}

// A scriptedPool is a poolRig whose dials the test answers itself, frame by frame.
type scriptedPool struct {
	*poolRig
	version Version
	peers   []*testPeer // the other ends, in the order of the dials
}

// scriptedTest runs f in a bubble with a Transport whose peers f plays.
func scriptedTest(t *testing.T, name string, setup func(r *poolRig), f func(t *testing.T, r *scriptedPool)) {
	story(t, name, func(t *testing.T) {
		r := &scriptedPool{poolRig: newPoolRig(t, nil), version: SPDY31}
		r.tr.DialContext = r.dial
		if setup != nil {
			setup(r.poolRig)
		}
		defer func() {
			r.tr.CloseIdleConnections()
			for _, p := range r.peers {
				p.conn.Close()
			}
		}()
		f(t, r)
	})
}

func (r *scriptedPool) dial(context.Context, string, string) (net.Conn, error) {
	p := &testPeer{t: r.t, role: asClient, version: r.version}
	p.ours, p.conn = testconn.Pair()
	p.f = NewFramer(p.conn, p.conn, r.version)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.peers = append(r.peers, p)
	r.conns = append(r.conns, p.ours)
	return p.ours, nil
}

// peer returns the n-th dialled peer, past the frames that open a session.
func (r *scriptedPool) peer(n int) *testPeer {
	r.t.Helper()
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	require.Greater(r.t, len(r.peers), n, "no connection %d", n)
	p := r.peers[n]
	wantFrame[*SettingsFrame](p, "the session announces its limits")
	wantFrame[*WindowUpdateFrame](p, "and its window")
	return p
}

// answer sends an answer to the stream.
func (p *testPeer) answer(id uint32, body string) {
	p.send(&SynReplyFrame{StreamID: id, Headers: plainOK(p.version)})
	p.sendData(id, body, FlagFin)
}

// wantSilence wants nothing on the wire.
func (p *testPeer) wantSilence(why string) {
	p.t.Helper()
	for synctest.Wait(); p.conn.Unread() > 0; synctest.Wait() {
		frame, err := p.f.ReadFrame()
		require.NoError(p.t, err, why)
		if !p.echo(frame) {
			p.fatalf(why, "on the wire is %v", show(frame))
		}
	}
}
