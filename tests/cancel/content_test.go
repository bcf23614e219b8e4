package cancel_test

import (
	"encoding/binary"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// encoded is an uncompressed header block, with a count of pairs that may be wrong.
func encoded(v spdy.Version, count int, h spdy.HeaderBlock) (b []byte) {
	num := func(n int) {
		if v == spdy.SPDY2 {
			b = binary.BigEndian.AppendUint16(b, uint16(n))
		} else {
			b = binary.BigEndian.AppendUint32(b, uint32(n))
		}
	}
	num(count)
	for _, f := range h {
		num(len(f.Name))
		b = append(b, f.Name...)
		num(len(f.Value))
		b = append(b, f.Value...)
	}
	return b
}

// naive are headers that a naive peer takes over from strangers.
var naive = map[string]spdy.HeaderBlock{
	"an empty value before another": {{Name: "x", Value: "\x00y"}},
	"an empty value at the end":     {{Name: "x", Value: "a\x00"}},
	"an empty value between":        {{Name: "x", Value: "a\x00\x00b"}},
	"a control byte":                {{Name: "x", Value: "a\x01b"}},
	"a line end":                    {{Name: "x", Value: "a\r\nb"}},
	"no name":                       {{Name: "", Value: "a"}},
	"a space in a name":             {{Name: "a b", Value: "a"}},
	"upper case":                    {{Name: "Abc", Value: "a"}},
	"a name twice":                  {{Name: "x", Value: "a"}, {Name: "x", Value: "b"}},
}

// naiveBlocks calls f for each header block of a naive peer, and for one that has been cut.
func naiveBlocks(v spdy.Version, f func(what string, nv func(h spdy.HeaderBlock) []byte)) {
	for what, bad := range naive {
		if v == spdy.SPDY2 && (what == "an empty value before another" || what == "an empty value at the end") {
			continue // which SPDY/2 allows
		}
		f(what, func(h spdy.HeaderBlock) []byte { return encoded(v, len(h)+len(bad), append(h, bad...)) })
	}
	f("a pair too few", func(h spdy.HeaderBlock) []byte { return encoded(v, len(h)+1, h) })
}

// spoilt wants the stream to be reset for what was in a header block, and nothing else.
func (p *peer) spoilt(what string, id uint32) {
	p.t.Helper()
	all := p.frames()
	require.Len(p.t, all, 1, what)
	require.Equal(p.t, &spdy.RstStreamFrame{StreamID: id, Status: spdy.RstProtocolError}, all[0], what)
	require.NoError(p.t, p.s.Err(), what)
	require.Zero(p.t, p.s.Stats().ChargedResets, what)
}

// strict is a configuration that tolerates two violations and no more.
var strict = spdy.Config{ResetBurst: 1, ResetRate: 1}

// TestAttackA28Content: what is in a header block is up to whoever the peer carries it for,
// so it costs its stream and is not charged.
func TestAttackA28Content(t *testing.T) {
	t.Run("SYN_STREAM", func(t *testing.T) {
		bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
			p, _, _ := stuck(t, v, strict)
			defer p.close()
			id := uint32(1)
			naiveBlocks(v, func(what string, nv func(spdy.HeaderBlock) []byte) {
				for range 5 {
					p.send(&spdy.SynStreamFrame{StreamID: id, Block: p.f.CompressBlock(nv(request(v, "GET", "/")))})
					p.spoilt(what, id)
					id += 2
				}
			})
			p.wantServed("afterwards", id)
		})
	})
	t.Run("trailers", func(t *testing.T) {
		bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
			p, _, stop := stuck(t, v, spdy.Config{ResetBurst: 1000, ResetRate: 1})
			defer p.close()
			defer stop()
			id := uint32(1)
			naiveBlocks(v, func(what string, nv func(spdy.HeaderBlock) []byte) {
				p.send(&spdy.SynStreamFrame{StreamID: id, Headers: request(v, "POST", "/stuck")})
				p.send(&spdy.HeadersFrame{StreamID: id, Flags: spdy.FlagFin, Block: p.f.CompressBlock(nv(nil))})
				p.spoilt(what, id)
				id += 2
			})
			once := &spdy.HeadersFrame{StreamID: id, Headers: spdy.HeaderBlock{{Name: "x", Value: "a"}}}
			p.send(&spdy.SynStreamFrame{StreamID: id, Headers: request(v, "POST", "/stuck")}, once, once)
			p.spoilt("a name in two frames", id)
			p.wantServed("afterwards", id+2)
		})
	})
	t.Run("answer", func(t *testing.T) { bubble.InVersions(t, "", spoiltAnswers) })
}

// spoiltAnswers has a server answer requests with what a naive one takes over from handlers.
func spoiltAnswers(t *testing.T, v spdy.Version) {
	p := newPeer(t, v, strict, nil)
	defer p.close()
	id := uint32(1)
	// ask makes a request, has send answer it, and wants that to fail.
	ask := func(what string, send func()) {
		c := p.get("/")
		synctest.Wait()
		require.IsType(t, &spdy.SynStreamFrame{}, p.frames()[0])
		send()
		p.noPing(what, id)
		require.True(t, c.ended(), what)
		require.Error(t, <-c.err, what)
		id += 2
	}
	naiveBlocks(v, func(what string, nv func(spdy.HeaderBlock) []byte) {
		ask(what, func() {
			p.send(&spdy.SynReplyFrame{StreamID: id, Block: p.f.CompressBlock(nv(answer(v)))})
		})
		ask(what, func() {
			p.send(&spdy.SynReplyFrame{StreamID: id, Headers: answer(v)})
			p.send(&spdy.HeadersFrame{StreamID: id, Block: p.f.CompressBlock(nv(nil))})
		})
	})
	early := answer(v)
	early[0].Value = "103"
	ask("an interim answer that is the last", func() {
		p.send(&spdy.SynReplyFrame{StreamID: id, Flags: spdy.FlagFin, Headers: early})
	})
	ask("no status after an interim answer", func() {
		p.send(&spdy.SynReplyFrame{StreamID: id, Headers: early}, &spdy.HeadersFrame{StreamID: id, Headers: answer(v)[1:]})
	})
	p.wantAnswered("afterwards")
}

// noPing is spoilt for a stream of a client, which asks by a PING whether the reset has come.
func (p *peer) noPing(what string, id uint32) {
	p.t.Helper()
	all := p.frames()
	require.Equal(p.t, &spdy.RstStreamFrame{StreamID: id, Status: spdy.RstProtocolError}, all[0], what)
	for _, ping := range pings(all) {
		p.send(&spdy.PingFrame{ID: ping})
	}
	require.NoError(p.t, p.s.Err(), what)
	require.Zero(p.t, p.s.Stats().ChargedResets, what)
}

// TestAttackA28SpoiltWork: a stream that its own header block has spoilt counts as one that
// was cancelled, for as long as its handler runs.
func TestAttackA28SpoiltWork(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		p, _, stop := stuck(t, v, spdy.Config{ResetBurst: 2, ResetRate: 1})
		defer p.close()
		for i := range uint32(2) {
			id := 2*i + 1
			p.send(&spdy.SynStreamFrame{StreamID: id, Headers: request(v, "POST", "/stuck")})
			p.send(&spdy.HeadersFrame{StreamID: id, Block: p.f.CompressBlock(encoded(v, 1, naive["a control byte"]))})
			p.spoilt("a trailer", id)
		}
		for id := uint32(5); id < 25; id += 2 {
			p.send(p.open(id))
			require.Equal(t, "RST_STREAM REFUSED_STREAM", refusal(p.frames()), "two handlers run for nothing")
		}
		stop()
		synctest.Wait()
		p.wantServed("they have returned", 25)
		require.Zero(t, p.s.Stats().ChargedResets)
	})
}

// refusal describes the only frame that is no PING, if it is a RST_STREAM.
func refusal(frames []spdy.Frame) string {
	for _, frame := range frames {
		if r, ok := frame.(*spdy.RstStreamFrame); ok && len(frames) == 1 {
			return "RST_STREAM " + r.Status.String()
		}
	}
	return "something else"
}
