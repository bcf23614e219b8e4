package spdy

import (
	"io"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A peer in a version without windows sends what it likes. At the limit of a session the
// stream with the most unread bytes is reset, and the others go on.
func TestShedWithoutWindows(t *testing.T) {
	const limit = 128 << 10
	without := func(v Version) peerOpts { return peerOpts{version: v, conf: Config{SessionWindow: limit}} }
	for _, v := range []Version{SPDY2, SPDY3} {
		story(t, v.String()+"/a stream that is not read, on a server", func(t *testing.T) {
			p := newPeer(t, asServer, peerOpts{version: v, conf: Config{StreamWindow: 1 << 20, SessionWindow: 1 << 20}})
			p.s.flow.limit = limit // which in SPDY/3 the windows of streams exceed
			p.sendSynStream(1, 0)
			p.sendSynStream(3, 0)
			unread, other := p.wantAccept("unread", 1), p.wantAccept("another", 3)
			for range 3 {
				p.sendBulk(1, 16<<10, 0)
				p.sendBulk(3, 12<<10, 0)
			}
			for range 5 {
				p.sendBulk(3, 16<<10, 0)
			}
			p.wantIdle("its reader may have had no time")
			p.advance(freshBytes)
			p.wantRst("it has the most", 3, RstFlowControlError)
			p.endsWith("reset", other, other.endReason())
			p.isOpen("it has less", unread)
			require.EqualValues(t, 1, p.s.Stats().Shed)
			require.Zero(t, p.s.Stats().Stalls)
			require.Zero(t, p.s.Stats().ChargedResets, "the peer has broken no rule")
			p.wantAlive("afterwards")
		})
	}
	story(t, "a reader that keeps up holds the peer back", func(t *testing.T) {
		p := newPeer(t, asServer, without(SPDY2))
		p.sendSynStream(1, 0)
		p.sendSynStream(3, 0)
		st := p.wantAccept("read", 1)
		buf := make([]byte, 16<<10)
		for range 40 {
			p.sendBulk(1, 16<<10, 0)
			synctest.Wait()
			_, err := io.ReadFull(readerFunc(st.read), buf[:10<<10])
			require.NoError(t, err)
		}
		p.isOpen("it reads more than half", st)
		require.Positive(t, p.s.Stats().Stalls)
		require.LessOrEqual(t, st.in.buffered(), int64(limit))
		p.advance(shedWait)
		p.wantRst("its reader has stopped", 1, RstFlowControlError)
		p.wantAlive("afterwards")
	})
	story(t, "the only stream of a client waits for its reader", func(t *testing.T) {
		p := newPeer(t, asClient, without(SPDY2))
		st := p.open("film", FlagFin)
		p.wantSynStream("film", 1)
		p.sendSynReply(1, 0)
		for range 20 {
			p.sendBulk(1, 16<<10, 0)
		}
		p.advance(time.Hour)
		p.isOpen("it is paused", st)
		require.LessOrEqual(t, st.in.buffered(), int64(limit))
		p.open("another", FlagFin)
		require.ElementsMatch(t, []FrameType{FrameSynStream, FrameRstStream}, p.drainTypes(), "another would wait behind it")
		p.endsWith("it was reset", st, st.endReason())
		p.sendSynReply(3, FlagFin)
		p.wantAlive("afterwards")
	})
	story(t, "nor does a PING wait behind it", func(t *testing.T) {
		p := newPeer(t, asClient, without(SPDY2))
		st := p.open("film", FlagFin)
		p.wantSynStream("film", 1)
		p.sendSynReply(1, 0)
		for range 20 {
			p.sendBulk(1, 16<<10, 0)
		}
		synctest.Wait()
		p.isOpen("it is paused", st)
		ping := p.async("Ping", func(*call) { p.s.Ping(time.Minute) })
		p.advance(freshBytes)
		require.ElementsMatch(t, []FrameType{FramePing, FrameRstStream}, p.drainTypes(), "the echo would wait behind it")
		p.sendPing(1)
		ping.wait("its echo has come")
	})
	story(t, "a stream that has come to its end, unread", func(t *testing.T) {
		p := newPeer(t, asClient, without(SPDY2))
		whole, next := p.open("whole", FlagFin), p.open("next", FlagFin)
		p.wantSynStream("whole", 1)
		p.wantSynStream("next", 3)
		p.sendSynReply(1, 0)
		p.sendSynReply(3, 0)
		p.sendBulk(1, 96<<10, FlagFin)
		synctest.Wait()
		require.EqualValues(t, 96<<10, whole.in.buffered())
		p.sendBulk(3, 64<<10, FlagFin)
		p.advance(freshBytes)
		_, err := whole.read(make([]byte, 1))
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "what is missing is not passed over")
		require.EqualValues(t, 64<<10, next.in.buffered())
		p.wantAlive("afterwards")
	})
	story(t, "the session can still be closed", func(t *testing.T) {
		p := newPeer(t, asClient, without(SPDY2))
		p.open("film", FlagFin)
		p.wantSynStream("film", 1)
		p.sendSynReply(1, 0)
		for range 64 {
			p.sendBulk(1, 16<<10, 0)
		}
		synctest.Wait()
		p.s.Close()
		require.ErrorIs(t, p.s.Err(), ErrSessionClosed)
	})
	story(t, "bytes that no application wants", func(t *testing.T) {
		p := newPeer(t, asServer, without(SPDY2))
		p.sendSynStream(1, 0)
		st := p.wantAccept("a stream", 1)
		p.reply(st, FlagFin)
		p.wantSynReply("an early answer", 1)
		st.stopReading()
		p.sendBulk(1, 16<<10, 0)
		p.wantRst("the rest is not wanted", 1, RstCancel)
	})
}

// With ShedAfter a session of SPDY/3.1 whose window is short resets streams that nothing is
// read of, the fullest first, and spares those that are read.
func TestShedAfter(t *testing.T) {
	const window = 64 << 10
	conf := Config{StreamWindow: window, SessionWindow: 4 * window, ShedAfter: 10 * time.Second}
	story(t, "streams without progress", func(t *testing.T) {
		p := newPeer(t, asServer, peerOpts{conf: conf})
		for id := uint32(1); id <= 7; id += 2 {
			p.sendSynStream(id, 0)
			p.wantAccept("a stream", id)
		}
		p.sendBulk(1, window, 0)
		p.sendBulk(3, window-1000, 0)
		p.sendBulk(5, window-2000, 0)
		read := p.s.streams[5]
		p.advance(time.Hour)
		require.Zero(t, p.s.Stats().Shed, "a quarter of the window is left")
		p.sendBulk(7, 4000, 0)
		p.advance(conf.ShedAfter - 1)
		require.NotZero(t, p.readSome(read), "one byte is progress")
		p.advance(1)
		synctest.Wait()
		require.EqualValues(t, 2, p.s.Stats().Sent.Resets[RstFlowControlError], "half of the window is left again")
		for id, open := range map[uint32]bool{1: false, 3: false, 5: true, 7: true} { // the fullest first
			require.Equal(t, open, p.s.streams[id] != nil, id)
		}
		p.advance(time.Hour)
		require.EqualValues(t, 2, p.s.Stats().Shed)
		require.Zero(t, p.s.Stats().ChargedResets)
	})
	story(t, "never by default", func(t *testing.T) {
		conf := conf
		conf.ShedAfter = 0
		p := newPeer(t, asServer, peerOpts{conf: conf})
		for id := uint32(1); id <= 7; id += 2 {
			p.sendSynStream(id, 0)
			p.sendBulk(id, window, 0)
		}
		p.advance(time.Hour)
		require.Zero(t, p.s.Stats().Shed)
		require.Equal(t, 4, openStreams(p.s))
	})
}

// drainTypes reads what is on the wire.
func (p *testPeer) drainTypes() (types []FrameType) {
	for _, frame := range p.drain() {
		types = append(types, frame.FrameType())
	}
	return types
}

// readSome reads a byte.
func (p *testPeer) readSome(st *Stream) int {
	n, err := st.read(make([]byte, 1))
	require.NoError(p.t, err)
	return n
}

// TestShedAfterOfNanoseconds: the shortest ShedAfter passes while a session is being made.
func TestShedAfterOfNanoseconds(t *testing.T) {
	for range 5000 {
		a, b := net.Pipe()
		s := (&Config{Logger: quietConfig.Logger, ShedAfter: 1}).ClientSession(a)
		s.Close()
		b.Close()
	}
}
