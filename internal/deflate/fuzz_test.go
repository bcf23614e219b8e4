package deflate

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzDeflate reads a program for the encoder from its input: a byte of which
// the low bits are the length of the next piece, and the high bits say whether
// it is secret, whether it ends a block and whether it repeats earlier input. A
// secret of odd length may be matched as a whole, with one of its kind.
// What the encoder writes has to be the same to compress/flate and to Decoder.
func FuzzDeflate(f *testing.F) {
	f.Add([]byte("\x05hello\x45hello\x85hello\x25hello\xc5hello"), uint8(0))
	f.Add([]byte("\x55sid=31d4d96e407aad42;\x55sid=31d4d96e407aad42;\x57sid=31d4d96e407aad42; x"), uint8(5))
	f.Add([]byte("\x55sid=31d4d96e407aad42;\x05hello\xd5sid=31d4d96e407aad42;\x05hello"), uint8(5))
	f.Add([]byte("\x05hello\x45hello\x85hello\x25hello\xc5hello"), uint8(15))
	f.Add([]byte("\x1faccept-encoding: gzip,deflate\xff\xff\x60\x60\x60\x60\x60\x60"), uint8(4))
	f.Fuzz(func(t *testing.T, program []byte, windowBits uint8) {
		bits := 8 + int(windowBits%8)
		e := NewEncoder(testDictionary, bits)
		if windowBits&8 != 0 {
			e = NewSearchingEncoder(testDictionary, bits)
		}
		d := NewDecoder([]byte(testDictionary), bits)
		standard := newStandardReader(testDictionary)
		var pieces []piece
		past := program
		for len(program) > 0 {
			op := program[0]
			program = program[1:]
			n := min(int(op&31), len(program))
			text := program[:n]
			if op&32 != 0 {
				text = bytes.Repeat(past[:min(len(past), 3*int(op&31))], 1+int(op&3))
			} else {
				program = program[n:]
			}
			how := matched
			if op&64 != 0 {
				how = [4]treatment{literal, whole, literal, wholeOther}[op&3]
			}
			pieces = append(pieces, piece{string(text), how})
			if op&128 == 0 && len(program) > 0 {
				continue
			}
			want := joined(pieces)
			block := encode(e, pieces...)
			got, _, err := d.Append(nil, block, len(want), len(want))
			require.NoError(t, err)
			require.Equal(t, want, string(got))
			require.Equal(t, want, string(standard.read(t, block, len(want))))
			pieces = nil
		}
	})
}

// FuzzInflate gives arbitrary bytes to Decoder and to compress/flate. They have
// to agree on what is valid and on the output.
func FuzzInflate(f *testing.F) {
	for _, level := range []int{0, 1, 9, flate.HuffmanOnly} {
		for _, block := range flush(f, level, testDictionary, testTexts()[:4]...) {
			f.Add(block)
		}
	}
	f.Add([]byte("\x04\xc0\x81\x08\x00\x00\x00\x00\x20\x7f\xeb\x0b\x00\x00\x00\xff\xff")) // one-symbol codes
	f.Fuzz(func(t *testing.T, block []byte) {
		const limit, hardLimit = 1000, 50_000
		d := NewDecoder([]byte(testDictionary), 15)
		got, size, err := d.Append(nil, block, limit, hardLimit)

		want, ok := inflateStandard(block, hardLimit)
		if errors.Is(err, ErrTooLarge) {
			require.Greater(t, len(want), hardLimit)
			return
		}
		require.Equal(t, ok, err == nil, "error %v", err)
		if err == nil {
			require.Equal(t, len(want), size)
			require.Equal(t, string(want[:min(limit, len(want))]), string(got))
		}
	})
}

// inflateStandard inflates block with compress/flate and reports whether the
// block ends at a byte boundary between deflate blocks of an open stream: then,
// and only then, an empty final block completes it, with and without an empty
// block before that. (A final block cut short can swallow one of the two.) Past
// hardLimit bytes it does not matter how the block ends.
func inflateStandard(block []byte, hardLimit int) (out []byte, ok bool) {
	if out, _, _ = inflateWith(block, "", hardLimit); len(out) > hardLimit {
		return out, true
	}
	for _, end := range []string{"\x00\x00\x00\xff\xff\x01\x00\x00\xff\xff", "\x01\x00\x00\xff\xff"} {
		all, left, err := inflateWith(block, end, hardLimit)
		// If the block brought a final block of its own, end is left over. If end
		// makes bytes, it was taken for more of a block that was cut.
		if err != nil || left != 0 || len(all) != len(out) {
			return out, false
		}
	}
	return out, true
}

// inflateWith inflates block and end with compress/flate, hardLimit+1 bytes at
// most, and returns how many bytes of input are left.
func inflateWith(block []byte, end string, hardLimit int) (out []byte, left int, err error) {
	in := bytes.NewReader(append(bytes.Clone(block), end...))
	r := flate.NewReaderDict(in, []byte(testDictionary))
	out, err = io.ReadAll(io.LimitReader(r, int64(hardLimit)+1))
	return out, in.Len(), err
}
