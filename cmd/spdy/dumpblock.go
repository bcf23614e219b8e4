package main

import (
	"encoding/binary"

	"github.com/amahi/spdy"
)

// fieldsOf returns the headers of a frame, in the order of the wire. ReadFrame returns no Frame for
// a block that breaks a rule, but the headers are still useful: they are parsed from the inflated
// block, as far as possible.
func fieldsOf(v spdy.Version, raw spdy.RawFrame, f spdy.Frame) spdy.HeaderBlock {
	switch f := f.(type) {
	case *spdy.SynStreamFrame:
		return f.Headers
	case *spdy.SynReplyFrame:
		return f.Headers
	case *spdy.HeadersFrame:
		return f.Headers
	case nil:
		return looseFields(v, raw.Block)
	}
	return nil
}

// looseFields parses an inflated header block without checking rules, up to the first malformed
// field.
func looseFields(v spdy.Version, block []byte) spdy.HeaderBlock {
	count, block, ok := cutInt(v, block)
	var h spdy.HeaderBlock
	for ; ok && count > 0; count-- {
		var name, value []byte
		if name, block, ok = cutText(v, block); !ok {
			break
		}
		if value, block, ok = cutText(v, block); !ok {
			break
		}
		h = append(h, spdy.HeaderField{Name: string(name), Value: string(value)})
	}
	return h
}

// cutInt cuts an integer off a block: 16 bits in SPDY/2, 32 bits otherwise.
func cutInt(v spdy.Version, block []byte) (n uint32, rest []byte, ok bool) {
	switch {
	case v == spdy.SPDY2 && len(block) >= 2:
		return uint32(binary.BigEndian.Uint16(block)), block[2:], true
	case v != spdy.SPDY2 && len(block) >= 4:
		return binary.BigEndian.Uint32(block), block[4:], true
	}
	return 0, block, false
}

// cutText cuts a length and as many bytes off a block.
func cutText(v spdy.Version, block []byte) (text, rest []byte, ok bool) {
	n, rest, ok := cutInt(v, block)
	if !ok || uint64(n) > uint64(len(rest)) {
		return nil, block, false
	}
	return rest[:n], rest[n:], true
}

// fixedPart holds the fields before the header block in SYN_STREAM, SYN_REPLY and HEADERS,
// including the bits that a Frame does not keep (SPEC §1.3, §1.4).
type fixedPart struct {
	stream, associated uint32
	priority, slot     uint8
	unused             uint16
	hasSlot, hasUnused bool
}

// fixedOf parses a payload whose length ReadFrame has checked.
func fixedOf(v spdy.Version, raw spdy.RawFrame) (x fixedPart) {
	const idBits = 1<<31 - 1
	p := raw.Payload
	x.stream = binary.BigEndian.Uint32(p) & idBits
	switch {
	case raw.Type != spdy.FrameSynStream && v == spdy.SPDY2:
		x.unused, x.hasUnused = binary.BigEndian.Uint16(p[4:]), true
	case raw.Type != spdy.FrameSynStream:
	case v == spdy.SPDY2:
		x.priority = p[8] >> 6
		x.unused, x.hasUnused = binary.BigEndian.Uint16(p[8:])&0x3fff, true
	default:
		x.priority = p[8] >> 5
		x.unused, x.hasUnused = uint16(p[8]&0x1f), true
		x.slot, x.hasSlot = p[9], true
	}
	if raw.Type == spdy.FrameSynStream {
		x.associated = binary.BigEndian.Uint32(p[4:]) & idBits
	}
	return x
}
