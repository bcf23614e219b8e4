package spdy

import (
	"context"
)

// peerGoAway is the content of the peer's GOAWAY, for callers that wait for a GOAWAY. Guarded by
// Session.mu.
type peerGoAway struct {
	last  uint32        // the last of our streams that the peer has processed
	heard chan struct{} // latch: a GOAWAY was received; nil if no caller waits
}

// heardGoAwayLocked records the peer's GOAWAY. Of several GOAWAYs the last counts.
func (s *Session) heardGoAwayLocked(last uint32) {
	first := !s.end.heardGoAway
	s.end.heardGoAway = true
	g := s.peerGoAwayLocked()
	g.last = last
	if first && g.heard != nil {
		close(g.heard)
	}
}

func (s *Session) peerGoAwayLocked() *peerGoAway {
	if s.end.peerGoAway == nil {
		s.end.peerGoAway = new(peerGoAway)
	}
	return s.end.peerGoAway
}

// PeerGoAway returns a channel that is closed when the peer sends GOAWAY, after which the peer
// accepts no more streams. Open streams may still finish; then the session ends too. If the session
// ends without a GOAWAY, the channel stays open.
func (s *Session) PeerGoAway() <-chan struct{} {
	s = s.made()
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.peerGoAwayLocked()
	if g.heard == nil {
		g.heard = make(chan struct{})
		if s.end.heardGoAway {
			close(g.heard)
		}
	}
	return g.heard
}

// PeerLastGood returns the id of the last of our streams that the peer has processed, according to
// the peer's GOAWAY, and whether a GOAWAY was received.
func (s *Session) PeerLastGood() (id uint32, ok bool) {
	s = s.made()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.end.heardGoAway {
		return 0, false
	}
	return s.end.peerGoAway.last, true
}

// Shutdown ends the session gracefully: it sends GOAWAY, accepts and opens no new streams, lets the
// open streams finish, waits until the peer has received their bytes, and closes the connection.
// The receipt is the echo of a PING, or the peer's own close.
//
// If the peer shows no sign of receiving for Config.DeliveryTimeout, Shutdown closes the session
// and returns ErrDeliveryTimeout. If the connection fails, Shutdown returns the connection's error.
// If the context of another Shutdown has ended the session, Shutdown returns ErrSessionClosed.
//
// If the context ends first, the session ends at once: Shutdown returns the context's error within
// a tenth of a second, whether the peer closes or not. The error is nil instead if the peer had
// confirmed everything and only the peer's close was missing.
//
// If a Trace hook or other code on a session's own goroutines calls Shutdown, Shutdown does not
// wait: it announces the end and returns an error that reports this.
func (s *Session) Shutdown(ctx context.Context) (err error) {
	s = s.made()
	if insideSession() {
		s.goAway()
		return errInside
	}
	s.wait(1)
	defer s.wait(-1)
	s.goAway()
	if s.awaitEnd(ctx) {
		return s.failure()
	}
	whole := s.delivered()
	cutShort(s)
	if whole {
		return nil
	}
	return ctx.Err()
}

// delivered reports whether the session has ended and the peer has confirmed everything. Then only
// closing the connection remains.
func (s *Session) delivered() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end.err != nil && !s.end.undelivered
}

// failure returns the reason why an ended session has not delivered everything, or nil if
// everything was delivered or Close has ended the session.
func (s *Session) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end.undelivered && (s.end.forced || s.end.err != ErrSessionClosed) {
		return s.end.err
	}
	return nil
}

// wait adds n to the number of calls that wait for the session's end. If no call is left, a pending
// delivery is marked as unattended.
func (s *Session) wait(n int) {
	s.mu.Lock()
	s.end.waiting += n
	if d := s.end.delivery; d != nil && !d.alone && s.end.waiting == 0 && s.end.err == nil {
		d.alone = true
		unattended.Add(1)
	}
	s.mu.Unlock()
}

// awaitEnd waits for the end of the session and of the connection, and returns false if the context
// ended first.
func (s *Session) awaitEnd(ctx context.Context) bool {
	select {
	case <-s.end.senderEnd:
		return true
	default:
	}
	select {
	case <-s.end.senderEnd:
		return true
	case <-ctx.Done():
		return false
	}
}

// goAway queues one GOAWAY, fails the callers that wait to open a stream, and ends the session if
// no stream is open (SPEC G3, G4, G6).
func (s *Session) goAway() {
	s.mu.Lock()
	s.goAwayLocked()
	s.mu.Unlock()
	s.drain()
}

func (s *Session) goAwayLocked() {
	if s.end.err == nil && !s.end.saidGoAway && !s.refuseQuietlyLocked() {
		s.control = appendGoAway(s.control, s.version, s.lastGood, GoAwayOK)
		s.end.saidGoAway = true
	}
	s.openers.failLocked(goneAway(0))
	s.pooled.leaveLocked()
}

// drain is the part of goAway that runs without the lock.
func (s *Session) drain() {
	s.ring()
	s.app.goingAway()
	s.endIfDrained()
}

// endIfDrained ends a draining session once no stream is open.
func (s *Session) endIfDrained() {
	s.mu.Lock()
	drained := s.drainedLocked()
	s.mu.Unlock()
	if drained {
		s.endDrained()
	}
}

// endDrained ends a session without open streams once the peer has received everything.
func (s *Session) endDrained() {
	s.mu.Lock()
	waits := s.end.err != nil || s.end.delivery != nil || s.deliverLocked()
	reason := s.reasonLocked(ErrSessionClosed)
	s.mu.Unlock()
	if !waits {
		s.shutdown(reason)
	}
}

func (s *Session) drainedLocked() bool {
	return s.end.err == nil && s.end.delivery == nil && (s.end.saidGoAway || s.end.heardGoAway || s.refusingLocked()) &&
		len(s.streams) == 0 && s.peerStreams == 0 && s.headers.empty()
}
