package spdy

import "encoding/binary"

// The functions here parse the payload of one frame, all of which is in p. They allocate nothing
// unless parsing fails; returned byte slices are parts of p. Every error is a *SessionError with
// PROTOCOL_ERROR: the session cannot continue after a frame with a malformed fixed part (SPEC F8,
// F12). Reserved bits and undefined flags are ignored (SPEC F9, F10).

// parseFrameHeader parses the first 8 bytes of a frame.
func parseFrameHeader(b []byte) frameHeader {
	_ = b[frameHeaderSize-1]
	word := binary.BigEndian.Uint32(b)
	rest := binary.BigEndian.Uint32(b[4:])
	h := frameHeader{flags: frameFlags(rest >> 24), length: int(rest & MAX_DATA_PAYLOAD)}
	if word>>31 == 0 {
		h.streamID = word
		return h
	}
	h.control = true
	h.version = uint16(word>>16) & 0x7fff
	h.typ = FrameType(word)
	return h
}

// parseSynStream parses a SYN_STREAM frame. block is the compressed header block; an empty block is
// accepted here and fails to inflate.
func parseSynStream(v Version, h frameHeader, p []byte) (f synStream, block []byte, err error) {
	if len(p) < synStreamFixed {
		return f, nil, frameSizeError(h, len(p))
	}
	f = synStream{
		id:       binary.BigEndian.Uint32(p) & maxStreamID,
		assoc:    binary.BigEndian.Uint32(p[4:]) & maxStreamID,
		priority: p[8] >> priorityShift(v),
		flags:    h.flags & (FlagFin | FlagUnidirectional),
	}
	if v == SPDY3 {
		f.slot = p[9]
	}
	if f.id == 0 {
		return f, nil, streamZeroError(h)
	}
	return f, p[synStreamFixed:], nil
}

// parseSynReply parses a SYN_REPLY frame.
func parseSynReply(v Version, h frameHeader, p []byte) (id uint32, block []byte, err error) {
	return parseReply(v, h, p)
}

// parseHeaders parses a HEADERS frame.
func parseHeaders(v Version, h frameHeader, p []byte) (id uint32, block []byte, err error) {
	return parseReply(v, h, p)
}

func parseReply(v Version, h frameHeader, p []byte) (id uint32, block []byte, err error) {
	fixed := replyFixed(v)
	if len(p) < fixed {
		return 0, nil, frameSizeError(h, len(p))
	}
	id = binary.BigEndian.Uint32(p) & maxStreamID
	if id == 0 {
		return 0, nil, streamZeroError(h)
	}
	return id, p[fixed:], nil
}

// parseRstStream parses a RST_STREAM frame. Any status is accepted, also 0 and unknown codes: each
// ends the stream (SPEC X4).
func parseRstStream(h frameHeader, p []byte) (id uint32, status RstStatus, err error) {
	if len(p) != rstStreamSize {
		return 0, 0, frameSizeError(h, len(p))
	}
	id = binary.BigEndian.Uint32(p) & maxStreamID
	if id == 0 {
		return 0, 0, streamZeroError(h)
	}
	return id, RstStatus(binary.BigEndian.Uint32(p[4:])), nil
}

// settingsCount returns the number of entries in a SETTINGS frame. The count field must match the
// payload size exactly (SPEC T18).
func settingsCount(h frameHeader, p []byte) (int, error) {
	if len(p) < settingsFixed {
		return 0, frameSizeError(h, len(p))
	}
	n := binary.BigEndian.Uint32(p)
	if uint64(len(p)) != settingsFixed+settingSize*uint64(n) {
		return 0, sessionErrorf(GoAwayProtocolError, "SETTINGS of %d bytes declares %d entries", len(p), n)
	}
	return int(n), nil
}

// settingAt returns entry i of a SETTINGS frame; i is less than the result of settingsCount.
func settingAt(v Version, p []byte, i int) Setting {
	e := p[settingsFixed+settingSize*i:][:settingSize]
	s := Setting{ID: settingIDOf(v, e), Flags: e[0], Value: binary.BigEndian.Uint32(e[4:])}
	if v == SPDY2 {
		s.Flags = e[3]
	}
	return s
}

// settingIDOf returns the id in the entry at the beginning of e; see appendSetting.
func settingIDOf(v Version, e []byte) SettingID {
	if v == SPDY2 {
		return SettingID(binary.LittleEndian.Uint32(e) & maxSettingID)
	}
	return SettingID(binary.BigEndian.Uint32(e) & maxSettingID)
}

// parseNoop checks a NOOP frame, which has no payload.
func parseNoop(h frameHeader, p []byte) error {
	if len(p) != 0 {
		return frameSizeError(h, len(p))
	}
	return nil
}

// parsePing parses a PING frame.
func parsePing(h frameHeader, p []byte) (id uint32, err error) {
	if len(p) != pingSize {
		return 0, frameSizeError(h, len(p))
	}
	return binary.BigEndian.Uint32(p), nil
}

// parseGoAway parses a GOAWAY frame. In SPDY/2, which has no status, parseGoAway returns GoAwayOK.
func parseGoAway(v Version, h frameHeader, p []byte) (lastGood uint32, status GoAwayStatus, err error) {
	if len(p) != goAwaySize(v) {
		return 0, 0, frameSizeError(h, len(p))
	}
	lastGood = binary.BigEndian.Uint32(p) & maxStreamID
	if v != SPDY2 {
		status = GoAwayStatus(binary.BigEndian.Uint32(p[4:]))
	}
	return lastGood, status, nil
}

// parseWindowUpdate parses a WINDOW_UPDATE frame. A delta of 0 is accepted: the consequence depends
// on the stream (SPEC W5).
func parseWindowUpdate(h frameHeader, p []byte) (id, delta uint32, err error) {
	if len(p) != windowUpdateSize {
		return 0, 0, frameSizeError(h, len(p))
	}
	return binary.BigEndian.Uint32(p) & maxStreamID, binary.BigEndian.Uint32(p[4:]) & (1<<31 - 1), nil
}

func frameSizeError(h frameHeader, n int) error {
	return sessionErrorf(GoAwayProtocolError, "%v with a payload of %d bytes", h.typ, n)
}

func streamZeroError(h frameHeader) error {
	return sessionErrorf(GoAwayProtocolError, "%v on stream 0", h.typ)
}
