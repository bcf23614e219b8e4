package spdy

import (
	"encoding/binary"
	"fmt"

	"github.com/amahi/spdy/internal/deflate"
)

// A CompressionPolicy selects how a session compresses the header blocks it sends. All header
// blocks of one direction share a compression context. An attacker able to insert chosen text into
// a block and to observe the block's length can therefore recover the contents of other blocks
// letter by letter (the CRIME attack, CVE-2012-4929). The policies differ in how much they expose
// to this attack.
type CompressionPolicy uint8

const (
	// CompressSafe, the default, exposes as much as HPACK does in HTTP/2, or less. It compresses
	// all header names and the values of well-known headers without secrets, such as user-agent,
	// accept and server. Every other value, above all :path, set-cookie and authorization, is sent
	// uncompressed and never enters the context. The length of a block reveals the length of such a
	// value but no similarity to other values.
	//
	// Values of two kinds are compressed if they equal an earlier value of the same kind
	// completely: the referer, and the cookies in a cookie header. A cookie of less than 20 bytes
	// is matched only together with neighbouring cookies. So the length of a block reveals whether
	// the block repeats a complete cookie or referer, and about how many bytes ago. An attacker who
	// knows most of a value cannot recover the rest piece by piece: each guess must be a complete
	// value, in a header of the same name.
	CompressSafe CompressionPolicy = iota

	// CompressNone sends header blocks uncompressed. It needs the least CPU time and no memory.
	CompressNone

	// CompressFull compresses everything, to about as few bytes as the zlib library. Use it only
	// between peers that never send text chosen by an attacker next to secrets. It needs several
	// times the CPU time of CompressSafe. Match tables and history use about 13 KiB from a
	// session's first block on and up to 109 KiB after the first 32 KiB of headers, against at most
	// 11 KiB with CompressSafe. The peer keeps up to 32 KiB of history instead of 8.
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

// The window sizes announced to the peer, which must keep that much history. The safe window holds
// the headers of a page with all resources, so that the next page matches them. Users of
// CompressFull trade memory for bytes, so its window is the largest of deflate.
const (
	safeWindowBits   = 13
	fullWindowBits   = 15
	storedWindowBits = 11 // no matches; spdylay announces the same size (SPEC §2.5)
)

// A headerCompressor compresses the name/value blocks of one direction of a session into one zlib
// stream. Blocks must be sent in the order of compression, and none may be dropped (SPEC H13).
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

// appendBlock compresses the name/value block nv and appends the result to dst. The result ends
// with the bytes 00 00 00 FF FF of a sync flush (SPEC H13). The zlib stream is never finished.
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

// encodeSafe compresses nv and excludes non-public values from matching. The encoder never matches
// text inside such a value or across it.
func (c *headerCompressor) encodeSafe(nv []byte) {
	size := c.version.lengthSize()
	rest := nv
	public := 0 // start of the bytes read but not yet encoded
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
	// Not a name/value block: exclude the rest from matching.
	c.encoder.Literal(nv[public:])
}

// lengthSize returns the size in bytes of the integers in a name/value block (SPEC §2.1).
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

// The fields of a zlib header used here (RFC 1950 §2.2).
const (
	zlibDeflate          = 8
	zlibPresetDictionary = 0x20
)

// appendZlibHeader appends the header of a zlib stream with a preset dictionary: window size and
// method, flags, Adler-32 of the dictionary.
func appendZlibHeader(dst []byte, v Version, windowBits int) []byte {
	h := uint16(windowBits-8)<<12 | zlibDeflate<<8 | zlibPresetDictionary
	h += 31 - h%31 // FCHECK makes it a multiple of 31
	dst = binary.BigEndian.AppendUint16(dst, h)
	return binary.BigEndian.AppendUint32(dst, v.dictionaryID())
}
