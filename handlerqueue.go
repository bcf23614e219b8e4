package spdy

import (
	"container/list"
	"time"
)

// A handlerQueue starts the handlers of a session that serves HTTP. At most limit handlers run at
// once, including handlers of cancelled streams, whose end the peer cannot see. So a peer may open
// a stream while all limit handlers are busy: by the peer's own count the stream is within the
// limit, and the stream's handler starts when another handler has returned. A stream that ends
// before leaves the queue. A push needs a free slot at once, or is not made. Guarded by Session.mu.
type handlerQueue struct {
	limit   int       // Config.MaxConcurrentStreams; immutable
	running int       // handler goroutines, including those of pushes
	pushing int       // handler goroutines of pushes
	waiting list.List // of *Stream whose handlers have not started; first in, first out
	unread  list.List // of *Stream that were reset with unread bytes while the handler runs; oldest first
}

// newHandlerQueue returns nil if the application has no handlers.
func newHandlerQueue(app application, limit int) *handlerQueue {
	if _, ok := app.(*httpServerApp); !ok {
		return nil
	}
	return &handlerQueue{limit: limit}
}

// beginsLocked acquires a slot for the handler of a stream. If no slot is free, beginsLocked
// returns false and queues the stream. patience, unless 0, is the time in the queue after which the
// stream is reset.
func (q *handlerQueue) beginsLocked(st *Stream, patience time.Duration) bool {
	if q.running < q.limit {
		q.running++
		st.session.ledger.bearLocked(heldHandlers, 1) // opensLocked has just checked for space
		return true
	}
	if patience > 0 {
		st.limitAnswer(time.Now().Add(patience))
	}
	st.waits = q.waiting.PushBack(st)
	return false
}

// beginsPushLocked acquires a slot for the handler of a push, and returns false if no slot is free.
// A push cannot wait for a slot: the handler that makes the push would wait too, and may itself
// hold the slot. Half of the slots are reserved for requests, so requests are served however long
// clients leave pushes unread.
func (q *handlerQueue) beginsPushLocked(l *ledger) bool {
	if q.running >= q.limit || q.pushing >= q.limit/2 {
		return false
	}
	if !l.takeLocked(heldHandlers, 1) {
		return false
	}
	q.running++
	q.pushing++
	return true
}

// waitingLocked returns the number of queued streams.
func (q *handlerQueue) waitingLocked() int {
	if q == nil {
		return 0
	}
	return q.waiting.Len()
}

// nextLocked passes the slot of a handler that has returned to the next stream, and returns the
// stream; nil if the queue is empty.
func (q *handlerQueue) nextLocked() *Stream {
	first := q.waiting.Front()
	if first == nil {
		q.running--
		return nil
	}
	st := q.waiting.Remove(first).(*Stream)
	st.waits = nil
	return st
}

// endedLocked handles the end of a stream. A queued stream leaves the queue: no handler will read
// the received bytes. If the stream was reset, the unread bytes are recorded. If the stream ended
// normally, the unread bytes are a request that was not cancelled: the reply to HEAD ends a stream
// while the handler still reads.
func (s *Session) endedLocked(st *Stream) {
	q := s.handlers
	switch {
	case q == nil || st.state.ours || st.released:
	case st.waits != nil:
		q.waiting.Remove(st.waits)
		st.waits, st.released = nil, true
		s.creditLocked(st.in.discard())
	case st.in.buffered() > 0 && !st.cameToEndLocked():
		st.keeps = q.unread.PushBack(st)
	}
}

// cameToEndLocked reports whether both sides have ended the stream and neither has reset the
// stream.
func (st *Stream) cameToEndLocked() bool { return st.ended && st.err == ErrStreamClosed }

// cameToEnd is cameToEndLocked for callers that do not hold Session.mu.
func (st *Stream) cameToEnd() bool {
	st.session.mu.Lock()
	defer st.session.mu.Unlock()
	return st.cameToEndLocked()
}

// forgetUnreadLocked removes the record of the unread bytes of a stream whose handler has returned.
func (q *handlerQueue) forgetUnreadLocked(st *Stream) {
	if st.keeps != nil {
		q.unread.Remove(st.keeps)
		st.keeps = nil
	}
}

// backLocked frees the unread bytes of cancelled streams, oldest first, to make space for the
// windows of streams that the peer has opened since. SessionWindow covers the windows of limit
// streams.
func (s *Session) backLocked() {
	q := s.handlers
	for q != nil && q.unread.Len() > 0 && s.peerOpen+q.unread.Len() > q.limit {
		st := q.unread.Front().Value.(*Stream)
		q.forgetUnreadLocked(st)
		s.creditLocked(st.in.spoil(&TruncatedError{Err: st.err}))
		s.settleKeptLocked(st)
	}
}

// start starts the handler of a stream, or queues the stream. A stream that has meanwhile ended
// with the session receives no handler.
func (a *httpServerApp) start(st *Stream) {
	s := st.session
	s.mu.Lock()
	ended := st.ended
	begins := !ended && s.handlers.beginsLocked(st, a.server.WriteTimeout)
	s.mu.Unlock()
	switch {
	case ended:
		st.release()
	case begins:
		go a.serve(st, atOnce)
	}
}

// handOver passes the slot of a handler that has returned to the next stream.
func (a *httpServerApp) handOver(s *Session, how beginning) (taken bool) {
	s.mu.Lock()
	if how == asPush {
		s.handlers.pushing--
	}
	next := s.handlers.nextLocked()
	if next == nil {
		s.ledger.giveLocked(heldHandlers, 1)
	}
	s.mu.Unlock()
	if next == nil {
		return false
	}
	go a.serve(next, inTurn)
	return true
}

// beginning is the way in which a handler starts.
type beginning int

const (
	atOnce beginning = iota // when the stream opened
	inTurn                  // after waiting in a handlerQueue, in the slot of another handler
	asPush                  // for a push, at once
)
