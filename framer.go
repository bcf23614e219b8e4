package spdy

import (
	"fmt"
	"io"
	"slices"
)

// A Framer reads and writes the frames of one end of a session, including the
// compression of header blocks, and knows nothing of streams, windows or roles.
// It is for tools and tests; sessions use the same encoders and parsers without
// a Framer.
//
// One goroutine may call ReadFrame while another one writes. The exported
// fields must be set before the first call.
type Framer struct {
	// MaxFrameSize is the largest payload that ReadFrame accepts. A larger
	// frame ends the session. 0 and less mean MAX_DATA_PAYLOAD, which is the largest that
	// there is. Range: 1 and more.
	MaxFrameSize int

	// MaxHeaderBytes is the largest header block that ReadFrame accepts,
	// counted after inflation. A larger one costs its stream, and one of more
	// than 16 times this size the session (SPEC H12). 0 and less mean 256 KiB. Range: 1 and more.
	MaxHeaderBytes int

	// Compression says how header blocks are compressed.
	Compression CompressionPolicy

	// KeepBlocks makes ReadFrame put the compressed header block as it came
	// into the Block field of frames.
	KeepBlocks bool

	version Version

	r       io.Reader
	readErr error // what ended reading, if anything
	raw     RawFrame
	read    int64 // bytes read of all frames
	inflate *headerDecompressor
	nv      []byte // inflated header block, for reuse

	w        io.Writer
	writeErr error // what ended writing, if anything
	deflate  *headerCompressor
	out      []byte // frame on its way out, for reuse
	block    []byte // uncompressed header block on its way out, for reuse
}

const (
	framerHeaderBytes = 256 << 10
	framerHardLimit   = 16       // times MaxHeaderBytes
	framerReadAhead   = 4 << 10  // room made for a payload before any of it has come
	framerKeepBuffer  = 64 << 10 // larger buffers are not kept for reuse
)

// NewFramer returns a Framer that writes frames of dialect v to w and reads them
// from r. It reads from r no more than the frames it returns and writes each
// frame with one call to w. Either may be nil if that direction is not used.
func NewFramer(w io.Writer, r io.Reader, v Version) *Framer {
	return &Framer{version: v, r: r, w: w}
}

// Version returns the dialect of the Framer.
func (f *Framer) Version() Version { return f.version }

// ReadFrame reads one frame. The frame and all it refers to belong to the caller.
//
// At the end of the input ReadFrame returns io.EOF if it is between two frames
// and io.ErrUnexpectedEOF if it is in one. A header block that is malformed or
// too large is a *StreamError, after which reading can go on: the compression
// context is in step. Everything else that breaks the framing or the
// compression is a *SessionError, which ends reading, as do I/O errors inside a
// frame: ReadFrame returns the same error from then on. If the first bytes are of another
// protocol, the error is a *NotSPDYError.
func (f *Framer) ReadFrame() (Frame, error) {
	if f.readErr != nil {
		return nil, f.readErr
	}
	if f.r == nil {
		return nil, errUnmadeFramer
	}
	var header [frameHeaderSize]byte
	n, err := io.ReadFull(f.r, header[:])
	f.raw = RawFrame{Offset: f.read, Size: n}
	f.read += int64(n)
	if f.read == int64(n) {
		if verdict, protocol := judgeFirst(header[:n], true); verdict == firstForeign {
			f.readErr = notSPDY("", protocol, header[:n])
			return nil, f.readErr
		}
	}
	if err != nil {
		if n > 0 {
			f.readErr = err
		}
		return nil, err
	}
	h := parseFrameHeader(header[:])
	f.raw.Control, f.raw.Version, f.raw.Type = h.control, h.version, h.typ
	f.raw.Flags, f.raw.Length = h.flags, h.length
	p, err := f.readPayload(h)
	f.raw.Payload = p
	f.raw.Size += len(p)
	f.read += int64(len(p))
	if err != nil {
		f.readErr = err
		return nil, err
	}
	frame, err := f.decode(h, p)
	if err != nil {
		if _, ok := err.(*StreamError); !ok {
			f.readErr = err
		}
		return nil, err
	}
	return frame, nil
}

// A RawFrame is a frame as it came, before it was made sense of. It holds what a
// Frame does not: reserved bits, and what there is of a frame that is none.
type RawFrame struct {
	Offset int64 // where the frame begins, in bytes of input
	Size   int   // bytes of the frame that have been read, its header of 8 bytes included

	// The header. All of it is zero if Size is less than 8.
	Control bool       // not DATA
	Version uint16     // control frames
	Type    FrameType  // FrameData if not a control frame
	Flags   FrameFlags // as on the wire
	Length  int        // bytes of payload that the header declares

	Payload []byte // what has been read of it
	Block   []byte // inflated header block, MaxHeaderBytes of it at most; nil if there is none or it could not be inflated
}

// Raw returns the frame that the last call of ReadFrame read or failed to read.
// Its Payload may be shared with the frame that ReadFrame returned; its Block is
// overwritten by the next call.
func (f *Framer) Raw() RawFrame { return f.raw }

// readPayload reads what follows the header. The room for it grows as the bytes
// come in, because a peer can declare 16 MiB and send nothing. With an error it
// returns what had come.
func (f *Framer) readPayload(h frameHeader) ([]byte, error) {
	limit := f.MaxFrameSize
	if limit <= 0 {
		limit = MAX_DATA_PAYLOAD
	}
	if h.length > limit {
		return nil, sessionErrorf(GoAwayProtocolError, "%v with a payload of %d bytes, the limit is %d", h.typ, h.length, limit)
	}
	var p []byte
	for len(p) < h.length {
		p = slices.Grow(p, min(h.length-len(p), max(len(p), framerReadAhead)))
		n, err := io.ReadFull(f.r, p[len(p):min(cap(p), h.length)])
		p = p[:len(p)+n]
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

// decode makes a frame of its header and payload.
func (f *Framer) decode(h frameHeader, p []byte) (Frame, error) {
	if !h.control {
		if h.streamID == 0 {
			return nil, streamZeroError(h)
		}
		return &DataFrame{StreamID: h.streamID, Flags: h.flags, Data: p}, nil
	}
	if h.version != f.version.wire() && h.typ.hasHeaderBlock() {
		// The block went through a compression context that we do not have (SPEC F6, F7).
		return nil, sessionErrorf(GoAwayProtocolError, "%v of SPDY version %d", h.typ, h.version)
	}
	if h.version != f.version.wire() || !h.typ.definedIn(f.version) {
		return &UnknownFrame{Version: h.version, Type: h.typ, Flags: h.flags, Data: p}, nil
	}
	switch h.typ {
	case FrameSynStream:
		return f.decodeSynStream(h, p)
	case FrameSynReply, FrameHeaders:
		return f.decodeReply(h, p)
	case FrameRstStream:
		id, status, err := parseRstStream(h, p)
		return frameOr(&RstStreamFrame{StreamID: id, Status: status, Flags: h.flags}, err)
	case FrameSettings:
		return f.decodeSettings(h, p)
	case FrameNoop:
		return frameOr(&NoopFrame{Flags: h.flags}, parseNoop(h, p))
	case FramePing:
		id, err := parsePing(h, p)
		return frameOr(&PingFrame{ID: id, Flags: h.flags}, err)
	case FrameGoAway:
		id, status, err := parseGoAway(f.version, h, p)
		return frameOr(&GoAwayFrame{LastGoodStreamID: id, Status: status, Flags: h.flags}, err)
	case FrameWindowUpdate:
		id, delta, err := parseWindowUpdate(h, p)
		return frameOr(&WindowUpdateFrame{StreamID: id, Delta: delta, Flags: h.flags}, err)
	case FrameCredential:
		return decodeCredential(h, p)
	}
	panic("BUG: spdy: no decoder for " + h.typ.String())
}

func frameOr(frame Frame, err error) (Frame, error) {
	if err != nil {
		return nil, err
	}
	return frame, nil
}

func (f *Framer) decodeSynStream(h frameHeader, p []byte) (Frame, error) {
	s, block, err := parseSynStream(f.version, h, p)
	if err != nil {
		return nil, err
	}
	headers, err := f.readBlock(s.id, block)
	if err != nil {
		return nil, err
	}
	return &SynStreamFrame{
		StreamID:           s.id,
		AssociatedStreamID: s.assoc,
		Priority:           s.priority,
		Slot:               s.slot,
		Flags:              h.flags,
		Headers:            headers,
		Block:              f.kept(block),
	}, nil
}

func (f *Framer) decodeReply(h frameHeader, p []byte) (Frame, error) {
	id, block, err := parseReply(f.version, h, p)
	if err != nil {
		return nil, err
	}
	headers, err := f.readBlock(id, block)
	if err != nil {
		return nil, err
	}
	if h.typ == FrameSynReply {
		return &SynReplyFrame{StreamID: id, Flags: h.flags, Headers: headers, Block: f.kept(block)}, nil
	}
	return &HeadersFrame{StreamID: id, Flags: h.flags, Headers: headers, Block: f.kept(block)}, nil
}

func (f *Framer) kept(block []byte) []byte {
	if f.KeepBlocks {
		return block
	}
	return nil
}

// readBlock inflates and parses the header block of a frame on stream id.
func (f *Framer) readBlock(id uint32, block []byte) (HeaderBlock, error) {
	if f.inflate == nil {
		f.inflate = newHeaderDecompressor(f.version)
	}
	limit := f.MaxHeaderBytes
	if limit <= 0 {
		limit = framerHeaderBytes
	}
	nv, tooLarge, err := f.inflate.appendBlock(f.nv[:0], block, limit, saturatingMul(limit, framerHardLimit))
	if cap(nv) <= framerKeepBuffer {
		f.nv = nv[:0]
	} else {
		f.nv = nil
	}
	if err != nil {
		return nil, err
	}
	f.raw.Block = nv
	if tooLarge {
		return nil, streamErrorf(id, RstFrameTooLarge.forVersion(f.version), "header block of more than %d bytes", limit)
	}
	headers, err := parseNameValue(f.version, nv, 0)
	if err != nil {
		return nil, &StreamError{StreamID: id, Status: RstProtocolError, Err: err}
	}
	return headers, nil
}

// saturatingMul keeps a limit of the size of an int from becoming a negative one.
func saturatingMul(a, b int) int {
	const maxInt = int(^uint(0) >> 1)
	if a > maxInt/b {
		return maxInt
	}
	return a * b
}

func (f *Framer) decodeSettings(h frameHeader, p []byte) (Frame, error) {
	n, err := settingsCount(h, p)
	if err != nil {
		return nil, err
	}
	s := &SettingsFrame{Flags: h.flags}
	if n > 0 {
		s.Entries = make([]Setting, n) // n entries are there: settingsCount
	}
	for i := range s.Entries {
		s.Entries[i] = settingAt(f.version, p, i)
	}
	return s, nil
}

// WriteFrame writes frame. Fields that the dialect has no place for are left
// out, and a value that does not fit its place is an error that leaves
// everything as it was. Apart from that frames are written as they are given,
// legal or not. An error of the writer, or a header block that turns out too
// large once it is compressed, ends writing: the peer's compression context can
// no longer follow.
func (f *Framer) WriteFrame(frame Frame) error {
	if f.writeErr != nil {
		return f.writeErr
	}
	if frame == nil || f.w == nil {
		return errUnmadeFramer
	}
	b, err := frame.appendTo(f.out[:0], f)
	if err != nil {
		return err
	}
	if cap(b) <= framerKeepBuffer {
		f.out = b[:0]
	}
	return f.WriteRaw(b)
}

// WriteRaw writes b as it is, for frames that WriteFrame cannot express.
func (f *Framer) WriteRaw(b []byte) error {
	if f.w == nil {
		return errUnmadeFramer
	}
	if f.writeErr == nil {
		_, f.writeErr = f.w.Write(b)
	}
	return f.writeErr
}

// CompressBlock passes an uncompressed header block, malformed or not, through
// the compression context of the writer. The result has to be sent in the Block
// field of the next frame with headers that is written.
func (f *Framer) CompressBlock(nv []byte) []byte {
	return f.compressor().appendBlock(nil, nv)
}

func (f *Framer) compressor() *headerCompressor {
	if f.deflate == nil {
		f.deflate = newHeaderCompressor(f.version, f.Compression)
	}
	return f.deflate
}

// appendBlock appends a header block to dst, whose end from start on is a frame
// without one, and completes the frame. Nothing is compressed before the
// headers are known to fit (SPEC H14).
func (f *Framer) appendBlock(dst []byte, start int, headers HeaderBlock, block []byte) ([]byte, error) {
	if block != nil {
		if n := len(dst) - start - frameHeaderSize + len(block); n > MAX_DATA_PAYLOAD {
			return nil, fmt.Errorf("spdy: frame with a payload of %d bytes", n)
		}
		dst = append(dst, block...)
		return dst, finishFrame(dst[start:])
	}
	nv, err := appendNameValue(f.block[:0], f.version, headers)
	if err != nil {
		return nil, err
	}
	if cap(nv) <= framerKeepBuffer {
		f.block = nv[:0]
	}
	dst = f.compressor().appendBlock(dst, nv)
	if err := finishFrame(dst[start:]); err != nil {
		f.writeErr = err
		return nil, err
	}
	return dst, nil
}
