package cancel_test

import (
	"encoding/binary"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// refusing is a server of ours that takes no stream while a handler still runs for a
// cancelled stream, stream 1. stop ends the handler.
func refusing(t *testing.T, v spdy.Version, conf spdy.Config) (p *peer, stop func()) {
	conf.MaxConcurrentStreams, conf.ResetBurst = 2, 1
	p, _, stop = stuck(t, v, conf)
	p.send(&spdy.SynStreamFrame{StreamID: 1, Flags: spdy.FlagFin, Headers: request(v, "GET", "/stuck")}, rst(1))
	p.want("a handler runs")
	require.Equal(t, 1, p.s.Stats().Streams.Lingering)
	return p, stop
}

// cancelled is a client of ours that has cancelled n requests. The server has seen all of
// them.
func cancelled(t *testing.T, v spdy.Version, conf spdy.Config, n int) *peer {
	p := newPeer(t, v, conf, nil)
	for i := range n {
		c := p.get("/")
		p.frames()
		c.cancel()
		for _, id := range pings(p.frames()) {
			p.send(&spdy.PingFrame{ID: id})
		}
		require.True(t, c.ended(), i)
	}
	p.want("all is quiet")
	return p
}

// wantCredit wants all replies since the last call to be session window updates that add
// up to most of sent. Less than a quarter of the window of size bytes may be outstanding.
func (p *peer) wantCredit(sent, size int) {
	p.t.Helper()
	credit := 0
	for _, frame := range p.frames() {
		update, ok := frame.(*spdy.WindowUpdateFrame)
		require.True(p.t, ok, "%s in reply to late frames", show(frame))
		require.Zero(p.t, update.StreamID)
		credit += int(update.Delta)
	}
	if p.v != spdy.SPDY31 {
		require.Zero(p.t, credit)
		return
	}
	require.LessOrEqual(p.t, credit, sent)
	require.Greater(p.t, credit, sent-size/4)
	require.GreaterOrEqual(p.t, p.s.Stats().ReceiveWindow, int64(size-size/4))
}

// TestAttackA28LateData: DATA in flight for streams that we reset or refused is dropped in
// silence, for however many streams, and however late. Its credit is returned.
func TestAttackA28LateData(t *testing.T) {
	const streams, frames, window = 5000, 3, 1 << 20
	data := make([]byte, 200)
	conf := spdy.Config{SessionWindow: window}
	flood := func(p *peer) {
		p.t.Helper()
		before := p.s.Stats()
		sent := 0
		for range frames {
			for i := range streams {
				p.send(&spdy.DataFrame{StreamID: uint32(2*i + 3), Data: data})
				if sent += len(data); sent > window/2 { // a peer observes the window
					p.wantCredit(sent, window)
					sent = int(int64(window) - p.s.Stats().ReceiveWindow)
					if p.v != spdy.SPDY31 {
						sent = 0
					}
				}
			}
		}
		for i := range streams { // and the ends of the streams
			p.send(&spdy.DataFrame{StreamID: uint32(2*i + 3), Flags: spdy.FlagFin}, rst(uint32(2*i+3)))
		}
		p.frames()
		after := p.s.Stats()
		require.NoError(p.t, p.s.Err())
		require.Equal(p.t, before.ChargedResets, after.ChargedResets)
		require.Equal(p.t, before.IdleFrames, after.IdleFrames)
		require.Equal(p.t, before.Sent.Frames[spdy.FrameRstStream], after.Sent.Frames[spdy.FrameRstStream])
		require.Zero(p.t, after.UnreadBytes)
	}
	t.Run("refused by a server", func(t *testing.T) {
		bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
			p, stop := refusing(t, v, conf)
			defer p.close()
			for i := range streams {
				p.send(&spdy.SynStreamFrame{StreamID: uint32(2*i + 3), Headers: request(v, "POST", "/")})
				if i%1000 == 999 {
					for _, frame := range p.frames() {
						require.IsType(t, &spdy.RstStreamFrame{}, frame)
						require.Equal(t, spdy.RstRefusedStream, frame.(*spdy.RstStreamFrame).Status)
					}
				}
			}
			bubble.Pass(time.Hour)
			flood(p)
			stop()
			synctest.Wait()
			p.wantServed("the slot is free", 2*streams+3)
		})
	})
	t.Run("cancelled by a client", func(t *testing.T) {
		bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
			p := cancelled(t, v, conf, streams+1)
			defer p.close()
			bubble.Pass(time.Hour)
			flood(p)
			p.wantAnswered("afterwards")
		})
	})
}

// eachRole runs f with a session in each role, all in each version. open has the peer and the
// session open and finish stream 1.
func eachRole(t *testing.T, f func(t *testing.T, p *peer)) {
	t.Helper()
	t.Run("server", func(t *testing.T) {
		bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
			p := newPeer(t, v, spdy.Config{}, func(http.ResponseWriter, *http.Request) {})
			defer p.close()
			p.wantServed("before", 1)
			f(t, p)
			p.wantServed("afterwards", 9999)
		})
	})
	t.Run("client", func(t *testing.T) {
		bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
			p := newPeer(t, v, spdy.Config{}, nil)
			defer p.close()
			p.wantAnswered("before")
			f(t, p)
			p.wantAnswered("afterwards")
		})
	})
}

// TestAttackA28StrayData: DATA on streams that we did not reset breaks a rule, and is
// answered once for each stream.
func TestAttackA28StrayData(t *testing.T) {
	eachRole(t, func(t *testing.T, p *peer) {
		stray := &spdy.DataFrame{StreamID: 777, Data: []byte("x")}
		p.send(stray)
		p.want("the stream was never opened", "RST_STREAM 777 INVALID_STREAM")
		require.EqualValues(t, 1, p.s.Stats().ChargedResets)
		for range 100 {
			p.send(stray)
		}
		p.want("it has been answered")
		require.EqualValues(t, 1, p.s.Stats().ChargedResets)

		after := &spdy.DataFrame{StreamID: 1, Data: []byte("x")}
		p.send(after)
		charged := 1
		if p.v == spdy.SPDY2 {
			p.want("SPDY/2 ignores DATA after FIN")
		} else {
			charged = 2
			p.want("DATA after FIN", "RST_STREAM 1 PROTOCOL_ERROR")
		}
		for range 100 {
			p.send(after)
		}
		p.want("it has been answered")
		require.EqualValues(t, charged, p.s.Stats().ChargedResets)
	})
}

// TestAttackA28LateHeaders: responses that were in flight for cancelled requests do not end
// the session, however much work it is to inflate them; those to requests that were never
// sent do.
func TestAttackA28LateHeaders(t *testing.T) {
	const streams = 200
	t.Run("cancelled", func(t *testing.T) {
		bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
			p := cancelled(t, v, spdy.Config{}, streams)
			defer p.close()
			before := p.s.Stats().IdleFrames
			p.sendLarge(streams)
			p.want("silence")
			require.Equal(t, before, p.s.Stats().IdleFrames)
			p.wantAnswered("afterwards")
		})
	})
	t.Run("never sent", func(t *testing.T) {
		bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
			p := newPeer(t, v, spdy.Config{}, nil)
			defer p.close()
			p.sendLarge(streams + 100)
			p.wantFlood("nobody asked for these", spdy.BudgetIdleFrames)
		})
	})
}

// sendLarge sends n replies with 200 KiB of one letter. The third and later frames repeat
// the second one: a block that follows an equal block is compressed to the same bytes.
func (p *peer) sendLarge(n int) {
	p.t.Helper()
	headers := answer(p.v)
	for _, name := range []string{"a", "b", "c", "d"} { // SPDY/2 allows 64 KiB a value
		headers = append(headers, spdy.HeaderField{Name: name, Value: strings.Repeat("a", 50<<10)})
	}
	for i := range n {
		id := uint32(2*i + 1)
		if i < 2 {
			p.send(&spdy.SynReplyFrame{StreamID: id, Flags: spdy.FlagFin, Headers: headers})
			continue
		}
		binary.BigEndian.PutUint32(p.tap.last[8:], id)
		require.NoError(p.t, p.f.WriteRaw(slices.Clone(p.tap.last)))
	}
}
