package spdy

import (
	"context"
	"net"
	"slices"
	"sync/atomic"
)

// A rawListener accepts the streams of a raw session as connections.
type rawListener struct {
	session *Session
	ctx     context.Context // ends with Close
	close   context.CancelCauseFunc
	closed  atomic.Bool // set by the first Close
}

// Listener returns a net.Listener whose Accept is AcceptStream: the streams that the peer of
// a raw session opens serve a program that is made for connections, an http.Server for
// example, or a gRPC server.
//
// Close of the listener ends its Accepts with net.ErrClosed. The session goes on, and so do the
// streams that have been accepted. Close of the last listener that is open, while no AcceptStream waits,
// refuses the streams that nobody has accepted, and those that come later, until the program
// calls Listener or AcceptStream: nobody would serve them. The peer gets REFUSED_STREAM, as a TCP
// port without a listener refuses connections, and may try again elsewhere. A stream that has ended
// already is not lost. In a session without a listener, streams wait. Beyond
// Config.AcceptBacklog the session refuses them in any case. When the session has
// ended Accept fails with the reason, which matches net.ErrClosed after an orderly end. All
// listeners of a session take from the same streams.
func (s *Session) Listener() net.Listener {
	s = s.made()
	if q, ok := s.app.(*acceptQueue); ok {
		q.attend(s, &q.listeners)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	return &rawListener{session: s, ctx: ctx, close: cancel}
}

// Accept waits for the next stream, a *RawStream.
func (l *rawListener) Accept() (net.Conn, error) {
	if l.ctx.Err() != nil {
		return nil, net.ErrClosed
	}
	r, err := l.session.acceptStream(l.ctx)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Close ends Accept. A second Close fails, as that of a net.TCPListener does.
func (l *rawListener) Close() error {
	if l.closed.Swap(true) {
		return net.ErrClosed
	}
	l.close(net.ErrClosed)
	if q, ok := l.session.app.(*acceptQueue); ok {
		q.desert(l.session)
	}
	return nil
}

// Addr returns the local address of the session's connection.
func (l *rawListener) Addr() net.Addr { return l.session.LocalAddr() }

// attend notes, in one of the counts of the queue, that somebody will accept.
func (q *acceptQueue) attend(s *Session, count *int) {
	s.mu.Lock()
	*count++
	q.deserted = false
	s.mu.Unlock()
}

// desert notes that a listener has been closed. With the last one go the streams that nobody has
// accepted, as those in the backlog of a TCP listener. A stream that has ended stays: its peer
// would not hear that it is lost.
func (q *acceptQueue) desert(s *Session) {
	var lost []*RawStream
	s.mu.Lock()
	q.listeners--
	if q.listeners == 0 && q.acceptors == 0 {
		q.deserted = true
		q.streams = slices.DeleteFunc(q.streams, func(r *RawStream) bool {
			if r.st.ended {
				return false
			}
			r.takeLocked()
			lost = append(lost, r)
			return true
		})
	}
	s.mu.Unlock()
	for _, r := range lost {
		r.refuse()
	}
}

// refuse resets a stream that nobody has accepted, and nobody will.
func (r *RawStream) refuse() {
	st := &r.st
	st.session.credit(st.discard())
	st.reset(RstRefusedStream, noListener, nil)
}

// noListener is the reason of a refusal.
const noListener = "no listener is open"
