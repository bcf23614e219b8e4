package spdy

import (
	"context"
	"io"
	"net/http"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSpecStreams(t *testing.T) {
	testStreamIDs(t)
	testLimits(t)
	testOpening(t)
	testHTTPRoles(t)
	testOpenAfterGoAway(t)
	testPriorities(t)
}

func testStreamIDs(t *testing.T) {
	ruleBoth(t, "S1", everyVersion, "parity", func(p *testPeer) {
		p.sendSynStream(p.firstID(), 0)
		p.wantSessionError("that parity is ours", 0, GoAwayProtocolError)
	})
	ruleBoth(t, "S1", everyVersion, "ours", func(p *testPeer) {
		p.ours1("the first", 0)
		st := p.ours1("the next", 0)
		require.Equal(p.t, p.firstID()+2, st.id)
	})
	ruleBoth(t, "S2", everyVersion, "5 then 3", func(p *testPeer) {
		p.theirs("the first", p.peerID()+4, 0)
		p.sendSynStream(p.peerID()+2, 0)
		p.wantSessionError("ids rise", p.peerID()+4, GoAwayProtocolError)
	})
	ruleBoth(t, "S2", everyVersion, "1, 3, 1", func(p *testPeer) {
		p.theirs("open still", p.peerID(), 0)
		p.theirs("the latest", p.peerID()+2, 0)
		p.sendSynStream(p.peerID(), 0)
		p.wantSessionError("ids rise", p.peerID()+2, GoAwayProtocolError)
	})
	ruleBoth(t, "S3", everyVersion, "open", func(p *testPeer) {
		st := p.theirs("a stream", p.peerID(), 0)
		p.sendSynStream(st.id, 0)
		p.wantRst("it comes twice", st.id, RstProtocolError)
		p.endsReset("the open one dies", st, RstProtocolError, false)
		p.wantNoAccept("and no other takes its place")
		p.wantUsable("afterwards", p.peerID()+2)
	})
	ruleBoth(t, "S3", everyVersion, "closed", func(p *testPeer) {
		p.wantUsable("a whole exchange", p.peerID())
		p.sendSynStream(p.peerID(), 0)
		p.wantRst("the id has been used", p.peerID(), RstProtocolError)
		p.wantNoAccept("no stream")
		p.wantUsable("afterwards", p.peerID()+2)
	})
	ruleBoth(t, "S4", everyVersion, "gaps", func(p *testPeer) {
		p.wantUsable("the first", p.peerID())
		p.wantUsable("far above", p.peerID()+1000)
		p.wantUsable("the last of all", maxStreamID-2+p.peerID()%2+1)
	})
	ruleBoth(t, "S4", everyVersion, "used up", func(p *testPeer) {
		last := maxStreamID - 2 + p.firstID()%2 + 1
		p.s.mu.Lock()
		p.s.nextID = last
		p.s.mu.Unlock()
		st := p.ours1("the last id", 0)
		require.Equal(p.t, last, st.id)
		c := p.startOpen(p.t.Context(), "one too many", 0)
		c.fails("ids do not wrap", errGoingAway)
		var e *StreamError
		require.ErrorAs(p.t, c.err, &e)
		require.True(p.t, e.Retryable(), "on another session it can be done")
		p.wantGoAway("the session drains", 0, GoAwayOK)
		p.startOpen(p.t.Context(), "nor later", 0).fails("it is over", errGoingAway)
		p.sendSynReply(st.id, 0)
		p.sendData(st.id, "still", FlagFin)
		p.wantRead("the last stream goes on", st, "still")
		p.startWrite(st, nil, FlagFin).ok("to its end")
		p.wantData("to its end", st.id, 0, FlagFin)
		p.wantOrderlyEnd("then the session ends")
	})
}

func testLimits(t *testing.T) {
	refusing := &rawApp{refuse: func(st *Stream, h HeaderBlock) *StreamError {
		return streamErrorf(st.id, RstRefusedStream, "not today")
	}}
	ruleBoth(t, "S5", everyVersion, "refused", func(p *testPeer) {
		p.sendSynStream(p.peerID(), 0)
		p.wantRst("the application refuses", p.peerID(), RstRefusedStream)
		p.sendBulk(p.peerID(), 10000, 0)
		p.sendHeaders(p.peerID(), 0)
		p.sendData(p.peerID(), "", FlagFin)
		p.wantNothing("what follows is thrown away")
		p.wantBalanced("and credited")
	}, peerOpts{app: refusing})
	ruleBoth(t, "S6", everyVersion, "announce 1, open 2", func(p *testPeer) {
		st := p.theirs("the first", p.peerID(), 0)
		p.sendSynStream(p.peerID()+2, 0)
		p.wantRst("the second", p.peerID()+2, RstRefusedStream)
		p.wantNoAccept("nobody sees it")
		p.isOpen("the first is not harmed", st)
		st.reset(RstCancel, "", nil)
		p.wantRst("the first ends", st.id, RstCancel)
		p.wantUsable("there is room again", p.peerID()+4)
	}, peerOpts{conf: Config{MaxConcurrentStreams: 1}})
	ruleBoth(t, "S7", everyVersion, "waiting in order", func(p *testPeer) {
		p.sendSetting(SettingMaxConcurrentStreams, 1)
		p.wantAlive("the limit is known")
		first := p.repliedTo("the first", FlagFin)
		ctx, cancel := context.WithCancelCause(p.t.Context())
		second := p.startOpen(p.t.Context(), "second", FlagFin)
		second.pending("no room")
		third := p.startOpen(ctx, "third", FlagFin)
		third.pending("no room")
		fourth := p.startOpen(p.t.Context(), "fourth", FlagFin)
		fourth.pending("no room")
		p.wantIdle("nothing is sent")
		cancel(errTest)
		third.fails("it gave up", errTest)
		p.startWrite(first, nil, FlagFin).ok("the first ends")
		p.wantData("the first ends", first.id, 0, FlagFin)
		f := p.wantSynStream("the second goes", first.id+2)
		require.Equal(p.t, HeaderBlock{{"name", "second"}}, f.Headers)
		second.ok("the second goes")
		fourth.pending("one at a time")
		p.sendSynReply(first.id+2, FlagFin)
		f = p.wantSynStream("the fourth goes", first.id+4)
		require.Equal(p.t, HeaderBlock{{"name", "fourth"}}, f.Headers)
		fourth.ok("the fourth goes")
	})
	ruleBoth(t, "S7", everyVersion, "the session ends", func(p *testPeer) {
		p.sendSetting(SettingMaxConcurrentStreams, 0)
		p.wantAlive("the limit is known")
		c := p.startOpen(p.t.Context(), "first", 0)
		c.pending("no room")
		p.s.shutdown(errTest)
		c.fails("there will be none", errTest)
	})
}

func testOpening(t *testing.T) {
	ruleBoth(t, "S8", everyVersion, "theirs", func(p *testPeer) {
		st := p.theirs("a stream", p.peerID(), 0)
		p.sendHeaders(st.id, 0, HeaderField{"a", "1"})
		p.sendData(st.id, "at once", FlagFin)
		p.wantRead("it is delivered", st, "at once")
		p.wantEOF("to the end", st)
		require.Equal(p.t, HeaderBlock{{"a", "1"}}, st.lateHeaders())
		p.wantIdle("without a reply")
	})
	ruleBoth(t, "S8", everyVersion, "ours", func(p *testPeer) {
		st := p.ours1("a stream", 0)
		p.startWrite(st, []byte("at once"), 0).wrote("before the reply", 7)
		p.wantData("before the reply", st.id, 7)
		require.NoError(p.t, st.sendHeaders(FrameHeaders, p.block(HeaderField{"a", "1"}), true))
		f := p.wantHeaders("HEADERS too", st.id)
		require.Equal(p.t, FlagFin, f.Flags)
	})
	ruleBoth(t, "S9", everyVersion, "FIN", func(p *testPeer) {
		st := p.theirs("they have no more to say", p.peerID(), FlagFin)
		p.wantEOF("FIN", st)
		p.reply(st, 0)
		p.wantSynReply("we have", st.id)
		p.startWrite(st, []byte("x"), FlagFin).wrote("we have", 1)
		p.wantData("we have", st.id, 1, FlagFin)
		p.endsWith("both have said it", st, ErrStreamClosed)
	})
	ruleBoth(t, "S9", everyVersion, "UNIDIRECTIONAL", func(p *testPeer) {
		st := p.theirs("they alone speak", p.peerID(), FlagUnidirectional)
		p.startWrite(st, []byte("x"), 0).fails("we must not", ErrStreamClosed)
		p.sendData(st.id, "hello", 0)
		p.wantRead("they may", st, "hello")
		p.isOpen("still", st)
		p.sendData(st.id, "", FlagFin)
		p.endsWith("that was all", st, ErrStreamClosed)
		p.wantNothing("nothing to answer")
	})
	ruleBoth(t, "S9", everyVersion, "both", func(p *testPeer) {
		st := p.theirs("nothing but headers", p.peerID(), FlagUnidirectional|FlagFin)
		p.wantEOF("FIN", st)
		p.endsWith("closed at once", st, ErrStreamClosed)
		ours := p.ours1("one of ours", FlagUnidirectional|FlagFin)
		p.endsWith("closed at once", ours, ErrStreamClosed)
		p.wantUsable("afterwards", p.peerID()+2)
	})
}

func testHTTPRoles(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})
	serve := func() peerOpts { return peerOpts{app: newHTTPServerApp(&http.Server{Handler: handler})} }
	ruleServer(t, "S11", everyVersion, "unidirectional", func(p *testPeer) {
		p.send(&SynStreamFrame{StreamID: 1, Flags: FlagUnidirectional, Headers: plainGet(p.version)})
		p.wantRst("nobody could be answered", 1, RstProtocolError)
		p.send(&SynStreamFrame{StreamID: 3, Flags: FlagFin, Headers: plainGet(p.version)})
		p.wantSynReply("afterwards", 3)
	}, serve())
	ruleServer(t, "S11", everyVersion, "associated", func(p *testPeer) {
		p.send(&SynStreamFrame{StreamID: 1, Flags: FlagFin, Headers: plainGet(p.version)})
		p.wantSynReply("a request", 1)
		p.send(&SynStreamFrame{StreamID: 3, AssociatedStreamID: 1, Headers: plainGet(p.version)})
		p.wantRst("requests stand alone", 3, RstProtocolError)
	}, serve())
	ruleStory(t, "S12,U7", everyVersion, "not a push", func(t *testing.T, v Version) {
		p := pushClient(t, v)
		f := p.pushFrame(2, 1, "/pushed")
		f.Flags = 0
		p.send(f)
		p.wantRst("a server may only push", 2, RstProtocolError)
		p.wantNothing("and no more")
	})
}

func testOpenAfterGoAway(t *testing.T) {
	ruleBoth(t, "S13", everyVersion, "theirs", func(p *testPeer) {
		st := p.theirs("open before", p.peerID(), 0)
		p.s.goAway()
		p.wantGoAway("no more", st.id, GoAwayOK)
		p.sendSynStream(st.id+2, 0)
		p.sendHeaders(st.id+2, 0)
		p.sendSynStream(st.id+4, FlagFin)
		p.wantNothing("they are ignored")
		p.wantNoAccept("they are ignored")
	})
	ruleBoth(t, "S14", everyVersion, "ours", func(p *testPeer) {
		st := p.ours1("open before", 0)
		p.sendSetting(SettingMaxConcurrentStreams, 1)
		p.wantAlive("the limit is known")
		waiting := p.startOpen(p.t.Context(), "waiting", 0)
		waiting.pending("no room")
		p.sendGoAway(st.id, GoAwayOK)
		p.wantAlive("the session lives")
		for _, c := range []*call{waiting, p.startOpen(p.t.Context(), "later", 0)} {
			c.fails("the peer takes no more", errGoingAway)
			var e *StreamError
			require.ErrorAs(p.t, c.err, &e)
			require.True(p.t, e.Retryable())
		}
		p.wantIdle("nothing is sent")
		p.isOpen("what is open goes on", st)
	})
}

func testPriorities(t *testing.T) {
	// The streams write against closed windows, which then open all at once.
	blocked := func(p *testPeer, priorities ...uint8) []*Stream {
		p.sendSetting(SettingInitialWindowSize, 0)
		p.wantAlive("nothing can be sent")
		var streams []*Stream
		for _, level := range priorities {
			st := p.ours1("a stream", 0, level)
			p.startWrite(st, testBytes(2<<20), 0)
			streams = append(streams, st)
		}
		p.wantIdle("everybody waits")
		return streams
	}
	order := func(frames []Frame) (ids []uint32) {
		for _, f := range frames {
			ids = append(ids, f.(*DataFrame).StreamID)
		}
		return slices.Compact(ids)
	}
	ruleBoth(t, "S10", version3, "urgent first", func(p *testPeer) {
		streams := blocked(p, 7, 3, 0)
		p.sendWindowUpdate(0, 1<<20)
		p.conn.SetHold(true)
		p.sendSetting(SettingInitialWindowSize, 16<<10)
		p.conn.SetHold(false)
		want := []uint32{streams[2].id, streams[1].id, streams[0].id}
		require.Equal(p.t, want, order(p.drain()), "the most urgent stream's bytes come first")
		p.s.shutdown(errTest)
	})
	ruleBoth(t, "S10", version3, "none starves", func(p *testPeer) {
		streams := blocked(p, 7, 0)
		urgent, patient := streams[1], streams[0]
		p.sendWindowUpdate(0, 1<<30)
		p.sendSetting(SettingInitialWindowSize, 1<<20)
		counts := map[uint32]int{}
		for range 60 {
			f := wantFrame[*DataFrame](p, "DATA")
			counts[f.StreamID] += len(f.Data)
			p.sendWindowUpdate(f.StreamID, uint32(len(f.Data)))
		}
		require.Greater(p.t, counts[urgent.id], counts[patient.id]*3/2)
		require.LessOrEqual(p.t, counts[urgent.id], counts[patient.id]*2+4*maxDataFrame, "the least urgent one gets half as much")
		p.s.shutdown(errTest)
	})
	for _, level := range []uint8{0, 3, 7} {
		ruleClient(t, "S10", everyVersion, "WithPriority", func(p *testPeer) {
			req, err := http.NewRequestWithContext(WithPriority(p.t.Context(), level), "GET", "http://example.com/a.zip", nil)
			require.NoError(p.t, err)
			c := p.async("RoundTrip", func(c *call) { _, c.err = p.s.RoundTrip(req) })
			f := p.wantSynStream("the request", 1)
			want := level
			if p.version == SPDY2 {
				want = level / 2
			}
			require.Equal(p.t, want, f.Priority)
			p.sendRst(1, RstCancel)
			c.failsReset("enough", RstCancel, true)
		}, peerOpts{app: newHTTPClientApp(nil)})
	}
}

// startGet begins a GET of http://example.com and the path, and puts the answer into
// res of the call.
func (p *testPeer) startGet(path string) *getCall {
	req, err := http.NewRequestWithContext(p.t.Context(), "GET", "http://example.com"+path, nil)
	require.NoError(p.t, err)
	return p.startRequest(req)
}

// A getCall is a RoundTrip that runs beside the test.
type getCall struct {
	*call
	res *http.Response
}

func (p *testPeer) startRequest(req *http.Request) *getCall {
	g := &getCall{}
	g.call = p.async("RoundTrip", func(c *call) { g.res, c.err = p.s.RoundTrip(req) })
	return g
}

// body wants the whole answer.
func (g *getCall) body(why string) string {
	g.p.t.Helper()
	g.ok(why)
	var b []byte
	g.p.async("body", func(c *call) { b, c.err = io.ReadAll(g.res.Body) }).ok(why)
	return string(b)
}
