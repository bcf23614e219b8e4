package spdystream

import (
	"errors"
	"io"
	"net"
	"os"

	amahi "github.com/amahi/spdy"
)

// WriteData sends data; with fin it then closes our half. On a stream of the peer WriteData waits
// for our reply to be sent, on a stream of ours for the peer's reply. Up to 16 KiB are usually sent
// in one frame, larger data in several. WriteData fails with ErrWriteClosedStream after Close.
// After Reset, and after the peer's CANCEL, it drops the data and returns no error while the
// connection lasts, unless the write was to close our half: programs forward bytes to streams that
// their peer has cancelled, and treat an error as a failure of the connection. After another reset
// by the peer the error matches ErrReset.
func (s *Stream) WriteData(data []byte, fin bool) error {
	_, err := s.send(data, fin)
	return err
}

// Write sends data, see WriteData. n is the number of bytes passed to the network, or dropped.
func (s *Stream) Write(data []byte) (n int, err error) { return s.send(data, false) }

func (s *Stream) send(data []byte, fin bool) (n int, err error) {
	defer s.use()()
	if !fin && s.discards(nil) {
		return len(data), nil
	}
	if s.closesCancelled(fin) {
		return len(data), s.conn.overError()
	}
	if err := s.overError(fin); err != nil {
		return 0, err
	}
	if err := s.awaitAnswer(); err != nil {
		if fin && !errors.Is(err, os.ErrDeadlineExceeded) {
			err = ErrWriteClosedStream
		}
		return 0, err
	}
	if err := s.closing(fin, len(data) > 0); err != nil {
		return 0, err
	}
	if len(data) > 0 {
		if n, err = s.raw.Write(data); err != nil {
			if !fin && s.discards(err) {
				return len(data), nil
			}
			return n, s.writeError(err)
		}
	}
	if !fin {
		return n, nil
	}
	if remoteReset(s.raw.Err()) != nil { // CloseWrite may succeed despite the reset
		return n, ErrWriteClosedStream
	}
	if err := s.raw.CloseWrite(); err != nil {
		if remoteReset(err) != nil {
			return n, ErrWriteClosedStream
		}
		return n, s.writeError(err)
	}
	s.finish()
	s.flush()
	return n, nil
}

// discards reports whether written bytes will never be read: this side has reset the stream, or the
// peer has cancelled it. err is the error of a write, if any. discards returns false when the
// session has ended, so that a program that copies to the stream stops.
func (s *Stream) discards(err error) bool {
	select {
	case <-s.conn.session.Done():
		return false
	default:
	}
	if s.replied != nil && !s.isAnswered() {
		return false
	}
	if s.wasDropped() {
		return true
	}
	if err == nil {
		err = s.raw.Err()
	}
	return isCancel(err)
}

// overError returns the error of a write that began after the end of the connection. A fin for a
// half that is already closed is ErrWriteClosedStream also then.
func (s *Stream) overError(fin bool) error {
	err := s.conn.overError()
	if err == nil || !fin {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.half != halfOpen || remoteReset(s.raw.Err()) != nil {
		return ErrWriteClosedStream
	}
	s.half = halfClosed
	return err
}

// closing records that the stream accepts no more writes, if fin is set; more is true if data or
// headers accompany the fin. closing fails if our half is already closing.
func (s *Stream) closing(fin, more bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.dropped && !fin: // and the session has ended, see discards
		return net.ErrClosed
	case s.half != halfOpen:
		return ErrWriteClosedStream
	}
	if fin {
		s.half, s.cut = halfClosing, more
	}
	return nil
}

// finish records that our FIN is queued after all written bytes: a reset must let the FIN pass.
func (s *Stream) finish() {
	s.mu.Lock()
	s.half, s.cut = halfClosed, false
	s.mu.Unlock()
}

// writeError converts the error of a write to an error of this package.
func (s *Stream) writeError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case s.wasDropped(), errors.Is(err, amahi.ErrStreamClosed):
		return ErrWriteClosedStream
	}
	if reset := remoteReset(err); reset != nil {
		return &resetError{reset}
	}
	return s.conn.explain(err)
}

// Read reads the bytes that the peer sends, from one frame at a time. The end is io.EOF after the
// peer's FIN or CANCEL, and after Reset; otherwise the error matches io.ErrUnexpectedEOF.
func (s *Stream) Read(p []byte) (n int, err error) {
	defer s.use()()
	n, err = s.raw.Read(p)
	if n > 0 {
		s.conn.conn.moveByRead()
	}
	if err != nil {
		err = s.readError(err)
	}
	return n, err
}

// ReadData waits for the next frame and returns the frame's bytes. It returns ErrUnreadPartialData
// if Read has read part of a frame. The end is as for Read.
func (s *Stream) ReadData() ([]byte, error) {
	defer s.use()()
	s.frames.Lock()
	defer s.frames.Unlock()
	if s.raw.InFrame() {
		return nil, ErrUnreadPartialData
	}
	data, err := s.raw.ReadFrame()
	if len(data) > 0 {
		s.conn.conn.moveByRead()
	}
	if err != nil {
		err = s.readError(err)
	}
	if len(data) == 0 {
		data = nil
	}
	return data, err
}

// readError converts the error of a read to an error of this package.
func (s *Stream) readError(err error) error {
	switch {
	case err == io.EOF, errors.Is(err, os.ErrDeadlineExceeded):
		return err
	case s.wasForgotten():
		return &resetError{errForgotten}
	case s.wasDropped():
		return io.EOF
	}
	if reset := remoteReset(err); reset != nil {
		if isCancel(reset) { // how Kubernetes ends an unwanted stream
			return io.EOF
		}
		return &resetError{err}
	}
	return s.conn.explain(err)
}
