package deflate

import "math/bits"

// The fixed Huffman codes (RFC 1951 §3.2.6), bit-reversed because deflate sends
// Huffman codes with the most significant bit first and everything else with
// the least significant bit first.
var (
	// literals holds code | length<<16 of each literal byte.
	literals [256]uint32

	// lengths holds code and extra bits | their number<<16 of each match
	// length, indexed by length - minMatch.
	lengths [maxMatch - minMatch + 1]uint32

	// distances holds the five code bits of each distance symbol in use.
	distances [30]uint32
)

func init() {
	for b := range literals {
		if b < 144 {
			literals[b] = reverse(0x30+b, 8) | 8<<16
		} else {
			literals[b] = reverse(0x190+b-144, 9) | 9<<16
		}
	}
	for i := range lengths {
		lengths[i] = lengthCode(i)
	}
	for s := range distances {
		distances[s] = reverse(s, 5)
	}
}

// lengthCode returns code, extra bits and their number for length i+minMatch.
func lengthCode(i int) uint32 {
	symbol, extra, extraBits := 257+i, 0, 0
	switch {
	case i == maxMatch-minMatch: // has a symbol of its own
		symbol = 285
	case i >= 8: // four symbols for each doubling of the length
		extraBits = bits.Len(uint(i)) - 3
		symbol = 257 + 4*extraBits + i>>extraBits
		extra = i & (1<<extraBits - 1)
	}
	code, codeBits := reverse(symbol-256, 7), 7
	if symbol >= 280 {
		code, codeBits = reverse(0xc0+symbol-280, 8), 8
	}
	return code | uint32(extra)<<codeBits | uint32(codeBits+extraBits)<<16
}

// distanceCode returns code and extra bits, and their number, for distance d >= 1.
func distanceCode(d int) (code uint32, n uint) {
	d--
	if d < 4 {
		return distances[d], 5
	}
	// Two symbols for each doubling of the distance.
	extraBits := uint(bits.Len(uint(d))) - 2
	symbol := 2*extraBits + uint(d)>>extraBits
	extra := uint32(d) & (1<<extraBits - 1)
	return distances[symbol] | extra<<5, 5 + extraBits
}

// reverse returns the lowest n bits of code in reverse order.
func reverse(code, n int) uint32 {
	return uint32(bits.Reverse16(uint16(code)) >> (16 - n))
}
