package deflate

import (
	"encoding/binary"
	"math/bits"
)

// smallRing is the initial size of a window, if the limit allows: enough for a SPDY dictionary and
// a first header block.
const smallRing = 2 << 10

// masked replaces every byte in a window that must not be matched. The byte value is never matched,
// so no comparison can succeed at a masked position or extend across it.
const masked = 0xff

// A window is the past text of a stream that matches may refer to.
type window struct {
	// pos counts the bytes of the stream. The byte at position n is at ring[n%len(ring)]. ring
	// doubles as text arrives, and overwrites text only after reaching the full reach of matches.
	pos   uint64
	ring  []byte
	limit int // the final length of ring
}

func newWindow(windowBits int) window {
	limit := 1 << windowBits
	return window{ring: appendMasked(nil, min(smallRing, limit)), limit: limit}
}

// appendMasked returns a copy of ring extended with masked bytes to the given length, without spare
// capacity.
func appendMasked(ring []byte, length int) []byte {
	r := make([]byte, length)
	for i := copy(r, ring); i < length; i++ {
		r[i] = masked
	}
	return r
}

// reserve makes room for n more bytes, up to the limit.
func (w *window) reserve(n int) {
	size := len(w.ring)
	for size < w.limit && uint64(size) < w.pos+uint64(n) {
		size *= 2
	}
	if size > len(w.ring) {
		w.ring = appendMasked(w.ring, size)
	}
}

// remember appends p to the window.
func (w *window) remember(p []byte) {
	w.reserve(len(p))
	w.pos += uint64(len(p))
	p = p[max(0, len(p)-len(w.ring)):]
	for len(p) > 0 {
		p = p[copy(w.ring[w.index(len(p)):], p):]
	}
}

// mask appends a gap of n bytes to the window.
func (w *window) mask(n int) {
	w.reserve(n)
	w.pos += uint64(n)
	for n = min(n, len(w.ring)); n > 0; {
		i := w.index(n)
		gap := w.ring[i:min(i+n, len(w.ring))]
		for j := range gap {
			gap[j] = masked
		}
		n -= len(gap)
	}
}

// index returns the index in ring of the byte that is back bytes before the end of the text.
func (w *window) index(back int) int {
	return (int(w.pos) - back) & (len(w.ring) - 1)
}

// reaches reports whether a match may have the distance d.
func (w *window) reaches(d int) bool {
	return uint(d-1) < uint(len(w.ring))
}

// at returns the byte at index i of p, which follows the text. Negative indices refer to the text.
func (w *window) at(p []byte, i int) byte {
	if i >= 0 {
		return p[i]
	}
	return w.ring[w.index(-i)]
}

// matchLen returns the number of bytes at p[i:] that repeat the bytes at distance d, if p follows
// the text.
func (w *window) matchLen(p []byte, i, d int) int {
	n := 0
	for back := d - i; back > 0; back = d - i - n {
		at := w.index(back)
		source := w.ring[at:min(at+back, len(w.ring))]
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
