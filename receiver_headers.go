package spdy

import (
	"errors"
	"net/http"
	"strings"
)

// readBlock inflates and parses a header block. Every block is inflated, in wire order, whatever
// the state of its stream, because later blocks depend on it (SPEC H1). After a *SessionError the
// compression context is lost; any other error affects only this stream. limit is the largest
// allowed block in bytes.
func (s *Session) readBlock(id uint32, block []byte, limit int) (HeaderBlock, error) {
	buf := getBlock()
	defer putBlock(buf)
	nv, tooLarge, err := s.inflate.appendBlock(*buf, block, limit, s.conf.hardHeaderLimit())
	if cap(nv) <= maxPooledBlock {
		*buf = nv[:0]
	}
	s.stats.deflatedReceived.Add(int64(len(block)))
	s.stats.headersReceived.Add(int64(s.inflate.size))
	if err == nil {
		err = s.ledger.takeHistory(s.inflate.kept())
	}
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
	h, err := parsePairs(s.version, nv, s.conf.MaxHeaderFields, s.pairs())
	if err != nil {
		status := RstProtocolError
		var he *headerError
		if errors.As(err, &he) {
			status = he.status()
		}
		return nil, streamErrorf(id, status, "%s", strings.TrimPrefix(err.Error(), "spdy: "))
	}
	return h, nil
}

// onlyStream separates an error of readBlock that affects one stream from all others. It costs
// nothing if err is nil.
func onlyStream(err error) (spoilt *StreamError, other error) {
	if err == nil {
		return nil, nil
	}
	if e := (*StreamError)(nil); errors.As(err, &e) {
		return e, nil
	}
	return nil, err
}

// receiveSynStream opens a stream for the peer, or refuses it.
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
	cost := int64(0) // a refused block is not stored
	if refused == nil {
		cost = s.headerCost(header)
		refused = s.ledger.outgrows(f.id, cost)
	}
	answers, tooLarge := s.answersTooLarge(f, refused), refused
	if answers != nil {
		refused, cost = nil, 0
	}
	if s.crowded() {
		s.app.makeRoom()
	}
	s.relieve()
	st, err := s.admitStream(f, refused, len(block), cost)
	if err != nil || st == nil {
		return err
	}
	if answers != nil {
		answers.refuse(st, &requestError{http.StatusRequestHeaderFieldsTooLarge, tooLarge.Reason})
		return nil
	}
	refused = s.app.accept(st, header)
	s.payRaw()
	if refused != nil {
		if s.pushesInSpite() {
			s.resetStream(st, refused.Status, refused.Reason)
		} else {
			s.spoilStream(st, refused)
		}
		st.settleClaim()
		st.release()
	}
	return nil
}

// pushesInSpite reports whether any stream opened by the peer breaks a rule: the peer knows that we
// accept none.
func (s *Session) pushesInSpite() bool {
	if _, http := s.app.(*httpClientApp); !http || s.wantsPushes() {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.limitKnownLocked()
}

// admitStream checks a SYN_STREAM against the rules on ids and limits and adds the stream. It
// returns neither a stream nor an error if the stream was refused or is ignored. block is the
// compressed size of the header block, in bytes, and cost the memory needed to store the block.
func (s *Session) admitStream(f synStream, refused *StreamError, block int, cost int64) (*Stream, error) {
	s.mu.Lock()
	open := s.streams[f.id]
	switch {
	case s.end.err != nil: // the session has ended since the frame began
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
	case s.end.saidGoAway: // SPEC S13
		s.mu.Unlock()
		return nil, s.idleBlock(block)
	}
	s.lastPeerID = f.id
	refused, violation := s.refusalLocked(f.id, refused, cost)
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
	s.backLocked()
	s.stats.accepted++
	st := s.newPeerStream(f.priority << priorityScale(s.version))
	st.id, st.assoc, st.onWire, st.held = f.id, f.assoc, true, true
	st.oneWay, st.headerCharge = f.flags&FlagUnidirectional != 0, int32(cost)
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

// refusalLocked returns the error to refuse a new stream of the peer with, or nil, and whether the
// peer broke a rule by opening the stream. bad is the error of the header block; such an error is
// the fault of the user behind the stream, not of the peer. A peer without knowledge of our limit
// breaks no rule. The peer cannot know how long our handlers run, and counts the open streams: a
// stream within the limit by that count waits for a handler, see handlerQueue. If the stream is not
// refused, refusalLocked has charged cost, the memory of the headers.
func (s *Session) refusalLocked(id uint32, bad *StreamError, cost int64) (refused *StreamError, violation bool) {
	limit := s.conf.MaxConcurrentStreams
	switch {
	case bad != nil:
		return bad, false
	case s.peerOpen >= limit: // SPEC S6
		return streamErrorf(id, RstRefusedStream, "more than %d streams", limit), s.limitKnownLocked()
	case s.peerStreams >= limit && s.handlers == nil: // ended streams still hold slots
		return streamErrorf(id, RstRefusedStream, "more than %d streams", limit), false
	case s.crowdedLocked(): // the peer cannot know this
		return streamErrorf(id, RstRefusedStream, "what streams have left unread takes up the session's window"), false
	case s.refusingLocked():
		return streamErrorf(id, RstRefusedStream, "the session is going away"), false
	case s.floods.wasted >= s.conf.ResetBurst:
		return streamErrorf(id, RstRefusedStream, "%d handlers run for cancelled streams", s.floods.wasted), false
	case s.floods.overLocked():
		return streamErrorf(id, RstRefusedStream, "the peer has broken too many rules"), true
	}
	if full := s.ledger.opensLocked(cost); full != nil {
		return &StreamError{StreamID: id, Status: RstRefusedStream, Err: full}, false
	}
	return nil, false
}

// receiveHeaderBlock delivers a SYN_REPLY or HEADERS frame to the stream.
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
	if spoilt == nil && h.typ == FrameHeaders {
		spoilt = s.checkLate(id, header)
	}
	fin := h.flags&FlagFin != 0
	s.relieve()
	s.mu.Lock()
	s.answeredLocked(id)
	st := s.streams[id]
	s.shortenTripLocked(st)
	if st == nil {
		status := s.unknownLocked(id, false)
		late := h.typ == FrameHeaders && s.isRaw() && !s.neverOpenedLocked(id)
		s.mu.Unlock()
		return s.receiveStrayBlock(id, status, len(block), late)
	}
	bad, broken := s.takeBlockLocked(st, h, header, spoilt)
	idle := h.typ == FrameHeaders && s.idleLateLocked(st, header)
	bare := fin && bad == nil && h.typ == FrameSynReply
	if bare { // at once: the caller with the answer finds the stream gone
		s.finishInLocked(st)
	}
	s.mu.Unlock()
	s.payRaw()
	if bad != nil {
		return s.refuseBlock(st, h, bad, broken, len(block))
	}
	if h.typ == FrameHeaders && st.raw == nil {
		s.app.headers(st, header)
	}
	switch {
	case bare:
		s.endIfDrained()
	case fin:
		s.finishIn(st)
	case idle:
		return s.idle(1)
	}
	return nil
}

// receiveStrayBlock handles a header block whose stream is not open. status is the status of the
// RST_STREAM to send, 0 for none; n is the compressed size of the block, in bytes. late is true if
// the stream was a raw stream and has ended. Any number of late blocks may have been in flight, as
// with DATA, so they are charged only for what they cost us beyond their cost to the peer.
func (s *Session) receiveStrayBlock(id uint32, status RstStatus, n int, late bool) error {
	if status != 0 {
		s.replyReset(id, status, true)
	}
	switch {
	case s.floods.expected():
		return nil
	case late:
		return s.idle(s.inflateCost(n))
	}
	return s.idleBlock(n)
}

// refuseBlock resets a stream for an unacceptable header block. broken is true if the peer broke a
// rule by sending a block at all; n is the compressed size of the block, in bytes.
func (s *Session) refuseBlock(st *Stream, h frameHeader, bad *StreamError, broken bool, n int) error {
	switch {
	case s.forgives(st, h, bad.Status):
		s.stray(0)
		return s.idleBlock(n)
	case broken:
		s.resetStream(st, bad.Status, bad.Reason)
	default:
		s.spoilStream(st, bad)
	}
	return nil
}

// takeBlockLocked delivers a header block to the stream, or returns the reason for resetting the
// stream, and whether the peer broke a rule by sending a block at all. spoilt is not nil if the
// block was bad.
func (s *Session) takeBlockLocked(st *Stream, h frameHeader, header HeaderBlock, spoilt *StreamError) (bad *StreamError, broken bool) {
	if spoilt != nil {
		return spoilt, false
	}
	fin := h.flags&FlagFin != 0
	var status RstStatus
	if h.typ == FrameSynReply {
		s.unmuteLocked(st)
		status = st.state.receiveReply(fin)
	} else {
		status = st.state.receiveHeaders(fin)
	}
	switch {
	case status != 0:
		return streamErrorf(st.id, status, "unexpected %v", h.typ), true
	case h.typ == FrameSynReply || st.state.interim:
		return st.replyLocked(header, fin), false
	case st.raw != nil:
		return st.raw.addLateLocked(header), false
	}
	return st.addLateLocked(header), false
}

// ignoresLateLocked reports whether late headers of a stream are ignored: SPDY/2 has no trailers
// (SPEC R12).
func (s *Session) ignoresLateLocked(st *Stream) bool {
	return s.version == SPDY2 && s.client && st.state.gotData && st.raw == nil
}

// idleLateLocked reports whether a HEADERS frame has no effect. HEADERS of a raw stream are a
// message to the application, which receives even empty blocks: they are charged as stored data,
// see addLateLocked.
func (s *Session) idleLateLocked(st *Stream, h HeaderBlock) bool {
	return st.raw == nil && (len(h) == 0 || s.ignoresLateLocked(st))
}
