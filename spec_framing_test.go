package spdy

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

func TestSpecFraming(t *testing.T) {
	for _, size := range []int{1, 7, 9} {
		ruleServer(t, "F1", everyVersion, fmt.Sprintf("reads of %d bytes", size), func(p *testPeer) {
			p.sendControl(12, 0, testBytes(700)...)
			p.sendSynStream(1, 0, HeaderField{"name", strings.Repeat("value", 300)})
			st := p.wantAccept("the request", 1)
			want := p.sendBulk(1, 6000, FlagFin)
			p.wantRead("the body", st, want)
			p.wantEOF("the body", st)
			p.wantUsable("afterwards", 3)
		}, peerOpts{conn: []testconn.Option{testconn.First(testconn.ReadSize(size))}})
	}
	ruleServer(t, "F2", version3, "8192 bytes", func(p *testPeer) {
		var entries []Setting
		for i := range (8192 - settingsFixed) / settingSize {
			entries = append(entries, Setting{ID: SettingID(1000 + i)})
		}
		entries[len(entries)-1] = Setting{ID: SettingMaxConcurrentStreams, Value: 0}
		p.sendSettings(entries...)
		p.wantAlive("it is accepted")
		p.startOpen(p.t.Context(), "one too many", 0).pending("the last entry was read")
		p.sendSettings(Setting{ID: SettingMaxConcurrentStreams, Value: 1})
		p.wantSynStream("it waits no more", 2)
		p.f.Compression = CompressNone
		p.sendSynStream(1, 0, HeaderField{"name", strings.Repeat("v", 8192-60)})
		p.wantAccept("it is accepted", 1)
		p.wantUsable("afterwards", 3)
	})
	ruleBoth(t, "F3", version3, "large block", func(p *testPeer) {
		p.f.Compression = CompressFull
		value := HeaderField{"some-name", "some value that is worth a reference"}
		p.sendSynStream(p.peerID(), 0, value, HeaderField{"large", string(incompressible(20 << 10))})
		p.wantRst("too large", p.peerID(), RstFrameTooLarge)
		p.sendSynStream(p.peerID()+2, 0, value)
		st := p.wantAccept("the next block decodes", p.peerID()+2)
		require.Equal(p.t, HeaderBlock{value}, p.app.headersOf(st))
		p.wantUsable("afterwards", p.peerID()+4)
	}, peerOpts{conf: Config{MaxHeaderBytes: 8 << 10}})
	skipped := func(types ...FrameType) func(p *testPeer) {
		return func(p *testPeer) {
			for _, typ := range types {
				p.sendControl(typ, 0xff, 1, 2, 3, 4)
				p.sendControl(typ, 0)
				p.sendControl(typ, 0, make([]byte, 70000)...)
				p.wantAlive("skipped")
			}
			p.wantUsable("afterwards", p.peerID())
		}
	}
	ruleBoth(t, "F4", onlyVersion2, "unknown types", skipped(0, 11, 12, 0xffff))
	ruleBoth(t, "F5", version3, "unknown types", skipped(0, 11, 12, 0xffff))
	ruleBoth(t, "F15", version3, "NOOP", skipped(FrameNoop))
	ruleBoth(t, "C4", everyVersion, "CREDENTIAL", skipped(FrameCredential))
	testForeignVersions(t)
	testFixedLengths(t)
	testUnusedBits(t)
	testDataFrames(t)
	testEnds(t)
}

// incompressible returns n bytes of hexadecimal digits without a pattern.
func incompressible(n int) []byte {
	b := make([]byte, n)
	x := uint32(1)
	for i := range b {
		x = x*1664525 + 1013904223
		b[i] = "0123456789abcdef"[x>>28]
	}
	return b
}

// foreignVersions are wire versions that a session does not speak.
func foreignVersions(v Version) []uint16 {
	return slices.DeleteFunc([]uint16{0, 1, 2, 3, 4, 0x7fff}, func(n uint16) bool { return n == v.wire() })
}

func testForeignVersions(t *testing.T) {
	ruleBoth(t, "F6", everyVersion, "SYN_STREAM", func(p *testPeer) {
		for _, version := range foreignVersions(p.version) {
			p := p.fresh()
			p.send(&UnknownFrame{Version: version, Type: FrameSynStream, Data: []byte{0x80, 0, 0, 9, 0, 0, 0, 0, 0, 0, 1, 2, 3}})
			p.wantRst("the stream is refused", 9, RstUnsupportedVersion)
			p.wantSessionError("and the compression context lost", 0, GoAwayProtocolError)
		}
	})
	ruleBoth(t, "F7", everyVersion, "frames without headers", func(p *testPeer) {
		for _, version := range foreignVersions(p.version) {
			for _, typ := range []FrameType{FrameRstStream, FrameSettings, FramePing, FrameGoAway, FrameWindowUpdate, 99} {
				p.send(&UnknownFrame{Version: version, Type: typ, Data: []byte{0, 0, 0, 0, 0, 0, 0, 0}})
				p.send(&UnknownFrame{Version: version, Type: typ, Data: []byte("what")})
				p.wantAlive("skipped")
			}
		}
		p.wantUsable("afterwards", p.peerID())
	})
	for _, typ := range []FrameType{FrameSynReply, FrameHeaders} {
		ruleBoth(t, "F7", everyVersion, typ.String(), func(p *testPeer) {
			p.send(&UnknownFrame{Version: foreignVersions(p.version)[2], Type: typ, Data: []byte{0, 0, 0, 1, 2, 3}})
			p.wantSessionError("the compression context is lost", 0, GoAwayProtocolError)
		})
	}
}

// legalLengths says how long the payload of a control frame may be: exactly so many
// bytes, or with open set that many and more.
func legalLengths(v Version, typ FrameType) (n int, open bool) {
	switch typ {
	case FrameSynStream:
		return synStreamFixed, true
	case FrameSynReply, FrameHeaders:
		return replyFixed(v), true
	case FrameGoAway:
		return goAwaySize(v), false
	case FrameSettings, FramePing:
		return 4, false // no entries
	case FrameNoop:
		return 0, false
	}
	return 8, false
}

func testFixedLengths(t *testing.T) {
	types := map[FrameType][]Version{
		FrameSynStream: everyVersion, FrameSynReply: everyVersion, FrameHeaders: everyVersion, FrameRstStream: everyVersion,
		FrameSettings: everyVersion, FramePing: everyVersion, FrameGoAway: everyVersion,
		FrameWindowUpdate: version3, FrameNoop: onlyVersion2,
	}
	for typ, versions := range types {
		ruleServer(t, "F8", versions, typ.String(), func(p *testPeer) {
			legal, open := legalLengths(p.version, typ)
			for _, n := range []int{0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 12, 16} {
				if n == legal || open && n > legal {
					continue
				}
				p := p.fresh()
				payload := make([]byte, n)
				if n > 3 && typ != FrameSettings {
					payload[3] = 1 // a stream id
				}
				p.sendControl(typ, 0, payload...)
				p.wantSessionError(fmt.Sprintf("%d bytes", n), 0, GoAwayProtocolError)
			}
		})
	}
	ruleServer(t, "T18,F8", everyVersion, "count", func(p *testPeer) {
		for _, n := range []uint32{0, 2, 3, 1 << 29, 1 << 31, 0xffffffff} {
			p := p.fresh()
			p.sendControl(FrameSettings, 0, append(binary.BigEndian.AppendUint32(nil, n), 0, 0, 0, 4, 0, 0, 0, 1)...)
			p.wantSessionError("the count does not fit the length", 0, GoAwayProtocolError)
		}
	})
	for _, typ := range []FrameType{FrameData, FrameSynStream, FrameSynReply, FrameHeaders, FrameRstStream} {
		ruleBoth(t, "F12", everyVersion, typ.String(), func(p *testPeer) {
			for _, f := range append(headerFrames(0, HeaderBlock{}, nil), &RstStreamFrame{Status: RstCancel}, &DataFrame{Data: []byte("x")}) {
				if f.FrameType() == typ {
					p.send(f)
				}
			}
			p.wantSessionError("no stream has the id 0", 0, GoAwayProtocolError)
		})
	}
}

func testUnusedBits(t *testing.T) {
	ruleServer(t, "F9", everyVersion, "received", func(p *testPeer) {
		priority := byte(2<<5 | 0x1f)
		if p.version == SPDY2 {
			priority = 1<<6 | 0x3f // which stands for 2 of our 8
		}
		block := p.f.CompressBlock(nvBlock(p.version, 0))
		p.sendControl(FrameSynStream, 0, append([]byte{0x80, 0, 0, 1, 0x80, 0, 0, 0, priority, 0xff}, block...)...)
		st := p.wantAccept("a stream with every bit set that has no meaning", 1)
		require.EqualValues(p.t, 2, st.priority)
		require.Zero(p.t, st.assoc)
		reply := []byte{0x80, 0, 0, 2, 0xff, 0xff}[:replyFixed(p.version)]
		ours := p.ours1("one of ours", 0)
		p.sendControl(FrameSynReply, 0, append(reply, p.f.CompressBlock(nvBlock(p.version, 0))...)...)
		p.startReply(ours).ok("the reply is understood")
		p.sendControl(FrameHeaders, FlagFin, append(reply, p.f.CompressBlock(nvBlock(p.version, 0))...)...)
		p.wantEOF("the HEADERS are", ours)
		p.sendControl(FrameRstStream, 0, 0x80, 0, 0, 2, 0, 0, 0, 5)
		p.endsReset("the RST_STREAM is", ours, RstCancel, true)
		p.sendControl(FrameRstStream, 0, 0x80, 0, 0, 1, 0, 0, 0, 5)
		p.endsReset("for both streams", st, RstCancel, true)
		p.sendControl(FrameGoAway, 0, []byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0}[:goAwaySize(p.version)]...)
		p.wantGoAway("the GOAWAY is", 1, GoAwayOK)
		p.wantOrderlyEnd("nothing is open")
	})
	ruleServer(t, "F9", version3, "WINDOW_UPDATE", func(p *testPeer) {
		st := p.theirs("a stream", 1, 0)
		p.reply(st, 0)
		p.wantSynReply("it is open", 1)
		w := p.startWrite(st, testBytes(defaultWindow+6), 0)
		p.sendControl(FrameWindowUpdate, 0, 0x80, 0, 0, 1, 0x80, 0, 0, 5)
		p.sendWindowUpdate(0, 100)
		p.wantData("the delta was 5", 1, defaultWindow+5)
		w.pending("one byte too many")
	})
	ruleBoth(t, "F9,F10", everyVersion, "sent", func(p *testPeer) {
		st := p.theirs("a stream", p.peerID(), 0)
		p.reply(st, 0)
		p.startWrite(st, []byte("x"), 0).wrote("DATA", 1)
		ours := p.open("ours", FlagFin, 7)
		synctest.Wait()
		ours.reset(RstCancel, "", nil)
		ping := p.startPing(p.t.Context())
		p.s.goAway()
		synctest.Wait()
		seen := 0
		for b := p.ours.Sent(); len(b) > 0; seen++ {
			h := parseFrameHeader(b)
			p.wantCleanBits(h, b[:frameHeaderSize+h.length])
			b = b[frameHeaderSize+h.length:]
		}
		require.GreaterOrEqual(p.t, seen, 7)
		p.drain()
		p.s.shutdown(errTest)
		ping.fails("it is over", errTest)
	}, peerOpts{conn: []testconn.Option{testconn.First(testconn.Record())}})
	ruleServer(t, "F10", everyVersion, "received", func(p *testPeer) {
		p.sendSynStream(1, 0x80|FlagFin)
		st := p.wantAccept("0x81 is FIN", 1)
		p.wantEOF("0x81 is FIN", st)
		other := p.theirs("another", 3, 0)
		p.sendData(3, "x", 0xfc|FlagFin)
		p.wantRead("0xfd is FIN", other, "x")
		p.wantEOF("0xfd is FIN", other)
		p.sendControl(FramePing, 0xff, 0, 0, 0, 1)
		p.wantPing("PING has no flags", 1)
		p.send(&SettingsFrame{Flags: 0xff})
		p.wantUsable("afterwards", 5)
	})
}

// wantCleanBits wants a frame of ours to have no bits set that mean nothing.
func (p *testPeer) wantCleanBits(h frameHeader, b []byte) {
	p.t.Helper()
	flags := map[FrameType]FrameFlags{FrameData: FlagFin, FrameSynStream: FlagFin | FlagUnidirectional, FrameSynReply: FlagFin, FrameHeaders: FlagFin}
	typ := h.typ
	if !h.control {
		typ = FrameData
	}
	require.Zero(p.t, h.flags&^flags[typ], "%v: flags", typ)
	body := b[frameHeaderSize:]
	switch typ {
	case FrameSynStream:
		require.Zero(p.t, body[0]|body[4]&0x80|body[9], "%v: % x", typ, body[:10])
		unused := byte(1<<priorityShift(p.version) - 1)
		require.Zero(p.t, body[8]&unused, "%v: % x", typ, body[:10])
	case FrameSynReply, FrameHeaders, FrameRstStream, FrameGoAway, FrameWindowUpdate:
		require.Zero(p.t, body[0]&0x80, "%v: % x", typ, body)
		if p.version == SPDY2 && typ.hasHeaderBlock() {
			require.Zero(p.t, body[4]|body[5], "%v: % x", typ, body)
		}
	}
}

func testDataFrames(t *testing.T) {
	ruleBoth(t, "F11", everyVersion, "compressed", func(p *testPeer) {
		st := p.theirs("a stream", p.peerID(), 0)
		read := p.startRead(st, 10)
		p.sendData(st.id, "unreadable", 0x02)
		p.wantRst("no way to read it", st.id, RstProtocolError)
		read.failsReset("the bytes are not delivered", RstProtocolError, false)
		p.wantUsable("afterwards", p.peerID()+2)
	})
	ruleBoth(t, "F13", everyVersion, "empty DATA", func(p *testPeer) {
		st := p.theirs("a stream", p.peerID(), 0)
		read := p.startRead(st, 10)
		p.sendData(st.id, "", 0)
		p.sendData(st.id, "", 0)
		read.pending("empty frames are nothing to read")
		p.sendData(st.id, "", FlagFin)
		read.fails("the FIN is", io.EOF)
		p.wantUsable("afterwards", p.peerID()+2)
	})
	notRead := peerOpts{announce: true, conf: Config{ResetBurst: 20000}, conn: []testconn.Option{testconn.First(testconn.WriteCap(100))}}
	flood := func(one func(p *testPeer, i int)) func(p *testPeer) {
		return func(p *testPeer) {
			for i := 0; i < 20000 && p.s.Err() == nil; i++ {
				one(p, i)
			}
			synctest.Wait()
			require.ErrorIs(p.t, p.s.Err(), ErrFlood, "a peer may not make us queue without bound")
			p.advance(linger)
			p.served.wait("after a second the connection is closed")
		}
	}
	ruleServer(t, "F14", everyVersion, "DATA on unknown streams", flood(func(p *testPeer, i int) { p.sendData(uint32(2*i+1), "", 0) }), notRead)
	ruleServer(t, "F14", everyVersion, "malformed SYN_STREAM", flood(func(p *testPeer, i int) {
		p.sendSynStream(uint32(2*i+1), 0, HeaderField{"", "x"})
	}), notRead)
	ruleServer(t, "P5", everyVersion, "PING", flood(func(p *testPeer, i int) { p.sendPing(uint32(2*i + 1)) }), notRead)
}

func testEnds(t *testing.T) {
	frame := append(appendDataHeader(nil, 1, FlagFin, 100), testBytes(100)...)
	for _, cut := range []int{0, 1, 8, 57, 107} {
		ruleServer(t, "F16", everyVersion, fmt.Sprintf("after %d bytes", cut), func(p *testPeer) {
			st := p.theirs("a stream", 1, 0)
			read := p.startReadAll(st)
			p.sendRaw(frame[:cut])
			p.conn.CloseWrite()
			read.fails("a cut is never a clean end", io.ErrUnexpectedEOF)
			var lost *ConnError
			require.ErrorAs(p.t, read.err, &lost)
			p.endsWith("the stream is lost", st, p.s.Err())
			require.Equal(p.t, p.s.Err(), p.wantClosed("there is nobody to say goodbye to"))
		})
	}
	ruleBoth(t, "F16", everyVersion, "connection reset", func(p *testPeer) {
		st := p.repliedTo("a stream", 0)
		read := p.startReadAll(st)
		p.conn.Reset()
		read.fails("reads fail", io.ErrUnexpectedEOF)
		var lost *ConnError
		require.ErrorAs(p.t, p.served.wait("Serve returns").err, &lost)
	})
}
