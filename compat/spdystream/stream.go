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

// A Stream is a bidirectional byte stream, and a net.Conn. Any number of goroutines may use a
// Stream at once.
type Stream struct {
	conn    *Connection
	raw     *amahi.RawStream
	headers http.Header
	parent  *Stream
	replied chan struct{} // latch: SendReply or Refuse was called; nil for a stream that we opened

	frames sync.Mutex // ReadData returns one frame at a time

	write deadline

	mu        sync.Mutex
	answered  bool // replied is closed
	half      half // ours
	cut       bool // bytes or headers that were to close our half have not all been sent
	dropped   bool // this side has reset the stream
	cancelled bool // Cancel has ended the stream, and our half was open: the next Close succeeds
	forgotten bool // reset by the timer, not by the program
	priority  uint8
	calls     int         // calls in progress
	used      uint64      // counts calls, to detect an unused stream
	abandoned *time.Timer // resets the stream if unused
}

// A half is the progress of our half of a stream towards the end.
type half uint8

const (
	halfOpen    half = iota
	halfClosing      // no more writes are accepted, and accepted bytes are still unsent
	halfClosed       // the FIN is queued after all bytes, or the stream was reset
)

var _ net.Conn = (*Stream)(nil)

func newStream(c *Connection, raw *amahi.RawStream, headers http.Header) *Stream {
	return &Stream{conn: c, raw: raw, headers: headers, priority: raw.Priority()}
}

// over reports whether the stream has ended in both directions.
func (s *Stream) over() bool {
	select {
	case <-s.raw.Done():
		return true
	default:
		return false
	}
}

// overAlone reports whether the stream ended before the connection ended.
func (s *Stream) overAlone() bool {
	err := s.raw.Err()
	return errors.Is(err, amahi.ErrStreamClosed) || errors.As(err, new(*amahi.StreamError))
}

// Close closes our half: the peer reads io.EOF after the written bytes. The other half stays open.
// On a stream of the peer Close waits for the reply to be sent. Close fails with
// ErrWriteClosedStream if our half is closed or the stream has ended.
func (s *Stream) Close() error { return s.WriteData(nil, true) }

// Reset ends the stream in both directions: reads return io.EOF from then on. The peer receives the
// reset unless the stream has ended for the peer; after Close the reset follows the written bytes.
// A write that was to close our half and has not sent everything does not count as Close. The error
// is always nil.
func (s *Stream) Reset() error {
	s.mu.Lock()
	s.cancelled = false
	s.mu.Unlock()
	s.drop(amahi.RstCancel)
	s.flush()
	return nil
}

// Cancel is Reset, except that Close succeeds once afterwards if our half was open, as in the
// original. The error is always nil.
func (s *Stream) Cancel() error {
	s.mu.Lock()
	if s.half == halfOpen && remoteReset(s.raw.Err()) == nil {
		s.cancelled = true
	}
	s.mu.Unlock()
	s.drop(amahi.RstCancel)
	s.flush()
	return nil
}

// closesCancelled reports whether the call is the first Close after Cancel.
func (s *Stream) closesCancelled(fin bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	closes := fin && s.cancelled
	if closes {
		s.cancelled = false
	}
	return closes
}

// Refuse rejects a stream of the peer before the reply; after the reply it does nothing. The error
// is always nil.
func (s *Stream) Refuse() error {
	s.refuse()
	s.flush()
	return nil
}

// refuse is Refuse for the accepting goroutine, and does not wait for the network.
func (s *Stream) refuse() {
	if s.answer() {
		s.drop(amahi.RstRefusedStream)
	}
}

// drop resets the stream.
func (s *Stream) drop(status amahi.RstStatus) {
	s.mu.Lock()
	finished, dropped := s.half == halfClosed, s.dropped
	if s.cut { // CANCEL would mean that all bytes have been sent
		status = amahi.RstInternalError
	}
	s.half, s.dropped = halfClosed, true
	s.mu.Unlock()
	switch {
	case dropped:
	case finished: // the FIN must not be lost
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

// SetPriority stores a priority, from 0, the most urgent, to 7. The priority is not sent to the
// peer, and received frames never queue by priority here: the call has no effect.
func (s *Stream) SetPriority(priority uint8) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.priority = priority
}

// Parent returns the parent stream; nil if the stream has no parent, or if the parent had ended
// when the peer opened this stream.
func (s *Stream) Parent() *Stream { return s.parent }

// Headers returns the headers that opened the stream. Callers must not change them.
func (s *Stream) Headers() http.Header { return s.headers }

// String returns "stream:" and the number of the stream.
func (s *Stream) String() string { return fmt.Sprintf("stream:%d", s.raw.ID()) }

// Identifier returns the number of the stream: odd if the client has opened the stream.
func (s *Stream) Identifier() uint32 { return s.raw.ID() }

// IsFinished reports whether this side sends nothing more: our half is closed, or the stream has
// ended.
func (s *Stream) IsFinished() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.half != halfOpen || s.over()
}

// LocalAddr returns the local address of the connection.
func (s *Stream) LocalAddr() net.Addr { return s.conn.conn.LocalAddr() }

// RemoteAddr returns the address of the peer.
func (s *Stream) RemoteAddr() net.Addr { return s.conn.conn.RemoteAddr() }

// SetDeadline sets the read and write deadlines.
func (s *Stream) SetDeadline(t time.Time) error {
	if err := s.SetReadDeadline(t); err != nil {
		return err
	}
	return s.SetWriteDeadline(t)
}

// SetReadDeadline makes reads of this stream, and of no other stream, fail with
// os.ErrDeadlineExceeded from t on. The zero time means never.
func (s *Stream) SetReadDeadline(t time.Time) error {
	return s.deadlineError(s.raw.SetReadDeadline(t))
}

// SetWriteDeadline is SetReadDeadline for writes.
func (s *Stream) SetWriteDeadline(t time.Time) error {
	s.write.set(t)
	return s.deadlineError(s.raw.SetWriteDeadline(t))
}

// deadlineError ignores the error of a stream that this side has reset: programs set deadlines
// without checking.
func (s *Stream) deadlineError(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dropped {
		return nil
	}
	return err
}
