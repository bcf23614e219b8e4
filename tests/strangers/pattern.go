package strangers

import (
	"bytes"
	"math/rand/v2"
)

// A pattern is an endless text computed from a number. The period is a prime, so lost,
// repeated and misplaced parts are detected.
type pattern struct {
	block []byte
	at    int
}

func newPattern(number int) *pattern {
	block := make([]byte, 8191)
	rand.NewChaCha8([32]byte{byte(number), byte(number >> 8)}).Read(block)
	return &pattern{block: block}
}

// Read fills buf with the next bytes of the pattern.
func (p *pattern) Read(buf []byte) (int, error) {
	for n := 0; n < len(buf); {
		k := copy(buf[n:], p.block[p.at:])
		n += k
		p.at = (p.at + k) % len(p.block)
	}
	return len(buf), nil
}

// matches reports whether buf has the next bytes of the pattern, and advances.
func (p *pattern) matches(buf []byte) bool {
	for len(buf) > 0 {
		k := min(len(buf), len(p.block)-p.at)
		if !bytes.Equal(buf[:k], p.block[p.at:p.at+k]) {
			return false
		}
		buf = buf[k:]
		p.at = (p.at + k) % len(p.block)
	}
	return true
}

// letters returns a text of n letters and digits that does not compress well.
func letters(n int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789__"
	buf := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(buf)
	for i, b := range buf {
		buf[i] = alphabet[b%64]
	}
	return string(buf)
}
