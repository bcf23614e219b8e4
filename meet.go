package spdy

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"
)

// This file handles a peer's first frame: whether the peer speaks SPDY at all, and how long a
// client waits to find out. The frame must be complete: the first bytes of many protocols could be
// the header of a SPDY frame whose rest never arrives.

// The time for which an HTTP client waits for a server's first frame, from the first request on. A
// SPDY server answers a PING at once, regardless of its handlers; 30 seconds allow for a server
// that accepts connections late. After half a second without a frame the client sends the PING.
// Most servers send their SETTINGS earlier.
const (
	defaultFirstAnswer = 30 * time.Second
	probeAfter         = 500 * time.Millisecond
)

// lateWake is the delay of a timer that indicates that the process was stopped, and the time that
// the receiver then gets for frames received meanwhile.
const lateWake = time.Second

// errNoFrame is the reason for abandoning a server that has never sent a frame.
var errNoFrame error = timeoutError(fmt.Sprintf("no frame has come for %v since the first request", defaultFirstAnswer))

// probePing is the id of the PING to a server that has not sent anything. An HTTP/1.1 server reads
// line by line, so it waits for the end of the line that the session began. The id contains two
// line ends, so such a server answers at once.
const probePing = 0x0D0A0D0B

// meet waits for the header of the peer's first frame and ends the session if the peer speaks a
// different protocol. Called by the receiver.
func (s *Session) meet() error {
	verdict, protocol, err := s.in.first()
	if verdict == firstForeign {
		e := notSPDY(addrText(s.conn), protocol, s.in.buf)
		if !s.client {
			e.advice = adviceServer
		}
		return e
	}
	if app, http := s.app.(*httpClientApp); http && len(s.in.buf) > 0 {
		s.mu.Lock()
		app.first = bytes.Clone(s.in.buf[:min(len(s.in.buf), mostFirst)])
		s.mu.Unlock()
	}
	if err != nil && len(s.in.buf) > 0 {
		return unexpected(err)
	}
	return err
}

// meets records that the peer has sent a complete frame. Called by the receiver.
func (s *Session) meets() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.met = true
	if app, http := s.app.(*httpClientApp); http {
		app.first = nil
	}
	if s.end.err == nil { // otherwise the timer belongs to the session's end
		s.stopProbeLocked()
	}
}

// probeLocked starts the wait for a server's first frame, with the first request of an HTTP client.
// It uses the timer of the session's end.
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
	late  bool // the process was stopped, and the receiver has had lateWake since

	received int64 // bytes received when the limit was last extended
}

// look is the timer's function.
func (p *probe) look() {
	s := p.s
	s.mu.Lock()
	if s.met || s.end.err != nil {
		s.mu.Unlock()
		return
	}
	waited := time.Since(p.begun)
	limited := s.conf.FirstFrameTimeout == 0 // otherwise the keepalive enforces the limit, or there is none
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
	case s.in.total.Load()-p.received >= leastSpeed: // a large frame on a slow connection
		p.received = s.in.total.Load()
		s.end.timer.Reset(time.Second)
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

// lostLocked returns the reason for the end of a session whose connection ended with err. A server
// that has sent no complete frame until then may not speak SPDY.
func (s *Session) lostLocked(err error) *ConnError {
	app, http := s.app.(*httpClientApp)
	if !http || s.met || s.agreed || !isHangUp(err) && err != errNoFrame && err != errFrameTimeout {
		return &ConnError{Err: err}
	}
	return &ConnError{Err: &NotSPDYError{Addr: addrText(s.conn), First: app.first, Err: err}}
}

// explainEnd returns the error of a connection that has ended. A server of a different SPDY version
// skips the client's frames, or closes the connection, and so does the client: without TLS there is
// no other indication. Called by the receiver.
func (s *Session) explainEnd(err error) error {
	theirs := uint16(s.in.dialect)
	other := theirs != s.version.wire() && (theirs == SPDY2.wire() || theirs == SPDY31.wire())
	var protocol *SessionError
	if !s.client || errors.As(err, &protocol) || !other || !isHangUp(err) {
		return err
	}
	return &NotSPDYError{
		Addr: addrText(s.conn), Protocol: fmt.Sprintf("SPDY/%d", theirs),
		wanted: "SPDY/" + strings.TrimPrefix(s.version.String(), "spdy/"), advice: "Config.Version chooses the version",
	}
}

// asNotSPDY returns the error within err about a peer of a different protocol, nil if err has a
// different cause.
func asNotSPDY(err error) *NotSPDYError {
	var e *NotSPDYError
	if errors.As(err, &e) && e.Err == nil {
		return e
	}
	return nil
}
