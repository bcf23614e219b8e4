package deflate

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

const (
	minMatch = 3
	maxMatch = 258

	// Strings are looked up by their first eight bytes and by their first
	// four. The long ones find the place in a header block where the text
	// goes on for longest, the short ones find words.
	longLen   = 8
	shortLen  = 4
	tableBits = 8

	// lazyLimit is the match length from which on the encoder does not look
	// whether the next word has a better one.
	lazyLimit = 32

	// masked stands in the window for every byte that must not be matched. The
	// byte value itself is never matched, so that no comparison can succeed
	// on a masked position or run across it.
	masked = 0xff
)

// A bucket holds the last two positions of strings with the same hash, the newer
// one first.
type bucket [2]uint16

// An Encoder holds what one deflate stream remembers between blocks: a window of
// past text, and where in it the words begin. Only words are looked up; a match
// that begins within a word is found when it is extended backwards. That keeps
// the tables small and the search short.
type Encoder struct {
	// out and the bits that do not fill a byte yet; used between Begin and End.
	out  []byte
	acc  uint64
	nacc uint

	// pos counts the bytes seen, modulo 1<<16, which tells all positions in
	// the window apart. The byte at pos is kept at window[pos%len(window)].
	pos    uint16
	window []byte
	long   [1 << tableBits]bucket
	short  [1 << tableBits]bucket
}

// NewEncoder returns an encoder at the start of a stream with a preset
// dictionary. Its matches reach back at most 1<<windowBits bytes, and it takes
// that much memory and 2 KiB more.
func NewEncoder(dictionary string, windowBits int) *Encoder {
	e := &Encoder{window: bytes.Repeat([]byte{masked}, 1<<windowBits)}
	d := []byte(dictionary)
	e.index(d, 0, len(d))
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
	e.pos += uint16(len(p))
	for n := min(len(p), len(e.window)); n > 0; {
		i := int(e.pos-uint16(n)) & (len(e.window) - 1)
		gap := e.window[i:min(i+n, len(e.window))]
		for j := range gap {
			gap[j] = masked
		}
		n -= len(gap)
	}
}

// Match adds p to the block, using matches where they help. What it does depends
// on p and on what other calls of Match were given, and on nothing else.
func (e *Encoder) Match(p []byte) {
	for len(p) > 0 {
		n := bytes.IndexByte(p, masked)
		if n < 0 {
			n = len(p)
		}
		e.match(p[:n])
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

// match encodes p, which contains no byte of the value masked, and enters its
// words into the tables. The window does not contain p yet.
func (e *Encoder) match(p []byte) {
	literals := 0 // start of those not yet written
	for i := 0; i < len(p); {
		if !wordBoundary(p, i) {
			i++
			continue
		}
		m := e.find(p, i)
		e.insert(p, i)
		if m.length == 0 {
			i++
			continue
		}
		if next := e.better(p, i, m); next > i {
			i = next
			continue
		}
		for i > literals && p[i-1] == e.at(p, i-1-m.distance) {
			i--
			m.length++
		}
		e.literals(p[literals:i])
		e.copies(m)
		// As long as the earlier copy stays in the window for a while, the
		// words of this one need not be entered.
		if m.distance > len(e.window)/8 {
			e.index(p, i+1, i+m.length)
		}
		i += m.length
		literals = i
	}
	e.literals(p[literals:])
}

// better returns the next word after p[i:] if it begins within m, which matches
// p[i:], and has a better match than m; otherwise i.
func (e *Encoder) better(p []byte, i int, m copyOf) int {
	if m.length >= lazyLimit {
		return i
	}
	for next := i + 1; next < i+m.length; next++ {
		if wordBoundary(p, next) {
			if e.find(p, next).gain > m.gain {
				return next
			}
			break
		}
	}
	return i
}

// find returns the best match for p[i:], or one of length 0.
func (e *Encoder) find(p []byte, i int) (best copyOf) {
	if i+shortLen > len(p) {
		return best
	}
	if i+longLen <= len(p) {
		b := &e.long[hashLong(p[i:])]
		e.try(&best, p, i, b[0])
		e.try(&best, p, i, b[1])
	}
	b := &e.short[hashShort(p[i:])]
	e.try(&best, p, i, b[0])
	e.try(&best, p, i, b[1])
	return best
}

// try replaces best by the match of p[i:] with the text at the position from, if
// that is better.
func (e *Encoder) try(best *copyOf, p []byte, i int, from uint16) {
	d := int(e.pos + uint16(i) - from)
	// A position too far back is stale. An even older one may look near again,
	// and so may an entry never written. That does no harm, because what is
	// compared is the window.
	if uint(d-1) >= uint(len(e.window)) {
		return
	}
	n := e.matchLen(p, i, d)
	if n < minMatch {
		return
	}
	// A literal takes 8 bits, a match 12 and those of the distance beyond 4.
	if gain := 8*n - 10 - bits.Len(uint(d-1)); gain > best.gain {
		*best = copyOf{n, d, gain}
	}
}

// at returns the byte at the index i of p, where indices below 0 mean the window.
func (e *Encoder) at(p []byte, i int) byte {
	if i >= 0 {
		return p[i]
	}
	return e.window[(int(e.pos)+i)&(len(e.window)-1)]
}

// matchLen returns how many bytes at p[i:] repeat those at the distance d.
func (e *Encoder) matchLen(p []byte, i, d int) int {
	n := 0
	for back := d - i; back > 0; back = d - i - n {
		// The source begins in the window, which ends where p begins.
		at := int(e.pos-uint16(back)) & (len(e.window) - 1)
		source := e.window[at:min(at+back, len(e.window))]
		m := common(source, p[i+n:])
		n += m
		if m < len(source) || i+n == len(p) {
			return n
		}
	}
	return n + common(p[i+n-d:], p[i+n:])
}

// common returns the length of the common prefix of a and b.
func common(a, b []byte) int {
	n := min(len(a), len(b))
	a, b = a[:n], b[:n]
	i := 0
	for ; i+8 <= n; i += 8 {
		x := binary.LittleEndian.Uint64(a[i:]) ^ binary.LittleEndian.Uint64(b[i:])
		if x != 0 {
			return i + bits.TrailingZeros64(x)/8
		}
	}
	for i < n && a[i] == b[i] {
		i++
	}
	return i
}

// index enters the words that begin in p[i:end] into the tables.
func (e *Encoder) index(p []byte, i, end int) {
	for ; i < end; i++ {
		if wordBoundary(p, i) {
			e.insert(p, i)
		}
	}
}

func (e *Encoder) insert(p []byte, i int) {
	at := e.pos + uint16(i)
	if i+longLen <= len(p) {
		b := &e.long[hashLong(p[i:])]
		b[1], b[0] = b[0], at
	}
	if i+shortLen <= len(p) {
		b := &e.short[hashShort(p[i:])]
		b[1], b[0] = b[0], at
	}
}

func hashLong(p []byte) uint8 {
	return uint8(binary.LittleEndian.Uint64(p) * 0x9e3779b97f4a7c15 >> (64 - tableBits))
}

func hashShort(p []byte) uint8 {
	return uint8(binary.LittleEndian.Uint32(p) * 0x9e3779b1 >> (32 - tableBits))
}

// wordBoundary reports whether a word, or what is between two words, begins at
// p[i]. Each p begins with one.
func wordBoundary(p []byte, i int) bool {
	return i == 0 || wordByte[p[i]] != wordByte[p[i-1]]
}

// remember appends p to the window.
func (e *Encoder) remember(p []byte) {
	e.pos += uint16(len(p))
	p = p[max(0, len(p)-len(e.window)):]
	for len(p) > 0 {
		at := int(e.pos-uint16(len(p))) & (len(e.window) - 1)
		p = p[copy(e.window[at:], p):]
	}
}

// literals writes p without matches.
func (e *Encoder) literals(p []byte) {
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

// copies writes a match, which may be longer than deflate can say at once.
func (e *Encoder) copies(m copyOf) {
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
