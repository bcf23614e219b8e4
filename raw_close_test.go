package spdy

import (
	"context"
	"net"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// stall has the peer take nothing more until flow is called. A PING is on its way.
func (p *testPeer) stall() {
	p.ours.SetWriteCap(1)
	p.startPing(context.Background())
	synctest.Wait()
}

// flow ends stall.
func (p *testPeer) flow() {
	p.t.Helper()
	p.ours.SetWriteCap(0)
	wantFrame[*PingFrame](p, "the PING that was in the way")
}

// lend is rawWrite of bytes that the sender does not take yet.
func (p *testPeer) lend(r *RawStream, data []byte) *call {
	write := p.rawWrite(r, data)
	synctest.Wait()
	return write
}

// keptLoans is what a session keeps of loans whose writers have gone.
func keptLoans(s *Session) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.sched.keptLoans)
}

// TestCloseKeepsLoan: a Write that Close interrupts before the sender has taken it returns at once, and
// what the windows allow is sent all the same.
func TestCloseKeepsLoan(t *testing.T) {
	storyBoth(t, "all of it, and FIN", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		st := p.openRaw("opened")
		p.stall()
		write := p.lend(st, testBytes(1000))
		next := p.lend(st, []byte("another one"))
		end := p.async("CloseWrite", func(c *call) { c.err = st.CloseWrite() })
		write.pending("the network takes nothing")
		require.NoError(t, st.Close())
		write.wrote("let go", 1000)
		next.fails("not begun", net.ErrClosed)
		end.fails("Close has done that", net.ErrClosed)
		require.Equal(t, 1000, keptLoans(p.s))
		p.flow()
		p.wantData("what was written, and the end", st.ID(), 1000, FlagFin)
		p.wantRst("nothing more is wanted", st.ID(), RstCancel)
		p.wantIdle("that was all")
		wantGone(t, st)
		require.Zero(t, keptLoans(p.s))
	})
	storyBoth(t, "behind SYN_STREAM, before the last HEADERS", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		p.stall()
		st := p.startOpenRaw("queued")
		write := p.lend(st, testBytes(1000))
		require.NoError(t, st.SendHeaders(HeaderBlock{{"the", "end"}}, true))
		require.NoError(t, st.Close())
		write.wrote("let go", 1000)
		p.flow()
		p.wantSynStream("first", st.ID())
		p.wantData("what was written", st.ID(), 1000)
		require.Equal(t, FlagFin, p.wantHeaders("the end", st.ID()).Flags)
		p.wantRst("nothing more is wanted", st.ID(), RstCancel)
		p.wantIdle("that was all")
		require.Zero(t, keptLoans(p.s))
	})
	storyBoth(t, "a part, and no FIN", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		st := p.openRaw("opened")
		p.stall()
		write := p.lend(st, testBytes(100<<10))
		require.NoError(t, st.SendHeaders(HeaderBlock{{"the", "end"}}, true))
		require.NoError(t, st.Close())
		write.fails("interrupted", net.ErrClosed)
		require.Equal(t, defaultWindow, write.n)
		p.flow()
		p.wantData("a window full", st.ID(), defaultWindow)
		p.wantRst("the peer must not take the part for the whole", st.ID(), RstCancel)
		p.wantIdle("no FIN")
		wantGone(t, st)
		require.Zero(t, keptLoans(p.s))
	})
	storyBoth(t, "reset before it is sent", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		st := p.openRaw("opened")
		p.stall()
		write := p.lend(st, testBytes(1000))
		require.NoError(t, st.Close())
		write.wrote("let go", 1000)
		require.NoError(t, st.Reset(RstInternalError))
		require.Zero(t, keptLoans(p.s))
		p.flow()
		p.wantRst("told", st.ID(), RstInternalError)
		p.wantIdle("that was all")
		wantGone(t, st)
	})
	storyBoth(t, "a bounded number of bytes", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		p.sendSetting(SettingInitialWindowSize, 1<<20)
		p.sendWindowUpdate(0, 100<<20)
		var all []*RawStream
		for range 20 {
			all = append(all, p.openRaw("opened"))
		}
		p.stall()
		sum := 0
		for _, st := range all {
			write := p.lend(st, testBytes(100<<10))
			require.NoError(t, st.Close())
			synctest.Wait()
			sum += write.n
			require.Equal(t, sum, keptLoans(p.s))
		}
		require.Equal(t, mostKeptLoans, sum)
		p.s.Close()
		require.Zero(t, keptLoans(p.s))
	})
}

// TestCloseAwaitsCredit: others may use up the session's window before a kept loan is sent. It waits
// for credit no longer than leaveTime.
func TestCloseAwaitsCredit(t *testing.T) {
	for name, granted := range map[string]bool{"none comes": false, "some comes": true} {
		storyBoth(t, name, func(t *testing.T, r role) {
			p := newRawPeer(t, r, Config{})
			st, other := p.openRaw("closed"), p.openRaw("beside it")
			p.stall()
			write, beside := p.lend(st, testBytes(60<<10)), p.lend(other, testBytes(60<<10))
			require.NoError(t, st.Close())
			write.wrote("let go", 60<<10)
			p.flow()
			sent := p.dataOf(st.ID())
			beside.pending("the window is used up")
			require.Greater(t, sent, 0)
			require.Less(t, sent, 60<<10)
			p.advance(leaveTime - 1)
			p.wantIdle("it waits")
			if granted {
				p.sendWindowUpdate(0, 60<<10)
				synctest.Wait()
				require.Equal(t, 60<<10-sent, p.dataOf(st.ID()))
				beside.wrote("all of it", 60<<10)
			} else {
				p.advance(1)
				p.wantRst("given up", st.ID(), RstCancel)
				beside.pending("it has time")
			}
			p.wantIdle("that was all")
			wantGone(t, st)
			require.Zero(t, keptLoans(p.s))
			require.NoError(t, p.s.Err())
		})
	}
}

// dataOf reads all that has come, and returns how many bytes of DATA are a stream's.
func (p *testPeer) dataOf(id uint32) (n int) {
	p.t.Helper()
	for synctest.Wait(); p.conn.Unread() > 0; synctest.Wait() {
		if f, ok := p.next("a frame").(*DataFrame); ok && f.StreamID == id {
			n += len(f.Data)
		}
	}
	return n
}
