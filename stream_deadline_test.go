package spdy

import (
	"bytes"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// deadlinePair is a session with two streams of ours, a and b, both replied to.
func deadlinePair(t *testing.T, r role) (p *testPeer, a, b *Stream) {
	p = newPeer(t, r)
	a, b = p.open("a", 0), p.open("b", 0)
	for _, st := range []*Stream{a, b} {
		p.wantSynStream("ours", st.id)
		p.sendSynReply(st.id, 0)
	}
	p.wantIdle("both are open")
	return p, a, b
}

func TestReadDeadline(t *testing.T) {
	storyBoth(t, "in the past", func(t *testing.T, r role) {
		p, a, _ := deadlinePair(t, r)
		p.sendData(a.id, "here", 0)
		require.NoError(t, a.SetReadDeadline(time.Now().Add(-time.Hour)))
		for range 3 {
			p.startRead(a, 10).fails("even with bytes to read", os.ErrDeadlineExceeded)
		}
		require.NoError(t, a.SetReadDeadline(time.Time{}))
		p.wantRead("nothing is lost", a, "here")
	})
	storyBoth(t, "while waiting", func(t *testing.T, r role) {
		p, a, b := deadlinePair(t, r)
		require.NoError(t, a.SetReadDeadline(time.Now().Add(time.Second)))
		readA, readB := p.startRead(a, 10), p.startRead(b, 10)
		p.advance(time.Second - 1)
		readA.pending("not yet")
		p.advance(1)
		readA.fails("now", os.ErrDeadlineExceeded)
		var timeout interface{ Timeout() bool }
		require.ErrorAs(t, readA.err, &timeout)
		require.True(t, timeout.Timeout())
		readB.pending("no other stream notices")
		p.sendData(b.id, "b", 0)
		readB.ok("no other stream notices")
		p.isOpen("a deadline ends no stream", a)
		p.wantAlive("nor the session")
		p.sendData(a.id, "late", FlagFin)
		p.startRead(a, 10).fails("it stays passed", os.ErrDeadlineExceeded)
		require.NoError(t, a.SetReadDeadline(time.Now().Add(time.Second)))
		p.wantRead("until it is moved", a, "late")
		p.wantEOF("until it is moved", a)
	})
	storyBoth(t, "set under a waiting read", func(t *testing.T, r role) {
		p, a, _ := deadlinePair(t, r)
		read := p.startRead(a, 10)
		read.pending("no deadline at all")
		require.NoError(t, a.SetReadDeadline(time.Now().Add(time.Minute)))
		read.pending("a late one")
		require.NoError(t, a.SetReadDeadline(time.Now().Add(time.Second)))
		p.advance(time.Second)
		read.fails("an earlier one", os.ErrDeadlineExceeded)

		require.NoError(t, a.SetReadDeadline(time.Now().Add(time.Second)))
		read = p.startRead(a, 10)
		read.pending("not yet")
		require.NoError(t, a.SetReadDeadline(time.Time{}))
		p.advance(time.Hour)
		read.pending("taken back")
		require.NoError(t, a.SetReadDeadline(time.Unix(0, 1)))
		read.fails("at once", os.ErrDeadlineExceeded)
	})
	story(t, "many readers", func(t *testing.T) {
		p, a, _ := deadlinePair(t, asClient)
		var reads []*call
		for range 5 {
			reads = append(reads, p.startRead(a, 10))
		}
		synctest.Wait()
		require.NoError(t, a.SetReadDeadline(time.Now().Add(time.Second)))
		p.advance(time.Second)
		for _, read := range reads {
			read.fails("every one of them", os.ErrDeadlineExceeded)
		}
	})
	story(t, "a deadline and bytes at once", func(t *testing.T) {
		for range 200 {
			p, a, _ := deadlinePair(t, asClient)
			first, second := p.startRead(a, 10), p.startRead(a, 10)
			synctest.Wait()
			a.in.admit(1)
			_ = a.SetReadDeadline(time.Now().Add(time.Second)) // one ring for both
			a.in.append([]byte("x"), nil)
			p.advance(time.Second)
			late := 0
			for _, read := range []*call{first, second} {
				if read.wait("a second is over").err != nil {
					require.ErrorIs(t, read.err, os.ErrDeadlineExceeded)
					late++
				}
			}
			require.Equal(t, 1, late)
			p.conn.Close()
			synctest.Wait()
		}
	})
	story(t, "the end comes first", func(t *testing.T) {
		p, a, b := deadlinePair(t, asClient)
		require.NoError(t, a.SetReadDeadline(time.Now().Add(time.Second)))
		read := p.startRead(a, 10)
		p.sendData(a.id, "", FlagFin)
		read.fails("FIN", io.EOF)
		p.advance(time.Hour)
		p.isOpen("b goes on", b)
	})
}

func TestWriteDeadline(t *testing.T) {
	storyBoth(t, "no window", func(t *testing.T, r role) {
		p, a, b := deadlinePair(t, r)
		p.sendWindowUpdate(0, 1<<20)
		data := testBytes(65536 + 1000)
		require.NoError(t, a.SetWriteDeadline(time.Now().Add(time.Second)))
		write := p.startWrite(a, data, FlagFin)
		got := p.wantData("all the window allows", a.id, 65536)
		require.Equal(t, data[:65536], got)
		p.advance(time.Second - 1)
		write.pending("not yet")
		p.advance(1)
		write.fails("now", os.ErrDeadlineExceeded)
		require.Equal(t, 65536, write.n, "exactly what has been sent")
		clear(data) // the caller's again; the race detector watches
		p.sendWindowUpdate(a.id, 1000)
		p.wantIdle("the rest is never sent, and the FIN with it")
		p.isOpen("a deadline ends no stream", a)
		p.startWrite(b, []byte("b"), 0).wrote("no other stream notices", 1)
		p.wantData("no other stream notices", b.id, 1)
		p.startWrite(a, []byte("x"), 0).fails("it stays passed", os.ErrDeadlineExceeded)
		p.wantIdle("nothing is sent")
		require.NoError(t, a.SetWriteDeadline(time.Time{}))
		p.startWrite(a, []byte("more"), FlagFin).wrote("until it is moved", 4)
		require.Equal(t, "more", string(p.wantData("in place of the rest", a.id, 4, FlagFin)))
	})
	storyBoth(t, "no room on the network", func(t *testing.T, r role) {
		p, a, b := deadlinePair(t, r)
		release := p.holdSender()
		require.NoError(t, a.SetWriteDeadline(time.Now().Add(time.Second)))
		data := testBytes(1000)
		write := p.startWrite(a, data, 0)
		other := p.startWrite(b, []byte("b"), 0)
		p.advance(time.Second)
		write.fails("its time is up", os.ErrDeadlineExceeded)
		require.Zero(t, write.n)
		clear(data)
		other.pending("b has no deadline")
		release()
		p.wantData("only b is sent", b.id, 1)
		other.wrote("only b is sent", 1)
		p.wantIdle("only b is sent")
	})
	storyBoth(t, "set under a waiting write", func(t *testing.T, r role) {
		p, a, _ := deadlinePair(t, r)
		write := p.startWrite(a, testBytes(70000), 0)
		p.wantData("all the window allows", a.id, 65536)
		second := p.startWrite(a, []byte("second"), 0)
		second.pending("its turn has not come")
		require.NoError(t, a.SetWriteDeadline(time.Now().Add(time.Hour)))
		require.NoError(t, a.SetWriteDeadline(time.Now().Add(time.Second)))
		p.advance(time.Second - 1)
		write.pending("not yet")
		p.advance(1)
		write.fails("now", os.ErrDeadlineExceeded)
		require.Equal(t, 65536, write.n)
		second.fails("so is who waits behind", os.ErrDeadlineExceeded)
		require.Zero(t, second.n)
		require.NoError(t, a.SetWriteDeadline(time.Time{}))
		write = p.startWrite(a, []byte("x"), 0)
		write.pending("no window")
		require.NoError(t, a.SetWriteDeadline(time.Unix(0, 1)))
		write.fails("at once", os.ErrDeadlineExceeded)
		p.sendWindowUpdate(a.id, 100)
		p.sendWindowUpdate(0, 100)
		p.wantIdle("nothing is sent of either")
	})
	story(t, "moved and removed", func(t *testing.T) {
		p, a, _ := deadlinePair(t, asClient)
		require.NoError(t, a.SetWriteDeadline(time.Now().Add(time.Second)))
		write := p.startWrite(a, testBytes(65537), 0)
		p.wantData("all the window allows", a.id, 65536)
		require.NoError(t, a.SetWriteDeadline(time.Time{}))
		p.advance(time.Hour)
		write.pending("taken back")
		p.sendWindowUpdate(a.id, 1)
		p.sendWindowUpdate(0, 1)
		p.wantData("the last byte", a.id, 1)
		write.wrote("the last byte", 65537)
	})
	story(t, "headers need no deadline", func(t *testing.T) {
		p, a, _ := deadlinePair(t, asClient)
		require.NoError(t, a.SetWriteDeadline(time.Unix(0, 1)))
		require.NoError(t, a.sendHeaders(FrameHeaders, p.block(HeaderField{"h", ""}), false))
		p.wantHeaders("they are queued, not waited for", a.id)
		require.ErrorIs(t, a.closeWrite(), os.ErrDeadlineExceeded)
	})
	story(t, "a deadline and the window at once", func(t *testing.T) {
		for range 100 {
			p, a, _ := deadlinePair(t, asClient)
			data := testBytes(65536 + 1000)
			require.NoError(t, a.SetWriteDeadline(time.Now().Add(time.Second)))
			write := p.startWrite(a, data, 0)
			p.wantData("all the window allows", a.id, 65536)
			p.async("late credit", func(*call) {
				<-time.After(time.Second)
				_ = p.f.WriteFrame(&WindowUpdateFrame{StreamID: a.id, Delta: 1000})
				_ = p.f.WriteFrame(&WindowUpdateFrame{Delta: 1000})
			})
			p.advance(time.Second)
			write.wait("one or the other")
			clear(data)
			if write.err == nil {
				require.Equal(t, 66536, write.n)
				p.wantData("the credit came first", a.id, 1000)
			} else {
				require.ErrorIs(t, write.err, os.ErrDeadlineExceeded)
				require.Equal(t, 65536, write.n, "the peer has exactly what the writer was told")
			}
			p.wantIdle("nothing more")
			p.conn.Close()
			synctest.Wait()
		}
	})
}

// TestConcurrentWriters checks that the writes of one stream are not mixed.
func TestConcurrentWriters(t *testing.T) {
	storyBoth(t, "whole writes", func(t *testing.T, r role) {
		p := newWidePeer(t, r)
		st := p.open("ours", 0)
		p.wantSynStream("ours", st.id)
		const writers, size = 10, 100000
		for i := range writers {
			b := make([]byte, size)
			for j := range b {
				b[j] = byte(i)
			}
			p.startWrite(st, b, 0)
		}
		got := p.wantData("all of it", st.id, writers*size)
		for i := 0; i < len(got); i += size {
			require.Equal(t, size, bytes.Count(got[i:i+size], got[i:i+1]), "bytes of one write stay together")
		}
	})
}
