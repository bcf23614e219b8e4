package deflate

import "math/bits"

// The fixed Huffman codes (RFC 1951 §3.2.6) for the encoder. The codes are bit-reversed, because
// deflate sends Huffman codes with the most significant bit first and everything else with the
// least significant bit first.
var (
	// literalCodes holds code | size<<16 of each byte.
	literalCodes [256]uint32

	// lengthCodes holds code and extra bits | their number<<16 of each match length, indexed by
	// length - minMatch.
	lengthCodes [maxMatch - minMatch + 1]uint32
)

// wordByte has the bytes that belong to words.
var wordByte [256]bool

func init() {
	for b := range literalCodes {
		if b < 144 {
			literalCodes[b] = reverse(0x30+b, 8) | 8<<16
		} else {
			literalCodes[b] = reverse(0x190+b-144, 9) | 9<<16
		}
	}
	for i := range lengthCodes {
		lengthCodes[i] = lengthCode(i)
	}
	for b := range wordByte {
		wordByte[b] = '0' <= b && b <= '9' || 'A' <= b && b <= 'Z' || 'a' <= b && b <= 'z'
	}
}

// lengthCode returns code and extra bits | their number<<16 for the match length i+minMatch.
func lengthCode(i int) uint32 {
	symbol, extra, extraBits := 257+i, 0, 0
	switch {
	case i == maxMatch-minMatch: // has a separate symbol
		symbol = 285
	case i >= 8: // four symbols for each doubling of the length
		extraBits = bits.Len(uint(i)) - 3
		symbol = 257 + 4*extraBits + i>>extraBits
		extra = i & (1<<extraBits - 1)
	}
	code, size := reverse(symbol-256, 7), 7
	if symbol >= 280 {
		code, size = reverse(0xc0+symbol-280, 8), 8
	}
	return code | uint32(extra)<<size | uint32(size+extraBits)<<16
}

// distanceCode returns the code and extra bits of a distance, and the number of these bits.
func distanceCode(distance int) (code uint32, size uint) {
	d := uint(distance - 1)
	if d < 4 {
		return reverse(int(d), 5), 5
	}
	// Two symbols for each doubling of the distance.
	extraBits := uint(bits.Len(d)) - 2
	symbol := 2*extraBits + d>>extraBits
	extra := uint32(d & (1<<extraBits - 1))
	return reverse(int(symbol), 5) | extra<<5, 5 + extraBits
}

// reverse returns the lowest n bits of code in reverse order.
func reverse(code, n int) uint32 {
	return uint32(bits.Reverse16(uint16(code)) >> (16 - n))
}
