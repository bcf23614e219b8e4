package spdy

import "time"

// A doubt is the state of a server while the client's version is unknown: SPDY/3 and SPDY/3.1 look
// alike on the wire. Only SPDY/3.1 has a session window; a client of SPDY/3.1 shows the window by
// the first WINDOW_UPDATE for the session, at the latest when the application has read half of the
// window. So the server at first sends no more than one window. The server assumes SPDY/3 if the
// client grants credit to a stream without granting any to the session, which the echo of a later
// PING shows, or if the client grants nothing for doubtTime. During the doubt our own session
// window is not enforced either. Our grants are sent all the same: SPDY/3 peers ignore session
// grants (SPEC W9), and a SPDY/3.1 peer may wait for grants. Guarded by Session.mu.
type doubt struct {
	sent    int64   // DATA bytes sent
	granted bool    // the client has granted credit to a stream
	ping    uint32  // id of the PING after that grant; 0 before the PING is sent
	timer   *giveUp // ends the wait for a grant; nil before the window is exhausted; stopped with the session
}

// doubtTime is how long a client may grant nothing after the session's first window is exhausted.
const doubtTime = time.Second

// beCautious starts the doubt on a session whose client may speak SPDY/3.
func (s *Session) beCautious() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flow.doubt = new(doubt)
	s.flow.limit = int64(s.conf.SessionWindow) + 1
}

// streamGrantedLocked records that the client has granted credit to a stream.
func (s *Session) streamGrantedLocked() {
	if d := s.flow.doubt; d != nil {
		d.granted = true
		s.askLocked()
	}
}

// askLocked starts the search for proof, once the first window is exhausted.
func (s *Session) askLocked() {
	d := s.flow.doubt
	if d == nil || s.flow.out.avail > 0 || s.end.err != nil {
		return
	}
	if d.timer == nil {
		d.timer = newGiveUp(doubtTime, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.openLocked(d)
		})
	}
	if d.granted && d.ping == 0 {
		d.ping = s.nextPingLocked()
		s.sendPingLocked(d.ping)
		s.ringLocked()
	}
}

// askedLocked handles the echo of one of our PINGs.
func (s *Session) askedLocked(ping uint32) {
	if d := s.flow.doubt; d != nil && d.ping == ping && ping != 0 {
		s.openLocked(d)
	}
}

// openLocked stops limiting our sends by the session window, unless the client has shown a session
// window meanwhile.
func (s *Session) openLocked(d *doubt) {
	if s.flow.doubt == d && s.flow.out.avail <= 0 {
		d.stopLocked()
		s.flow.out.avail = unlimited
		s.ringLocked()
	}
}

// resolveLocked ends the doubt: the client has a session window.
func (c *credit) resolveLocked() {
	if c.doubt != nil {
		c.doubt.stopLocked()
		c.out.avail = defaultWindow - c.doubt.sent
		c.doubt = nil
	}
}

// stopLocked ends the wait for a grant permanently.
func (d *doubt) stopLocked() {
	if d != nil && d.timer != nil {
		d.timer.Stop()
	}
}
