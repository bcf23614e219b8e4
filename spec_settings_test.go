package spdy

import (
	"context"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSpecSettings(t *testing.T) {
	limited := func(why string, limit int, entries ...Setting) func(p *testPeer) {
		return func(p *testPeer) {
			p.sendSettings(entries...)
			p.wantAlive("they are read")
			for range limit {
				p.ours1("within the limit", 0)
			}
			p.startOpen(p.t.Context(), "beyond it", 0).pending(why)
			p.s.shutdown(errTest)
		}
	}
	most := func(n uint32) Setting { return Setting{ID: SettingMaxConcurrentStreams, Value: n} }
	ruleBoth(t, "T1", everyVersion, "never", func(p *testPeer) { p.wantUsable("without any", p.peerID()) })
	ruleBoth(t, "T1", everyVersion, "any time", func(p *testPeer) {
		st := p.theirs("a stream", p.peerID(), 0)
		p.sendSettings()
		p.sendSettings(most(5), Setting{ID: SettingRoundTripTime, Value: 7})
		p.sendData(st.id, "x", 0)
		p.sendSettings(most(6))
		p.wantNothing("they need no answer")
		p.wantUsable("afterwards", p.peerID()+2)
	})
	ruleBoth(t, "T2", everyVersion, "first wins", limited("the first counts", 1, most(1), most(2)))
	ruleBoth(t, "T3", everyVersion, "last frame wins", func(p *testPeer) {
		p.sendSettings(most(1))
		limited("the second frame counts", 2, most(2))(p)
	})
	ruleBoth(t, "T4,T5", everyVersion, "sent", func(p *testPeer) {
		f := wantFrame[*SettingsFrame](p, "what we announce")
		require.NotEmpty(p.t, f.Entries)
		for i, e := range f.Entries {
			require.True(p.t, i == 0 || f.Entries[i-1].ID < e.ID, "ids rise: %v", f.Entries)
			require.LessOrEqual(p.t, e.ID, SettingClientCertificateVectorSize)
			require.Zero(p.t, e.Flags)
		}
		require.Zero(p.t, f.Flags)
		p.drain()
	}, peerOpts{announce: true, conf: Config{StreamWindow: 1 << 20, SessionWindow: 1 << 20}})
	ruleBoth(t, "T5", everyVersion, "unknown", limited("what is known counts", 1,
		Setting{ID: 200, Value: 1}, Setting{ID: 0, Value: 9}, Setting{ID: 9}, Setting{ID: maxSettingID, Flags: 0xff, Value: math.MaxUint32},
		Setting{ID: SettingMaxConcurrentStreams, Flags: 0xfc, Value: 1}, Setting{ID: SettingUploadBandwidth, Value: math.MaxUint32}))
	testPersistence(t)
	ruleBoth(t, "T11", everyVersion, "lowered", func(p *testPeer) {
		var open []*Stream
		for range 3 {
			open = append(open, p.repliedTo("one of three", FlagFin))
		}
		p.sendSettings(most(1))
		p.wantAlive("the limit is known")
		c := p.startOpen(p.t.Context(), "a fourth", 0)
		for i, st := range open {
			p.isOpen("what is open stays", st)
			c.pending("too many are open")
			p.startWrite(st, []byte{byte(i)}, FlagFin).wrote("and works", 1)
			p.wantData("and works", st.id, 1, FlagFin)
		}
		c.ok("none is left")
		p.wantSynStream("none is left", open[2].id+2)
		require.Equal(p.t, 100, p.s.conf.MaxConcurrentStreams)
		p.wantUsable("theirs are not limited by it", p.peerID())
	}, peerOpts{conf: Config{MaxConcurrentStreams: 100}})
	testWindowSettings(t)
	ruleBoth(t, "T16", onlyVersion2, "layout", func(p *testPeer) {
		p.sendControl(FrameSettings, 0, 0, 0, 0, 2,
			4, 0, 0, 0, 0, 0, 0, 1, // id 4 is 1
			0, 0, 0, 4, 0, 0, 0, 9) // flags 4 of id 0, which would be id 4 in SPDY/3
		limited("id 4 it is", 1)(p)
	})
	ruleServer(t, "T16", onlyVersion2, "sent", func(p *testPeer) {
		b := make([]byte, 20)
		synctest.Wait()
		_, err := p.conn.Read(b)
		require.NoError(p.t, err)
		require.Equal(p.t, []byte{0x80, 2, 0, 4, 0, 0, 0, 12, 0, 0, 0, 1, 4, 0, 0, 0, 0, 0, 0, 77}, b)
		require.Zero(p.t, p.conn.Unread())
	}, peerOpts{announce: true, conf: Config{MaxConcurrentStreams: 77}})
}

// testPersistence is about what servers have their clients keep.
func testPersistence(t *testing.T) {
	store := func() peerOpts {
		return peerOpts{announce: true, conf: Config{Settings: new(MemorySettings), SettingsKey: "http://a.example:80"}}
	}
	keep := func(id SettingID, value uint32) Setting {
		return Setting{ID: id, Flags: FlagPersistValue, Value: value}
	}
	kept := func(id SettingID, value uint32) Setting {
		return Setting{ID: id, Flags: FlagPersisted, Value: value}
	}
	// again starts another session with the same server and returns what it is told.
	again := func(p *testPeer) []Setting {
		next := p.fresh(peerOpts{announce: true, conf: Config{Settings: p.s.conf.Settings, SettingsKey: p.s.conf.SettingsKey}})
		frames := next.drain()
		settings := 0
		for _, f := range frames {
			if _, ok := f.(*SettingsFrame); ok {
				settings++
			}
		}
		if settings == 1 {
			return nil
		}
		require.Equal(p.t, 2, settings, "our own come in a frame of their own, and last (SPEC T3)")
		return frames[0].(*SettingsFrame).Entries
	}
	ruleClient(t, "T9", everyVersion, "returned", func(p *testPeer) {
		p.drain()
		p.sendSettings(keep(1, 10), keep(2, 20), keep(3, 30), Setting{ID: 5, Value: 50})
		p.sendSettings(keep(4, 40), keep(5, 51), keep(2, 21))
		p.wantAlive("they are kept")
		require.Equal(p.t, []Setting{kept(1, 10), kept(2, 21), kept(3, 30), kept(4, 40), kept(5, 51)}, again(p))
	}, store())
	ruleClient(t, "T9", everyVersion, "by server", func(p *testPeer) {
		p.drain()
		p.sendSettings(keep(1, 10))
		p.wantAlive("it is kept")
		require.Empty(p.t, p.s.conf.Settings.Load("http://a.example:81"), "another port is another server")
		require.NotEmpty(p.t, p.s.conf.Settings.Load("http://a.example:80"))
	}, store())
	ruleClient(t, "T9", everyVersion, "bounded", func(p *testPeer) {
		m := new(MemorySettings)
		for i := range 2 * maxSettingsServers {
			m.Update(fmt.Sprint("server ", i), false, []Setting{keep(1, uint32(i)), keep(1000, 1), keep(0, 1)})
		}
		require.Len(p.t, m.servers, maxSettingsServers)
		require.Len(p.t, m.order, maxSettingsServers)
		require.Empty(p.t, m.Load("server 0"), "the oldest are forgotten")
		last := 2*maxSettingsServers - 1
		require.Equal(p.t, []Setting{{ID: 1, Value: uint32(last)}}, m.Load(fmt.Sprint("server ", last)), "and ids that nobody knows")
	})
	ruleClient(t, "T8", everyVersion, "CLEAR", func(p *testPeer) {
		p.drain()
		p.sendSettings(keep(1, 10), keep(2, 20))
		p.send(&SettingsFrame{Flags: FlagClearSettings, Entries: []Setting{keep(3, 30), {ID: 6, Value: 60}}})
		p.wantAlive("the new one is kept")
		require.Equal(p.t, []Setting{kept(3, 30)}, again(p))
		p.send(&SettingsFrame{Flags: FlagClearSettings})
		p.wantAlive("nothing is kept")
		require.Empty(p.t, again(p))
	}, store())
	ruleClient(t, "T10", version3, "Clear", func(p *testPeer) {
		p.drain()
		p.sendSettings(keep(1, 10))
		p.wantAlive("it is kept")
		require.NotEmpty(p.t, again(p))
		p.s.conf.Settings.(*MemorySettings).Clear()
		require.Empty(p.t, again(p))
		p.sendSettings(keep(2, 20))
		p.wantAlive("it can be used again")
		require.Equal(p.t, []Setting{kept(2, 20)}, again(p))
	}, store())
	ruleClient(t, "T6", everyVersion, "sent", func(p *testPeer) {
		p.drain()
		p.sendSettings(keep(1, 10))
		p.wantAlive("it is kept")
		next := p.fresh(peerOpts{announce: true, conf: Config{Settings: p.s.conf.Settings, SettingsKey: p.s.conf.SettingsKey}})
		for _, f := range next.drain() {
			if s, ok := f.(*SettingsFrame); ok {
				require.Zero(p.t, s.Flags, "no CLEAR")
				for _, e := range s.Entries {
					require.Zero(p.t, e.Flags&FlagPersistValue)
				}
			}
		}
	}, store())
	ruleServer(t, "T6", everyVersion, "received", func(p *testPeer) {
		p.drain()
		p.send(&SettingsFrame{Flags: FlagClearSettings, Entries: []Setting{keep(SettingMaxConcurrentStreams, 1)}})
		p.wantAlive("it is read")
		require.Empty(p.t, p.s.conf.Settings.(*MemorySettings).servers, "clients have nothing to keep here")
		p.ours1("the value counts", 0)
		p.startOpen(p.t.Context(), "beyond it", 0).pending("the value counts")
		p.s.shutdown(errTest)
	}, store())
	ruleServer(t, "T7", everyVersion, "not applied", func(p *testPeer) {
		p.drain()
		p.sendSettings(kept(SettingMaxConcurrentStreams, 0), kept(SettingInitialWindowSize, 1))
		p.wantAlive("they are read")
		st := p.ours1("no limit", 0)
		p.startWrite(st, testBytes(1000), 0).wrote("and no window of 1", 1000)
		p.wantData("and no window of 1", st.id, 1000)
	}, store())
}

func testWindowSettings(t *testing.T) {
	window := func(n uint32) Setting { return Setting{ID: SettingInitialWindowSize, Value: n} }
	ruleBoth(t, "T12,W10", version3, "goes negative", func(p *testPeer) {
		st := p.ours1("a stream", 0)
		p.sendWindowUpdate(0, 1<<20)
		w := p.startWrite(st, testBytes(100<<10), 0)
		w.pending("64 KiB go")
		p.wantData("64 KiB go", st.id, defaultWindow)
		p.sendSettings(window(16 << 10)) // the window is 16 - 64 = -48 KiB
		p.sendWindowUpdate(st.id, 48<<10)
		p.wantNothing("now it is 0")
		w.pending("now it is 0")
		p.sendWindowUpdate(st.id, 1)
		p.wantData("now it is 1", st.id, 1)
		p.sendSettings(window(64 << 10))
		w.wrote("48 KiB more than the rest", 100<<10)
		p.wantData("48 KiB more than the rest", st.id, 36<<10-1)
		next := p.ours1("future streams have it", 0)
		p.startWrite(next, testBytes(70<<10), 0).pending("64 KiB go")
		p.wantData("64 KiB go", next.id, 64<<10)
		p.s.shutdown(errTest)
	})
	ruleBoth(t, "T13", version3, "too large", func(p *testPeer) {
		for _, n := range []uint32{1 << 31, math.MaxUint32} {
			p := p.fresh()
			p.sendSettings(window(n))
			p.wantSessionError("no window is so large", 0, GoAwayProtocolError)
		}
		p.sendSettings(window(maxWindow))
		p.wantUsable("this one is", p.peerID())
	})
	ruleBoth(t, "T14", version3, "shift", func(p *testPeer) {
		st, other := p.ours1("a large window", 0), p.ours1("another stream", 0)
		p.sendWindowUpdate(st.id, maxWindow-defaultWindow)
		p.sendSettings(window(defaultWindow + 1))
		p.wantRst("one byte more than there can be", st.id, RstFlowControlError)
		p.isOpen("the others go on", other)
		p.wantUsable("the others go on", p.peerID())
	})
	ruleBoth(t, "T15", onlySPDY31, "session window", func(p *testPeer) {
		p.sendSettings(window(1 << 20))
		p.wantAlive("it is known")
		st := p.ours1("a stream", 0)
		w := p.startWrite(st, testBytes(100<<10), 0)
		w.pending("the session's window is what it was")
		p.wantData("the session's window is what it was", st.id, defaultWindow)
		p.sendWindowUpdate(0, 1<<20)
		w.wrote("now it is larger", 100<<10)
		p.wantData("now it is larger", st.id, 36<<10)
	})
	ruleBoth(t, "T17", onlyVersion2, "no window", func(p *testPeer) {
		p.sendSettings(window(0))
		p.wantAlive("it is read")
		st := p.ours1("a stream", 0)
		p.startWrite(st, testBytes(1<<20), 0).wrote("there are no windows", 1<<20)
		p.wantData("there are no windows", st.id, 1<<20)
		p.sendSettings(window(math.MaxUint32))
		p.wantUsable("nor too large ones", p.peerID())
	})
	ruleBoth(t, "T19", version3, "0", func(p *testPeer) {
		p.sendSettings(window(0))
		p.wantAlive("it is known")
		st, empty := p.ours1("a stream", 0), p.ours1("another", 0)
		w := p.startWrite(st, []byte("x"), 0)
		w.pending("not one byte")
		p.startWrite(empty, nil, FlagFin).ok("but empty frames")
		p.wantData("but empty frames", empty.id, 0, FlagFin)
		p.sendWindowUpdate(st.id, 1)
		w.wrote("until there is a window", 1)
		p.wantData("until there is a window", st.id, 1)
	})
}

func TestSpecPing(t *testing.T) {
	ruleBoth(t, "P1", everyVersion, "echo", func(p *testPeer) {
		for _, id := range []uint32{p.peerID(), p.peerID() + 8, 0xfffffffc + p.peerID()} {
			p.sendPing(id)
			p.wantPing("the same", id)
		}
		p.wantIdle("once each")
	})
	ruleBoth(t, "P1", everyVersion, "ahead", func(p *testPeer) {
		st := p.ours1("a stream", 0)
		p.sendSetting(SettingInitialWindowSize, 1<<20)
		p.sendWindowUpdate(0, 1<<20)
		p.wantAlive("there is room")
		p.ours.SetWriteCap(1000)
		p.startWrite(st, testBytes(1<<20), 0).pending("there is much to send")
		p.sendPing(p.peerID())
		before := 0
		for _, f := range p.drain() {
			if d, ok := f.(*DataFrame); ok {
				before += len(d.Data)
				continue
			}
			require.IsType(p.t, &PingFrame{}, f)
			require.LessOrEqual(p.t, before, batchSize, "what was on its way goes first, and nothing else")
			before = math.MinInt
		}
		require.Negative(p.t, before, "the echo has come")
	})
	ruleBoth(t, "P2", everyVersion, "not ours", func(p *testPeer) {
		p.sendPing(p.firstID())
		p.sendPing(p.firstID() + 40)
		p.wantNothing("nobody waits for those")
		c := p.startPing(p.t.Context())
		p.wantPing("ours", p.firstID())
		p.sendPing(p.firstID())
		p.sendPing(p.firstID())
		c.ok("once is enough")
		p.wantNothing("the second is nobody's")
	})
	ruleBoth(t, "P3,P4", everyVersion, "ids", func(p *testPeer) {
		ask := func(id uint32) {
			c := p.startPing(p.t.Context())
			p.wantPing("ours", id)
			c.pending("no answer yet")
			p.advance(time.Second)
			p.sendPing(id)
			c.ok("the echo")
			require.Equal(p.t, int(time.Second), c.n, "it says how long it took")
		}
		ask(p.firstID())
		ask(p.firstID() + 2)
		p.s.mu.Lock()
		p.s.nextPing = 0xfffffffd + p.firstID()%2*2
		p.s.nextPing -= (p.s.nextPing ^ p.firstID()) & 1
		last := p.s.nextPing
		p.s.mu.Unlock()
		require.Greater(p.t, last, uint32(0xfffffff0))
		for id := last; id > 10; id += 2 {
			ask(id)
		}
		ask(p.firstID())
	})
	ruleBoth(t, "P4", everyVersion, "id 0", func(p *testPeer) {
		p.sendPing(0)
		p.wantNothing("it is ignored")
	})
	ruleBoth(t, "P3", everyVersion, "given up", func(p *testPeer) {
		ctx, cancel := context.WithCancelCause(p.t.Context())
		c := p.startPing(ctx)
		p.wantPing("ours", p.firstID())
		cancel(errTest)
		c.fails("it gave up", errTest)
		p.sendPing(p.firstID())
		p.wantNothing("the echo comes late")
		require.Empty(p.t, p.s.pings)
	})
}
