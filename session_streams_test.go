package spdy

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestStreamIDs(t *testing.T) {
	storyBoth(t, "S1/parity of ours", func(t *testing.T, r role) {
		for _, id := range []uint32{0, 100} {
			p := newPeer(t, r)
			p.sendSynStream(p.firstID()+id, 0)
			p.wantSessionError("only we open these", 0, GoAwayProtocolError)
			p.wantNoAccept("nobody sees it")
		}
	})
	storyBoth(t, "S2/falling ids", func(t *testing.T, r role) {
		p := newPeer(t, r)
		p.sendSynStream(p.peerID()+4, 0)
		p.wantAccept("a first stream", p.peerID()+4)
		p.sendSynStream(p.peerID()+2, 0)
		p.wantSessionError("ids rise", p.peerID()+4, GoAwayProtocolError)
	})
	story(t, "S2/an older stream that is open still", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.sendSynStream(1, 0)
		st := p.wantAccept("1", 1)
		p.sendSynStream(3, 0)
		p.wantAccept("3", 3)
		p.sendSynStream(1, 0)
		p.wantSessionError("1 again", 3, GoAwayProtocolError)
		var e *SessionError
		require.ErrorAs(t, st.endReason(), &e)
	})
	story(t, "S2/a refused stream counts", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.sendSynStream(5, 0, HeaderField{"", ""})
		p.wantRst("malformed", 5, RstProtocolError)
		p.sendSynStream(3, 0)
		p.wantSessionError("3 comes too late, but 5 was not accepted", 0, GoAwayProtocolError)
	})
	storyBoth(t, "S3/the latest id again", func(t *testing.T, r role) {
		p := newPeer(t, r)
		id := p.peerID()
		p.sendSynStream(id, 0)
		st := p.wantAccept("a stream", id)
		p.sendSynStream(id, 0)
		p.wantRst("the open stream dies", id, RstProtocolError)
		p.endsReset("the open stream dies", st, RstProtocolError, false)
		p.wantNoAccept("nobody sees the second")
		p.sendSynStream(id, 0)
		p.wantRst("and once more", id, RstProtocolError)
		p.wantUsable("afterwards", id+2)
	})
	storyBoth(t, "S4/gaps", func(t *testing.T, r role) {
		p := newPeer(t, r)
		for _, id := range []uint32{0, 100, 1 << 20, maxStreamID - 5} {
			id += p.peerID()
			p.sendSynStream(id, 0)
			p.wantAccept("any gap will do", id)
			p.sendData(id+2, "", 0)
			p.wantRst("the next is not open", id+2, RstInvalidStream)
		}
	})
	story(t, "S4/our ids are used up", func(t *testing.T) {
		p := newPeer(t, asClient)
		p.s.nextID = maxStreamID // nobody else is at work
		st := p.open("the last", 0)
		p.wantSynStream("the last id", maxStreamID)
		c := p.startOpen(t.Context(), "one more", 0).wait("it fails at once")
		var e *StreamError
		require.ErrorAs(t, c.err, &e)
		require.True(t, e.Retryable(), "on another session")
		p.wantGoAway("this one will end", 0, GoAwayOK)
		p.sendSynReply(maxStreamID, FlagFin)
		p.startWrite(st, nil, FlagFin).ok("its last stream ends well")
		p.wantData("FIN", maxStreamID, 0, FlagFin)
		p.wantOrderlyEnd("and with it the session")
	})
}

func TestRefusing(t *testing.T) {
	for _, role := range bothRoles {
		story(t, "S5/by the application/"+role.String(), func(t *testing.T) {
			p := newPeer(t, role)
			p.app.refuse = func(st *Stream, _ HeaderBlock) *StreamError {
				return streamErrorf(st.id, RstRefusedStream, "not today")
			}
			id := p.peerID()
			p.sendSynStream(id, 0)
			p.wantRst("refused", id, RstRefusedStream)
			for range 20 {
				p.sendBulk(id, defaultWindow/4, 0)
				p.sendHeaders(id, 0)
				p.wantWindowUpdate("D10/its bytes do not stall the session", 0, defaultWindow/4)
			}
			p.app.refuse = nil
			p.wantUsable("afterwards", id+2)
		})
	}
	story(t, "S6/more than MAX_CONCURRENT_STREAMS", func(t *testing.T) {
		p := newPeer(t, asServer, peerOpts{conf: Config{MaxConcurrentStreams: 2}, announce: true})
		p.wantSettings("the limit is announced", Setting{ID: 4, Value: 2}, Setting{ID: 7, Value: defaultWindow})
		p.sendSynStream(1, 0)
		first := p.wantAccept("one", 1)
		p.sendSynStream(3, 0)
		p.wantAccept("two", 3)
		p.sendSynStream(5, 0)
		p.wantRst("three is one too many", 5, RstRefusedStream)
		p.wantNoAccept("nobody sees it")
		p.sendData(1, "", FlagFin)
		p.sendSynStream(7, 0)
		p.wantRst("a stream half closed counts", 7, RstRefusedStream)
		p.reply(first, FlagFin)
		p.wantSynReply("the first is done", 1)
		p.sendSynStream(9, 0)
		p.wantAccept("its place is free", 9)
		p.sendRst(9, RstCancel)
		p.wantUsable("so is that of a stream the peer gave up", 11)
	})
	story(t, "S6/streams that we open do not count", func(t *testing.T) {
		p := newPeer(t, asServer, peerOpts{conf: Config{MaxConcurrentStreams: 1}})
		p.open("ours", 0)
		p.wantSynStream("ours", 2)
		p.wantUsable("the peer has its own place", 1)
	})
	story(t, "S6/handlers of streams given up count", func(t *testing.T) {
		p := newPeer(t, asServer, peerOpts{conf: Config{MaxConcurrentStreams: 1}})
		p.app.hold = true
		p.sendSynStream(1, 0)
		st := p.wantAccept("one", 1)
		p.sendRst(1, RstCancel)
		p.sendSynStream(3, 0)
		p.wantRst("the handler is at work still", 3, RstRefusedStream)
		st.release()
		p.sendSynStream(5, 0)
		p.wantAccept("now it is not", 5).release()
		p.sendSynStream(7, 0)
		p.wantRst("released, but open", 7, RstRefusedStream)
	})
}

// TestPeerLimit is about MAX_CONCURRENT_STREAMS of the peer (SPEC S7, T11).
func TestPeerLimit(t *testing.T) {
	// limited returns a client that may have n streams, and has them.
	limited := func(t *testing.T, n uint32) (*testPeer, []*Stream) {
		p := newPeer(t, asClient)
		p.sendSetting(SettingMaxConcurrentStreams, n)
		p.wantIdle("SETTINGS are not answered")
		var open []*Stream
		for i := range n {
			open = append(open, p.open(fmt.Sprint("open ", i), 0))
			p.wantSynStream("allowed", 2*i+1)
		}
		return p, open
	}
	wantOpened := func(p *testPeer, c *call, id uint32, name string) {
		t.Helper()
		f := p.wantSynStream(name, id)
		require.Equal(p.t, HeaderBlock{{"name", name}}, f.Headers)
		c.ok(name)
	}
	story(t, "S7/waiters in order", func(t *testing.T) {
		p, open := limited(t, 1)
		a := p.startOpen(t.Context(), "a", 0)
		a.pending("no room")
		b := p.startOpen(t.Context(), "b", 0)
		b.pending("no room")
		c := p.startOpen(t.Context(), "c", 0)
		c.pending("no room")
		p.wantIdle("the peer's limit is obeyed")
		p.sendRst(open[0].id, RstRefusedStream)
		wantOpened(p, a, 3, "a")
		b.pending("one place, one stream")
		a.st.reset(RstCancel, "", nil)
		p.wantRst("a gives up", 3, RstCancel)
		wantOpened(p, b, 5, "b")
		p.sendSynReply(5, FlagFin)
		c.pending("b is half open")
		p.startWrite(b.st, nil, FlagFin).ok("b is done")
		p.wantData("b is done", 5, 0, FlagFin)
		wantOpened(p, c, 7, "c")
	})
	story(t, "S7/newcomers do not overtake", func(t *testing.T) {
		p, open := limited(t, 1)
		a := p.startOpen(t.Context(), "a", 0)
		a.pending("no room")
		p.s.mu.Lock() // the place is free, but nobody has been told
		p.s.ourStreams--
		p.s.mu.Unlock()
		b := p.startOpen(t.Context(), "b", 0)
		b.pending("a was first")
		p.s.mu.Lock()
		p.s.ourStreams++
		p.s.mu.Unlock()
		p.sendRst(open[0].id, RstCancel)
		wantOpened(p, a, 3, "a")
		b.pending("a was first")
		p.sendSetting(SettingMaxConcurrentStreams, 2)
		wantOpened(p, b, 5, "b")
	})
	story(t, "S7/a context ends the wait", func(t *testing.T) {
		p, open := limited(t, 1)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errTest)
		defer cancel()
		a := p.startOpen(ctx, "a", 0)
		b := p.startOpen(t.Context(), "b", 0)
		p.advance(time.Second - 1)
		a.pending("not yet")
		p.advance(1)
		a.fails("its time is up", errTest)
		b.pending("which is no concern of b")
		p.sendRst(open[0].id, RstCancel)
		wantOpened(p, b, 3, "b")
		p.wantIdle("a is forgotten")
	})
	story(t, "S7/a place that comes as its waiter gives up", func(t *testing.T) {
		for range 50 { // either may come first
			p, open := limited(t, 1)
			ctx, cancel := context.WithCancel(t.Context())
			a := p.startOpen(ctx, "a", 0)
			a.pending("no room")
			p.sendRst(open[0].id, RstCancel)
			cancel()
			synctest.Wait()
			if a.wait("one or the other").err == nil {
				p.wantSynStream("the place came first", 3)
				a.st.reset(RstCancel, "", nil)
				p.wantRst("given up", 3, RstCancel)
			}
			c := p.startOpen(t.Context(), "c", 0).ok("the place is not lost")
			wantOpened(p, c, c.st.id, "c")
		}
	})
	story(t, "S7/a context that has ended already", func(t *testing.T) {
		p, _ := limited(t, 0)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		p.startOpen(ctx, "a", 0).fails("no wait at all", context.Canceled)
	})
	story(t, "T3,T11/raised and lowered", func(t *testing.T) {
		p, open := limited(t, 2)
		a := p.startOpen(t.Context(), "a", 0)
		a.pending("no room")
		p.sendSetting(SettingMaxConcurrentStreams, 1)
		p.isOpen("existing streams survive", open[0])
		p.isOpen("existing streams survive", open[1])
		p.sendRst(open[0].id, RstCancel)
		a.pending("one is open, one is the limit")
		p.sendRst(open[1].id, RstCancel)
		wantOpened(p, a, 5, "a")
		var waiting []*call
		for i := range 4 {
			c := p.startOpen(t.Context(), fmt.Sprint(i), 0)
			c.pending("no room")
			waiting = append(waiting, c)
		}
		p.sendSetting(SettingMaxConcurrentStreams, 4)
		for i, c := range waiting[:3] { // all at once, so in any order
			p.wantSynStream("three more", uint32(7+2*i))
			c.ok("three more")
		}
		waiting[3].pending("three places, three streams")
		p.sendSetting(SettingMaxConcurrentStreams, 0xffffffff)
		wantOpened(p, waiting[3], 13, "3")
	})
	story(t, "S7/a hundred are assumed", func(t *testing.T) {
		p := newPeer(t, asClient)
		for i := range assumedMaxStreams {
			p.open("early", FlagFin)
			p.wantSynStream("before any SETTINGS", uint32(2*i+1))
		}
		p.startOpen(t.Context(), "one more", 0).pending("nobody said that the peer takes more")
		p.s.Close()
	})
	story(t, "S7/the session ends", func(t *testing.T) {
		p, _ := limited(t, 0)
		a := p.startOpen(t.Context(), "a", 0)
		a.pending("no room")
		p.conn.Reset()
		var lost *ConnError
		require.ErrorAs(t, a.wait("nothing to wait for").err, &lost)
		require.ErrorAs(t, p.startOpen(t.Context(), "b", 0).wait("at once").err, &lost)
	})
	story(t, "S7,S14/GOAWAY turns waiters away", func(t *testing.T) {
		p, open := limited(t, 1)
		a := p.startOpen(t.Context(), "a", 0)
		a.pending("no room")
		p.sendGoAway(1, GoAwayOK)
		a.failsReset("they may try elsewhere", RstRefusedStream, true)
		p.isOpen("the others go on", open[0])
	})
	story(t, "S7,G4/so does our own", func(t *testing.T) {
		for _, how := range []func(s *Session){
			func(s *Session) { s.goAway() },
			func(s *Session) { s.SendGoaway(0, make([]byte, 8)) },
		} {
			p, open := limited(t, 1)
			a := p.startOpen(t.Context(), "a", 0)
			a.pending("no room")
			how(p.s)
			p.wantGoAway("we go", 0, GoAwayOK)
			a.failsReset("no stream will be opened, so why wait", RstRefusedStream, true)
			p.isOpen("the others go on", open[0])
		}
	})
}

// TestHTTPModeStreams is about what HTTP allows less than SPDY does.
func TestHTTPModeStreams(t *testing.T) {
	server := peerOpts{app: newHTTPServerApp(&http.Server{Handler: http.NotFoundHandler()})}
	story(t, "S11/client opens a unidirectional stream", func(t *testing.T) {
		p := newPeer(t, asServer, server)
		p.send(&SynStreamFrame{StreamID: 1, Flags: FlagUnidirectional, Headers: plainGet(SPDY31)})
		p.wantRst("there is no way to answer", 1, RstProtocolError)
		p.wantAlive("the session goes on")
	})
	story(t, "S11/client names an associated stream", func(t *testing.T) {
		p := newPeer(t, asServer, server)
		p.send(&SynStreamFrame{StreamID: 3, AssociatedStreamID: 1, Flags: FlagFin, Headers: plainGet(SPDY31)})
		p.wantRst("only pushes are associated", 3, RstProtocolError)
		p.wantAlive("the session goes on")
	})
	story(t, "S12/server opens a bidirectional stream", func(t *testing.T) {
		p := newPeer(t, asClient, peerOpts{app: newHTTPClientApp(nil)})
		p.send(&SynStreamFrame{StreamID: 2, Headers: plainGet(SPDY31)})
		p.wantRst("servers push only", 2, RstProtocolError)
		p.wantAlive("the session goes on")
	})
	story(t, "S5,U16/server pushes", func(t *testing.T) {
		p := newPeer(t, asClient, peerOpts{app: newHTTPClientApp(nil)})
		req, err := http.NewRequest("GET", "http://example.com/", nil)
		require.NoError(t, err)
		asked := p.async("Do", func(c *call) { _, c.err = p.s.RoundTrip(req) })
		p.wantSynStream("the request", 1)
		p.send(&SynStreamFrame{StreamID: 2, AssociatedStreamID: 1, Flags: FlagUnidirectional, Headers: HeaderBlock{
			{":scheme", "http"}, {":host", "example.com"}, {":path", "/style.css"},
		}})
		p.wantRst("not wanted", 2, RstRefusedStream)
		p.sendBulk(2, 16384, FlagFin)
		p.wantWindowUpdate("its bytes are credited", 0, 16384)
		p.wantAlive("the session goes on")
		p.send(&RstStreamFrame{StreamID: 1, Status: RstCancel})
		asked.wait("the request ends")
	})
}
