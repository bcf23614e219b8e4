package spdy

import (
	"context"
	"errors"
	"net"
	"slices"
)

// A raw session carries byte streams with a header block each, and no HTTP. The application is a
// queue from which AcceptStream removes streams opened by the peer. Streams opened by this side
// with OpenStream need no application.

// NewRawSession prepares a session whose streams are accepted with AcceptStream and opened with
// OpenStream. client selects our stream ids: odd if true, for the side that dialled or requested an
// upgrade, even if false. Call Serve, usually in a separate goroutine, to run the session.
func NewRawSession(conn net.Conn, client bool) *Session {
	return (*Config)(nil).RawSession(conn, client)
}

// RawSession is NewRawSession with a configuration. The protocol negotiated by a TLS connection
// counts if the handshake is complete and the protocol is a dialect of SPDY.
func (c *Config) RawSession(conn net.Conn, client bool) *Session {
	return newSession(conn, client, c.dialect(conn), c.rawHeaders(), newAcceptQueue(c))
}

// StreamOptions are the options of OpenStream. The zero value opens an ordinary stream of the
// highest priority.
type StreamOptions struct {
	Priority uint8      // 0, the most urgent, to 7; more means 7. SPDY/2 has half as many levels. See WithPriority
	Parent   *RawStream // parent of the new stream, in the same session; nil for none

	// Fin opens the stream with our half closed: only the peer will send bytes.
	Fin bool

	// Unidirectional opens the stream with the peer's half closed. The peer never sends a reply.
	Unidirectional bool
}

var (
	errNotRaw       = errors.New("spdy: AcceptStream on a session that is not raw")
	errForeignChild = errors.New("spdy: the parent is a stream of another session")
)

// OpenStream opens a stream with a header block, on any session and from either side. If the peer
// accepts no more streams at present, OpenStream waits for a stream to end; callers are served in
// order, and the context limits the wait. OpenStream does not wait for the peer's reply. After
// OpenStream has returned, the context has no effect on the stream: a caller that stops waiting for
// a reply ends the stream with RawStream.Reset.
//
// The names in h must be lower-case tokens, each occurring once, and the values free of control
// bytes; NUL separates the values of one name. NewHeaderBlock makes such a block. For an invalid
// block, OpenStream sends nothing and returns an error that matches ErrInvalidHeader.
//
// OpenStream also fails with a *StreamError that is Retryable if the session is going away, and
// with the error that ended the session if the session has ended.
func (s *Session) OpenStream(ctx context.Context, h HeaderBlock, o StreamOptions) (*RawStream, error) {
	s = s.made()
	block, err := s.encodeHeaders(h)
	if err != nil {
		return nil, err
	}
	r := newRawStream(s, o.Priority)
	r.header = slices.Clone(h)
	r.answered.Store(true)
	r.taken = true
	st := &r.st
	st.replied = make(chan struct{})
	st.oneWay = o.Unidirectional
	var flags frameFlags
	if o.Fin {
		flags |= FlagFin
	}
	if o.Unidirectional {
		flags |= FlagUnidirectional
	}
	if o.Parent != nil {
		if o.Parent.st.session != s {
			putBlock(block)
			return nil, errForeignChild
		}
		st.assoc = o.Parent.st.id
	}
	if err := s.open(ctx, st, block, flags); err != nil {
		return nil, err
	}
	return r, nil
}

// AcceptStream waits for the next stream opened by the peer on a raw session. It returns the stream
// as soon as the SYN_STREAM has arrived; no reply has been sent yet, see RawStream.Reply.
// AcceptStream skips streams reset by the peer before being accepted. It may also skip a completely
// received stream if the header blocks of all waiting streams are too large together.
//
// AcceptStream fails with the context's error, or with the error that ended the session, which is
// ErrSessionClosed after an orderly end. Streams that arrived before the end are still returned
// first. If this side has ended the session, only streams that have unread data or were received
// completely are returned.
func (s *Session) AcceptStream(ctx context.Context) (*RawStream, error) {
	s = s.made()
	q, ok := s.app.(*acceptQueue)
	if !ok {
		return nil, errNotRaw
	}
	q.attend(s, &q.acceptors)
	defer q.leave(s)
	return s.acceptStream(ctx)
}

// acceptStream is AcceptStream for a listener too.
func (s *Session) acceptStream(ctx context.Context) (*RawStream, error) {
	q, ok := s.app.(*acceptQueue)
	if !ok {
		return nil, errNotRaw
	}
	var r *RawStream
	var err error
	look := func() (bell chan struct{}) {
		ended := s.ended() // before checking the queue, which may hold streams from before the end
		if r = q.pop(s); r != nil {
			return nil
		}
		if err = causeOf(ctx); err != nil { // the context may have ended before the session
			return nil
		}
		if ended {
			err = s.Err()
			return nil
		}
		return q.bell
	}
	w := wait{end: s.end.done, over: ctx.Done()}
	w.until(look(), look)
	return r, err
}

// isRaw reports whether the peer's streams are accepted with AcceptStream.
func (s *Session) isRaw() bool {
	_, ok := s.app.(*acceptQueue)
	return ok
}

// newPeerStream makes a stream, opened by the peer, of the kind needed by the application.
func (s *Session) newPeerStream(priority uint8) *Stream {
	switch s.app.(type) {
	case *acceptQueue:
		return &newRawStream(s, priority).st
	case *httpServerApp:
		return newServedStream(s, priority)
	}
	return newStream(s, priority)
}

// An acceptQueue is the application of a raw session: the streams opened by the peer and not
// accepted yet. A stream's slot is free as soon as the stream has ended, accepted or not, unless
// unread data of ended streams uses up the session's window. So the queue has a separate limit.
// When the queue is full, streams that broke off are removed.
type acceptQueue struct {
	limit int           // Config.AcceptBacklog; immutable once the session has its configuration
	bell  chan struct{} // doorbell for AcceptStream

	// The fields below are guarded by Session.mu.

	streams   []*RawStream // the oldest first
	listeners int          // open listeners
	acceptors int          // running calls of AcceptStream
	deserted  bool         // the last listener has been closed, and AcceptStream has not been called since
}

func newAcceptQueue(c *Config) *acceptQueue {
	q := &acceptQueue{bell: make(chan struct{}, 1)}
	if c != nil {
		q.limit = c.AcceptBacklog
	}
	return q
}

// accept queues a stream, or refuses it if too many are waiting: the peer may try again.
func (q *acceptQueue) accept(st *Stream, h HeaderBlock) *StreamError {
	s, r := st.session, st.raw
	kept := s.keptBytes(h)
	s.mu.Lock()
	deserted := q.deserted
	if len(q.streams) >= q.limit {
		q.pruneLocked()
	}
	full := len(q.streams) >= q.limit
	fits := deserted || full || r.keepOpeningLocked(kept)
	if !deserted && !full && fits {
		r.header = h
		q.streams = append(q.streams, r)
	}
	s.mu.Unlock()
	switch {
	case deserted:
		return streamErrorf(st.id, RstRefusedStream, noListener)
	case full:
		return streamErrorf(st.id, RstRefusedStream, "%d streams wait to be accepted", q.limit)
	case !fits:
		return streamErrorf(st.id, RstRefusedStream, "%s", rawHeadersFull)
	}
	st.release()
	q.ring()
	return nil
}

// pruneLocked removes streams no longer worth accepting.
func (q *acceptQueue) pruneLocked() {
	q.streams = slices.DeleteFunc(q.streams, func(r *RawStream) bool {
		if !r.lostLocked() {
			return false
		}
		r.takeLocked()
		return true
	})
}

// pop removes and returns the oldest stream worth accepting, or nil. If others are left, pop rings
// the bell for the next acceptor.
func (q *acceptQueue) pop(s *Session) *RawStream {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(q.streams) > 0 {
		r := q.streams[0]
		q.streams[0] = nil
		q.streams = q.streams[1:]
		r.takeLocked()
		if r.lostLocked() {
			continue
		}
		if len(q.streams) > 0 {
			q.ring()
		}
		return r
	}
	return nil
}

// leave records the end of a call of AcceptStream.
func (q *acceptQueue) leave(s *Session) {
	s.mu.Lock()
	q.acceptors--
	s.mu.Unlock()
}

func (q *acceptQueue) ring() { ringBell(q.bell) }

// headers does nothing: raw streams store their late headers themselves.
func (q *acceptQueue) headers(*Stream, HeaderBlock) {}

// goingAway does nothing: queued streams can still be accepted.
func (q *acceptQueue) goingAway() {}

// makeRoom cannot free memory: unread data belongs to streams still to be accepted.
func (q *acceptQueue) makeRoom() bool { return false }
