package spdy

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// SPDY/2 has no windows. What bounds the memory of its sessions is that they stop
// reading, and only that: the bytes that nobody reads stay with the peer.
func TestRoomOfVersion2(t *testing.T) {
	story(t, "unread bytes stop the receiver", func(t *testing.T) {
		p := newPeer(t, asServer, peerOpts{version: SPDY2, conf: Config{SessionWindow: 128 << 10}})
		p.sendSynStream(1, 0)
		st := p.wantAccept("a stream", 1)
		for range 64 {
			p.sendBulk(1, 16<<10, 0)
		}
		synctest.Wait()
		require.LessOrEqual(t, st.in.buffered(), int64(128<<10))
		require.Greater(t, st.in.buffered(), int64(96<<10))

		buf := make([]byte, 1<<20)
		for got := 0; got < 1<<20; {
			n, err := st.read(buf)
			require.NoError(t, err)
			got += n
			synctest.Wait()
		}
		p.wantAlive("and reading them makes it go on")
	})
	story(t, "a frame larger than the room", func(t *testing.T) {
		p := newPeer(t, asServer, peerOpts{version: SPDY2})
		p.sendSynStream(1, 0)
		st := p.wantAccept("a stream", 1)
		want := p.sendBulk(1, 1<<20, FlagFin)
		synctest.Wait()
		require.GreaterOrEqual(t, st.in.buffered(), int64(defaultWindow))
		require.Less(t, st.in.buffered(), int64(defaultWindow+readBufferSize), "it is read as there is room")
		p.wantRead("all of it", st, want)
		p.wantEOF("all of it", st)
		p.wantAlive("afterwards")
	})
	story(t, "the session can still be closed", func(t *testing.T) {
		p := newPeer(t, asServer, peerOpts{version: SPDY2, conf: Config{SessionWindow: 128 << 10}})
		p.sendSynStream(1, 0)
		p.wantAccept("a stream", 1)
		for range 64 {
			p.sendBulk(1, 16<<10, 0)
		}
		synctest.Wait()
		p.s.Close()
		require.ErrorIs(t, p.s.Err(), ErrSessionClosed)
	})
	story(t, "what nobody wants is reset", func(t *testing.T) {
		p := newPeer(t, asServer, peerOpts{version: SPDY2, conf: Config{SessionWindow: 128 << 10}})
		p.sendSynStream(1, 0)
		st := p.wantAccept("a stream", 1)
		p.reply(st, FlagFin)
		p.wantSynReply("an early answer", 1)
		st.stopReading()
		p.sendBulk(1, 16<<10, 0)
		p.wantRst("the rest is not wanted", 1, RstCancel)
	})
}
