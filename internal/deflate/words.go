package deflate

import (
	"encoding/binary"
	"math/bits"
)

const (
	// Strings are looked up by the first eight bytes and by the first four. The long lookup finds
	// the place in a header block with the longest continuation; the short lookup finds words.
	longLen   = 8
	shortLen  = 4
	tableBits = 8

	// lazyLimit is the match length at which the encoder stops looking for a better match at the
	// next word.
	lazyLimit = 32

	// Copies from the last nearPart-th of the window need not be entered: the earlier text stays in
	// reach for a while. That part is smaller than most header blocks. A stretch of several blocks
	// is therefore found again in each block, at the distance of the surrounding text.
	nearPart = 16
)

// A bucket holds the last two positions of strings with the same hash, the newer position first.
type bucket [2]uint16

// A wordIndex finds matches quickly. It holds the window positions of words modulo 1<<16, which
// distinguishes all positions in the window. Only words are looked up; a match that begins within a
// word is found by extending a match backwards. The tables stay small and the search short.
type wordIndex struct {
	long  [1 << tableBits]bucket
	short [1 << tableBits]bucket
}

// match encodes p, which contains no byte of the value masked, and enters the words of p into the
// tables. The window does not contain p yet.
func (e *Encoder) match(p []byte) {
	i := e.proceed(p)
	literals := i // start of the unwritten literals
	for i < len(p) {
		if !wordBoundary(p, i) {
			i++
			continue
		}
		m := e.find(p, i)
		e.words.insert(e.pos, p, i)
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
		e.enterCopy(p, i+1, i+m.length, m.distance)
		i += m.length
		literals = i
	}
	e.literals(p[literals:])
}

// proceed extends the pending match into p, and returns the number of bytes covered. A match with a
// larger gain can still be found at the second word, and extended backwards.
func (e *Encoder) proceed(p []byte) int {
	if e.pending.length == 0 {
		return 0
	}
	n := e.matchLen(p, 0, e.pending.distance)
	e.pending.length += n
	e.enterCopy(p, 0, n, e.pending.distance)
	return n
}

// better returns the next word after p[i:] if the word begins within m, which matches p[i:], and
// has a better match than m. Otherwise better returns i.
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

// find returns the best match for p[i:], or a match of length 0.
func (e *Encoder) find(p []byte, i int) (best copyOf) {
	if i+shortLen > len(p) {
		return best
	}
	if i+longLen <= len(p) {
		b := &e.words.long[hashLong(p[i:])]
		e.try(&best, p, i, b[0])
		e.try(&best, p, i, b[1])
	}
	b := &e.words.short[hashShort(p[i:])]
	e.try(&best, p, i, b[0])
	e.try(&best, p, i, b[1])
	return best
}

// try replaces best by the match of p[i:] with the text at position from if that match is better.
func (e *Encoder) try(best *copyOf, p []byte, i int, from uint16) {
	// A position too far back is stale. An even older position may look near again, and so may an
	// uninitialized entry. Both are harmless, because matches are compared in the window.
	d := int(uint16(e.pos) + uint16(i) - from)
	if !e.reaches(d) {
		return
	}
	if end := i + best.length; best.length > 0 && (end == len(p) || e.at(p, end-d) != p[end]) {
		return // no longer than best
	}
	n := e.matchLen(p, i, d)
	if n < minMatch {
		return
	}
	// A literal has 8 bits; a match has 12, plus the distance bits beyond 4.
	if gain := 8*n - 10 - bits.Len(uint(d-1)); gain > best.gain {
		*best = copyOf{n, d, gain}
	}
}

// enterCopy enters the words in p[i:end], a part of a match, if that is useful. It is not needed
// while the earlier copy stays in the window for a while.
func (e *Encoder) enterCopy(p []byte, i, end, distance int) {
	if distance > e.limit/nearPart {
		e.words.enter(e.pos, p, i, end)
	}
}

// enter enters the words that begin in p[i:end] into the tables; p is at position pos.
func (x *wordIndex) enter(pos uint64, p []byte, i, end int) {
	for ; i < end; i++ {
		if wordBoundary(p, i) {
			x.insert(pos, p, i)
		}
	}
}

func (x *wordIndex) insert(pos uint64, p []byte, i int) {
	at := uint16(pos) + uint16(i)
	if i+longLen <= len(p) {
		b := &x.long[hashLong(p[i:])]
		b[1], b[0] = b[0], at
	}
	if i+shortLen <= len(p) {
		b := &x.short[hashShort(p[i:])]
		b[1], b[0] = b[0], at
	}
}

func hashLong(p []byte) uint8 {
	return uint8(binary.LittleEndian.Uint64(p) * 0x9e3779b97f4a7c15 >> (64 - tableBits))
}

func hashShort(p []byte) uint8 {
	return uint8(binary.LittleEndian.Uint32(p) * 0x9e3779b1 >> (32 - tableBits))
}

// wordBoundary reports whether p[i] begins a word or a gap between words. Index 0 is always a
// boundary.
func wordBoundary(p []byte, i int) bool {
	return i == 0 || wordByte[p[i]] != wordByte[p[i-1]]
}
