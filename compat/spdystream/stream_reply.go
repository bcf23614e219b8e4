package spdystream

import (
	"context"
	"errors"
	"net/http"
	"os"
	"time"

	amahi "github.com/amahi/spdy"
)

// abandonTime is how long a stream of ours stays after Wait has timed out if no method of
// it is called any more.
const abandonTime = 10 * time.Second

// Wait waits for the peer's reply to a stream of ours, and on one of the peer for ours.
// It returns ErrReset if the stream was refused or reset before, and why the connection
// has ended if it has.
func (s *Stream) Wait() error { return s.WaitTimeout(0) }

// WaitTimeout is Wait for at most the timeout, for which it returns ErrTimeout; 0 stands
// for none. A stream that has timed out can be waited for again. If no method of it is
// called for ten seconds, it is reset: programs forget such streams.
func (s *Stream) WaitTimeout(timeout time.Duration) error {
	s.use()
	ctx := context.Background()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	if s.replied != nil {
		return s.awaitOwnReply(ctx)
	}
	_, err := s.raw.AwaitReply(ctx)
	var reset *amahi.StreamError
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded):
		s.abandon()
		return ErrTimeout
	case errors.As(err, &reset), s.wasDropped():
		return ErrReset
	}
	return s.conn.explain(err)
}

// awaitOwnReply waits for SendReply.
func (s *Stream) awaitOwnReply(ctx context.Context) error {
	select {
	case <-s.replied:
		if s.wasDropped() {
			return ErrReset
		}
		return nil
	case <-s.raw.Done():
		return s.endError()
	case <-ctx.Done():
		return ErrTimeout
	}
}

// use notes a call.
func (s *Stream) use() {
	s.mu.Lock()
	s.used++
	s.mu.Unlock()
}

// abandon resets the stream some time later if nobody uses it until then.
func (s *Stream) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used++
	used := s.used
	if s.abandoned != nil {
		s.abandoned.Stop()
	}
	s.abandoned = time.AfterFunc(abandonTime, func() {
		s.mu.Lock()
		forgotten := s.used == used
		s.mu.Unlock()
		if forgotten {
			s.drop(amahi.RstCancel)
		}
	})
}

func (s *Stream) wasDropped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}

// endError is why calls fail on a stream that has ended.
func (s *Stream) endError() error {
	if s.wasDropped() {
		return ErrReset
	}
	err := s.raw.Err()
	if reset := remoteReset(err); reset != nil {
		return &resetError{reset}
	}
	return s.conn.explain(err)
}

// SendReply accepts a stream of the peer; with fin this side will send nothing on it. A
// second call does nothing.
func (s *Stream) SendReply(headers http.Header, fin bool) error {
	if s.replied == nil {
		return errInitiated
	}
	s.use()
	s.mu.Lock()
	answered := s.answered
	s.mu.Unlock()
	if answered {
		return nil
	}
	block, err := amahi.NewHeaderBlock(headers)
	if err != nil {
		return err
	}
	switch err := s.raw.Reply(block, fin); {
	case errors.Is(err, amahi.ErrReplied): // somebody else was faster
		return nil
	case err != nil:
		return s.writeError(err)
	}
	if fin {
		s.finish()
	}
	s.answer()
	return nil
}

// answer notes that the peer has its answer, and reports whether it did not have it.
func (s *Stream) answer() (first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answered {
		return false
	}
	if s.replied == nil { // the answer is the peer's
		return !s.dropped && !s.isReplied()
	}
	s.answered = true
	close(s.replied)
	return true
}

// isReplied reports that the peer has replied to a stream of ours.
func (s *Stream) isReplied() bool {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := s.raw.AwaitReply(ctx)
	return err == nil
}

// awaitAnswer waits until bytes may be sent on a stream of the peer.
func (s *Stream) awaitAnswer() error {
	if s.replied == nil {
		return nil
	}
	for {
		select {
		case <-s.replied:
			return nil
		default:
		}
		passed := s.write.wait()
		select {
		case <-s.replied:
			return nil
		case <-s.raw.Done():
			return s.endError()
		case <-passed:
			if s.write.over() {
				return os.ErrDeadlineExceeded
			}
		}
	}
}

// SendHeader sends headers behind what has been written; with fin this side will send
// nothing more. On a stream of the peer it waits for the reply to be sent.
func (s *Stream) SendHeader(headers http.Header, fin bool) error {
	s.use()
	if err := s.awaitAnswer(); err != nil {
		return err
	}
	block, err := amahi.NewHeaderBlock(headers)
	if err != nil {
		return err
	}
	if err := s.closing(fin); err != nil {
		return err
	}
	if err := s.raw.SendHeaders(block, fin); err != nil {
		return s.writeError(err)
	}
	if fin {
		s.finish()
	}
	return nil
}

// ReceiveHeader waits for headers that the peer sends with SendHeader. It fails when the
// peer has closed its half or the stream has ended.
func (s *Stream) ReceiveHeader() (http.Header, error) {
	s.use()
	block, err := s.raw.ReceiveHeaders(context.Background())
	if err != nil {
		return nil, s.readError(err)
	}
	if !s.conn.fits(block) {
		s.drop(amahi.RstFrameTooLarge)
		return nil, errHeaderSize
	}
	return block.HTTPHeader(), nil
}
