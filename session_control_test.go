package spdy

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

func TestAnnouncement(t *testing.T) {
	entry := func(id SettingID, value uint32) Setting { return Setting{ID: id, Value: value} }
	story(t, "T4,W21/server", func(t *testing.T) {
		p := newPeer(t, asServer, peerOpts{announce: true, conf: Config{
			MaxConcurrentStreams: 7, StreamWindow: 100000, SessionWindow: 300000,
		}})
		p.wantSettings("ids ascend", entry(4, 7), entry(7, 100000))
		p.wantWindowUpdate("the session window is raised", 0, 300000-65536)
		p.wantIdle("that is all")
	})
	story(t, "T4,U16/client", func(t *testing.T) {
		p := newPeer(t, asClient, peerOpts{announce: true})
		p.wantSettings("no pushes", entry(4, 0), entry(7, 65536))
		p.wantIdle("the session window is the protocol's own")
	})
	story(t, "W17/the largest windows", func(t *testing.T) {
		p := newPeer(t, asServer, peerOpts{announce: true, conf: Config{StreamWindow: math.MaxInt, SessionWindow: math.MaxInt}})
		p.wantSettings("clamped", entry(4, 250), entry(7, maxWindow))
		p.wantWindowUpdate("clamped", 0, maxWindow-65536)
	})
	story(t, "defaults", func(t *testing.T) {
		p := &testPeer{t: t}
		ours, conn := testconn.Pair()
		p.conn, p.f = conn, NewFramer(conn, conn, SPDY31)
		p.s = newSession(ours, false, SPDY31, nil, &rawApp{})
		served := p.async("Serve", func(c *call) { c.err = p.s.Serve() })
		p.wantSettings("see Config", entry(4, 250), entry(7, 256<<10))
		p.wantWindowUpdate("see Config", 0, defaultSessionWindow-65536)
		conn.Close()
		served.ok("the peer leaves")
	})
}

func TestSettings(t *testing.T) {
	set := func(id SettingID, flags uint8, value uint32) Setting { return Setting{id, flags, value} }
	// leaves wants a new stream of the session to be able to send n bytes.
	leaves := func(p *testPeer, why string, n int) {
		p.t.Helper()
		p.wantIdle("SETTINGS are not answered")
		st := p.open("measure", 0)
		p.wantSynStream(why, st.id)
		write := p.startWrite(st, testBytes(40000), 0)
		if n > 0 {
			p.wantData(why, st.id, n)
		}
		write.pending(why)
		p.wantIdle(why)
		st.reset(RstCancel, "", nil)
		p.wantRst(why, st.id, RstCancel)
		p.sendWindowUpdate(0, uint32(n)+1)
	}
	story(t, "T1/never", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.wantUsable("no SETTINGS at all", 1)
	})
	story(t, "T2/an id twice: the first counts", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.sendSettings(set(7, 0, 10), set(7, 0, 20), set(7, 0, 0xffffffff))
		leaves(p, "the first", 10)
	})
	story(t, "T3/a later frame counts more", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.sendSettings(set(7, 0, 10))
		p.sendSettings(set(7, 0, 20))
		leaves(p, "the second", 20)
	})
	story(t, "T5/unknown ids and flags", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.sendSettings(set(0, 0, 2), set(8, 0, 5), set(9, 0, 3), set(32+7, 0, 5), set(200, 0xff, 1), set(maxSettingID, 0, 0), set(7, 0xfc, 33))
		leaves(p, "the one we know", 33)
		p.send(&SettingsFrame{})
		p.send(&SettingsFrame{Flags: 0xff})
		p.wantUsable("empty ones", 1)
	})
	story(t, "T6,T7/persisted", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.send(&SettingsFrame{Flags: FlagClearSettings, Entries: []Setting{set(7, FlagPersistValue, 100)}})
		leaves(p, "a client's PERSIST_VALUE means nothing", 100)
		p.sendSettings(set(7, FlagPersisted, 200), set(4, FlagPersisted, 0))
		leaves(p, "our own old values are not the client's", 100)
		p.sendSettings(set(7, FlagPersisted, 0xffffffff))
		leaves(p, "whatever they are", 100)

		p = newPeer(t, asClient)
		p.sendSettings(set(7, FlagPersisted, 200))
		leaves(p, "for a client it is a value like any other", 200)
	})
	storyBoth(t, "T12,W10/window lowered below zero", func(t *testing.T, r role) {
		p := newPeer(t, r)
		st := p.open("ours", 0)
		p.wantSynStream("ours", st.id)
		p.sendWindowUpdate(0, 1<<20)
		write := p.startWrite(st, testBytes(100000), 0)
		p.wantData("all the window allows", st.id, 65536)
		p.sendSetting(SettingInitialWindowSize, 16384)
		p.sendWindowUpdate(st.id, 49152)
		p.wantIdle("the window is 0")
		p.sendWindowUpdate(st.id, 1000)
		p.wantData("now it is not", st.id, 1000)
		p.sendSetting(SettingInitialWindowSize, 16384+10000)
		p.wantData("raised", st.id, 10000)
		p.sendSetting(SettingInitialWindowSize, 0)
		p.sendWindowUpdate(st.id, 26384)
		write.pending("T19/the window is 0 again")
		p.wantIdle("the window is 0 again")
		p.sendSetting(SettingInitialWindowSize, 50000)
		p.wantData("the rest", st.id, 100000-76536)
		write.wrote("the rest", 100000)
	})
	story(t, "T12/streams not yet on the wire", func(t *testing.T) {
		p := newPeer(t, asClient)
		release := p.holdSender()
		st := p.open("ours", 0)
		write := p.startWrite(st, testBytes(100), 0)
		p.sendSetting(SettingInitialWindowSize, 30)
		p.wantUnread("SETTINGS are read")
		release()
		p.wantSynStream("ours", 1)
		p.wantData("the new window", 1, 30)
		write.pending("the new window")
		st.reset(RstCancel, "", nil)
	})
	story(t, "T13/beyond 2^31-1", func(t *testing.T) {
		for _, n := range []uint32{1 << 31, 0xffffffff} {
			p := newPeer(t, asServer)
			p.sendSetting(SettingInitialWindowSize, n)
			p.wantSessionError("there is no such window", 0, GoAwayProtocolError)
		}
		p := newPeer(t, asServer)
		p.sendSetting(SettingInitialWindowSize, maxWindow)
		p.wantUsable("2^31-1 there is", 1)
	})
	storyBoth(t, "T14/a shift beyond 2^31-1", func(t *testing.T, r role) {
		p := newPeer(t, r)
		a, b, c := p.open("a", 0), p.open("b", 0), p.open("c", FlagFin)
		for _, st := range p.opened {
			p.wantSynStream("ours", st.id)
		}
		p.sendWindowUpdate(a.id, 1000)
		p.sendSetting(SettingInitialWindowSize, maxWindow-999)
		p.wantRst("its window would be 2^31", a.id, RstFlowControlError)
		p.endsReset("a", a, RstFlowControlError, false)
		p.isOpen("its window fits", b)
		p.isOpen("it needs none", c)
		p.wantUsable("afterwards", p.peerID())
	})
	story(t, "T15/the session window is not touched", func(t *testing.T) {
		p := newPeer(t, asClient)
		st := p.open("ours", 0)
		p.wantSynStream("ours", 1)
		write := p.startWrite(st, testBytes(70000), 0)
		p.wantData("both windows", 1, 65536)
		p.sendSetting(SettingInitialWindowSize, 1<<20)
		p.wantIdle("the session window is used up")
		p.sendSetting(SettingInitialWindowSize, 0)
		p.sendWindowUpdate(0, 10)
		p.sendWindowUpdate(1, 65536+10)
		p.wantData("a window update is what it takes", 1, 10)
		write.pending("no more than that")
		st.reset(RstCancel, "", nil)
	})
	story(t, "T19/no window for new streams", func(t *testing.T) {
		p := newPeer(t, asClient)
		p.sendSetting(SettingInitialWindowSize, 0)
		p.wantIdle("SETTINGS are not answered")
		st := p.open("ours", 0)
		p.wantSynStream("ours", 1)
		write := p.startWrite(st, []byte("x"), 0)
		write.pending("no window")
		p.wantIdle("no window")
		p.sendWindowUpdate(1, 1)
		p.wantData("one byte of it", 1, 1)
		write.wrote("one byte of it", 1)
		p.startWrite(st, nil, FlagFin).ok("FIN needs none")
		p.wantData("FIN needs none", 1, 0, FlagFin)
	})
}

// wantUnread wants the session to have read what the peer has sent, whatever the
// sender is waiting for.
func (p *testPeer) wantUnread(why string) {
	p.t.Helper()
	p.advance(0)
	require.Zero(p.t, p.ours.Unread(), why)
}

func TestPing(t *testing.T) {
	storyBoth(t, "P1/theirs", func(t *testing.T, r role) {
		p := newPeer(t, r)
		for _, id := range []uint32{0, 8, 0x7ffffffe, 0xfffffffc} {
			id += p.peerID()
			p.sendPing(id)
			p.wantPing("the same frame comes back", id)
		}
		for i := range uint32(100) {
			p.sendPing(2*i + p.peerID())
		}
		for i := range uint32(100) {
			p.wantPing("any number at once, in order", 2*i+p.peerID())
		}
		p.wantIdle("each once")
	})
	story(t, "P1/ahead of everything else", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.sendWindowUpdate(0, 1<<20)
		p.sendSetting(SettingInitialWindowSize, 1<<20)
		p.sendSynStream(1, 0)
		st := p.wantAccept("theirs", 1)
		release := p.holdSender()
		p.reply(st, 0)
		write := p.startWrite(st, testBytes(1<<20), 0)
		write.pending("nobody reads")
		p.sendPing(77)
		p.wantUnread("the receiver does not wait for the sender")
		release()
		p.wantPing("before the reply and a megabyte", 77)
		p.wantSynReply("then the rest", 1)
		p.wantData("then the rest", 1, 1<<20)
		write.wrote("then the rest", 1<<20)
	})
	storyBoth(t, "P2/ours, unsolicited", func(t *testing.T, r role) {
		p := newPeer(t, r)
		ping := p.startPing(t.Context())
		p.wantPing("ours", p.firstID())
		p.sendPing(p.firstID() + 2)
		p.sendPing(p.firstID() + 100)
		ping.pending("not this one")
		p.sendPing(p.firstID())
		ping.ok("this one")
		p.sendPing(p.firstID())
		p.wantUsable("none of these is answered", p.peerID())
	})
	storyBoth(t, "P3/ours, any number", func(t *testing.T, r role) {
		p := newPeer(t, r)
		var pings []*call
		for i := range uint32(50) {
			pings = append(pings, p.startPing(t.Context()))
			p.wantPing("ids rise", p.firstID()+2*i)
		}
		p.advance(time.Second)
		for i := len(pings) - 1; i >= 0; i-- {
			pings[i].pending("its echo has not come")
			p.sendPing(p.firstID() + 2*uint32(i))
			pings[i].ok("in any order")
			require.Equal(t, time.Second, time.Duration(pings[i].n), "the round trip")
		}
		require.Empty(t, p.s.pings, "nothing is remembered")
	})
	storyBoth(t, "P3/ids wrap", func(t *testing.T, r role) {
		p := newPeer(t, r)
		p.s.nextPing = 0xfffffffc + p.firstID()
		for _, id := range []uint32{0xfffffffc + p.firstID(), 0xfffffffe + p.firstID(), p.firstID()} {
			if id == 0 { // never sent
				id = 2
			}
			ping := p.startPing(t.Context())
			p.wantPing("parity is kept", id)
			p.sendPing(id)
			ping.ok("parity is kept")
			if r == asServer && id == 2 {
				break
			}
		}
	})
	story(t, "P4/id 0", func(t *testing.T) {
		for _, r := range bothRoles {
			p := newPeer(t, r)
			p.sendPing(0)
			p.wantUsable("ignored", p.peerID())
		}
	})
	story(t, "a context ends the wait", func(t *testing.T) {
		p := newPeer(t, asClient)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errTest)
		defer cancel()
		ping := p.startPing(ctx)
		p.wantPing("ours", 1)
		p.advance(time.Second)
		ping.fails("its time is up", errTest)
		require.Empty(t, p.s.pings, "nothing is remembered")
		p.sendPing(1)
		p.wantIdle("a late echo is nobody's")
	})
	story(t, "Ping", func(t *testing.T) {
		p := newPeer(t, asClient, peerOpts{conn: []testconn.Option{testconn.Latency(300 * time.Millisecond)}})
		pinged := func(d time.Duration) *call {
			return p.async("Ping", func(c *call) {
				if p.s.Ping(d) {
					c.n = 1
				}
			})
		}
		ping := pinged(time.Second)
		p.wantPing("ours", 1)
		p.sendPing(1)
		p.advance(300 * time.Millisecond)
		require.Equal(t, 1, ping.wait("600 ms").n)
		ping = pinged(500 * time.Millisecond)
		p.wantPing("ours", 3)
		p.sendPing(3)
		p.advance(300 * time.Millisecond)
		require.Zero(t, ping.wait("600 ms are too long").n)
	})
	story(t, "the session ends", func(t *testing.T) {
		p := newPeer(t, asClient)
		ping := p.startPing(t.Context())
		p.wantPing("ours", 1)
		p.conn.Close()
		ping.fails("no echo will come", ErrSessionClosed)
		p.startPing(t.Context()).fails("nor will this one leave", ErrSessionClosed)
		require.False(t, p.s.Ping(time.Hour))
	})
	story(t, "P1/beside a stream that nobody reads", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.sendSynStream(1, 0)
		st := p.wantAccept("theirs", 1)
		p.sendBulk(1, defaultWindow, 0)
		p.wantAlive("an unread stream is in nobody's way")
		require.EqualValues(t, defaultWindow, st.in.buffered())
		p.startRead(st, defaultWindow/4).ok("somebody reads after all")
		p.wantWindowUpdate("the stream's", 1, defaultWindow/4)
		p.wantWindowUpdate("the session's", 0, defaultWindow/4)
	})
}

// TestUnknownGoAwayStatus is about what the status of a GOAWAY means: nothing to
// the streams, and to whoever asks why the session ended, a name (SPEC G8).
func TestUnknownGoAwayStatus(t *testing.T) {
	for status, name := range map[GoAwayStatus]string{
		0: "OK", 1: "PROTOCOL_ERROR", 2: "INTERNAL_ERROR", 11: "INTERNAL_ERROR", 3: "GOAWAY status 3",
	} {
		story(t, fmt.Sprintf("G8/status %d", uint32(status)), func(t *testing.T) {
			p := newPeer(t, asClient)
			st := p.open("ours", 0)
			p.wantSynStream("ours", 1)
			p.sendGoAway(1, status)
			p.isOpen("it is informational", st)
			p.conn.Close()
			err := p.served.wait("the peer has left").err
			var e *SessionError
			if status == 0 {
				require.NotErrorAs(t, err, &e)
				return
			}
			require.ErrorAs(t, err, &e)
			require.True(t, e.Remote)
			require.Equal(t, status, e.Status)
			require.Contains(t, err.Error(), name)
			require.ErrorIs(t, st.endReason(), err)
		})
	}
}
