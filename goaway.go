package spdy

import (
	"context"
)

// peerGoAway is what the peer has said about its going away, for whoever wants to know.
// Guarded by Session.mu.
type peerGoAway struct {
	last  uint32        // the last of our streams that it has looked at
	heard chan struct{} // latch: the peer has said GOAWAY; nil if nobody waits
}

// heardGoAwayLocked notes the peer's GOAWAY. Of several the last one counts.
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

// PeerGoAway returns a channel that is closed when the peer says that it takes no more
// streams. Those that are open may still come to their end, upon which the session ends
// too; a session that ends in another way leaves the channel open.
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

// PeerLastGood returns the id of the last of our streams that the peer has looked at, as
// its GOAWAY says, and whether there was one.
func (s *Session) PeerLastGood() (id uint32, ok bool) {
	s = s.made()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.end.heardGoAway {
		return 0, false
	}
	return s.end.peerGoAway.last, true
}

// Shutdown ends the session gracefully: it sends GOAWAY, takes and opens no new
// streams, lets the open ones finish, waits until the peer has received what they sent,
// and closes. The receipt is the echo of a PING, or the peer's own close. A peer that shows
// no sign of receiving for Config.DeliveryTimeout is given up with ErrDeliveryTimeout; if
// the connection fails, that error is returned, and ErrSessionClosed if the context of
// another Shutdown has ended the session. If the context ends first, so
// does the session, at once: the context's error is returned within a tenth of a
// second, whether the peer hangs up or not. It is nil instead if the peer had confirmed everything,
// and has only not hung up. Called by a hook of a Trace, or by other
// code that runs on a session's own goroutines, it does not wait: it has announced the
// end, and returns an error that says so.
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

// delivered reports whether the session has ended and its peer has confirmed everything. Then
// nothing is left but to close the connection.
func (s *Session) delivered() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end.err != nil && !s.end.undelivered
}

// failure returns why a session that has ended has not delivered everything, nil if it has,
// or if Close has ended it.
func (s *Session) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end.undelivered && (s.end.forced || s.end.err != ErrSessionClosed) {
		return s.end.err
	}
	return nil
}

// wait adds n to the calls that wait for the session's end. When none is left, a delivery
// counts as unattended.
func (s *Session) wait(n int) {
	s.mu.Lock()
	s.end.waiting += n
	if d := s.end.delivery; d != nil && !d.alone && s.end.waiting == 0 && s.end.err == nil {
		d.alone = true
		unattended.Add(1)
	}
	s.mu.Unlock()
}

// awaitEnd waits for the session and its connection to end, and reports false if the
// context ended first.
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

// goAway says once that we take no new streams, turns away whoever waits to open
// one, and ends the session if none is open (SPEC G3, G4, G6).
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

// drain is the part of goAway that needs no lock.
func (s *Session) drain() {
	s.ring()
	s.app.goingAway()
	s.endIfDrained()
}

// endIfDrained ends a session that is going away once nothing is open on it.
func (s *Session) endIfDrained() {
	s.mu.Lock()
	drained := s.drainedLocked()
	s.mu.Unlock()
	if drained {
		s.endDrained()
	}
}

// endDrained ends a session on which nothing is open, when its peer has received
// everything.
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
