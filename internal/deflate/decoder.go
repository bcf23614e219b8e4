package deflate

import "math/bits"

// A Decoder holds the state of a deflate stream between blocks: the part of the output that matches
// may refer to.
type Decoder struct {
	dictionary []byte // precedes the history; nil once out of reach
	window     int

	// history is the decoded output. It grows to the size of the window and then becomes a ring
	// whose oldest byte is at history[oldest].
	history []byte
	oldest  int
}

// NewDecoder returns a decoder at the start of a stream with a preset dictionary. The decoder
// neither changes nor copies the dictionary. Matches in the stream reach back at most 1<<windowBits
// bytes.
func NewDecoder(dictionary []byte, windowBits int) *Decoder {
	window := 1 << windowBits
	return &Decoder{
		dictionary: dictionary[max(0, len(dictionary)-window):],
		window:     window,
	}
}

// behind returns a piece of the history that starts n bytes, n > 0, before the current output. The
// piece is empty if the stream has no such byte or the byte is out of reach.
func (d *Decoder) behind(n int) []byte {
	h := d.history
	switch {
	case n > d.window:
		return nil
	case len(h) == d.window:
		i := d.oldest - n
		if i >= 0 {
			return h[i:d.oldest]
		}
		return h[d.window+i:]
	case n <= len(h):
		return h[len(h)-n:]
	case n-len(h) <= len(d.dictionary):
		return d.dictionary[len(d.dictionary)-(n-len(h)):]
	}
	return nil
}

// remember appends p to the history.
func (d *Decoder) remember(p []byte) {
	p = p[max(0, len(p)-d.window):]
	if room := d.window - len(d.history); room > 0 {
		n := min(room, len(p))
		d.grow(n)
		d.history = append(d.history, p[:n]...)
		p = p[n:]
		if n == room {
			d.dictionary = nil
		}
	}
	for len(p) > 0 {
		n := copy(d.history[d.oldest:], p)
		p = p[n:]
		if d.oldest += n; d.oldest == d.window {
			d.oldest = 0
		}
	}
}

// grow makes room for n more bytes of history.
func (d *Decoder) grow(n int) {
	if need := len(d.history) + n; need > cap(d.history) {
		d.history = append(make([]byte, 0, d.room(need)), d.history...)
	}
}

// Kept returns the size in bytes of the memory that the decoder keeps between blocks.
func (d *Decoder) Kept() int { return cap(d.history) }

// smallHistory is the initial capacity of the history, in bytes.
const smallHistory = 256

// room returns the capacity for n bytes of history: a power of two, at most the window. append
// would choose larger capacities.
func (d *Decoder) room(n int) int {
	return min(d.window, max(smallHistory, 1<<bits.Len(uint(n-1))))
}
