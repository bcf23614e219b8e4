package deflate

import "bytes"

// Limits of the values remembered for Whole.
const (
	// MinWhole is the minimum length in bytes of a value that Whole matches. A shorter value might
	// be guessed by trying a few candidates; encoders of HPACK have the same threshold for cookies
	// (see RFC 7541 §7.1.3).
	MinWhole = 20

	maxWhole       = 1 << 10 // maximum length of a remembered value, in bytes
	maxWholeValues = 32
	maxWholeText   = 4 << 10 // total of all values, in bytes
)

// A Kind separates values that are never compared with each other.
type Kind uint8

// A wholeValue is a text that is matched completely or not at all.
type wholeValue struct {
	pos  uint64 // start of the latest copy in the stream
	size int32
	kind Kind
}

// wholeValues are earlier arguments of Whole. Their text is stored for a comparison byte by byte,
// since the window does not hold it.
type wholeValues struct {
	list []wholeValue
	text []byte // text of all values in list, in the same order
}

// Whole adds p to the block. If an equal value of the same kind is still in reach, p is encoded as
// a single match, otherwise without any match. A block therefore reveals whether two values of a
// kind are equal and how far apart they are, and nothing else that Literal would hide. A value of
// less than MinWhole or more than 1,024 bytes is passed to Literal.
//
// The encoder keeps a copy of p: at most the 32 most recently used values, with at most 4 KiB in
// total.
func (e *Encoder) Whole(kind Kind, p []byte) {
	if len(p) < MinWhole || len(p) > maxWhole {
		e.Literal(p)
		return
	}
	v := e.values.find(kind, p)
	// The distance is computed from full positions. A distance modulo 1<<16 would eventually be
	// wrong, and no comparison with the window would detect the error.
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

// find returns the value with the given kind and text, or nil.
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

// add enters a value, and removes the least recently used values to make room.
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

// forget removes the least recently used value.
func (v *wholeValues) forget() {
	oldest, start, end := 0, 0, 0 // end of the text of list[i]
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
