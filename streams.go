package spdy

import (
	"context"
	"slices"
	"time"
)

// open opens a new stream with a header block that came from blockPool and goes
// back to it. It waits, in turn and as long as the context allows, while the
// peer's MAX_CONCURRENT_STREAMS is used up (SPEC S7).
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

// enterLocked gives a stream, which has a slot, its id and queues its SYN_STREAM.
func (s *Session) enterLocked(st *Stream, block *[]byte, flags frameFlags) {
	s.enterPushLocked(nil, st, block, flags)
}

// enterPushLocked is enterLocked for a push that accompanies parent, nil for none.
func (s *Session) enterPushLocked(parent, st *Stream, block *[]byte, flags frameFlags) {
	st.id, st.held = s.nextID, true
	st.out.avail = s.flow.peerWindow
	s.nextID += 2
	st.openedAt = sinceEpoch()
	s.stats.opened++
	st.state.opened(true, flags&^FlagFin) // FIN counts when it is sent
	st.finHeaders = flags&FlagFin != 0
	s.enterUnawareLocked(st)
	if st.state.inDone {
		st.in.finish(endOfStream, false)
	}
	s.streams[st.id] = st
	s.flow.ringRoom() // another stream is not alone any more, see shed
	s.noteLocked(st, streamOpened, nil)
	s.probeLocked()
	s.queueHeadersLocked(headerJob{st: st, typ: FrameSynStream, flags: flags, block: block, parent: parent})
}

// newLocalStream makes a stream that this side will open.
func (s *Session) newLocalStream(priority uint8) *Stream {
	st := newStream(s, priority)
	st.replied = make(chan struct{})
	return st
}

// openErrLocked is why no stream can be opened, or nil.
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
	verdict chan error // capacity 1, posted once when it leaves the queue
}

// An openerQueue keeps openers in the order in which they came. Guarded by
// Session.mu.
type openerQueue []*opener

func (q *openerQueue) pop() *opener {
	o := (*q)[0]
	(*q)[0] = nil
	*q = (*q)[1:]
	return o
}

// remove takes an opener out that gave up; false if it has its verdict already.
func (q *openerQueue) remove(o *opener) bool {
	i := slices.Index(*q, o)
	if i < 0 {
		return false
	}
	*q = slices.Delete(*q, i, i+1)
	return true
}

// failLocked turns everybody away because the session takes no new streams.
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

// takeSlot waits for one of the streams that the peer allows us.
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
	s.flow.ringRoom() // this stream would not be alone any more, see shed

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
	if refused, _ := awaitVerdict(o.verdict, nil, nil); refused == nil { // the slot came as we gave up
		s.mu.Lock()
		s.freeSlotLocked()
		s.mu.Unlock()
	}
	return err
}

// limitLocked is the number of streams that we may have open: as many as the peer allows,
// and as many as the session window covers besides the bytes that ended streams have left
// unread and the windows that have been lent to the pool.
func (s *Session) limitLocked() int { return s.limitBesideLocked(s.heldLocked(s.flow.keptOurs)) }

// limitBesideLocked is limitLocked if such bytes held that many slots.
func (s *Session) limitBesideLocked(held int) int {
	limit := int(min(s.peerLimit, maxStreamID))
	if !s.version.streamFlowControl() || s.unaware != nil {
		return limit
	}
	return min(limit, s.conf.grants.opens-held-s.lentSlotsLocked())
}

// freeSlotLocked gives back a slot for a stream of ours.
func (s *Session) freeSlotLocked() {
	s.ourStreams--
	s.admitOpenersLocked()
}

// admitOpenersLocked lets openers in while there is room for them.
func (s *Session) admitOpenersLocked() {
	for len(s.openers) > 0 && s.ourStreams < s.limitLocked() {
		s.ourStreams++
		s.openers.pop().decide(nil)
	}
	s.pooled.admitLocked()
}

// release is how the application says that it is done with a stream that the
// peer opened. Only then, and when the stream has ended too, is its slot free: a
// peer that opens and resets streams cannot start more handlers than the limit.
func (st *Stream) release() {
	s := st.session
	s.mu.Lock()
	st.released = true
	st.freeLocked()
	st.returnHeadersLocked()
	s.mu.Unlock()
	s.endIfDrained()
}

// freeLocked gives the slot of an ended stream back.
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

// retireLocked forgets a stream once both halves are closed. What it has
// received stays readable.
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

// cutUploadLocked resets a stream whose answer has arrived to its end, and whose request will
// not be completed.
func (s *Session) cutUploadLocked(st *Stream) {
	s.queueResetLocked(st.id, st.unfinished.Status, false)
	s.floods.expect()
	st.wasReset = true
	s.endLocked(st, st.unfinished, keepUnread)
	s.ringLocked()
}

// endLocked ends a stream that did not come to its end: reset by either side, or
// lost with its session. Its queued output is dropped (SPEC X1).
func (s *Session) endLocked(st *Stream, reason error, drop bool) {
	if st.ended {
		return
	}
	s.headers.drop(st)
	if parent := s.streams[st.assoc]; parent != nil && st.state.ours {
		s.sched.place(parent) // which may have waited for this push
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
	st.readDeadline.Load().stop() // nothing waits on an ended stream
	st.writeDeadline.Load().stop()
}

// unlinkPushLocked has a push that has ended forgotten by the stream that it accompanies, and
// a stream forget its pushes, which outlive it.
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

// resetStream ends a stream because the peer broke a rule.
func (s *Session) resetStream(st *Stream, status RstStatus, reason string) {
	e := streamErrorf(st.id, status, "%s", reason)
	s.log.streamError(s, e)
	s.violation()
	s.abortStream(st, e)
}

// spoilStream ends a stream because of what is in a header block of the peer's, or because
// of a limit that no frame announces. A peer that carries the streams of strangers has no
// say in that, so it is not charged. A handler that runs counts as for a cancelled stream.
func (s *Session) spoilStream(st *Stream, e *StreamError) {
	s.log.streamError(s, e)
	s.mu.Lock()
	s.wasteLocked(st)
	s.mu.Unlock()
	s.abortStream(st, e)
}

// abortStream ends a stream with a RST_STREAM, and frees what is unread if the peer has not
// finished. A stream whose SYN_STREAM has not left yet just disappears.
func (s *Session) abortStream(st *Stream, e *StreamError) { s.abort(st, e, dropUnread) }

// abort is abortStream with a choice of what becomes of unread bytes.
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
