package spdy

// peerGoAway is what the peer has said about its going away, for whoever wants to know.
// Guarded by Session.mu.
type peerGoAway struct {
	last  uint32        // the last of our streams that it has looked at
	heard chan struct{} // latch: the peer has said GOAWAY; nil if nobody waits
}

// heardGoAwayLocked notes the peer's GOAWAY. Of several the last one counts.
func (s *Session) heardGoAwayLocked(last uint32) {
	first := !s.heardGoAway
	s.heardGoAway = true
	g := s.peerGoAwayLocked()
	g.last = last
	if first && g.heard != nil {
		close(g.heard)
	}
}

func (s *Session) peerGoAwayLocked() *peerGoAway {
	if s.peerGoAway == nil {
		s.peerGoAway = new(peerGoAway)
	}
	return s.peerGoAway
}

// PeerGoAway returns a channel that is closed when the peer says that it takes no more
// streams. Those that are open may still come to their end, upon which the session ends
// too; a session that ends in another way leaves the channel open.
func (s *Session) PeerGoAway() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.peerGoAwayLocked()
	if g.heard == nil {
		g.heard = make(chan struct{})
		if s.heardGoAway {
			close(g.heard)
		}
	}
	return g.heard
}

// PeerLastGood returns the id of the last of our streams that the peer has looked at, as
// its GOAWAY says, and whether there was one.
func (s *Session) PeerLastGood() (id uint32, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.heardGoAway {
		return 0, false
	}
	return s.peerGoAway.last, true
}
