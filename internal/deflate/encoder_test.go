package deflate

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const testDictionary = "accept-encodinguser-agentcookiehostgzip,deflate\x00"

// standardReader is compress/flate reading a stream block by block. It never
// sees an end of its input, because it is asked for what is there and no more.
type standardReader struct {
	in bytes.Buffer
	r  io.Reader
}

func newStandardReader(dictionary string) *standardReader {
	s := new(standardReader)
	s.r = flate.NewReaderDict(&s.in, []byte(dictionary))
	return s
}

// read returns the n bytes that block decompresses to.
func (s *standardReader) read(t testing.TB, block []byte, n int) []byte {
	s.in.Write(block)
	p := make([]byte, n)
	_, err := io.ReadFull(s.r, p)
	require.NoError(t, err)
	return p
}

// A piece is an argument of Match, of Literal or of Whole with some kind.
type piece struct {
	text string
	how  treatment
}

type treatment uint8

const (
	matched treatment = iota
	literal
	whole      // with the kind 0
	wholeOther // with the kind 1, and so on
)

func encode(e *Encoder, pieces ...piece) []byte {
	e.Begin(nil)
	for _, p := range pieces {
		switch p.how {
		case matched:
			e.Match([]byte(p.text))
		case literal:
			e.Literal([]byte(p.text))
		default:
			e.Whole(Kind(p.how-whole), []byte(p.text))
		}
	}
	return e.End()
}

func joined(pieces []piece) string {
	var b strings.Builder
	for _, p := range pieces {
		b.WriteString(p.text)
	}
	return b.String()
}

type encoderMaker func(dictionary string, windowBits int) *Encoder

// eachEncoder runs a test of what encoders have in common.
func eachEncoder(t *testing.T, f func(t *testing.T, newEncoder encoderMaker)) {
	t.Run("words", func(t *testing.T) { f(t, NewEncoder) })
	t.Run("search", func(t *testing.T) { f(t, NewSearchingEncoder) })
}

func TestEncoderRoundTrip(t *testing.T) {
	eachEncoder(t, func(t *testing.T, newEncoder encoderMaker) {
		r := rand.New(rand.NewPCG(1, 2))
		word := func() string {
			n := 1 + r.IntN(12)
			if r.IntN(20) == 0 {
				n = r.IntN(6000)
			}
			b := make([]byte, n)
			for i := range b {
				b[i] = "ab-/\x00\xff\x90"[r.IntN(7)]
			}
			return string(b)
		}
		treatments := []treatment{matched, matched, matched, literal, whole, wholeOther}
		for _, windowBits := range []int{8, 9, 12, 13, 15} {
			t.Run(fmt.Sprint(windowBits), func(t *testing.T) {
				e := newEncoder(testDictionary, windowBits)
				d := NewDecoder([]byte(testDictionary), windowBits)
				standard := newStandardReader(testDictionary)
				words := []string{testDictionary}
				for range 2000 {
					var pieces []piece
					for range r.IntN(8) {
						if r.IntN(3) == 0 {
							words = append(words, word())
						}
						recent := words[max(0, len(words)-20):]
						pieces = append(pieces, piece{recent[r.IntN(len(recent))], treatments[r.IntN(len(treatments))]})
					}
					block, want := encode(e, pieces...), joined(pieces)
					require.True(t, bytes.HasSuffix(block, []byte("\x00\x00\x00\xff\xff")))
					require.True(t, want == string(standard.read(t, block, len(want))))
					got, size, err := d.Append(nil, block, len(want), len(want))
					require.NoError(t, err)
					require.Equal(t, len(want), size)
					require.True(t, want == string(got))
				}
			})
		}
	})
}

func TestEncoderMatches(t *testing.T) {
	const text = "user-agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/33.0.1750.166"
	repeat := func(n int) []piece { return []piece{{strings.Repeat(text, n), matched}} }
	tests := []struct {
		name   string
		first  []piece
		second []piece
		max    int // size of the second block
	}{
		{"same block", repeat(1), repeat(1), 10},
		{"longer than a match can be", repeat(9), repeat(9), 17},
		{"in the middle", repeat(1), []piece{{"#" + text + "#", matched}}, 13},
		{"goes on from window to block", repeat(1), repeat(4), 12},
		{"dictionary", nil, []piece{{"gzip,deflate", matched}}, 10},
		{"begins within a word", repeat(1), []piece{{"Xzilla/5.0 (X11; Linux", matched}}, 13},
		{"better match at the next word", []piece{{"abcd-efg!", matched}, {"-efgh-ijklmnopqrst", matched}},
			[]piece{{"abcd-efgh-ijklmnopqrst", matched}}, 12},
		{"in pieces", append(repeat(1), piece{"#" + text[20:], matched}),
			[]piece{{text[:20], matched}, {text[20:53], matched}, {text[53:], matched}}, 10},
		{"in pieces of other texts", append(repeat(1), piece{"#Mozzarella and more", matched}),
			[]piece{{text[:12], matched}, {"Mozzarella and more", matched}}, 12},
		{"around a masked byte", []piece{{"\xff" + text, matched}}, []piece{{"\xff" + text, matched}}, 12},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			e := NewEncoder(testDictionary, 12)
			encode(e, test.first...)
			assert.LessOrEqual(t, len(encode(e, test.second...)), test.max)
		})
	}
}

// Matches reach back as far as the window that was asked for, and not further.
func TestEncoderMaxDistance(t *testing.T) {
	eachEncoder(t, func(t *testing.T, newEncoder encoderMaker) {
		const text = "accept-encoding: gzip,deflate,sdch"
		size := func(distance int) int {
			e := newEncoder("", 8)
			return len(encode(e, piece{text, matched}, piece{strings.Repeat("#", distance-len(text)-1), literal}, piece{"," + text, matched}))
		}
		assert.Equal(t, size(255)+1, size(256), "a match")
		assert.Greater(t, size(257), size(256)+len(text)/2, "no match")
	})
}

// Nothing is matched that lies before the start of the stream.
func TestEncoderStartOfStream(t *testing.T) {
	eachEncoder(t, func(t *testing.T, newEncoder encoderMaker) {
		for _, filler := range []string{"\x00", "\xff"} {
			e, standard := newEncoder("", 12), newStandardReader("")
			want := "user-agent" + filler + "user-agent"
			require.Equal(t, want, string(standard.read(t, encode(e, piece{want, matched}), len(want))))
		}
	})
}

// Matches of all lengths, also those that deflate cannot say at once.
func TestEncoderMatchLengths(t *testing.T) {
	eachEncoder(t, func(t *testing.T, newEncoder encoderMaker) {
		text := make([]byte, 0, 1100)
		for i := 0; len(text) < 1050; i++ {
			text = fmt.Appendf(text, "%d,", i)
		}
		for n := 3; n < len(text); n++ {
			e, standard := newEncoder("", 12), newStandardReader("")
			block := encode(e, piece{string(text), matched}, piece{"\xff", matched}, piece{string(text[:n]), matched})
			want := string(text) + "\xff" + string(text[:n])
			require.Equal(t, want, string(standard.read(t, block, len(want))))
		}
	})
}

// Hot text stays within reach however much has passed since it was first seen.
func TestEncoderRemembersWhatRepeats(t *testing.T) {
	eachEncoder(t, func(t *testing.T, newEncoder encoderMaker) {
		const text = "accept: text/html,application/xhtml+xml,application/xml;q=0.9"
		e := newEncoder("", 12)
		encode(e, piece{text, matched})
		for i := range 500 {
			block := encode(e, piece{text, matched}, piece{fmt.Sprintf("/secret/%04d", i*7919%10000), literal})
			require.LessOrEqual(t, len(block), 12+10, "block %d", i)
		}
	})
}

// Whatever is masked has no influence on the encoder but by its length: two
// encoders that have seen different secrets are in the same state.
func TestLiteralLeavesNoTrace(t *testing.T) {
	build := func(secret string) []piece {
		return []piece{{"path: /a?sid=", matched}, {secret, literal}, {" cookie: sid=31d4d96e407aad42; theme", matched},
			{secret, literal}, {"=dark sid=31d4d96e", matched}, {strings.Repeat(secret, 300), literal}, {"=dark sid=31d4", matched}}
	}
	a, b := NewEncoder(testDictionary, 12), NewEncoder(testDictionary, 12)
	for round := range 20 {
		one, other := encode(a, build("31d4d96e407aad42")...), encode(b, build("x/y=z_w vut!srqp")...)
		require.Len(t, other, len(one), "round %d", round)
		require.True(t, bytes.Equal(a.ring, b.ring), "window, round %d", round)
		require.True(t, a.words == b.words && a.pos == b.pos, "tables, round %d", round)
		require.False(t, bytes.Contains(b.ring, []byte("vut!srqp")))
	}
}

// A match never covers a masked byte, neither as its source nor as its target.
func TestLiteralIsNeverMatched(t *testing.T) {
	eachEncoder(t, func(t *testing.T, newEncoder encoderMaker) {
		const secret = "31d4d96e407aad42c18b2f0e6d7a9b35"
		known := func(guess piece) int {
			e := newEncoder(testDictionary, 12)
			encode(e, piece{"cookie: ", matched}, piece{secret, literal}, piece{";", matched})
			return len(encode(e, piece{"path=", matched}, guess, piece{";", matched}))
		}
		wrong := "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
		assert.Equal(t, known(piece{wrong, matched}), known(piece{secret, matched}), "as a source")
		assert.Equal(t, known(piece{wrong, literal}), known(piece{secret, literal}), "as source and target")

		e := newEncoder("cookie: "+secret, 12)
		assert.Greater(t, len(encode(e, piece{secret, literal})), len(secret), "as a target")
		assert.Less(t, len(encode(e, piece{secret, matched})), len(secret), "the test can tell")
	})
}

// Positions are kept modulo 1<<16.
func TestEncoderPositionWrap(t *testing.T) {
	eachEncoder(t, func(t *testing.T, newEncoder encoderMaker) {
		for _, gap := range []int{1<<16 - 1, 1 << 16, 1<<16 + 1, 1<<16 + 100, 1 << 17} {
			e := newEncoder("", 12)
			standard := newStandardReader("")
			const text = "accept-encoding: gzip,deflate,sdch"
			pieces := []piece{{text, matched}, {strings.Repeat("#", gap-len(text)), literal}, {text, matched}, {text, matched}}
			block, want := encode(e, pieces...), joined(pieces)
			require.Equal(t, want, string(standard.read(t, block, len(want))))
			require.Less(t, len(block), gap+len(text)+20, "the second copy is matched")
		}
	})
}

// A window takes the room that its text needs, and forgets nothing while it grows.
func TestEncoderWindowGrows(t *testing.T) {
	eachEncoder(t, func(t *testing.T, newEncoder encoderMaker) {
		const text = "accept-encoding: gzip,deflate,sdch"
		for _, length := range []int{0, 100, 2000, 5000, 10_000, 32_000 - 2*len(text), 40_000, 200_000} {
			e := newEncoder(testDictionary, 15)
			require.Len(t, e.ring, smallRing)
			filler := strings.Repeat("#", length)
			first := []piece{{text, matched}, {filler, literal}}
			encode(e, first...)
			want := smallRing
			for want < len(testDictionary)+len(text)+length && want < 1<<15 {
				want *= 2
			}
			require.Len(t, e.ring, want, "after %d bytes", length)
			if length < 1<<15 {
				require.Less(t, len(encode(e, piece{"#" + text, matched})), 12, "after %d bytes", length)
			}
		}
		require.Len(t, newEncoder("", 9).ring, 1<<9)
	})
}

// A first block that is longer than the window was is matched with all before it.
func TestEncoderWindowGrowsBeforeMatches(t *testing.T) {
	eachEncoder(t, func(t *testing.T, newEncoder encoderMaker) {
		r := rand.New(rand.NewPCG(1, 2))
		filler := make([]byte, 2*smallRing) // one long word
		for i := range filler {
			filler[i] = byte('a' + r.IntN(26))
		}
		size := func(text string) int { return len(encode(newEncoder(testDictionary, 15), piece{text, matched})) }
		more := size(string(filler)+testDictionary) - size(string(filler))
		assert.Less(t, more, len(testDictionary)/2)
	})
}

func TestCodesAgreeWithTables(t *testing.T) {
	for length := minMatch; length <= maxMatch; length++ {
		c := lengthCodes[length-minMatch]
		e := fixedLiterals.fast[c&(1<<fastBits-1)]
		symbol, size := int(e>>4)-257, uint(e&15)
		got := int(lengthBase[symbol]) + int(c&0xffff>>size)
		require.Equal(t, length, got)
		require.Equal(t, uint(c>>16), size+uint(lengthExtra[symbol]), "bits of length %d", length)
	}
	for distance := 1; distance <= 1<<15; distance++ {
		c, n := distanceCode(distance)
		e := fixedDistances.fast[c&31]
		got := int(distanceBase[e>>4]) + int(c>>5)
		require.Equal(t, distance, got)
		require.Equal(t, n, 5+uint(distanceExtra[e>>4]), "bits of distance %d", distance)
	}
}

func TestAppendStored(t *testing.T) {
	for _, n := range []int{0, 1, 1<<16 - 1, 1 << 16, 200_000} {
		want := bytes.Repeat([]byte("x"), n)
		block := AppendStored([]byte("prefix"), want)
		require.True(t, bytes.HasPrefix(block, []byte("prefix")))
		block = block[len("prefix"):]
		require.True(t, bytes.HasSuffix(block, []byte("\x00\x00\x00\xff\xff")))
		require.LessOrEqual(t, len(block), n+5*(n/maxStored+2))
		require.Equal(t, want, newStandardReader("").read(t, block, n))
	}
}

func TestEncoderDoesNotAllocate(t *testing.T) {
	eachEncoder(t, func(t *testing.T, newEncoder encoderMaker) {
		e := newEncoder(testDictionary, 12)
		dst := make([]byte, 0, 1<<10)
		text := []byte("accept: text/html,application/xhtml+xml,application/xml;q=0.9")
		assert.Zero(t, testing.AllocsPerRun(100, func() {
			e.Begin(dst[:0])
			e.Match(text)
			e.Literal(text)
			dst = e.End()
		}))
	})
}
