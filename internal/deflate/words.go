package deflate

import (
	"encoding/binary"
	"math/bits"
)

const (
	// Strings are looked up by their first eight bytes and by their first
	// four. The long ones find the place in a header block where the text
	// goes on for longest, the short ones find words.
	longLen   = 8
	shortLen  = 4
	tableBits = 8

	// lazyLimit is the match length from which on the encoder does not look
	// whether the next word has a better one.
	lazyLimit = 32

	// Copies of what lies in the last nearPart-th of the window need not be
	// entered: the earlier text stays in reach for a while. It is less than
	// most header blocks take, so that a stretch of them is found anew in
	// each, at the distance of what surrounds it.
	nearPart = 16
)

// A bucket holds the last two positions of strings with the same hash, the newer
// one first.
type bucket [2]uint16

// A wordIndex finds matches quickly. It holds where in the window words begin,
// modulo 1<<16, which tells all positions in the window apart. Only words are
// looked up; a match that begins within a word is found when it is extended
// backwards. That keeps the tables small and the search short.
type wordIndex struct {
	long  [1 << tableBits]bucket
	short [1 << tableBits]bucket
}

// match encodes p, which contains no byte of the value masked, and enters its
// words into the tables. The window does not contain p yet.
func (e *Encoder) match(p []byte) {
	i := e.proceed(p)
	literals := i // start of those not yet written
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

// proceed goes on with the pending match as far as p does, and returns how much of
// p that covers. A match that would have saved more can still be found at its
// second word, and extended backwards.
func (e *Encoder) proceed(p []byte) int {
	if e.pending.length == 0 {
		return 0
	}
	n := e.matchLen(p, 0, e.pending.distance)
	e.pending.length += n
	e.enterCopy(p, 0, n, e.pending.distance)
	return n
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
		b := &e.words.long[hashLong(p[i:])]
		e.try(&best, p, i, b[0])
		e.try(&best, p, i, b[1])
	}
	b := &e.words.short[hashShort(p[i:])]
	e.try(&best, p, i, b[0])
	e.try(&best, p, i, b[1])
	return best
}

// try replaces best by the match of p[i:] with the text at the position from, if
// that is better.
func (e *Encoder) try(best *copyOf, p []byte, i int, from uint16) {
	// A position too far back is stale. An even older one may look near again,
	// and so may an entry never written. That does no harm, because what is
	// compared is the window.
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
	// A literal takes 8 bits, a match 12 and those of the distance beyond 4.
	if gain := 8*n - 10 - bits.Len(uint(d-1)); gain > best.gain {
		*best = copyOf{n, d, gain}
	}
}

// enterCopy enters the words that begin in p[i:end], which is part of a match, if
// that is of use: as long as the earlier copy stays in the window for a while, it
// will do.
func (e *Encoder) enterCopy(p []byte, i, end, distance int) {
	if distance > e.limit/nearPart {
		e.words.enter(e.pos, p, i, end)
	}
}

// enter enters the words that begin in p[i:end] into the tables, if p is at the
// position pos.
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

// wordBoundary reports whether a word, or what is between two words, begins at
// p[i]. Each p begins with one.
func wordBoundary(p []byte, i int) bool {
	return i == 0 || wordByte[p[i]] != wordByte[p[i-1]]
}
