package spdy

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// rawCharges returns the bytes that the ledger charges for h: as the block of a SYN_STREAM, and as
// the block of a HEADERS frame of a raw stream.
func rawCharges(t *testing.T, v Version, h HeaderBlock) (opening, late int64) {
	t.Helper()
	encoded, err := appendNameValue(nil, v, h)
	require.NoError(t, err)
	pair := 32 - 2*nvIntSize(v)
	return int64(len(encoded) + nameOverhead*len(h)), int64(len(encoded) + pair*len(h) + 64)
}

// A raw stream is charged for the block of its SYN_STREAM once: while the stream waits to be
// accepted, and while the stream is open. HEADERS are charged until they are received. Nothing is
// left at the end, in whatever order the stream ends and is accepted.
func TestRawStreamIsChargedOnce(t *testing.T) {
	h := HeaderBlock{{"name", strings.Repeat("v", 20_000)}, {"other", "value"}}
	attackStory(t, "", bothRoles, everyVersion, func(t *testing.T, r role, v Version) {
		opening, late := rawCharges(t, v, h)
		conf := Config{shared: newPools(nil)}
		p := newPeer(t, r, peerOpts{version: v, conf: conf, app: newAcceptQueue(&conf)})
		id := p.peerID()
		want := func(why string, bytes int64) {
			t.Helper()
			synctest.Wait()
			p.s.mu.Lock()
			defer p.s.mu.Unlock()
			require.Equal(t, bytes, p.s.ledger.used[heldHeaders], why)
		}
		opens := func(flags FrameFlags) {
			p.send(&SynStreamFrame{StreamID: id, Flags: flags, Headers: h})
			id += 2
		}

		opens(0)
		want("the stream waits", opening)
		p.send(&HeadersFrame{StreamID: id - 2, Headers: h})
		want("the stream and its HEADERS wait", opening+late)
		st := p.acceptRaw("accepted", id-2)
		want("the program has accepted the stream", opening+late)
		_, err := st.ReceiveHeaders(context.Background())
		require.NoError(t, err)
		want("the program has received the HEADERS", opening)
		require.NoError(t, st.Reset(RstCancel))
		want("the accepted stream has ended", 0)

		opens(0)
		p.send(&RstStreamFrame{StreamID: id - 2, Status: RstCancel})
		want("the stream has broken off before it is accepted", 0)

		opens(FlagFin | FlagUnidirectional)
		want("the stream is complete and waits", opening)
		p.acceptRaw("complete", id-2)
		want("the program has accepted the complete stream", 0)

		opens(FlagFin | FlagUnidirectional)
		opens(0)
		p.send(&HeadersFrame{StreamID: id - 2, Headers: h})
		want("a complete stream and an open one wait", 2*opening+late)
		p.conn.Close()
		<-p.s.Done()
		want("the session has ended", 0)
		require.Zero(t, conf.shared.of[heldHeaders].used.Load())
	})
}

// A stream that forfeits its block, and is accepted before the receiver has reset it, releases the
// block once.
func TestRawStreamForfeitsOnce(t *testing.T) {
	attackStory(t, "", bothRoles, everyVersion, func(t *testing.T, r role, v Version) {
		conf := Config{shared: newPools(nil)}
		q := newAcceptQueue(&conf)
		p := newPeer(t, r, peerOpts{version: v, conf: conf, app: q})
		p.send(&SynStreamFrame{StreamID: p.peerID(), Headers: HeaderBlock{{"name", "value"}}})
		synctest.Wait()
		p.s.mu.Lock()
		st := q.streams[0]
		st.forfeitLocked()
		p.s.mu.Unlock()
		require.Nil(t, q.pop(p.s))
		require.Zero(t, st.kept)
		require.Zero(t, p.s.rawKept.bytes)
		require.NoError(t, st.Reset(RstCancel))
		synctest.Wait()
		require.Zero(t, p.s.ledger.used[heldHeaders])
	})
}
