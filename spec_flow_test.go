package spdy

import (
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func TestSpecWindows(t *testing.T) {
	testWindowSizes(t)
	testWindowUpdates(t)
	testOverruns(t)
	testGrants(t)
	ruleBoth(t, "W20", onlyVersion2, "unknown", func(p *testPeer) {
		st := p.ours1("a stream", 0)
		payload := []byte{0, 0, 0, byte(st.id), 0, 0, 0, 0}
		p.sendControl(FrameWindowUpdate, 0, payload...)
		p.sendControl(FrameWindowUpdate, 0, 1)
		p.sendControl(FrameWindowUpdate, 0, 0, 0, 0, 0, 0, 0, 0, 0)
		p.wantNothing("a frame like any that nobody knows")
		p.isOpen("no delta is wrong", st)
		p.startWrite(st, testBytes(1<<20), 0).wrote("and none is needed", 1<<20)
		p.wantData("and none is needed", st.id, 1<<20)
		p.sendSynReply(st.id, 0)
		want := p.sendBulk(st.id, 1<<20, FlagFin)
		p.wantRead("nor given", st, want)
		p.wantNothing("nor given")
	})
	ruleStory(t, "W16", version3, "not handed on", testProxyKeepsWindows)
}

func testWindowSizes(t *testing.T) {
	ruleBoth(t, "W2", version3, "stream", func(p *testPeer) {
		p.sendWindowUpdate(0, 1<<20)
		st, other := p.ours1("a stream", 0), p.ours1("another", 0)
		w := p.startWrite(st, testBytes(100<<10), 0)
		w.pending("64 KiB go")
		p.wantData("64 KiB go", st.id, 65536)
		p.wantIdle("and no more")
		p.startWrite(other, testBytes(100<<10), 0).pending("64 KiB go")
		p.wantData("each stream has its own", other.id, 65536)
		p.s.shutdown(errTest)
	})
	ruleBoth(t, "W2", onlySPDY31, "session", func(p *testPeer) {
		st, other := p.ours1("a stream", 0), p.ours1("another", 0)
		p.startWrite(st, testBytes(40<<10), 0).wrote("there is room", 40<<10)
		w := p.startWrite(other, testBytes(40<<10), 0)
		w.pending("24 KiB are left for all")
		p.wantData("there is room", st.id, 40<<10)
		p.wantData("24 KiB are left for all", other.id, 24<<10)
		p.sendWindowUpdate(other.id, 1<<20)
		p.wantNothing("that is not what is short")
		p.sendWindowUpdate(0, 16<<10)
		w.wrote("that is", 40<<10)
		p.wantData("that is", other.id, 16<<10)
	})
	ruleBoth(t, "W2", onlySPDY3, "session", func(p *testPeer) {
		for range 4 {
			st := p.ours1("one of four", 0)
			p.startWrite(st, testBytes(64<<10), 0).wrote("there is no window for all of them", 64<<10)
			p.wantData("there is no window for all of them", st.id, 64<<10)
		}
		for i := range 4 {
			st := p.theirs("one of theirs", p.peerID()+uint32(2*i), 0)
			p.sendBulk(st.id, 64<<10, 0)
			p.isOpen("nor for theirs", st)
		}
		p.wantNothing("nor for theirs")
	})
	ruleBoth(t, "W3", version3, "both windows", func(p *testPeer) {
		p.sendSetting(SettingInitialWindowSize, 10)
		p.wantAlive("it is known")
		st := p.ours1("a stream", 0)
		w := p.startWrite(st, testBytes(100), FlagFin)
		for _, n := range []int{10, 1, 89} {
			if n != 10 {
				p.sendWindowUpdate(st.id, uint32(n))
			}
			flags := FrameFlags(0)
			if n == 89 {
				flags = FlagFin
			}
			p.wantData("as much as there is a window for", st.id, n, flags)
			p.wantIdle("and no more")
		}
		w.wrote("all of it", 100)
	})
	ruleBoth(t, "W4", version3, "FIN", func(p *testPeer) {
		p.sendWindowUpdate(0, 1<<20)
		st := p.ours1("a stream", 0)
		p.startWrite(st, testBytes(65536), 0).wrote("the window is used up", 65536)
		p.wantData("the window is used up", st.id, 65536)
		p.startWrite(st, nil, FlagFin).ok("a FIN needs none")
		p.wantData("a FIN needs none", st.id, 0, FlagFin)

		st = p.ours1("another", 0)
		p.startWrite(st, testBytes(65536), 0).wrote("the window is used up", 65536)
		p.wantData("the window is used up", st.id, 65536)
		p.sendSetting(SettingInitialWindowSize, 65526)
		p.wantAlive("it is -10 now")
		p.startWrite(st, nil, FlagFin).ok("a FIN needs none")
		p.wantData("a FIN needs none", st.id, 0, FlagFin)
	})
	ruleBoth(t, "W4", onlySPDY31, "session", func(p *testPeer) {
		st, other := p.ours1("a stream", 0), p.ours1("another", 0)
		p.startWrite(st, testBytes(65536), 0).wrote("the session's window is used up", 65536)
		p.wantData("the session's window is used up", st.id, 65536)
		p.startWrite(other, nil, FlagFin).ok("a FIN needs none")
		p.wantData("a FIN needs none", other.id, 0, FlagFin)
	})
	ruleBoth(t, "W10", version3, "negative", func(p *testPeer) {
		p.sendWindowUpdate(0, 1<<20)
		st := p.ours1("a stream", 0)
		p.startWrite(st, testBytes(65536), 0).wrote("the window is used up", 65536)
		p.wantData("the window is used up", st.id, 65536)
		p.sendSetting(SettingInitialWindowSize, 0)
		w := p.startWrite(st, []byte("xy"), 0)
		for range 4 {
			p.sendWindowUpdate(st.id, 16384)
			p.wantAlive("what is owed comes first")
			w.pending("what is owed comes first")
		}
		p.sendWindowUpdate(st.id, 1)
		p.wantData("now it is 1", st.id, 1)
		p.sendWindowUpdate(st.id, 1)
		w.wrote("all of it", 2)
		p.wantData("all of it", st.id, 1)
	})
}

func testWindowUpdates(t *testing.T) {
	ruleBoth(t, "W5", version3, "stream", func(p *testPeer) {
		st, other := p.ours1("a stream", 0), p.ours1("another", 0)
		p.sendWindowUpdate(st.id, 0)
		p.wantRst("0 is no delta", st.id, RstFlowControlError)
		p.endsReset("the stream is spoilt", st, RstFlowControlError, false)
		p.isOpen("the others go on", other)
		p.wantUsable("afterwards", p.peerID())
	})
	ruleBoth(t, "W5", onlySPDY31, "session", func(p *testPeer) {
		p.sendWindowUpdate(0, 0)
		p.wantSessionError("0 is no delta", 0, GoAwayProtocolError)
	})
	ruleBoth(t, "W6", version3, "overflow", func(p *testPeer) {
		st, other := p.ours1("a stream", 0), p.ours1("another", 0)
		p.sendWindowUpdate(other.id, maxWindow-defaultWindow)
		p.sendWindowUpdate(st.id, maxWindow-defaultWindow+1)
		p.wantRst("one byte more than there can be", st.id, RstFlowControlError)
		p.endsReset("the stream is spoilt", st, RstFlowControlError, false)
		p.isOpen("the largest there can be", other)
		p.wantUsable("afterwards", p.peerID())
	})
	ruleBoth(t, "W7", onlySPDY31, "overflow", func(p *testPeer) {
		p.sendWindowUpdate(0, maxWindow-defaultWindow)
		p.wantAlive("the largest there can be")
		p.sendWindowUpdate(0, 1)
		p.wantSessionError("one byte more", 0, GoAwayProtocolError)
	})
	ruleBoth(t, "W8", version3, "not open", func(p *testPeer) {
		p.wantUsable("a whole exchange", p.peerID())
		st := p.ours1("a stream", 0)
		st.reset(RstCancel, "", nil)
		p.wantRst("ours", st.id, RstCancel)
		for _, id := range []uint32{p.peerID(), st.id, 99, 100} {
			p.sendWindowUpdate(id, 1000)
			p.sendWindowUpdate(id, maxWindow)
			p.sendWindowUpdate(id, 0)
		}
		p.wantNothing("late ones are normal")
		p.wantUsable("afterwards", p.peerID()+2)
	})
	ruleBoth(t, "W9", onlySPDY3, "session", func(p *testPeer) {
		for _, delta := range []uint32{0, 1, maxWindow, maxWindow} {
			p.sendWindowUpdate(0, delta)
		}
		p.wantNothing("there is no such window")
		p.wantUsable("afterwards", p.peerID())
	})
	ruleBoth(t, "W1", version3, "payload alone", func(p *testPeer) {
		p.sendWindowUpdate(0, 1<<20)
		st := p.ours1("a stream", 0)
		for range 64 { // 64 frames of 1 KiB have 512 bytes of frame headers
			p.startWrite(st, testBytes(1024), 0).wrote("within the window", 1024)
			require.NoError(p.t, st.sendHeaders(FrameHeaders, p.block(), false))
			p.wantData("within the window", st.id, 1024)
			p.wantHeaders("which needs none", st.id)
		}
		p.startWrite(st, []byte("x"), 0).pending("now it is used up")
		p.s.shutdown(errTest)
	})
	ruleBoth(t, "W1", version3, "theirs", func(p *testPeer) {
		st := p.theirs("a stream", p.peerID(), 0)
		for range 64 {
			p.sendBulk(st.id, 1024, 0)
			p.sendData(st.id, "", 0)
		}
		p.isOpen("exactly the window", st)
		p.wantNothing("exactly the window")
	})
}

func testOverruns(t *testing.T) {
	ruleBoth(t, "W12", version3, "65537 bytes", func(p *testPeer) {
		st, other := p.theirs("a stream", p.peerID(), 0), p.theirs("another", p.peerID()+2, 0)
		p.sendBulk(st.id, 65536, 0)
		p.isOpen("exactly the window", st)
		p.sendBulk(st.id, 1, 0)
		p.wantRst("one byte more", st.id, RstFlowControlError)
		p.endsReset("the stream is spoilt", st, RstFlowControlError, false)
		p.isOpen("the others go on", other)
		if p.version == SPDY31 {
			p.wantWindowUpdate("the session gets its credit back", 0, 65536)
		}
		p.wantAlive("and does not mind")
	}, peerOpts{conf: Config{SessionWindow: 256 << 10}})
	ruleBoth(t, "W13,W14", onlySPDY31, "session", func(p *testPeer) {
		a, b := p.theirs("a stream", p.peerID(), 0), p.theirs("another", p.peerID()+2, 0)
		p.sendBulk(a.id, 40000, 0)
		p.sendBulk(b.id, 65536-40000, 0)
		p.wantAlive("exactly the window")
		p.sendBulk(b.id, 1, 0)
		p.wantSessionError("one byte more", b.id, GoAwayProtocolError)
	})
	ruleBoth(t, "W14", onlySPDY31, "erroneous", func(p *testPeer) {
		held := p.theirs("nobody reads it", p.peerID(), 0)
		p.sendBulk(held.id, 60000, 0)
		p.sendBulk(p.peerID()+80, 6000, 0) // more than is left
		p.wantSessionError("DATA on an unknown stream counts too", held.id, GoAwayProtocolError)
	})
	ruleBoth(t, "W11", version3, "never lowered", func(p *testPeer) {
		f := wantFrame[*SettingsFrame](p, "what we announce")
		for _, e := range f.Entries {
			if e.ID == SettingInitialWindowSize {
				require.EqualValues(p.t, 65536, e.Value, "what was asked for is less")
			}
		}
		st := p.theirs("a stream", p.peerID(), 0)
		p.sendBulk(st.id, 65536, 0)
		p.isOpen("what may be on its way is taken", st)
	}, peerOpts{announce: true, conf: Config{StreamWindow: 1000, SessionWindow: 1000}})
}

func testGrants(t *testing.T) {
	ruleBoth(t, "W15", version3, "after FIN", func(p *testPeer) {
		st := p.theirs("a stream", p.peerID(), 0)
		want := p.sendBulk(st.id, 65536, FlagFin)
		synctest.Wait() // the FIN has come
		p.wantRead("all of it", st, want)
		p.wantEOF("all of it", st)
		synctest.Wait()
		for _, f := range p.drain() {
			require.Zero(p.t, f.(*WindowUpdateFrame).StreamID, "the stream needs no credit any more")
		}
		p.isOpen("our half is", st)
		p.wantAlive("afterwards")
	})
	ruleBoth(t, "W19", version3, "a quarter", func(p *testPeer) {
		st := p.theirs("a stream", p.peerID(), 0)
		want := p.sendBulk(st.id, 65536, 0)
		p.wantRead("some of it", st, want[:16383])
		p.wantIdle("not worth a frame")
		p.wantRead("a quarter of it", st, want[16383:16384])
		p.wantWindowUpdate("the stream's", st.id, 16384)
		if p.version == SPDY31 {
			p.wantWindowUpdate("the session's", 0, 16384)
		}
		p.wantRead("the rest", st, want[16384:])
		stream := 0
		for _, f := range p.drain() {
			if w := f.(*WindowUpdateFrame); w.StreamID == st.id {
				stream += int(w.Delta)
			}
		}
		require.Equal(p.t, 65536-16384, stream)
		p.wantBalanced("nothing is lost")
	})
	huge := peerOpts{announce: true, conf: Config{StreamWindow: int(^uint(0) >> 1), SessionWindow: int(^uint(0) >> 1)}}
	ruleBoth(t, "W17", version3, "clamped", func(p *testPeer) {
		require.NotPanics(p.t, func() {
			for _, f := range p.drain() {
				switch f := f.(type) {
				case *SettingsFrame:
					require.EqualValues(p.t, maxWindow, f.Entries[1].Value)
				case *WindowUpdateFrame:
					require.EqualValues(p.t, maxWindow-defaultWindow, f.Delta)
				}
			}
		})
		st := p.theirs("a stream", p.peerID(), 0)
		want := p.sendBulk(st.id, 1<<20, 0)
		p.wantRead("all of it", st, want)
		for _, f := range p.drain() {
			require.LessOrEqual(p.t, f.(*WindowUpdateFrame).Delta, uint32(1<<20))
		}
		p.wantBalanced("nothing is lost")
	}, huge)
	ruleBoth(t, "W21", onlySPDY31, "raised", func(p *testPeer) {
		wantFrame[*SettingsFrame](p, "SETTINGS")
		p.wantWindowUpdate("and the session's window", 0, 1<<20-65536)
		for i := range 8 {
			st := p.theirs("one of eight", p.peerID()+uint32(2*i), 0)
			p.sendBulk(st.id, 65536, 0)
			p.isOpen("there is room", st)
		}
		p.wantNothing("there is room")
	}, peerOpts{announce: true, conf: Config{SessionWindow: 1 << 20}})
	ruleBoth(t, "W21", onlySPDY31, "theirs", func(p *testPeer) {
		p.sendWindowUpdate(0, 1<<20)
		p.sendSetting(SettingInitialWindowSize, 1<<20)
		p.wantAlive("before any stream")
		st := p.ours1("a stream", 0)
		p.startWrite(st, testBytes(1<<20), 0).wrote("there is room", 1<<20)
		p.wantData("there is room", st.id, 1<<20)
	})
}

// testProxyKeepsWindows sends the credit of one side of a proxy, which must not reach
// the other.
func testProxyKeepsWindows(t *testing.T, v Version) {
	up := newPeer(t, asClient, peerOpts{version: v, app: newHTTPClientApp(nil)})
	proxy := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = up.s.NewStreamProxy(r, w) })
	down := newPeer(t, asServer, peerOpts{version: v, app: newHTTPServerApp(&http.Server{Handler: proxy})})
	down.send(&SynStreamFrame{StreamID: 1, Headers: plainGet(v, ":method", "POST")})
	up.wantSynStream("the request goes on", 1)
	up.send(&SynReplyFrame{StreamID: 1, Headers: plainOK(v)})
	down.wantSynReply("the answer too", 1)
	for _, p := range []*testPeer{up, down} {
		p.sendWindowUpdate(1, 12345)
		p.sendWindowUpdate(0, 54321)
		synctest.Wait()
	}
	up.wantIdle("credit stays where it was given")
	down.wantIdle("credit stays where it was given")
	down.sendData(1, "question", FlagFin)
	up.wantBody("bytes go on", 1, "question")
	up.sendData(1, "answer", FlagFin)
	down.wantBody("bytes go on", 1, "answer")
}

// wantBody wants nothing but the given bytes and a FIN, with the last of them or behind.
func (p *testPeer) wantBody(why string, id uint32, text string) {
	p.t.Helper()
	got, fin := "", false
	for _, f := range p.drain() {
		d, ok := f.(*DataFrame)
		require.True(p.t, ok && d.StreamID == id && !fin, "%s: %v", why, show(f))
		got += string(d.Data)
		fin = d.Flags == FlagFin
	}
	require.Equal(p.t, text, got, why)
	require.True(p.t, fin, "%s: no FIN", why)
}
