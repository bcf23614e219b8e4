package spdy

import (
	"math"
	"slices"
)

// receiver reads frames and delivers their contents to the streams. It blocks only on the network:
// bytes are stored in northbound buffers bounded by the peer's window, and all other destinations
// are doorbells, latches or queues that refuse when full. receiver ends when reading fails, at the
// latest when the sender closes the connection.
func (s *Session) receiver() {
	defer close(s.end.receiveEnd)
	defer s.in.close()
	begun, met := s.meet(), false
	for {
		err := begun
		if err == nil {
			err = s.receiveFrame()
		}
		s.tellHooks()
		s.alive.frameDone()
		if err == nil && !met {
			met = true
			s.meets()
		}
		if err == nil {
			continue
		}
		s.fail(s.explainEnd(err))
		s.ring()
		break
	}
	// Between our last frame and the peer's last, the peer's bytes are discarded.
	for {
		if _, err := s.in.some(readBufferSize); err != nil {
			return
		}
	}
}

// receiveFrame reads one frame and acts on it. An error ends the session.
func (s *Session) receiveFrame() error {
	h, err := s.in.header()
	if err != nil {
		return err
	}
	if s.ended() { // SPEC G10
		return s.in.skip(h.length)
	}
	if s.silent || s.hushed() {
		s.heard()
	}
	if s.in.doubted.Load() {
		s.trust()
	}
	if s.secure && s.tls == nil {
		s.tls = connectionState(s.conn)
	}
	if !h.control {
		s.alive.bodyBegun()
		s.traceReceived(h, nil, nil, nil)
		return s.receiveData(h)
	}
	if h.length > len(s.in.buf) {
		s.alive.frameBegun()
	}
	s.stats.noteReceived(h.typ, s.version, h.version == s.version.wire())
	if s.in.dialect == 0 || h.version == s.version.wire() {
		s.in.dialect = uint8(min(h.version, math.MaxUint8))
	}
	if h.version != s.version.wire() {
		return s.receiveForeign(h)
	}
	if !s.knowsControl(h.typ) { // SPEC F4, F5, F15, C4, W20
		s.traceReceived(h, nil, nil, nil)
		return s.skipIdle(h.length)
	}
	if limit := s.controlLimit(h.typ); h.length > limit {
		return sessionErrorf(GoAwayProtocolError, "%v with a payload of %d bytes, the limit is %d", h.typ, h.length, limit)
	}
	p, err := s.in.exactly(h.length)
	if err != nil {
		return err
	}
	if !h.typ.hasHeaderBlock() { // frames with headers are traced when the headers are decoded
		s.traceReceived(h, p, nil, nil)
	}
	return s.receiveControl(h, p)
}

// flagDataCompressed announced per-stream compression of DATA in a draft that was withdrawn; the
// bytes would be unreadable.
const flagDataCompressed = 0x02

// knowsControl reports whether the session handles control frames of this type.
func (s *Session) knowsControl(t FrameType) bool {
	switch t {
	case FrameSynStream, FrameSynReply, FrameRstStream, FrameSettings,
		FramePing, FrameGoAway, FrameHeaders:
		return true
	case FrameWindowUpdate:
		return s.version.streamFlowControl()
	case FrameNoop:
		return s.version == SPDY2
	}
	return false
}

// receiveControl dispatches a control frame of our version.
func (s *Session) receiveControl(h frameHeader, p []byte) error {
	switch h.typ {
	case FrameSynStream:
		return s.receiveSynStream(h, p)
	case FrameSynReply:
		return s.receiveHeaderBlock(h, p)
	case FrameHeaders:
		return s.receiveHeaderBlock(h, p)
	case FrameRstStream:
		return s.receiveRstStream(h, p)
	case FrameSettings:
		return s.receiveSettings(h, p)
	case FramePing:
		return s.receivePing(h, p)
	case FrameGoAway:
		return s.receiveGoAway(h, p)
	case FrameNoop:
		if err := parseNoop(h, p); err != nil {
			return err
		}
		return s.idle(1)
	default:
		return s.receiveWindowUpdate(h, p)
	}
}

// receiveForeign handles a control frame of another version (SPEC F6, F7): it skips the frame,
// unless the frame carried a header block. We cannot read such a block, and without it the
// compression context is lost.
func (s *Session) receiveForeign(h frameHeader) error {
	s.traceReceived(h, nil, nil, nil)
	switch h.typ {
	case FrameSynStream:
		p, err := s.in.exactly(min(h.length, 4))
		if err != nil {
			return err
		}
		if len(p) == 4 {
			id := (uint32(p[0])<<24 | uint32(p[1])<<16 | uint32(p[2])<<8 | uint32(p[3])) & (1<<31 - 1)
			s.replyReset(id, RstUnsupportedVersion, true)
		}
		fallthrough
	case FrameSynReply, FrameHeaders:
		return sessionErrorf(GoAwayProtocolError, "%v of SPDY version %d in a session of %v", h.typ, h.version, s.version)
	}
	return s.skipIdle(h.length)
}

// skipIdle discards the payload of an unknown frame.
func (s *Session) skipIdle(n int) error {
	if err := s.idle(1); err != nil {
		return err
	}
	return s.in.skip(n)
}

// receiveData delivers the bytes of a DATA frame to the stream as they arrive. Whatever the verdict
// on the frame, the bytes are charged to the session and credited again when discarded (SPEC D10,
// W14).
func (s *Session) receiveData(h frameHeader) error {
	if h.streamID == 0 { // SPEC F12
		return sessionErrorf(GoAwayProtocolError, "DATA on stream 0")
	}
	n := int64(h.length)
	s.mu.Lock()
	if !s.chargeLocked(n) { // SPEC W13
		s.mu.Unlock()
		return sessionErrorf(GoAwayProtocolError, "DATA of %d bytes overruns the session window", n)
	}
	s.stats.dataFrames++
	s.stats.dataReceived += n
	s.shed.watchLocked(s)
	fits := s.ledger.chargeUnreadLocked()
	st, status := s.dataStreamLocked(h)
	if st != nil && st.raw != nil {
		s.noteOverrunLocked(st.raw, n)
	}
	s.mu.Unlock()
	if !fits {
		s.giveUpUnread()
	}
	switch {
	case st == nil:
		return s.receiveStray(h, status)
	case status != 0:
		return s.receiveUnexpected(st, h, status)
	}
	ok, wanted := st.in.admit(n)
	if !ok && s.unaware != nil {
		ok, wanted = true, st.in.admitAll(n)
	}
	switch {
	case !ok: // SPEC W12
		s.resetStream(st, RstFlowControlError, "DATA overruns the stream window")
		return s.discardData(h.length)
	case n == 0 && h.flags&FlagFin == 0: // SPEC F13
		return s.idleEmpty()
	case wanted:
		st.in.mark(h.length)
		st.watch()
		if err := s.deliver(st, h.length); err != nil {
			return err
		}
	default:
		if err := s.discardData(h.length); err != nil {
			return err
		}
		if h.flags&FlagFin == 0 && (st.in.exhausted() || !s.version.streamFlowControl() || s.blind()) {
			s.stopUnwanted(st)
		}
	}
	if h.flags&FlagFin != 0 {
		s.finishIn(st)
	}
	return nil
}

// receiveStray handles DATA whose stream is not open. status is the status of the RST_STREAM to
// send, 0 for none.
func (s *Session) receiveStray(h frameHeader, status RstStatus) error {
	switch {
	case status == RstInvalidStream && h.length > s.conf.StreamWindow: // no stream has such a window
		s.flow.owed.Add(int64(h.length))
		return sessionErrorf(GoAwayProtocolError, "DATA of %d bytes on stream %d, which was never opened", h.length, h.streamID)
	case status != 0:
		s.replyReset(h.streamID, status, true)
	default:
		s.stray(h.length)
	}
	return s.strayData(h)
}

// receiveUnexpected handles DATA not allowed in the stream's state.
func (s *Session) receiveUnexpected(st *Stream, h frameHeader, status RstStatus) error {
	switch {
	case s.forgives(st, h, status):
		s.stray(h.length)
		if h.length == 0 { // no program sends empty DATA after a FIN
			s.floods.idle.empty++
			return s.idle(1)
		}
		return s.strayData(h)
	case s.version == SPDY2 && !st.replyCame(): // SPEC D4
		s.flow.owed.Add(int64(h.length))
		return sessionErrorf(GoAwayProtocolError, "DATA on stream %d before its SYN_REPLY", st.id)
	}
	s.resetStream(st, status, "unexpected DATA")
	return s.discardData(h.length)
}

// replyCame reports whether the SYN_REPLY of a stream of ours has arrived. It is true for streams
// of the peer.
func (st *Stream) replyCame() bool {
	st.session.mu.Lock()
	defer st.session.mu.Unlock()
	return !st.state.ours || st.state.replied
}

// dataStreamLocked returns the stream of a DATA frame, or the status to answer the frame with. With
// neither, the frame is ignored.
func (s *Session) dataStreamLocked(h frameHeader) (*Stream, RstStatus) {
	st := s.streams[h.streamID]
	if st == nil {
		return nil, s.unknownLocked(h.streamID, true)
	}
	if h.flags&flagDataCompressed != 0 { // SPEC F11
		return st, RstProtocolError
	}
	return st, st.state.receiveData()
}

// unknownLocked returns the status to answer a frame whose stream is not open, or 0 to drop the
// frame. Frames of a stream reset or refused by this side are dropped, however many and however
// late: the peer may have sent them before receiving our RST_STREAM.
func (s *Session) unknownLocked(id uint32, data bool) RstStatus {
	neverOpened := s.neverOpenedLocked(id)
	switch {
	case s.end.saidGoAway && !s.isOurs(id): // SPEC D2, S13
		return 0
	case neverOpened && s.firstAnswerLocked(id): // SPEC D1, R4, R8, X3
		return RstInvalidStream
	case neverOpened || !data || s.version == SPDY2 || s.blind(): // SPEC R5, D8
		return 0
	case s.finished.remove(id): // SPEC D7
		return RstProtocolError
	}
	return 0
}

// neverOpenedLocked reports whether neither side has opened a stream with an id.
func (s *Session) neverOpenedLocked(id uint32) bool {
	if s.isOurs(id) {
		return id >= s.nextID
	}
	return id > s.lastPeerID
}

// firstAnswerLocked records that a frame of a never opened stream is answered, and reports false if
// the stream was already answered.
func (s *Session) firstAnswerLocked(id uint32) bool {
	if s.answered == nil {
		s.answered = new(idRing)
	}
	return s.answered.add(id)
}

// wholeFrame is the size up to which a DATA frame is delivered in one piece, so that a short answer
// can be read with one Read.
const wholeFrame = 4 << 10

// deliver moves n bytes from the network to a stream's northbound buffer.
func (s *Session) deliver(st *Stream, n int) error {
	if n == 0 { // a FIN needs no room
		return nil
	}
	if n <= wholeFrame {
		s.awaitRoom(n)
		p, err := s.in.exactly(n)
		if err != nil {
			s.flow.owed.Add(int64(n)) // these bytes will never arrive
			return err
		}
		s.credit(int64(st.in.append(p, s.ledger.chunks())))
		return nil
	}
	for n > 0 {
		s.awaitRoom(n)
		p, whole, err := s.in.piece(n)
		if err != nil {
			s.flow.owed.Add(int64(n)) // as above
			return err
		}
		if whole != nil {
			n -= whole.w - whole.r
			s.credit(int64(st.in.adopt(whole, s.ledger.chunks())))
			continue
		}
		n -= len(p)
		s.credit(int64(st.in.append(p, s.ledger.chunks())))
	}
	return nil
}

// discardData reads and discards n bytes and returns their credit.
func (s *Session) discardData(n int) error {
	if err := s.in.skip(n); err != nil {
		s.flow.owed.Add(int64(n)) // these bytes will never arrive
		return err
	}
	s.credit(int64(n))
	return nil
}

// strayData is discardData for a frame whose stream is not open. A peer that has not received our
// RST_STREAM yet sends such frames, so only empty frames are charged; one FIN of each stream reset
// by us is not charged.
func (s *Session) strayData(h frameHeader) (err error) {
	fin := h.flags&FlagFin != 0
	if h.length == 0 && !(fin && s.floods.expected()) {
		err = s.idleEmpty()
	}
	if discarded := s.discardData(h.length); err == nil {
		err = discarded
	}
	return err
}

// stopUnwanted resets a stream whose peer has used up the window for unwanted bytes: at once if our
// half is closed, else when it closes.
func (s *Session) stopUnwanted(st *Stream) {
	s.mu.Lock()
	switch {
	case st.ended || !st.unwanted:
	case st.state.outDone:
		s.cancelRestLocked(st)
	default:
		st.cancelRest = true
	}
	s.mu.Unlock()
	s.ring()
	s.endIfDrained()
}

// finishIn closes the peer's half of a stream after the last byte.
func (s *Session) finishIn(st *Stream) {
	s.mu.Lock()
	s.finishInLocked(st)
	s.mu.Unlock()
	s.endIfDrained()
}

// finishInLocked ends the buffer and retires the stream under one lock, so that a reader at the end
// finds the stream gone.
func (s *Session) finishInLocked(st *Stream) {
	st.in.finish(endOfStream, false)
	if st.raw != nil {
		st.raw.ringLateLocked()
	}
	st.state.finIn()
	s.retireLocked(st)
}

// replyReset answers a frame for a stream that is not open. charge is true if the peer broke a
// rule.
func (s *Session) replyReset(id uint32, status RstStatus, charge bool) {
	s.mu.Lock()
	if s.end.err == nil {
		s.queueResetLocked(id, status, true)
		s.finished.remove(id)
		if charge {
			s.floods.violationLocked()
		}
	}
	flooded := s.floodedLocked()
	s.mu.Unlock()
	if flooded != nil {
		s.fail(flooded)
	}
	s.ring()
}

// queueResetLocked queues a RST_STREAM. owed is true if the peer caused the reset.
func (s *Session) queueResetLocked(id uint32, status RstStatus, owed bool) {
	before := len(s.control)
	s.control = appendRstStream(s.control, s.version, id, status.forVersion(s.version))
	if owed {
		s.oweLocked(before)
	}
}

// isOurs reports whether streams with this id are opened by this side.
func (s *Session) isOurs(id uint32) bool { return (id&1 == 1) == s.client }

// An idRing stores the latest stream ids added. Guarded by Session.mu.
type idRing struct {
	ids  [32]uint32
	next uint32
}

// add adds an id. It reports false if the ring already contains the id.
func (r *idRing) add(id uint32) bool {
	if slices.Contains(r.ids[:], id) {
		return false
	}
	r.ids[r.next%uint32(len(r.ids))] = id
	r.next++
	return true
}

// remove removes an id, and reports false if the ring does not contain it.
func (r *idRing) remove(id uint32) bool {
	i := slices.Index(r.ids[:], id)
	if i < 0 {
		return false
	}
	r.ids[i] = 0
	return true
}
