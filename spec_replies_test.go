package spdy

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSpecReplies(t *testing.T) {
	reply := func(twice RstStatus) func(p *testPeer) {
		return func(p *testPeer) {
			st := p.repliedTo("a stream", 0)
			p.sendSynReply(st.id, 0)
			p.wantRst("one reply is enough", st.id, twice)
			p.endsReset("the stream is spoilt", st, twice, false)
			p.wantUsable("afterwards", p.peerID())
		}
	}
	ruleBoth(t, "R1", version3, "twice", reply(RstStreamInUse))
	ruleBoth(t, "R2", onlyVersion2, "twice", func(p *testPeer) {
		st := p.repliedTo("a stream", 0)
		p.sendSynReply(st.id, 0)
		p.wantRst("one reply is enough", st.id, RstProtocolError)
		p.hasEnded("the stream is spoilt", st)
		p.wantUsable("afterwards", p.peerID())
	})
	ruleBoth(t, "R3", version3, "after FIN", func(p *testPeer) {
		st := p.repliedTo("a stream", FlagFin)
		p.isOpen("we have more to say", st)
		p.sendSynReply(st.id, 0)
		p.wantRst("they had not", st.id, RstStreamAlreadyClosed)
		p.wantUsable("afterwards", p.peerID())
	})
	ruleBoth(t, "R4", everyVersion, "never opened", func(p *testPeer) {
		p.sendSynReply(p.firstID()+8, 0)
		p.wantRst("no such stream of ours", p.firstID()+8, RstInvalidStream)
		p.sendSynReply(p.peerID()+8, 0)
		p.wantRst("nor of theirs", p.peerID()+8, RstInvalidStream)
		p.wantUsable("afterwards", p.peerID())
	})
	late := map[string]func(p *testPeer) *Stream{
		"reset": func(p *testPeer) *Stream {
			st := p.ours1("a stream", 0)
			st.reset(RstCancel, "", nil)
			p.wantRst("cancelled", st.id, RstCancel)
			return st
		},
		"reset, theirs": func(p *testPeer) *Stream {
			st := p.theirs("a stream", p.peerID(), 0)
			st.reset(RstCancel, "", nil)
			p.wantRst("cancelled", st.id, RstCancel)
			return st
		},
	}
	for name, end := range late {
		ruleBoth(t, "R5", everyVersion, name, func(p *testPeer) {
			st := end(p)
			p.sendSynReply(st.id, 0)
			p.sendHeaders(st.id, 0)
			p.sendBulk(st.id, 1000, 0)
			p.sendData(st.id, "", FlagFin)
			p.wantNothing("what comes late is ignored")
			p.wantUsable("afterwards", p.peerID()+2)
		})
	}
	ruleBoth(t, "R5", everyVersion, "finished", func(p *testPeer) {
		st := p.repliedTo("a stream", FlagFin)
		p.startWrite(st, nil, FlagFin).ok("to the end")
		p.wantData("to the end", st.id, 0, FlagFin)
		p.sendSynReply(st.id, 0)
		p.sendHeaders(st.id, 0)
		p.wantNothing("what comes late is ignored")
		p.wantUsable("afterwards", p.peerID())
	})
	ruleBoth(t, "R6", everyVersion, "from the creator", func(p *testPeer) {
		st := p.theirs("a stream", p.peerID(), 0)
		p.sendSynReply(st.id, 0)
		p.wantRst("one does not answer oneself", st.id, RstProtocolError)
		p.hasEnded("the stream is spoilt", st)
		p.wantUsable("afterwards", p.peerID()+2)
	})
	ruleBoth(t, "R6", everyVersion, "unidirectional", func(p *testPeer) {
		st := p.ours1("a push", FlagUnidirectional)
		p.sendSynReply(st.id, 0)
		p.wantRst("there is no answer to that", st.id, RstProtocolError)
		p.hasEnded("the stream is spoilt", st)
		p.wantUsable("afterwards", p.peerID())
	})
	testLateHeaders(t)
}

func testLateHeaders(t *testing.T) {
	ruleBoth(t, "R7", everyVersion, "before the reply", func(p *testPeer) {
		st := p.ours1("a stream", 0)
		p.sendHeaders(st.id, 0)
		p.wantRst("the reply comes first", st.id, RstProtocolError)
		p.hasEnded("the stream is spoilt", st)
		p.wantUsable("afterwards", p.peerID())
	})
	ruleBoth(t, "R8", everyVersion, "unknown", func(p *testPeer) {
		for _, id := range []uint32{p.firstID() + 98, p.peerID() + 98} {
			p.sendHeaders(id, 0)
			p.wantRst("no such stream", id, RstInvalidStream)
		}
		p.wantUsable("afterwards", p.peerID())
	})
	ruleBoth(t, "R9", everyVersion, "after FIN", func(p *testPeer) {
		st := p.theirs("a stream", p.peerID(), FlagFin)
		p.sendHeaders(st.id, 0)
		p.wantReset("they had no more to say", st.id, RstStreamAlreadyClosed)
		p.hasEnded("the stream is spoilt", st)
		st = p.repliedTo("ours", FlagFin)
		p.sendHeaders(st.id, 0)
		p.wantReset("they had no more to say", st.id, RstStreamAlreadyClosed)
		p.wantUsable("afterwards", p.peerID()+2)
	})
	ruleBoth(t, "R10", everyVersion, "FIN", func(p *testPeer) {
		st := p.theirs("a stream", p.peerID(), 0)
		p.sendData(st.id, "body", 0)
		p.sendHeaders(st.id, FlagFin, HeaderField{"sum", "1"})
		p.wantRead("the body", st, "body")
		p.wantEOF("HEADERS end it", st)
		p.sendData(st.id, "x", 0)
		p.wantReset("they do", st.id, RstStreamAlreadyClosed)
		p.wantUsable("afterwards", p.peerID()+2)
	})
	ruleBoth(t, "R10", everyVersion, "sent", func(p *testPeer) {
		st := p.theirs("a stream", p.peerID(), FlagFin)
		p.reply(st, 0)
		p.wantSynReply("ours", st.id)
		require.NoError(p.t, st.sendHeaders(FrameHeaders, p.block(HeaderField{"a", "1"}), true))
		require.Equal(p.t, FlagFin, p.wantHeaders("ours", st.id).Flags)
		p.endsWith("both halves are closed", st, ErrStreamClosed)
	})
	ruleBoth(t, "R11", everyVersion, "repeated", func(p *testPeer) {
		st := p.repliedTo("a stream", 0)
		p.sendHeaders(st.id, 0, HeaderField{"a", "1"})
		p.sendHeaders(st.id, 0, HeaderField{"b", "2"})
		p.isOpen("other names are fine", st)
		p.sendHeaders(st.id, 0, HeaderField{"c", "3"}, HeaderField{"a", "1"})
		p.wantRst("a comes twice", st.id, RstProtocolError)
		p.hasEnded("the stream is spoilt", st)
		p.wantUsable("afterwards", p.peerID())
	})
	ruleBoth(t, "R11", everyVersion, "bounded", func(p *testPeer) {
		st := p.repliedTo("a stream", 0)
		for i := range 100 {
			p.sendHeaders(st.id, 0, HeaderField{string(rune('a'+i%26)) + string(rune('a'+i/26)), string(incompressible(1000))})
		}
		p.wantReset("late headers have one limit together", st.id, RstFrameTooLarge)
		p.hasEnded("the stream is spoilt", st)
		p.wantUsable("afterwards", p.peerID())
	}, peerOpts{conf: Config{MaxHeaderBytes: 64 << 10}})
	ruleClient(t, "R12,M14", version3, "trailers", func(p *testPeer) {
		res := p.answerWithTrailers()
		require.Equal(p.t, http.Header{"Sum": {"42"}}, res.Trailer)
	}, peerOpts{app: newHTTPClientApp(nil)})
	ruleClient(t, "R12", onlyVersion2, "ignored", func(p *testPeer) {
		res := p.answerWithTrailers()
		require.Equal(p.t, http.Header{"Sum": nil}, res.Trailer, "announced, and that is all")
	}, peerOpts{app: newHTTPClientApp(nil)})
	ruleBoth(t, "R13", everyVersion, "after our FIN", func(p *testPeer) {
		st := p.repliedTo("a stream", 0)
		p.startWrite(st, []byte("x"), FlagFin).wrote("the end", 1)
		p.wantData("the end", st.id, 1, FlagFin)
		p.startWrite(st, []byte("y"), 0).fails("no DATA", ErrStreamClosed)
		p.startWrite(st, nil, FlagFin).fails("no second FIN", ErrStreamClosed)
		require.ErrorIs(p.t, st.sendHeaders(FrameHeaders, p.block(), false), ErrStreamClosed, "no HEADERS")
		p.wantNothing("nothing is sent")
		st.reset(RstCancel, "", nil)
		p.wantRst("but RST_STREAM may be", st.id, RstCancel)
	})
}

// answerWithTrailers makes a request that gets an answer with a body and trailers.
func (p *testPeer) answerWithTrailers() *http.Response {
	g := p.startGet("/")
	p.wantSynStream("the request", 1)
	p.send(&SynReplyFrame{StreamID: 1, Headers: plainOK(p.version, "trailer", "sum")})
	p.sendData(1, "body", 0)
	p.sendHeaders(1, FlagFin, HeaderField{"sum", "42"})
	require.Equal(p.t, "body", g.body("the answer"))
	p.wantNothing("all is well")
	return g.res
}

func TestSpecData(t *testing.T) {
	ruleBoth(t, "D1", everyVersion, "never opened", func(p *testPeer) {
		for _, id := range []uint32{p.firstID() + 6, p.peerID() + 6} {
			p.sendBulk(id, 1000, 0)
			p.wantRst("no such stream", id, RstInvalidStream)
		}
		p.wantUsable("afterwards", p.peerID())
	})
	ruleBoth(t, "D2", version3, "after GOAWAY", func(p *testPeer) {
		st := p.theirs("open before", p.peerID(), 0)
		p.s.goAway()
		p.wantGoAway("no more", st.id, GoAwayOK)
		p.sendSynStream(st.id+2, 0)
		p.sendBulk(st.id+2, 1000, FlagFin)
		p.sendBulk(st.id+4, 1000, 0)
		p.wantNothing("they cannot have known")
	})
	ruleBoth(t, "D3", version3, "before the reply", func(p *testPeer) {
		st := p.ours1("a stream", 0)
		reply := p.startReply(st)
		p.sendBulk(st.id, 1000, 0)
		p.wantRst("the reply comes first", st.id, RstProtocolError)
		reply.failsReset("there is none", RstProtocolError, false)
		p.wantUsable("afterwards", p.peerID())
	})
	ruleBoth(t, "D4", onlyVersion2, "before the reply", func(p *testPeer) {
		p.ours1("a stream", 0)
		p.sendBulk(p.firstID(), 1000, 0)
		p.wantSessionError("in SPDY/2 the session ends", 0, GoAwayProtocolError)
	})
	afterFin := func(status RstStatus) func(p *testPeer) {
		return func(p *testPeer) {
			st := p.theirs("a stream", p.peerID(), 0)
			p.sendData(st.id, "all", FlagFin)
			p.sendBulk(st.id, 1000, 0)
			p.wantRst("they had no more to say", st.id, status)
			p.hasEnded("the stream is spoilt", st)
			st = p.repliedTo("ours", FlagFin)
			p.sendBulk(st.id, 1000, 0)
			p.wantRst("they had no more to say", st.id, status)
			p.wantUsable("afterwards", p.peerID()+2)
		}
	}
	ruleBoth(t, "D5", version3, "after FIN", afterFin(RstStreamAlreadyClosed))
	ruleBoth(t, "D6", onlyVersion2, "after FIN", afterFin(RstProtocolError))
	ruleBoth(t, "D7", version3, "closed", func(p *testPeer) {
		p.wantUsable("a whole exchange", p.peerID())
		p.sendBulk(p.peerID(), 1000, 0)
		p.wantRst("that stream is over", p.peerID(), RstProtocolError)
		p.sendBulk(p.peerID(), 1000, 0)
		p.wantNothing("once is enough")
		p.wantUsable("afterwards", p.peerID()+2)
	})
	ruleBoth(t, "D7", version3, "reset by us", func(p *testPeer) {
		st := p.theirs("a stream", p.peerID(), 0)
		st.reset(RstCancel, "", nil)
		p.wantRst("cancelled", st.id, RstCancel)
		p.sendBulk(st.id, 1000, 0)
		p.wantNothing("they cannot have known")
		p.wantBalanced("the credit is not lost")
	})
	ruleBoth(t, "D8", onlyVersion2, "closed", func(p *testPeer) {
		p.wantUsable("a whole exchange", p.peerID())
		p.sendBulk(p.peerID(), 1000, 0)
		p.sendRst(p.peerID(), RstCancel)
		p.wantNothing("it is ignored")
		p.wantUsable("afterwards", p.peerID()+2)
	})
	ruleBoth(t, "D9", everyVersion, "on our push", func(p *testPeer) {
		st := p.ours1("a push", FlagUnidirectional)
		p.sendBulk(st.id, 1000, 0)
		p.wantReset("they must not", st.id, RstStreamAlreadyClosed)
		p.hasEnded("the stream is spoilt", st)
		p.wantUsable("afterwards", p.peerID())
	})
	ruleBoth(t, "D10,W14", onlySPDY31, "discarded", func(p *testPeer) {
		refused := p.theirs("to be reset", p.peerID(), 0)
		refused.reset(RstRefusedStream, "", nil)
		p.wantRst("reset", refused.id, RstRefusedStream)
		sent := 0
		for credit := int64(defaultWindow); sent < 1<<20; {
			p.sendBulk(refused.id, 16<<10, 0)
			credit -= 16 << 10
			sent += 16 << 10
			for _, f := range p.drain() {
				w := f.(*WindowUpdateFrame)
				require.Zero(p.t, w.StreamID)
				credit += int64(w.Delta)
			}
			require.Positive(p.t, credit, "a peer that keeps to its window never stalls")
		}
		p.wantUsable("afterwards", p.peerID()+2)
	})
	ruleBoth(t, "D11", everyVersion, "two bodies", func(p *testPeer) {
		a, b := p.ours1("one", 0, 3), p.ours1("another", 0, 3)
		if p.version != SPDY2 {
			p.sendSetting(SettingInitialWindowSize, 1<<20)
			p.sendWindowUpdate(0, 1<<20)
			p.wantAlive("there is room for everything")
		}
		p.ours.SetWriteCap(1000) // the network is what they wait for
		wa := p.startWrite(a, testBytes(256<<10), 0)
		wb := p.startWrite(b, testBytes(256<<10), 0)
		wa.pending("there is more")
		wb.pending("there is more")
		last, turns, bytes := uint32(0), 0, 0
		for _, f := range p.drain() {
			d := f.(*DataFrame)
			bytes += len(d.Data)
			if d.StreamID != last {
				turns++
			}
			last = d.StreamID
		}
		require.Equal(p.t, 512<<10, bytes)
		require.Greater(p.t, turns, 20, "they take turns")
		wa.wrote("all of it", 256<<10)
		wb.wrote("all of it", 256<<10)
	})
}

func TestSpecResets(t *testing.T) {
	ruleBoth(t, "X1", everyVersion, "in mid-upload", func(p *testPeer) {
		st := p.ours1("a stream", 0)
		p.ours.SetWriteCap(1)
		w := p.startWrite(st, testBytes(1<<20), 0)
		w.pending("there is no room")
		require.NoError(p.t, st.sendHeaders(FrameHeaders, p.block(), false))
		p.sendRst(st.id, RstCancel)
		w.failsReset("the writer hears of it", RstCancel, true)
		require.Less(p.t, w.n, 1<<20)
		p.ours.SetWriteCap(0)
		rest := 0
		for _, f := range p.drain() {
			d, ok := f.(*DataFrame)
			require.True(p.t, ok, "%v", show(f))
			rest += len(d.Data)
		}
		require.LessOrEqual(p.t, rest, 2*batchSize, "only what was on its way")
		if p.version.sessionFlowControl() {
			p.sendWindowUpdate(0, uint32(2*batchSize)) // as for any bytes that are discarded
		}
		p.wantUsable("afterwards", p.peerID())
	})
	ruleBoth(t, "X2", everyVersion, "never answered", func(p *testPeer) {
		st := p.ours1("a stream", 0)
		for _, id := range []uint32{99, 100, st.id, st.id, p.peerID()} {
			p.sendRst(id, RstCancel)
			p.wantNothing("not a word")
		}
		p.wantUsable("a stream that was idle", p.peerID()+2)
	})
	ruleBoth(t, "X3", everyVersion, "bounded memory", func(p *testPeer) {
		var first *Stream
		for i := range 200 {
			st := p.theirs("a stream", p.peerID()+uint32(2*i), 0)
			if first == nil {
				first = st
			}
			st.reset(RstCancel, "", nil)
			p.wantRst("ours", st.id, RstCancel)
			p.endsReset("closed for us", st, RstCancel, false)
			p.sendBulk(st.id, 10, 0)
			p.sendHeaders(st.id, FlagFin)
			p.wantIdle("what still comes is ignored")
		}
		require.Empty(p.t, p.s.streams)
		p.wantUsable("afterwards", p.peerID()+1000)
	})
	for _, status := range []RstStatus{0, RstFrameTooLarge, 12, 99, 0xffffffff} {
		ruleBoth(t, "X4", everyVersion, status.String(), func(p *testPeer) {
			st := p.repliedTo("a stream", 0)
			p.sendData(st.id, "some", 0)
			read := p.startReadAll(st)
			read.pending("there may be more")
			p.sendRst(st.id, status)
			read.failsReset("it is not the end", status, true)
			require.ErrorIs(p.t, read.err, io.ErrUnexpectedEOF)
			p.wantUsable("afterwards", p.peerID())
		})
	}
	ruleBoth(t, "X5", everyVersion, "other streams go on", func(p *testPeer) {
		other := p.repliedTo("another", 0)
		st := p.repliedTo("a stream", 0)
		p.sendSynReply(st.id, 0)
		p.wantReset("an error", st.id, RstStreamInUse)
		p.sendData(other.id, "still here", FlagFin)
		p.wantRead("the other one", other, "still here")
		p.wantUsable("and new ones", p.peerID())
	})
	ruleClient(t, "X6", everyVersion, "refused", func(p *testPeer) {
		g := p.startGet("/")
		p.wantSynStream("the request", 1)
		p.sendRst(1, RstRefusedStream)
		g.failsReset("it was not looked at", RstRefusedStream, true)
		var e *StreamError
		require.ErrorAs(p.t, g.err, &e)
		require.True(p.t, e.Retryable())
		g = p.startGet("/")
		p.wantSynStream("the same again", 3)
		p.sendRst(3, RstInternalError)
		require.ErrorAs(p.t, g.wait("this one was").err, &e)
		require.False(p.t, e.Retryable())
	}, peerOpts{app: newHTTPClientApp(nil)})
}
