package deflate

import (
	"bytes"
	"compress/flate"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// flush compresses texts with compress/flate, one block a text.
func flush(t testing.TB, level int, dictionary string, texts ...string) [][]byte {
	var buf bytes.Buffer
	w, err := flate.NewWriterDict(&buf, level, []byte(dictionary))
	require.NoError(t, err)
	var blocks [][]byte
	for _, text := range texts {
		_, err := w.Write([]byte(text))
		require.NoError(t, err)
		require.NoError(t, w.Flush())
		blocks = append(blocks, bytes.Clone(buf.Bytes()))
		buf.Reset()
	}
	return blocks
}

// testTexts returns texts of all sizes with repetitions near and far.
func testTexts() []string {
	r := rand.New(rand.NewPCG(5, 6))
	var texts []string
	past := testDictionary
	for range 150 {
		var b strings.Builder
		for range r.IntN(12) {
			switch r.IntN(4) {
			case 0: // long codes of the Huffman kind
				for range r.IntN(300) {
					b.WriteByte(byte(math.Exp2(8 * r.Float64())))
				}
			case 1:
				b.WriteString(strings.Repeat(fmt.Sprint(r.IntN(100)), r.IntN(400)))
			default:
				i := r.IntN(len(past))
				b.WriteString(past[i : i+r.IntN(min(len(past)-i, 500)+1)])
			}
		}
		past += b.String()
		texts = append(texts, b.String())
	}
	return append(texts, strings.Repeat("long ", 20_000), "", past[:70_000])
}

func TestDecoderAgainstFlate(t *testing.T) {
	texts := testTexts()
	for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
		blocks := flush(t, level, testDictionary, texts...)
		for _, limit := range []int{math.MaxInt, 100, 0} {
			d := NewDecoder([]byte(testDictionary), 15)
			for i, block := range blocks {
				want := texts[i]
				got, size, err := d.Append([]byte("prefix"), block, limit, math.MaxInt)
				require.NoError(t, err, "level %d, block %d", level, i)
				require.Equal(t, len(want), size)
				require.True(t, "prefix"+want[:min(limit, len(want))] == string(got), "level %d, block %d", level, i)
			}
		}
	}
}

func TestDecoderLimits(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 1000)
	tests := []struct {
		limit, hardLimit int
		size             int
		err              error
	}{
		{16000, 16000, 16000, nil},
		{15999, 16000, 16000, nil},
		{15999, 15999, 15999, ErrTooLarge},
		{0, 16000, 16000, nil},
		{-1, 16000, 16000, nil},
		{0, 15999, 15999, ErrTooLarge},
		{0, 0, 0, ErrTooLarge},
		{5000, 1000, 1000, ErrTooLarge},
		{100, 100 + scratchSize, 100 + scratchSize, ErrTooLarge},
	}
	for _, level := range []int{flate.NoCompression, flate.HuffmanOnly, flate.BestCompression} {
		block := flush(t, level, "", text)[0]
		for _, test := range tests {
			got, size, err := NewDecoder(nil, 15).Append(nil, block, test.limit, test.hardLimit)
			name := fmt.Sprintf("level %d, limits %d and %d", level, test.limit, test.hardLimit)
			require.ErrorIs(t, err, test.err, name)
			require.Equal(t, test.size, size, name)
			require.True(t, text[:max(0, min(test.limit, test.size))] == string(got), name)
		}
	}
}

func TestDecoderRejects(t *testing.T) {
	sync := "\x00\x00\x00\xff\xff"
	hello := string(flush(t, 9, "", "hello, hello, hello")[0])
	var final bytes.Buffer
	w, _ := flate.NewWriter(&final, 9)
	_, _ = w.Write([]byte("hello"))
	require.NoError(t, w.Close())
	tests := []struct {
		name, block string
		want        error
	}{
		{"finished stream", final.String(), ErrFinal},
		{"bytes after the end", final.String() + "more", ErrFinal},
		{"final stored block", "\x01\x00\x00\xff\xff", ErrFinal},
		{"reserved block type", "\x06" + sync, ErrCorrupt},
		{"stored length", "\x00\x01\x00\xff\xff!", ErrCorrupt},
		{"stored block cut", "\x00\x05\x00\xfa\xffhell", ErrTruncated},
		{"stored header cut", "\x00\x05\x00\xfa", ErrTruncated},
		{"no marker after a symbol", hello[:len(hello)-6], ErrTruncated},
		{"marker cut", hello[:len(hello)-1], ErrTruncated},
		{"partial flush", "\x02\x00", ErrTruncated}, // empty fixed block, 6 bits left
		{"distance before the start", "\x02\x03\x02\x00", ErrCorrupt},
		{"length symbol 286", "\x1a\x03" + sync, ErrCorrupt},
		{"distance symbol 30", "\x02\x3f" + sync, ErrCorrupt},
		{"too many length symbols", "\xfc\xff" + sync, ErrCorrupt},
		{"over-subscribed code sizes", dynamic(257, 1, map[int]int{0: 1, 1: 1, 2: 1}), ErrCorrupt},
		{"incomplete code sizes", dynamic(257, 1, map[int]int{1: 2, 18: 2}, 3, 1), ErrCorrupt},
		{"repetition of nothing", dynamic(257, 1, map[int]int{0: 1, 16: 1}, 1, 1, 0, 2), ErrCorrupt},
		{"repetition beyond the end", dynamic(257, 1, map[int]int{1: 1, 18: 1}, 1, 1, 127, 7, 1, 1, 127, 7), ErrCorrupt},
		{"no literal codes", dynamic(257, 1, map[int]int{1: 1, 18: 1}, 1, 1, 127, 7, 1, 1, 109, 7), ErrCorrupt},
		// Like "end of block only" below but for the number of codes.
		{"287 literal codes", dynamic(287, 1, map[int]int{1: 1, 18: 1}, 1, 1, 127, 7, 1, 1, 107, 7, 0, 1, 1, 1, 20, 7, 0, 1), ErrCorrupt},
		{"31 distance codes", dynamic(257, 31, map[int]int{1: 1, 18: 1}, 1, 1, 127, 7, 1, 1, 107, 7, 0, 1, 1, 1, 20, 7, 0, 1), ErrCorrupt},
		// Like it but for the size of the code, and for three codes of one bit.
		{"incomplete literal code", dynamic(257, 1, map[int]int{2: 1, 18: 1}, 1, 1, 127, 7, 1, 1, 107, 7, 0, 1, 0, 1), ErrCorrupt},
		{"over-subscribed literal code", dynamic(257, 1, map[int]int{1: 1, 18: 1}, 1, 1, 127, 7, 1, 1, 105, 7, 0, 1, 0, 1, 0, 1, 0, 1), ErrCorrupt},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, _, err := NewDecoder(nil, 15).Append(nil, []byte(test.block), 1000, 1000)
			assert.ErrorIs(t, err, test.want)
		})
	}
}

// dynamic returns a dynamic block, padded with zero bits and a marker. sizes are
// those of the code for code sizes by symbol; rest are the numbers that follow
// it, each with its size in bits.
func dynamic(literals, distances int, sizes map[int]int, rest ...int) string {
	fields := []int{0b100, 3, literals - 257, 5, distances - 1, 5, len(sizeOrder) - 4, 4}
	for _, symbol := range sizeOrder {
		fields = append(fields, sizes[int(symbol)], 3)
	}
	fields = append(fields, rest...)
	var b []byte
	acc, n := 0, 0
	for i := 0; i < len(fields); i += 2 {
		acc |= fields[i] << n
		for n += fields[i+1]; n >= 8; n -= 8 {
			b = append(b, byte(acc))
			acc >>= 8
		}
	}
	if n > 0 {
		b = append(b, byte(acc))
	}
	if n > 5 {
		b = append(b, 0) // the header of the marker does not fit
	}
	return string(append(b, marker...))
}

// Cutting a block anywhere is noticed, except between two deflate blocks.
func TestDecoderTruncation(t *testing.T) {
	e := NewEncoder(testDictionary, 12)
	fixed := encode(e, piece{"user-agent: hello", matched}, piece{"secret\xff\x90", literal}, piece{"user-agent: hello", matched})
	var text strings.Builder
	for i := range 400 {
		fmt.Fprintf(&text, "%c%d", 'a'+i*i%26, i*7919%1000)
	}
	huffman := flush(t, 9, testDictionary, text.String())[0]
	require.Equal(t, byte(0b100), huffman[0]&7, "a dynamic block")
	for _, block := range [][]byte{fixed, huffman} {
		for n := 1; n < len(block); n++ {
			if n == len(block)-len(marker)-1 {
				continue // the symbols may end here, at a byte boundary
			}
			_, _, err := NewDecoder([]byte(testDictionary), 12).Append(nil, block[:n], 1<<16, 1<<16)
			assert.ErrorIs(t, err, ErrTruncated, "first %d of %d bytes", n, len(block))
		}
	}
}

func TestDecoderAccepts(t *testing.T) {
	stored := "\x00\x05\x00\xfa\xffhello"
	tests := []struct{ name, block, want string }{
		{"stored block without a marker", stored, "hello"},
		{"two of them", stored + stored, "hellohello"},
		{"empty block", "", ""},
		{"end of block only", dynamic(257, 1, map[int]int{1: 1, 18: 1}, 1, 1, 127, 7, 1, 1, 107, 7, 0, 1, 0, 1, 0, 1), ""},
		{"marker only", "\x00\x00\x00\xff\xff", ""},
		{"several blocks of all kinds", strings.Join([]string{stored,
			string(encode(NewEncoder("", 12), piece{"abc", literal})),
			string(flush(t, 9, "", strings.Repeat("compressible ", 2)+"xyzuvw"+strings.Repeat("abcabd", 40))[0]), stored}, ""),
			"helloabc" + strings.Repeat("compressible ", 2) + "xyzuvw" + strings.Repeat("abcabd", 40) + "hello"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := NewDecoder(nil, 12)
			for range 2 { // as first and as second block
				got, _, err := d.Append(nil, []byte(test.block), 1000, 1000)
				require.NoError(t, err)
				require.Equal(t, test.want, string(got))
			}
		})
	}
}

// The decoder keeps the window that the stream declares and not more.
func TestDecoderHistory(t *testing.T) {
	for _, windowBits := range []int{8, 12, 15} {
		d := NewDecoder([]byte(testDictionary), windowBits)
		window := 1 << windowBits
		past := testDictionary
		for i := 0; len(past) < 4*window; i++ {
			text := fmt.Sprintf("block %d %s", i, strings.Repeat(fmt.Sprint(i), i%97))
			_, _, err := d.Append(nil, AppendStored(nil, []byte(text)), 1000, 1000)
			require.NoError(t, err)
			past += text
			require.LessOrEqual(t, cap(d.history), window)
			reach := min(window, len(past))
			for _, n := range []int{1, 2, len(d.history) / 2, len(d.history), min(len(d.history)+1, reach), reach - 1, reach} {
				require.True(t, strings.HasPrefix(past[len(past)-n:], string(d.behind(n))))
				require.NotEmpty(t, d.behind(n))
			}
			require.Empty(t, d.behind(reach+1))
			require.Len(t, d.history, min(window, len(past)-len(testDictionary)))
			require.Equal(t, len(d.history) == window, d.dictionary == nil, "of no use any more")
		}
	}
}

// The dictionary may be larger than the window; then its end counts.
func TestDecoderSmallWindow(t *testing.T) {
	dictionary := strings.Repeat("0123456789", 30) + "the end"
	e := NewEncoder(dictionary, 8)
	block := encode(e, piece{"9 the end 123456789", matched})
	d := NewDecoder([]byte(dictionary), 8)
	for i := range 20 {
		require.NotEmpty(t, d.behind(256), "block %d", i)
		require.Empty(t, d.behind(257), "block %d", i)
		got, _, err := d.Append(nil, block, 100, 100)
		require.NoError(t, err)
		require.Equal(t, "9 the end 123456789", string(got))
		block = encode(e, piece{"9 the end 123456789", matched})
	}
}

func TestDecoderDoesNotAllocate(t *testing.T) {
	var blocks [][]byte
	d := NewDecoder([]byte(testDictionary), 12)
	for _, level := range []int{0, 9, flate.HuffmanOnly} {
		// Without a dictionary, so that a block can be read again and again.
		blocks = append(blocks, flush(t, level, "", strings.Repeat("abcdefghijklmno ", 300))[0])
	}
	dst := make([]byte, 0, 8192)
	run := func() {
		for _, block := range blocks {
			var err error
			dst, _, err = d.Append(dst[:0], block, 8192, 8192)
			require.NoError(t, err)
		}
	}
	run()
	assert.Zero(t, testing.AllocsPerRun(100, run))
}
