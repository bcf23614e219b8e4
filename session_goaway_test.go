package spdy

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// startShutdown calls Shutdown.
func (p *testPeer) startShutdown(ctx context.Context) *call {
	return p.async("Shutdown", func(c *call) { c.err = p.s.Shutdown(ctx) })
}

func (p *testPeer) startClose() *call {
	return p.async("Close", func(c *call) { p.s.Close() })
}

func TestGoAwaySent(t *testing.T) {
	storyBoth(t, "G1,G3/Close", func(t *testing.T, r role) {
		p := newPeer(t, r)
		id := p.peerID()
		p.sendSynStream(id, 0)
		theirs := p.wantAccept("theirs", id)
		p.sendSynStream(id+6, 0, HeaderField{"", ""})
		p.wantRst("malformed, so not accepted", id+6, RstProtocolError)
		ours := p.open("ours", 0)
		p.wantSynStream("ours", ours.id)
		read := p.startRead(theirs, 1)
		write := p.startWrite(ours, testBytes(70000), 0)
		p.wantData("ours", ours.id, 65536)
		reply := p.startReply(ours)
		closing := p.startClose()
		p.wantGoAway("the last stream accepted", id, GoAwayOK)
		for _, c := range []*call{read, write, reply} {
			c.fails("every call ends", ErrSessionClosed)
			require.ErrorIs(t, c.err, net.ErrClosed)
		}
		require.ErrorIs(t, read.err, io.ErrUnexpectedEOF, "a cut is no end")
		closing.pending("the peer may have more to say")
		p.sendData(id, "more", FlagFin)
		p.sendPing(id)
		p.sendSynStream(id+8, 0)
		closing.pending("G10/but nobody listens")
		p.wantNoAccept("G10/but nobody listens")
		p.wantOrderlyEnd("nothing is answered")
		closing.ok("the peer has closed too")
	})
	story(t, "G4/a stream that comes as we close", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.s.shutdown(ErrSessionClosed)
		st, err := p.s.admitStream(synStream{id: 1}, nil, 0) // by a receiver that was faster than the latch
		require.NoError(t, err)
		require.Nil(t, st, "nobody would ever end it")
	})
	story(t, "G1/a peer that does not close", func(t *testing.T) {
		p := newPeer(t, asServer)
		closing := p.startClose()
		p.wantGoAway("goodbye", 0, GoAwayOK)
		p.advance(linger - 1)
		closing.pending("it has a second")
		p.advance(1)
		closing.ok("no more")
		p.served.ok("no more")
	})
	story(t, "G1/a peer that does not read", func(t *testing.T) {
		p := newPeer(t, asServer, peerOpts{announce: true, conn: []testconn.Option{testconn.First(testconn.WriteCap(5))}})
		synctest.Wait()
		closing := p.startClose()
		p.advance(linger - 1)
		closing.pending("it has a second")
		p.advance(1)
		closing.ok("no more")
	})
	story(t, "G1/Close before Serve", func(t *testing.T) {
		ours, conn := testconn.Pair()
		s := newSession(ours, true, SPDY31, nil, &rawApp{})
		s.Close()
		require.NoError(t, s.Serve(), "there is nothing to serve")
		require.ErrorIs(t, s.Err(), ErrSessionClosed)
		_, err := conn.Read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
		require.ErrorIs(t, s.open(t.Context(), s.newLocalStream(0), getBlock(), 0), ErrSessionClosed)
		s.Close()
	})
	story(t, "Serve twice", func(t *testing.T) {
		p := newPeer(t, asClient)
		second := p.async("Serve", func(c *call) { c.err = p.s.Serve() })
		second.pending("it waits with the first")
		p.wantUsable("and does no harm", 2)
		p.conn.Close()
		p.served.ok("the peer leaves")
		second.ok("the peer leaves")
	})
	storyBoth(t, "G6,S13/Shutdown lets streams finish", func(t *testing.T, r role) {
		p := newPeer(t, r)
		id := p.peerID()
		p.sendSynStream(id, 0)
		theirs := p.wantAccept("theirs", id)
		ours := p.open("ours", FlagFin)
		p.wantSynStream("ours", ours.id)
		shutdown := p.startShutdown(t.Context())
		p.wantGoAway("the last stream accepted", id, GoAwayOK)
		p.sendSynStream(id+2, 0, HeaderField{"too", "late"})
		p.sendData(id+2, "late", 0)
		p.sendHeaders(id+2, 0, HeaderField{"too", "late"})
		p.wantIdle("S13/ignored")
		p.wantNoAccept("S13/ignored")
		p.startOpen(t.Context(), "one more", 0).failsReset("G4/nor do we open any", RstRefusedStream, true)
		p.sendHeaders(id, FlagFin, HeaderField{"too", "late"})
		p.wantEOF("H1/blocks of ignored streams are inflated", theirs)
		require.Equal(t, HeaderBlock{{"too", "late"}}, theirs.lateHeaders())
		p.wantAlive("G9/PING works")
		p.reply(theirs, FlagFin)
		p.wantSynReply("theirs is served", id)
		shutdown.pending("ours is open")
		p.sendSynReply(ours.id, 0)
		p.sendData(ours.id, "answer", FlagFin)
		p.wantRead("what came can be read", ours, "answer")
		p.wantOrderlyEnd("the last stream has ended")
		shutdown.ok("the last stream has ended")
	})
	story(t, "G6/Shutdown waits for handlers", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.app.hold = true
		p.sendSynStream(1, FlagFin)
		st := p.wantAccept("theirs", 1)
		shutdown := p.startShutdown(t.Context())
		p.wantGoAway("we go", 1, GoAwayOK)
		p.reply(st, FlagFin)
		p.wantSynReply("it is answered", 1)
		p.wantIdle("its handler is at work")
		st.release()
		p.wantOrderlyEnd("now it is not")
		shutdown.ok("now it is not")
	})
	story(t, "G6/Shutdown with nothing open", func(t *testing.T) {
		p := newPeer(t, asServer)
		shutdown := p.startShutdown(t.Context())
		p.wantGoAway("we go", 0, GoAwayOK)
		p.wantOrderlyEnd("at once")
		shutdown.ok("at once")
		p.startShutdown(t.Context()).ok("again")
	})
	story(t, "G7/Shutdown with a context", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.sendSynStream(1, 0)
		st := p.wantAccept("theirs", 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		shutdown := p.startShutdown(ctx)
		p.wantGoAway("we go", 1, GoAwayOK)
		p.advance(time.Minute - 1)
		shutdown.pending("the stream may finish")
		p.advance(1)
		p.endsWith("its time is up", st, ErrSessionClosed)
		p.wantOrderlyEnd("one GOAWAY was enough")
		shutdown.fails("its time is up", context.DeadlineExceeded)
	})
	story(t, "G7/an error while draining", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.sendSynStream(1, 0)
		p.wantAccept("theirs", 1)
		shutdown := p.startShutdown(t.Context())
		p.wantGoAway("graceful", 1, GoAwayOK)
		p.sendSynStream(2, 0)
		p.wantSessionError("final", 1, GoAwayProtocolError)
		shutdown.ok("it is over")
	})
}

func TestSendGoaway(t *testing.T) {
	story(t, "G6/with a payload", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.sendSynStream(1, FlagFin)
		st := p.wantAccept("theirs", 1)
		p.s.SendGoaway(0xff, []byte{0x80, 0, 0, 77, 0, 0, 0, 2})
		p.wantGoAway("as given, but for the X bit", 77, GoAwayInternalError)
		p.sendSynStream(3, 0)
		p.wantIdle("S13/no new streams")
		p.s.SendGoaway(0, []byte{0, 0, 0, 1, 0, 0, 0, 0})
		p.wantGoAway("G7/again", 1, GoAwayOK)
		p.reply(st, FlagFin)
		p.wantSynReply("the open stream is served", 1)
		p.wantOrderlyEnd("it was the last")
		p.s.SendGoaway(0, nil)
		p.s.SendGoaway(0, make([]byte, 8))
	})
	story(t, "G3/without", func(t *testing.T) {
		for _, dat := range [][]byte{nil, {}, make([]byte, 7), make([]byte, 9)} {
			p := newPeer(t, asServer)
			p.sendSynStream(5, 0)
			p.wantAccept("theirs", 5)
			p.s.SendGoaway(0, dat)
			p.wantGoAway("the session's own", 5, GoAwayOK)
			p.wantAlive("the stream is open")
		}
	})
}

func TestGoAwayReceived(t *testing.T) {
	storyBoth(t, "G5/streams above the last good one", func(t *testing.T, r role) {
		p := newPeer(t, r)
		var open []*Stream
		for range 3 {
			st := p.open("ours", 0)
			p.wantSynStream("ours", st.id)
			open = append(open, st)
		}
		p.sendSynStream(p.peerID()+100, 0)
		theirs := p.wantAccept("theirs", p.peerID()+100)
		reply := p.startReply(open[2])
		p.sendGoAway(open[1].id, GoAwayOK)
		reply.failsReset("not processed", RstRefusedStream, true)
		require.ErrorIs(t, reply.err, errGoingAway)
		var e *StreamError
		require.ErrorAs(t, reply.err, &e)
		require.True(t, e.Retryable())
		require.Equal(t, open[2].id, e.StreamID)
		p.isOpen("the last good one", open[1])
		p.isOpen("one before it", open[0])
		p.isOpen("streams of the peer do not count", theirs)
		p.wantIdle("nothing is said")
		p.startOpen(t.Context(), "S14/one more", 0).failsReset("S14/try elsewhere", RstRefusedStream, true)

		p.sendGoAway(open[0].id, GoAwayOK)
		p.endsReset("G7/the smaller one counts", open[1], RstRefusedStream, true)
		p.sendGoAway(open[2].id, GoAwayOK)
		p.isOpen("and stays", open[0])
		p.wantAlive("G9/PING works")
		p.sendSynReply(open[0].id, 0)
		p.sendData(open[0].id, "answer", FlagFin)
		p.wantRead("the others run to completion", open[0], "answer")
		p.startWrite(open[0], []byte("x"), FlagFin).wrote("the others run to completion", 1)
		p.wantData("the others run to completion", open[0].id, 1, FlagFin)
		p.sendRst(theirs.id, RstCancel)
		p.wantGoAway("G1/nothing is left", theirs.id, GoAwayOK)
		p.wantOrderlyEnd("G6/nothing is left")
	})
	story(t, "G5/streams not yet on the wire", func(t *testing.T) {
		p := newPeer(t, asClient)
		first := p.open("first", 0)
		p.wantSynStream("first", 1)
		release := p.holdSender()
		second := p.open("second", 0)
		p.sendGoAway(1, GoAwayOK)
		p.endsReset("it will not leave", second, RstRefusedStream, true)
		release()
		p.isOpen("the first goes on", first)
		p.wantIdle("the second never leaves")
	})
	story(t, "G6/idle session", func(t *testing.T) {
		p := newPeer(t, asClient)
		p.sendGoAway(0, GoAwayOK)
		p.wantGoAway("G1/goodbye to you too", 0, GoAwayOK)
		p.wantOrderlyEnd("nothing to wait for")
	})
	story(t, "G2/an error reported to an idle session", func(t *testing.T) {
		p := newPeer(t, asClient)
		p.sendGoAway(0, GoAwayProtocolError)
		p.wantGoAway("G1/goodbye", 0, GoAwayOK)
		err := p.wantClosed("nothing to wait for")
		var e *SessionError
		require.ErrorAs(t, err, &e, "whoever asks learns what the peer said")
		require.True(t, e.Remote)
		require.Equal(t, GoAwayProtocolError, e.Status)
		require.Equal(t, err, p.s.Err())
	})
	story(t, "G6/both sides at once", func(t *testing.T) {
		p := newPeer(t, asClient)
		st := p.open("ours", FlagFin)
		p.wantSynStream("ours", 1)
		shutdown := p.startShutdown(t.Context())
		p.wantGoAway("ours", 0, GoAwayOK)
		p.sendGoAway(1, GoAwayOK)
		p.isOpen("the stream may finish", st)
		p.sendSynReply(1, FlagFin)
		p.wantOrderlyEnd("no second GOAWAY")
		shutdown.ok("done")
	})
	story(t, "F16/the peer leaves without a word", func(t *testing.T) {
		p := newPeer(t, asClient)
		st := p.open("ours", 0)
		p.wantSynStream("ours", 1)
		waiting := p.startReply(st)
		p.sendGoAway(1, GoAwayOK)
		p.conn.Close()
		var lost *ConnError
		require.ErrorAs(t, waiting.wait("it was promised an answer").err, &lost)
		require.ErrorIs(t, waiting.err, io.ErrUnexpectedEOF)
	})
}

// TestSessionErrors is about what follows an error of the session (SPEC G2, G10).
func TestSessionErrors(t *testing.T) {
	storyBoth(t, "G2,G10/all streams fail alike", func(t *testing.T, r role) {
		p := newPeer(t, r)
		p.sendSynStream(p.peerID(), 0)
		theirs := p.wantAccept("theirs", p.peerID())
		ours := p.open("ours", 0)
		p.wantSynStream("ours", ours.id)
		p.sendData(theirs.id, "kept", 0)
		p.wantRead("before", theirs, "k")
		ping := p.startPing(t.Context())
		p.wantPing("ours", p.firstID())
		write := p.startWrite(theirs, testBytes(65537), 0)
		p.wantData("all there is room for", theirs.id, 65536)
		p.sendWindowUpdate(0, 0)
		p.sendPing(p.peerID())
		p.sendSynStream(p.peerID()+2, 0)
		p.wantGoAway("the reason", theirs.id, GoAwayProtocolError)
		err := p.wantClosed("nothing after an error is answered")
		var e *SessionError
		require.ErrorAs(t, err, &e)
		require.NotEmpty(t, e.Reason)
		p.wantNoAccept("nothing after an error is looked at")
		write.fails("one error everywhere", err)
		ping.fails("one error everywhere", err)
		p.startReply(ours).fails("one error everywhere", err)
		p.startOpen(t.Context(), "more", 0).fails("one error everywhere", err)
		p.wantRead("what has come is worth reading", theirs, "ept")
		p.startRead(theirs, 1).fails("then the error", err).fails("which is a cut", io.ErrUnexpectedEOF)
	})
	story(t, "G2/GOAWAY gets through what is in the way", func(t *testing.T) {
		p := newPeer(t, asServer, peerOpts{conn: []testconn.Option{testconn.StrictClose()}})
		for range 100 {
			p.sendPing(1)
		}
		p.sendPing(3)
		p.sendControl(FramePing, 0, 1)
		p.sendRaw(make([]byte, 100000)) // unread bytes make a hasty Close a TCP reset
		synctest.Wait()
		for range 100 {
			p.wantPing("what was owed", 1)
		}
		p.wantPing("what was owed", 3)
		p.wantSessionError("and the GOAWAY", 0, GoAwayProtocolError)
	})
	storyBoth(t, "F16/the peer leaves while the sender waits for it", func(t *testing.T, r role) {
		p := newPeer(t, r)
		st := p.open("ours", 0)
		p.wantSynStream("ours", st.id)
		p.holdSender()
		p.conn.CloseWrite()
		p.served.fails("a lost peer gets no second to read the rest", io.ErrUnexpectedEOF)
		p.endsWith("the stream is lost", st, p.s.Err())
	})
	story(t, "a write fails", func(t *testing.T) {
		p := newPeer(t, asClient)
		st := p.open("ours", 0)
		p.wantSynStream("ours", 1)
		p.ours.Fail(testconn.Fault{Op: testconn.OpWrite, Call: 1})
		write := p.startWrite(st, []byte("x"), 0).wait("taken")
		require.True(t, write.err == nil || errors.Is(write.err, testconn.ErrInjected), "it was taken before the network failed, or not")
		p.startOpen(context.Background(), "late", 0).fails("no stream is opened", testconn.ErrInjected)
		require.NoError(t, p.s.Err(), "the peer may have sent more")
		p.advance(linger)
		var lost *ConnError
		require.ErrorAs(t, p.s.Err(), &lost)
		require.ErrorIs(t, p.s.Err(), testconn.ErrInjected)
		p.startWrite(st, []byte("x"), 0).fails("later ones fail", p.s.Err())
		p.served.fails("the session is over", testconn.ErrInjected)
	})
	for name, conf := range map[string]Config{"": {}, ", WriteTimeout": {WriteTimeout: linger / 4}} {
		storyBoth(t, "a write fails while the end is on its way"+name, func(t *testing.T, r role) {
			p := newPeer(t, r, peerOpts{conf: conf})
			id := p.firstID()
			whole, half := p.open("whole", 0), p.open("half", 0)
			p.wantSynStream("whole", id)
			p.wantSynStream("half", id+2)
			p.reply(whole, 0)
			p.reply(half, 0)
			p.conn.SetLatency(linger / 2)
			p.sendSynStream(p.peerID(), 0)
			p.sendData(whole.id, "all", FlagFin)
			p.sendData(half.id, "some", 0)
			p.conn.CloseWrite()
			p.ours.Fail(testconn.Fault{Op: testconn.OpWrite, Call: 1})
			p.startWrite(half, []byte("x"), 0).wait("taken, or not")
			p.startWrite(half, []byte("x"), 0).fails("at once", testconn.ErrInjected)
			p.advance(linger * 3 / 4)
			p.wantNoAccept("nothing new is taken")
			p.wantRead("what had been sent", whole, "all")
			p.wantEOF("is complete", whole)
			p.wantRead("what had been sent", half, "some")
			p.endsWith("is not complete", half, testconn.ErrInjected)
			p.served.fails("the session is over", testconn.ErrInjected)
		})
	}
	story(t, "a read fails", func(t *testing.T) {
		p := newPeer(t, asClient)
		st := p.open("ours", 0)
		p.wantSynStream("ours", 1)
		reply := p.startReply(st)
		p.ours.Fail(testconn.Fault{Op: testconn.OpRead, Call: 1})
		p.sendSynReply(1, 0)
		reply.wait("lost")
		p.served.fails("the session is over", testconn.ErrInjected)
		require.True(t, reply.err == nil || errors.Is(reply.err, testconn.ErrInjected))
	})
}
