package deflate

import (
	"bytes"
	"encoding/binary"
)

// The lengths that a single deflate symbol can copy (RFC 1951 §3.2.5).
const (
	minMatch = 3
	maxMatch = 258
)

// An Encoder holds the state of a deflate stream between blocks: a window of past text, and an
// index of the positions to search for matches.
type Encoder struct {
	// out and the bits that do not fill a byte yet; used between Begin and End.
	out  []byte
	acc  uint64
	nacc uint

	// pending is the latest match. It is written late because the next match may extend it. Without
	// a pending match the length is 0.
	pending copyOf

	window
	words    wordIndex
	searcher *searcher // searches for matches instead of words; nil if words is used
	values   wholeValues
}

// NewEncoder returns an encoder at the start of a stream with a preset dictionary. Matches reach
// back at most 1<<windowBits bytes; deflate allows at most 15 bits. The encoder needs 2 KiB and
// room for the text so far, from 2 KiB up to 1<<windowBits bytes.
func NewEncoder(dictionary string, windowBits int) *Encoder {
	e := &Encoder{window: newWindow(windowBits)}
	d := []byte(dictionary)
	e.words.enter(e.pos, d, 0, len(d))
	e.remember(d)
	return e
}

// Begin starts a block whose compressed form is appended to dst.
func (e *Encoder) Begin(dst []byte) {
	e.out, e.acc, e.nacc = dst, 0b010, 3 // not final, fixed Huffman codes
}

// End completes the block, aligns the stream to a byte with an empty stored block and returns the
// extended dst. The last five bytes are 00 00 00 FF FF.
func (e *Encoder) End() []byte {
	const endOfBlock, storedHeader = 7, 3 // bits, all zero
	e.settle()
	n := e.nacc + endOfBlock + storedHeader
	dst := e.out
	for ; n > 8; n -= 8 {
		dst = append(dst, byte(e.acc))
		e.acc >>= 8
	}
	dst = append(dst, byte(e.acc))
	e.out = nil
	return append(dst, marker...)
}

// Literal adds p to the block without any match, and excludes p from later matches. Except for the
// length, p has no influence on later output, and the encoder keeps no copy of p.
func (e *Encoder) Literal(p []byte) {
	e.literals(p)
	e.mask(len(p))
}

// Match adds p to the block, using matches where they help. The output depends only on p and on the
// arguments of earlier calls of Match.
func (e *Encoder) Match(p []byte) {
	e.reserve(len(p))
	for len(p) > 0 {
		n := bytes.IndexByte(p, masked)
		if n < 0 {
			n = len(p)
		}
		if e.searcher != nil {
			e.search(p[:n])
		} else {
			e.match(p[:n])
		}
		e.remember(p[:n])
		p = p[n:]
		for n = 0; n < len(p) && p[n] == masked; n++ {
		}
		e.Literal(p[:n])
		p = p[n:]
	}
}

// A copyOf is a match: length bytes equal the bytes at the given distance before them.
type copyOf struct {
	length, distance int
	gain             int // approximate number of bits saved
}

// literals writes p without matches.
func (e *Encoder) literals(p []byte) {
	if len(p) == 0 {
		return
	}
	e.settle()
	acc, n, out := e.acc, e.nacc, e.out
	for _, b := range p {
		if n >= 32 {
			out = binary.LittleEndian.AppendUint32(out, uint32(acc))
			acc, n = acc>>32, n-32
		}
		c := literalCodes[b]
		acc |= uint64(c&0xffff) << n
		n += uint(c >> 16)
	}
	e.acc, e.nacc, e.out = acc, n, out
}

// copies adds a match to the block. A match that continues the pending match is merged into it.
func (e *Encoder) copies(m copyOf) {
	if e.pending.length > 0 && e.pending.distance == m.distance {
		e.pending.length += m.length
		return
	}
	e.settle()
	e.pending = m
}

// settle writes the pending match. The match may be longer than a single deflate match.
func (e *Encoder) settle() {
	m := e.pending
	e.pending.length = 0
	for m.length > 0 {
		n := min(m.length, maxMatch)
		if rest := m.length - n; 0 < rest && rest < minMatch {
			n -= minMatch
		}
		m.length -= n
		if e.nacc >= 32 {
			e.out = binary.LittleEndian.AppendUint32(e.out, uint32(e.acc))
			e.acc, e.nacc = e.acc>>32, e.nacc-32
		}
		c := lengthCodes[n-minMatch]
		e.acc |= uint64(c&0xffff) << e.nacc
		e.nacc += uint(c >> 16)
		code, size := distanceCode(m.distance)
		e.acc |= uint64(code) << e.nacc
		e.nacc += size
	}
}
