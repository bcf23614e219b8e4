package deflate

import (
	"encoding/binary"
	"errors"
	"slices"
)

// Errors of decompressing a block. The decoder is unusable afterwards.
var (
	ErrCorrupt   = errors.New("corrupt deflate data")
	ErrTruncated = errors.New("deflate data that do not end at a byte boundary between two blocks")
	ErrFinal     = errors.New("end of the deflate stream")
	ErrTooLarge  = errors.New("too much deflate data")
)

const (
	// growth is the minimum growth of the output buffer. The buffer doubles with the actual output
	// and never grows by a size that the peer merely announces.
	growth = 512

	// scratchSize is the buffer size for discarded output.
	scratchSize = 4096
)

// Append appends the decompressed block to dst and returns the extended slice with the decompressed
// size. The block is too large if size > limit. Output beyond limit bytes is discarded, but still
// decompressed, because later blocks may refer to it. Beyond hardLimit bytes, Append stops with
// ErrTooLarge.
//
// The block must end where a sync flush may end: at a byte boundary between two deflate blocks of
// an open stream.
func (d *Decoder) Append(dst, block []byte, limit, hardLimit int) (nv []byte, size int, err error) {
	f := inflater{
		d:         d,
		in:        block,
		out:       dst,
		mark:      len(dst),
		limit:     max(0, min(limit, hardLimit)),
		hardLimit: hardLimit,
	}
	f.stop = len(dst) + min(cap(dst)-len(dst), f.limit)
	for err == nil && (f.next < len(f.in) || f.nacc > 0) {
		err = f.block()
	}
	size = f.done + len(f.out) - f.mark
	f.commit()
	if f.discard {
		return f.kept, size, err
	}
	return f.out, size, err
}

// An inflater decodes a single block.
type inflater struct {
	d *Decoder

	in   []byte
	next int    // in[:next] is in acc or consumed
	acc  uint64 // unconsumed input bits, the next bit lowest
	nacc uint   // number of valid bits in acc

	// Output is appended to out up to the length stop, where makeRoom is called. Bytes before mark
	// are not part of the output or are already in the history.
	out       []byte
	mark      int
	stop      int
	done      int // size of the output before mark
	limit     int
	hardLimit int
	discard   bool   // out is scratch space
	kept      []byte // the value of out before discarding began
}

// commit moves the output since mark to the history.
func (f *inflater) commit() {
	f.d.remember(f.out[f.mark:])
	f.done += len(f.out) - f.mark
	f.mark = len(f.out)
}

// makeRoom makes room for at least one more byte of output.
func (f *inflater) makeRoom() error {
	size := f.done + len(f.out) - f.mark
	switch {
	case size >= f.hardLimit:
		return ErrTooLarge
	case size < f.limit:
		f.out = slices.Grow(f.out, min(max(growth, size), f.limit-size))
		f.stop = len(f.out) + min(cap(f.out)-len(f.out), f.limit-size)
		return nil
	}
	f.commit()
	if !f.discard {
		f.discard = true
		f.kept = f.out
		f.out = make([]byte, 0, scratchSize)
	}
	f.out = f.out[:0]
	f.mark = 0
	f.stop = min(scratchSize, f.hardLimit-size)
	return nil
}

// refill loads at least 56 bits into acc, or all remaining bits.
func (f *inflater) refill() {
	if f.next+8 <= len(f.in) {
		// The next refill loads the bits beyond nacc again; or-ing the same bits twice has no
		// effect.
		f.acc |= binary.LittleEndian.Uint64(f.in[f.next:]) << f.nacc
		n := (63 - f.nacc) / 8
		f.next += int(n)
		f.nacc += 8 * n
		return
	}
	for f.nacc < 56 && f.next < len(f.in) {
		f.acc |= uint64(f.in[f.next]) << f.nacc
		f.next++
		f.nacc += 8
	}
}

// bits reads a number of n bits.
func (f *inflater) bits(n uint) (uint32, error) {
	if f.nacc < n {
		if f.refill(); f.nacc < n {
			return 0, ErrTruncated
		}
	}
	v := uint32(f.acc) & (1<<n - 1)
	f.acc >>= n
	f.nacc -= n
	return v, nil
}

// symbol reads a symbol with the code h.
func (f *inflater) symbol(h *huffman) (uint16, error) {
	if f.nacc < maxCodeBits {
		f.refill()
	}
	e := h.fast[f.acc&(1<<fastBits-1)]
	symbol, n := e>>4, uint(e&15)
	if n == 0 {
		if symbol, n = h.slow(f.acc, f.nacc); n == 0 {
			return 0, ErrCorrupt
		}
	}
	if n > f.nacc {
		return 0, ErrTruncated
	}
	f.acc >>= n
	f.nacc -= n
	return symbol, nil
}

// block decodes one deflate block (RFC 1951 §3.2.3).
func (f *inflater) block() error {
	header, err := f.bits(3)
	if err != nil {
		return err
	}
	switch header >> 1 {
	case 0:
		err = f.stored()
	case 1:
		err = f.huffmanBlock(fixedLiterals, fixedDistances)
	case 2:
		c := dynamicPool.Get().(*dynamicCodes)
		if err = f.readDynamicCodes(c); err == nil {
			err = f.huffmanBlock(&c.literals, &c.distances)
		}
		dynamicPool.Put(c)
	default:
		err = ErrCorrupt
	}
	if err == nil && header&1 != 0 {
		err = ErrFinal
	}
	return err
}

// stored copies a stored block.
func (f *inflater) stored() error {
	f.next -= int(f.nacc / 8) // return whole bytes to the input
	f.acc, f.nacc = 0, 0
	if len(f.in)-f.next < 4 {
		return ErrTruncated
	}
	n := int(binary.LittleEndian.Uint16(f.in[f.next:]))
	if n != int(^binary.LittleEndian.Uint16(f.in[f.next+2:])) {
		return ErrCorrupt
	}
	f.next += 4
	if n > len(f.in)-f.next {
		return ErrTruncated
	}
	for p := f.in[f.next : f.next+n]; len(p) > 0; {
		if len(f.out) == f.stop {
			if err := f.makeRoom(); err != nil {
				return err
			}
		}
		m := min(len(p), f.stop-len(f.out))
		f.out = append(f.out, p[:m]...)
		p = p[m:]
	}
	f.next += n
	return nil
}

// literals decodes literals with the code h while only simple cases occur. It is an optimization
// that could be omitted.
func (f *inflater) literals(h *huffman) {
	acc, n, next, out := f.acc, f.nacc, f.next, f.out
	for len(out) < f.stop {
		if n < fastBits {
			if next+8 > len(f.in) {
				break
			}
			acc |= binary.LittleEndian.Uint64(f.in[next:]) << n
			loaded := (63 - n) / 8
			next += int(loaded)
			n += 8 * loaded
		}
		e := h.fast[acc&(1<<fastBits-1)]
		if e == 0 || e>>4 >= endOfBlock {
			break
		}
		out = append(out, byte(e>>4))
		acc >>= e & 15
		n -= uint(e & 15)
	}
	f.acc, f.nacc, f.next, f.out = acc, n, next, out
}

// huffmanBlock decodes a compressed block after the header.
func (f *inflater) huffmanBlock(literals, distances *huffman) error {
	for {
		f.literals(literals)
		symbol, err := f.symbol(literals)
		switch {
		case err != nil:
			return err
		case symbol == endOfBlock:
			return nil
		case symbol > endOfBlock:
			if err := f.match(symbol, distances); err != nil {
				return err
			}
		default:
			if len(f.out) == f.stop {
				if err := f.makeRoom(); err != nil {
					return err
				}
			}
			f.out = append(f.out, byte(symbol))
		}
	}
}

// match decodes the rest of a match and copies the bytes.
func (f *inflater) match(symbol uint16, distances *huffman) error {
	i := int(symbol) - endOfBlock - 1
	if i >= len(lengthBase) {
		return ErrCorrupt
	}
	extra, err := f.bits(uint(lengthExtra[i]))
	if err != nil {
		return err
	}
	length := int(lengthBase[i]) + int(extra)
	symbol, err = f.symbol(distances)
	if err != nil {
		return err
	}
	if int(symbol) >= len(distanceBase) {
		return ErrCorrupt
	}
	extra, err = f.bits(uint(distanceExtra[symbol]))
	if err != nil {
		return err
	}
	return f.copy(length, int(distanceBase[symbol])+int(extra))
}

// copy repeats length bytes of the output from the given distance back.
func (f *inflater) copy(length, distance int) error {
	period := distance
	for length > 0 {
		if len(f.out) == f.stop {
			if err := f.makeRoom(); err != nil {
				return err
			}
			period = distance
		}
		var source []byte
		if before := period - (len(f.out) - f.mark); before > 0 {
			source = f.d.behind(before)
		} else {
			source = f.out[len(f.out)-period:]
			period *= 2 // if all of source fits, the output contains source twice
		}
		n := min(length, len(source), f.stop-len(f.out))
		if n == 0 {
			return ErrCorrupt // before the start of the stream
		}
		f.out = append(f.out, source[:n]...)
		length -= n
	}
	return nil
}

// The meaning of the length symbols from 257 and of the distance symbols (RFC 1951 §3.2.5).
var (
	lengthBase = [29]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31,
		35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthExtra = [29]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2,
		3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distanceBase = [30]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193,
		257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distanceExtra = [30]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6,
		7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
)
