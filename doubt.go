package spdy

import "time"

// A doubt is what a server keeps while it does not know whether its client speaks SPDY/3
// or SPDY/3.1, which the wire does not say. Only the latter has a window for the session,
// and shows it by the first WINDOW_UPDATE for it, at the latest when that window is used
// up. So no more than the window is sent, and then a PING: a client that answers it, or
// nothing for doubtTime, without having granted more speaks SPDY/3, as far as can be told.
// It is not held to a session window of ours either; our grants are sent all the same:
// SPDY/3 peers ignore them (SPEC W9), one of SPDY/3.1 may wait for them. Guarded by
// Session.mu.
type doubt struct {
	sent  int64       // DATA bytes sent
	ping  uint32      // id of the PING behind the first window; 0 before it is sent
	timer *time.Timer // ends the wait for its echo; nil before it is sent; ends with the session
}

// doubtTime is how long a client may take to answer the PING.
const doubtTime = time.Second

// beCautious makes a session that may have a client of SPDY/3.
func (s *Session) beCautious() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flow.doubt = new(doubt)
	s.flow.limit = int64(s.conf.SessionWindow) + 1
}

// askLocked sends the PING once the first window is used up.
func (s *Session) askLocked() {
	d := s.flow.doubt
	if d == nil || d.ping != 0 || s.flow.out.avail > 0 || s.err != nil {
		return
	}
	d.ping = s.nextPingLocked()
	s.control = appendPing(s.control, s.version, d.ping)
	d.timer = time.AfterFunc(doubtTime, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.askedLocked(d.ping)
	})
}

// askedLocked takes the echo of a PING of ours, or its absence: if no session window has
// shown by now, none holds back what is sent.
func (s *Session) askedLocked(ping uint32) {
	if d := s.flow.doubt; d != nil && d.ping == ping && ping != 0 && s.flow.out.avail <= 0 {
		d.timer.Stop()
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

// stopLocked ends the wait for the echo, for good.
func (d *doubt) stopLocked() {
	if d != nil && d.timer != nil {
		d.timer.Stop()
	}
}
