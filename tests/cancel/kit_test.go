// Package cancel_test shows that cancelled streams, however many, cost a session nothing
// that other streams need.
package cancel_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// A peer is the scripted end of a connection whose other end is a session of ours.
type peer struct {
	t    *testing.T
	v    spdy.Version
	conn *testconn.Conn
	f    *spdy.Framer
	tap  *tap
	s    *spdy.Session
	end  chan error // receives the result of s.Serve
}

// newPeer starts a session of ours: a server with handler h, or a client if h is nil.
func newPeer(t *testing.T, v spdy.Version, conf spdy.Config, h http.HandlerFunc) *peer {
	ours, conn := testconn.Pair()
	p := &peer{t: t, v: v, conn: conn, end: make(chan error, 1)}
	if h != nil {
		p.s = bubble.Quiet(conf, v).ServerSession(ours, &http.Server{Handler: h})
	} else {
		p.s = bubble.Quiet(conf, v).ClientSession(ours)
	}
	p.f, p.tap = newFramer(conn, v)
	go func() { p.end <- p.s.Serve() }()
	p.frames() // SETTINGS and the session window
	return p
}

// newFramer makes a Framer that compresses headers as well as possible.
func newFramer(conn *testconn.Conn, v spdy.Version) (*spdy.Framer, *tap) {
	w := &tap{conn: conn}
	f := spdy.NewFramer(w, conn, v)
	f.Compression = spdy.CompressFull
	return f, w
}

// A tap writes to conn and keeps the last frame.
type tap struct {
	conn *testconn.Conn
	last []byte
}

func (w *tap) Write(p []byte) (int, error) {
	w.last = append(w.last[:0], p...)
	return w.conn.Write(p)
}

// close closes the connection and waits for the session.
func (p *peer) close() {
	p.s.Close()
	<-p.end
	p.conn.Close()
}

// send sends frames in order.
func (p *peer) send(frames ...spdy.Frame) {
	p.t.Helper()
	for _, frame := range frames {
		require.NoError(p.t, p.f.WriteFrame(frame))
	}
}

// firstFramePing is the id of the PING to a server that has sent nothing for half a second.
// The tests of this directory are not about it.
const firstFramePing = 0x0D0A0D0B

// frames returns all frames that the session has sent, without the passing of time.
func (p *peer) frames() (all []spdy.Frame) {
	p.t.Helper()
	for synctest.Wait(); p.conn.Unread() > 0; synctest.Wait() {
		frame, err := p.f.ReadFrame()
		require.NoError(p.t, err)
		if ping, ok := frame.(*spdy.PingFrame); ok && ping.ID == firstFramePing {
			continue
		}
		all = append(all, frame)
	}
	return all
}

// want wants the session to have sent exactly the frames, as show describes them.
func (p *peer) want(why string, frames ...string) []spdy.Frame {
	p.t.Helper()
	all := p.frames()
	got := []string{}
	for _, frame := range all {
		got = append(got, show(frame))
	}
	require.Equal(p.t, append([]string{}, frames...), got, why)
	return all
}

// show describes a frame in short.
func show(frame spdy.Frame) string {
	switch f := frame.(type) {
	case *spdy.SynStreamFrame:
		return fmt.Sprintf("SYN_STREAM %d", f.StreamID)
	case *spdy.RstStreamFrame:
		return fmt.Sprintf("RST_STREAM %d %v", f.StreamID, f.Status)
	case *spdy.PingFrame:
		return fmt.Sprintf("PING %d", f.ID)
	}
	return frame.FrameType().String()
}

// pings are the ids of the PINGs among frames.
func pings(frames []spdy.Frame) (ids []uint32) {
	for _, frame := range frames {
		if ping, ok := frame.(*spdy.PingFrame); ok {
			ids = append(ids, ping.ID)
		}
	}
	return ids
}

// limit announces MAX_CONCURRENT_STREAMS to a client.
func (p *peer) limit(n uint32) {
	p.send(&spdy.SettingsFrame{Entries: []spdy.Setting{{ID: spdy.SettingMaxConcurrentStreams, Value: n}}})
	synctest.Wait()
}

// A call is a request of a client that runs beside the test.
type call struct {
	cancel context.CancelFunc
	err    chan error // receives the error of RoundTrip, or of reading the body
}

// get starts a request.
func (p *peer) get(path string) *call {
	return start(p.t, p.s, path)
}

// start sends a request, and reads the whole response beside the test. The request has been
// sent, or waits, when start returns.
func start(t *testing.T, rt http.RoundTripper, path string) *call {
	ctx, cancel := context.WithCancel(context.Background())
	req, err := http.NewRequestWithContext(ctx, "GET", "http://cancel.example"+path, nil)
	require.NoError(t, err)
	c := &call{cancel: cancel, err: make(chan error, 1)}
	go func() {
		res, err := rt.RoundTrip(req)
		if err == nil {
			_, err = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
		c.err <- err
	}()
	synctest.Wait()
	return c
}

// ended reports whether the call has returned.
func (c *call) ended() bool {
	synctest.Wait()
	return len(c.err) > 0
}

// request is the header block of a request.
func request(v spdy.Version, method, path string) spdy.HeaderBlock {
	if v == spdy.SPDY2 {
		return spdy.HeaderBlock{{Name: "method", Value: method}, {Name: "url", Value: path},
			{Name: "version", Value: "HTTP/1.1"}, {Name: "scheme", Value: "http"}, {Name: "host", Value: "cancel.example"}}
	}
	return spdy.HeaderBlock{{Name: ":method", Value: method}, {Name: ":path", Value: path},
		{Name: ":version", Value: "HTTP/1.1"}, {Name: ":scheme", Value: "http"}, {Name: ":host", Value: "cancel.example"}}
}

// answer is the header block of a response.
func answer(v spdy.Version) spdy.HeaderBlock {
	if v == spdy.SPDY2 {
		return spdy.HeaderBlock{{Name: "status", Value: "200"}, {Name: "version", Value: "HTTP/1.1"}}
	}
	return spdy.HeaderBlock{{Name: ":status", Value: "200"}, {Name: ":version", Value: "HTTP/1.1"}}
}

// open is a request of a client, without a body.
func (p *peer) open(id uint32) *spdy.SynStreamFrame {
	return &spdy.SynStreamFrame{StreamID: id, Flags: spdy.FlagFin, Headers: request(p.v, "GET", "/")}
}

// reply is a whole response of a server.
func (p *peer) reply(id uint32) *spdy.SynReplyFrame {
	return &spdy.SynReplyFrame{StreamID: id, Flags: spdy.FlagFin, Headers: answer(p.v)}
}

func rst(id uint32) *spdy.RstStreamFrame {
	return &spdy.RstStreamFrame{StreamID: id, Status: spdy.RstCancel}
}

// wantServed wants a server of ours to answer a request whose handler returns at once.
func (p *peer) wantServed(why string, id uint32) {
	p.t.Helper()
	p.send(p.open(id))
	var got []string
	for _, frame := range p.frames() {
		switch frame.(type) {
		case *spdy.SynReplyFrame, *spdy.RstStreamFrame:
			got = append(got, show(frame))
		}
	}
	require.Equal(p.t, []string{"SYN_REPLY"}, got, why)
}

// wantAnswered wants a client of ours to receive a response. No request may wait.
func (p *peer) wantAnswered(why string) {
	p.t.Helper()
	c := p.get("/other")
	for _, frame := range p.frames() {
		if syn, ok := frame.(*spdy.SynStreamFrame); ok {
			p.send(p.reply(syn.StreamID))
		}
	}
	require.True(p.t, c.ended(), why)
	require.NoError(p.t, <-c.err, why)
}

// wantFlood wants the session to have ended because of the budget, and the peer to have
// been told.
func (p *peer) wantFlood(why string, budget spdy.Budget) {
	p.t.Helper()
	synctest.Wait()
	require.ErrorIs(p.t, p.s.Err(), spdy.ErrFlood, why)
	var flood *spdy.FloodError
	require.ErrorAs(p.t, p.s.Err(), &flood, why)
	require.Equal(p.t, budget, flood.Budget, why)
	require.True(p.t, p.s.Stats().Flooded)
	status, told := spdy.GoAwayStatus(0), false
	for !told {
		frame, err := p.f.ReadFrame()
		require.NoError(p.t, err, why)
		if g, ok := frame.(*spdy.GoAwayFrame); ok {
			status, told = g.Status, true
		}
	}
	if p.v != spdy.SPDY2 { // which has no status
		require.Equal(p.t, spdy.GoAwayProtocolError, status, why)
	}
}

// A pair is a client and a server of ours.
type pair struct {
	client, server       *spdy.Session
	clientEnd, serverEnd chan error
}

func newPair(v spdy.Version, server spdy.Config, h http.HandlerFunc, opts ...testconn.Option) *pair {
	return newPairOf(bubble.Quiet(spdy.Config{}, v), bubble.Quiet(server, v), h, opts...)
}

// newPairOf is newPair with both configurations.
func newPairOf(client, server *spdy.Config, h http.HandlerFunc, opts ...testconn.Option) *pair {
	cc, sc := testconn.Pair(opts...)
	r := &pair{clientEnd: make(chan error, 1), serverEnd: make(chan error, 1)}
	r.client = client.ClientSession(cc)
	r.server = server.ServerSession(sc, &http.Server{Handler: h})
	go func() { r.clientEnd <- r.client.Serve() }()
	go func() { r.serverEnd <- r.server.Serve() }()
	return r
}

func (r *pair) close() {
	r.client.Close()
	r.server.Close()
	<-r.clientEnd
	<-r.serverEnd
}

// wantAlive wants both sessions to live, and nobody to have been flooded.
func (r *pair) wantAlive(t *testing.T) {
	t.Helper()
	require.NoError(t, r.client.Err())
	require.NoError(t, r.server.Err())
	require.False(t, r.client.Stats().Flooded)
	require.False(t, r.server.Stats().Flooded)
}
