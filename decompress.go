package spdy

import (
	"encoding/binary"
	"errors"

	"github.com/amahi/spdy/internal/deflate"
)

// zlibHeaderSize is the size of CMF, FLG and DICTID.
const zlibHeaderSize = 6

// A headerDecompressor inflates the header blocks of one direction of a session. Every block must
// be inflated in wire order, even if its stream is refused or reset (SPEC H1). Between blocks a
// headerDecompressor keeps only the history that matches can refer to.
type headerDecompressor struct {
	version Version
	decoder *deflate.Decoder // nil before the first block
	err     error            // sticky: the compression context is lost
	size    int              // inflated size of the latest block
}

func newHeaderDecompressor(v Version) *headerDecompressor {
	return &headerDecompressor{version: v}
}

// appendBlock inflates block and appends the result to dst. Past limit bytes it continues to
// inflate without keeping the output, because later blocks may refer to it, and reports tooLarge
// (SPEC H12). It returns a *SessionError if the output exceeds hardLimit bytes or block does not
// end with a sync flush of an open stream (SPEC H2). Every later call returns the same error.
func (d *headerDecompressor) appendBlock(dst, block []byte, limit, hardLimit int) (nv []byte, tooLarge bool, err error) {
	if d.err != nil {
		return dst, false, d.err
	}
	if d.decoder == nil {
		bits, err := parseZlibHeader(block, d.version)
		if err != nil {
			d.err = err
			return dst, false, err
		}
		block = block[zlibHeaderSize:]
		d.decoder = deflate.NewDecoder(d.version.dictionaryBytes(), bits)
	}
	nv, d.size, err = d.decoder.Append(dst, block, limit, hardLimit)
	if err != nil {
		d.decoder = nil
		d.err = inflateError(err, hardLimit)
	}
	return nv, d.size > limit, d.err
}

// kept returns the size in bytes of the history that later blocks may refer to.
func (d *headerDecompressor) kept() int {
	if d.decoder == nil {
		return 0
	}
	return d.decoder.Kept()
}

// inflateError converts a decoder error to a SessionError (SPEC H2, H12).
func inflateError(err error, hardLimit int) error {
	if errors.Is(err, deflate.ErrTooLarge) {
		return sessionErrorf(GoAwayProtocolError, "header block of more than %d bytes", hardLimit)
	}
	return &SessionError{Status: GoAwayProtocolError, Reason: "header block", Err: err}
}

// parseZlibHeader checks the zlib stream header (RFC 1950 §2.2, SPEC §2.5) and returns the base-two
// logarithm of the window size.
func parseZlibHeader(block []byte, v Version) (windowBits int, err error) {
	if len(block) < zlibHeaderSize {
		return 0, sessionErrorf(GoAwayProtocolError, "first header block of %d bytes has no zlib header", len(block))
	}
	h := binary.BigEndian.Uint16(block)
	method, windowBits := h>>8&15, int(h>>12)+8
	switch {
	case method != zlibDeflate || windowBits > 15 || h%31 != 0:
		return 0, sessionErrorf(GoAwayProtocolError, "invalid zlib header %04x", h)
	case h&zlibPresetDictionary == 0: // SPEC 5.10
		return 0, sessionErrorf(GoAwayProtocolError, "zlib stream without the dictionary of %s", v)
	}
	if id := binary.BigEndian.Uint32(block[2:]); id != v.dictionaryID() {
		return 0, sessionErrorf(GoAwayProtocolError, "zlib dictionary %08x%s, want %08x of %s",
			id, dictionaryHint(id), v.dictionaryID(), v)
	}
	return windowBits, nil
}

// dictionaryHint describes a known dictionary id of a peer.
func dictionaryHint(id uint32) string {
	switch id {
	case dictionaryIDSPDY2:
		return " (of spdy/2)"
	case dictionaryIDSPDY3:
		return " (of spdy/3 and spdy/3.1)"
	case dictionaryIDNoNUL:
		return " (of spdy/2 without the NUL byte at its end)"
	}
	return ""
}
