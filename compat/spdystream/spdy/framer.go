package spdy

import (
	"encoding/binary"
	"errors"
	"io"

	amahi "github.com/amahi/spdy"

	"github.com/moby/spdystream/internal/limits"
)

// headSize is the size of what every frame begins with.
const headSize = 8

// A Framer reads and writes frames. It keeps the compression contexts of both
// directions, so that a connection needs one for all of its life. One goroutine may
// read while another one writes.
type Framer struct {
	limits limits.Set
	codec  *amahi.Framer

	// Of the goroutine that reads.
	in       source
	readErr  error // what ended reading: the compression context is lost
	inflated bool  // a header block has been inflated

	// Of the goroutine that writes.
	out      sink
	deflate  *compressor
	writeErr error // what ended writing: the compression context is lost
}

// A source is the reader of the codec: a head that has been looked at already, and then
// the rest of the connection.
type source struct {
	head [headSize]byte
	left int // bytes of head that have not been read again
	r    io.Reader
}

// Read reads the head and then the rest.
func (s *source) Read(p []byte) (int, error) {
	if s.left > 0 {
		n := copy(p, s.head[headSize-s.left:])
		s.left -= n
		return n, nil
	}
	return s.r.Read(p)
}

// A sink is the writer of the codec, and counts.
type sink struct {
	w io.Writer
	n int // bytes of the last frame
}

// Write passes a frame on.
func (s *sink) Write(p []byte) (int, error) {
	s.n = len(p)
	return s.w.Write(p)
}

// NewFramer returns a Framer with the default limits. It reads no more than the frames
// it returns, in small pieces, so r should be buffered; each frame is one Write to w.
// The error is always nil.
func NewFramer(w io.Writer, r io.Reader) (*Framer, error) {
	return NewFramerWithOptions(w, r)
}

// NewFramerWithOptions returns a Framer with other limits. Options that are nil are
// passed over. The error is always nil.
func NewFramerWithOptions(w io.Writer, r io.Reader, opts ...FramerOption) (*Framer, error) {
	f := &Framer{limits: limitsOf(opts).WithDefaults(), in: source{r: r}, out: sink{w: w}, deflate: new(compressor)}
	f.codec = amahi.NewFramer(&f.out, &f.in, amahi.SPDY3) // SPDY/3 is SPDY/3.1 with Slot
	f.codec.MaxHeaderBytes = f.limits.Block()
	return f, nil
}

// WriteFrame writes a frame, with the names of headers in lower case, and fills in its
// CFHeader. A frame that cannot be sent is an *Error.
func (f *Framer) WriteFrame(frame Frame) error { return frame.write(f) }

// ReadFrame reads a frame. The names of its headers are in their canonical form. A frame
// that cannot be used is an *Error; io.EOF means that the input ended between two
// frames. After a frame of the wrong size, and after a header block that is lost, on
// which later ones build, every call returns the same error.
func (f *Framer) ReadFrame() (Frame, error) {
	if f.readErr != nil {
		return nil, f.readErr
	}
	if _, err := io.ReadFull(f.in.r, f.in.head[:]); err != nil {
		return nil, err
	}
	word := binary.BigEndian.Uint32(f.in.head[:])
	rest := binary.BigEndian.Uint32(f.in.head[4:])
	h := ControlFrameHeader{
		version:   uint16(word>>16) & (1<<15 - 1),
		frameType: ControlFrameType(word),
		Flags:     ControlFlags(rest >> 24),
		length:    rest & MaxDataLength,
	}
	control := word>>31 == 1
	if control && h.length > f.limits.Control {
		return nil, f.skip(h)
	}
	f.in.left = headSize
	read, result := f.codec.ReadFrame()
	var frame Frame
	err := result
	switch {
	case !control:
		frame, err = f.readData(read, result)
	case h.hasHeaders():
		frame, err = f.readHeaders(h, result)
	case result != nil:
		err = f.controlError(result)
	default:
		frame, err = readControl(h, read)
	}
	var passing *amahi.StreamError
	if result != nil && !errors.As(result, &passing) {
		f.readErr = err
	}
	return frame, err
}

// hasHeaders reports that a frame carries a header block.
func (h ControlFrameHeader) hasHeaders() bool {
	return h.frameType == TypeSynStream || h.frameType == TypeSynReply || h.frameType == TypeHeaders
}

// skip passes over a control frame that is too large.
func (f *Framer) skip(h ControlFrameHeader) error {
	err := error(&Error{InvalidControlFrame, 0})
	_, failed := io.CopyN(io.Discard, f.in.r, int64(h.length))
	if failed == io.EOF {
		failed = io.ErrUnexpectedEOF
	}
	if failed != nil {
		err = failed
	}
	if h.hasHeaders() || failed != nil { // later blocks build on this one
		f.readErr = err
	}
	return err
}

// readData makes a frame of this package of a DATA frame.
func (f *Framer) readData(frame amahi.Frame, result error) (Frame, error) {
	if data, ok := frame.(*amahi.DataFrame); ok {
		if data.Data == nil {
			data.Data = []byte{}
		}
		return &DataFrame{StreamId: StreamId(data.StreamID), Flags: DataFlags(data.Flags), Data: data.Data}, nil
	}
	if raw := f.codec.Raw(); len(raw.Payload) == raw.Length { // nothing is missing: the stream is 0
		return nil, &Error{ZeroStreamId, 0}
	}
	return nil, result
}

// controlError is the error for a control frame without headers that the codec does not
// take: an error of the input as it is, else what is wrong with the frame.
func (f *Framer) controlError(err error) error {
	raw := f.codec.Raw()
	if len(raw.Payload) < raw.Length {
		return err
	}
	if len(raw.Payload) == 8 && raw.Type == amahi.FrameRstStream {
		return &Error{ZeroStreamId, 0}
	}
	return &Error{InvalidControlFrame, 0}
}

// readControl makes a frame of this package of one without headers.
func readControl(h ControlFrameHeader, frame amahi.Frame) (Frame, error) {
	switch g := frame.(type) {
	case *amahi.RstStreamFrame:
		if g.Status == 0 {
			return nil, &Error{InvalidControlFrame, StreamId(g.StreamID)}
		}
		return &RstStreamFrame{h, StreamId(g.StreamID), RstStreamStatus(g.Status)}, nil
	case *amahi.SettingsFrame:
		s := &SettingsFrame{CFHeader: h, FlagIdValues: make([]SettingsFlagIdValue, len(g.Entries))}
		for i, e := range g.Entries {
			s.FlagIdValues[i] = SettingsFlagIdValue{SettingsFlag(e.Flags), SettingsId(e.ID), e.Value}
		}
		return s, nil
	case *amahi.PingFrame:
		switch {
		case g.ID == 0:
			return nil, &Error{ZeroStreamId, 0}
		case h.Flags != 0:
			return nil, &Error{InvalidControlFrame, StreamId(g.ID)}
		}
		return &PingFrame{h, g.ID}, nil
	case *amahi.GoAwayFrame:
		if h.Flags != 0 {
			return nil, &Error{InvalidControlFrame, StreamId(g.LastGoodStreamID)}
		}
		return &GoAwayFrame{h, StreamId(g.LastGoodStreamID), GoAwayStatus(g.Status)}, nil
	case *amahi.WindowUpdateFrame:
		if h.Flags != 0 {
			return nil, &Error{InvalidControlFrame, StreamId(g.StreamID)}
		}
		return &WindowUpdateFrame{h, StreamId(g.StreamID), g.Delta}, nil
	}
	return nil, &Error{InvalidControlFrame, 0} // another type, or another version
}
