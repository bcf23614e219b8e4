package spdystream

import (
	"errors"
	"io"
	"net"
	"os"

	amahi "github.com/amahi/spdy"
)

// WriteData sends data; with fin it closes our half behind it. On a stream of the peer it
// waits for the reply to be sent, on one of ours for the peer's. Up to 16 KiB are one
// frame as a rule, more are several. It fails with ErrWriteClosedStream after Close. After
// Reset, and after the peer's CANCEL, it drops the data and returns no error while the
// connection lasts, unless it was to close our half: programs forward bytes to streams that
// their peer has given up, and take an error there for one of the connection. After another
// reset by the peer it fails with an error that matches ErrReset.
func (s *Stream) WriteData(data []byte, fin bool) error {
	_, err := s.send(data, fin)
	return err
}

// Write sends data, see WriteData. n is how much of it has been handed to the network, or
// dropped.
func (s *Stream) Write(data []byte) (n int, err error) { return s.send(data, false) }

func (s *Stream) send(data []byte, fin bool) (n int, err error) {
	defer s.use()()
	if !fin && s.discards(nil) {
		return len(data), nil
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
	if remoteReset(s.raw.Err()) != nil { // with which CloseWrite may do
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

// discards reports that nobody will read what is written: this side has reset the stream, or
// the peer has with CANCEL. err is that of a write, if there was one. It reports false when
// the session has ended, so that whoever copies to the stream stops.
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
	reset := remoteReset(err)
	return reset != nil && reset.Status == amahi.RstCancel
}

// closing notes that nothing is to be written any more, if fin is set, but for what comes
// with it. It fails if that is so already.
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

// finish notes that our FIN is on its way behind all that was to be written: a reset has
// to let it pass.
func (s *Stream) finish() {
	s.mu.Lock()
	s.half, s.cut = halfClosed, false
	s.mu.Unlock()
}

// writeError makes the error of a write one of this package.
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

// Read reads what the peer sends, of one frame at a time. The end is io.EOF after the
// peer's FIN or CANCEL, and after Reset; otherwise it is an error that matches
// io.ErrUnexpectedEOF.
func (s *Stream) Read(p []byte) (n int, err error) {
	defer s.use()()
	n, err = s.raw.Read(p)
	if n > 0 {
		s.conn.conn.move()
	}
	if err != nil {
		err = s.readError(err)
	}
	return n, err
}

// ReadData waits for the next frame and returns what it carried. It returns
// ErrUnreadPartialData if Read has taken a part of one. The end is that of Read.
func (s *Stream) ReadData() ([]byte, error) {
	defer s.use()()
	s.frames.Lock()
	defer s.frames.Unlock()
	if s.raw.InFrame() {
		return nil, ErrUnreadPartialData
	}
	data, err := s.raw.ReadFrame()
	if len(data) > 0 {
		s.conn.conn.move()
	}
	if err != nil {
		err = s.readError(err)
	}
	if len(data) == 0 {
		data = nil
	}
	return data, err
}

// readError makes the error of a read one of this package.
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
		if reset.Status == amahi.RstCancel { // how Kubernetes ends a stream of which it wants no more
			return io.EOF
		}
		return &resetError{err}
	}
	return s.conn.explain(err)
}
