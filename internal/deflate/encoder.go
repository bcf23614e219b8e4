package deflate

import (
	"bytes"
	"encoding/binary"
)

// The lengths of what one symbol of deflate can copy (RFC 1951 §3.2.5).
const (
	minMatch = 3
	maxMatch = 258
)

// An Encoder holds what one deflate stream remembers between blocks: a window of
// past text, and where in it to look for matches.
type Encoder struct {
	// out and the bits that do not fill a byte yet; used between Begin and End.
	out  []byte
	acc  uint64
	nacc uint

	// pending is the latest match, if it is not written yet because what comes
	// next may go on where it ends; else its length is 0.
	pending copyOf

	window
	words    wordIndex
	searcher *searcher // looks for matches instead of words; nil if that does
	values   wholeValues
}

// NewEncoder returns an encoder at the start of a stream with a preset
// dictionary. Its matches reach back at most 1<<windowBits bytes, 15 bits being
// the most that deflate can say. It takes 2 KiB and room for the text so far,
// 2 KiB at first and 1<<windowBits bytes at last.
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

// End completes the block, aligns the stream to a byte with an empty stored
// block and returns the extended dst. Its last five bytes are 00 00 00 FF FF.
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

// Literal adds p to the block without any match, and keeps later matches away
// from it: but for its length, p has no influence on what follows, and the
// encoder keeps no copy of it.
func (e *Encoder) Literal(p []byte) {
	e.literals(p)
	e.mask(len(p))
}

// Match adds p to the block, using matches where they help. What it does depends
// on p and on what other calls of Match were given, and on nothing else.
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

// A copyOf is a match: length bytes are the same as those distance bytes before.
type copyOf struct {
	length, distance int
	gain             int // bits saved, about
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

// copies adds a match to the block, and to the pending match if it only goes on
// with that.
func (e *Encoder) copies(m copyOf) {
	if e.pending.length > 0 && e.pending.distance == m.distance {
		e.pending.length += m.length
		return
	}
	e.settle()
	e.pending = m
}

// settle writes the pending match, which may be longer than deflate can say at
// once.
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
