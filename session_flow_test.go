package spdy

import (
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// TestSendWindows is about what we may send (SPEC W1 to W10).
func TestSendWindows(t *testing.T) {
	storyBoth(t, "W1,W2,W3/a silent peer", func(t *testing.T, r role) {
		p := newPeer(t, r)
		st := p.open("ours", 0)
		p.wantSynStream("headers need no window", st.id)
		data := testBytes(1 << 20)
		write := p.startWrite(st, data, 0)
		got := p.wantData("exactly 65536 bytes leave", st.id, 65536)
		write.pending("the rest waits")
		p.wantIdle("the rest waits")
		require.NoError(t, st.sendHeaders(FrameHeaders, p.block(HeaderField{"h", ""}), false))
		p.wantHeaders("W1/headers need no window", st.id)
		p.wantAlive("nor do PINGs")

		p.sendWindowUpdate(st.id, 1)
		p.wantIdle("the session window is used up")
		p.sendWindowUpdate(0, 1)
		got = append(got, p.wantData("one byte", st.id, 1)...)
		p.sendWindowUpdate(0, 100000)
		p.wantIdle("the stream window is used up")
		p.sendWindowUpdate(st.id, 5)
		got = append(got, p.wantData("five bytes", st.id, 5)...)
		p.sendWindowUpdate(st.id, 1<<20)
		got = append(got, p.wantData("what the session allows", st.id, 100000-5)...)
		p.sendWindowUpdate(0, 1<<20)
		got = append(got, p.wantData("the rest", st.id, len(data)-len(got))...)
		write.wrote("the rest", len(data))
		require.Equal(t, data, got)
	})
	story(t, "W3/the session window is shared", func(t *testing.T) {
		p := newPeer(t, asClient)
		a, b := p.open("a", 0), p.open("b", 0)
		p.wantSynStream("a", 1)
		p.wantSynStream("b", 3)
		p.startWrite(a, testBytes(40000), 0).wrote("a", 40000)
		p.wantData("a", 1, 40000)
		write := p.startWrite(b, testBytes(40000), 0)
		p.wantData("what a has left", 3, 25536)
		write.pending("what a has left")
		p.sendWindowUpdate(1, 40000)
		p.wantIdle("this is for a")
		c := p.open("c", FlagFin)
		p.wantSynStream("streams can be opened", c.id)
		p.sendWindowUpdate(0, 40000)
		p.wantData("b", 3, 14464)
		write.wrote("b", 40000)
	})
	storyBoth(t, "W4/FIN at window 0", func(t *testing.T, r role) {
		p := newPeer(t, r)
		st := p.open("ours", 0)
		p.wantSynStream("ours", st.id)
		p.startWrite(st, testBytes(65536), 0).wrote("both windows are used up", 65536)
		p.wantData("both windows are used up", st.id, 65536)
		p.startWrite(st, nil, FlagFin).ok("FIN")
		p.wantData("FIN needs no window", st.id, 0, FlagFin)
	})
	storyBoth(t, "W4/FIN with the last byte", func(t *testing.T, r role) {
		p := newPeer(t, r)
		st := p.open("ours", 0)
		p.wantSynStream("ours", st.id)
		p.startWrite(st, testBytes(65536), FlagFin).wrote("all at once", 65536)
		p.wantData("FIN is on the last frame", st.id, 65536, FlagFin)
		p.wantIdle("nothing follows")
	})
	story(t, "W4,W10/FIN at window -10", func(t *testing.T) {
		p := newPeer(t, asClient)
		st, other := p.open("ours", 0), p.open("other", 0)
		p.wantSynStream("ours", 1)
		p.wantSynStream("other", 3)
		p.startWrite(st, testBytes(10), 0).wrote("ten bytes", 10)
		p.wantData("ten bytes", 1, 10)
		p.startWrite(other, testBytes(10), 0).wrote("ten bytes", 10)
		p.wantData("ten bytes", 3, 10)
		p.sendSetting(SettingInitialWindowSize, 0)
		p.wantIdle("both windows are -10 now")
		p.startWrite(st, nil, FlagFin).ok("FIN")
		p.wantData("FIN needs no window", 1, 0, FlagFin)
		write := p.startWrite(other, []byte("abcde"), FlagFin)
		p.sendWindowUpdate(3, 10)
		p.wantIdle("0 is not enough for a byte")
		p.sendWindowUpdate(3, 2)
		require.Equal(t, "ab", string(p.wantData("W10/only what is above 0", 3, 2)))
		write.pending("three are left")
		p.sendWindowUpdate(3, 3)
		require.Equal(t, "cde", string(p.wantData("the rest", 3, 3, FlagFin)))
		write.wrote("the rest", 5)
	})
	story(t, "W4/FIN waits for the bytes before it", func(t *testing.T) {
		p := newPeer(t, asClient)
		st := p.open("ours", 0)
		p.wantSynStream("ours", 1)
		write := p.startWrite(st, testBytes(65537), 0)
		p.wantData("all the window allows", 1, 65536)
		closing := p.async("closeWrite", func(c *call) { c.err = st.closeWrite() })
		closing.pending("the write has its turn")
		p.wantIdle("no FIN yet")
		p.sendWindowUpdate(1, 1)
		p.sendWindowUpdate(0, 1)
		p.wantData("the last byte", 1, 1)
		write.wrote("the last byte", 65537)
		closing.ok("then the FIN")
		p.wantData("then the FIN", 1, 0, FlagFin)
	})
	testBadUpdates(t)
	story(t, "W8,W15/late updates", func(t *testing.T) {
		p := newPeer(t, asClient)
		st := p.open("ours", FlagFin)
		p.wantSynStream("ours", 1)
		for _, id := range []uint32{1, 2, 3, 99, maxStreamID} {
			p.sendWindowUpdate(id, 0)
			p.sendWindowUpdate(id, maxWindow)
			p.sendWindowUpdate(id, maxWindow)
		}
		p.wantIdle("nobody cares")
		p.isOpen("we have sent our FIN", st)
		p.sendSynReply(1, FlagFin)
		p.sendWindowUpdate(1, 0)
		p.wantUsable("afterwards", 2)
	})
}

func testBadUpdates(t *testing.T) {
	storyBoth(t, "W5/stream delta 0", func(t *testing.T, r role) {
		p := newPeer(t, r)
		st := p.open("ours", 0)
		p.wantSynStream("ours", st.id)
		p.sendWindowUpdate(st.id, 0)
		p.wantRst("0 is no update", st.id, RstFlowControlError)
		p.endsReset("0 is no update", st, RstFlowControlError, false)
		p.wantUsable("afterwards", p.peerID())
	})
	storyBoth(t, "W5/session delta 0", func(t *testing.T, r role) {
		p := newPeer(t, r)
		p.sendWindowUpdate(0, 0)
		p.wantSessionError("0 is no update", 0, GoAwayProtocolError)
	})
	storyBoth(t, "W6/stream window beyond 2^31-1", func(t *testing.T, r role) {
		p := newPeer(t, r)
		st, other := p.open("ours", 0), p.open("other", 0)
		p.wantSynStream("ours", st.id)
		p.wantSynStream("other", other.id)
		p.sendWindowUpdate(other.id, maxWindow-65536)
		p.isOpen("2^31-1 exactly", other)
		p.sendWindowUpdate(other.id, 1)
		p.wantRst("one more", other.id, RstFlowControlError)
		write := p.startWrite(st, testBytes(1000), 0)
		write.wrote("the window is smaller now", 1000)
		p.wantData("the window is smaller now", st.id, 1000)
		p.sendWindowUpdate(st.id, maxWindow-64536)
		p.isOpen("2^31-1 exactly", st)
		p.sendWindowUpdate(st.id, maxWindow)
		p.wantRst("far more", st.id, RstFlowControlError)
		p.wantUsable("afterwards", p.peerID())
	})
	storyBoth(t, "W7/session window beyond 2^31-1", func(t *testing.T, r role) {
		p := newPeer(t, r)
		p.sendWindowUpdate(0, maxWindow-65536)
		p.wantAlive("2^31-1 exactly")
		p.sendWindowUpdate(0, 1)
		p.wantSessionError("one more", 0, GoAwayProtocolError)
	})
}

// TestReceiveWindows is about what the peer may send (SPEC W11 to W15).
func TestReceiveWindows(t *testing.T) {
	storyBoth(t, "W19/credit at a quarter", func(t *testing.T, r role) {
		p := newPeer(t, r)
		id := p.peerID()
		p.sendSynStream(id, 0)
		st := p.wantAccept("theirs", id)
		text := p.sendBulk(id, 65536, 0)
		p.wantIdle("nothing is granted before somebody reads")
		p.wantRead("a quarter less one", st, text[:16383])
		p.wantIdle("that is not worth a frame")
		p.wantRead("one more", st, text[16383:16384])
		p.wantWindowUpdate("the stream's", id, 16384)
		p.wantWindowUpdate("the session's", 0, 16384)
		p.wantRead("the rest in one go", st, text[16384:])
		p.wantWindowUpdate("the stream's", id, 49152)
		p.wantWindowUpdate("the session's", 0, 49152)
		p.wantBalanced("everything has been granted")
		p.sendBulk(id, 65536, 0)
		p.wantIdle("and can be used")
		p.isOpen("and can be used", st)
	})
	story(t, "W15/no credit after the peer's FIN", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.sendSynStream(1, 0)
		st := p.wantAccept("theirs", 1)
		text := p.sendBulk(1, 65536, FlagFin)
		synctest.Wait() // until the FIN has come too
		p.wantRead("all of it", st, text)
		p.wantWindowUpdate("only the session's", 0, 65536)
		p.wantIdle("only the session's")
		p.wantBalanced("the books are in order")
	})
	storyBoth(t, "W12/overrun of a stream window", func(t *testing.T, r role) {
		p := newPeer(t, r, peerOpts{conf: Config{SessionWindow: 1 << 20}})
		id := p.peerID()
		p.sendSynStream(id, 0)
		st := p.wantAccept("theirs", id)
		text := p.sendBulk(id, 65536, 0)
		p.wantIdle("this much was allowed")
		p.wantRead("a little is read", st, text[:1])
		p.sendBulk(id, 1, 0)
		p.wantRst("but no credit was given for it", id, RstFlowControlError)
		p.endsReset("so the stream ends", st, RstFlowControlError, false)
		p.wantUsable("afterwards", id+2)
	})
	story(t, "W12/in one frame", func(t *testing.T) {
		p := newPeer(t, asServer, peerOpts{conf: Config{SessionWindow: 256 << 10}})
		p.sendSynStream(1, 0)
		p.wantAccept("theirs", 1)
		p.sendBulk(1, 65537, 0)
		p.wantRst("one byte too many", 1, RstFlowControlError)
		p.wantWindowUpdate("W14/all of it was charged and is returned", 0, 65537)
		p.wantUsable("afterwards", 3)
	})
	storyBoth(t, "W13/overrun of the session window", func(t *testing.T, r role) {
		p := newPeer(t, r)
		a, b := p.peerID(), p.peerID()+2
		for _, id := range []uint32{a, b} {
			p.sendSynStream(id, 0)
			p.wantAccept("theirs", id)
		}
		p.sendBulk(a, 65535, 0)
		p.sendBulk(b, 1, 0)
		p.sendData(b, "", 0)
		p.wantAlive("this much was allowed")
		p.sendData(b, "x", 0)
		p.wantSessionError("one byte too many", b, GoAwayProtocolError)
	})
	story(t, "W13/in one frame to nobody", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.sendBulk(99, 65537, 0)
		p.wantSessionError("the verdict on the frame does not matter", 0, GoAwayProtocolError)
	})
	story(t, "W14/a frame that is not all there", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.sendSynStream(1, 0)
		st := p.wantAccept("theirs", 1)
		frame := append(appendDataHeader(nil, 1, FlagFin, 60000), testBytes(60000)...)
		p.sendRaw(frame[:8+20000])
		p.wantRead("what has come can be read", st, string(frame[8:8+20000]))
		p.wantWindowUpdate("and is credited", 1, 20000)
		p.wantWindowUpdate("and is credited", 0, 20000)
		p.sendRaw(frame[8+20000:])
		p.wantRead("the rest", st, string(frame[8+20000:]))
		p.wantEOF("the rest", st)
	})
}

// TestDiscardedCredit is about bytes that nobody reads: whatever the reason, the
// session gets their credit back (SPEC D10, W14).
func TestDiscardedCredit(t *testing.T) {
	const quarter = defaultWindow / 4
	paths := map[string]func(p *testPeer, id uint32) (answer func()){
		"unknown stream": func(p *testPeer, id uint32) func() {
			return func() { p.wantRst("never opened", id, RstInvalidStream) }
		},
		"refused stream": func(p *testPeer, id uint32) func() {
			p.app.refuse = func(st *Stream, _ HeaderBlock) *StreamError {
				return streamErrorf(st.id, RstRefusedStream, "no")
			}
			p.sendSynStream(id, 0)
			p.wantRst("refused", id, RstRefusedStream)
			p.app.refuse = nil
			return nil
		},
		"stream reset by us": func(p *testPeer, id uint32) func() {
			enterState(p, false, "reset-by-us", id)
			return nil
		},
		"stream reset by the peer": func(p *testPeer, id uint32) func() {
			enterState(p, false, "reset-by-peer", id)
			return func() { p.wantRst("closed", id, RstProtocolError) }
		},
		"stream closed": func(p *testPeer, id uint32) func() {
			enterState(p, false, "closed-by-fin", id)
			return func() { p.wantRst("closed", id, RstProtocolError) }
		},
		"after the peer's FIN": func(p *testPeer, id uint32) func() {
			enterState(p, false, "half-remote", id)
			return func() { p.wantRst("closed", id, RstStreamAlreadyClosed) }
		},
		"DATA flag 2": func(p *testPeer, id uint32) func() {
			enterState(p, false, "open", id)
			p.sendData(id, "x", 0x02)
			p.wantRst("not readable", id, RstProtocolError)
			return nil
		},
	}
	for name, enter := range paths {
		storyBoth(t, name, func(t *testing.T, r role) {
			p := newPeer(t, r)
			answer := enter(p, p.peerID())
			if name == "DATA flag 2" { // its one byte is owed already
				p.sendBulk(p.peerID(), quarter-1, 0)
				p.wantWindowUpdate("credited", 0, quarter)
			}
			for range 64 {
				p.sendBulk(p.peerID(), quarter, 0)
				if answer != nil {
					answer()
					answer = nil
				}
				p.wantWindowUpdate("a megabyte does not stall the session", 0, quarter)
			}
			p.wantUsable("afterwards", p.peerID()+2)
		})
	}
	storyBoth(t, "after GOAWAY", func(t *testing.T, r role) {
		p := newPeer(t, r)
		p.sendSynStream(p.peerID(), 0)
		p.wantAccept("theirs", p.peerID())
		p.s.goAway()
		p.wantGoAway("we go", p.peerID(), GoAwayOK)
		p.sendSynStream(p.peerID()+2, 0)
		for range 64 {
			p.sendBulk(p.peerID()+2, quarter, 0)
			p.wantWindowUpdate("a megabyte does not stall the session", 0, quarter)
		}
		p.wantBalanced("afterwards")
	})
	storyBoth(t, "unread bytes of a stream we reset", func(t *testing.T, r role) {
		p := newPeer(t, r)
		id := p.peerID()
		p.sendSynStream(id, 0)
		st := p.wantAccept("theirs", id)
		p.sendBulk(id, 65536, 0)
		p.wantIdle("nobody reads")
		st.reset(RstCancel, "", nil)
		p.wantRstAndUpdate(id, RstCancel, 65536)
		p.wantUsable("afterwards", id+2)
	})
	for _, n := range []int{4000, 40000} {
		storyBoth(t, fmt.Sprintf("reader gives up in the middle of %d bytes", n), func(t *testing.T, r role) {
			p := newPeer(t, r)
			p.sendSynStream(p.peerID(), 0)
			st := p.wantAccept("theirs", p.peerID())
			frame := append(appendDataHeader(nil, st.id, FlagFin, n), testBytes(n)...)
			p.sendRaw(frame[:1000])
			p.wantIdle("a part of a frame")
			st.stopReading()
			p.sendRaw(frame[1000:])
			synctest.Wait()
			for p.conn.Unread() > 0 {
				wantFrame[*WindowUpdateFrame](p, "credit for all of it")
			}
			p.wantUsable("afterwards", st.id+2)
		})
	}
	testUnwanted(t)
}

// wantRstAndUpdate wants a reset and session credit, in either order.
func (p *testPeer) wantRstAndUpdate(id uint32, status RstStatus, delta uint32) {
	p.t.Helper()
	first := p.next("a reset and credit")
	if u, ok := first.(*WindowUpdateFrame); ok {
		require.Equal(p.t, WindowUpdateFrame{Delta: delta}, *u)
		p.wantRst("a reset and credit", id, status)
		return
	}
	require.Equal(p.t, &RstStreamFrame{StreamID: id, Status: status}, first)
	p.wantWindowUpdate("a reset and credit", 0, delta)
}

// testUnwanted is about streams that our side has stopped reading (SPEC M13).
func testUnwanted(t *testing.T) {
	// enter returns a stream of the peer that nobody reads any more, n bytes of
	// which came before that.
	enter := func(p *testPeer, n int) *Stream {
		p.t.Helper()
		p.sendSynStream(p.peerID(), 0)
		st := p.wantAccept("theirs", p.peerID())
		p.sendBulk(st.id, n, 0)
		p.wantIdle("nobody reads")
		st.stopReading()
		if n >= defaultWindow/4 {
			p.wantWindowUpdate("what was unread is credited", 0, uint32(n))
		}
		p.startRead(st, 1).fails("closed is closed", ErrStreamClosed)
		return st
	}
	// answer sends the whole answer.
	answer := func(p *testPeer, st *Stream) {
		p.t.Helper()
		p.reply(st, 0)
		p.wantSynReply("the answer", st.id)
		p.startWrite(st, []byte("done"), FlagFin).wrote("the answer", 4)
		p.wantData("the answer", st.id, 4, FlagFin)
	}
	storyBoth(t, "M13/the rest ends by itself", func(t *testing.T, r role) {
		p := newPeer(t, r)
		st := enter(p, 20000)
		answer(p, st)
		p.sendBulk(st.id, 40000, 0)
		p.wantWindowUpdate("thrown away", 0, 40000)
		p.isOpen("it may yet end well", st)
		p.sendBulk(st.id, 65536-60000, FlagFin)
		p.endsWith("as it does", st, ErrStreamClosed)
		p.wantUsable("afterwards", st.id+2)
	})
	storyBoth(t, "M13/a peer that fills the window", func(t *testing.T, r role) {
		p := newPeer(t, r)
		st := enter(p, 20000)
		answer(p, st)
		p.sendBulk(st.id, 65536-20000, 0)
		p.wantRstAndUpdate(st.id, RstCancel, 65536-20000)
		p.endsReset("the rest is not wanted", st, RstCancel, false)
		p.wantUsable("afterwards", st.id+2)
	})
	storyBoth(t, "M13/before the answer is out", func(t *testing.T, r role) {
		p := newPeer(t, r)
		st := enter(p, 20000)
		p.sendBulk(st.id, 65536-20000, 0)
		p.wantWindowUpdate("thrown away", 0, 65536-20000)
		p.isOpen("the answer comes first", st)
		answer(p, st)
		p.wantRst("then the reset", st.id, RstCancel)
		p.wantUsable("afterwards", st.id+2)
	})
	storyBoth(t, "M13/a window that was full already", func(t *testing.T, r role) {
		p := newPeer(t, r)
		st := enter(p, 65536)
		answer(p, st)
		p.wantRst("the peer would wait for ever", st.id, RstCancel)
		p.wantUsable("afterwards", st.id+2)
	})
	storyBoth(t, "M13/full, and answered before", func(t *testing.T, r role) {
		p := newPeer(t, r)
		p.sendSynStream(p.peerID(), 0)
		st := p.wantAccept("theirs", p.peerID())
		p.sendBulk(st.id, 65536, 0)
		answer(p, st)
		st.stopReading()
		p.wantRstAndUpdate(st.id, RstCancel, 65536)
		p.wantUsable("afterwards", st.id+2)
	})
	storyBoth(t, "M13/full, and finished", func(t *testing.T, r role) {
		p := newPeer(t, r)
		p.sendSynStream(p.peerID(), 0)
		st := p.wantAccept("theirs", p.peerID())
		p.sendBulk(st.id, 65536, FlagFin)
		p.wantIdle("nobody reads")
		st.stopReading()
		p.wantWindowUpdate("what was unread is credited", 0, 65536)
		answer(p, st)
		p.endsWith("no reason for a reset", st, ErrStreamClosed)
		p.wantUsable("afterwards", st.id+2)
	})
	story(t, "M13/a handler that does not read", func(t *testing.T) {
		handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) })
		p := newPeer(t, asServer, peerOpts{app: newHTTPServerApp(&http.Server{Handler: handler}), conf: Config{MaxConcurrentStreams: 1}})
		for i := range uint32(5) {
			id := 2*i + 1
			headers := plainGet(SPDY31)
			p.send(&SynStreamFrame{StreamID: id, Headers: headers})
			p.wantSynReply("an early answer", id)
			p.sendBulk(id, 65536, 0)
			p.wantRstAndUpdate(id, RstCancel, 65536)
		}
	})
}

// TestCreditUnderLoad moves a megabyte in odd pieces, with reads of odd sizes,
// and checks the books at every step.
func TestCreditUnderLoad(t *testing.T) {
	storyBoth(t, "W14/any pieces", func(t *testing.T, r role) {
		p := newPeer(t, r)
		id := p.peerID()
		p.sendSynStream(id, 0)
		st := p.wantAccept("theirs", id)
		stream, session := 65536, 65536
		sent, got := 0, 0
		all := testBytes(1 << 20)
		for step := 0; got < len(all); step++ {
			n := min(1+step*7919%30000, stream, session, len(all)-sent)
			p.send(&DataFrame{StreamID: id, Data: all[sent : sent+n]})
			sent, stream, session = sent+n, stream-n, session-n
			if size := min(step*104729%40000, sent-got); size > 0 {
				p.wantRead("in order", st, string(all[got:got+size]))
				got += size
			}
			synctest.Wait()
			for p.conn.Unread() > 0 {
				u := wantFrame[*WindowUpdateFrame](p, "credit")
				if u.StreamID == 0 {
					session += int(u.Delta)
				} else {
					stream += int(u.Delta)
				}
			}
			p.wantBalanced(fmt.Sprint("step ", step))
			require.LessOrEqual(t, stream, 65536)
			require.LessOrEqual(t, session, 65536)
		}
		p.sendData(id, "", FlagFin)
		_, err := st.read(make([]byte, 1))
		require.Equal(t, io.EOF, err)
	})
}
