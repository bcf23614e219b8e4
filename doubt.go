package spdy

import "time"

// A doubt is what a server keeps while it does not know whether its client speaks SPDY/3
// or SPDY/3.1, which the wire does not say. Only the latter has a window for the session,
// and shows it by the first WINDOW_UPDATE for it, at the latest when its application has
// read half of that window. So no more than the window is sent at first. A client speaks
// SPDY/3, as far as can be told, if it grants a stream credit without the session, which the
// echo of a PING behind that shows, or if it grants nothing for doubtTime. It
// is not held to a session window of ours either; our grants are sent all the same:
// SPDY/3 peers ignore them (SPEC W9), one of SPDY/3.1 may wait for them. Guarded by
// Session.mu.
type doubt struct {
	sent    int64   // DATA bytes sent
	granted bool    // a stream has been granted credit
	ping    uint32  // id of the PING behind that; 0 before it is sent
	timer   *giveUp // ends the wait for a grant; nil before the window is used up; ends with the session
}

// doubtTime is how long a client may grant nothing when the session's first window is used up.
const doubtTime = time.Second

// beCautious makes a session that may have a client of SPDY/3.
func (s *Session) beCautious() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flow.doubt = new(doubt)
	s.flow.limit = int64(s.conf.SessionWindow) + 1
}

// streamGrantedLocked notes that the client has granted a stream credit.
func (s *Session) streamGrantedLocked() {
	if d := s.flow.doubt; d != nil {
		d.granted = true
		s.askLocked()
	}
}

// askLocked looks for proof, once the first window is used up.
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

// askedLocked takes the echo of a PING of ours.
func (s *Session) askedLocked(ping uint32) {
	if d := s.flow.doubt; d != nil && d.ping == ping && ping != 0 {
		s.openLocked(d)
	}
}

// openLocked has no session window hold back what is sent, unless one has shown meanwhile.
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

// stopLocked ends the wait for a grant, for good.
func (d *doubt) stopLocked() {
	if d != nil && d.timer != nil {
		d.timer.Stop()
	}
}
