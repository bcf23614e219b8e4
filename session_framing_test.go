package spdy

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// The names of the subtests here and in the other session tests begin with the
// rules of SPEC §4 that they are about.

func TestFraming(t *testing.T) {
	for _, size := range []int{1, 2, 7, 8, 9, 511, 513} {
		story(t, fmt.Sprintf("F1/reads of %d bytes", size), func(t *testing.T) {
			p := newPeer(t, asServer, peerOpts{conn: []testconn.Option{testconn.First(testconn.ReadSize(size))}})
			p.sendControl(12, 0, testBytes(700)...)
			p.sendSynStream(1, 0, HeaderField{"name", strings.Repeat("value", 300)})
			st := p.wantAccept("the request", 1)
			want := p.sendBulk(1, 6000, FlagFin)
			p.wantRead("the body", st, want)
			p.wantEOF("the body", st)
			p.wantUsable("afterwards", 3)
		})
	}
	story(t, "F2/control frame of 8192 bytes", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.f.Compression = CompressNone
		p.sendSynStream(1, 0, HeaderField{"name", strings.Repeat("v", 8192-60)})
		p.wantAccept("it is accepted", 1)
		p.wantUsable("afterwards", 3)
	})
	storyBoth(t, "F5,F15/unknown control types", func(t *testing.T, r role) {
		p := newPeer(t, r)
		for _, typ := range []FrameType{0, FrameNoop, FrameCredential, 11, 12, 0xffff} {
			p.sendControl(typ, 0xff, 1, 2, 3, 4)
			p.sendControl(typ, 0)
			p.sendControl(typ, 0, make([]byte, 70000)...)
			p.wantAlive("skipped")
		}
		p.wantUsable("afterwards", p.peerID())
	})
	story(t, "F6/SYN_STREAM of another version", func(t *testing.T) {
		for _, version := range []uint16{0, 1, 2, 4, 0x7fff} {
			p := newPeer(t, asServer)
			p.send(&UnknownFrame{Version: version, Type: FrameSynStream, Data: []byte{0x80, 0, 0, 9, 0, 0, 0, 0, 0, 0, 1, 2, 3}})
			p.wantRst("the stream is refused", 9, RstUnsupportedVersion)
			p.wantSessionError("and the compression context lost", 0, GoAwayProtocolError)
		}
	})
	story(t, "F7/other frames of another version", func(t *testing.T) {
		p := newPeer(t, asServer)
		for _, typ := range []FrameType{FrameRstStream, FrameSettings, FramePing, FrameGoAway, FrameWindowUpdate, 99} {
			p.send(&UnknownFrame{Version: 9, Type: typ, Data: []byte{0, 0, 0, 0, 0, 0, 0, 0}})
			p.send(&UnknownFrame{Version: 2, Type: typ, Data: []byte("what")})
			p.wantAlive("skipped")
		}
		p.wantUsable("afterwards", 1)
	})
	for _, typ := range []FrameType{FrameSynReply, FrameHeaders, FrameSynStream} {
		story(t, fmt.Sprintf("F6,F7/short %v of another version", typ), func(t *testing.T) {
			p := newPeer(t, asServer)
			p.send(&UnknownFrame{Version: 2, Type: typ, Data: []byte{0, 0, 0}})
			p.wantSessionError("the compression context is lost", 0, GoAwayProtocolError)
		})
	}
	testWrongLengths(t)
	testReservedBits(t)
	story(t, "F11/DATA said to be compressed", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.sendSynStream(1, 0)
		st := p.wantAccept("a stream", 1)
		read := p.startRead(st, 10)
		p.sendData(1, "unreadable", 0x02)
		p.wantRst("no way to read it", 1, RstProtocolError)
		read.failsReset("the bytes are not delivered", RstProtocolError, false)
		p.wantUsable("afterwards", 3)
	})
	story(t, "F13/empty DATA", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.sendSynStream(1, 0)
		st := p.wantAccept("a stream", 1)
		read := p.startRead(st, 10)
		p.sendData(1, "", 0)
		p.sendData(1, "", 0)
		read.pending("empty frames are nothing to read")
		p.sendData(1, "", FlagFin)
		read.fails("the FIN is", io.EOF)
		p.wantUsable("afterwards", 3)
	})
}

func testWrongLengths(t *testing.T) {
	right := map[FrameType][]int{
		FrameSynStream: nil, FrameSynReply: nil, FrameHeaders: nil, // any from 10, 4 and 4 on
		FrameRstStream: {8}, FrameSettings: {4}, FramePing: {4}, FrameGoAway: {8}, FrameWindowUpdate: {8},
	}
	least := map[FrameType]int{FrameSynStream: 10, FrameSynReply: 4, FrameHeaders: 4}
	for typ, legal := range right {
		for n := range 20 {
			if slices.Contains(legal, n) || legal == nil && n >= least[typ] {
				continue
			}
			story(t, fmt.Sprintf("F8/%v of %d bytes", typ, n), func(t *testing.T) {
				p := newPeer(t, asServer)
				payload := make([]byte, n)
				if n > 3 && typ != FrameSettings {
					payload[3] = 1 // a stream id
				}
				p.sendControl(typ, 0, payload...)
				p.wantSessionError("the length is wrong", 0, GoAwayProtocolError)
			})
		}
	}
	story(t, "F8,T18/SETTINGS that claim too much", func(t *testing.T) {
		for _, n := range []uint32{0, 2, 3, 1 << 29, 1 << 31, 0xffffffff} {
			p := newPeer(t, asServer)
			p.sendControl(FrameSettings, 0, binary.BigEndian.AppendUint32(nil, n)[0], byte(n>>16), byte(n>>8), byte(n), 0, 0, 0, 4, 0, 0, 0, 1)
			p.wantSessionError("the count does not fit the length", 0, GoAwayProtocolError)
		}
	})
	for _, typ := range []FrameType{FrameData, FrameSynStream, FrameSynReply, FrameHeaders, FrameRstStream} {
		storyBoth(t, fmt.Sprintf("F12/%v on stream 0", typ), func(t *testing.T, r role) {
			p := newPeer(t, r)
			for _, f := range append(headerFrames(0, HeaderBlock{}, nil), &RstStreamFrame{Status: RstCancel}, &DataFrame{Data: []byte("x")}) {
				if f.FrameType() == typ {
					p.send(f)
				}
			}
			p.wantSessionError("no stream has the id 0", 0, GoAwayProtocolError)
		})
	}
}

func testReservedBits(t *testing.T) {
	story(t, "F9,F10/reserved bits and flags", func(t *testing.T) {
		p := newPeer(t, asServer)
		block := p.f.CompressBlock([]byte{0, 0, 0, 0})
		payload := append([]byte{0x80, 0, 0, 1, 0x80, 0, 0, 0, 0x5f, 0xff}, block...)
		p.sendControl(FrameSynStream, 0x81, payload...)
		st := p.wantAccept("a stream with the X bit", 1)
		require.EqualValues(t, 2, st.priority)
		require.Zero(t, st.assoc)
		p.wantEOF("0x81 is FIN", st)
		p.sendControl(FramePing, 0xff, 0, 0, 0, 1)
		p.wantPing("PING has no flags", 1)
		p.sendControl(FrameWindowUpdate, 0xff, 0x80, 0, 0, 1, 0x80, 0, 0, 5)
		p.reply(st, 0)
		p.wantSynReply("the stream is open", 1)
		w := p.startWrite(st, testBytes(defaultWindow+6), 0)
		p.sendWindowUpdate(0, 100)
		p.wantData("the delta was 5", 1, defaultWindow+5)
		w.pending("one byte too many")
		p.sendControl(FrameRstStream, 0xff, 0x80, 0, 0, 1, 0, 0, 0, 5)
		w.failsReset("RST_STREAM with the X bit", RstCancel, true)
		p.sendControl(FrameGoAway, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0)
		p.wantGoAway("GOAWAY is understood", 1, GoAwayOK)
		p.wantOrderlyEnd("nothing is open")
	})
}

// TestFloods is about peers that make us answer and do not read (SPEC F14, P5).
func TestFloods(t *testing.T) {
	flood := map[string]func(p *testPeer, i int){
		"P5/PING": func(p *testPeer, i int) { p.sendPing(uint32(2*i + 1)) },
		"F14/DATA on unknown streams": func(p *testPeer, i int) {
			p.sendData(uint32(2*i+1), "", 0)
		},
		"F14/HEADERS on unknown streams": func(p *testPeer, i int) { p.sendHeaders(uint32(2*i+1), 0) },
		"F14/SYN_STREAM malformed":       func(p *testPeer, i int) { p.sendSynStream(uint32(2*i+1), 0, HeaderField{"", "x"}) },
		"F14/SYN_STREAM reset by us": func(p *testPeer, i int) {
			id := uint32(2*i + 1)
			p.sendSynStream(id, FlagFin)
			p.sendData(id, "", 0)
		},
	}
	for name, one := range flood {
		story(t, name+"/not read", func(t *testing.T) {
			p := newPeer(t, asServer, peerOpts{announce: true, conf: Config{ResetBurst: 20000},
				conn: []testconn.Option{testconn.First(testconn.WriteCap(100))}})
			for i := range 20000 {
				if p.s.Err() != nil {
					break
				}
				one(p, i)
			}
			synctest.Wait()
			require.ErrorIs(t, p.s.Err(), ErrFlood, "a peer may not make us queue without bound")
			p.s.mu.Lock()
			queued := cap(p.s.control)
			p.s.mu.Unlock()
			require.LessOrEqual(t, queued, 3*defaultMaxOwedReplies)
			p.served.pending("the GOAWAY may still get through")
			p.advance(linger)
			p.served.wait("after a second the connection is closed")
		})
		story(t, name+"/read", func(t *testing.T) {
			p := newPeer(t, asServer)
			for i := range 10000 {
				one(p, i)
				if i%500 == 499 {
					for p.next("answers"); p.conn.Unread() > 0; {
						p.next("answers")
					}
					p.advance(500 / defaultResetRate * time.Second * 2)
				}
			}
			p.app.queue = nil
			p.wantUsable("a peer that reads may go on", 30001)
		})
	}
}

// TestTruncated cuts the connection inside a frame (SPEC F16).
func TestTruncated(t *testing.T) {
	frame := append(appendDataHeader(nil, 1, FlagFin, 100), testBytes(100)...)
	for _, cut := range []int{0, 1, 7, 8, 9, 57, 107} {
		story(t, fmt.Sprintf("F16/after %d bytes", cut), func(t *testing.T) {
			p := newPeer(t, asServer)
			p.sendSynStream(1, 0)
			st := p.wantAccept("a stream", 1)
			read := p.startReadAll(st)
			p.sendRaw(frame[:cut])
			p.conn.CloseWrite()
			read.fails("a cut is never a clean end", io.ErrUnexpectedEOF)
			var lost *ConnError
			require.ErrorAs(t, read.err, &lost)
			require.ErrorAs(t, p.s.Err(), &lost)
			p.endsWith("the stream is lost", st, p.s.Err())
			require.Equal(t, p.s.Err(), p.wantClosed("there is nobody to say goodbye to"))
		})
	}
	story(t, "F16/between two frames, nothing open", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.wantUsable("a whole exchange", 1)
		p.conn.CloseWrite()
		p.wantOrderlyEnd("that is how sessions end")
	})
	story(t, "F16/inside a frame, nothing open", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.sendRaw([]byte{0x80, 3, 0})
		p.conn.CloseWrite()
		err := p.wantClosed("this is not")
		require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	})
	story(t, "F16/connection reset", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.sendSynStream(1, 0)
		st := p.wantAccept("a stream", 1)
		read := p.startReadAll(st)
		ping := p.startPing(t.Context())
		p.wantPing("our PING", 2)
		p.conn.Reset()
		read.fails("reads fail", io.ErrUnexpectedEOF)
		var lost *ConnError
		require.ErrorAs(t, ping.wait("PINGs fail").err, &lost)
		require.ErrorAs(t, p.served.wait("Serve returns").err, &lost)
	})
}

func TestHeaderBlocks(t *testing.T) {
	testBlocksInOrder(t)
	testBrokenBlocks(t)
	nv := nvBlock(SPDY31, 1, "a", "1")
	for name, bad := range map[string][]byte{
		"H3/more pairs than there are": nvBlock(SPDY31, 9, "a", "1", "b", "2"),
		"H3/bytes after the last pair": append(bytes.Clone(nv), 0),
		"H3/count cut short":           {0, 0, 1},
		"H3/nothing at all":            {},
		"H3/length beyond the end":     {0, 0, 0, 1, 0, 0, 0, 9, 'a'},
		"H3/2^32-1 pairs":              {0xff, 0xff, 0xff, 0xff},
		"H4/name without a letter":     nvBlock(SPDY31, 1, "", "1"),
		"H5/upper case":                nvBlock(SPDY31, 1, "X-Foo", "1"),
		"H6/same name twice":           nvBlock(SPDY31, 2, "a", "1", "a", "2"),
		"H7/NUL first":                 nvBlock(SPDY31, 1, "a", "\x001"),
		"H7/NUL last":                  nvBlock(SPDY31, 1, "a", "1\x00"),
		"H7/two NULs":                  nvBlock(SPDY31, 1, "a", "1\x00\x002"),
		"H11/line break":               nvBlock(SPDY31, 1, "x", "a\r\ny: b"),
	} {
		testBadPairs(t, name, bad)
	}
	story(t, "H10,H18/empty values and blocks", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.sendSynStream(1, 0, HeaderField{"a", ""})
		st := p.wantAccept("empty value", 1)
		require.Equal(t, HeaderBlock{{"a", ""}}, p.app.headersOf(st))
		p.sendHeaders(1, 0)
		p.isOpen("empty block", st)
		p.sendSynStream(3, 0)
		require.Empty(t, p.app.headersOf(p.wantAccept("empty block", 3)))
		p.wantUsable("afterwards", 5)
	})
	story(t, "H3/no block at all", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.sendSynStream(1, FlagFin)
		p.wantAccept("the first block is good", 1)
		p.send(&SynStreamFrame{StreamID: 3, Block: []byte{}})
		p.wantRst("nothing inflates to nothing", 3, RstProtocolError)
		p.wantUsable("afterwards", 5)
	})
	testBlockLimits(t)
	story(t, "H17/hop-by-hop headers are stripped", func(t *testing.T) {
		got := make(chan http.Header, 1)
		handler := http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { got <- req.Header.Clone() })
		p := newPeer(t, asServer, peerOpts{app: newHTTPServerApp(&http.Server{Handler: handler})})
		p.send(&SynStreamFrame{StreamID: 1, Flags: FlagFin, Headers: plainGet(SPDY31, "connection", "close", "keep-alive", "5", "x", "1")})
		p.wantSynReply("the request is served", 1)
		require.Equal(t, http.Header{"X": {"1"}}, <-got)
	})
}

// testBlocksInOrder sends blocks that build on each other, the first of which
// come to nothing (SPEC H1). CompressFull makes every block refer to the ones
// before it.
func testBlocksInOrder(t *testing.T) {
	value := HeaderField{"some-name", "some value that is worth a reference"}
	lost := map[string]func(p *testPeer){
		"H1/refused by us": func(p *testPeer) {
			refuseStream(p, false, p.peerID())
			p.s.conf.MaxConcurrentStreams = 0
			p.sendSynStream(p.peerID()+2, 0, value)
			p.wantRst("refused", p.peerID()+2, RstRefusedStream)
			p.s.conf.MaxConcurrentStreams = 9
		},
		"H1/unknown stream": func(p *testPeer) {
			p.sendHeaders(p.peerID()+8, 0, value)
			p.wantRst("unknown", p.peerID()+8, RstInvalidStream)
			p.sendSynReply(p.firstID()+8, 0, value)
			p.wantRst("unknown", p.firstID()+8, RstInvalidStream)
		},
		"H1/stream reset by us": func(p *testPeer) {
			st := p.open("test", 0)
			p.wantSynStream("ours", st.id)
			st.reset(RstCancel, "", nil)
			p.wantRst("ours", st.id, RstCancel)
			p.sendSynReply(st.id, 0, value)
			p.sendHeaders(st.id, 0, value)
		},
		"H1/malformed pairs": func(p *testPeer) {
			p.sendSynStream(p.peerID(), 0, value, HeaderField{"A", ""}, HeaderField{"b", "\x00"})
			p.wantRst("malformed", p.peerID(), RstProtocolError)
		},
		"H1,F3/too large": func(p *testPeer) {
			p.sendSynStream(p.peerID(), 0, value, HeaderField{"large", string(testBytes(20000))})
			p.wantRst("too large", p.peerID(), RstFrameTooLarge)
		},
	}
	for name, lose := range lost {
		storyBoth(t, name, func(t *testing.T, r role) {
			p := newPeer(t, r, peerOpts{conf: Config{MaxHeaderBytes: 8 << 10}})
			p.f.Compression = CompressFull
			lose(p)
			p.sendSynStream(p.peerID()+20, 0, value)
			st := p.wantAccept("the next block decodes", p.peerID()+20)
			require.Equal(t, HeaderBlock{value}, p.app.headersOf(st))
			p.wantUsable("afterwards", p.peerID()+22)
		})
	}
}

func testBadPairs(t *testing.T, name string, bad []byte) {
	story(t, name+"/SYN_STREAM", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.send(&SynStreamFrame{StreamID: 1, Block: p.f.CompressBlock(bad)})
		p.wantRst("only the stream is spoilt", 1, RstProtocolError)
		p.wantNoAccept("nobody sees it")
		p.wantUsable("afterwards", 3)
	})
	story(t, name+"/SYN_REPLY", func(t *testing.T) {
		p := newPeer(t, asClient)
		reply := p.startReply(p.open("test", 0))
		p.wantSynStream("ours", 1)
		p.send(&SynReplyFrame{StreamID: 1, Block: p.f.CompressBlock(bad)})
		p.wantRst("only the stream is spoilt", 1, RstProtocolError)
		reply.failsReset("there is no reply", RstProtocolError, false)
		p.wantUsable("afterwards", 2)
	})
	story(t, name+"/HEADERS", func(t *testing.T) {
		p := newPeer(t, asClient)
		st := p.open("test", 0)
		p.wantSynStream("ours", 1)
		p.sendSynReply(1, 0)
		p.send(&HeadersFrame{StreamID: 1, Block: p.f.CompressBlock(bad)})
		p.wantRst("only the stream is spoilt", 1, RstProtocolError)
		p.endsReset("only the stream is spoilt", st, RstProtocolError, false)
		p.wantUsable("afterwards", 2)
	})
}

// brokenFirstBlocks are header blocks that no context can begin with.
func brokenFirstBlocks(t *testing.T) map[string][]byte {
	deflated := func(dict string, finish bool) []byte {
		var b bytes.Buffer
		w, err := zlib.NewWriterLevelDict(&b, zlib.BestSpeed, []byte(dict))
		require.NoError(t, err)
		_, _ = w.Write([]byte{0, 0, 0, 0})
		if finish {
			require.NoError(t, w.Close())
		} else {
			require.NoError(t, w.Flush())
		}
		return b.Bytes()
	}
	good := deflated(dictionarySPDY3, false)
	return map[string][]byte{
		"no zlib header":          []byte("garbage, in short"),
		"bad header check":        append([]byte{good[0], good[1] ^ 1}, good[2:]...),
		"dictionary of SPDY/2":    deflated(dictionarySPDY2, false),
		"dictionary of our own":   deflated("something else", false),
		"no dictionary":           deflated("", false),
		"Z_FINISH":                deflated(dictionarySPDY3, true),
		"bytes after the end":     append(deflated(dictionarySPDY3, true), 1, 2, 3),
		"block cut short":         good[:len(good)-4],
		"header cut short":        good[:5],
		"empty":                   {},
		"checksum in place of it": {0, 0, 0, 1, 0, 0, 0, 1},
	}
}

// brokenLaterBlocks are header blocks that no context can go on with.
var brokenLaterBlocks = map[string][]byte{
	"reserved block type":  {0x07, 1, 2, 3},
	"final block":          []byte("\x01\x00\x00\xff\xff"),
	"stored length broken": []byte("\x00\x01\x00\x00\x00x"),
	"stored block cut":     []byte("\x00\x09\x00\xf6\xffx"),
	"another zlib header":  {0x78, 0xbb, 0xe3, 0xc6, 0xa7, 0xc2},
}

func testBrokenBlocks(t *testing.T) {
	for name, block := range brokenFirstBlocks(t) {
		story(t, "H2/first block/"+name, func(t *testing.T) {
			p := newPeer(t, asServer)
			p.send(&SynStreamFrame{StreamID: 3, Block: block})
			p.wantSessionError("nothing can be read any more", 0, GoAwayProtocolError)
		})
	}
	for name, block := range brokenLaterBlocks {
		for i, typ := range []string{"SYN_STREAM", "SYN_REPLY", "HEADERS"} {
			storyBoth(t, fmt.Sprintf("H2/later %s/%s", typ, name), func(t *testing.T, r role) {
				p := newPeer(t, r)
				p.sendSynStream(p.peerID(), FlagFin)
				p.wantAccept("the first block is good", p.peerID())
				p.send(headerFrames(p.peerID()+2, nil, block)[i])
				p.wantSessionError("nothing can be read any more", p.peerID(), GoAwayProtocolError)
			})
		}
	}
}

func testBlockLimits(t *testing.T) {
	limited := peerOpts{conf: Config{MaxHeaderBytes: 8 << 10, MaxHeaderFields: 10}}
	large := func(n int) HeaderField { return HeaderField{"large", strings.Repeat("a", n)} }
	story(t, "F3,H12/over the limit", func(t *testing.T) {
		p := newPeer(t, asServer, limited)
		p.sendSynStream(1, 0, large(8<<10))
		p.wantRst("too large", 1, RstFrameTooLarge)
		p.sendSynStream(3, 0, large(8<<10-100))
		p.wantAccept("below the limit", 3)
		p.sendHeaders(3, 0, large(8<<10-100))
		p.wantIdle("late headers have the limit for themselves")
		p.sendHeaders(3, 0, HeaderField{"more", strings.Repeat("b", 200)})
		p.wantRst("but all of them together", 3, RstFrameTooLarge)
		p.wantUsable("afterwards", 5)
	})
	story(t, "H12/zip bomb", func(t *testing.T) {
		p := newPeer(t, asServer, limited)
		bombs := hardBombs(t, p.version)
		p.send(&SynStreamFrame{StreamID: 1, Block: bombs[0]})
		p.wantRst("as far as we inflate it", 1, RstFrameTooLarge)
		p.send(&SynStreamFrame{StreamID: 3, Block: bombs[1]})
		p.wantSessionError("and no further", 0, GoAwayProtocolError)
	})
	story(t, "H12/too many names", func(t *testing.T) {
		p := newPeer(t, asServer, limited)
		var many []HeaderField
		for i := range 11 {
			many = append(many, HeaderField{fmt.Sprint("name", i), ""})
		}
		p.sendSynStream(1, 0, many...)
		p.wantRst("eleven names", 1, RstFrameTooLarge)
		p.sendSynStream(3, 0, many[1:]...)
		p.wantAccept("ten names", 3)
		p.wantUsable("afterwards", 5)
	})
	story(t, "F3/large control frame", func(t *testing.T) {
		p := newPeer(t, asServer)
		p.f.Compression = CompressNone
		p.sendSynStream(1, 0, large(200<<10))
		require.Equal(t, HeaderBlock{large(200 << 10)}, p.app.headersOf(p.wantAccept("larger than any buffer", 1)))
		p.wantUsable("afterwards", 3)
	})
	story(t, "H15/our block too large to send", func(t *testing.T) {
		p := newPeer(t, asClient, peerOpts{conf: Config{Compression: CompressNone}})
		other := p.open("other", 0)
		p.wantSynStream("another stream", 1)
		_, err := p.s.OpenStream(t.Context(), HeaderBlock{large(17 << 20)}, StreamOptions{})
		var e *HeaderTooLargeError
		require.ErrorAs(t, err, &e)
		p.isOpen("another stream", other)
		p.wantUsable("afterwards", 2)
	})
}
