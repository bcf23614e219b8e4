package spdy

import (
	"container/list"
	"time"
)

// A handlerQueue starts the handlers of a session that serves HTTP. At most limit of them run
// at once, those of cancelled streams included, whose end no peer can see. So a peer may open
// a stream while all of them are busy: that stream is within the limit by the peer's own
// count, and its handler begins in turn, when another has returned. A stream that ends before
// that leaves the queue. A push has a place of its own, or is not made. Guarded by Session.mu.
type handlerQueue struct {
	limit   int       // Config.MaxConcurrentStreams; immutable
	running int       // goroutines of handlers, those of pushes included
	pushing int       // those of pushes
	waiting list.List // of *Stream, whose handlers have not begun; the first begins first
	unread  list.List // of *Stream, which were reset with unread bytes while the handler runs; the oldest first
}

// newHandlerQueue returns nil if the application has no handlers.
func newHandlerQueue(app application, limit int) *handlerQueue {
	if _, ok := app.(*httpServerApp); !ok {
		return nil
	}
	return &handlerQueue{limit: limit}
}

// beginsLocked takes a place for the handler of a stream. It reports false if there is none:
// then the stream waits for its turn, and patience, unless 0, is for how long until the
// stream is reset.
func (q *handlerQueue) beginsLocked(st *Stream, patience time.Duration) bool {
	if q.running < q.limit {
		q.running++
		st.session.ledger.bearLocked(heldHandlers, 1) // there was room a moment ago, see opensLocked
		return true
	}
	if patience > 0 {
		st.limitAnswer(time.Now().Add(patience))
	}
	st.waits = q.waiting.PushBack(st)
	return false
}

// beginsPushLocked takes a place for the handler of a push, and reports false if there is
// none. A push cannot wait for one: the handler that makes the push waits for that, and may be
// who has the place. Half of the places are for requests, so that those have their turn
// however long clients leave pushes unread.
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

// waitingLocked is the number of streams that wait.
func (q *handlerQueue) waitingLocked() int {
	if q == nil {
		return 0
	}
	return q.waiting.Len()
}

// nextLocked gives the place of a handler that has returned to the next stream, nil if none
// waits.
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

// endedLocked takes note of a stream that has ended. One that waits leaves the queue: no
// handler will read what has come. The unread bytes of one that was reset are remembered.
// Those of one that came to its end are a request which nobody has cancelled: the reply to
// HEAD ends a stream while the handler still reads.
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

// cameToEndLocked reports that both sides have ended the stream, and neither has reset it.
func (st *Stream) cameToEndLocked() bool { return st.ended && st.err == ErrStreamClosed }

// forgetUnreadLocked forgets the unread bytes of a stream whose handler has returned.
func (q *handlerQueue) forgetUnreadLocked(st *Stream) {
	if st.keeps != nil {
		q.unread.Remove(st.keeps)
		st.keeps = nil
	}
}

// backLocked frees the unread bytes of cancelled streams, the oldest first, which stand in
// for windows of streams that the peer has opened since. SessionWindow covers the windows of
// limit streams.
func (s *Session) backLocked() {
	q := s.handlers
	for q != nil && q.unread.Len() > 0 && s.peerOpen+q.unread.Len() > q.limit {
		st := q.unread.Front().Value.(*Stream)
		q.forgetUnreadLocked(st)
		s.creditLocked(st.in.spoil(&TruncatedError{Err: st.err}))
		s.settleKeptLocked(st)
	}
}

// start starts the handler of a stream, or has the stream wait for that. A stream that has
// ended meanwhile, with its session, gets none.
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

// handOver gives the place of a handler that has returned to the next stream.
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

// How a handler comes to begin.
type beginning int

const (
	atOnce beginning = iota // when its stream opened
	inTurn                  // after waiting in a handlerQueue, in the place of another handler
	asPush                  // for a push, at once
)
