package spdy

// A streamState is where a stream stands (SPEC §1.13): two halves that end
// independently. Only the methods below change it. Guarded by Session.mu.
type streamState struct {
	ours    bool // this side created the stream
	oneWay  bool // its creator alone sends
	replied bool // the SYN_REPLY has passed, in whichever direction it goes
	interim bool // a SYN_REPLY has come, but with an interim status
	inDone  bool // the peer's half is closed: its FIN has come
	unknown bool // a push whose status has not come
	gotData bool // a DATA frame has come
	bare    bool // the frame that brought the answer's headers ended the peer's half
	outDone bool // our half is closed: our FIN has been handed to the network
}

// opened is the state of a stream right after its SYN_STREAM.
func (s *streamState) opened(ours bool, flags frameFlags) {
	s.ours = ours
	fin, uni := flags&FlagFin != 0, flags&FlagUnidirectional != 0
	if ours {
		s.outDone, s.inDone = fin, uni
	} else {
		s.inDone, s.outDone = fin, uni
	}
	s.oneWay, s.replied = uni, uni // a unidirectional stream is never replied to
	s.bare = fin && !ours
}

// closed reports that neither side may send any more.
func (s *streamState) closed() bool { return s.inDone && s.outDone }

// receiveReply takes a SYN_REPLY from the peer, or returns the status to reset
// the stream with.
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

// expectAnother undoes a SYN_REPLY with an interim status, which was not the answer.
func (s *streamState) expectAnother() { s.interim, s.replied = true, false }

// receiveHeaders takes a HEADERS frame from the peer.
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

// receiveData takes a DATA frame from the peer. FIN counts when its bytes have
// been read, see finIn.
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
