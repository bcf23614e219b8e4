package spdy

import (
	"container/list"
	"context"
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
	late    *lateHandlers
}

// lateHandlers are the running handlers whose stream both sides have ended: the response to HEAD
// ends with the headers, and a replaced response with the replacement. The client then has no
// stream to cancel, and the handler of an endless response would hold its slot forever. So the
// context of the request ends leaveTime after the stream, or as soon as another stream needs the
// slot. Guarded by Session.mu.
type lateHandlers struct {
	list  list.List   // of lateHandler, oldest first
	timer *time.Timer // calls cancelLate
	armed bool        // the timer runs, or cancelLate is about to
}

// A lateHandler is the handler of an ended stream.
type lateHandler struct {
	st  *Stream
	due time.Time // when the context of the request ends
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
	case st.cameToEndLocked() && !st.tunnel: // a handler that has hijacked the stream ends the stream itself
		s.limitLateLocked(st)
	}
}

// limitLateLocked limits the time for the handler of a stream that has ended.
func (s *Session) limitLateLocked(st *Stream) {
	q := s.handlers
	if q.late == nil {
		q.late = new(lateHandlers)
	}
	l := q.late
	st.keeps = l.list.PushBack(lateHandler{st, time.Now().Add(leaveTime)})
	switch {
	case l.armed:
	case l.timer == nil:
		l.timer = time.AfterFunc(leaveTime, s.cancelLate)
	default:
		l.timer.Reset(leaveTime)
	}
	l.armed = true
}

// popLateLocked removes the oldest late handler from the list and returns its stream; nil if there
// is none.
func (q *handlerQueue) popLateLocked() *Stream {
	if q.late == nil || q.late.list.Len() == 0 {
		return nil
	}
	st := q.late.list.Remove(q.late.list.Front()).(lateHandler).st
	st.keeps = nil
	return st
}

// endLateLocked returns the streams of all late handlers at the end of the session, and stops the
// timer.
func (q *handlerQueue) endLateLocked() (all []*Stream) {
	if q == nil || q.late == nil {
		return nil
	}
	q.late.timer.Stop()
	for st := q.popLateLocked(); st != nil; st = q.popLateLocked() {
		all = append(all, st)
	}
	return all
}

// cancelLate cancels the contexts of late handlers whose time is over.
func (s *Session) cancelLate() {
	var due []*Stream
	now := time.Now()
	s.mu.Lock()
	l := s.handlers.late
	l.armed = false
	for e := l.list.Front(); e != nil; e = l.list.Front() {
		if wait := e.Value.(lateHandler).due.Sub(now); wait > 0 {
			l.timer.Reset(wait)
			l.armed = true
			break
		}
		due = append(due, s.handlers.popLateLocked())
	}
	s.mu.Unlock()
	for _, st := range due {
		st.cancelContext(context.Canceled)
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

// forgetUnreadLocked removes the record of the unread bytes of a stream, or of its late handler.
func (q *handlerQueue) forgetUnreadLocked(st *Stream) {
	if st.keeps == nil {
		return
	}
	q.unread.Remove(st.keeps) // has no effect on an element of another list
	if q.late != nil {
		q.late.list.Remove(st.keeps)
	}
	st.keeps = nil
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

// start starts the handler of a stream, or queues the stream. A queued stream ends the time of a
// late handler. A stream that has meanwhile ended with the session receives no handler.
func (a *httpServerApp) start(st *Stream) {
	s := st.session
	var late *Stream
	s.mu.Lock()
	ended := st.ended
	begins := !ended && s.handlers.beginsLocked(st, a.server.WriteTimeout)
	if !ended && !begins {
		late = s.handlers.popLateLocked()
	}
	s.mu.Unlock()
	switch {
	case ended:
		st.release()
	case begins:
		go a.serve(st, atOnce)
	case late != nil:
		late.cancelContext(context.Canceled)
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
