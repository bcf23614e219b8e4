package spdy

import (
	"encoding/binary"
	"fmt"

	"github.com/amahi/spdy/internal/deflate"
)

// A CompressionPolicy says how a session compresses the header blocks it sends.
// All header blocks of one direction share a compression context, so whoever
// can put text of his choice into a block and see how long it becomes can find
// out what other blocks contain, letter by letter (the CRIME attack,
// CVE-2012-4929). The policies differ in what they expose to that.
type CompressionPolicy uint8

const (
	// CompressSafe, the default, exposes as much as HPACK does in HTTP/2, or
	// less. It compresses all names and the values of well-known headers that
	// carry no secret, such as user-agent, accept and server. Every other
	// value, above all :path, set-cookie and authorization, is sent
	// uncompressed and kept out of the context: the length of a block tells
	// the length of such a value but never what it has in common with another
	// one.
	//
	// Two kinds of value are compressed if an earlier one of the same kind is
	// equal to them from the first byte to the last: referer, and the cookies
	// in a cookie header, each by itself or, if that is less than 20 bytes,
	// with its neighbours. So the length of a block tells whether it repeats
	// a complete cookie or referer and about how many bytes ago. Somebody who
	// knows all of one but a part is told nothing about that part before he
	// has guessed it whole, and in a header of the same name.
	CompressSafe CompressionPolicy = iota

	// CompressNone sends header blocks as they are. It costs the least time
	// and needs no memory.
	CompressNone

	// CompressFull compresses everything, to about as few bytes as the library
	// zlib. Use it only between peers that never send what an attacker has
	// chosen next to secrets. It takes several times as long as CompressSafe,
	// and memory for what it looks for matches in: about 13 KiB from a session's
	// first block on and up to 109 KiB after the first 32 KiB of headers, where
	// CompressSafe takes up to 11 KiB; and of the peer up to 32 KiB instead of 8.
	CompressFull
)

// String returns the name of the policy: "safe", "none" or "full".
func (p CompressionPolicy) String() string {
	switch p {
	case CompressSafe:
		return "safe"
	case CompressNone:
		return "none"
	case CompressFull:
		return "full"
	}
	return fmt.Sprintf("CompressionPolicy(%d)", uint8(p))
}

// The window sizes announced to the peer, which has to keep so much history. A
// page with all it consists of should fit, so that the next page is matched with
// it; with CompressFull, whose users trade memory for bytes, as much as deflate
// can say.
const (
	safeWindowBits   = 13
	fullWindowBits   = 15
	storedWindowBits = 11 // no matches; what spdylay announces then (SPEC §2.5)
)

// A headerCompressor turns the name/value blocks of one direction of a session
// into one zlib stream. Blocks have to be sent in the order they were
// compressed in, and none may be left out (SPEC H13).
type headerCompressor struct {
	version Version
	policy  CompressionPolicy
	started bool
	encoder *deflate.Encoder // nil before the first block and for CompressNone
	host    []byte           // value of the first :host, for CompressSafe
}

func newHeaderCompressor(v Version, p CompressionPolicy) *headerCompressor {
	return &headerCompressor{version: v, policy: p}
}

// appendBlock appends the compressed form of nv, a name/value block, to dst. It
// ends in the bytes 00 00 00 FF FF of a sync flush (SPEC H13); the stream is
// never finished.
func (c *headerCompressor) appendBlock(dst, nv []byte) []byte {
	if c.policy == CompressNone {
		if !c.started {
			c.started = true
			dst = appendZlibHeader(dst, c.version, storedWindowBits)
		}
		return deflate.AppendStored(dst, nv)
	}
	if !c.started {
		c.started = true
		bits := safeWindowBits
		if c.policy == CompressFull {
			bits = fullWindowBits
			c.encoder = deflate.NewSearchingEncoder(c.version.dictionary(), bits)
		} else {
			c.encoder = deflate.NewEncoder(c.version.dictionary(), bits)
		}
		dst = appendZlibHeader(dst, c.version, bits)
	}
	c.encoder.Begin(dst)
	if c.policy == CompressFull {
		c.encoder.Match(nv)
	} else {
		c.encodeSafe(nv)
	}
	return c.encoder.End()
}

// encodeSafe lets all of nv take part in matches but the values that are not
// public. The encoder never looks into such a value or across it.
func (c *headerCompressor) encodeSafe(nv []byte) {
	size := c.version.lengthSize()
	rest := nv
	public := 0 // length of what was read but not yet encoded
	_, rest, ok := cutLength(rest, size)
	for ok && len(rest) > 0 {
		var name, value []byte
		if name, rest, ok = cutField(rest, size); !ok {
			break
		}
		if value, rest, ok = cutField(rest, size); !ok {
			break
		}
		if c.isPublic(name, value) {
			continue
		}
		end := len(nv) - len(rest) - len(value)
		c.encoder.Match(nv[public:end])
		c.encodePrivate(name, value)
		public = end + len(value)
	}
	if ok {
		c.encoder.Match(nv[public:])
		return
	}
	// Not a name/value block; whatever it is, it stays out of matches.
	c.encoder.Literal(nv[public:])
}

// lengthSize is the size of the integers in a name/value block (SPEC §2.1).
func (v Version) lengthSize() int {
	if v == SPDY2 {
		return 2
	}
	return 4
}

func cutLength(p []byte, size int) (n int, rest []byte, ok bool) {
	if len(p) < size {
		return 0, p, false
	}
	if size == 2 {
		return int(binary.BigEndian.Uint16(p)), p[2:], true
	}
	return int(binary.BigEndian.Uint32(p)), p[4:], true
}

func cutField(p []byte, size int) (field, rest []byte, ok bool) {
	n, rest, ok := cutLength(p, size)
	if !ok || uint(n) > uint(len(rest)) {
		return nil, p, false
	}
	return rest[:n], rest[n:], true
}

// The fields of a zlib header that matter here (RFC 1950 §2.2).
const (
	zlibDeflate          = 8
	zlibPresetDictionary = 0x20
)

// appendZlibHeader appends the header of a zlib stream with a preset dictionary:
// window size and method, flags, Adler-32 of the dictionary.
func appendZlibHeader(dst []byte, v Version, windowBits int) []byte {
	h := uint16(windowBits-8)<<12 | zlibDeflate<<8 | zlibPresetDictionary
	h += 31 - h%31 // FCHECK makes it a multiple of 31
	dst = binary.BigEndian.AppendUint16(dst, h)
	return binary.BigEndian.AppendUint32(dst, v.dictionaryID())
}
