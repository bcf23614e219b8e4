package spdy

import (
	"bytes"
	"encoding/binary"
)

// A program is what a fuzzed session is put through: bytes that are read as numbers and
// choices, so that any bytes are a program.
type program struct{ b []byte }

func (p *program) done() bool { return len(p.b) == 0 }

// next is the next byte, 0 behind the end.
func (p *program) next() byte {
	if len(p.b) == 0 {
		return 0
	}
	c := p.b[0]
	p.b = p.b[1:]
	return c
}

// take takes up to n bytes as they are.
func (p *program) take(n int) []byte {
	n = min(n, len(p.b))
	b := p.b[:n]
	p.b = p.b[n:]
	return b
}

// id is a stream id: small, or one of the last there are.
func (p *program) id() uint32 {
	c := p.next()
	if c >= 0xf8 {
		return maxStreamID - uint32(c-0xf8)
	}
	return uint32(c & 0x1f)
}

// size is a number of bytes, from none to more than a window.
func (p *program) size() int {
	sizes := [...]int{0, 1, 10, 511, 4096, 16384, 65536, 100_000}
	return sizes[p.next()%byte(len(sizes))]
}

// value is a 32-bit number of the kind that windows and limits have trouble with.
func (p *program) value() uint32 {
	c := p.next()
	values := [...]uint32{0, 1, 2, 100, 16384, 65535, 65536, 65537, 100_000, 1 << 20, maxWindow - 65536, maxWindow - 1, maxWindow, 1 << 31, 1<<32 - 1}
	if c&0x80 != 0 {
		return uint32(c & 0x7f)
	}
	return values[int(c)%len(values)]
}

// The opcodes of a program: what the peer sends, and then what the application does.
const (
	opSynStream = iota
	opSynReply
	opHeaders
	opData
	opRst
	opSettings
	opPing
	opGoAway
	opWindowUpdate
	opBytes   // as they are
	opControl // a frame with any type, flags and payload
	opHangUp  // half-close or reset
	opRead    // the peer stops reading, or begins again
	opAppOpen // and from here on the application
	opAppRead
	opAppWrite
	opAppFinish
	opAppAbort
	opAppExtra
	opAppPing
	opAppShutdown
	opAppTime
	opAppAccept
	opCount
)

// maxOps bounds a program. It is also how much an actor can have before it.
const maxOps = 150

// frame reads the frame that one of the opcodes sends, or returns nil.
func (p *program) frame(op byte, client bool, v Version) Frame {
	switch op {
	case opSynStream:
		f := &SynStreamFrame{StreamID: p.id(), Flags: FrameFlags(p.next()), AssociatedStreamID: p.id(), Headers: p.headers(client, v)}
		f.Priority = p.next() % (maxPriority(v) + 1)
		return f
	case opSynReply:
		return &SynReplyFrame{StreamID: p.id(), Flags: FrameFlags(p.next()), Headers: p.headers(client, v)}
	case opHeaders:
		return &HeadersFrame{StreamID: p.id(), Flags: FrameFlags(p.next()), Headers: p.headers(client, v)}
	case opData:
		return &DataFrame{StreamID: p.id(), Flags: FrameFlags(p.next()), Data: testBytes(p.size())}
	case opRst:
		return &RstStreamFrame{StreamID: p.id(), Status: RstStatus(p.next() % 14)}
	case opSettings:
		f := &SettingsFrame{Flags: FrameFlags(p.next())}
		for range p.next() % 4 {
			f.Entries = append(f.Entries, Setting{ID: SettingID(p.next() % 10), Flags: p.next(), Value: p.value()})
		}
		return f
	case opPing:
		return &PingFrame{ID: uint32(p.next())}
	case opGoAway:
		return &GoAwayFrame{LastGoodStreamID: p.id(), Status: GoAwayStatus(p.next() % 4)}
	case opWindowUpdate:
		return &WindowUpdateFrame{StreamID: p.id(), Delta: p.value()}
	}
	f := &UnknownFrame{Version: v.wire(), Type: FrameType(p.next() % 14), Flags: FrameFlags(p.next())}
	if c := p.next(); c > 0xf0 {
		f.Version = uint16(c & 3)
	}
	f.Data = bytes.Clone(p.take(int(p.next())))
	return f
}

// headers chooses a header block: for a client those of answers and pushes, for a server
// those of requests, and for both some that are wrong.
func (p *program) headers(client bool, v Version) HeaderBlock {
	c := p.next()
	switch c % 16 {
	case 0:
		return plainOK(v)
	case 1:
		return plainOK(v, "content-length", "10")
	case 2:
		return plainOK(v, ":status", "204")
	case 3:
		return plainOK(v, ":status", "100")
	case 4:
		return HeaderBlock{}
	case 5:
		return HeaderBlock{{"trailer-of-mine", "value"}}
	case 6:
		return HeaderBlock{{"large", string(bytes.Repeat([]byte("abcdefgh"), 1000))}}
	case 7:
		return httpBlock(v, ":scheme", "http", ":host", "fuzz.example", ":path", "/1", ":status", "200", ":version", "HTTP/1.1")
	case 8:
		return httpBlock(v, ":scheme", "http", ":host", "fuzz.example", ":path", "/2")
	case 9:
		return plainGet(v, ":method", "POST", "content-length", "10")
	case 10:
		return plainGet(v, ":method", "POST", ":path", "/2", "expect", "100-continue")
	case 11:
		return plainGet(v, ":method", "HEAD")
	case 12:
		return plainGet(v, ":method", "CONNECT", ":path", "h:443", ":scheme", "-")
	case 13:
		return plainGet(v, ":path", "-")
	case 14:
		return plainGet(v, "x", "a\r\nb")
	}
	if client {
		return plainOK(v, ":status", "404", "x", "a\x00b")
	}
	return plainGet(v)
}

// A wireScan follows the frames that have been sent.
type wireScan struct {
	at      int // where the frame begins that is not complete
	largest int // DATA frame that has begun
	partial int // length of the DATA frame that is not complete, 0 if none
}

// follow goes on to the end of b.
func (w *wireScan) follow(b []byte) {
	for {
		w.partial = 0
		rest := b[w.at:]
		if len(rest) < frameHeaderSize {
			return
		}
		length := int(binary.BigEndian.Uint32(rest[4:]) & 0xffffff)
		if data := rest[0]&0x80 == 0; data {
			w.largest = max(w.largest, length)
			w.partial = length
		}
		if len(rest) < frameHeaderSize+length {
			return
		}
		w.at += frameHeaderSize + length
	}
}
