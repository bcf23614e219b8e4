package spdy

import (
	"context"
	"errors"
	"net"
	"slices"
)

// A raw session carries streams of bytes with a header block each, and no HTTP.
// Its application is a queue from which AcceptStream takes what the peer opens;
// what this side opens with OpenStream needs no application at all.

// NewRawSession prepares a session whose streams are taken with AcceptStream and
// opened with OpenStream. client says which stream ids are ours: the odd ones, of
// the side that dialled or asked for an upgrade, or the even ones. Call Serve,
// usually in a goroutine of its own, to run it.
func NewRawSession(conn net.Conn, client bool) *Session {
	return (*Config)(nil).RawSession(conn, client)
}

// RawSession is NewRawSession with a configuration. What a TLS connection has
// negotiated counts if its handshake is complete and it was a dialect of SPDY.
func (c *Config) RawSession(conn net.Conn, client bool) *Session {
	return newSession(conn, client, c.dialect(conn), c.rawHeaders(), newAcceptQueue(c))
}

// StreamOptions says how OpenStream opens a stream. The zero value is an ordinary
// stream of the highest priority.
type StreamOptions struct {
	Priority uint8      // 0, the most urgent, to 7; more means 7. SPDY/2 has half as many levels. See WithPriority
	Parent   *RawStream // the stream of the same session that this one belongs to; nil for none

	// Fin opens the stream with our half closed: only the peer will send bytes.
	Fin bool

	// Unidirectional opens the stream with the peer's half closed. It is never
	// replied to.
	Unidirectional bool
}

var (
	errNotRaw       = errors.New("spdy: AcceptStream on a session that is not raw")
	errForeignChild = errors.New("spdy: the parent is a stream of another session")
)

// OpenStream opens a stream with a header block, on any session and from either
// side. If the peer takes no more streams at present it waits for one to end, in
// turn; the context limits that wait. It does not wait for the peer's reply, and
// once it has returned the context has no effect on the stream any more: whoever
// does not get a reply in time gives up with RawStream.Reset.
//
// The names in h must be lower-case tokens, each occurring once, and the values
// free of control bytes; NUL separates the values of one name. NewHeaderBlock
// makes such a block. Another one fails with an error that matches
// ErrInvalidHeader, and nothing is sent.
//
// It also fails with a *StreamError that is Retryable if the session is going
// away, and with why the session ended if it has.
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

// AcceptStream waits for the next stream that the peer opens on a raw session. It
// returns it as soon as its SYN_STREAM has come; nothing has been replied yet, see
// RawStream.Reply. Streams that the peer has reset before anybody accepted them
// are passed over, and so may be one that is complete when the header blocks of all streams
// that wait are too large together.
//
// It fails with the context's error, or with why the session ended, which is
// ErrSessionClosed after an orderly end. Streams that came before the end, and
// have something to read, are still returned first.
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
		ended := s.ended() // before the look at the queue, which holds the streams of before the end
		if r = q.pop(s); r != nil {
			return nil
		}
		if err = causeOf(ctx); err != nil { // which may have ended before the session
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

// isRaw reports that what the peer opens is taken with AcceptStream.
func (s *Session) isRaw() bool {
	_, ok := s.app.(*acceptQueue)
	return ok
}

// newPeerStream makes a stream that the peer has opened, of the kind that the
// application wants.
func (s *Session) newPeerStream(priority uint8) *Stream {
	switch s.app.(type) {
	case *acceptQueue:
		return &newRawStream(s, priority).st
	case *httpServerApp:
		return newServedStream(s, priority)
	}
	return newStream(s, priority)
}

// An acceptQueue is the application of a raw session: the streams that the peer
// has opened and nobody has accepted yet. A stream's slot is free as soon as the
// stream has ended, accepted or not, unless what ended streams have left unread takes up
// the session's window; so what bounds the queue is its own limit.
// Streams that broke off leave it when it is full.
type acceptQueue struct {
	limit int           // Config.AcceptBacklog; immutable once the session has its configuration
	bell  chan struct{} // doorbell for AcceptStream

	// The fields below are guarded by Session.mu.

	streams   []*RawStream // the oldest first
	listeners int          // listeners that are open
	acceptors int          // calls of AcceptStream
	deserted  bool         // the last listener has been closed, and nobody has called AcceptStream since
}

func newAcceptQueue(c *Config) *acceptQueue {
	q := &acceptQueue{bell: make(chan struct{}, 1)}
	if c != nil {
		q.limit = c.AcceptBacklog
	}
	return q
}

// accept enters a stream, or refuses it if too many wait already: the peer may try
// again.
func (q *acceptQueue) accept(st *Stream, h HeaderBlock) *StreamError {
	s, r := st.session, st.raw
	kept := s.keptBytes(h)
	s.mu.Lock()
	deserted := q.deserted
	if len(q.streams) >= q.limit {
		q.pruneLocked()
	}
	full := len(q.streams) >= q.limit
	fits := deserted || full || r.keepLocked(kept)
	if !deserted && !full && fits {
		r.header, r.opening = h, kept
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

// pruneLocked takes out what is not worth accepting any more.
func (q *acceptQueue) pruneLocked() {
	q.streams = slices.DeleteFunc(q.streams, func(r *RawStream) bool {
		if !r.lostLocked() {
			return false
		}
		r.takeLocked()
		return true
	})
}

// pop takes out the oldest stream that is worth having, or returns nil. If others
// are left it rings for the next one who accepts.
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

// leave notes the end of a call of AcceptStream.
func (q *acceptQueue) leave(s *Session) {
	s.mu.Lock()
	q.acceptors--
	s.mu.Unlock()
}

func (q *acceptQueue) ring() { ringBell(q.bell) }

// headers has nothing to do: raw streams keep their late headers themselves.
func (q *acceptQueue) headers(*Stream, HeaderBlock) {}

// goingAway has nothing to do: what has come is still to be accepted.
func (q *acceptQueue) goingAway() {}

// makeRoom can do nothing: what is unread is for whoever accepts.
func (q *acceptQueue) makeRoom() bool { return false }
