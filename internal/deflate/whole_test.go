package deflate

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const crumb = "sid=31d4d96e407aad42c18b2f0e6d7a9b35; "

// wholeSize returns the size of a block with the second piece, after one with the
// first.
func wholeSize(first, second piece) int {
	e := NewEncoder(testDictionary, 12)
	encode(e, piece{"cookie: ", matched}, first, piece{"\x00\x00", matched})
	return len(encode(e, piece{"cookie: ", matched}, second, piece{"\x00\x00", matched}))
}

// A value is one match if an equal one of its kind has been seen. What begins or
// ends in the same way, of the same length or not, goes on behind it or was seen
// otherwise is sent as if nothing had been seen.
func TestWholeMatchesAllOrNothing(t *testing.T) {
	first := piece{crumb, whole}
	assert.Less(t, wholeSize(first, first), 12, "equal")
	none := wholeSize(piece{strings.Repeat("#", len(crumb)), whole}, first)
	assert.Greater(t, none, len(crumb))
	for n := range len(crumb) {
		begins, ends, differs := crumb[:n], crumb[len(crumb)-n:], []byte(crumb)
		differs[n] ^= 1
		assert.Equal(t, none-len(crumb)+n, wholeSize(first, piece{begins, whole}), "%q", begins)
		assert.Equal(t, none-len(crumb)+n, wholeSize(first, piece{ends, whole}), "%q", ends)
		assert.Equal(t, none, wholeSize(first, piece{string(differs), whole}), "%q", differs)
	}
	assert.Equal(t, none+1, wholeSize(first, piece{crumb + "x", whole}))
	assert.Equal(t, none+len(crumb), wholeSize(first, piece{crumb + crumb, whole}))
	assert.Equal(t, none, wholeSize(first, piece{crumb, wholeOther}), "another kind")
	assert.Equal(t, none, wholeSize(first, piece{crumb, literal}))
	assert.Equal(t, none, wholeSize(first, piece{crumb, matched}))
	assert.Equal(t, none, wholeSize(piece{crumb, literal}, first))
	assert.Equal(t, none, wholeSize(piece{crumb, matched}, first))
}

// What is too short is not matched, for it could be guessed, nor what is very long.
func TestWholeLengths(t *testing.T) {
	for n, want := range map[int]bool{0: false, 19: false, 20: true, 1024: true, 1025: false} {
		text := strings.Repeat("s", n)
		size := wholeSize(piece{text, whole}, piece{text, whole})
		assert.Equal(t, want, size < wholeSize(piece{text, literal}, piece{text, literal}), "%d bytes", n)
	}
}

// Equal values far apart: as far as the window reaches they are a match, and at
// no other distance. Here are those at which positions modulo 1<<16 look near.
func TestWholeDistances(t *testing.T) {
	for _, windowBits := range []int{8, 12, 15} {
		limit := 1 << windowBits
		for distance, want := range map[int]bool{
			limit - 1: true, limit: true, limit + 1: false,
			1<<16 - 1: false, 1 << 16: false, 1<<16 + 100: false, 1<<16 + limit: false, 1<<17 + 200: false,
		} {
			e, standard := NewEncoder("", windowBits), newStandardReader("")
			pieces := []piece{{crumb, whole}, {strings.Repeat("#", distance-len(crumb)), literal}, {crumb, whole}, {crumb, whole}}
			block, text := encode(e, pieces...), joined(pieces)
			require.Equal(t, text, string(standard.read(t, block, len(text))))
			require.Equal(t, want, len(block) < len(text)-len(crumb)-len(crumb)/2, "distance %d of %d", distance, limit)
		}
	}
}

// However many values come, few are kept, and those are the ones used last.
func TestWholeMemory(t *testing.T) {
	for _, size := range []int{MinWhole + 4, 100, 200, maxWhole} {
		e, standard := NewEncoder(testDictionary, 15), newStandardReader(testDictionary)
		hot := piece{strings.Repeat("h", size), whole}
		for i := range 300 {
			value := fmt.Sprintf("%0*d", size-i%5, i)
			pieces := []piece{hot, {value, whole}, {value, wholeOther}}
			if i%2 == 0 {
				pieces = append(pieces, pieces[1])
			}
			block := encode(e, pieces...)
			require.Equal(t, joined(pieces), string(standard.read(t, block, len(joined(pieces)))), "block %d", i)
			require.True(t, i == 0 || len(block) < 2*size+60, "block %d: what is used all the time is kept", i)

			v := &e.values
			require.LessOrEqual(t, len(v.list), 32)
			require.LessOrEqual(t, cap(v.text), 4<<10)
			total := 0
			for _, w := range v.list {
				total += int(w.size)
			}
			require.Equal(t, total, len(v.text))
			erased := v.text[total:cap(v.text)]
			require.Equal(t, len(erased), bytes.Count(erased, []byte{0}), "what is forgotten is erased")
		}
	}
}

// Two encoders that have seen different values, equal at the same places, are in
// the same state but for the copies of the values.
func TestWholeLeavesNoTrace(t *testing.T) {
	build := func(secret string) []piece {
		return []piece{{"path: /a?sid=", matched}, {secret, whole}, {" cookie: sid=31d4d96e407aad42; theme", matched},
			{secret, wholeOther}, {"=dark sid=31d4d96e", matched}, {secret, whole}, {secret + secret, whole}, {"=dark sid=31d4", matched}}
	}
	const one, other = "sid=31d4d96e407aad42; theme", "x/y=z_w vut!srqp(o)n*m:l,k;"
	a, b := NewEncoder(testDictionary, 12), NewEncoder(testDictionary, 12)
	for round := range 20 {
		require.Len(t, encode(b, build(other)...), len(encode(a, build(one)...)), "round %d", round)
		require.True(t, bytes.Equal(a.ring, b.ring), "window, round %d", round)
		require.True(t, a.words == b.words && a.pos == b.pos, "tables, round %d", round)
		require.Equal(t, a.values.list, b.values.list)
		require.False(t, bytes.Contains(b.ring, []byte("vut!srqp")))
	}
}

// Values that follow one another as they did before are one match with what is
// around them.
func TestWholeJoinsMatches(t *testing.T) {
	e := NewEncoder("", 12)
	pieces := []piece{{"cookie: ", matched}, {crumb, whole}, {strings.ToUpper(crumb), whole}, {"\x00user-agent: Mozilla/5.0", matched}}
	encode(e, pieces...)
	assert.Equal(t, len(encode(e, piece{joined(pieces), literal}))-len(joined(pieces))+3, len(encode(e, pieces...)))
}

func TestWholeDoesNotAllocate(t *testing.T) {
	e := NewEncoder(testDictionary, 12)
	dst := make([]byte, 0, 1<<10)
	var n int
	value := []byte("sid=31d4d96e407aad42; theme=dark")
	exchange := func() {
		e.Begin(dst[:0])
		for range 10 {
			n++
			value[n%len(value)] ^= byte(n&31) | 1 // new, most of the time
			e.Whole(0, value)
			e.Whole(1, value[3:])
		}
		dst = e.End()
	}
	for range 20 {
		exchange()
	}
	assert.Zero(t, testing.AllocsPerRun(100, exchange))
}
