package spdy

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// This file is about a peer's first frame: whether it speaks SPDY at all, and for how long a
// client waits to find out.

// How long a client of HTTP waits for a server's first frame, from its first request on. A
// server that speaks SPDY answers a PING at once, whatever its handlers do; 30 seconds are for
// one that accepts connections late. After half a second without a byte the client sends the
// PING: most servers begin before that, with their SETTINGS.
const (
	defaultFirstAnswer = 30 * time.Second
	probeAfter         = 500 * time.Millisecond
)

// lateWake is how much later than planned a timer fires if the process was stopped meanwhile,
// and how long the receiver then has for the frames that have come in that time.
const lateWake = time.Second

// errNoFrame is why a client gave up a server that has never sent a frame.
var errNoFrame error = timeoutError(fmt.Sprintf("no frame has come for %v since the first request", defaultFirstAnswer))

// probePing is the id of the PING to a server that has not sent anything. A server of HTTP/1.1
// reads line by line, so it waits for the end of the line that a session begins with. The id
// holds two line ends, so that such a server answers at once.
const probePing = 0x0D0A0D0B

// meet waits for the peer's first frame and ends the session of a peer that speaks another
// protocol. Called by the receiver.
func (s *Session) meet() error {
	verdict, protocol, err := s.in.first()
	if verdict == firstForeign {
		e := notSPDY(addrText(s.conn), protocol, s.in.buf)
		if !s.client {
			e.advice = adviceServer
		}
		return e
	}
	if err != nil && len(s.in.buf) > 0 {
		return unexpected(err)
	}
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.met = true
	if s.end.err == nil { // else the timer is that of the end
		s.stopProbeLocked()
	}
	s.mu.Unlock()
	return nil
}

// probeLocked begins to wait for a server's first frame, with the first request of a client of
// HTTP. The timer is that of the session's end.
func (s *Session) probeLocked() {
	if s.met || s.probed {
		return
	}
	if _, http := s.app.(*httpClientApp); !http {
		return
	}
	s.probed = true
	p := &probe{s: s, begun: time.Now()}
	s.end.timer = time.AfterFunc(probeAfter, p.look)
}

// A probe is the wait for a server's first frame. Guarded by Session.mu.
type probe struct {
	s     *Session
	begun time.Time
	asked bool // the PING has been sent
	late  bool // the process was stopped, and has had lateWake since
}

// look is what the timer does.
func (p *probe) look() {
	s := p.s
	s.mu.Lock()
	if s.met || s.end.err != nil {
		s.mu.Unlock()
		return
	}
	waited := time.Since(p.begun)
	limited := s.conf.FirstFrameTimeout == 0 // else the keepalive watches, or nothing does
	switch {
	case !p.asked:
		p.asked = true
		s.sendPingLocked(probePing)
		if limited {
			s.end.timer.Reset(max(defaultFirstAnswer-waited, lateWake))
		}
		s.mu.Unlock()
		s.ring()
	case !p.late && waited > defaultFirstAnswer+lateWake:
		p.late = true
		s.end.timer.Reset(lateWake)
		s.mu.Unlock()
	default:
		reason := s.lostLocked(errNoFrame)
		s.mu.Unlock()
		s.shutdown(reason)
	}
}

// stopProbeLocked ends the wait for the first frame.
func (s *Session) stopProbeLocked() {
	if s.end.timer != nil {
		s.end.timer.Stop()
		s.end.timer = nil
	}
}

// lostLocked is the reason for the end of a session whose connection has ended with err. A
// server that has sent nothing until then may not speak SPDY.
func (s *Session) lostLocked(err error) *ConnError {
	_, http := s.app.(*httpClientApp)
	if !http || s.met || s.agreed || !isHangUp(err) && err != errNoFrame && err != errFrameTimeout {
		return &ConnError{Err: err}
	}
	return &ConnError{Err: &NotSPDYError{Addr: addrText(s.conn), Err: err}}
}

// explainEnd is the error of a connection that has ended. A server of another version of SPDY
// skips the client's frames, or hangs up, and so does the client: without TLS nothing else tells
// of it. Called by the receiver.
func (s *Session) explainEnd(err error) error {
	theirs := s.in.dialect
	var protocol *SessionError
	if !s.client || errors.As(err, &protocol) || theirs == 0 || uint16(theirs) == s.version.wire() || !isHangUp(err) {
		return err
	}
	return &NotSPDYError{
		Addr: addrText(s.conn), Protocol: fmt.Sprintf("SPDY/%d", theirs),
		wanted: "SPDY/" + strings.TrimPrefix(s.version.String(), "spdy/"), advice: "Config.Version chooses the version",
	}
}

// asNotSPDY is the error about a peer that speaks another protocol in an error, nil if it is
// about anything else.
func asNotSPDY(err error) *NotSPDYError {
	var e *NotSPDYError
	if errors.As(err, &e) && e.Err == nil {
		return e
	}
	return nil
}
