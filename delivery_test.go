package spdy

import (
	"context"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/amahi/spdy/internal/testconn"
	"github.com/stretchr/testify/require"
)

// askingPeer is a peer that sees all PINGs, and has opened a stream with a request.
func askingPeer(t *testing.T, o ...peerOpts) (*testPeer, *Stream) {
	p := newPeer(t, asServer, o...)
	p.resetPings = true
	p.sendSynStream(1, FlagFin)
	return p, p.wantAccept("a request", 1)
}

// deliveringPeer is a peer that has had a whole answer and sees all PINGs; the session has
// begun a Shutdown with ctx.
func deliveringPeer(t *testing.T, ctx context.Context, o ...peerOpts) (p *testPeer, shutdown *call) {
	p, st := askingPeer(t, o...)
	p.reply(st, FlagFin)
	p.wantSynReply("its answer", 1)
	shutdown = p.startShutdown(ctx)
	p.wantGoAway("goodbye", 1, GoAwayOK)
	return p, shutdown
}

// TestShutdownDelivers shows that a graceful end waits until the peer has confirmed the last
// frame, and for how long.
func TestShutdownDelivers(t *testing.T) {
	story(t, "until the echo of a PING", func(t *testing.T) {
		p, shutdown := deliveringPeer(t, t.Context())
		p.wantPing("behind the last frame", 2)
		p.advance(deliveryGrace - 1)
		p.wantIdle("the connection is open")
		shutdown.pending("the peer may not have it")
		p.sendPing(2)
		p.wantOrderlyEnd("it has")
		shutdown.ok("it has")
	})
	story(t, "and lingers for a round trip more, for a peer that waits for an echo, too", func(t *testing.T) {
		p, shutdown := deliveringPeer(t, t.Context())
		p.wantPing("behind the last frame", 2)
		p.advance(4 * time.Second)
		p.sendPing(2)
		p.advance(linger + 4*time.Second - 1)
		shutdown.pending("the end may be on its way")
		p.advance(1)
		shutdown.ok("the peer has had the time")
	})
	story(t, "the peer hangs up instead", func(t *testing.T) {
		p, shutdown := deliveringPeer(t, t.Context())
		p.wantPing("behind the last frame", 2)
		p.conn.Close()
		shutdown.ok("it wants no more")
		p.served.ok("it wants no more")
	})
	story(t, "the connection breaks instead", func(t *testing.T) {
		p, shutdown := deliveringPeer(t, t.Context())
		p.conn.Reset()
		require.ErrorAs(t, shutdown.wait("nothing is known of the answer").err, new(*ConnError))
	})
	story(t, "the connection has broken before", func(t *testing.T) {
		for _, answered := range []bool{true, false} {
			p := newPeer(t, asServer)
			p.resetPings = true
			p.sendSynStream(1, FlagFin)
			st := p.wantAccept("a request", 1)
			if answered {
				p.reply(st, FlagFin)
				p.wantSynReply("its answer", 1)
			}
			p.conn.Reset()
			<-p.s.Done()
			shutdown := p.startShutdown(t.Context())
			require.ErrorAs(t, shutdown.wait("the answer has not arrived").err, new(*ConnError))
		}
		p := newPeer(t, asServer)
		p.conn.Reset()
		<-p.s.Done()
		p.startShutdown(t.Context()).ok("nothing has been sent")
	})
	for op, name := range map[testconn.Op]string{testconn.OpWrite: "writing", testconn.OpRead: "reading"} {
		story(t, name+" fails after the peer's goodbye", func(t *testing.T) {
			p := newPeer(t, asServer)
			p.resetPings = true
			p.sendSynStream(1, FlagFin)
			st := p.wantAccept("a request", 1)
			p.sendGoAway(0, GoAwayOK)
			shutdown := p.startShutdown(t.Context())
			p.wantGoAway("goodbye", 1, GoAwayOK)
			if op == testconn.OpWrite {
				p.conn.Peer().Fail(testconn.Fault{Op: op, Call: 2})
			}
			p.reply(st, FlagFin)
			p.wantSynReply("its answer", 1)
			if op == testconn.OpRead {
				p.wantPing("behind it", 2)
				p.conn.Peer().Fail(testconn.Fault{Op: op, Call: 1})
				p.sendWindowUpdate(0, 1)
			}
			p.advance(linger)
			shutdown.fails("the peer has not hung up, and may not have the answer", testconn.ErrInjected)
		})
	}
	story(t, "a peer that answers no PING, but hangs up when we do", func(t *testing.T) {
		p, shutdown := deliveringPeer(t, t.Context())
		p.wantPing("behind the last frame", 2)
		p.advance(deliveryGrace)
		_, err := p.f.ReadFrame()
		require.ErrorContains(t, err, "EOF", "our direction is closed")
		p.sendPing(1) // which cannot be answered
		shutdown.pending("it may still read")
		p.conn.Close()
		shutdown.ok("it has read the end")
	})
	story(t, "a peer that only receives", func(t *testing.T) {
		p, shutdown := deliveringPeer(t, t.Context(), peerOpts{conf: Config{DeliveryTimeout: 20 * time.Second}})
		for range 10 {
			p.advance(20*time.Second - 1)
			shutdown.pending("it sends something now and then")
			p.sendWindowUpdate(0, 1)
		}
		p.advance(20*time.Second - 1)
		shutdown.pending("not quite")
		p.advance(2 * time.Second) // as often does it look
		shutdown.fails("it has fallen silent", ErrDeliveryTimeout)
		var timeout net.Error
		require.ErrorAs(t, shutdown.err, &timeout)
		require.True(t, timeout.Timeout() && os.IsTimeout(ErrDeliveryTimeout))
		p.advance(linger)
	})
	story(t, "no longer than the caller's context", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		p, shutdown := deliveringPeer(t, ctx)
		p.advance(3*time.Second - 1)
		shutdown.pending("there is time")
		p.advance(hasteLimit + 1)
		shutdown.fails("there was", context.DeadlineExceeded)
	})
	story(t, "Close ends it", func(t *testing.T) {
		p, shutdown := deliveringPeer(t, t.Context())
		p.startClose()
		p.advance(haste)
		shutdown.ok("it was told to")
		require.ErrorIs(t, p.s.Err(), ErrSessionClosed)
	})
	story(t, "less than 0 does not wait", func(t *testing.T) {
		p, shutdown := deliveringPeer(t, t.Context(), peerOpts{conf: Config{DeliveryTimeout: -1}})
		p.wantOrderlyEnd("at once")
		shutdown.ok("at once")
	})
}

// TestDeliveryIsNeeded shows which ends need no receipt.
func TestDeliveryIsNeeded(t *testing.T) {
	story(t, "a PING since has been answered", func(t *testing.T) {
		p, st := askingPeer(t)
		p.reply(st, FlagFin)
		p.wantSynReply("its answer", 1)
		ping := p.startPing(t.Context())
		p.wantPing("ours", 2)
		p.sendPing(2)
		ping.ok("echoed")
		shutdown := p.startShutdown(t.Context())
		p.wantGoAway("goodbye", 1, GoAwayOK)
		p.wantOrderlyEnd("the peer has everything")
		shutdown.ok("the peer has everything")
	})
	story(t, "a request without a body has been answered", func(t *testing.T) {
		p := newPeer(t, asClient)
		p.resetPings = true
		st := p.open("a request", FlagFin)
		p.wantSynStream("a request", 1)
		p.sendSynReply(1, FlagFin)
		p.hasEnded("answered", st)
		shutdown := p.startShutdown(t.Context())
		p.wantGoAway("goodbye", 0, GoAwayOK)
		p.wantOrderlyEnd("the answer is the receipt")
		shutdown.ok("the answer is the receipt")
	})
	storyLate := func(name string, f func(t *testing.T, p *testPeer, shutdown *call)) {
		story(t, "the peer has been silent for long/"+name, func(t *testing.T) {
			p, st := askingPeer(t)
			p.reply(st, FlagFin)
			p.wantSynReply("its answer", 1)
			p.advance(defaultDeliveryTimeout)
			shutdown := p.startShutdown(t.Context())
			p.wantGoAway("goodbye", 1, GoAwayOK)
			p.wantPing("it may still live", 2)
			f(t, p, shutdown)
		})
	}
	storyLate("and is gone", func(t *testing.T, p *testPeer, shutdown *call) {
		p.advance(deliveryGrace - 1)
		shutdown.pending("it has a moment")
		p.advance(1 + linger)
		shutdown.fails("it does not confirm anything", ErrDeliveryTimeout)
		require.ErrorIs(t, undelivered([]*Session{p.s}), ErrDeliveryTimeout, "a server says so, too")
	})
	story(t, "the peer has paused for long, and has not taken the answer", func(t *testing.T) {
		p, st := askingPeer(t, peerOpts{conn: []testconn.Option{testconn.First(testconn.WriteCap(10))}})
		p.reply(st, FlagFin)
		p.advance(defaultDeliveryTimeout)
		shutdown := p.startShutdown(t.Context())
		p.advance(defaultDeliveryTimeout - time.Second)
		shutdown.pending("it has all the time again")
		p.wantSynReply("its answer", 1)
		p.wantGoAway("goodbye", 1, GoAwayOK)
		p.wantPing("behind the answer", 2)
		p.sendPing(2)
		p.advance(linger + maxTrip)
		shutdown.ok("it has everything")
	})
	story(t, "the peer has paused for ever", func(t *testing.T) {
		p, st := askingPeer(t, peerOpts{conn: []testconn.Option{testconn.First(testconn.WriteCap(10))}})
		p.reply(st, FlagFin)
		p.advance(defaultDeliveryTimeout)
		shutdown := p.startShutdown(t.Context())
		p.advance(defaultDeliveryTimeout - 1)
		shutdown.pending("it has all the time again")
		p.advance(1 + linger)
		shutdown.fails("it does not confirm anything", ErrDeliveryTimeout)
	})
	storyLate("and answers", func(t *testing.T, p *testPeer, shutdown *call) {
		p.sendPing(2)
		p.wantOrderlyEnd("it has everything")
		shutdown.ok("it has everything")
	})
	storyLate("and receives", func(t *testing.T, p *testPeer, shutdown *call) {
		p.advance(deliveryGrace - 1)
		p.sendWindowUpdate(0, 1)
		p.advance(defaultDeliveryTimeout - 1)
		shutdown.pending("now it has all the time")
		p.sendPing(2)
		p.advance(linger + maxTrip)
		shutdown.ok("it has everything")
	})
	story(t, "the peer has received for long", func(t *testing.T) {
		p, st := askingPeer(t)
		p.reply(st, FlagFin)
		p.wantSynReply("its answer", 1)
		p.advance(defaultDeliveryTimeout)
		p.sendWindowUpdate(0, 1)
		synctest.Wait()
		shutdown := p.startShutdown(t.Context())
		p.wantGoAway("goodbye", 1, GoAwayOK)
		p.wantPing("behind the answer", 2)
		p.advance(defaultDeliveryTimeout - 1)
		shutdown.pending("it was not silent")
	})
	story(t, "more of them than a process may have", func(t *testing.T) {
		unattended.Add(maxUnattended)
		defer unattended.Add(-maxUnattended)
		p, st := askingPeer(t)
		p.s.SendGoaway(0, nil)
		p.wantGoAway("goodbye", 1, GoAwayOK)
		p.reply(st, FlagFin)
		p.wantSynReply("its answer", 1)
		p.wantOrderlyEnd("at once")
		require.EqualValues(t, maxUnattended, unattended.Load())
	})
}

// TestShutdownsDisagree shows what a Shutdown returns whose session another one has cut short,
// and one whose session has failed before.
func TestShutdownsDisagree(t *testing.T) {
	story(t, "", func(t *testing.T) {
		p, patient := deliveringPeer(t, t.Context())
		p.wantPing("behind the answer", 2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		hasty := p.startShutdown(ctx)
		p.advance(time.Second + hasteLimit)
		hasty.fails("it is out of time", context.DeadlineExceeded)
		patient.fails("the answer may be lost", ErrSessionClosed)

		p, shutdown := deliveringPeer(t, t.Context())
		p.conn.Reset()
		require.ErrorAs(t, shutdown.wait("it is lost").err, new(*ConnError))
		require.ErrorAs(t, p.startShutdown(t.Context()).wait("as before").err, new(*ConnError))
	})
	story(t, "the connection breaks when both sides go", func(t *testing.T) {
		p, shutdown := deliveringPeer(t, t.Context())
		p.sendGoAway(0, GoAwayOK)
		p.conn.Reset()
		require.ErrorAs(t, shutdown.wait("nothing is known of the answer").err, new(*ConnError))
	})
}

// TestResetsAreDelivered shows which streams that we reset ask for a receipt.
func TestResetsAreDelivered(t *testing.T) {
	story(t, "a part of an answer", func(t *testing.T) {
		p, st := askingPeer(t)
		p.reply(st, 0)
		p.wantSynReply("its answer", 1)
		st.reset(RstInternalError, "a panic", nil)
		p.wantRst("its end", 1, RstInternalError)
		shutdown := p.startShutdown(t.Context())
		p.wantGoAway("goodbye", 1, GoAwayOK)
		p.wantPing("behind it", 2)
		p.sendPing(2)
		p.wantOrderlyEnd("it has everything")
		shutdown.ok("it has everything")
	})
	story(t, "a stream that is opened with FIN", func(t *testing.T) {
		p := newPeer(t, asClient, peerOpts{app: newAcceptQueue(&Config{})})
		p.resetPings = true
		r := p.openRaw("an event", StreamOptions{Fin: true})
		require.NoError(t, r.Reset(RstCancel))
		p.wantRst("an event", 1, RstCancel)
		shutdown := p.startShutdown(t.Context())
		p.wantGoAway("goodbye", 0, GoAwayOK)
		p.wantPing("behind it", 1)
		p.sendPing(1)
		p.wantOrderlyEnd("it has everything")
		shutdown.ok("it has everything")
	})
}

// TestDeliveriesAreCounted shows that a delivery which no Shutdown waits for is counted while
// it lasts, and others are not.
func TestDeliveriesAreCounted(t *testing.T) {
	story(t, "", func(t *testing.T) {
		before := unattended.Load()
		p, st := askingPeer(t)
		p.s.SendGoaway(0, nil)
		p.wantGoAway("goodbye", 1, GoAwayOK)
		p.reply(st, FlagFin)
		p.wantSynReply("its answer", 1)
		p.wantPing("behind it", 2)
		require.Equal(t, before+1, unattended.Load())
		p.sendPing(2)
		p.wantOrderlyEnd("delivered")
		require.Equal(t, before, unattended.Load())

		p, shutdown := deliveringPeer(t, t.Context())
		p.wantPing("behind it", 2)
		require.Equal(t, before, unattended.Load())
		p.sendPing(2)
		p.wantOrderlyEnd("delivered")
		shutdown.ok("delivered")
		require.Equal(t, before, unattended.Load())
	})
}

// TestAbandonedDeliveryIsCounted shows that a delivery counts as soon as no Shutdown waits for
// it any more.
func TestAbandonedDeliveryIsCounted(t *testing.T) {
	story(t, "", func(t *testing.T) {
		before := unattended.Load()
		p, st := askingPeer(t)
		p.s.wait(1)
		p.s.goAway()
		p.wantGoAway("goodbye", 1, GoAwayOK)
		p.reply(st, FlagFin)
		p.wantSynReply("its answer", 1)
		p.wantPing("behind it", 2)
		require.Equal(t, before, unattended.Load())
		p.s.wait(-1)
		require.Equal(t, before+1, unattended.Load())
		p.sendPing(2)
		p.wantOrderlyEnd("delivered")
		require.Equal(t, before, unattended.Load())
	})
}

// TestDeliveryBeforeFirstFrame shows that a delivery which may send no PING yet sends it when
// the peer has spoken.
func TestDeliveryBeforeFirstFrame(t *testing.T) {
	story(t, "", func(t *testing.T) {
		p := newUnaware(t, asClient, Config{})
		p.resetPings = true
		p.openRaw("an event", StreamOptions{Fin: true, Unidirectional: true})
		shutdown := p.startShutdown(t.Context())
		synctest.Wait()
		shutdown.pending("the peer has said nothing")
		p.sendPing(2)
		p.wantPing("behind the event", 1)
		p.wantPing("the echo", 2)
		p.sendPing(1)
		p.wantGoAway("goodbye", 0, GoAwayOK)
		p.advance(linger)
		shutdown.ok("delivered")
	})
}

// TestDeliveryOverSlowConnection shows that bytes which the connection takes are progress.
func TestDeliveryOverSlowConnection(t *testing.T) {
	story(t, "", func(t *testing.T) {
		const size, room = 100_000, 10_000
		p := newPeer(t, asServer, peerOpts{
			conf: Config{DeliveryTimeout: 10 * time.Second}, conn: []testconn.Option{testconn.First(testconn.WriteCap(room))},
		})
		p.resetPings = true
		p.sendWindowUpdate(0, size)
		p.sendSynStream(1, FlagFin)
		st := p.wantAccept("a request", 1)
		p.sendWindowUpdate(1, size)
		shutdown := p.startShutdown(t.Context())
		p.wantGoAway("goodbye", 1, GoAwayOK)
		p.reply(st, 0)
		writing := p.startWrite(st, make([]byte, size), FlagFin)
		p.wantSynReply("its answer", 1)
		got := 0
		for got < size {
			p.advance(9 * time.Second)
			shutdown.pending("the peer reads")
			for p.conn.Unread() > 0 && got < size {
				frame, err := p.f.ReadFrame()
				require.NoError(t, err)
				got += len(frame.(*DataFrame).Data)
				synctest.Wait()
			}
		}
		writing.ok("all of it")
		p.wantPing("behind it", 2)
		p.sendPing(2)
		p.wantOrderlyEnd("delivered")
		shutdown.ok("delivered")
	})
}
