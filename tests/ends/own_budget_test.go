package ends

import (
	"bytes"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// ownBudget is UnreadBudget in these tests.
const ownBudget = 256 << 10

// ownDATA sends n bytes on a stream.
func (p *ownPeer) ownDATA(id uint32, n int, flags spdy.FrameFlags) {
	p.t.Helper()
	for ; n > 16<<10; n -= 16 << 10 {
		p.add(&spdy.DataFrame{StreamID: id, Data: bytes.Repeat([]byte("x"), 16<<10)})
	}
	p.send(&spdy.DataFrame{StreamID: id, Data: bytes.Repeat([]byte("x"), n), Flags: flags})
}

// TestOwnResetOverBudget: one stream holds nearly all of the budget, in every state in which
// it can, and others next to nothing. ResetOverBudget resets none of these: they free nothing.
// A stream that is open is given up at once; one that has ended is, as a rule, complete, so
// its reader has a second. Either way the session goes on.
func TestOwnResetOverBudget(t *testing.T) {
	const hog, last = 1, 9
	for _, way := range []struct {
		name  string
		fin   spdy.FrameFlags             // of the hog's DATA
		end   func(r *spdy.RawStream)     // our half; nil to leave it open
		peer  func(p *ownPeer, id uint32) // what the peer does after its DATA; may be nil
		waits bool                        // its reader has a second
	}{
		{name: "open"},
		{name: "half-closed by the peer", fin: spdy.FlagFin},
		{name: "half-closed by us", end: func(r *spdy.RawStream) { _ = r.CloseWrite() }},
		{name: "complete", fin: spdy.FlagFin, end: func(r *spdy.RawStream) { _ = r.CloseWrite() }, waits: true},
		{name: "reset by the peer", waits: true, peer: func(p *ownPeer, id uint32) {
			p.send(&spdy.RstStreamFrame{StreamID: id, Status: spdy.RstCancel})
		}},
	} {
		bubble.InVersions(t, way.name, func(t *testing.T, v spdy.Version) {
			p := ownBudgetPeer(t, v)
			defer p.close()
			streams := make(map[uint32]*spdy.RawStream)
			for id := uint32(hog); id <= last; id += 2 {
				p.send(&spdy.SynStreamFrame{StreamID: id})
				r, err := p.s.AcceptStream(t.Context())
				require.NoError(t, err)
				require.NoError(t, r.Reply(nil, false))
				streams[id] = r
			}
			if way.end != nil {
				way.end(streams[hog])
			}
			for id := uint32(hog + 2); id <= last; id += 2 {
				p.ownDATA(id, 500, 0)
			}
			p.ownDATA(hog, ownBudget-1000, way.fin)
			if way.peer != nil {
				way.peer(p, hog)
			}
			for range 4 { // beyond the budget, and no stream but the hog can make room for it
				p.ownDATA(last, 500, 0)
			}
			if way.waits {
				require.Zero(t, p.s.Stats().Shed, "its reader has some time")
				bubble.Pass(3 * time.Second)
			}
			p.wantGivenUp(streams, hog)
		})
	}
}

func ownBudgetPeer(t *testing.T, v spdy.Version) *ownPeer {
	ours, theirs := ownConns()
	conf := spdy.Config{FlowControl: spdy.FlowControlPeerUnaware, UnreadBudget: ownBudget, ResetOverBudget: true}
	return newOwnPeer(t, v, theirs, bubble.Quiet(conf, v).RawSession(ours, false))
}

// wantGivenUp wants the hog alone to have been given up.
func (p *ownPeer) wantGivenUp(streams map[uint32]*spdy.RawStream, hog uint32) {
	t := p.t
	t.Helper()
	synctest.Wait()
	require.NoError(t, p.s.Err())
	require.Equal(t, uint64(1), p.s.Stats().Shed)
	_, err := io.Copy(io.Discard, streams[hog])
	var cut *spdy.TruncatedError
	require.ErrorAs(t, err, &cut, "no part passes for the whole")
	for id, r := range streams {
		if id == hog {
			continue
		}
		require.NoError(t, r.Err(), "stream %d frees nothing", id)
		p.send(&spdy.DataFrame{StreamID: id, Flags: spdy.FlagFin})
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		want := 500
		if id == 9 {
			want = 2500
		}
		require.Len(t, text, want)
	}
}

// TestOwnResetOverBudgetCrowd: when there is no hog, but ended streams that nobody reads and
// that hold little each, enough of them are given up at once for the session to go on.
func TestOwnResetOverBudgetCrowd(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		p := ownBudgetPeer(t, v)
		defer p.close()
		for id := uint32(1); id <= 2*ownBudget/512; id += 2 {
			p.send(&spdy.SynStreamFrame{StreamID: id})
			r, err := p.s.AcceptStream(t.Context())
			require.NoError(t, err)
			require.NoError(t, r.CloseWrite())
			p.ownDATA(id, 512, spdy.FlagFin)
		}
		last := uint32(2*ownBudget/512 + 1)
		p.send(&spdy.SynStreamFrame{StreamID: last})
		p.ownDATA(last, 512, 0)
		bubble.Pass(1500 * time.Millisecond)
		r, err := p.s.AcceptStream(t.Context())
		require.NoError(t, err)
		for range 20 {
			p.ownDATA(last, 512, 0)
		}
		p.send(&spdy.DataFrame{StreamID: last, Flags: spdy.FlagFin})
		text, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Len(t, text, 21*512)
		require.NoError(t, p.s.Err())
		require.InDelta(t, ownBudget/16/512, p.s.Stats().Shed, 2, "room for some time, and not more")
	})
}
