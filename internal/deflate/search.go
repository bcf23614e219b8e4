package deflate

import (
	"encoding/binary"
	"math/bits"
	"sync"
)

const (
	// chainBits and nearBits are the table sizes of a searcher for a large window. A smaller window
	// has smaller tables.
	chainBits = 12
	nearBits  = 10

	chainLen   = 4  // approximate number of leading bytes shared by the strings of a chain
	chainDepth = 32 // maximum number of earlier strings to compare

	// longEnough is the match length that ends the search for a better match.
	longEnough = 64

	// planSize is the maximum number of bytes planned together.
	planSize = 256

	// recentPart is nearPart for long matches of a searcher, which has a larger window.
	recentPart = 64
)

// A searcher finds a short encoding of a text: among all sequences of literals and matches that the
// search examines, the sequence with the fewest bits. It is slower than a wordIndex, and needs 74
// KiB of tables for a window of 32 KiB.
type searcher struct {
	// The positions of strings with the same beginning form a chain, newest first. head is indexed
	// by a hash of the first chainLen bytes. link is indexed by the position modulo the length of
	// link, which is the window size. Positions are stored modulo 1<<16. Overwritten and
	// uninitialized entries are harmless, since matches are compared in the window. Such an entry
	// may be newer than its predecessor in the chain; the chain ends there.
	head []uint16
	link []uint16

	// near has the latest position of strings by a hash of minMatch bytes.
	near []uint16
}

// NewSearchingEncoder returns an encoder like NewEncoder that prefers small output over time and
// memory. It needs up to 106 KiB for a window of 15 bits, and all of that after 1<<windowBits bytes
// of input.
func NewSearchingEncoder(dictionary string, windowBits int) *Encoder {
	e := &Encoder{window: newWindow(windowBits), searcher: new(searcher)}
	e.remember([]byte(dictionary))
	return e
}

// A step is the best known encoding of a text up to some byte.
type step struct {
	cost     uint32 // total in bits up to this byte
	length   uint16 // length of the last match; 1 for a literal
	distance uint16 // distance of the last match; 0 for a literal
}

// A plan has the steps to each byte of a text.
type plan [planSize + longEnough]step

// unreached is the cost of a step without a known encoding.
const unreached = 1 << 30

// plans are used only within a call.
var plans = sync.Pool{New: func() any { return new(plan) }}

// search encodes p, which contains no byte of the value masked. The window does not contain p yet,
// but has room for it.
func (e *Encoder) search(p []byte) {
	s := e.searcher
	if len(s.link) != len(e.ring) {
		s.resize(&e.window)
	}
	steps := plans.Get().(*plan)
	for i := 0; i < len(p); {
		n, long := e.plan(steps, p, i)
		e.follow(steps, p[i:], n)
		i += n
		if long.length > 0 {
			e.copies(long)
			if long.distance > e.limit/recentPart {
				s.enter(e.pos, p, i, i+long.length)
			}
			i += long.length
		}
	}
	plans.Put(steps)
}

// plan finds the best encoding of the next n bytes of p[i:]. It stops at a match of at least
// longEnough, at the end of p, or at the last step.
func (e *Encoder) plan(steps *plan, p []byte, i int) (n int, long copyOf) {
	end := min(len(p)-i, planSize)
	for k := range steps[:end+longEnough] {
		steps[k].cost = unreached
	}
	steps[0].cost = 0
	if room := maxMatch - e.pending.length; e.pending.length > 0 && room > 0 {
		m := e.matchUpTo(room, p, i, e.pending.distance)
		if m >= longEnough {
			return 0, copyOf{length: m, distance: e.pending.distance}
		}
		for l := 1; l <= m; l++ { // extending the pending match is free
			steps.offer(l, 0, l, e.pending.distance)
		}
	}
	for n = 0; n < end; n++ {
		steps.offer(n+1, steps[n].cost+literalCodes[p[i+n]]>>16, 1, 0)
		if long = e.searchAt(steps, p, i, n); long.length > 0 {
			return n, long
		}
		e.searcher.enter(e.pos, p, i+n, i+n+1)
	}
	return n, long
}

// searchAt offers the matches that begin at p[i+n], or returns a match that is long enough.
func (e *Encoder) searchAt(steps *plan, p []byte, i, n int) (long copyOf) {
	at, cost := i+n, steps[n].cost
	if at+chainLen > len(p) {
		return long
	}
	s := e.searcher
	pos := uint16(e.pos) + uint16(at)
	longest := minMatch - 1
	if d := int(pos - s.near[hash(p[at:], minMatch, len(s.near))]); e.reaches(d) && e.matchUpTo(minMatch, p, at, d) == minMatch {
		steps.offer(n+minMatch, cost+matchCost(minMatch, d), minMatch, d)
		longest = minMatch
	}
	most := min(len(p)-at, maxMatch)
	from, last := s.head[hash(p[at:], chainLen, len(s.head))], 0
	for range chainDepth {
		d := int(pos - from)
		if d <= last || !e.reaches(d) {
			break
		}
		last = d
		from = s.link[int(from)&(len(s.link)-1)]
		if e.at(p, at+longest-d) != p[at+longest] {
			continue // no longer than the longest known match
		}
		m := e.matchUpTo(most, p, at, d)
		if m >= longEnough && m > longest {
			long = copyOf{length: m, distance: d}
		} else {
			for l := longest + 1; l <= m; l++ {
				steps.offer(n+l, cost+matchCost(l, d), l, d)
			}
		}
		if longest = max(longest, m); longest == most {
			break
		}
	}
	return long
}

// matchUpTo is matchLen for a match of at most n bytes. It compares at most n bytes: otherwise a
// long run of equal bytes would be compared to the end again and again.
func (e *Encoder) matchUpTo(n int, p []byte, i, d int) int {
	return e.matchLen(p[:min(len(p), i+n)], i, d)
}

// offer records an encoding of the text up to byte k if it is the cheapest so far.
func (steps *plan) offer(k int, cost uint32, length, distance int) {
	if t := &steps[k]; cost < t.cost {
		*t = step{cost: cost, length: uint16(length), distance: uint16(distance)}
	}
}

// follow writes the first n bytes of p according to the steps.
func (e *Encoder) follow(steps *plan, p []byte, n int) {
	// Each step holds the way it was reached. After the reversal, each step holds the way to the
	// next.
	var onwards step
	for k := n; ; k -= int(onwards.length) {
		steps[k], onwards = onwards, steps[k]
		if k == 0 {
			break
		}
	}
	for k := 0; k < n; {
		length, distance := int(steps[k].length), int(steps[k].distance)
		if distance == 0 {
			e.literals(p[k : k+1])
		} else {
			e.copies(copyOf{length: length, distance: distance})
		}
		k += length
	}
}

// resize makes tables that fit the window, and enters the text of the window.
func (s *searcher) resize(w *window) {
	s.link = make([]uint16, len(w.ring))
	s.head = make([]uint16, min(1<<chainBits, len(w.ring)/2))
	s.near = make([]uint16, min(1<<nearBits, len(w.ring)/4))
	for at := w.pos - min(w.pos, uint64(len(w.ring))); at < w.pos; {
		i := w.index(int(w.pos - at))
		text := w.ring[i:min(len(w.ring), i+int(w.pos-at))]
		s.enter(at, text, 0, len(text))
		at += uint64(len(text))
	}
}

// enter indexes the strings that begin in p[i:end]; p is at position at.
func (s *searcher) enter(at uint64, p []byte, i, end int) {
	for end = min(end, len(p)-chainLen+1); i < end; i++ {
		pos := uint16(at) + uint16(i)
		s.near[hash(p[i:], minMatch, len(s.near))] = pos
		h := hash(p[i:], chainLen, len(s.head))
		s.link[int(pos)&(len(s.link)-1)] = s.head[h]
		s.head[h] = pos
	}
}

// hash returns a hash of the first n bytes of p below size, a power of two. p has at least 4 bytes.
func hash(p []byte, n, size int) uint32 {
	x := binary.LittleEndian.Uint32(p) << (8 * (4 - n))
	return uint32(uint64(x*0x9e3779b1) * uint64(size) >> 32)
}

// matchCost is the number of bits of a match.
func matchCost(length, distance int) uint32 {
	const distanceSymbol = 5
	cost := lengthCodes[length-minMatch]>>16 + distanceSymbol
	if d := bits.Len(uint(distance - 1)); d > 2 {
		cost += uint32(d - 2)
	}
	return cost
}
