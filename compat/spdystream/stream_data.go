package spdystream

import (
	"errors"
	"io"
	"os"
	"time"

	amahi "github.com/amahi/spdy"
)

// teardown is how long a read waits, after the peer has reset the stream with CANCEL, to
// see whether the peer closes the connection.
const teardown = time.Second

// WriteData sends data; with fin it closes our half behind it. On a stream of the peer it
// waits for the reply to be sent, on one of ours for the peer's. Up to 16 KiB are one
// frame as a rule, more are several. It fails with ErrWriteClosedStream after Close, and
// with an error that matches ErrReset if the peer has reset the stream.
func (s *Stream) WriteData(data []byte, fin bool) error {
	_, err := s.send(data, fin)
	return err
}

// Write sends data, see WriteData. n is how much of it has been handed to the network.
func (s *Stream) Write(data []byte) (n int, err error) { return s.send(data, false) }

func (s *Stream) send(data []byte, fin bool) (n int, err error) {
	s.use()
	if err := s.awaitAnswer(); err != nil {
		if fin && !errors.Is(err, os.ErrDeadlineExceeded) {
			err = ErrWriteClosedStream
		}
		return 0, err
	}
	if err := s.closing(fin); err != nil {
		return 0, err
	}
	if len(data) > 0 {
		if n, err = s.raw.Write(data); err != nil {
			return n, s.writeError(err)
		}
	}
	if !fin {
		return n, nil
	}
	if err := s.raw.CloseWrite(); err != nil {
		if remoteReset(err) != nil {
			return n, ErrWriteClosedStream
		}
		return n, s.writeError(err)
	}
	s.finish()
	return n, nil
}

// closing notes that nothing is to be written any more, if fin is set. It fails if that
// is so already.
func (s *Stream) closing(fin bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.half != halfOpen {
		return ErrWriteClosedStream
	}
	if fin {
		s.half = halfClosing
	}
	return nil
}

// finish notes that our FIN is on its way behind all that was to be written: a reset has
// to let it pass.
func (s *Stream) finish() {
	s.mu.Lock()
	s.half = halfClosed
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

// Read reads what the peer sends, of one frame at a time. The end is io.EOF if all has
// come, see the package, and after Reset; otherwise it is an error that matches
// io.ErrUnexpectedEOF.
func (s *Stream) Read(p []byte) (n int, err error) {
	s.use()
	n, err = s.raw.Read(p)
	if err != nil {
		err = s.readError(err)
	}
	return n, err
}

// ReadData waits for the next frame and returns what it carried. It returns
// ErrUnreadPartialData if Read has taken a part of one. The end is that of Read.
func (s *Stream) ReadData() ([]byte, error) {
	s.use()
	s.frames.Lock()
	defer s.frames.Unlock()
	if s.raw.InFrame() {
		return nil, ErrUnreadPartialData
	}
	data, err := s.raw.ReadFrame()
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
	case s.wasDropped():
		return io.EOF
	}
	if reset := remoteReset(err); reset != nil {
		return s.resetEnd(reset, err)
	}
	return s.conn.explain(err)
}

// resetEnd is the end of what came before the peer's reset. Programs that are through
// with a connection reset its streams and close it, and have sent all that they wanted;
// a CANCEL by itself is one that gives up.
func (s *Stream) resetEnd(reset *amahi.StreamError, err error) error {
	s.mu.Lock()
	broken := s.broken
	s.mu.Unlock()
	if broken != nil {
		return broken
	}
	broken = &resetError{err}
	if reset.Status == amahi.RstCancel {
		switch closing, late := s.awaitTeardown(); {
		case late:
			return os.ErrDeadlineExceeded
		case closing:
			broken = io.EOF
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken == nil {
		s.broken = broken
	}
	return s.broken
}

// awaitTeardown reports whether the peer closes the connection. late means that the read
// deadline has passed before that was certain.
func (s *Stream) awaitTeardown() (closing, late bool) {
	limit := time.NewTimer(teardown)
	defer limit.Stop()
	for {
		passed := s.read.wait()
		select {
		case <-s.conn.session.PeerGoAway():
			return true, false
		case <-s.conn.session.Done():
			return true, false
		case <-limit.C:
			return false, false
		case <-passed:
			if s.read.over() {
				return false, true
			}
		}
	}
}
