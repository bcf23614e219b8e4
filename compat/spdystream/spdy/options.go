package spdy

import "github.com/moby/spdystream/internal/limits"

// A FramerOption sets a limit of a Framer, or of the frames that a connection accepts.
type FramerOption func(*Framer)

// WithMaxControlFramePayloadSize limits the payload of received control frames, in bytes. 0 means
// the default, the capacity of a frame.
func WithMaxControlFramePayloadSize(size uint32) FramerOption {
	return func(f *Framer) { f.limits.Control = size }
}

// WithMaxHeaderFieldSize limits the name of a header, and separately the values together, in bytes.
// 0 means the default of a mebibyte.
func WithMaxHeaderFieldSize(size uint32) FramerOption {
	return func(f *Framer) { f.limits.FieldSize = size }
}

// WithMaxHeaderCount limits the number of names in a header block. 0 means the default of 1000.
func WithMaxHeaderCount(count uint32) FramerOption {
	return func(f *Framer) { f.limits.Fields = count }
}

// limitsOf applies options, some of which may be nil.
func limitsOf(options []FramerOption) limits.Set {
	var f Framer
	for _, option := range options {
		if option != nil {
			option(&f)
		}
	}
	return f.limits
}

func init() {
	limits.Of = func(options any) limits.Set { return limitsOf(options.([]FramerOption)) }
}
