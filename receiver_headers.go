package spdy

import (
	"errors"
	"net/http"
)

// readBlock inflates and parses a header block. Every block is inflated, in wire
// order, whatever becomes of its stream, because all later ones build on it
// (SPEC H1). A *SessionError means that the compression context is lost, any
// other error that only this stream is spoilt. The block may have limit bytes.
func (s *Session) readBlock(id uint32, block []byte, limit int) (HeaderBlock, error) {
	buf := getBlock()
	defer putBlock(buf)
	nv, tooLarge, err := s.inflate.appendBlock(*buf, block, limit, s.conf.hardHeaderLimit())
	if cap(nv) <= maxPooledBlock {
		*buf = nv[:0]
	}
	s.stats.deflatedReceived.Add(int64(len(block)))
	s.stats.headersReceived.Add(int64(s.inflate.size))
	if err != nil {
		return nil, err
	}
	if tooLarge { // SPEC F3, H12
		if s.inflate.size > s.honestBlock() {
			if err := s.idleBlock(len(block)); err != nil {
				return nil, err
			}
		}
		return nil, streamErrorf(id, RstFrameTooLarge, "header block of more than %d bytes", limit)
	}
	h, err := parseNameValue(s.version, nv, s.conf.MaxHeaderFields)
	if err != nil {
		status := RstProtocolError
		var he *headerError
		if errors.As(err, &he) {
			status = he.status()
		}
		return nil, &StreamError{StreamID: id, Status: status, Reason: "bad header block", Err: err}
	}
	return h, nil
}

// onlyStream tells an error of readBlock that spoils a stream from all others. It costs
// nothing when there is none.
func onlyStream(err error) (spoilt *StreamError, other error) {
	if err == nil {
		return nil, nil
	}
	if e := (*StreamError)(nil); errors.As(err, &e) {
		return e, nil
	}
	return nil, err
}

// receiveSynStream opens a stream for the peer, or says why not.
func (s *Session) receiveSynStream(h frameHeader, p []byte) error {
	f, block, err := parseSynStream(s.version, h, p)
	if err != nil {
		s.traceReceived(h, p, nil, nil)
		return err
	}
	header, err := s.readBlock(f.id, block, s.sideHeaderLimit())
	s.traceReceived(h, p, header, err)
	refused, err := onlyStream(err)
	if err != nil {
		return err
	}
	answers, tooLarge := s.answersTooLarge(f, refused), refused
	if answers != nil {
		refused = nil
	}
	if s.crowded() {
		s.app.makeRoom()
	}
	st, err := s.admitStream(f, refused, len(block))
	if err != nil || st == nil {
		return err
	}
	if answers != nil {
		answers.refuse(st, &requestError{http.StatusRequestHeaderFieldsTooLarge, tooLarge.Reason})
		return nil
	}
	if refused := s.app.accept(st, header); refused != nil {
		if s.wantsPushes() { // handlers of the server choose them, see floods
			s.log.streamError(s, refused)
			s.abortStream(st, refused)
		} else {
			s.resetStream(st, refused.Status, refused.Reason)
		}
		st.release()
	}
	return nil
}

// admitStream checks a SYN_STREAM against the rules on ids and limits and enters
// the stream. It returns neither a stream nor an error if the stream was refused
// or is ignored. block is the compressed size of its header block, in bytes.
func (s *Session) admitStream(f synStream, refused *StreamError, block int) (*Stream, error) {
	s.mu.Lock()
	open := s.streams[f.id]
	switch {
	case s.err != nil: // it has ended since the frame began
		s.mu.Unlock()
		return nil, nil
	case s.isOurs(f.id): // SPEC S1
		s.mu.Unlock()
		return nil, sessionErrorf(GoAwayProtocolError, "the peer opened stream %d, whose parity is ours", f.id)
	case f.id < s.lastPeerID: // SPEC S2
		last := s.lastPeerID
		s.mu.Unlock()
		return nil, sessionErrorf(GoAwayProtocolError, "stream %d opened after stream %d", f.id, last)
	case f.id == s.lastPeerID: // SPEC S3
		s.mu.Unlock()
		if open != nil {
			s.resetStream(open, RstProtocolError, "stream opened twice")
		} else {
			s.replyReset(f.id, RstProtocolError, true)
		}
		return nil, nil
	case s.saidGoAway: // SPEC S13
		s.mu.Unlock()
		return nil, s.idleBlock(block)
	}
	s.lastPeerID = f.id
	refused, violation := s.refusalLocked(f.id, refused)
	if refused != nil {
		s.mu.Unlock()
		s.log.streamError(s, refused)
		s.floods.expect()
		s.replyReset(f.id, refused.Status, violation)
		return nil, nil
	}
	s.lastGood = f.id
	s.peerStreams++
	s.peerOpen++
	s.stats.accepted++
	st := s.newPeerStream(f.priority << priorityScale(s.version))
	st.id, st.assoc, st.onWire, st.held = f.id, f.assoc, true, true
	st.oneWay = f.flags&FlagUnidirectional != 0
	st.out.avail = s.flow.peerWindow
	st.state.opened(false, f.flags)
	s.enterUnawareLocked(st)
	if st.state.inDone {
		st.in.finish(endOfStream, false)
	}
	s.streams[f.id] = st
	s.noteLocked(st, streamOpened, nil)
	s.retireLocked(st)
	s.mu.Unlock()
	return st, nil
}

// refusalLocked is the error to refuse a new stream of the peer with, or nil, and whether
// the peer broke a rule by opening it. bad is the error of its header block. A peer that
// does not know how long our handlers run breaks none: it counts the streams that it has
// open.
func (s *Session) refusalLocked(id uint32, bad *StreamError) (refused *StreamError, violation bool) {
	limit := s.conf.MaxConcurrentStreams
	switch {
	case bad != nil:
		return bad, bad.Status != RstFrameTooLarge // no frame announces our limit
	case s.peerStreams >= limit: // SPEC S6
		return streamErrorf(id, RstRefusedStream, "more than %d streams", limit), s.peerOpen >= limit
	case s.crowdedLocked(): // which the peer cannot know
		return streamErrorf(id, RstRefusedStream, "what streams have left unread takes up the session's window"), false
	case s.refusingLocked():
		return streamErrorf(id, RstRefusedStream, "the session is going away"), false
	case s.floods.wasted >= s.conf.ResetBurst:
		return streamErrorf(id, RstRefusedStream, "%d handlers run for cancelled streams", s.floods.wasted), false
	case s.floods.overLocked():
		return streamErrorf(id, RstRefusedStream, "the peer has broken too many rules"), true
	}
	return nil, false
}

// receiveHeaderBlock takes a SYN_REPLY or HEADERS frame to its stream.
func (s *Session) receiveHeaderBlock(h frameHeader, p []byte) error {
	id, block, err := parseReply(s.version, h, p)
	if err != nil {
		s.traceReceived(h, p, nil, nil)
		return err
	}
	header, err := s.readBlock(id, block, s.conf.MaxHeaderBytes)
	s.traceReceived(h, p, header, err)
	spoilt, err := onlyStream(err)
	if err != nil {
		return err
	}
	fin := h.flags&FlagFin != 0
	s.mu.Lock()
	s.answeredLocked(id)
	st := s.streams[id]
	if st == nil {
		status := s.unknownLocked(id, false)
		s.mu.Unlock()
		if status != 0 {
			s.replyReset(id, status, true)
		}
		if s.floods.expected() {
			return nil
		}
		return s.idleBlock(len(block))
	}
	status, reason := s.takeBlockLocked(st, h, header, spoilt)
	interim := st.state.interim
	bare := fin && status == 0 && h.typ == FrameSynReply
	if bare { // at once: who has the answer finds the stream gone
		s.finishInLocked(st)
	}
	s.mu.Unlock()
	if status != 0 && s.forgives(st, h, status) {
		s.stray(0)
		return nil
	}
	if status != 0 {
		if reason == "" {
			reason = "unexpected " + h.typ.String()
		}
		s.resetStream(st, status, reason)
		return nil
	}
	if h.typ == FrameHeaders && st.raw == nil {
		s.app.headers(st)
	}
	switch {
	case bare:
		s.endIfDrained()
	case fin:
		s.finishIn(st)
	case h.typ == FrameHeaders && (len(header) == 0 || interim):
		return s.idle(1)
	}
	return nil
}

// takeBlockLocked gives a header block to its stream, or returns the status to reset
// the stream with and why, "" if the frame was unexpected. spoilt is not nil if the block
// was bad.
func (s *Session) takeBlockLocked(st *Stream, h frameHeader, header HeaderBlock, spoilt *StreamError) (status RstStatus, reason string) {
	fin := h.flags&FlagFin != 0
	switch {
	case spoilt != nil:
		status, reason = spoilt.Status, spoilt.Error()
	case h.typ == FrameSynReply:
		s.unmuteLocked(st)
		if status = st.state.receiveReply(fin); status == 0 {
			status, reason = st.replyLocked(header, fin)
		}
	case st.state.interim:
		if status = st.state.receiveHeaders(fin); status == 0 {
			status, reason = st.replyLocked(header, fin)
		}
	default:
		status = st.state.receiveHeaders(fin)
		ignore := s.version == SPDY2 && s.client && st.state.gotData && st.raw == nil // SPEC R12
		if status == 0 && !ignore && !st.addLateLocked(header, s.sideHeaderLimit()) {
			status, reason = RstProtocolError, "repeated or too many late headers" // SPEC R11
		}
	}
	return status, reason
}

// addLateLocked keeps the pairs of a HEADERS frame. It reports false if a name
// comes again, on a push also one of the SYN_STREAM, or if they grow beyond limit
// bytes.
func (st *Stream) addLateLocked(h HeaderBlock, limit int) bool {
	if st.raw != nil {
		return st.raw.addLateLocked(h, limit)
	}
	for i := range h {
		_, dup := st.late.Get(h[i].Name)
		if !dup && st.oneWay { // SPEC U10
			_, dup = st.reply.Get(h[i].Name)
		}
		if dup {
			return false
		}
		st.lateBytes += len(h[i].Name) + len(h[i].Value) + 32
	}
	if st.lateBytes > limit {
		return false
	}
	st.late = append(st.late, h...)
	return true
}
