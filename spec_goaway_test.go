package spdy

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSpecGoAway(t *testing.T) {
	ruleBoth(t, "G1", everyVersion, "Close", func(p *testPeer) {
		p.theirs("a stream", p.peerID(), 0)
		c := p.async("Close", func(*call) { p.s.Close() })
		p.wantGoAway("first", p.peerID(), GoAwayOK)
		p.wantOrderlyEnd("then the end")
		c.wait("it has returned")
	})
	ruleBoth(t, "G1", everyVersion, "Shutdown", func(p *testPeer) {
		c := p.async("Shutdown", func(c *call) { c.err = p.s.Shutdown(p.t.Context()) })
		p.wantGoAway("first", 0, GoAwayOK)
		p.wantOrderlyEnd("then the end")
		c.ok("it has returned")
	})
	ruleBoth(t, "G2,G10", everyVersion, "session error", func(p *testPeer) {
		st := p.theirs("a stream", p.peerID(), 0)
		p.conn.SetHold(true) // everything arrives at once
		p.sendSynStream(p.firstID(), 0)
		p.sendPing(p.peerID())
		p.sendSynStream(p.peerID()+2, 0)
		p.sendBulk(p.peerID()+80, 1000, 0)
		p.conn.SetHold(false)
		p.wantSessionError("the first breach counts, and nothing after it", p.peerID(), GoAwayProtocolError)
		var e *SessionError
		require.ErrorAs(p.t, st.endReason(), &e)
	})
	ruleBoth(t, "G3", everyVersion, "highest accepted", func(p *testPeer) {
		p.wantUsable("the first", p.peerID())
		p.wantUsable("the second", p.peerID()+2)
		p.ours1("one of ours does not count", 0)
		p.sendSynStream(p.peerID()+4, 0, HeaderField{"", "malformed"})
		p.wantRst("nor one that was refused", p.peerID()+4, RstProtocolError)
		p.s.goAway()
		p.wantGoAway("the second", p.peerID()+2, GoAwayOK)
	})
	ruleBoth(t, "G3", everyVersion, "none", func(p *testPeer) {
		p.ours1("ours", 0)
		p.s.goAway()
		p.wantGoAway("they have opened none", 0, GoAwayOK)
	})
	ruleBoth(t, "G4", everyVersion, "sender", func(p *testPeer) {
		st := p.repliedTo("open before", 0)
		p.sendSetting(SettingMaxConcurrentStreams, 1)
		p.wantAlive("the limit is known")
		waiting := p.startOpen(p.t.Context(), "waiting", 0)
		waiting.pending("no room")
		p.s.goAway()
		p.wantGoAway("we take no more", 0, GoAwayOK)
		for _, c := range []*call{waiting, p.startOpen(p.t.Context(), "later", 0)} {
			c.fails("and open no more", errGoingAway)
			var e *StreamError
			require.ErrorAs(p.t, c.err, &e)
			require.True(p.t, e.Retryable())
		}
		p.sendSynStream(p.peerID(), 0)
		p.wantNothing("they are ignored")
		p.isOpen("what is open goes on", st)
	})
	ruleBoth(t, "G5", everyVersion, "above and below", func(p *testPeer) {
		var ours []*Stream
		for range 3 {
			ours = append(ours, p.ours1("one of three", 0))
		}
		theirs := p.theirs("one of theirs, of a higher id", p.peerID()+100, 0)
		p.sendGoAway(ours[1].id, GoAwayOK)
		p.hasEnded("above the last good id", ours[2])
		var e *StreamError
		require.ErrorAs(p.t, ours[2].endReason(), &e)
		require.True(p.t, e.Retryable())
		require.ErrorIs(p.t, e, errGoingAway)
		p.wantIdle("there is nothing to say to that")
		for _, st := range ours[:2] {
			p.isOpen("not above it", st)
			p.sendSynReply(st.id, FlagFin)
			p.startWrite(st, nil, FlagFin).ok("to the end")
			p.wantData("to the end", st.id, 0, FlagFin)
		}
		p.isOpen("theirs are not concerned", theirs)
		p.reply(theirs, FlagFin)
		p.wantSynReply("to the end", theirs.id)
		p.sendData(theirs.id, "", FlagFin)
		p.wantGoAway("nothing is left", theirs.id, GoAwayOK)
		p.wantOrderlyEnd("nothing is left")
	})
	ruleClient(t, "G5", everyVersion, "request", func(p *testPeer) {
		g := p.startGet("/")
		p.wantSynStream("a request", 1)
		p.sendGoAway(0, GoAwayOK)
		var e *StreamError
		require.ErrorAs(p.t, g.wait("it was not looked at").err, &e)
		require.True(p.t, e.Retryable())
		p.wantGoAway("nothing is left", 0, GoAwayOK)
		p.wantOrderlyEnd("nothing is left")
	}, peerOpts{app: newHTTPClientApp(nil)})
	ruleBoth(t, "G6", everyVersion, "graceful", func(p *testPeer) {
		st := p.theirs("a stream", p.peerID(), 0)
		c := p.async("Shutdown", func(c *call) { c.err = p.s.Shutdown(p.t.Context()) })
		p.wantGoAway("no more", st.id, GoAwayOK)
		p.advance(time.Hour)
		c.pending("a stream is open")
		p.sendData(st.id, "still", FlagFin)
		p.wantRead("it goes on", st, "still")
		p.reply(st, 0)
		p.wantSynReply("it goes on", st.id)
		p.startWrite(st, []byte("here"), FlagFin).wrote("to the end", 4)
		p.wantData("to the end", st.id, 4, FlagFin)
		p.wantOrderlyEnd("that was the last")
		c.ok("that was the last")
	})
	ruleBoth(t, "G6", everyVersion, "impatient", func(p *testPeer) {
		st := p.theirs("a stream", p.peerID(), 0)
		ctx, cancel := context.WithTimeout(p.t.Context(), time.Minute)
		defer cancel()
		c := p.async("Shutdown", func(c *call) { c.err = p.s.Shutdown(ctx) })
		p.wantGoAway("no more", st.id, GoAwayOK)
		p.advance(2 * time.Minute)
		p.wantOrderlyEnd("that was too long")
		c.fails("that was too long", context.DeadlineExceeded)
		p.endsWith("the stream is lost", st, ErrSessionClosed)
	})
	testGoAwayTwice(t)
}

func testGoAwayTwice(t *testing.T) {
	ruleBoth(t, "G7", everyVersion, "received", func(p *testPeer) {
		a, b, c := p.ours1("a", 0), p.ours1("b", 0), p.ours1("c", 0)
		p.sendGoAway(b.id, GoAwayOK)
		p.hasEnded("above the first", c)
		p.isOpen("below it", b)
		p.sendGoAway(a.id, GoAwayOK)
		p.hasEnded("above the second", b)
		p.sendGoAway(maxStreamID, GoAwayOK)
		p.isOpen("below both", a)
		p.wantNothing("all the same")
	})
	ruleBoth(t, "G7", everyVersion, "sent", func(p *testPeer) {
		st := p.theirs("a stream", p.peerID(), 0)
		p.s.goAway()
		p.s.goAway()
		p.wantGoAway("graceful", st.id, GoAwayOK)
		p.wantIdle("once")
		p.sendSynStream(p.firstID(), 0)
		p.wantSessionError("and final", st.id, GoAwayProtocolError)
	})
	ruleBoth(t, "G7", everyVersion, "Close after Shutdown", func(p *testPeer) {
		st := p.theirs("a stream", p.peerID(), 0)
		p.s.goAway()
		p.wantGoAway("graceful", st.id, GoAwayOK)
		p.s.shutdown(ErrSessionClosed)
		p.wantOrderlyEnd("there is no more to say")
	})
	for status, text := range map[GoAwayStatus]string{11: "INTERNAL_ERROR", 2: "INTERNAL_ERROR", 77: "GOAWAY status 77"} {
		ruleBoth(t, "G8", version3, text, func(p *testPeer) {
			st := p.ours1("a stream", 0)
			p.sendGoAway(st.id, status)
			p.wantAlive("it is a GOAWAY like any other")
			p.isOpen("it is a GOAWAY like any other", st)
			p.conn.CloseWrite()
			var e *SessionError
			require.ErrorAs(p.t, p.wantClosed("the peer has gone"), &e)
			require.True(p.t, e.Remote)
			require.Contains(p.t, e.Error(), text, "and this is why")
		})
	}
	ruleBoth(t, "G9", onlySPDY31, "other frames", func(p *testPeer) {
		st := p.repliedTo("a stream", 0)
		w := p.startWrite(st, testBytes(100<<10), 0)
		w.pending("there is no window")
		p.wantData("64 KiB go", st.id, defaultWindow)
		p.s.goAway()
		p.wantGoAway("ours", 0, GoAwayOK)
		p.sendGoAway(st.id, GoAwayOK)
		p.wantAlive("PING")
		p.sendSetting(SettingInitialWindowSize, 80<<10)
		p.sendWindowUpdate(0, 36<<10)
		p.wantData("SETTINGS and WINDOW_UPDATE", st.id, 16<<10)
		p.sendWindowUpdate(st.id, 20<<10)
		w.wrote("all of it", 100<<10)
		p.wantData("all of it", st.id, 20<<10)
		ping := p.startPing(p.t.Context())
		p.wantPing("ours too", p.firstID())
		p.sendPing(p.firstID())
		ping.ok("ours too")
	})
	ruleBoth(t, "G6", everyVersion, "waiting handlers count", func(p *testPeer) {
		p.app.hold = true
		st := p.theirs("a stream", p.peerID(), FlagFin)
		p.reply(st, FlagFin)
		p.wantSynReply("it is answered", st.id)
		p.s.goAway()
		p.wantGoAway("no more", st.id, GoAwayOK)
		p.wantNothing("the application is at work")
		st.release()
		p.wantOrderlyEnd("now it is done")
	})
}
