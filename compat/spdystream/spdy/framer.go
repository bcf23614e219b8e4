package spdy

import (
	"encoding/binary"
	"errors"
	"io"

	amahi "github.com/amahi/spdy"

	"github.com/moby/spdystream/internal/limits"
)

// headSize is the size of the frame head.
const headSize = 8

// A Framer reads and writes frames. It holds the compression contexts of both directions, so a
// connection needs a single Framer for life. One goroutine may read while another goroutine writes.
type Framer struct {
	limits limits.Set
	codec  *amahi.Framer

	// Fields of the reading goroutine.
	in       source
	readErr  error // the error that ended reading: the compression context is lost
	inflated bool  // a header block has been inflated

	// Fields of the writing goroutine.
	out      sink
	deflate  *compressor
	writeErr error // the error that ended writing: the compression context is lost
}

// A source is the reader of the codec: a frame head that has been parsed already, and then the rest
// of the connection.
type source struct {
	head [headSize]byte
	left int // bytes of head still to return
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

// A sink is the writer of the codec, and counts bytes.
type sink struct {
	w io.Writer
	n int // bytes of the last frame
}

// Write forwards a frame.
func (s *sink) Write(p []byte) (int, error) {
	s.n = len(p)
	return s.w.Write(p)
}

// NewFramer returns a Framer with the default limits. The Framer reads r in small pieces and never
// beyond the returned frame, so r should be buffered. Each frame is one Write to w. The error is
// always nil.
func NewFramer(w io.Writer, r io.Reader) (*Framer, error) {
	return NewFramerWithOptions(w, r)
}

// NewFramerWithOptions returns a Framer with other limits. Nil options are ignored. The error is
// always nil.
func NewFramerWithOptions(w io.Writer, r io.Reader, opts ...FramerOption) (*Framer, error) {
	f := &Framer{limits: limitsOf(opts).WithDefaults(), in: source{r: r}, out: sink{w: w}, deflate: new(compressor)}
	f.codec = amahi.NewFramer(&f.out, &f.in, amahi.SPDY3) // SPDY/3 is SPDY/3.1 with Slot
	f.codec.MaxHeaderBytes = f.limits.Block()
	return f, nil
}

// WriteFrame writes a frame, with header names in lower case, and fills in the CFHeader. An
// unsendable frame is an *Error.
func (f *Framer) WriteFrame(frame Frame) error { return frame.write(f) }

// ReadFrame reads a frame, with header names in canonical form. An unusable frame is an *Error;
// io.EOF means that the input ended between two frames. After a frame of the wrong size, or after a
// lost header block, which later blocks depend on, every call returns the same error.
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

// hasHeaders reports whether a frame carries a header block.
func (h ControlFrameHeader) hasHeaders() bool {
	return h.frameType == TypeSynStream || h.frameType == TypeSynReply || h.frameType == TypeHeaders
}

// skip skips a control frame that is too large.
func (f *Framer) skip(h ControlFrameHeader) error {
	err := error(&Error{InvalidControlFrame, 0})
	_, failed := io.CopyN(io.Discard, f.in.r, int64(h.length))
	if failed == io.EOF {
		failed = io.ErrUnexpectedEOF
	}
	if failed != nil {
		err = failed
	}
	if h.hasHeaders() || failed != nil { // later blocks depend on this block
		f.readErr = err
	}
	return err
}

// readData converts a DATA frame to a frame of this package.
func (f *Framer) readData(frame amahi.Frame, result error) (Frame, error) {
	if data, ok := frame.(*amahi.DataFrame); ok {
		if data.Data == nil {
			data.Data = []byte{}
		}
		return &DataFrame{StreamId: StreamId(data.StreamID), Flags: DataFlags(data.Flags), Data: data.Data}, nil
	}
	if raw := f.codec.Raw(); len(raw.Payload) == raw.Length { // the frame is complete, so the stream is 0
		return nil, &Error{ZeroStreamId, 0}
	}
	return nil, result
}

// controlError returns the error for a control frame without headers that the codec rejects: an
// error of the input unchanged, else the fault of the frame.
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

// readControl converts a control frame without headers to a frame of this package.
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
