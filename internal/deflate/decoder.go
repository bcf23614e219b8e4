package deflate

import "math/bits"

// A Decoder holds what one deflate stream remembers between blocks: as much of
// the output as matches may refer to.
type Decoder struct {
	dictionary []byte
	window     int

	// history is nil as long as it is the dictionary and nothing else. It grows
	// to the size of the window; then it is a ring whose oldest byte is at
	// history[oldest].
	history []byte
	oldest  int
}

// NewDecoder returns a decoder at the start of a stream with a preset
// dictionary, which it does not change or copy before it has to. The stream
// refers at most 1<<windowBits bytes back.
func NewDecoder(dictionary []byte, windowBits int) *Decoder {
	window := 1 << windowBits
	return &Decoder{
		dictionary: dictionary[max(0, len(dictionary)-window):],
		window:     window,
	}
}

// behind returns a piece of the history that begins n bytes, at least one,
// before its end. It is empty if the history is shorter than that.
func (d *Decoder) behind(n int) []byte {
	h := d.history
	switch {
	case h == nil:
		h = d.dictionary
	case len(h) == d.window && n <= d.window:
		i := d.oldest - n
		if i >= 0 {
			return h[i:d.oldest]
		}
		return h[d.window+i:]
	}
	if n > len(h) {
		return nil
	}
	return h[len(h)-n:]
}

// remember appends p to the history.
func (d *Decoder) remember(p []byte) {
	if len(p) == 0 {
		return
	}
	p = p[max(0, len(p)-d.window):]
	if d.history == nil {
		d.history = make([]byte, 0, d.room(len(d.dictionary)+len(p)))
		d.history = append(d.history, d.dictionary...)
		d.dictionary = nil
	}
	if room := d.window - len(d.history); room > 0 {
		n := min(room, len(p))
		d.grow(n)
		d.history = append(d.history, p[:n]...)
		p = p[n:]
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

// room returns the capacity for n bytes of history: a power of two, but never
// more than the window, whatever append would take.
func (d *Decoder) room(n int) int {
	return min(d.window, 1<<bits.Len(uint(n-1)))
}
