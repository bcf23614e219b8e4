package spdy

import (
	"fmt"
	"io"
	"slices"
)

// A Framer reads and writes the frames of one end of a session, including the compression of header
// blocks. A Framer does not track streams, windows or roles. Framers are for tools and tests;
// sessions use the same encoders and parsers without a Framer.
//
// One goroutine may call ReadFrame while another goroutine writes. The exported fields must be set
// before the first call.
type Framer struct {
	// MaxFrameSize is the largest payload that ReadFrame accepts. A larger frame ends the session.
	// 0 and less mean MAX_DATA_PAYLOAD, the maximum of the protocol. Range: 1 and more.
	MaxFrameSize int

	// MaxHeaderBytes is the largest header block that ReadFrame accepts, counted after inflation. A
	// larger block is a stream error; a block of more than 16 times this size ends the session
	// (SPEC H12). 0 and less mean 256 KiB. Range: 1 and more.
	MaxHeaderBytes int

	// Compression is the policy for compressing header blocks.
	Compression CompressionPolicy

	// KeepBlocks makes ReadFrame store the compressed header block, as received, in the Block field
	// of frames.
	KeepBlocks bool

	version Version

	r       io.Reader
	readErr error // error that ended reading, if any
	raw     RawFrame
	read    int64 // bytes read, of all frames
	inflate *headerDecompressor
	nv      []byte // inflated header block, for reuse

	w        io.Writer
	writeErr error // error that ended writing, if any
	deflate  *headerCompressor
	out      []byte // frame being written, for reuse
	block    []byte // uncompressed header block being written, for reuse
}

const (
	framerHeaderBytes = 256 << 10
	framerHardLimit   = 16       // times MaxHeaderBytes
	framerReadAhead   = 4 << 10  // initial buffer for a payload, before any payload has arrived
	framerKeepBuffer  = 64 << 10 // larger buffers are not kept for reuse
)

// NewFramer returns a Framer that writes frames of dialect v to w and reads frames from r. The
// Framer reads no bytes from r beyond the returned frames, and writes each frame with a single call
// to w. r or w may be nil if the direction is not used.
func NewFramer(w io.Writer, r io.Reader, v Version) *Framer {
	return &Framer{version: v, r: r, w: w}
}

// Version returns the dialect of the Framer.
func (f *Framer) Version() Version { return f.version }

// ReadFrame reads one frame. The frame and all referenced memory belong to the caller.
//
// At the end of the input ReadFrame returns io.EOF between two frames and io.ErrUnexpectedEOF
// inside a frame. A malformed or oversized header block is a *StreamError, after which reading can
// continue: the compression context is still in sync. Every other violation of the framing or the
// compression is a *SessionError, which ends reading, as do I/O errors inside a frame: ReadFrame
// returns the same error from then on. If the first bytes belong to another protocol, the error is
// a *NotSPDYError.
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

// A RawFrame is a frame as received, before parsing. A RawFrame has the parts that a Frame lacks:
// reserved bits, and the bytes of an incomplete or malformed frame.
type RawFrame struct {
	Offset int64 // offset of the frame in the input, in bytes
	Size   int   // bytes of the frame that have been read, including the header of 8 bytes

	// The header. All fields are zero if Size is less than 8.
	Control bool       // not DATA
	Version uint16     // control frames
	Type    FrameType  // FrameData if not a control frame
	Flags   FrameFlags // as on the wire
	Length  int        // payload length in the header

	Payload []byte // the payload bytes that have been read
	Block   []byte // inflated header block, at most MaxHeaderBytes; nil if the frame has none or inflating failed
}

// Raw returns the frame that the last call of ReadFrame read or failed to read. Payload may be
// shared with the frame that ReadFrame returned; the next call overwrites Block.
func (f *Framer) Raw() RawFrame { return f.raw }

// readPayload reads the bytes after the header. The buffer grows as bytes arrive, because a peer
// can declare 16 MiB and send nothing. With an error, readPayload also returns the bytes that had
// arrived.
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

// decode parses a frame from the header and the payload.
func (f *Framer) decode(h frameHeader, p []byte) (Frame, error) {
	if !h.control {
		if h.streamID == 0 {
			return nil, streamZeroError(h)
		}
		return &DataFrame{StreamID: h.streamID, Flags: h.flags, Data: p}, nil
	}
	if h.version != f.version.wire() && h.typ.hasHeaderBlock() {
		// The block used a compression context that we do not have (SPEC F6, F7).
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

// saturatingMul prevents the overflow of a limit that is near the maximum of int.
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
		s.Entries = make([]Setting, n) // settingsCount has checked that n entries are present
	}
	for i := range s.Entries {
		s.Entries[i] = settingAt(f.version, p, i)
	}
	return s, nil
}

// WriteFrame writes frame. Fields that the dialect lacks are omitted, and a value that does not fit
// the field is an error that changes nothing. Otherwise frames are written unchanged, legal or not.
// An error of the writer, or a header block that is too large after compression, ends writing: the
// peer's compression context is out of sync.
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

// WriteRaw writes b unchanged, for frames that WriteFrame cannot express.
func (f *Framer) WriteRaw(b []byte) error {
	if f.w == nil {
		return errUnmadeFramer
	}
	if f.writeErr == nil {
		_, f.writeErr = f.w.Write(b)
	}
	return f.writeErr
}

// CompressBlock compresses an uncompressed header block, malformed or not, in the compression
// context of the writer. The result must be sent in the Block field of the next written frame with
// headers.
func (f *Framer) CompressBlock(nv []byte) []byte {
	return f.compressor().appendBlock(nil, nv)
}

func (f *Framer) compressor() *headerCompressor {
	if f.deflate == nil {
		f.deflate = newHeaderCompressor(f.version, f.Compression)
	}
	return f.deflate
}

// appendBlock appends a header block to dst and completes the frame; dst[start:] is the frame
// before the block. Nothing is compressed until the headers are known to fit (SPEC H14).
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
