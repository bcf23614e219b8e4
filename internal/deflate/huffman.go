package deflate

import (
	"math/bits"
	"sync"
)

const (
	maxCodeBits = 15
	fastBits    = 9

	endOfBlock = 256 // symbol
	maxLiteral = 288 // symbols of the literal/length alphabet
)

// A huffman decodes a Huffman code.
type huffman struct {
	// fast maps the next fastBits bits of the input to symbol<<4 | size of the code at their front,
	// or to 0 if the code is longer or invalid.
	fast [1 << fastBits]uint16

	// count and symbols describe the code canonically (RFC 1951 §3.2.2): the number of codes of
	// each size, and the symbols in order of code.
	count   [maxCodeBits + 1]uint16
	symbols [maxLiteral]uint16
}

// init makes h decode the code in which symbol i has sizes[i] bits. It reports whether the sizes
// form a complete code. As in all other inflaters, a code of a single symbol of one bit counts as
// complete, and a code without symbols is valid as long as it is unused.
func (h *huffman) init(sizes []uint8) bool {
	h.count = [maxCodeBits + 1]uint16{}
	for _, n := range sizes {
		h.count[n]++
	}
	used := len(sizes) - int(h.count[0])
	h.count[0] = 0
	var next, offset [maxCodeBits + 2]uint16
	left := 1 // unassigned codes, in units of the current size
	for n := 1; n <= maxCodeBits; n++ {
		left = left<<1 - int(h.count[n])
		if left < 0 {
			return false
		}
		next[n+1] = (next[n] + h.count[n]) << 1
		offset[n+1] = offset[n] + h.count[n]
	}
	if left > 0 && used > 0 && (used > 1 || h.count[1] != 1) {
		return false
	}
	h.fast = [1 << fastBits]uint16{}
	for symbol, n := range sizes {
		if n == 0 {
			continue
		}
		h.symbols[offset[n]] = uint16(symbol)
		offset[n]++
		code := next[n]
		next[n]++
		if n > fastBits {
			continue
		}
		for i := int(bits.Reverse16(code) >> (16 - n)); i < len(h.fast); i += 1 << n {
			h.fast[i] = uint16(symbol)<<4 | uint16(n)
		}
	}
	return true
}

// slow decodes a code that is not in fast from the next bits of the input, of which n are valid.
// The size is 0 if the code is invalid, and more than n if the input ends within the code.
func (h *huffman) slow(acc uint64, n uint) (symbol uint16, size uint) {
	var code, first, index int
	for size = 1; size <= maxCodeBits; size++ {
		if size > n {
			return 0, size
		}
		code |= int(acc & 1)
		acc >>= 1
		count := int(h.count[size])
		if code-first < count {
			return h.symbols[index+code-first], size
		}
		index += count
		first = (first + count) << 1
		code <<= 1
	}
	return 0, 0
}

// The fixed codes (RFC 1951 §3.2.6).
var fixedLiterals, fixedDistances = func() (l, d *huffman) {
	var sizes [maxLiteral]uint8
	for i := range sizes {
		switch {
		case i < 144:
			sizes[i] = 8
		case i < 256:
			sizes[i] = 9
		case i < 280:
			sizes[i] = 7
		default:
			sizes[i] = 8
		}
	}
	l, d = new(huffman), new(huffman)
	l.init(sizes[:])
	for i := range 32 {
		sizes[i] = 5
	}
	d.init(sizes[:32])
	return l, d
}()

// dynamicCodes are the codes transmitted in a block.
type dynamicCodes struct {
	literals, distances huffman
}

var dynamicPool = sync.Pool{New: func() any { return new(dynamicCodes) }}

// sizeOrder is the order in which a dynamic block lists the sizes of the code for code sizes (RFC
// 1951 §3.2.7).
var sizeOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// readDynamicCodes reads the codes at the start of a dynamic block.
func (f *inflater) readDynamicCodes(c *dynamicCodes) error {
	head, err := f.bits(14)
	if err != nil {
		return err
	}
	literals := int(head&31) + 257
	distances := int(head>>5&31) + 1
	if literals > 286 || distances > 30 {
		return ErrCorrupt
	}
	var sizes [286 + 30]uint8
	for i := range int(head>>10) + 4 {
		n, err := f.bits(3)
		if err != nil {
			return err
		}
		sizes[sizeOrder[i]] = uint8(n)
	}
	h := &c.distances // not in use for distances yet
	if !h.init(sizes[:19]) {
		return ErrCorrupt
	}
	if err := f.readSizes(h, sizes[:literals+distances]); err != nil {
		return err
	}
	if !c.literals.init(sizes[:literals]) || !c.distances.init(sizes[literals:literals+distances]) {
		return ErrCorrupt
	}
	return nil
}

// readSizes fills sizes, which are run-length coded with the code h.
func (f *inflater) readSizes(h *huffman, sizes []uint8) error {
	for i := 0; i < len(sizes); {
		symbol, err := f.symbol(h)
		if err != nil {
			return err
		}
		if symbol < 16 {
			sizes[i] = uint8(symbol)
			i++
			continue
		}
		size, extraBits, base := uint8(0), uint(2), 3
		switch symbol {
		case 16: // repeats the previous size
			if i == 0 {
				return ErrCorrupt
			}
			size = sizes[i-1]
		case 17:
			extraBits = 3
		default:
			extraBits, base = 7, 11
		}
		extra, err := f.bits(extraBits)
		if err != nil {
			return err
		}
		n := base + int(extra)
		if n > len(sizes)-i {
			return ErrCorrupt
		}
		for range n {
			sizes[i] = size
			i++
		}
	}
	return nil
}
