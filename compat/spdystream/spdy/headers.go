package spdy

import (
	"compress/zlib"
	"encoding/binary"
	"errors"
	"net/http"
	"strings"

	amahi "github.com/amahi/spdy"
)

// zlibHeaderSize is the size of the zlib header of the first header block: CMF, FLG and the
// checksum of the dictionary (RFC 1950 §2.2).
const zlibHeaderSize = 6

// A fixed holds the fields that precede the header block in a frame.
type fixed struct {
	id, associated StreamId
	priority, slot uint8
}

// fixedSize is the size of a fixed.
func fixedSize(t ControlFrameType) int {
	if t == TypeSynStream {
		return 10
	}
	return 4
}

// readHeaders converts a frame with headers, which the codec has read with the given result, to a
// frame of this package. It parses the block again, because the codec is stricter than the original
// and reports other errors.
func (f *Framer) readHeaders(h ControlFrameHeader, result error) (Frame, error) {
	raw := f.codec.Raw()
	switch {
	case len(raw.Payload) < raw.Length: // the input has ended
		return nil, result
	case h.version != Version || len(raw.Payload) < fixedSize(h.frameType):
		return nil, &Error{InvalidControlFrame, 0}
	}
	var x fixed
	x.id = StreamId(binary.BigEndian.Uint32(raw.Payload) & (1<<31 - 1))
	if h.frameType == TypeSynStream {
		x.associated = StreamId(binary.BigEndian.Uint32(raw.Payload[4:]) & (1<<31 - 1))
		x.priority, x.slot = raw.Payload[8]>>5, raw.Payload[9]
	}
	if x.id == 0 {
		return nil, &Error{ZeroStreamId, 0}
	}
	if raw.Block == nil {
		return nil, f.inflateError(raw.Payload[fixedSize(h.frameType):], x.id, result)
	}
	f.inflated = true
	var refused *amahi.StreamError
	if errors.As(result, &refused) && refused.Status == amahi.RstFrameTooLarge {
		return nil, &Error{InvalidControlFrame, x.id}
	}
	headers, err := f.parseBlock(raw.Block, x.id)
	if err == nil {
		err = checkNames(h.frameType, x.id, headers)
	}
	if err != nil {
		return nil, err
	}
	switch h.frameType {
	case TypeSynStream:
		return &SynStreamFrame{h, x.id, x.associated, x.priority, x.slot, headers}, nil
	case TypeSynReply:
		return &SynReplyFrame{h, x.id, headers}, nil
	default:
		return &HeadersFrame{h, x.id, headers}, nil
	}
}

// inflateError returns the error for a block that does not inflate.
func (f *Framer) inflateError(block []byte, id StreamId, result error) error {
	if !f.inflated && len(block) >= zlibHeaderSize {
		cmf, flg := uint16(block[0]), uint16(block[1])
		if cmf&15 != 8 || cmf>>4 > 7 || (cmf<<8|flg)%31 != 0 {
			return zlib.ErrHeader
		}
		if flg&0x20 == 0 || binary.BigEndian.Uint32(block[2:]) != dictionaryID {
			return zlib.ErrDictionary
		}
	}
	var broken *amahi.SessionError
	if len(block) >= zlibHeaderSize && errors.As(result, &broken) && broken.Err == nil { // rejected as too large
		return &Error{InvalidControlFrame, id}
	}
	return &Error{WrongCompressedPayloadSize, 0}
}

// dictionaryID is the Adler-32 checksum of the dictionary of SPDY/3 (SPDY/3.1 §2.6.10.1).
const dictionaryID = 0xe3c6a7c2

// parseBlock parses an inflated header block. It allocates for the present bytes, not for declared
// lengths.
func (f *Framer) parseBlock(p []byte, id StreamId) (http.Header, error) {
	count, p, ok := cutInt(p)
	if !ok {
		return nil, &Error{WrongCompressedPayloadSize, 0}
	}
	if count > f.limits.Fields {
		return nil, &Error{InvalidControlFrame, id}
	}
	headers := make(http.Header)
	var wrong error // reported only if the block is complete
	for range count {
		var fields [2]string
		for i := range fields {
			size, rest, ok := cutInt(p)
			switch {
			case ok && size > f.limits.FieldSize:
				return nil, &Error{InvalidControlFrame, id}
			case !ok || uint64(size) > uint64(len(rest)):
				return nil, &Error{WrongCompressedPayloadSize, 0}
			}
			fields[i], p = string(rest[:size]), rest[size:]
		}
		name := http.CanonicalHeaderKey(fields[0])
		if strings.ToLower(fields[0]) != fields[0] {
			wrong = &Error{UnlowercasedHeaderName, id}
		}
		if headers[name] != nil {
			wrong = &Error{DuplicateHeaders, id}
		}
		headers[name] = append(headers[name], strings.Split(fields[1], "\x00")...)
	}
	if len(p) > 0 {
		return nil, &Error{WrongCompressedPayloadSize, 0}
	}
	return headers, wrong
}

// cutInt cuts a 32-bit number off the front.
func cutInt(p []byte) (n uint32, rest []byte, ok bool) {
	if len(p) < 4 {
		return 0, p, false
	}
	return binary.BigEndian.Uint32(p), p[4:], true
}

// checkNames refuses headers that concern the connection (SPDY/3.1 §3.2.1), and also Host in frames
// from the side that opens streams with odd numbers.
func checkNames(t ControlFrameType, id StreamId, headers http.Header) error {
	refused := []string{"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding"}
	if t == TypeSynStream || t == TypeHeaders && id%2 == 0 {
		refused = append(refused, "Host")
	}
	for _, name := range refused {
		if _, ok := headers[name]; ok {
			return &Error{InvalidHeaderPresent, id}
		}
	}
	return nil
}
