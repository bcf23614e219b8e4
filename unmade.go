package spdy

import (
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// This file reports misuse that can be detected at once: zero values of types with constructors,
// nil arguments, and requests on the serving end of a session.

var (
	errUnmade       = errors.New("spdy: a nil or zero Session, or a zero Stream; NewClientSession, NewServerSession, NewRawSession and Config make sessions, and sessions make streams")
	errUnmadeClient = errors.New("spdy: a zero Client; NewClient and NewClientConn make one")
	errUnmadeFramer = errors.New("spdy: a Framer without this direction, or without a frame; NewFramer makes one")
	errNilServer    = errors.New("spdy: a nil http.Server")
	errNoConn       = errors.New("spdy: a session without a connection")
	errNoRequest    = errors.New("spdy: a nil Request")
	errNoReader     = errors.New("spdy: a nil io.Reader")
	errServing      = errors.New("spdy: a request on the end of a session that serves requests; send it on the other end, or make the session with NewClientSession")
)

// made returns the session, or for a nil or zero Session an ended session on which all calls fail.
// It makes a new ended session for each call, because only mistakes need it. The session is nil
// after Client.Session of a zero Client.
func (s *Session) made() *Session {
	if s != nil && s.conn != nil {
		return s
	}
	dead := setUpSession(noConn{}, true, SPDY31, (*Config)(nil).withDefaults(true, rawSending), newAcceptQueue(nil))
	dead.shutdown(errUnmade)
	return dead
}

// made returns the stream, or for a zero RawStream an ended stream.
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

// unmade returns the error of calls on a zero stream.
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

// A noConn is the connection of a session without a connection.
type noConn struct{}

func (noConn) Read([]byte) (int, error)         { return 0, io.EOF }
func (noConn) Write([]byte) (int, error)        { return 0, net.ErrClosed }
func (noConn) Close() error                     { return nil }
func (noConn) LocalAddr() net.Addr              { return noAddr{} }
func (noConn) RemoteAddr() net.Addr             { return noAddr{} }
func (noConn) SetDeadline(time.Time) error      { return net.ErrClosed }
func (noConn) SetReadDeadline(time.Time) error  { return net.ErrClosed }
func (noConn) SetWriteDeadline(time.Time) error { return net.ErrClosed }

// A noAddr is the address of a noConn.
type noAddr struct{}

func (noAddr) Network() string { return "none" }
func (noAddr) String() string  { return "none" }
