package spdy

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// This file and peer_frames_test.go are the tool for session tests: our Session
// at one end of an in-memory connection, a Framer that the test drives at the
// other, in a bubble of fake time. A test tells what the peer sends and what it
// wants to see, in order:
//
//	p := newPeer(t, asClient)
//	st := p.open("GET", FlagFin)
//	p.wantSynStream("the request", 1)
//	p.sendSynReply(1, 0)
//	p.sendData(1, "hello", FlagFin)
//	p.wantRead("the answer", st, "hello")
//	p.wantIdle("nothing else to say")

// A role is that of our Session; the scripted peer has the other one.
type role bool

const (
	asClient role = true
	asServer role = false
)

var bothRoles = []role{asClient, asServer}

func (r role) String() string {
	if r == asClient {
		return "client"
	}
	return "server"
}

// peerOpts changes what newPeer sets up. The zero value is a SPDY/3.1 session
// with a rawApp and the protocol's own windows of 64 KiB.
type peerOpts struct {
	version  Version
	conf     Config
	app      application       // nil stands for a rawApp
	conn     []testconn.Option // First is our end, Second the peer's
	announce bool              // leave the opening SETTINGS to the test
}

// A testPeer is a Session under test and the hand of its scripted peer.
type testPeer struct {
	t       testing.TB
	role    role
	version Version
	s       *Session
	ours    *testconn.Conn // the Session's end
	conn    *testconn.Conn // the peer's end
	f       *Framer        // the peer's
	app     *rawApp        // nil if the test brought its own application
	served  *call          // Serve
	opened  []*Stream      // by the Session
	pings   uint32         // sent by wantAlive

	resetPings bool // the test wants to see PINGs behind resets, see echo
}

// story runs a test in a bubble of fake time as a subtest.
func story(t *testing.T, name string, f func(t *testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, f) })
}

// storyBoth runs a test once for each role.
func storyBoth(t *testing.T, name string, f func(t *testing.T, r role)) {
	for _, r := range bothRoles {
		story(t, name+"/"+r.String(), func(t *testing.T) { f(t, r) })
	}
}

// newPeer starts a Session in the given role. It has to be called in a bubble,
// which fails the test if the Session leaves a goroutine behind.
func newPeer(t testing.TB, r role, opts ...peerOpts) *testPeer {
	t.Helper()
	var o peerOpts
	if len(opts) > 0 {
		o = opts[0]
	}
	if o.version == 0 {
		o.version = SPDY31
	}
	streams := o.conf.MaxConcurrentStreams
	if o.conf.FlowControl == FlowControlStandard {
		o.conf.MaxConcurrentStreams = 0 // else it might contradict the windows
	}
	if o.conf.StreamWindow == 0 {
		o.conf.StreamWindow = defaultWindow
	}
	if o.conf.SessionWindow == 0 && o.version == SPDY2 {
		o.conf.SessionWindow = 16 << 20 // the limit of unread bytes
	} else if o.conf.SessionWindow == 0 {
		o.conf.SessionWindow = max(defaultWindow, o.conf.StreamWindow)
	}
	if o.conf.MaxStreamWindow == 0 {
		o.conf.MaxStreamWindow = 1 // windows stay as they are
	}
	if o.conf.Logger == nil {
		o.conf.Logger = slog.New(slog.DiscardHandler)
	}
	p := &testPeer{t: t, role: r, version: o.version}
	if o.app == nil {
		p.app = &rawApp{}
		o.app = p.app
	}
	p.ours, p.conn = testconn.Pair(o.conn...)
	p.f = NewFramer(p.conn, p.conn, o.version)
	conf := o.conf.withDefaults(bool(r), receives(o.app))
	if conf.FlowControl == FlowControlStandard { // more streams than the windows cover
		if o.conf.AcceptPush == nil { // nor one of each side, which a push needs
			conf.StreamWindow, conf.SessionWindow = int(clampWindow(o.conf.StreamWindow)), int(clampWindow(o.conf.SessionWindow))
		}
		conf.MaxConcurrentStreams, conf.grants = streams, grants{opens: maxStreamID, pool: maxWindow}
		orDefault(&conf.MaxConcurrentStreams, defaultMaxStreams)
		conf.ResetBurst = o.conf.ResetBurst
		orDefault(&conf.ResetBurst, max(defaultResetBurst, resetsPerStream*conf.MaxConcurrentStreams))
	}
	p.s = setUpSession(p.ours, bool(r), o.version, conf, o.app)
	if o.version == SPDY3 && p.s.unaware == nil {
		p.s.flow.limit = 0 // the windows of its streams add up to more
	}
	p.served = p.async("Serve", func(c *call) { c.err = p.s.Serve() })
	t.Cleanup(func() {
		p.s.shutdown(ErrSessionClosed)
		p.conn.Close()
		<-p.served.end // or the bubble reports a deadlock
	})
	if !o.announce {
		p.wantAnnouncement()
	}
	return p
}

// wantAnnouncement reads the frames that open our side of a session.
func (p *testPeer) wantAnnouncement() {
	p.t.Helper()
	wantFrame[*SettingsFrame](p, "the session announces its limits")
	if p.version.sessionFlowControl() && p.s.conf.SessionWindow > defaultWindow {
		p.wantWindowUpdate("the session window is announced", 0, uint32(p.s.conf.SessionWindow-defaultWindow))
	}
}

// firstID is the id of the first stream that our side opens, peerID that of the
// first one of the peer.
func (p *testPeer) firstID() uint32 {
	if p.role == asClient {
		return 1
	}
	return 2
}

func (p *testPeer) peerID() uint32 { return 3 - p.firstID() }

// fatalf fails the test; why says at which point of the story.
func (p *testPeer) fatalf(why, format string, args ...any) {
	p.t.Helper()
	require.FailNow(p.t, why+": "+fmt.Sprintf(format, args...))
}

// advance lets d of fake time pass.
func (p *testPeer) advance(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// A rawApp is the application of sessions that carry no HTTP: the test takes the
// streams that the peer opens.
type rawApp struct {
	hold   bool                                         // the test calls release itself
	refuse func(st *Stream, h HeaderBlock) *StreamError // nil accepts everything

	mu    sync.Mutex
	queue []*Stream               // not taken by the test yet
	all   map[*Stream]HeaderBlock // with the headers of their SYN_STREAM
}

func (a *rawApp) accept(st *Stream, h HeaderBlock) *StreamError {
	if a.refuse != nil {
		if e := a.refuse(st, h); e != nil {
			return e
		}
	}
	a.mu.Lock()
	if a.all == nil {
		a.all = make(map[*Stream]HeaderBlock)
	}
	a.queue = append(a.queue, st)
	a.all[st] = h
	a.mu.Unlock()
	if !a.hold {
		st.release()
	}
	return nil
}

// The session's other news are nothing to a rawApp.
func (a *rawApp) headers(*Stream, HeaderBlock) {}
func (a *rawApp) goingAway()                   {}
func (a *rawApp) makeRoom() bool               { return false }

// wantAccept returns the stream that our side accepted from the peer.
func (p *testPeer) wantAccept(why string, id uint32) *Stream {
	p.t.Helper()
	synctest.Wait()
	p.app.mu.Lock()
	defer p.app.mu.Unlock()
	if len(p.app.queue) == 0 {
		p.fatalf(why, "no stream was accepted, want %d", id)
	}
	got := p.app.queue[0]
	p.app.queue = p.app.queue[1:]
	require.Equal(p.t, id, got.id, why)
	return got
}

// headersOf returns the headers that an accepted stream was opened with.
func (a *rawApp) headersOf(st *Stream) HeaderBlock {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.all[st]
}

// wantNoAccept fails if the session has handed on a stream.
func (p *testPeer) wantNoAccept(why string) {
	p.t.Helper()
	synctest.Wait()
	p.app.mu.Lock()
	defer p.app.mu.Unlock()
	if len(p.app.queue) > 0 {
		p.fatalf(why, "stream %d was accepted", p.app.queue[0].id)
	}
}

// block encodes headers as the Session's callers do.
func (p *testPeer) block(headers ...HeaderField) *[]byte {
	b := getBlock()
	nv, err := appendNameValue((*b)[:0], p.version, headers)
	require.NoError(p.t, err)
	*b = nv
	return b
}

// open opens a stream of our side, which must be possible at once. name becomes
// the value of its only header.
func (p *testPeer) open(name string, flags FrameFlags, priority ...uint8) *Stream {
	p.t.Helper()
	c := p.startOpen(context.Background(), name, flags, priority...)
	c.ok("open " + name)
	return c.st
}

// startOpen opens a stream and does not wait for it.
func (p *testPeer) startOpen(ctx context.Context, name string, flags FrameFlags, priority ...uint8) *call {
	level := uint8(0)
	if len(priority) > 0 {
		level = priority[0]
	}
	st := p.s.newLocalStream(level)
	p.opened = append(p.opened, st)
	b := p.block(HeaderField{"name", name})
	return p.async("open "+name, func(c *call) {
		c.st = st
		c.err = p.s.open(ctx, st, b, flags)
	})
}

// A call is a call of the library that runs beside the test.
type call struct {
	p    *testPeer
	name string
	end  chan struct{}

	n    int
	data []byte
	st   *Stream
	hb   HeaderBlock
	err  error
}

// async starts f. It has to end before the bubble does.
func (p *testPeer) async(name string, f func(c *call)) *call {
	c := &call{p: p, name: name, end: make(chan struct{})}
	go func() {
		defer close(c.end)
		f(c)
	}()
	return c
}

// wait fails the test unless the call has returned.
func (c *call) wait(why string) *call {
	c.p.t.Helper()
	if !c.returned() {
		c.p.fatalf(why, "%s still waits", c.name)
	}
	return c
}

// pending fails the test if the call has returned.
func (c *call) pending(why string) {
	c.p.t.Helper()
	if c.returned() {
		c.p.fatalf(why, "%s has returned: n %d, error %v", c.name, c.n, c.err)
	}
}

func (c *call) returned() bool {
	synctest.Wait()
	select {
	case <-c.end:
		return true
	default:
		return false
	}
}

// ok waits and wants no error.
func (c *call) ok(why string) *call {
	c.p.t.Helper()
	c.wait(why)
	require.NoError(c.p.t, c.err, "%s: %s", why, c.name)
	return c
}

// fails waits and wants an error that matches target.
func (c *call) fails(why string, target error) *call {
	c.p.t.Helper()
	c.wait(why)
	require.ErrorIs(c.p.t, c.err, target, "%s: %s", why, c.name)
	return c
}

// wrote waits for a write and wants n bytes and no error.
func (c *call) wrote(why string, n int) {
	c.p.t.Helper()
	c.ok(why)
	require.Equal(c.p.t, n, c.n, "%s: %s", why, c.name)
}

// failsReset waits and wants the error of a stream that was reset.
func (c *call) failsReset(why string, status RstStatus, remote bool) {
	c.p.t.Helper()
	c.wait(why)
	requireReset(c.p.t, why, c.err, status, remote)
}

func requireReset(t testing.TB, why string, err error, status RstStatus, remote bool) {
	t.Helper()
	var e *StreamError
	require.ErrorAs(t, err, &e, why)
	require.Equal(t, status, e.Status, why)
	require.Equal(t, remote, e.Remote, why)
}

// startWrite writes data to a stream, and with FlagFin closes our half.
func (p *testPeer) startWrite(st *Stream, data []byte, flags FrameFlags) *call {
	return p.async(fmt.Sprintf("write of %d bytes on stream %d", len(data), st.id), func(c *call) {
		c.n, c.err = st.write(data, flags&FlagFin != 0)
	})
}

// startRead reads once, into a buffer of size bytes.
func (p *testPeer) startRead(st *Stream, size int) *call {
	return p.async(fmt.Sprintf("read of stream %d", st.id), func(c *call) {
		c.data = make([]byte, size)
		c.n, c.err = st.read(c.data)
		c.data = c.data[:c.n]
	})
}

// startReadAll reads to the end of a stream.
func (p *testPeer) startReadAll(st *Stream) *call {
	return p.async(fmt.Sprintf("read of all of stream %d", st.id), func(c *call) {
		c.data, c.err = io.ReadAll(readerFunc(st.read))
		c.n = len(c.data)
	})
}

// startReply waits for the SYN_REPLY of a stream.
func (p *testPeer) startReply(st *Stream) *call {
	return p.async(fmt.Sprintf("reply on stream %d", st.id), func(c *call) {
		c.hb, c.err = st.awaitReply(context.Background())
	})
}

// startPing sends a PING of ours.
func (p *testPeer) startPing(ctx context.Context) *call {
	return p.async("PingContext", func(c *call) {
		rtt, err := p.s.PingContext(ctx)
		c.n, c.err = int(rtt), err
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// wantRead wants exactly text to be readable at once.
func (p *testPeer) wantRead(why string, st *Stream, text string) {
	p.t.Helper()
	got := []byte{}
	for len(got) < len(text) {
		c := p.startRead(st, len(text)-len(got)).ok(why)
		got = append(got, c.data...)
	}
	if string(got) != text { // texts may be long
		at := 0
		for got[at] == text[at] {
			at++
		}
		p.fatalf(why, "byte %d of %d is %q, want %q", at, len(text), got[at], text[at])
	}
}

// wantEOF wants the clean end of a stream.
func (p *testPeer) wantEOF(why string, st *Stream) {
	p.t.Helper()
	c := p.startRead(st, 1)
	c.fails(why, io.EOF)
	require.Equal(p.t, io.EOF, c.err, why)
}

// reply sends our SYN_REPLY on a stream of the peer.
func (p *testPeer) reply(st *Stream, flags FrameFlags) {
	p.t.Helper()
	require.NoError(p.t, st.sendHeaders(FrameSynReply, p.block(HeaderField{"ok", "yes"}), flags&FlagFin != 0))
}

// testBytes returns n bytes in which every offset looks different from its
// neighbours'.
func testBytes(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8)*31 ^ byte(i>>16)*7
	}
	return b
}

// defaultSessionWindow is the SessionWindow of a Config without windows.
const defaultSessionWindow = defaultMaxStreams*defaultStreamWindow + defaultPool

// defaultPool is the part of it by which windows grow.
const defaultPool = 2 * defaultMaxStreamWindow
