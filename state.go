package spdy

// A streamState is the state of a stream (SPEC §1.13): two halves that end independently. Only the
// methods below change it. Guarded by Session.mu.
type streamState struct {
	ours    bool // this side created the stream
	oneWay  bool // only the side that created the stream sends
	replied bool // the SYN_REPLY has been sent or received
	interim bool // a SYN_REPLY with an interim status has arrived
	inDone  bool // the peer's half is closed: the peer's FIN has arrived
	unknown bool // the stream is a push whose status has not arrived
	gotData bool // a DATA frame has arrived
	bare    bool // the frame with the response headers ended the peer's half
	outDone bool // our half is closed: our FIN is being sent
}

// opened sets the state of a stream right after the SYN_STREAM.
func (s *streamState) opened(ours bool, flags frameFlags) {
	s.ours = ours
	fin, uni := flags&FlagFin != 0, flags&FlagUnidirectional != 0
	if ours {
		s.outDone, s.inDone = fin, uni
	} else {
		s.inDone, s.outDone = fin, uni
	}
	s.oneWay, s.replied = uni, uni // a unidirectional stream has no reply
	s.bare = fin && !ours
}

// closed reports whether neither side may send any more.
func (s *streamState) closed() bool { return s.inDone && s.outDone }

// receiveReply processes a SYN_REPLY from the peer, or returns the status for a reset.
func (s *streamState) receiveReply(fin bool) RstStatus {
	switch {
	case !s.ours || s.oneWay: // SPEC R6
		return RstProtocolError
	case s.inDone && s.replied: // SPEC R3
		return RstStreamAlreadyClosed
	case s.replied: // SPEC R1, R2
		return RstStreamInUse
	}
	s.replied = true
	s.inDone = s.inDone || fin
	return 0
}

// expectAnother undoes a SYN_REPLY with an interim status, which was not the final response.
func (s *streamState) expectAnother() { s.interim, s.replied = true, false }

// receiveHeaders processes a HEADERS frame from the peer.
func (s *streamState) receiveHeaders(fin bool) RstStatus {
	switch {
	case s.inDone: // SPEC R9
		return RstStreamAlreadyClosed
	case s.ours && !s.replied && !s.interim: // SPEC R7
		return RstProtocolError
	}
	s.inDone = fin
	return 0
}

// receiveData processes a DATA frame from the peer. A FIN takes effect when the bytes have been
// read, see finIn.
func (s *streamState) receiveData() RstStatus {
	switch {
	case s.inDone: // SPEC D5, D9
		return RstStreamAlreadyClosed
	case s.ours && !s.replied, s.unknown: // SPEC D3, D4, U11
		return RstProtocolError
	}
	s.gotData = true
	return 0
}

// finIn closes the peer's half.
func (s *streamState) finIn() { s.inDone = true }

// finOut closes our half.
func (s *streamState) finOut() { s.outDone = true }
