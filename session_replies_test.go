package spdy

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// TestOpening is about flags of SYN_STREAM and what may follow at once.
func TestOpening(t *testing.T) {
	storyBoth(t, "S8/creator sends before the reply", func(t *testing.T, r role) {
		p := newPeer(t, r)
		st := p.open("ours", 0)
		p.startWrite(st, []byte("at once"), 0).wrote("no reply is needed", 7)
		require.NoError(t, st.sendHeaders(FrameHeaders, p.block(HeaderField{"more", ""}), true))
		p.wantSynStream("ours", st.id)
		require.Equal(t, "at once", string(p.wantData("ours", st.id, 7)))
		require.Equal(t, FlagFin, p.wantHeaders("ours", st.id).Flags)

		id := p.peerID()
		p.sendSynStream(id, 0)
		p.sendData(id, "body", 0)
		p.sendHeaders(id, FlagFin, HeaderField{"trailer", "1"})
		theirs := p.wantAccept("theirs", id)
		p.wantRead("theirs", theirs, "body")
		p.wantEOF("theirs", theirs)
		require.Equal(t, HeaderBlock{{"trailer", "1"}}, theirs.lateHeaders())
	})
	storyBoth(t, "S9/theirs with FIN", func(t *testing.T, r role) {
		p := newPeer(t, r)
		p.sendSynStream(p.peerID(), FlagFin)
		st := p.wantAccept("a request without a body", p.peerID())
		p.wantEOF("nothing to read", st)
		p.reply(st, 0)
		p.wantSynReply("the answer", st.id)
		p.startWrite(st, []byte("x"), FlagFin).wrote("the answer", 1)
		p.wantData("the answer", st.id, 1, FlagFin)
		p.endsWith("closed", st, ErrStreamClosed)
	})
	storyBoth(t, "S9/theirs with UNIDIRECTIONAL", func(t *testing.T, r role) {
		p := newPeer(t, r)
		p.sendSynStream(p.peerID(), FlagUnidirectional)
		st := p.wantAccept("they alone send", p.peerID())
		p.startWrite(st, []byte("x"), 0).fails("we do not (U17)", ErrStreamClosed)
		require.ErrorIs(t, st.sendHeaders(FrameSynReply, p.block(), false), ErrStreamClosed)
		p.sendData(st.id, "pushed", FlagFin)
		p.wantRead("bytes", st, "pushed")
		p.wantEOF("bytes", st)
		p.endsWith("closed", st, ErrStreamClosed)
		p.wantUsable("afterwards", st.id+2)
	})
	storyBoth(t, "S9/theirs with both", func(t *testing.T, r role) {
		p := newPeer(t, r)
		p.sendSynStream(p.peerID(), FlagFin|FlagUnidirectional, HeaderField{"all", "of it"})
		st := p.wantAccept("closed at once", p.peerID())
		p.wantEOF("nothing to read", st)
		p.endsWith("closed", st, ErrStreamClosed)
		p.sendData(st.id, "x", 0)
		p.wantRst("D7/closed", st.id, RstProtocolError)
		p.wantUsable("afterwards", st.id+2)
	})
	storyBoth(t, "S9/ours", func(t *testing.T, r role) {
		p := newPeer(t, r)
		for _, flags := range []FrameFlags{0, FlagFin, FlagUnidirectional, FlagFin | FlagUnidirectional} {
			st := p.open("ours", flags)
			require.Equal(t, flags, p.wantSynStream("ours", st.id).Flags)
			write := p.startWrite(st, []byte("x"), FlagFin).wait("sent or refused")
			if flags&FlagFin == 0 {
				require.NoError(t, write.err)
				p.wantData("ours", st.id, 1, FlagFin)
			} else {
				require.ErrorIs(t, write.err, ErrStreamClosed, "R13/after the FIN")
			}
			if flags&FlagUnidirectional != 0 {
				p.wantEOF("the peer does not send", st)
				p.endsWith("closed", st, ErrStreamClosed)
			} else {
				p.isOpen("the peer has to answer", st)
				p.sendSynReply(st.id, FlagFin)
				p.endsWith("closed", st, ErrStreamClosed)
			}
		}
		p.wantUsable("afterwards", p.peerID())
	})
	storyBoth(t, "R6,D9/frames on our unidirectional stream", func(t *testing.T, r role) {
		for _, send := range []func(p *testPeer, id uint32) RstStatus{
			func(p *testPeer, id uint32) RstStatus { p.sendSynReply(id, 0); return RstProtocolError },
			func(p *testPeer, id uint32) RstStatus { p.sendHeaders(id, 0); return RstStreamAlreadyClosed },
			func(p *testPeer, id uint32) RstStatus { p.sendData(id, "x", 0); return RstStreamAlreadyClosed },
		} {
			p := newPeer(t, r)
			st := p.open("ours", FlagUnidirectional)
			p.wantSynStream("ours", st.id)
			p.wantRst("the peer has no say", st.id, send(p, st.id))
			p.wantUsable("afterwards", p.peerID())
		}
	})
}

func TestReplies(t *testing.T) {
	story(t, "R5,X3/late frames for a stream we gave up", func(t *testing.T) {
		p := newPeer(t, asClient)
		for i := range 2 * len(p.s.finished.ids) {
			st := p.open("ours", 0)
			p.wantSynStream("ours", st.id)
			st.reset(RstCancel, "", errTest)
			p.wantRst("given up", uint32(2*i+1), RstCancel)
		}
		for i := range 2 * len(p.s.finished.ids) {
			id := uint32(2*i + 1)
			p.sendSynReply(id, 0)
			p.sendHeaders(id, 0)
			p.sendBulk(id, 100, 0)
			p.sendData(id, "", FlagFin)
			p.sendRst(id, RstCancel)
			p.wantIdle("all of it is silently dropped")
		}
		p.wantUsable("afterwards", 2)
	})
	story(t, "D7,X3/DATA after FIN is answered once", func(t *testing.T) {
		p := newPeer(t, asClient)
		for i := range uint32(100) {
			st := p.open("ours", FlagFin)
			p.wantSynStream("ours", 2*i+1)
			p.sendSynReply(2*i+1, FlagFin)
			p.endsWith("both halves are closed", st, ErrStreamClosed)
		}
		p.sendData(199, "x", 0)
		p.wantRst("a recent one", 199, RstProtocolError)
		p.sendData(199, "x", 0)
		p.wantIdle("it has been answered")
		p.sendData(1, "x", 0)
		p.wantIdle("its end is forgotten")
	})
	story(t, "D1,X3/DATA on a stream that was never opened is answered once", func(t *testing.T) {
		p := newPeer(t, asClient)
		p.sendData(7, "x", 0)
		p.wantRst("unknown", 7, RstInvalidStream)
		p.sendData(7, "x", 0)
		p.wantIdle("it has been answered")
	})
	story(t, "R11/a name in two HEADERS", func(t *testing.T) {
		p := newPeer(t, asClient)
		st := p.open("ours", 0)
		p.wantSynStream("ours", 1)
		p.sendSynReply(1, 0, HeaderField{"a", "0"})
		p.sendHeaders(1, 0, HeaderField{"a", "1"})
		p.sendHeaders(1, 0, HeaderField{"b", "1"})
		p.isOpen("names of the SYN_REPLY do not count", st)
		p.sendHeaders(1, 0, HeaderField{"c", "1"}, HeaderField{"a", "2"})
		p.wantRst("a again", 1, RstProtocolError)
		p.wantUsable("afterwards", 2)
	})
	storyBoth(t, "R12/HEADERS after DATA", func(t *testing.T, r role) {
		p := newPeer(t, r)
		st := p.open("ours", FlagFin)
		p.wantSynStream("ours", st.id)
		p.sendSynReply(st.id, 0)
		p.sendData(st.id, "body", 0)
		p.sendHeaders(st.id, FlagFin, HeaderField{"trailer", "1"})
		p.wantRead("body", st, "body")
		p.wantEOF("body", st)
		require.Equal(t, HeaderBlock{{"trailer", "1"}}, st.lateHeaders())
		p.endsWith("closed", st, ErrStreamClosed)
	})
	story(t, "R13/after our FIN", func(t *testing.T) {
		for _, how := range []string{"DATA", "empty DATA", "HEADERS"} {
			for _, settled := range []bool{true, false} {
				p := newPeer(t, asServer)
				p.sendSynStream(1, 0)
				st := p.wantAccept("theirs", 1)
				p.reply(st, 0)
				p.wantSynReply("theirs", 1)
				flow := p.holdSender()
				switch how {
				case "DATA":
					write := p.startWrite(st, []byte("last"), FlagFin)
					write.pending("the sender is at work elsewhere")
				case "empty DATA":
					require.NoError(t, st.closeWrite())
				case "HEADERS":
					require.NoError(t, st.sendHeaders(FrameHeaders, p.block(), true))
				}
				if settled {
					flow()
				}
				if settled || how != "DATA" { // another write waits for its turn
					p.startWrite(st, []byte("x"), 0).fails(how, ErrStreamClosed)
				}
				require.ErrorIs(t, st.sendHeaders(FrameHeaders, p.block(), false), ErrStreamClosed, how)
				if !settled {
					flow()
				}
				if how == "HEADERS" {
					p.wantHeaders("the last frame", 1)
				} else {
					p.wantData("the last frame", 1, len("last")*strings.Count(how[:1], "D"), FlagFin)
				}
				p.wantIdle("nothing follows a FIN")
				require.ErrorIs(t, st.closeWrite(), ErrStreamClosed, how)
				p.wantUsable("afterwards", 3)
			}
		}
	})
}

// holdSender makes the sender wait in a write that the peer does not read, and
// returns what lets it go on.
func (p *testPeer) holdSender() (release func()) {
	p.t.Helper()
	p.ours.SetWriteCap(1)
	p.sendPing(0x20000 + p.peerID())
	synctest.Wait()
	return func() {
		p.t.Helper()
		p.ours.SetWriteCap(0)
		p.wantPing("the sender goes on", 0x20000+p.peerID())
	}
}

func TestData(t *testing.T) {
	story(t, "D2/after our GOAWAY", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.sendSynStream(1, 0)
		st := p.wantAccept("theirs", 1)
		p.s.goAway()
		p.wantGoAway("we go", 1, GoAwayOK)
		for range 10 {
			p.sendBulk(7, 16384, 0)
			p.wantWindowUpdate("D10/credited", 0, 16384)
		}
		p.wantAlive("and not answered")
		p.isOpen("the accepted stream goes on", st)
		p.sendData(1, "body", FlagFin)
		p.wantRead("the accepted stream goes on", st, "body")
		p.sendData(1, "more", 0)
		p.wantRst("D5/its errors are answered", 1, RstStreamAlreadyClosed)
		p.wantOrderlyEnd("it was the last")
	})
	story(t, "D11/two large bodies alternate", func(t *testing.T) {
		p := newPeer(t, asClient)
		p.sendSetting(SettingInitialWindowSize, 1<<20)
		p.sendWindowUpdate(0, 1<<20)
		a, b := p.open("a", 0), p.open("b", 0)
		p.wantSynStream("a", 1)
		p.wantSynStream("b", 3)
		release := p.holdSender()
		p.startWrite(a, testBytes(200<<10), 0)
		p.startWrite(b, testBytes(200<<10), 0)
		synctest.Wait()
		release()
		left, last := map[uint32]int{1: 200 << 10, 3: 200 << 10}, uint32(0)
		for left[1] > 0 && left[3] > 0 {
			f := wantFrame[*DataFrame](p, "large bodies")
			require.LessOrEqual(t, len(f.Data), maxDataFrame)
			require.NotEqual(t, last, f.StreamID, "frames alternate")
			last = f.StreamID
			left[last] -= len(f.Data)
		}
	})
}

func TestResets(t *testing.T) {
	storyBoth(t, "X1/in the middle of an upload", func(t *testing.T, r role) {
		p := newPeer(t, r)
		st := p.open("ours", 0)
		p.wantSynStream("ours", st.id)
		write := p.startWrite(st, testBytes(100000), FlagFin)
		p.wantData("all the window allows", st.id, defaultWindow)
		write.pending("there is more to send")
		read := p.startRead(st, 1)
		reply := p.startReply(st)
		p.sendRst(st.id, RstCancel)
		write.failsReset("the peer gave up", RstCancel, true)
		require.Equal(t, defaultWindow, write.n)
		read.fails("reads too", io.ErrUnexpectedEOF)
		read.failsReset("reads too", RstCancel, true)
		reply.failsReset("and who waits for the reply", RstCancel, true)
		p.sendWindowUpdate(st.id, 100000)
		p.sendWindowUpdate(0, 100000)
		p.wantIdle("nothing more is sent")
		p.startWrite(st, []byte("x"), 0).failsReset("later calls too", RstCancel, true)
		p.wantUsable("afterwards", p.peerID())
	})
	story(t, "X1/queued frames are dropped", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.sendSynStream(1, 0)
		st := p.wantAccept("theirs", 1)
		release := p.holdSender()
		p.reply(st, 0)
		require.NoError(t, st.sendHeaders(FrameHeaders, p.block(HeaderField{"more", ""}), false))
		write := p.startWrite(st, []byte("body"), FlagFin)
		write.pending("the sender is at work elsewhere")
		p.sendRst(1, RstCancel)
		write.failsReset("the peer gave up", RstCancel, true)
		require.Zero(t, write.n)
		release()
		p.wantIdle("nothing of it is sent")
		p.wantUsable("headers were dropped before they were compressed", 3)
	})
	story(t, "X1/unread bytes are dropped", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.sendSynStream(1, 0)
		st := p.wantAccept("theirs", 1)
		p.sendBulk(1, 50000, 0)
		p.wantIdle("nobody reads")
		p.sendRst(1, RstCancel)
		p.wantWindowUpdate("D10/their credit goes back", 0, 50000)
		p.startRead(st, 1).failsReset("nothing is left to read", RstCancel, true)
		p.wantUsable("afterwards", 3)
	})
	story(t, "X1/bytes before a FIN are not", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.sendSynStream(1, 0)
		st := p.wantAccept("theirs", 1)
		p.sendData(1, "whole", FlagFin)
		p.sendRst(1, RstCancel)
		p.wantRead("the body was complete", st, "whole")
		p.wantEOF("the body was complete", st)
		p.startWrite(st, []byte("x"), 0).failsReset("there is nobody to answer", RstCancel, true)
	})
	for _, status := range []RstStatus{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 99, 0xffffffff} {
		storyBoth(t, fmt.Sprintf("X4/status %d", uint32(status)), func(t *testing.T, r role) {
			p := newPeer(t, r)
			st := p.open("ours", FlagFin)
			p.wantSynStream("ours", st.id)
			p.sendSynReply(st.id, 0)
			read := p.startRead(st, 1)
			p.sendRst(st.id, status)
			read.failsReset("never a clean end", status, true)
			require.NotErrorIs(t, read.err, io.EOF)
			var e *StreamError
			require.ErrorAs(t, read.err, &e)
			require.Equal(t, status == RstRefusedStream, e.Retryable(), "X6")
			p.wantUsable("X5/the session goes on", p.peerID())
		})
	}
	story(t, "X2/for streams that are not there", func(t *testing.T) {
		p := newPeer(t, asServer)
		for _, id := range []uint32{1, 2, 99, 100, maxStreamID} {
			p.sendRst(id, RstProtocolError)
		}
		p.wantUsable("no answer", 1)
	})
	storyBoth(t, "X5/other streams go on", func(t *testing.T, r role) {
		p := newPeer(t, r)
		a, b := p.open("a", 0), p.open("b", 0)
		p.wantSynStream("a", a.id)
		p.wantSynStream("b", b.id)
		p.sendData(a.id, "too early", 0)
		p.wantRst("D3/an error of one", a.id, RstProtocolError)
		p.sendRst(a.id, RstCancel)
		p.startWrite(b, []byte("fine"), FlagFin).wrote("the other", 4)
		p.wantData("the other", b.id, 4, FlagFin)
		p.sendSynReply(b.id, 0)
		p.sendData(b.id, "fine too", FlagFin)
		p.wantRead("the other", b, "fine too")
		p.wantEOF("the other", b)
	})
	story(t, "before its SYN_STREAM has left", func(t *testing.T) {
		p := newPeer(t, asClient)
		release := p.holdSender()
		st := p.open("ours", 0)
		write := p.startWrite(st, []byte("x"), 0)
		write.pending("the sender is at work elsewhere")
		st.reset(RstCancel, "changed my mind", errTest)
		write.fails("we gave up", errTest)
		other := p.open("other", FlagFin)
		release()
		require.Equal(t, HeaderBlock{{"name", "other"}}, p.wantSynStream("nobody hears of the first", other.id).Headers)
		p.wantIdle("nobody hears of the first")
	})
	storyBoth(t, "by us", func(t *testing.T, r role) {
		p := newPeer(t, r)
		st := p.open("ours", 0)
		p.wantSynStream("ours", st.id)
		write := p.startWrite(st, testBytes(70000), 0)
		p.wantData("all the window allows", st.id, defaultWindow)
		read := p.startRead(st, 1)
		read.pending("no bytes have come")
		st.reset(RstInternalError, "no more", errTest)
		p.wantRst("the peer is told", st.id, RstInternalError)
		write.fails("our own reason", errTest)
		read.fails("our own reason", errTest)
		st.reset(RstCancel, "again", nil)
		p.wantIdle("once is enough")
		p.endsReset("the first reason stays", st, RstInternalError, false)
		p.sendWindowUpdate(0, defaultWindow)
		p.wantUsable("afterwards", p.peerID())
	})
}

// TestPipes runs an exchange over net.Pipe, which has no buffer at all: a
// session that waited for its own other half would stop here.
func TestPipes(t *testing.T) {
	story(t, "F1/net.Pipe", func(t *testing.T) {
		a, b := net.Pipe()
		app := &rawApp{}
		client := newSession(a, true, SPDY31, nil, &rawApp{})
		server := newSession(b, false, SPDY31, nil, app)
		p := &testPeer{t: t, s: client, app: app, version: SPDY31}
		done := []*call{
			p.async("client", func(c *call) { c.err = client.Serve() }),
			p.async("server", func(c *call) { c.err = server.Serve() }),
		}
		t.Cleanup(func() { a.Close() })
		st := p.open("ours", 0)
		up := p.startWrite(st, testBytes(1<<20), FlagFin)
		theirs := p.wantAccept("ours", 1)
		require.NoError(t, theirs.sendHeaders(FrameSynReply, p.block(), false))
		down := p.startWrite(theirs, testBytes(1<<20), 0)
		p.startPing(t.Context()).ok("PING beside two full windows")
		p.startReadAll(theirs).ok("upload")
		up.wrote("upload", 1<<20)
		theirs.reset(RstCancel, "", nil)
		down.fails("download", theirs.endReason())
		client.Close()
		for _, c := range done {
			c.wait("both ends")
		}
	})
}
