package spdy

import (
	"errors"
	"io"
	"net"
	"time"
)

// linger is how long a session that has said goodbye waits for the peer to take
// the last frame and to close: closing at once would make TCP throw the GOAWAY
// away if the peer's bytes are still coming in.
const linger = time.Second

// ending is how far a session has got to its end, and why. The latches are immutable, all
// else is guarded by Session.mu.
type ending struct {
	done       chan struct{} // latch: the session has ended, err says why
	senderEnd  chan struct{} // latch: the sender has ended, the conn is closed
	receiveEnd chan struct{} // latch: the receiver has ended

	err         error       // why the session ended; nil while it lives
	lost        bool        // the conn is of no more use
	forced      bool        // the context of a Shutdown ended before the session
	saidGoAway  bool        // we take no new streams
	heardGoAway bool        // the peer takes no new streams
	peerClosed  bool        // the peer has closed the connection between two frames, and ended the session by that
	undelivered bool        // the session ended before the peer had confirmed all, or with open streams
	peerGoAway  *peerGoAway // what it said, nil if nothing and nobody waits for it
	farewell    error       // the error that the peer's GOAWAY reported
	writeErr    *ConnError  // what has ended the sender, while the receiver may go on, see writeFailed
	timer       *time.Timer // closes the conn under a peer that does not; before the end, see probeLocked

	receipt  receipt       // whether the peer has received what was sent
	delivery *delivery     // the wait for the receipt of the last byte; nil before it
	waiting  int           // calls of Shutdown that wait
	rested   time.Duration // when the last stream ended, since epoch
	heard    int64         // bytes that had come from the peer by then
}

// newEnding is the ending of a session that has not begun.
func newEnding() ending {
	return ending{
		done:       make(chan struct{}),
		senderEnd:  make(chan struct{}),
		receiveEnd: make(chan struct{}),
	}
}

// Done returns a channel that is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.made().end.done }

// Err returns why the session ended, or nil while it lives.
func (s *Session) Err() error {
	s = s.made()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end.err
}

func (s *Session) ended() bool {
	select {
	case <-s.end.done:
		return true
	default:
		return false
	}
}

// Close ends the session at once: the peer gets a GOAWAY, every stream fails with
// ErrSessionClosed, and the connection is closed. What was sent, and has not reached the
// peer, may be lost: Shutdown waits for it, Close ends such a wait. It waits for
// the session's goroutines, at most a tenth of a second, but not for handlers.
// It returns nothing, as in 2015; Err says how the session ended. Called by a hook of
// a Trace, or by other code that runs on a session's own goroutines, it does not wait.
func (s *Session) Close() {
	s = s.made()
	if insideSession() {
		s.shutdown(ErrSessionClosed)
		return
	}
	closeSoon(s)
}

// haste is how long a session that is out of time gives the peer to hang up, instead
// of linger, and hasteLimit how long anybody waits for that: a TLS connection whose
// peer takes nothing may need longer to close.
const (
	haste      = 50 * time.Millisecond
	hasteLimit = 75 * time.Millisecond
)

// closeSoon ends sessions, all at once, and closes their connections without much
// patience. It reports whether they were gone before it returned.
func closeSoon(sessions ...*Session) bool {
	for _, s := range sessions {
		s.shutdown(ErrSessionClosed)
		s.mu.Lock()
		if s.end.timer != nil {
			s.end.timer.Reset(haste)
		}
		s.mu.Unlock()
	}
	limit := time.NewTimer(hasteLimit)
	defer limit.Stop()
	for _, s := range sessions {
		select {
		case <-s.end.senderEnd:
		case <-limit.C:
			return false
		}
	}
	return true
}

// cutShort is closeSoon for sessions whose Shutdown has run out of time.
func cutShort(sessions ...*Session) bool {
	for _, s := range sessions {
		s.mu.Lock()
		s.end.forced = s.end.forced || s.end.err == nil
		s.mu.Unlock()
	}
	return closeSoon(sessions...)
}

// shutdown is the one way in which a session ends; the first reason stays. Every
// stream fails with it, the peer is told if there is something to tell, and the
// sender, which sees the latch, writes what is left and closes the connection.
func (s *Session) shutdown(reason error) {
	s.mu.Lock()
	if s.end.err != nil {
		s.mu.Unlock()
		return
	}
	reason = s.sameReasonLocked(reason)
	s.end.err = reason
	s.end.undelivered = len(s.streams) > 0 || s.end.receipt.missing() || s.end.writeErr != nil
	var protocol *SessionError
	switch {
	case errors.As(reason, &protocol) && !protocol.Remote:
		s.control = appendGoAway(s.control, s.version, s.lastGood, protocol.Status)
	case protocol != nil, reason == ErrSessionClosed:
		s.breakOffLocked()
		if !s.end.saidGoAway { // SPEC G1
			s.control = appendGoAway(s.control, s.version, s.lastGood, GoAwayOK)
		}
	default:
		s.end.lost = true
	}
	s.headers.clear()
	s.pings = nil // their callers see the latch
	s.pooled.leaveLocked()
	ended := make([]*Stream, 0, len(s.streams))
	for _, st := range s.streams {
		s.endLocked(st, reason, keepUnread)
		ended = append(ended, st)
	}
	patience := s.lingerLocked()
	s.stopProbeLocked()
	unserved := !s.started
	s.end.lost = s.end.lost || unserved
	if !unserved {
		s.end.timer = time.AfterFunc(patience, func() { s.conn.Close() })
	}
	s.stopTimersLocked()
	s.leftover = nil
	close(s.end.done)
	s.mu.Unlock()
	s.tellHooks()
	for _, st := range ended {
		st.cancelContext(reason)
	}
	s.app.goingAway()
	if unserved {
		s.in.close()
		s.conn.Close()
		close(s.end.senderEnd)
		s.leaveServer()
		s.closeLedger()
	}
}

// stopTimersLocked stops those that end with the session.
func (s *Session) stopTimersLocked() {
	s.end.delivery.stopLocked()
	s.stopTrialLocked()
	s.stopWithheldLocked()
	s.flow.doubt.stopLocked()
	s.stopResetSlotsLocked()
	s.shed.stopLocked()
	s.alive.stop()
}

// lingerLocked is how long the session waits for its peer to close, before it does.
func (s *Session) lingerLocked() time.Duration {
	switch {
	case s.end.lost:
		return 0
	case s.abandonedLocked():
		return haste
	}
	return s.end.delivery.linger()
}

// fail is where the receiver's and the sender's errors end the session.
func (s *Session) fail(err error) {
	var protocol *SessionError
	if errors.As(err, &protocol) {
		s.log.sessionError(s, protocol)
		s.shutdown(protocol)
		return
	}
	s.mu.Lock()
	s.end.lost = true
	var reason error
	foreign := asNotSPDY(err)
	switch {
	case foreign != nil: // which is why writing may have failed before
		s.end.writeErr = nil
		reason = &ConnError{Err: foreign}
	case len(s.streams) == 0 && err == io.EOF: // the peer closed between two frames
		s.end.peerClosed = s.end.err == nil
		reason = s.reasonLocked(ErrSessionClosed)
	default:
		reason = s.reasonLocked(s.lostLocked(unexpected(err)))
	}
	s.mu.Unlock()
	if foreign != nil {
		s.log.foreign(s, foreign)
	}
	s.shutdown(reason)
}

// explainClosed is the error of a request that has found the session ended: that the peer has left, if it
// has. Otherwise ErrSessionClosed would tell the caller of a Transport that it has closed something.
func (s *Session) explainClosed(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != ErrSessionClosed:
		return err
	case s.end.heardGoAway:
		return goneAway(0)
	case s.end.peerClosed:
		return s.lostLocked(io.ErrUnexpectedEOF)
	}
	return err
}

// isTimeout reports that the network gave up, and not the peer.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// reasonLocked is why the session ends, if other is what has just come to light: what the
// peer's GOAWAY said, what happened to the sender before, or that.
func (s *Session) reasonLocked(other error) error {
	switch {
	case s.end.farewell != nil:
		return s.end.farewell
	case s.end.writeErr != nil:
		return s.end.writeErr
	}
	return other
}

// sameReasonLocked is the reason of a session that ends while it can write no more: the one
// that calls have returned since, unless the peer breaks a rule.
func (s *Session) sameReasonLocked(reason error) error {
	var protocol *SessionError
	if s.end.writeErr == nil || errors.As(reason, &protocol) {
		return reason
	}
	return s.reasonLocked(reason)
}

// writeFailed ends a session that can write no more. What its peer had sent before may
// still be unread, to the end of an answer: the receiver goes on until the connection has
// no more to give, for the time of linger at most, and its end is the session's. Nothing
// is written meanwhile, and no stream opened or taken.
func (s *Session) writeFailed(err error) {
	if isTimeout(err) {
		s.fail(err)
		return
	}
	s.mu.Lock()
	s.end.lost = true
	lost := s.lostLocked(err)
	if s.end.delivery == nil || s.end.receipt.unwritten { // else the end of the connection says whether the peer has everything
		s.end.writeErr = lost
	}
	s.end.saidGoAway = true // to nobody
	s.headers.flush.wakeLocked()
	s.openers.failLocked(s.reasonLocked(nil))
	s.pooled.leaveLocked()
	for _, st := range s.streams {
		ringBell(st.taken)
	}
	s.mu.Unlock()
	s.drain()
	timer := time.AfterFunc(linger, func() { s.shutdown(lost) }) // a receiver in awaitRoom waits for no network
	<-s.end.receiveEnd
	timer.Stop()
}

// hangUp says goodbye: it closes our direction, waits for the peer to close its
// own so that the last frame is not lost, and closes the connection. A session that is
// abandoned does not wait. The linger
// timer, which shutdown started, closes it under a peer that does not.
func (s *Session) hangUp() {
	s.mu.Lock()
	lost, half := s.end.lost || s.abandonedLocked(), s.halfClosedLocked()
	s.mu.Unlock()
	if !lost && (half || closeDirection(s.conn)) {
		<-s.end.receiveEnd
	}
	s.conn.Close()
	<-s.end.receiveEnd
	s.mu.Lock()
	timer := s.end.timer
	s.mu.Unlock()
	if timer != nil {
		timer.Stop()
	}
}
