package spdy

import (
	"context"
	"slices"
	"time"
)

// open opens a new stream with a header block from blockPool, which is returned there. While the
// peer's MAX_CONCURRENT_STREAMS is used up, open waits in order, as long as the context allows
// (SPEC S7).
func (s *Session) open(ctx context.Context, st *Stream, block *[]byte, flags frameFlags) error {
	if !st.reserved {
		if err := s.takeSlot(ctx); err != nil {
			putBlock(block)
			return err
		}
	}
	st.reserved = false
	s.mu.Lock()
	err := s.openErrLocked()
	exhausted := err == nil && s.nextID > maxStreamID
	if exhausted { // SPEC S4
		err = goneAway(0)
	}
	if err != nil {
		s.freeSlotLocked()
		s.mu.Unlock()
		putBlock(block)
		if exhausted {
			s.goAway()
		}
		return err
	}
	s.enterLocked(st, block, flags)
	s.mu.Unlock()
	s.ring()
	return nil
}

// enterLocked assigns the id of a stream that has a slot, and queues the SYN_STREAM.
func (s *Session) enterLocked(st *Stream, block *[]byte, flags frameFlags) {
	s.enterPushLocked(nil, st, block, flags)
}

// enterPushLocked is enterLocked for a push that accompanies parent, which may be nil.
func (s *Session) enterPushLocked(parent, st *Stream, block *[]byte, flags frameFlags) {
	st.id, st.held = s.nextID, true
	st.out.avail = s.flow.peerWindow
	s.nextID += 2
	st.openedAt = sinceEpoch()
	s.stats.opened++
	st.state.opened(true, flags&^FlagFin) // FIN takes effect when it is sent
	st.finHeaders = flags&FlagFin != 0
	s.enterUnawareLocked(st)
	if st.state.inDone {
		st.in.finish(endOfStream, false)
	}
	s.streams[st.id] = st
	s.flow.ringRoom() // the other stream is no longer alone, see shed
	s.noteLocked(st, streamOpened, nil)
	s.probeLocked()
	s.queueHeadersLocked(headerJob{st: st, typ: FrameSynStream, flags: flags, block: block, parent: parent})
}

// newLocalStream returns a stream that this side will open.
func (s *Session) newLocalStream(priority uint8) *Stream {
	st := newStream(s, priority)
	st.replied = make(chan struct{})
	return st
}

// openErrLocked returns the reason why no stream can be opened, or nil.
func (s *Session) openErrLocked() error {
	switch {
	case s.end.err != nil:
		return s.end.err
	case s.end.writeErr != nil:
		return s.reasonLocked(nil)
	case s.end.saidGoAway || s.end.heardGoAway || s.refusingLocked(): // SPEC S14, G4
		return goneAway(0)
	}
	return nil
}

// An opener waits for its turn to open a stream.
type opener struct {
	verdict chan error // capacity 1, receives one value when the opener leaves the queue
}

// An openerQueue holds openers in order of arrival. Guarded by Session.mu.
type openerQueue []*opener

func (q *openerQueue) pop() *opener {
	o := (*q)[0]
	(*q)[0] = nil
	*q = (*q)[1:]
	return o
}

// remove removes an opener that stops waiting. It returns false if the opener already has a
// verdict.
func (q *openerQueue) remove(o *opener) bool {
	i := slices.Index(*q, o)
	if i < 0 {
		return false
	}
	*q = slices.Delete(*q, i, i+1)
	return true
}

// failLocked refuses all openers because the session accepts no new streams.
func (q *openerQueue) failLocked(why error) {
	for len(*q) > 0 {
		q.pop().decide(why)
	}
}

func (o *opener) decide(verdict error) {
	select {
	case o.verdict <- verdict:
	default:
	}
}

// takeSlot waits for a slot of the peer's stream limit.
func (s *Session) takeSlot(ctx context.Context) error {
	s.mu.Lock()
	if err := s.openErrLocked(); err != nil {
		s.mu.Unlock()
		return err
	}
	if len(s.openers) == 0 && s.ourStreams < s.limitLocked() {
		s.ourStreams++
		s.mu.Unlock()
		return nil
	}
	o := &opener{verdict: make(chan error, 1)}
	s.openers = append(s.openers, o)
	s.mu.Unlock()
	s.flow.ringRoom() // the other stream would no longer be alone, see shed

	err, decided := awaitVerdict(o.verdict, s.end.done, ctx.Done())
	if decided {
		return err
	}
	if err = causeOf(ctx); err == nil {
		err = s.Err()
	}
	s.mu.Lock()
	waiting := s.openers.remove(o)
	s.mu.Unlock()
	if waiting {
		return err
	}
	if refused, _ := awaitVerdict(o.verdict, nil, nil); refused == nil { // the slot was granted as we stopped waiting
		s.mu.Lock()
		s.freeSlotLocked()
		s.mu.Unlock()
	}
	return err
}

// limitLocked returns the number of streams that we may have open: the peer's limit, or fewer if
// the session window has no room for as many windows beside the unread bytes of ended streams and
// the windows lent to the pool.
func (s *Session) limitLocked() int { return s.limitBesideLocked(s.heldLocked(s.flow.keptOurs)) }

// limitBesideLocked is limitLocked for unread bytes of ended streams that occupy held slots.
func (s *Session) limitBesideLocked(held int) int {
	limit := int(min(s.peerLimit, maxStreamID))
	if !s.version.streamFlowControl() || s.unaware != nil {
		return limit
	}
	return min(limit, s.conf.grants.opens-held-s.lentSlotsLocked())
}

// freeSlotLocked frees a slot of our streams.
func (s *Session) freeSlotLocked() {
	s.ourStreams--
	s.admitOpenersLocked()
}

// admitOpenersLocked grants slots to openers while there are free slots.
func (s *Session) admitOpenersLocked() {
	for len(s.openers) > 0 && s.ourStreams < s.limitLocked() {
		s.ourStreams++
		s.openers.pop().decide(nil)
	}
	s.pooled.admitLocked()
}

// release is called when the application has finished with a stream that the peer opened. The slot
// is freed only when the stream has ended too: a peer that opens and resets streams cannot start
// more handlers than the limit.
func (st *Stream) release() {
	s := st.session
	s.mu.Lock()
	st.released = true
	st.freeLocked()
	st.returnHeadersLocked()
	s.mu.Unlock()
	s.endIfDrained()
}

// freeLocked frees the slot of an ended stream.
func (st *Stream) freeLocked() {
	if !st.held || !st.ended || (!st.state.ours && !st.released) {
		return
	}
	st.held = false
	st.session.settleKeptLocked(st)
	switch {
	case st.wasReset:
		st.session.freeResetSlotLocked(st)
	case st.state.ours:
		st.session.freeSlotLocked()
	default:
		st.session.peerStreams--
		st.session.handlers.forgetUnreadLocked(st)
		st.session.floods.cleanedUpLocked(st)
		st.session.ledger.giveLocked(heldBuffers, streamTakes)
	}
	st.session.alive.restLocked()
}

// retireLocked removes a stream once both halves are closed. Received bytes stay readable.
func (s *Session) retireLocked(st *Stream) {
	if st.ended {
		return
	}
	if st.unfinished != nil && st.state.inDone {
		s.cutUploadLocked(st)
		return
	}
	if !st.state.closed() {
		return
	}
	s.finished.add(st.id)
	s.finishLocked(st, ErrStreamClosed)
}

// cutUploadLocked resets a stream whose response has arrived completely, and whose request will not
// be completed.
func (s *Session) cutUploadLocked(st *Stream) {
	s.queueResetLocked(st.id, st.unfinished.Status, false)
	s.floods.expect()
	st.wasReset = true
	s.endLocked(st, st.unfinished, keepUnread)
	s.ringLocked()
}

// endLocked ends a stream early: reset by one of the sides, or lost with the session. Queued output
// is dropped (SPEC X1).
func (s *Session) endLocked(st *Stream, reason error, drop bool) {
	if st.ended {
		return
	}
	s.headers.drop(st)
	if parent := s.streams[st.assoc]; parent != nil && st.state.ours {
		s.sched.place(parent) // parent may have waited for this push
	}
	s.creditLocked(st.in.finish(st.readEnd(reason), drop))
	st.dropLastLocked()
	if st.owned != nil {
		st.loan = nil
		st.freeOwnedLocked()
	}
	s.finishLocked(st, reason)
}

func (s *Session) finishLocked(st *Stream, reason error) {
	st.ended, st.err = true, reason
	if st.held && !st.state.ours {
		s.peerOpen--
	}
	s.noteLocked(st, streamClosed, reason)
	s.endedLocked(st)
	s.sched.remove(st)
	s.leaveUnreadLocked(st)
	delete(s.streams, st.id)
	if len(s.streams) == 0 {
		s.end.rested, s.end.heard = time.Since(epoch), s.in.total.Load()
	}
	s.unlinkPushLocked(st)
	s.keepLocked(st)
	st.freeLocked()
	st.returnHeadersLocked()
	st.raw.endedLocked()
	close(st.done)
	st.readDeadline.Load().stop() // no call waits on an ended stream
	st.writeDeadline.Load().stop()
}

// unlinkPushLocked removes an ended push from the parent stream, and drops an ended parent's
// references to pushes, which may outlive the parent.
func (s *Session) unlinkPushLocked(st *Stream) {
	st.pushes = nil
	if st.assoc == 0 || !st.state.ours {
		return
	}
	if parent := s.streams[st.assoc]; parent != nil {
		if delete(parent.pushes, st); len(parent.pushes) == 0 {
			parent.pushes = nil
		}
	}
}

// resetStream resets a stream because the peer broke a rule.
func (s *Session) resetStream(st *Stream, status RstStatus, reason string) {
	e := streamErrorf(st.id, status, "%s", reason)
	s.log.streamError(s, e)
	s.violation()
	s.abortStream(st, e)
}

// spoilStream resets a stream because of the contents of a peer's header block, or because of a
// limit that no frame announces. A peer that multiplexes the streams of many users controls
// neither, so the peer is not charged. A running handler counts as for a cancelled stream.
func (s *Session) spoilStream(st *Stream, e *StreamError) {
	s.log.streamError(s, e)
	s.mu.Lock()
	s.wasteLocked(st)
	s.mu.Unlock()
	s.abortStream(st, e)
}

// abortStream ends a stream with a RST_STREAM, and frees unread bytes if the peer has not finished.
// A stream whose SYN_STREAM has not been sent is removed silently.
func (s *Session) abortStream(st *Stream, e *StreamError) { s.abort(st, e, dropUnread) }

// abort is abortStream with a choice for the unread bytes.
func (s *Session) abort(st *Stream, e *StreamError, drop bool) {
	s.mu.Lock()
	if st.ended {
		s.mu.Unlock()
		return
	}
	if st.onWire {
		s.queueResetLocked(st.id, e.Status, !st.state.ours)
		s.end.receipt.reset(st)
		s.floods.expect()
		st.wasReset = st.state.ours
	} else {
		s.doubtUnsentLocked(st)
	}
	s.pooled.givenUpLocked(st)
	s.endLocked(st, e, drop)
	flooded := s.floodedLocked()
	s.mu.Unlock()
	if flooded != nil {
		s.fail(flooded)
	}
	st.cancelContext(e)
	s.ring()
	s.endIfDrained()
}
