package spdy

import (
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

const (
	zlibHeaderSize = 6 // CMF, FLG and DICTID

	// growBlock is how much room for inflated bytes is made at a time. It
	// grows with what is really there, never with what a peer promises.
	growBlock = 512
)

// A headerDecompressor inflates the header blocks of one direction of a
// session. Every block has to pass through it in the order of the wire,
// whatever becomes of its stream (SPEC H1).
//
// Between blocks it keeps the output so far, as far as matches can reach back,
// and nothing else: the inflater, which is much larger, is borrowed for the time
// of a block.
type headerDecompressor struct {
	version Version
	window  int    // how far back the peer may refer; 0 before the first block
	history []byte // at most window bytes; nil stands for the dictionary
	err     error
}

func newHeaderDecompressor(v Version) *headerDecompressor {
	return &headerDecompressor{version: v}
}

// appendBlock appends the inflated form of block to dst. Past limit bytes it
// goes on without keeping them, because later blocks refer to them, and
// reports tooLarge (SPEC H12). Past hardLimit bytes, and if block is not what a
// sync flush leaves in an open stream, it returns a *SessionError (SPEC H2),
// after which the decompressor cannot be used any more.
func (d *headerDecompressor) appendBlock(dst, block []byte, limit, hardLimit int) (nv []byte, tooLarge bool, err error) {
	if d.err != nil {
		return dst, false, d.err
	}
	nv, tooLarge, err = d.inflate(dst, block, limit, hardLimit)
	if err != nil {
		d.err = err
		d.history = nil
	}
	return nv, tooLarge, err
}

func (d *headerDecompressor) inflate(dst, block []byte, limit, hardLimit int) ([]byte, bool, error) {
	if d.window == 0 {
		if err := d.readZlibHeader(block); err != nil {
			return dst, false, err
		}
		block = block[zlibHeaderSize:]
	}
	f := inflaters.Get().(*inflater)
	defer f.release()
	f.reset(block, d.preset())

	start := len(dst)
	total := 0
	for {
		p := f.scratch[:]
		if room := limit - (len(dst) - start); room > 0 {
			dst = slices.Grow(dst, 1)
			p = dst[len(dst):min(cap(dst), len(dst)+room)]
		}
		n, err := f.flate.Read(p)
		total += n
		if total > hardLimit {
			return dst, true, sessionErrorf(GoAwayProtocolError, "header block inflates to more than %d bytes", hardLimit)
		}
		d.remember(p[:n])
		if total <= limit {
			dst = dst[:len(dst)+n]
		}
		if err != nil {
			return dst, total > limit, f.check(err)
		}
	}
}

// preset returns what the next block may refer to.
func (d *headerDecompressor) preset() []byte {
	if d.history != nil {
		return d.history
	}
	if d.version == SPDY2 {
		return dictionaryBytesSPDY2
	}
	return dictionaryBytesSPDY3
}

var (
	dictionaryBytesSPDY2 = []byte(dictionarySPDY2)
	dictionaryBytesSPDY3 = []byte(dictionarySPDY3)
)

// remember appends p to the history and drops what falls out of the window.
func (d *headerDecompressor) remember(p []byte) {
	if len(p) == 0 {
		return
	}
	if len(p) >= d.window {
		d.history = append(d.history[:0], p[len(p)-d.window:]...)
		return
	}
	if d.history == nil {
		d.history = slices.Clone(d.preset())
	}
	if excess := len(d.history) + len(p) - d.window; excess > 0 {
		d.history = d.history[:copy(d.history, d.history[excess:])]
	}
	d.history = append(d.history, p...)
}

// readZlibHeader checks the header of the stream (RFC 1950 §2.2, SPEC §2.5) and
// learns the window size from it.
func (d *headerDecompressor) readZlibHeader(block []byte) error {
	if len(block) < zlibHeaderSize {
		return sessionErrorf(GoAwayProtocolError, "first header block of %d bytes has no zlib header", len(block))
	}
	cmf, flg := block[0], block[1]
	switch {
	case cmf&0x0f != 8 || cmf>>4 > 7 || (int(cmf)<<8|int(flg))%31 != 0:
		return sessionErrorf(GoAwayProtocolError, "invalid zlib header %02x%02x", cmf, flg)
	case flg&0x20 == 0: // SPEC 5.10
		return sessionErrorf(GoAwayProtocolError, "zlib stream without the preset dictionary of %s", d.version)
	}
	id, hint := binary.BigEndian.Uint32(block[2:]), ""
	if id != d.version.dictionaryID() {
		switch id {
		case dictionaryIDSPDY2:
			hint = ", that of SPDY/2"
		case dictionaryIDSPDY3:
			hint = ", that of SPDY/3"
		case dictionaryIDNoNUL:
			hint = ", that of SPDY/2 without the NUL byte at its end"
		}
		return sessionErrorf(GoAwayProtocolError, "zlib dictionary %08x%s, want %08x of %s",
			id, hint, d.version.dictionaryID(), d.version)
	}
	d.window = 1 << (cmf>>4 + 8)
	return nil
}

// An inflater is a reader of deflate streams with its source. It takes about
// 45 KiB.
type inflater struct {
	source  blockSource
	flate   io.Reader
	reset_  flate.Resetter
	scratch [1024]byte // for output that is not kept
}

var inflaters = sync.Pool{New: func() any {
	f := new(inflater)
	r := flate.NewReader(&f.source)
	f.flate, f.reset_ = r, r.(flate.Resetter)
	return f
}}

func (f *inflater) reset(block, preset []byte) {
	f.source = blockSource{block: block}
	// The error is always nil.
	_ = f.reset_.Reset(&f.source, preset)
}

func (f *inflater) release() {
	f.source = blockSource{}
	inflaters.Put(f)
}

// check tells a block that was used up, with the stream still open and aligned
// to a byte, from everything else. err is what ended the inflater.
func (f *inflater) check(err error) error {
	var reason string
	switch {
	case err == io.EOF && f.source.n == len(f.source.block)+len(finalBlock):
		return nil
	case err == io.EOF && f.source.n < len(f.source.block):
		reason = "bytes after the end of the zlib stream"
	case err == io.EOF:
		reason = "end of the zlib stream in a header block"
	case errors.Is(err, io.ErrUnexpectedEOF):
		reason = "truncated header block"
		err = nil
	default:
		reason = "corrupt header block"
	}
	if err == io.EOF {
		err = nil
	}
	return &SessionError{Status: GoAwayProtocolError, Reason: reason, Err: err}
}

// finalBlock is an empty stored block that ends a stream. A block that ends
// where a sync flush does, at a byte boundary between two deflate blocks, can
// be completed with it, and no other block can.
const finalBlock = "\x01\x00\x00\xff\xff"

// A blockSource reads a header block and finalBlock.
type blockSource struct {
	block []byte
	n     int // bytes read
}

func (s *blockSource) ReadByte() (byte, error) {
	n := s.n
	s.n++
	if n < len(s.block) {
		return s.block[n], nil
	}
	if n -= len(s.block); n < len(finalBlock) {
		return finalBlock[n], nil
	}
	s.n--
	return 0, io.EOF
}

func (s *blockSource) Read(p []byte) (int, error) {
	n := 0
	if s.n < len(s.block) {
		n = copy(p, s.block[s.n:])
	} else {
		n = copy(p, finalBlock[s.n-len(s.block):])
	}
	s.n += n
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

var _ fmt.Stringer = CompressSafe
