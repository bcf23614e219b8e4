package spdy

import (
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// This file is about misuse that can be told at once: zero values of types that only their
// functions make, nil arguments, and requests on the end of a session that answers them.

var (
	errUnmade       = errors.New("spdy: a zero Session or Stream; NewClientSession, NewServerSession, NewRawSession and Config make sessions, and sessions make streams")
	errUnmadeClient = errors.New("spdy: a zero Client; NewClient and NewClientConn make one")
	errUnmadeFramer = errors.New("spdy: a Framer without this direction, or without a frame; NewFramer makes one")
	errNoConn       = errors.New("spdy: a session without a connection")
	errNoRequest    = errors.New("spdy: a nil Request")
	errNoReader     = errors.New("spdy: a nil io.Reader")
	errServing      = errors.New("spdy: a request on the end of a session that serves requests; send it on the other end, or make the session with NewClientSession")
)

// made returns the session, or for a zero one an ended session in its place, whose calls all
// fail. It is made for each call, since that is for mistakes only.
func (s *Session) made() *Session {
	if s.conn != nil {
		return s
	}
	dead := setUpSession(noConn{}, true, SPDY31, (*Config)(nil).withDefaults(true, rawSending), newAcceptQueue(nil))
	dead.shutdown(errUnmade)
	return dead
}

// made returns the stream, or for a zero one an ended stream in its place.
func (r *RawStream) made() *RawStream {
	if r.st.session != nil {
		return r
	}
	s := new(Session).made()
	dead := newRawStream(s, 0)
	dead.st.replied = make(chan struct{})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(&dead.st, errUnmade, dropUnread)
	return dead
}

// unmade is the error of calls on a zero stream.
func (st *Stream) unmade() error {
	if st.session == nil {
		return errUnmade
	}
	return nil
}

// checkAsks reports why a session cannot send a request.
func (s *Session) checkAsks(req *http.Request) error {
	switch _, serves := s.app.(*httpServerApp); {
	case serves:
		return errServing
	case req == nil:
		return errNoRequest
	}
	return nil
}

// A noConn is the connection of a session that has none.
type noConn struct{}

func (noConn) Read([]byte) (int, error)         { return 0, io.EOF }
func (noConn) Write([]byte) (int, error)        { return 0, net.ErrClosed }
func (noConn) Close() error                     { return nil }
func (noConn) LocalAddr() net.Addr              { return noAddr{} }
func (noConn) RemoteAddr() net.Addr             { return noAddr{} }
func (noConn) SetDeadline(time.Time) error      { return net.ErrClosed }
func (noConn) SetReadDeadline(time.Time) error  { return net.ErrClosed }
func (noConn) SetWriteDeadline(time.Time) error { return net.ErrClosed }

// A noAddr is the address of nothing.
type noAddr struct{}

func (noAddr) Network() string { return "none" }
func (noAddr) String() string  { return "none" }
