package spdy

import "encoding/binary"

// The functions here append frames to a byte slice and allocate only to grow the slice. Reserved
// and unused bits are sent as 0 (SPEC F9).

// appendHeader appends a frame header with the first word given as word. This package computes all
// lengths, so a length that does not fit is a bug of this package. A length cut by masking would
// desynchronize the whole session.
func appendHeader(dst []byte, word uint32, flags frameFlags, n int) []byte {
	if uint(n) > MAX_DATA_PAYLOAD {
		panic("BUG: spdy: frame payload over 2^24-1 bytes")
	}
	dst = binary.BigEndian.AppendUint32(dst, word)
	return binary.BigEndian.AppendUint32(dst, uint32(flags)<<24|uint32(n))
}

func appendControlHeader(dst []byte, v Version, typ FrameType, flags frameFlags, n int) []byte {
	return appendHeader(dst, 1<<31|uint32(v.wire())<<16|uint32(typ), flags, n)
}

// appendDataHeader appends the header of a DATA frame with n bytes of payload,
// at most MAX_DATA_PAYLOAD.
func appendDataHeader(dst []byte, id uint32, flags frameFlags, n int) []byte {
	return appendHeader(dst, id&maxStreamID, flags, n)
}

// appendRstStream appends a RST_STREAM frame. Codes that SPDY/2 lacks become PROTOCOL_ERROR in
// SPDY/2 (SPEC §3).
func appendRstStream(dst []byte, v Version, id uint32, status RstStatus) []byte {
	dst = appendControlHeader(dst, v, FrameRstStream, 0, rstStreamSize)
	dst = binary.BigEndian.AppendUint32(dst, id&maxStreamID)
	return binary.BigEndian.AppendUint32(dst, uint32(status.forVersion(v)))
}

// appendSettings appends a SETTINGS frame with the entries in ascending order of ids, because
// Chrome closes the session otherwise (SPEC T4). Entries with the same id keep their order, as the
// first entry counts (SPEC T2).
func appendSettings(dst []byte, v Version, flags frameFlags, entries []Setting) []byte {
	start := len(dst) + frameHeaderSize + settingsFixed
	dst = appendSettingsAsGiven(dst, v, flags, entries)
	// An insertion sort on the wire form: no session sends more than a handful of settings, and the
	// caller's slice stays unchanged.
	for end := start + settingSize; end < len(dst); end += settingSize {
		entry := [settingSize]byte(dst[end:])
		at := end
		for at > start && settingIDOf(v, entry[:]) < settingIDOf(v, dst[at-settingSize:]) {
			copy(dst[at:], dst[at-settingSize:at])
			at -= settingSize
		}
		copy(dst[at:], entry[:])
	}
	return dst
}

// appendSettingsAsGiven appends a SETTINGS frame without reordering the entries.
func appendSettingsAsGiven(dst []byte, v Version, flags frameFlags, entries []Setting) []byte {
	dst = appendControlHeader(dst, v, FrameSettings, flags, settingsFixed+settingSize*len(entries))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(entries)))
	for _, e := range entries {
		dst = appendSetting(dst, v, e)
	}
	return dst
}

// appendSetting appends an entry. In SPDY/2 the id is little-endian and precedes the flags, a
// mistake that every deployed peer kept (SPEC §1.6, T16).
func appendSetting(dst []byte, v Version, e Setting) []byte {
	id := uint32(e.ID) & maxSettingID
	if v == SPDY2 {
		dst = append(dst, byte(id), byte(id>>8), byte(id>>16), e.Flags)
	} else {
		dst = append(dst, e.Flags, byte(id>>16), byte(id>>8), byte(id))
	}
	return binary.BigEndian.AppendUint32(dst, e.Value)
}

// appendNoop appends a NOOP frame, which only SPDY/2 defines.
func appendNoop(dst []byte, v Version) []byte {
	return appendControlHeader(dst, v, FrameNoop, 0, 0)
}

// appendPing appends a PING frame. A PING id has all 32 bits (SPEC §1.8).
func appendPing(dst []byte, v Version, id uint32) []byte {
	dst = appendControlHeader(dst, v, FramePing, 0, pingSize)
	return binary.BigEndian.AppendUint32(dst, id)
}

// appendGoAway appends a GOAWAY frame. SPDY/2 has no status field (SPEC §1.9), so the status is
// omitted.
func appendGoAway(dst []byte, v Version, lastGood uint32, status GoAwayStatus) []byte {
	dst = appendControlHeader(dst, v, FrameGoAway, 0, goAwaySize(v))
	dst = binary.BigEndian.AppendUint32(dst, lastGood&maxStreamID)
	if v == SPDY2 {
		return dst
	}
	return binary.BigEndian.AppendUint32(dst, uint32(status))
}

// appendWindowUpdate appends a WINDOW_UPDATE frame; id 0 is the session window
// of SPDY/3.1 (SPEC §1.10).
func appendWindowUpdate(dst []byte, v Version, id, delta uint32) []byte {
	dst = appendControlHeader(dst, v, FrameWindowUpdate, 0, windowUpdateSize)
	dst = binary.BigEndian.AppendUint32(dst, id&maxStreamID)
	return binary.BigEndian.AppendUint32(dst, delta&(1<<31-1))
}

// appendSynStreamHeader appends a SYN_STREAM frame up to the header block. The caller appends the
// compressed block and calls finishFrame. A priority that the dialect cannot express becomes the
// dialect's least urgent priority: masking would make the priority more urgent.
func appendSynStreamHeader(dst []byte, v Version, f synStream) []byte {
	dst = appendControlHeader(dst, v, FrameSynStream, f.flags, 0)
	dst = binary.BigEndian.AppendUint32(dst, f.id&maxStreamID)
	dst = binary.BigEndian.AppendUint32(dst, f.assoc&maxStreamID)
	slot := f.slot
	if v != SPDY3 {
		slot = 0 // reserved in the other dialects (SPEC §1.3)
	}
	return append(dst, min(f.priority, maxPriority(v))<<priorityShift(v), slot)
}

// appendSynReplyHeader appends a SYN_REPLY frame up to the header block; see appendSynStreamHeader.
func appendSynReplyHeader(dst []byte, v Version, id uint32, flags frameFlags) []byte {
	return appendReplyHeader(dst, v, FrameSynReply, id, flags)
}

// appendHeadersHeader appends a HEADERS frame up to the header block; see appendSynStreamHeader.
func appendHeadersHeader(dst []byte, v Version, id uint32, flags frameFlags) []byte {
	return appendReplyHeader(dst, v, FrameHeaders, id, flags)
}

func appendReplyHeader(dst []byte, v Version, typ FrameType, id uint32, flags frameFlags) []byte {
	dst = appendControlHeader(dst, v, typ, flags, 0)
	dst = binary.BigEndian.AppendUint32(dst, id&maxStreamID)
	if v == SPDY2 {
		dst = append(dst, 0, 0)
	}
	return dst
}

// finishFrame writes the length into the header of frame, which is a whole frame. A frame that is
// too long cannot be withdrawn after the block has been compressed, so the error ends the session
// (SPEC H15).
func finishFrame(frame []byte) error {
	n := len(frame) - frameHeaderSize
	if n > MAX_DATA_PAYLOAD {
		return sessionErrorf(GoAwayInternalError, "header block makes a frame of %d bytes", n)
	}
	setFrameLength(frame)
	return nil
}

// setFrameLength is finishFrame for a frame that is known to be short enough.
func setFrameLength(frame []byte) {
	n := len(frame) - frameHeaderSize
	frame[5], frame[6], frame[7] = byte(n>>16), byte(n>>8), byte(n)
}
