package deflate

import (
	"encoding/binary"
	"math/bits"
)

var WindowBits = 15

const (
	textSize = 2048
	textMask = textSize - 1
	maxSpans = 96
	minMatch = 3
	maxMatch = 258
	longLen  = 8

	longBits  = 10
	longWays  = 1
	shortLen  = 4
	shortBits = 10
	shortWays = 1
)

var (
	keepMin   = 16
	lazyLimit = 32
	staleAge  = textSize / 2
)

const marker = "\x00\x00\xff\xff"

type span struct {
	at  uint16
	pos uint32
}

type Encoder struct {
	out    []byte
	acc    uint64
	nacc   uint
	window uint32

	pos    uint32
	head   uint16
	nspans int
	spans  [maxSpans]span
	text   [textSize]byte
	long   [1 << longBits][longWays]uint16
	short  [1 << shortBits][shortWays]uint16
}

func NewEncoder(dictionary string) *Encoder {
	e := new(Encoder)
	e.window = 1 << WindowBits
	d := []byte(dictionary)
	e.store(d, 0, len(d))
	return e
}

func (e *Encoder) Begin(dst []byte) {
	e.out, e.acc, e.nacc = dst, 0b010, 3
}

func (e *Encoder) End() []byte {
	n := e.nacc + 10
	dst := e.out
	for ; n > 8; n -= 8 {
		dst = append(dst, byte(e.acc))
		e.acc >>= 8
	}
	dst = append(dst, byte(e.acc))
	e.out = nil
	return append(dst, marker...)
}

func (e *Encoder) Literal(p []byte) {
	e.literals(p)
	e.pos += uint32(len(p))
}

type match struct {
	length   int
	at       uint16
	distance uint32
	gain     int
}

func (e *Encoder) Match(p []byte) {
	start := 0
	for i := 0; i < len(p); {
		if !boundary(p, i) {
			e.store(p, i, i+1)
			i++
			continue
		}
		m := e.find(p, i)
		if m.length == 0 {
			e.store(p, i, i+1)
			i++
			continue
		}
		// backward
		for i > start && m.at-1-e.spans[0].at < 0x8000 && e.back(p, i, m) {
			i--
			m.at--
			m.length++
			e.head--
			e.pos--
			if e.spans[e.nspans-1].at == e.head {
				e.nspans--
			}
		}
		e.literals(p[start:i])
		e.copy(m.length, int(m.distance))
		age := int(e.head - m.at)
		if m.length >= keepMin && age-0 <= staleAge {
			e.insertAt(p, i, m.at)
			e.move(m.at, m.length)
			e.pos += uint32(m.length)
		} else {
			e.store(p, i, i+m.length)
		}
		i += m.length
		start = i
	}
	e.literals(p[start:])
}

func (e *Encoder) back(p []byte, i int, m match) bool {
	if e.head-(m.at-1) >= textSize || e.text[(m.at-1)&textMask] != p[i-1] {
		return false
	}
	for k := e.nspans - 1; k >= 0; k-- {
		if e.spans[k].at == m.at {
			return false
		}
	}
	return true
}

var class [256]byte

func init() {
	for i := range class {
		switch {
		case i >= '0' && i <= '9':
			class[i] = digitClass
		case i >= 'a' && i <= 'z' || i >= 'A' && i <= 'Z':
			class[i] = 1
		}
	}
}

const digitClass = 2

func boundary(p []byte, i int) bool {
	return i == 0 || class[p[i]] != class[p[i-1]]
}

func (e *Encoder) find(p []byte, i int) (m match) {
	if i+longLen <= len(p) {
		for _, at := range &e.long[hashLong(p[i:])] {
			e.try(&m, p, i, at)
		}
	}
	if i+shortLen <= len(p) {
		for _, at := range &e.short[hashShort(p[i:])] {
			e.try(&m, p, i, at)
		}
	}
	return m
}

func (e *Encoder) try(m *match, p []byte, i int, at uint16) {
	age := e.head - at
	if age-1 >= textSize {
		return
	}
	l := e.matchLen(p[i:], at, int(age))
	if l < minMatch {
		return
	}
	k := e.nspans - 1
	for k >= 0 && e.head-e.spans[k].at < age {
		k--
	}
	if k < 0 {
		return
	}
	from := e.spans[k].pos + uint32(at-e.spans[k].at)
	d := e.pos - from
	if d > e.window {
		return
	}
	n := int(e.end(k) - at)
	for k++; n < l && k < e.nspans && e.spans[k].pos == from+uint32(n); k++ {
		n = int(e.end(k) - at)
	}
	l = min(l, n)
	if l < minMatch {
		return
	}
	gain := 8*l - 10 - bits.Len32(d-1)
	if gain > m.gain {
		*m = match{l, at, d, gain}
	}
}

func (e *Encoder) end(k int) uint16 {
	if k+1 < e.nspans {
		return e.spans[k+1].at
	}
	return e.head
}

func (e *Encoder) matchLen(p []byte, at uint16, age int) int {
	j := int(at) & textMask
	a := e.text[j:min(j+age, textSize)]
	n := common(a, p)
	if n == len(a) && n < age {
		n += common(e.text[:age-n], p[n:])
	}
	return n
}

func (e *Encoder) move(at uint16, n int) {
	end := at + uint16(n)
	age := e.head - at
	k := e.nspans - 1
	for k >= 0 && e.head-e.spans[k].at < age {
		k--
	}
	if k < 0 {
		return
	}
	// k contains at.
	j := k
	for j+1 < e.nspans && e.head-e.spans[j+1].at > e.head-end {
		j++
	}
	// j is the last that starts before end
	var repl [3]span
	r := 0
	if e.spans[k].at != at {
		repl[r] = e.spans[k]
		r++
	}
	repl[r] = span{at, e.pos}
	r++
	if e.end(j) != end {
		repl[r] = span{end, e.spans[j].pos + uint32(end-e.spans[j].at)}
		r++
	}
	// replace k..j
	extra := r - (j - k + 1)
	for extra > 0 && e.nspans+extra > maxSpans {
		copy(e.spans[:], e.spans[1:e.nspans])
		e.nspans--
		k--
		j--
		if k < 0 {
			return
		}
	}
	copy(e.spans[j+1+extra:], e.spans[j+1:e.nspans])
	copy(e.spans[k:], repl[:r])
	e.nspans += extra
}

func (e *Encoder) insertAt(p []byte, i int, at uint16) {
	if i+longLen <= len(p) {
		b := &e.long[hashLong(p[i:])]
		if b[0] != at {
			copy(b[1:], b[:])
			b[0] = at
		}
	}
	if i+shortLen <= len(p) {
		b := &e.short[hashShort(p[i:])]
		if b[0] != at {
			copy(b[1:], b[:])
			b[0] = at
		}
	}
}

func (e *Encoder) store(p []byte, i, end int) {
	if e.nspans == 0 || e.spans[e.nspans-1].pos+uint32(e.head-e.spans[e.nspans-1].at) != e.pos {
		for e.nspans == maxSpans || e.nspans > 1 && e.head-e.spans[1].at >= textSize {
			copy(e.spans[:], e.spans[1:e.nspans])
			e.nspans--
		}
		e.spans[e.nspans] = span{e.head, e.pos}
		e.nspans++
	}
	for ; i < end; i++ {
		if boundary(p, i) {
			e.insertAt(p, i, e.head)
		}
		e.text[e.head&textMask] = p[i]
		e.head++
		e.pos++
	}
	for e.nspans > 1 && e.head-e.spans[1].at >= textSize {
		copy(e.spans[:], e.spans[1:e.nspans])
		e.nspans--
	}
}

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

func hashShort(p []byte) uint32 {
	v := binary.LittleEndian.Uint32(p) << (32 - 8*shortLen)
	return v * 0x9e3779b1 >> (32 - shortBits)
}
func hashLong(p []byte) uint32 {
	v := binary.LittleEndian.Uint64(p[:8]) << (64 - 8*longLen)
	return uint32(v * 0x9e3779b97f4a7c15 >> (64 - longBits))
}

func (e *Encoder) literals(p []byte) {
	acc, n, out := e.acc, e.nacc, e.out
	for _, b := range p {
		if n >= 32 {
			out = binary.LittleEndian.AppendUint32(out, uint32(acc))
			acc, n = acc>>32, n-32
		}
		c := literals[b]
		acc |= uint64(c&0xffff) << n
		n += uint(c >> 16)
	}
	e.acc, e.nacc, e.out = acc, n, out
}

func (e *Encoder) copy(length, distance int) {
	for length > 0 {
		n := min(length, maxMatch)
		if rest := length - n; rest > 0 && rest < minMatch {
			n -= minMatch
		}
		e.copy1(n, distance)
		length -= n
	}
}

func (e *Encoder) copy1(length, distance int) {
	if e.nacc >= 32 {
		e.out = binary.LittleEndian.AppendUint32(e.out, uint32(e.acc))
		e.acc, e.nacc = e.acc>>32, e.nacc-32
	}
	c := lengths[length-minMatch]
	e.acc |= uint64(c&0xffff) << e.nacc
	e.nacc += uint(c >> 16)
	code, n := distanceCode(distance)
	e.acc |= uint64(code) << e.nacc
	e.nacc += n
}
