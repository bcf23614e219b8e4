package spdystream

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	amahi "github.com/amahi/spdy"
)

// A Stream is a stream of bytes in both directions, and a net.Conn. Any number of
// goroutines may use it at once.
type Stream struct {
	conn    *Connection
	raw     *amahi.RawStream
	headers http.Header
	parent  *Stream
	replied chan struct{} // latch: SendReply or Refuse was called; nil if we opened it

	frames sync.Mutex // ReadData returns one frame at a time

	write deadline

	mu        sync.Mutex
	answered  bool // replied is closed
	half      half // ours
	cut       bool // bytes or headers that were to close our half have not all been sent
	dropped   bool // this side has reset the stream
	forgotten bool // by the timer, not by the program
	priority  uint8
	calls     int         // calls in progress
	used      uint64      // counts calls, for forgetting a stream that nobody uses
	abandoned *time.Timer // forgets it
}

// A half is how far our half of a stream has got to its end.
type half uint8

const (
	halfOpen    half = iota
	halfClosing      // nothing more is written, and not all that was to be is out
	halfClosed       // the FIN is on its way behind all of it, or the stream was reset
)

var _ net.Conn = (*Stream)(nil)

func newStream(c *Connection, raw *amahi.RawStream, headers http.Header) *Stream {
	return &Stream{conn: c, raw: raw, headers: headers, priority: raw.Priority()}
}

// over reports that nothing comes or goes any more.
func (s *Stream) over() bool {
	select {
	case <-s.raw.Done():
		return true
	default:
		return false
	}
}

// overAlone is over for a stream that ended before its connection did.
func (s *Stream) overAlone() bool {
	err := s.raw.Err()
	return errors.Is(err, amahi.ErrStreamClosed) || errors.As(err, new(*amahi.StreamError))
}

// Close closes our half: the peer reads io.EOF after what has been written. The other
// half stays open. On a stream of the peer it waits for the reply to be sent. It fails
// with ErrWriteClosedStream if our half is closed or the stream has ended.
func (s *Stream) Close() error { return s.WriteData(nil, true) }

// Reset gives the stream up in both directions: reads return io.EOF from then on, and
// the peer is told, after a Close behind what has been written, if it does not know that
// yet. A write that was to close our half and has not sent everything is no Close. The
// error is always nil.
func (s *Stream) Reset() error {
	s.drop(amahi.RstCancel)
	s.flush()
	return nil
}

// Cancel is Reset. The error is always nil.
func (s *Stream) Cancel() error { return s.Reset() }

// Refuse rejects a stream of the peer before it has been replied to, and does nothing
// later. The error is always nil.
func (s *Stream) Refuse() error {
	s.refuse()
	s.flush()
	return nil
}

// refuse is Refuse for the goroutine that accepts, which does not wait for the network.
func (s *Stream) refuse() {
	if s.answer() {
		s.drop(amahi.RstRefusedStream)
	}
}

// drop resets the stream.
func (s *Stream) drop(status amahi.RstStatus) {
	s.mu.Lock()
	finished, dropped := s.half == halfClosed, s.dropped
	if s.cut { // CANCEL would say that all has come
		status = amahi.RstInternalError
	}
	s.half, s.dropped = halfClosed, true
	s.mu.Unlock()
	switch {
	case dropped:
	case finished: // the FIN must not get lost
		_ = s.raw.Close()
	default:
		_ = s.raw.Reset(status)
	}
	s.answer()
}

// CreateSubStream is CreateStream with this stream as the parent.
func (s *Stream) CreateSubStream(headers http.Header, fin bool) (*Stream, error) {
	return s.conn.CreateStream(headers, s, fin)
}

// SetPriority notes a priority, from 0, the most urgent, to 7. The peer is not told, and
// here nothing that has come waits for anything: it has no effect.
func (s *Stream) SetPriority(priority uint8) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.priority = priority
}

// Parent returns the stream that this one belongs to; nil if there is none, or if it had
// ended when the peer opened this one.
func (s *Stream) Parent() *Stream { return s.parent }

// Headers returns the headers that the stream was opened with. They must not be changed.
func (s *Stream) Headers() http.Header { return s.headers }

// String returns "stream:" and the number of the stream.
func (s *Stream) String() string { return fmt.Sprintf("stream:%d", s.raw.ID()) }

// Identifier returns the number of the stream: odd if the client has opened it.
func (s *Stream) Identifier() uint32 { return s.raw.ID() }

// IsFinished reports that this side will send nothing more: it has closed its half, or
// the stream has ended.
func (s *Stream) IsFinished() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.half != halfOpen || s.over()
}

// LocalAddr returns the local address of the connection.
func (s *Stream) LocalAddr() net.Addr { return s.conn.conn.LocalAddr() }

// RemoteAddr returns the address of the peer.
func (s *Stream) RemoteAddr() net.Addr { return s.conn.conn.RemoteAddr() }

// SetDeadline sets the deadlines of reading and writing.
func (s *Stream) SetDeadline(t time.Time) error {
	if err := s.SetReadDeadline(t); err != nil {
		return err
	}
	return s.SetWriteDeadline(t)
}

// SetReadDeadline makes reads of this stream, and of no other, fail with
// os.ErrDeadlineExceeded from t on. The zero time means never.
func (s *Stream) SetReadDeadline(t time.Time) error {
	return s.deadlineError(s.raw.SetReadDeadline(t))
}

// SetWriteDeadline is SetReadDeadline for writes.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	s.write.set(t)
	return s.deadlineError(s.raw.SetWriteDeadline(t))
}

// deadlineError passes over that a stream with deadlines has been reset: programs set
// them without looking.
func (s *Stream) deadlineError(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped {
		return nil
	}
	return err
}
