package spdy

import (
	"io"
	"net"
	"runtime"
)

// maxDataFrame is the maximum payload of a DATA frame while several streams have bytes to send:
// small enough to interleave them well (SPEC D11).
const maxDataFrame = 16 << 10

// sender writes to the network: control frames first, then header blocks in the order in which
// streams were opened and answered, then DATA by priority. New frames collect during a write, and a
// woken sender first lets other goroutines add theirs, see gather; there is no other batching. An
// idle sender waits for the doorbell or for the end of the session. sender returns when the session
// has ended and the last bytes are written, and closes the connection, which ends the receiver.
func (s *Session) sender() {
	defer close(s.end.senderEnd)
	var others gather
	look := func() (bell chan struct{}) {
		others.wait()
		if s.writeBatch() {
			s.allWritten()
			return s.wake
		}
		return nil
	}
	w := wait{end: s.end.done}
	w.until(look(), look)
	s.hangUp()
}

// writeBatch writes until nothing is left to write. It returns false once the session has ended.
func (s *Session) writeBatch() bool {
	buf, size := s.ledger.borrowBatch()
	defer s.ledger.returnBatch(buf, size)
	for {
		b, ended := s.assemble((*buf)[:0], size)
		s.tellHooks()
		if len(b) == 0 && s.parcel == nil {
			return !ended
		}
		var err error
		if len(b) > 0 {
			*buf = b // b may have grown
			s.traceBatch(b)
			err = s.writeOut(b)
		}
		if err == nil {
			err = s.writeParcelFrame()
		}
		if err != nil {
			s.writeFailed(err)
			return false
		}
		if s.deserted {
			s.yield()
		}
	}
}

// isFull reports whether a batch of about size bytes has no more room for a frame.
func isFull(b []byte, size int) bool { return len(b) >= size-frameHeaderSize }

// yield yields the processor to the writers of streams.
func (s *Session) yield() {
	s.mu.Lock()
	s.writing = false
	s.mu.Unlock()
	runtime.Gosched()
}

// writeOut writes a batch to the network.
func (s *Session) writeOut(b []byte) error {
	if s.alive != nil {
		return s.alive.writeOut(b)
	}
	return s.writeConn(b)
}

// writeConn writes b to the connection and counts the bytes.
func (s *Session) writeConn(b []byte) error {
	n, err := writeWhole(s.conn, b)
	s.stats.bytesSent.Add(int64(n))
	return err
}

// writeWhole is conn.Write for any net.Conn. If the connection accepts fewer bytes and returns no
// error, writeWhole returns io.ErrShortWrite: without the missing bytes the peer would take the
// frames that follow for the rest of a body.
func writeWhole(conn net.Conn, b []byte) (n int, err error) {
	n, err = conn.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite
	}
	return n, err
}

// assemble appends the next frames to b, about size bytes. Header blocks are compressed only here, so that the order
// of compression is the order on the wire (SPEC H13). The lock is not held during compression.
func (s *Session) assemble(b []byte, size int) (batch []byte, ended bool) {
	s.mu.Lock()
	s.headers.flush.wroteLocked(s.batch)
	if s.end.lost {
		s.mu.Unlock()
		return b, true
	}
	if s.silencedLocked() {
		ended, s.writing = s.end.err != nil, false
		s.mu.Unlock()
		return b, ended
	}
	if s.halfClosedLocked() {
		s.control = s.control[:0]
	}
	s.end.receipt.unwritten = false
	b = append(b, s.control...)
	s.stats.noteControlLocked(s.control)
	s.control, s.floods.replies = s.control[:0], 0
	s.batch++
	s.sched.beginBatch(s.batch)
	s.alive.takenLocked()
	if cap(s.control) > defaultMaxOwedReplies {
		s.control = nil
	}
	sent := s.stats.dataSent
	for before := -1; len(b) > before && !isFull(b, size) && s.parcel == nil; {
		before = len(b)
		b = s.appendHeadersLocked(b, size)
		b = s.appendBodiesLocked(b, size)
	}
	if sent = s.stats.dataSent - sent; 0 < sent && sent < leastMatch {
		s.turn.matched(leastMatch-sent, s.batch)
	}
	drained := len(b) == 0 && s.parcel == nil && s.drainedLocked()
	s.deserted = s.headers.empty() && s.sched.deserted()
	if s.writing = len(b) > 0 || s.parcel != nil; !s.writing {
		s.headers.flush.wroteLocked(s.batch)
	}
	ended = s.end.err != nil && len(s.control) == 0 // a failure in the meantime may have queued a GOAWAY
	s.mu.Unlock()
	if drained {
		s.endDrained()
		return s.assemble(b, size)
	}
	return b, ended
}

// queueHeadersLocked queues a header block. DATA of the same stream waits for the block.
func (s *Session) queueHeadersLocked(job headerJob) {
	s.headers.push(job)
	s.placeLocked(job)
}

// placeLocked reschedules the streams of a job that was queued or has left the queue.
func (s *Session) placeLocked(job headerJob) {
	if !job.st.ended {
		s.sched.place(job.st)
	}
	if job.parent != nil && !job.parent.ended {
		s.sched.place(job.parent)
	}
}

// appendHeadersLocked appends header blocks until DATA is due. A FIN without bytes does not wait
// for header blocks, since its stream has nothing else to send. The lock is released during
// compression.
func (s *Session) appendHeadersLocked(b []byte, most int) []byte {
	for !s.headers.empty() && !isFull(b, most) {
		if st := s.sched.fins.head; st != nil {
			b = s.appendDataLocked(b, st, most+frameHeaderSize-len(b))
			continue
		}
		waiting, size := s.sched.busy() && s.flow.out.avail > 0, s.headers.size()
		if s.turn.yields(size) && (waiting || len(b) > 0 && s.turn.busy(s.batch)) {
			break // a writer whose bytes have just been copied queues more by the next batch
		}
		job := s.headers.pop()
		s.startLocked(job)
		s.placeLocked(job)
		s.mu.Unlock()
		start := len(b)
		b = s.appendHeaderFrame(b, job)
		s.mu.Lock()
		s.turn.sent(size, len(b)-start, waiting || s.turn.busy(s.batch))
	}
	return b
}

// appendBodiesLocked appends DATA until a header block is due.
func (s *Session) appendBodiesLocked(b []byte, most int) []byte {
	for !isFull(b, most) && s.parcel == nil {
		if !s.headers.empty() && !s.turn.yields(s.headers.size()) {
			break
		}
		st := s.sched.pick(s.flow.out.avail > 0)
		if st == nil || s.sched.ends(st) {
			break
		}
		sent := s.stats.dataSent
		b = s.appendDataLocked(b, st, most+frameHeaderSize-len(b))
		s.turn.matched(s.stats.dataSent-sent, s.batch)
	}
	return b
}

// startLocked records that a header frame is being sent: from now on a SYN_STREAM can only be
// cancelled with RST_STREAM, and a FIN closes our half.
func (s *Session) startLocked(job headerJob) {
	st := job.st
	s.stats.sent[job.typ]++
	if job.typ == FrameSynStream {
		st.onWire = true
	}
	if st.flushing {
		ringBell(st.taken)
	}
	if job.flags&FlagFin == 0 {
		return
	}
	if job.typ != FrameSynStream || st.oneWay { // otherwise the response is the receipt
		s.end.receipt.sent()
	}
	s.finishOutLocked(st)
}

// finishOutLocked closes our half of a stream whose FIN is being sent. If the peer is still sending
// a body without a reader, RST_STREAM stops it; the reset must not overtake the FIN (SPEC M13).
func (s *Session) finishOutLocked(st *Stream) {
	st.finQueued = false
	st.state.finOut()
	s.sched.place(st)
	s.retireLocked(st)
	if st.cancelRest && !st.ended {
		s.cancelRestLocked(st)
	}
	st.limitRequestLocked()
}

// cancelRestLocked resets a stream whose response is complete while the peer is still sending a
// request body without a reader.
func (s *Session) cancelRestLocked(st *Stream) {
	s.queueResetLocked(st.id, RstCancel, !st.ofBytesLocked()) // we close a stream of bytes by our own choice
	s.end.receipt.reset(st)
	s.floods.expect()
	st.wasReset = st.state.ours
	if st.tunnel || st.raw != nil && st.raw.closed.Load() {
		s.endLocked(st, ErrStreamClosed, dropUnread)
		return
	}
	s.endLocked(st, &StreamError{StreamID: st.id, Status: RstCancel, Reason: "the rest is not wanted"}, dropUnread)
}

// appendHeaderFrame compresses one header block into its frame. The block fits, see
// largestSentBlock: compression cannot be undone (SPEC H15).
func (s *Session) appendHeaderFrame(b []byte, job headerJob) []byte {
	start := len(b)
	switch job.typ {
	case FrameSynStream:
		b = appendSynStreamHeader(b, s.version, synStream{
			id: job.st.id, assoc: job.st.assoc, priority: job.st.priority >> priorityScale(s.version), flags: job.flags,
		})
	case FrameSynReply:
		b = appendSynReplyHeader(b, s.version, job.st.id, job.flags)
	default:
		b = appendHeadersHeader(b, s.version, job.st.id, job.flags)
	}
	if s.deflate == nil {
		s.deflate = newHeaderCompressor(s.version, s.conf.Compression)
	}
	s.keepSentBlock(start, *job.block)
	fixed := len(b)
	b = s.deflate.appendBlock(b, *job.block)
	s.stats.headersSent.Add(int64(len(*job.block)))
	s.stats.deflatedSent.Add(int64(len(b) - fixed))
	putBlock(job.block)
	setFrameLength(b[start:])
	return b
}

// appendDataLocked appends one DATA frame from a stream's loan, within both windows (SPEC W3), and
// sets FIN if the loan is the rest of the stream.
func (s *Session) appendDataLocked(b []byte, st *Stream, room int) []byte {
	n := len(st.loan)
	if n > 0 {
		// A short response is not split at the end of a batch, so that a single Read returns all of
		// it; batches have room.
		n = min(n, s.sched.frameLimit(st), max(room-frameHeaderSize, wholeFrame))
		n = int(min(int64(n), st.out.avail, s.flow.out.avail))
		if n < dribble && n < len(st.loan) {
			s.floods.dribbled++
		}
	}
	var flags frameFlags
	last := n == len(st.loan)
	if last && st.finQueued {
		flags = FlagFin
	}
	if !s.packLocked(st, flags, n) {
		b = appendDataHeader(b, st.id, flags, n)
		b = append(b, st.loan[:n]...)
	}
	st.loan = st.loan[n:]
	st.out.spend(int64(n))
	st.moves = true
	s.flow.spend(int64(n))
	if last && !st.finQueued && !st.closing {
		s.sched.noteEmptied(st, n)
	}
	s.sched.spend(st, n)
	s.askLocked()
	s.stats.sent[FrameData]++
	s.stats.dataSent += int64(n)
	if last {
		st.returnLoanLocked()
		st.queueLastLocked()
	}
	switch {
	case flags&FlagFin != 0:
		s.end.receipt.sent()
		s.finishOutLocked(st)
	case last && st.closing && !st.finHeaders:
		s.cancelRestLocked(st) // Close kept part of the written bytes
	default:
		s.sched.place(st)
	}
	return b
}
