// Package limits passes the frame limits from the options of package spdy, which are functions on a
// Framer, to the connections of package spdystream.
package limits

// The limits of spdystream v0.5.1, used without options.
const (
	FieldSize = 1 << 20 // of a name, and of the values of a name, in bytes
	Fields    = 1000    // names in a header block
	Control   = 1<<24 - 1

	// others is the room in an inflated header block, in bytes, besides the largest field.
	// spdystream has no limit for a block, so that 100 KiB on the wire can become a gigabyte.
	others = 64 << 10

	// perField is the overhead of a name or a value in a header block, in bytes.
	perField = 4
)

// A Set holds the limits of a connection or Framer. A zero means the default.
type Set struct {
	Control   uint32 // payload of a control frame, in bytes
	FieldSize uint32 // a name, or the values of a name, in bytes
	Fields    uint32 // names in a header block
}

// WithDefaults returns the limits with the defaults filled in.
func (s Set) WithDefaults() Set {
	if s.Control == 0 || s.Control > Control {
		s.Control = Control
	}
	if s.FieldSize == 0 {
		s.FieldSize = FieldSize
	}
	if s.Fields == 0 {
		s.Fields = Fields
	}
	return s
}

// Block returns the limit for an inflated header block in bytes: as large as the other limits
// allow, but no larger than a field of the largest size and 64 KiB for all other fields.
func (s Set) Block() int {
	s = s.WithDefaults()
	field := int64(s.FieldSize) + perField
	most := perField + int64(s.Fields)*2*field
	return int(min(most, field+others, 1<<30))
}

// Of returns the limits that options of package spdy set; package spdy sets Of.
var Of func(options any) Set
