package spdy

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSpecHeaders(t *testing.T) {
	testBlocksThatComeToNothing(t)
	testLostCompression(t)
	for name, bad := range map[string]struct {
		versions []Version
		block    func(v Version) []byte
	}{
		"H3/9 pairs of 5": {everyVersion, func(v Version) []byte {
			return nvBlock(v, 9, "a", "1", "b", "2", "c", "3", "d", "4", "e", "5")
		}},
		"H3/a byte left over":  {everyVersion, func(v Version) []byte { return append(nvBlock(v, 1, "a", "1"), 0) }},
		"H3/count cut short":   {everyVersion, func(v Version) []byte { return nvBlock(v, 0)[:1] }},
		"H3/nothing":           {everyVersion, func(v Version) []byte { return []byte{} }},
		"H3/length beyond end": {everyVersion, func(v Version) []byte { b := nvBlock(v, 1, "a", "1"); return b[:len(b)-1] }},
		"H4/name of 0 bytes":   {everyVersion, func(v Version) []byte { return nvBlock(v, 1, "", "1") }},
		"H5/upper case":        {everyVersion, func(v Version) []byte { return nvBlock(v, 1, "X-Foo", "1") }},
		"H5/space":             {everyVersion, func(v Version) []byte { return nvBlock(v, 1, "x foo", "1") }},
		"H5/colon":             {everyVersion, func(v Version) []byte { return nvBlock(v, 1, "x:foo", "1") }},
		"H5/8 bits":            {everyVersion, func(v Version) []byte { return nvBlock(v, 1, "x\xfc", "1") }},
		"H6/twice":             {everyVersion, func(v Version) []byte { return nvBlock(v, 3, "a", "1", "b", "2", "a", "3") }},
		"H7/NUL first":         {version3, func(v Version) []byte { return nvBlock(v, 1, "a", "\x001") }},
		"H7/NUL last":          {version3, func(v Version) []byte { return nvBlock(v, 1, "a", "1\x00") }},
		"H7/two NULs":          {version3, func(v Version) []byte { return nvBlock(v, 1, "a", "1\x00\x002") }},
		"H8/two NULs":          {onlyVersion2, func(v Version) []byte { return nvBlock(v, 1, "a", "1\x00\x002") }},
		"H11/line break":       {everyVersion, func(v Version) []byte { return nvBlock(v, 1, "x", "a\r\ny: b") }},
		"H11/control":          {everyVersion, func(v Version) []byte { return nvBlock(v, 1, "x", "a\x1b") }},
		"H11/DEL":              {everyVersion, func(v Version) []byte { return nvBlock(v, 1, "x", "a\x7f") }},
	} {
		testSpoiltBlock(t, name, bad.versions, bad.block)
	}
	accepted := func(want HeaderField, raw ...string) func(p *testPeer) {
		return func(p *testPeer) {
			p.send(&SynStreamFrame{StreamID: p.peerID(), Block: p.f.CompressBlock(nvBlock(p.version, len(raw)/2, raw...))})
			st := p.wantAccept("it is accepted", p.peerID())
			if len(raw) > 0 {
				require.Equal(p.t, HeaderBlock{want}, p.app.headersOf(st))
			} else {
				require.Empty(p.t, p.app.headersOf(st))
			}
			p.send(&HeadersFrame{StreamID: p.peerID(), Block: p.f.CompressBlock(nvBlock(p.version, len(raw)/2, raw...))})
			p.isOpen("in HEADERS too", st)
			p.wantUsable("afterwards", p.peerID()+2)
		}
	}
	ruleBoth(t, "H9", onlyVersion2, "empty value", accepted(HeaderField{"x", ""}, "x", ""))
	ruleBoth(t, "H10", version3, "empty value", accepted(HeaderField{"x", ""}, "x", ""))
	ruleBoth(t, "H18", version3, "no pairs", accepted(HeaderField{}))
	testBlockSizes(t)
	testSentBlocks(t)
}

func testSpoiltBlock(t *testing.T, name string, versions []Version, block func(v Version) []byte) {
	id, name, _ := strings.Cut(name, "/")
	ruleBoth(t, id, versions, name+"/SYN_STREAM", func(p *testPeer) {
		p.send(&SynStreamFrame{StreamID: p.peerID(), Block: p.f.CompressBlock(block(p.version))})
		p.wantRst("only the stream is spoilt", p.peerID(), RstProtocolError)
		p.wantNoAccept("nobody sees it")
		p.wantUsable("afterwards", p.peerID()+2)
	})
	ruleClient(t, id, versions, name+"/SYN_REPLY", func(p *testPeer) {
		st := p.ours1("a request", 0)
		reply := p.startReply(st)
		p.send(&SynReplyFrame{StreamID: st.id, Block: p.f.CompressBlock(block(p.version))})
		p.wantRst("only the stream is spoilt", st.id, RstProtocolError)
		reply.failsReset("there is no reply", RstProtocolError, false)
		p.wantUsable("afterwards", 2)
	})
	ruleBoth(t, id, versions, name+"/HEADERS", func(p *testPeer) {
		st := p.repliedTo("a stream", 0)
		p.send(&HeadersFrame{StreamID: st.id, Block: p.f.CompressBlock(block(p.version))})
		p.wantRst("only the stream is spoilt", st.id, RstProtocolError)
		p.endsReset("only the stream is spoilt", st, RstProtocolError, false)
		p.wantUsable("afterwards", p.peerID())
	})
}

// testBlocksThatComeToNothing sends blocks that build on each other, the first of
// which nobody wants. CompressFull makes every block refer to those before it.
func testBlocksThatComeToNothing(t *testing.T) {
	value := HeaderField{"some-name", "some value that is worth a reference"}
	lost := map[string]func(p *testPeer){
		"refused": func(p *testPeer) {
			p.s.conf.MaxConcurrentStreams = 0
			p.sendSynStream(p.peerID(), 0, value)
			p.wantRst("refused", p.peerID(), RstRefusedStream)
			p.s.conf.MaxConcurrentStreams = 9
		},
		"unknown stream": func(p *testPeer) {
			p.sendHeaders(p.peerID()+8, 0, value)
			p.wantRst("unknown", p.peerID()+8, RstInvalidStream)
		},
		"stream that we reset": func(p *testPeer) {
			st := p.ours1("ours", 0)
			st.reset(RstCancel, "", nil)
			p.wantRst("ours", st.id, RstCancel)
			p.sendSynReply(st.id, 0, value)
		},
		"malformed": func(p *testPeer) {
			p.sendSynStream(p.peerID(), 0, value, HeaderField{"A", "\x01"})
			p.wantRst("malformed", p.peerID(), RstProtocolError)
		},
		"after GOAWAY": func(p *testPeer) {
			keep := p.theirs("it keeps the session open", p.peerID(), 0)
			p.s.goAway()
			p.wantGoAway("we take no more", keep.id, GoAwayOK)
			p.sendSynStream(p.peerID()+2, 0, value)
			p.wantNothing("it is ignored")
			p.sendHeaders(keep.id, 0, value)
			p.isOpen("the next block decodes", keep)
			require.Equal(p.t, HeaderBlock{value}, keep.lateHeaders())
		},
	}
	for name, lose := range lost {
		ruleBoth(t, "H1", everyVersion, name, func(p *testPeer) {
			p.f.Compression = CompressFull
			lose(p)
			if p.s.end.saidGoAway {
				return
			}
			st := p.repliedTo("a stream", 0)
			p.sendHeaders(st.id, 0, value)
			p.isOpen("the next block decodes", st)
			require.Equal(p.t, HeaderBlock{value}, st.lateHeaders())
			p.wantUsable("afterwards", p.peerID()+20)
		})
	}
}

func testLostCompression(t *testing.T) {
	deflated := func(v Version, dict []byte, finish bool) []byte {
		var b bytes.Buffer
		w, err := zlib.NewWriterLevelDict(&b, zlib.BestSpeed, dict)
		require.NoError(t, err)
		_, _ = w.Write(nvBlock(v, 0))
		if finish {
			require.NoError(t, w.Close())
		} else {
			require.NoError(t, w.Flush())
		}
		return b.Bytes()
	}
	other := func(v Version) []byte {
		if v == SPDY2 {
			return []byte(dictionarySPDY3)
		}
		return []byte(dictionarySPDY2)
	}
	first := map[string]func(v Version) []byte{
		"garbage":             func(Version) []byte { return []byte("garbage, in short") },
		"other dictionary":    func(v Version) []byte { return deflated(v, other(v), false) },
		"no dictionary":       func(v Version) []byte { return deflated(v, nil, false) },
		"Z_FINISH":            func(v Version) []byte { return deflated(v, v.dictionaryBytes(), true) },
		"bytes after end":     func(v Version) []byte { return append(deflated(v, v.dictionaryBytes(), true), 1, 2, 3) },
		"cut short":           func(v Version) []byte { b := deflated(v, v.dictionaryBytes(), false); return b[:len(b)-4] },
		"no block":            func(Version) []byte { return []byte{} },
		"dictionary misspelt": func(v Version) []byte { return deflated(v, v.dictionaryBytes()[1:], false) },
	}
	for name, block := range first {
		ruleBoth(t, "H2", everyVersion, name, func(p *testPeer) {
			p.send(&SynStreamFrame{StreamID: p.peerID(), Block: block(p.version)})
			p.wantSessionError("nothing can be read any more", 0, GoAwayProtocolError)
		})
	}
	for i, typ := range []string{"SYN_STREAM", "SYN_REPLY", "HEADERS"} {
		ruleBoth(t, "H2", everyVersion, "later "+typ, func(p *testPeer) {
			p.theirs("the first block is good", p.peerID(), FlagFin)
			p.send(headerFrames(p.peerID()+2, nil, []byte("\x01\x00\x00\xff\xff"))[i])
			p.wantSessionError("a final block", p.peerID(), GoAwayProtocolError)
		})
	}
}

func testBlockSizes(t *testing.T) {
	limited := peerOpts{conf: Config{MaxHeaderBytes: 8 << 10}}
	ruleBoth(t, "H12", everyVersion, "bomb", func(p *testPeer) {
		bombs := hardBombs(p.t, p.version)
		p.send(&SynStreamFrame{StreamID: p.peerID(), Block: bombs[0]})
		p.wantReset("as far as we inflate it", p.peerID(), RstFrameTooLarge)
		p.wantAlive("that was a stream's affair")
		p.send(&SynStreamFrame{StreamID: p.peerID() + 2, Block: bombs[1]})
		p.wantSessionError("and no further", 0, GoAwayProtocolError)
	}, limited)
	ruleBoth(t, "H14", onlyVersion2, "too long for 16 bits", func(p *testPeer) {
		for _, h := range []HeaderBlock{
			{{"cookie", strings.Repeat("a", 70000)}}, {{strings.Repeat("a", 70000), ""}}, make(HeaderBlock, 70000),
		} {
			_, err := appendNameValue(nil, p.version, h)
			require.Error(p.t, err)
		}
		p.ours1("what comes next is in step", 0)
		p.wantUsable("afterwards", p.peerID())
	})
	ruleStory(t, "H14", onlyVersion2, "request and answer", func(t *testing.T, v Version) {
		r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" {
				w.Header().Set("X-Long", strings.Repeat("a", 70000))
			}
		}), rigSetup{client: &Config{Version: v}, server: &Config{Version: v}})
		defer r.close()
		_, _, err := r.fetch(r.request("GET", "/short", nil, "Cookie", strings.Repeat("a", 70000)))
		var he *headerError
		require.ErrorAs(t, err, &he)
		res, _, err := r.fetch(r.request("GET", "/", nil))
		require.NoError(t, err)
		require.Equal(t, 500, res.StatusCode, "the server has to give up")
		res, _, err = r.fetch(r.request("GET", "/short", nil))
		require.NoError(t, err)
		require.Equal(t, 200, res.StatusCode)
	})
	ruleBoth(t, "H15", everyVersion, "too large for a frame", func(p *testPeer) {
		other := p.ours1("another stream", 0)
		_, err := p.s.OpenStream(p.t.Context(), largeBlock(17<<20), StreamOptions{})
		var e *HeaderTooLargeError
		require.ErrorAs(p.t, err, &e)
		p.isOpen("another stream", other)
		p.ours1("what comes next is in step", 0)
		p.wantUsable("afterwards", p.peerID())
	}, peerOpts{conf: Config{Compression: CompressNone}})
}

// hardBombs returns two blocks of a peer: the largest that a session inflates, and one that
// is larger.
func hardBombs(t testing.TB, v Version) [][]byte {
	var blocks [][]byte
	for _, size := range []int{leastHardLimit - 10000, leastHardLimit} {
		nv, err := appendNameValue(nil, v, largeBlock(size))
		require.NoError(t, err)
		blocks = append(blocks, nv)
	}
	return zlibBlocks(t, 9, v.dictionary(), blocks...)
}

// largeBlock returns a block of at least size bytes, of many values because SPDY/2 has
// none so long.
func largeBlock(size int) (h HeaderBlock) {
	for i := range (size + 65534) / 65535 {
		h = append(h, HeaderField{fmt.Sprint("large", i), strings.Repeat("a", min(65535, size-i*65535))})
	}
	return h
}

func testSentBlocks(t *testing.T) {
	ruleBoth(t, "H13", everyVersion, "100 streams at once", func(p *testPeer) {
		var wg sync.WaitGroup
		for i := range 100 {
			st := p.s.newLocalStream(uint8(i % 8))
			p.opened = append(p.opened, st)
			b := p.block(HeaderField{"name", fmt.Sprint("stream ", i, " of one hundred")}, HeaderField{"more", strings.Repeat(fmt.Sprint(i), 100)})
			wg.Go(func() { assert.NoError(p.t, p.s.open(p.t.Context(), st, b, FlagFin)) })
		}
		wg.Wait()
		seen := map[string]bool{}
		for i := range 100 {
			f := p.wantSynStream("ids rise, and the block decodes", p.firstID()+uint32(2*i))
			name, _ := f.Headers.Get("name")
			seen[name] = true
		}
		require.Len(p.t, seen, 100)
		p.wantUsable("afterwards", p.peerID())
	}, peerOpts{conf: Config{Compression: CompressFull}})
	hop := []string{"Connection", "X-Hop", "X-Hop", "1", "Keep-Alive", "5", "Proxy-Connection", "close", "Transfer-Encoding", "chunked", "X-Stays", "1"}
	ruleStory(t, "H16,H17", version3, "hop by hop", func(t *testing.T, v Version) { testHopByHop(t, v, hop) })
	ruleStory(t, "H17", onlyVersion2, "hop by hop", func(t *testing.T, v Version) { testHopByHop(t, v, hop) })
}

// testHopByHop looks at what both ends send, and then sends them what they should not.
func testHopByHop(t *testing.T, v Version, hop []string) {
	var got http.Header
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header.Clone()
		for i := 0; i < len(hop); i += 2 {
			w.Header().Set(hop[i], hop[i+1])
		}
	})
	raw := []string{"connection", "x", "keep-alive", "5", "proxy-connection", "close", "transfer-encoding", "chunked", "host", "elsewhere", "x-stays", "1"}
	if v == SPDY2 {
		raw = append(raw[:8], raw[10:]...) // host is a pseudo header there
	}
	names := func(h HeaderBlock) (names []string) {
		for _, f := range h {
			names = append(names, f.Name)
		}
		return names
	}
	forbidden := []string{"connection", "x-hop", "keep-alive", "proxy-connection", "transfer-encoding"}

	p := newPeer(t, asServer, peerOpts{version: v, app: newHTTPServerApp(&http.Server{Handler: handler})})
	p.send(&SynStreamFrame{StreamID: 1, Flags: FlagFin, Headers: plainGet(v, raw...)})
	reply := p.wantSynReply("the request is served", 1)
	require.Equal(t, http.Header{"X-Stays": {"1"}}, got)
	require.Contains(t, names(reply.Headers), "x-stays")
	for _, name := range forbidden {
		require.NotContains(t, names(reply.Headers), name)
	}

	p = newPeer(t, asClient, peerOpts{version: v, app: newHTTPClientApp(nil)})
	req, err := http.NewRequest("GET", "http://example.com/", nil)
	require.NoError(t, err)
	for i := 0; i < len(hop); i += 2 {
		req.Header.Set(hop[i], hop[i+1])
	}
	var res *http.Response
	c := p.async("RoundTrip", func(c *call) { res, c.err = p.s.RoundTrip(req) })
	sent := p.wantSynStream("the request", 1)
	require.Contains(t, names(sent.Headers), "x-stays")
	require.Contains(t, names(sent.Headers), "x-hop", "a proxy may have added it")
	forbidden = []string{"connection", "keep-alive", "proxy-connection", "transfer-encoding"}
	if v != SPDY2 {
		forbidden = append(forbidden, "host")
	}
	for _, name := range forbidden {
		require.NotContains(t, names(sent.Headers), name)
	}
	p.send(&SynReplyFrame{StreamID: 1, Flags: FlagFin, Headers: plainOK(v, raw[:8]...)})
	c.ok("the answer is taken")
	require.Empty(t, res.Header)
	synctest.Wait()
}
