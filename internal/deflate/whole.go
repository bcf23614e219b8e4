package deflate

import "bytes"

// What an encoder remembers for Whole.
const (
	// MinWhole is the length in bytes from which on Whole looks for matches.
	// What is shorter might be one of a few values that somebody can try one
	// after the other; encoders of HPACK draw the line there for cookies (see
	// RFC 7541 §7.1.3).
	MinWhole = 20

	maxWhole       = 1 << 10 // length of a value that is remembered, in bytes
	maxWholeValues = 32
	maxWholeText   = 4 << 10 // of all values together, in bytes
)

// A Kind separates values that never have to do with one another.
type Kind uint8

// A wholeValue is a text that is matched from its first byte to its last or not at
// all.
type wholeValue struct {
	pos  uint64 // where the latest copy begins in the stream
	size int32
	kind Kind
}

// wholeValues are values that were given to Whole. They are compared byte for
// byte, since the window does not hold them.
type wholeValues struct {
	list []wholeValue
	text []byte // of all in list, in the same order
}

// Whole adds p to the block, as one match if a value of the same kind that is equal
// to p is still in reach, else without any match. So a block tells whether two
// values of a kind are equal and how far apart they are, and no more about them than
// Literal tells. A value of less than MinWhole or more than 1,024 bytes is given to
// Literal.
//
// The encoder keeps a copy of p: of the 32 values used last at most, and of 4 KiB
// together.
func (e *Encoder) Whole(kind Kind, p []byte) {
	if len(p) < MinWhole || len(p) > maxWhole {
		e.Literal(p)
		return
	}
	v := e.values.find(kind, p)
	// The distance is that of real positions. One modulo 1<<16 would be wrong
	// sooner or later, and no comparison with the window would notice.
	if v != nil && e.pos-v.pos <= uint64(e.limit) {
		e.copies(copyOf{length: len(p), distance: int(e.pos - v.pos)})
	} else {
		e.literals(p)
	}
	if v == nil {
		v = e.values.add(kind, p)
	}
	v.pos = e.pos
	e.mask(len(p))
}

// find returns the value of that kind and text, or nil.
func (v *wholeValues) find(kind Kind, p []byte) *wholeValue {
	start := 0
	for i := range v.list {
		w := &v.list[i]
		end := start + int(w.size)
		if w.kind == kind && int(w.size) == len(p) && bytes.Equal(v.text[start:end], p) {
			return w
		}
		start = end
	}
	return nil
}

// add enters a value, for which it forgets those not used for longest.
func (v *wholeValues) add(kind Kind, p []byte) *wholeValue {
	for len(v.list) == maxWholeValues || len(v.text)+len(p) > maxWholeText {
		v.forget()
	}
	if need := len(v.text) + len(p); need > cap(v.text) {
		room := min(maxWholeText, max(need, 2*len(v.text)))
		v.text = append(make([]byte, 0, room), v.text...)
	}
	v.text = append(v.text, p...)
	v.list = append(v.list, wholeValue{size: int32(len(p)), kind: kind})
	return &v.list[len(v.list)-1]
}

// forget removes the value that was not used for longest.
func (v *wholeValues) forget() {
	oldest, start, end := 0, 0, 0 // end: of the text of list[i]
	for i := range v.list {
		end += int(v.list[i].size)
		if v.list[i].pos <= v.list[oldest].pos {
			oldest, start = i, end-int(v.list[i].size)
		}
	}
	rest := start + copy(v.text[start:], v.text[start+int(v.list[oldest].size):])
	clear(v.text[rest:])
	v.text = v.text[:rest]
	v.list = append(v.list[:oldest], v.list[oldest+1:]...)
}
