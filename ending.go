package spdy

import (
	"errors"
	"io"
	"net"
	"time"
)

// linger is how long a session waits, after the last frame, for the peer to read the frame and to
// close. If we closed at once, TCP would discard the GOAWAY while bytes of the peer are still
// arriving.
const linger = time.Second

// ending is the progress of a session's shutdown, and the reason. The latches are immutable, all
// other fields are guarded by Session.mu.
type ending struct {
	done       chan struct{} // latch: the session has ended, err is the reason
	senderEnd  chan struct{} // latch: the sender has ended, the conn is closed
	receiveEnd chan struct{} // latch: the receiver has ended

	err         error       // why the session ended; nil while it lives
	lost        bool        // the conn is unusable
	forced      bool        // the context of a Shutdown ended before the session
	saidGoAway  bool        // we accept no new streams
	heardGoAway bool        // the peer accepts no new streams
	peerClosed  bool        // the peer ended the session by closing the connection between two frames
	undelivered bool        // the session ended before the peer had confirmed all bytes, or with open streams
	peerGoAway  *peerGoAway // contents of the peer's GOAWAY; nil if none was received and no caller waits for a GOAWAY
	farewell    error       // the error that the peer's GOAWAY reported
	writeErr    *ConnError  // error that ended the sender, while the receiver may continue, see writeFailed
	timer       *time.Timer // closes the conn if the peer does not; before the session's end the timer of probeLocked

	receipt  receipt       // whether the peer has received the bytes that were sent
	delivery *delivery     // the wait for the receipt of the last byte; nil before it
	waiting  int           // Shutdown calls that are waiting
	rested   time.Duration // when the last stream ended, since epoch
	heard    int64         // bytes received from the peer by then
}

// newEnding returns the ending of a session that has not started.
func newEnding() ending {
	return ending{
		done:       make(chan struct{}),
		senderEnd:  make(chan struct{}),
		receiveEnd: make(chan struct{}),
	}
}

// Done returns a channel that is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.made().end.done }

// Err returns the reason why the session ended, or nil while the session lives.
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

// Close ends the session at once: the peer receives a GOAWAY, every stream fails with
// ErrSessionClosed, and the connection is closed. Bytes that were sent but have not reached the
// peer may be lost: Shutdown waits for these bytes, Close ends such a wait. Close waits for the
// session's goroutines, at most a tenth of a second, but not for handlers. Close has no result, as
// in 2015; Err returns the reason why the session ended. If a Trace hook or other code on the
// session's own goroutines calls Close, Close does not wait.
func (s *Session) Close() {
	s = s.made()
	if insideSession() {
		s.shutdown(ErrSessionClosed)
		return
	}
	closeSoon(s)
}

// haste replaces linger when a session's shutdown has timed out: the time for the peer to close.
// hasteLimit is the longest time a caller waits for these sessions: a TLS connection whose peer
// does not read may need longer to close.
const (
	haste      = 50 * time.Millisecond
	hasteLimit = 75 * time.Millisecond
)

// closeSoon ends the sessions, all at once, and closes the connections after haste instead of
// linger. closeSoon reports whether all sessions were closed before the return.
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

// cutShort is closeSoon for sessions whose Shutdown has timed out.
func cutShort(sessions ...*Session) bool {
	for _, s := range sessions {
		s.mu.Lock()
		s.end.forced = s.end.forced || s.end.err == nil
		s.mu.Unlock()
	}
	return closeSoon(sessions...)
}

// shutdown is the only way to end a session; the first reason wins. Every stream fails with the
// reason, and a GOAWAY is queued if the peer needs one. The sender sees the latch, writes the
// remaining frames and closes the connection.
func (s *Session) shutdown(reason error) {
	s.mu.Lock()
	if s.end.err != nil {
		s.mu.Unlock()
		return
	}
	if reason == ErrSessionClosed && s.end.peerClosed && len(s.streams) > 0 {
		reason = s.lostLocked(io.ErrUnexpectedEOF) // for streams opened after fail has found none
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
	s.pings = nil // the waiting callers see the latch
	s.pooled.leaveLocked()
	ended := make([]*Stream, 0, len(s.streams))
	for _, st := range s.streams {
		s.endLocked(st, reason, keepUnread)
		ended = append(ended, st)
	}
	ended = append(ended, s.handlers.endLateLocked()...)
	patience := s.lingerLocked()
	s.stopProbeLocked()
	unserved := !s.started
	s.end.lost = s.end.lost || unserved
	if !unserved {
		s.closeAfterLocked(patience)
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

// closeAfterLocked closes the connection after the given time, which ends a Read or Write of the
// session's goroutines. Two timers of zero in a synctest bubble can crash the race detector
// (go.dev/issue/78156).
func (s *Session) closeAfterLocked(patience time.Duration) {
	if patience == 0 {
		go s.conn.Close()
		return
	}
	s.end.timer = time.AfterFunc(patience, func() { s.conn.Close() })
}

// stopTimersLocked stops the timers that end with the session.
func (s *Session) stopTimersLocked() {
	s.end.delivery.stopLocked()
	s.stopTrialLocked()
	s.stopWithheldLocked()
	s.flow.doubt.stopLocked()
	s.stopResetSlotsLocked()
	s.shed.stopLocked()
	s.alive.stop()
}

// lingerLocked returns how long the session waits for the peer to close first.
func (s *Session) lingerLocked() time.Duration {
	switch {
	case s.end.lost:
		return 0
	case s.abandonedLocked():
		return haste
	}
	return s.end.delivery.linger()
}

// fail ends the session with an error of the receiver or of the sender.
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
	case foreign != nil: // the likely reason of an earlier write failure
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

// explainClosed returns the error of a request on a session that has ended. If the peer has sent
// GOAWAY or closed the connection, the error reports so: ErrSessionClosed would suggest that the
// caller of the Transport has closed something.
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

// isTimeout reports whether the network timed out, as opposed to an end caused by the peer.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// reasonLocked returns the reason why the session ends, where other is the latest error: the error
// of the peer's GOAWAY, else the sender's earlier error, else other.
func (s *Session) reasonLocked(other error) error {
	switch {
	case s.end.farewell != nil:
		return s.end.farewell
	case s.end.writeErr != nil:
		return s.end.writeErr
	}
	return other
}

// sameReasonLocked returns the end reason of a session that can no longer write: the error that
// calls have already returned, unless the peer violates the protocol.
func (s *Session) sameReasonLocked(reason error) error {
	var protocol *SessionError
	if s.end.writeErr == nil || errors.As(reason, &protocol) {
		return reason
	}
	return s.reasonLocked(reason)
}

// writeFailed ends a session that can no longer write. Frames that the peer sent earlier, up to the
// end of a response, may still be unread: the receiver continues until the connection returns no
// more bytes, for at most the linger time, and then ends the session. Meanwhile nothing is written,
// and no stream is opened or accepted.
func (s *Session) writeFailed(err error) {
	if isTimeout(err) {
		s.fail(err)
		return
	}
	s.mu.Lock()
	s.end.lost = true
	lost := s.lostLocked(err)
	if s.end.delivery == nil || s.end.receipt.unwritten { // else the end of the connection shows whether the peer has received everything
		s.end.writeErr = lost
	}
	s.end.saidGoAway = true // without sending a GOAWAY
	s.headers.flush.wakeLocked()
	s.openers.failLocked(s.reasonLocked(nil))
	s.pooled.leaveLocked()
	for _, st := range s.streams {
		ringBell(st.taken)
	}
	s.mu.Unlock()
	s.drain()
	timer := time.AfterFunc(linger, func() { s.shutdown(lost) }) // a receiver in awaitRoom does not wait for the network
	<-s.end.receiveEnd
	timer.Stop()
}

// hangUp closes our direction, waits for the peer to close the other direction, so that the last
// frame is not lost, and closes the connection. An abandoned session does not wait. If the peer
// does not close, the linger timer, which shutdown started, closes the connection.
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
