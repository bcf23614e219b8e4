package spdy

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// How raw streams end, with a scripted peer.

// newRawPeer starts a raw session with standard flow control.
func newRawPeer(t *testing.T, r role, conf Config) *testPeer {
	t.Helper()
	return newPeer(t, r, peerOpts{conf: conf, app: newAcceptQueue(&conf)})
}

// accepted has the peer open its first stream.
func (p *testPeer) accepted(why string, flags FrameFlags) *RawStream {
	p.t.Helper()
	p.sendSynStream(p.peerID(), flags, HeaderField{"name", "value"})
	return p.acceptRaw(why, p.peerID())
}

func (p *testPeer) rawRead(r *RawStream) *call {
	return p.async("Read", func(c *call) { c.n, c.err = r.Read(make([]byte, 100)) })
}

// wantGone wants every call on a stream that was closed here to fail as the use of
// something closed.
func wantGone(t *testing.T, r *RawStream) {
	t.Helper()
	<-r.Done()
	_, err := r.Read(make([]byte, 1))
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = r.Write([]byte("x"))
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = r.Write(nil)
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = r.ReceiveHeaders(context.Background())
	require.ErrorIs(t, err, net.ErrClosed)
	require.ErrorIs(t, r.CloseWrite(), net.ErrClosed)
	require.ErrorIs(t, r.SendHeaders(nil, false), net.ErrClosed)
	require.ErrorIs(t, r.Reply(nil, false), net.ErrClosed)
	require.ErrorIs(t, r.SetDeadline(time.Time{}), net.ErrClosed)
	require.ErrorIs(t, r.SetReadDeadline(time.Time{}), net.ErrClosed)
	require.ErrorIs(t, r.SetWriteDeadline(time.Time{}), net.ErrClosed)
	require.ErrorIs(t, r.Err(), net.ErrClosed)
	require.NoError(t, r.Close())
	require.NoError(t, r.CloseRead())
	require.NoError(t, r.Reset(RstCancel))
}

func TestRawClose(t *testing.T) {
	storyBoth(t, "the peer's half is open: FIN and RST_STREAM", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		st := p.openRaw("opened")
		p.rawWrite(st, []byte("text")).wrote("written", 4)
		p.wantData("the text", st.ID(), 4)
		p.sendSynReply(st.ID(), 0)
		p.sendBulk(st.ID(), 60<<10, 0)
		p.wantIdle("it is not read")
		headers := p.async("ReceiveHeaders", func(c *call) { _, c.err = st.ReceiveHeaders(context.Background()) })
		headers.pending("there are none")
		require.NoError(t, st.Close())
		headers.fails("closed", net.ErrClosed)
		p.wantWindowUpdate("what was unread is given back", 0, 60<<10)
		p.wantData("the end", st.ID(), 0, FlagFin)
		p.wantRst("and nothing more is wanted", st.ID(), RstCancel)
		p.sendData(st.ID(), "too late", FlagFin)
		p.sendHeaders(st.ID(), 0, HeaderField{"too", "late"})
		p.wantIdle("in silence")
		wantGone(t, st)
		require.Zero(t, openStreams(p.s))
		p.wantBalanced("its credit is given back")
	})
	storyBoth(t, "the peer has finished: FIN alone", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		st := p.accepted("opened", FlagFin)
		p.rawWrite(st, []byte("text")).wrote("written", 4)
		p.wantSynReply("replied", st.ID())
		p.wantData("the text", st.ID(), 4)
		require.NoError(t, st.Close())
		p.wantData("the end", st.ID(), 0, FlagFin)
		p.wantIdle("that was all")
		wantGone(t, st)
		require.Equal(t, ErrStreamClosed, st.Err())
	})
	storyBoth(t, "an accepted stream is replied to", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		st := p.accepted("opened", 0)
		require.NoError(t, st.Close())
		reply := p.wantSynReply("with the end in it", st.ID())
		require.Equal(t, FlagFin, reply.Flags)
		require.Empty(t, reply.Headers)
		p.wantRst("nothing more", st.ID(), RstCancel)
		p.wantIdle("that was all")
		wantGone(t, st)
	})
	storyBoth(t, "the peer's FIN comes first", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		st := p.accepted("opened", 0)
		p.ours.SetWriteCap(1) // the FIN has to wait
		p.startPing(context.Background())
		synctest.Wait()
		require.NoError(t, st.Close())
		p.sendData(st.ID(), "", FlagFin)
		synctest.Wait()
		p.ours.SetWriteCap(0)
		wantFrame[*PingFrame](p, "the PING that was in the way")
		require.Equal(t, FlagFin, p.wantSynReply("the end", st.ID()).Flags)
		p.wantIdle("no RST_STREAM")
		wantGone(t, st)
	})
	storyBoth(t, "after CloseWrite: RST_STREAM", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		st := p.openRaw("opened")
		require.NoError(t, st.CloseWrite())
		p.wantData("the end", st.ID(), 0, FlagFin)
		read := p.rawRead(st)
		read.pending("nothing has come")
		require.NoError(t, st.Close())
		read.fails("nobody reads any more", net.ErrClosed)
		p.wantRst("which the peer is told", st.ID(), RstCancel)
		p.wantIdle("that was all")
		wantGone(t, st)
	})
	storyBoth(t, "during a Write: RST_STREAM without FIN", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		st := p.openRaw("opened")
		write := p.rawWrite(st, testBytes(100<<10))
		p.wantData("a window full", st.ID(), defaultWindow)
		next := p.rawWrite(st, []byte("another one"))
		end := p.async("CloseWrite", func(c *call) { c.err = st.CloseWrite() })
		write.pending("the window is closed")
		next.pending("not its turn")
		end.pending("not all is written")
		require.NoError(t, st.Close())
		write.fails("interrupted", net.ErrClosed)
		require.Equal(t, defaultWindow, write.n)
		next.fails("not begun", net.ErrClosed)
		end.fails("not done", net.ErrClosed)
		p.wantRst("the peer must not take the part for the whole", st.ID(), RstCancel)
		p.wantIdle("no FIN")
		wantGone(t, st)
	})
	storyBoth(t, "before the SYN_STREAM has left", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		p.ours.SetWriteCap(1)
		p.startPing(context.Background())
		synctest.Wait()
		kept, gone := p.startOpenRaw("queued"), p.startOpenRaw("queued too")
		require.NoError(t, kept.Close())
		require.NoError(t, gone.Reset(RstCancel))
		p.ours.SetWriteCap(0)
		wantFrame[*PingFrame](p, "the PING that was in the way")
		p.wantSynStream("its headers may be all it has to say", kept.ID())
		p.wantData("the end", kept.ID(), 0, FlagFin)
		p.wantRst("nothing more", kept.ID(), RstCancel)
		p.wantIdle("a stream that was reset was never there")
		wantGone(t, kept)
		wantGone(t, gone)
	})
	storyBoth(t, "many of them are no flood of the peer's", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		p.sendSetting(SettingMaxConcurrentStreams, maxStreamID)
		synctest.Wait()
		const many = defaultMaxOwedReplies/16 + 10
		var all []*RawStream
		for range many {
			st := p.startOpenRaw("opened")
			require.NoError(t, st.CloseWrite())
			all = append(all, st)
		}
		synctest.Wait()
		p.ours.SetWriteCap(1)
		p.startPing(context.Background())
		synctest.Wait()
		for _, st := range all {
			require.NoError(t, st.Close())
		}
		p.s.mu.Lock()
		waiting := len(p.s.control)
		p.s.mu.Unlock()
		require.Greater(t, waiting, defaultMaxOwedReplies)
		p.sendPing(p.peerID()) // which makes the session look at what it owes the peer
		synctest.Wait()
		p.ours.SetWriteCap(0)
		synctest.Wait()
		require.NoError(t, p.s.Err())
		require.Zero(t, openStreams(p.s))
	})
}

func TestRawReset(t *testing.T) {
	storyBoth(t, "in every state", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		st := p.openRaw("opened")
		require.Error(t, st.Reset(0))
		p.wantIdle("0 is no status")
		read, write := p.rawRead(st), p.rawWrite(st, testBytes(100<<10))
		p.wantData("a window full", st.ID(), defaultWindow)
		require.NoError(t, st.Reset(RstInternalError))
		p.wantRst("told", st.ID(), RstInternalError)
		read.fails("under way", net.ErrClosed)
		write.fails("under way", net.ErrClosed)
		wantGone(t, st)

		st = p.openRaw("half closed")
		require.NoError(t, st.CloseWrite())
		p.wantData("the end", st.ID(), 0, FlagFin)
		require.NoError(t, st.Reset(RstCancel))
		p.wantRst("told", st.ID(), RstCancel)
		wantGone(t, st)

		st = p.accepted("not replied to", FlagFin)
		require.NoError(t, st.Reset(RstRefusedStream))
		p.wantRst("refused", st.ID(), RstRefusedStream)
		wantGone(t, st)
		p.wantIdle("no FIN, no reply")
	})
	storyBoth(t, "after a Close that has not come through", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		st := p.openRaw("opened")
		p.ours.SetWriteCap(1)
		p.startPing(context.Background())
		synctest.Wait()
		require.NoError(t, st.Close())
		require.NoError(t, st.Reset(RstInternalError))
		p.ours.SetWriteCap(0)
		wantFrame[*PingFrame](p, "the PING that was in the way")
		p.wantRst("instead of the FIN", st.ID(), RstInternalError)
		p.wantIdle("that was all")
		wantGone(t, st)
	})
	storyBoth(t, "by the peer", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		st := p.accepted("opened", 0)
		p.sendBulk(st.ID(), 1000, 0)
		write := p.rawWrite(st, testBytes(100<<10))
		p.wantSynReply("replied", st.ID())
		p.wantData("a window full", st.ID(), defaultWindow)
		p.sendRst(st.ID(), RstInternalError)
		write.failsReset("under way", RstInternalError, true)
		require.Equal(t, defaultWindow, write.n)
		_, err := st.Read(make([]byte, 1))
		requireTruncated(t, err)
		requireReset(t, "the reader hears of it", err, RstInternalError, true)
		_, err = st.Write([]byte("x"))
		requireReset(t, "and so does whoever writes", err, RstInternalError, true)
		requireReset(t, "or closes", st.CloseWrite(), RstInternalError, true)
		require.False(t, errors.Is(st.Err(), net.ErrClosed), "it was not this side")
		require.NoError(t, st.Close())
		p.wantIdle("nobody answers a RST_STREAM")
		p.wantBalanced("its credit is given back")
	})
	storyBoth(t, "by the peer, after its FIN: what came stays", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		st := p.accepted("opened", 0)
		text := p.sendBulk(st.ID(), 1000, FlagFin)
		p.sendRst(st.ID(), RstCancel)
		synctest.Wait() // or the Write may be first
		p.rawWrite(st, []byte("x")).failsReset("nobody reads", RstCancel, true)
		require.Equal(t, text, string(p.rawReadAll(st).ok("all of it").data))
	})
}

func TestRawHalfClose(t *testing.T) {
	storyBoth(t, "CloseWrite does not fail if the peer has closed", func(t *testing.T, r role) {
		for _, replied := range []bool{true, false} {
			p := newRawPeer(t, r, Config{})
			st := p.accepted("opened", 0)
			if replied {
				require.NoError(t, st.Reply(nil, false))
				p.wantSynReply("replied", st.ID())
			}
			p.sendData(st.ID(), "held", FlagFin)
			p.sendRst(st.ID(), RstCancel)
			synctest.Wait()
			require.NoError(t, st.CloseWrite(), "as with TCP")
			require.NoError(t, st.CloseWrite(), "as with TCP")
			require.Equal(t, "held", string(p.rawReadAll(st).ok("so that a splice carries on").data))
			_, err := st.Write([]byte("x"))
			requireReset(t, "nobody reads it", err, RstCancel, true)
			require.NoError(t, st.Close())
			require.ErrorIs(t, st.CloseWrite(), ErrStreamClosed)
		}
		p := newRawPeer(t, r, Config{})
		st := p.accepted("opened", 0)
		p.sendData(st.ID(), "part", 0)
		p.sendRst(st.ID(), RstCancel)
		synctest.Wait()
		requireReset(t, "but if it has given up", st.CloseWrite(), RstCancel, true)
	})
	storyBoth(t, "CloseWrite waits for a Write", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		st := p.openRaw("opened")
		write := p.rawWrite(st, testBytes(100<<10))
		p.wantData("a window full", st.ID(), defaultWindow)
		end := p.async("CloseWrite", func(c *call) { c.err = st.CloseWrite() })
		end.pending("there is more")
		p.sendWindowUpdate(st.ID(), 100<<10)
		p.sendWindowUpdate(0, 100<<10)
		write.wrote("written", 100<<10)
		end.ok("closed")
		p.wantData("the rest", st.ID(), 36<<10)
		p.wantData("and the end", st.ID(), 0, FlagFin)
		p.rawWrite(st, []byte("x")).fails("closed", ErrStreamClosed)
		require.ErrorIs(t, st.CloseWrite(), ErrStreamClosed)
		p.sendSynReply(st.ID(), 0)
		p.sendData(st.ID(), "answer", FlagFin)
		require.Equal(t, "answer", string(p.rawReadAll(st).ok("the other half").data))
	})
	storyBoth(t, "CloseWrite after a Write that gave up", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		st := p.openRaw("opened")
		require.NoError(t, st.SetWriteDeadline(time.Now().Add(time.Second)))
		write := p.rawWrite(st, testBytes(100<<10))
		p.wantData("a window full", st.ID(), defaultWindow)
		end := p.async("CloseWrite", func(c *call) { c.err = st.CloseWrite() })
		p.advance(2 * time.Second)
		write.fails("too late", os.ErrDeadlineExceeded)
		require.Equal(t, defaultWindow, write.n)
		end.ok("the deadline is not its own")
		p.wantData("the end", st.ID(), 0, FlagFin)
	})
	storyBoth(t, "CloseRead", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		st := p.accepted("opened", 0)
		p.sendBulk(st.ID(), 16<<10, 0)
		read := p.async("Read", func(c *call) {
			_, c.err = io.Copy(io.Discard, readerFunc(st.Read))
		})
		read.pending("there may be more")
		p.wantCreditOf(st.ID(), 16<<10)
		require.NoError(t, st.CloseRead())
		read.fails("closed", net.ErrClosed)
		p.rawWrite(st, []byte("text")).wrote("the other half is open", 4)
		p.wantSynReply("replied", st.ID())
		p.wantData("the text", st.ID(), 4)
		p.sendBulk(st.ID(), defaultWindow-1, 0)
		p.wantWindowUpdate("credit for the session", 0, defaultWindow-1)
		p.sendBulk(st.ID(), 1, 0)
		p.wantIdle("the stream's window is used up")
		require.NoError(t, st.CloseWrite())
		p.wantData("the end", st.ID(), 0, FlagFin)
		p.wantRst("which the peer waited for", st.ID(), RstCancel)
		p.wantBalanced("its credit is given back")
	})
}

// wantCreditOf wants a stream and the session to get back n bytes.
func (p *testPeer) wantCreditOf(id uint32, n uint32) {
	p.t.Helper()
	got := map[uint32]uint32{}
	for synctest.Wait(); p.conn.Unread() > 0; synctest.Wait() {
		f := wantFrame[*WindowUpdateFrame](p, "credit")
		got[f.StreamID] += f.Delta
	}
	require.Equal(p.t, map[uint32]uint32{id: n, 0: n}, got)
}

func TestRawDeadlines(t *testing.T) {
	storyBoth(t, "are the stream's own", func(t *testing.T, r role) {
		p := newRawPeer(t, r, Config{})
		st, other := p.openRaw("one"), p.openRaw("another one")
		require.NoError(t, st.SetDeadline(time.Now().Add(time.Second)))
		read, write := p.rawRead(st), p.rawWrite(st, testBytes(100<<10))
		otherRead, otherWrite := p.rawRead(other), p.async("Write", func(c *call) {
			<-time.After(time.Millisecond) // the window is used up by then
			c.n, c.err = other.Write([]byte("x"))
		})
		toWriter := p.async("WriteTo", func(c *call) { _, c.err = st.WriteTo(io.Discard) })
		p.advance(2 * time.Second)
		for _, c := range []*call{read, write, toWriter} {
			c.fails("too late", os.ErrDeadlineExceeded)
			var timeout net.Error
			require.ErrorAs(t, c.err, &timeout)
			require.True(t, timeout.Timeout())
		}
		otherRead.pending("it has none")
		otherWrite.pending("nor when it writes")
		require.NoError(t, st.SetDeadline(time.Time{}))
		p.rawRead(st).pending("it is gone")
		require.NoError(t, p.s.Err())
	})
}
