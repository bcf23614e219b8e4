package spdy

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// A server says nothing about windows to a client that may hang up as soon as it has sent all,
// and whose system would then throw away the rest: see withheld.go.

const (
	keptWindow  = 128 << 10 // of a stream
	keptSession = 256 << 10 // of the session
)

func newWithholding(t *testing.T, version ...Version) (p *testPeer, st *RawStream) {
	p = newUnaware(t, asServer, Config{StreamWindow: keptWindow, SessionWindow: keptSession}, version...)
	return p, p.greet("opened")
}

// upload has the peer send DATA that is read at once, when all of it has come.
func (p *testPeer) upload(st *RawStream, n int) {
	p.t.Helper()
	text := p.sendBulk(st.ID(), n, 0)
	synctest.Wait()
	p.wantRawRead("what has come", st, text)
}

func TestWithheldCredit(t *testing.T) {
	for _, v := range []Version{SPDY3, SPDY31} {
		story(t, v.String()+", a peer that seems to wait gets what was kept back", func(t *testing.T) {
			p, st := newWithholding(t, v)
			p.upload(st, keptWindow/2)
			p.wantIdle("it can send as much again")
			p.advance(creditSilence - 1)
			p.wantIdle("and may do so yet")
			p.advance(1)
			p.wantWindowUpdate("it does not", st.ID(), keptWindow/2)
			p.advance(10 * creditSilence)
			p.wantIdle("the session has more than half of its window")
			require.Equal(t, FlowControlPeerUnaware, p.s.FlowControl())
		})
		story(t, v.String()+", one that goes on is not interrupted", func(t *testing.T) {
			p, st := newWithholding(t, v)
			p.upload(st, keptWindow/2)
			for range 60 {
				p.advance(creditSilence - 1)
				p.upload(st, 1000)
				p.wantIdle("more comes")
			}
			p.advance(2 * creditSilence)
			require.Equal(t, st.ID(), wantFrame[*WindowUpdateFrame](p, "and then no more").StreamID)
		})
		story(t, v.String()+", one that overruns its window gets none", func(t *testing.T) {
			p, st := newWithholding(t, v)
			p.upload(st, keptWindow/2)
			p.upload(st, keptWindow/2+1)
			p.advance(10 * creditSilence)
			p.wantIdle("it does no flow control")
			p.sendSetting(SettingInitialWindowSize, defaultWindow)
			p.wantWindowUpdate("or so it seemed", st.ID(), keptWindow+1)
			if v == SPDY31 {
				p.wantWindowUpdate("and the session", 0, keptWindow+1)
			}
			p.upload(st, keptWindow/4)
			p.wantWindowUpdate("from now on without delay", st.ID(), keptWindow/4)
		})
	}
}

func TestWithheldSession(t *testing.T) {
	open := func(t *testing.T) (p *testPeer, sts []*RawStream) {
		p, st := newWithholding(t)
		sts = append(sts, st)
		for id := uint32(3); id < 11; id += 2 {
			p.sendSynStream(id, 0)
			sts = append(sts, p.acceptRaw("one more", id))
		}
		return p, sts
	}
	story(t, "many small uploads use up the session's window", func(t *testing.T) {
		p, sts := open(t)
		for _, st := range sts[:4] {
			p.upload(st, keptSession/4-1)
		}
		p.advance(creditSilence)
		p.wantWindowUpdate("the session has four bytes left", 0, keptSession-4)
		p.wantIdle("and the streams have enough")
	})
	story(t, "it waits while anything comes", func(t *testing.T) {
		p, sts := open(t)
		for _, st := range sts[:4] {
			p.upload(st, keptSession/4-3)
		}
		for range 6 {
			p.advance(creditSilence / 2)
			p.upload(sts[4], 1)
			p.wantIdle("there is more to come")
		}
		p.advance(2 * creditSilence)
		p.wantWindowUpdate("and then no more", 0, keptSession-12)
	})
	story(t, "the last stream may overrun it", func(t *testing.T) {
		p, sts := open(t)
		for _, st := range sts[:4] {
			p.upload(st, keptSession/4-1)
		}
		p.upload(sts[4], 5)
		p.advance(10 * creditSilence)
		p.wantIdle("its peer does no flow control")
	})
	story(t, "a stream may stop while others go on", func(t *testing.T) {
		p, sts := open(t)
		p.upload(sts[0], keptWindow)
		p.advance(creditSilence / 2)
		p.upload(sts[1], 1000)
		p.advance(creditSilence / 2)
		p.wantWindowUpdate("nothing comes of this one", 1, keptWindow)
	})
	story(t, "nothing is granted to a stream that is at its end", func(t *testing.T) {
		p, sts := open(t)
		p.upload(sts[0], keptWindow/2)
		p.sendData(1, "end", FlagFin)
		p.advance(10 * creditSilence)
		p.wantIdle("it takes none")
	})
}

func TestWithheldUntilObeyed(t *testing.T) {
	story(t, "a peer that stops with nothing left looks at windows", func(t *testing.T) {
		p, st := newWithholding(t)
		for range exactStops {
			p.upload(st, keptWindow)
			p.advance(creditSilence)
			p.wantWindowUpdate("the stream", st.ID(), keptWindow)
			p.wantWindowUpdate("the session, half of whose window is gone", 0, keptWindow)
		}
		for range 20 {
			p.upload(st, keptWindow/2)
			p.wantWindowUpdate("without delay", st.ID(), keptWindow/2)
			p.wantWindowUpdate("the session too", 0, keptWindow/2)
		}
		require.Equal(t, FlowControlPeerUnaware, p.s.FlowControl(), "it has granted none itself")
	})
	story(t, "one that stops short of that waits each time", func(t *testing.T) {
		p, st := newWithholding(t)
		for range 3 * exactStops {
			p.upload(st, keptWindow-100)
			p.advance(creditSilence - 1)
			p.wantIdle("it may go on")
			p.advance(1)
			p.wantWindowUpdate("the stream", st.ID(), keptWindow-100)
			for p.conn.Unread() > 0 {
				require.Zero(t, wantFrame[*WindowUpdateFrame](p, "the session now and then").StreamID)
			}
		}
	})
	story(t, "an end of the session ends the wait", func(t *testing.T) {
		p, st := newWithholding(t)
		p.upload(st, keptWindow)
		p.async("Close", func(*call) { p.s.Close() })
		p.wantRst("no credit", st.ID(), RstInternalError)
		p.wantGoAway("but an end", 1, GoAwayOK)
		p.wantOrderlyEnd("of all")
		p.s.mu.Lock()
		defer p.s.mu.Unlock()
		require.Nil(t, p.s.unaware.kept.short)
	})
}
