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

// Listener returns a net.Listener whose Accept is AcceptStream. So a program made for connections,
// such as an http.Server or a gRPC server, can serve the streams opened by the peer of a raw
// session.
//
// Close of the listener ends its Accepts with net.ErrClosed. The session and the accepted streams
// stay open. Close of the last open listener, while no AcceptStream is waiting, refuses unaccepted
// streams, and later streams, until the program calls Listener or AcceptStream. The peer receives
// REFUSED_STREAM, as a TCP port without a listener refuses connections, and may try again
// elsewhere. Streams already ended remain available. In a session that never had a listener,
// streams wait. Beyond Config.AcceptBacklog the session refuses streams in any case. When the
// session has ended, Accept fails with the reason, which matches net.ErrClosed after an orderly
// end. All listeners of a session accept from the same queue.
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

// Close ends Accept. A second Close fails, like the Close of a net.TCPListener.
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

// attend increments one of the counts of the queue: a caller will accept streams.
func (q *acceptQueue) attend(s *Session, count *int) {
	s.mu.Lock()
	*count++
	q.deserted = false
	s.mu.Unlock()
}

// desert records the close of a listener. The last listener to close discards the unaccepted
// streams, like the backlog of a TCP listener. An ended stream stays, because the peer would not
// learn of the loss.
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

// refuse resets an unaccepted stream.
func (r *RawStream) refuse() {
	st := &r.st
	st.session.credit(st.discard())
	st.reset(RstRefusedStream, noListener, nil)
}

// noListener is the reason of a refusal.
const noListener = "no listener is open"
