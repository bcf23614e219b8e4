package spdystream

import (
	"context"
	"errors"
	"net/http"
	"os"
	"time"

	amahi "github.com/amahi/spdy"
)

// abandonTime is how long a stream of ours stays open after Wait has timed out, if no reply arrives
// and no method of the stream is called.
const abandonTime = 10 * time.Second

// Wait waits for the peer's reply to a stream of ours, or for our reply to a stream of the peer. It
// returns ErrReset if the stream was refused or reset before the reply, or the reason if the
// connection has ended.
func (s *Stream) Wait() error { return s.WaitTimeout(0) }

// WaitTimeout is Wait with a timeout, after which it returns ErrTimeout; 0 means no timeout.
// Callers may wait again after a timeout. If no method of the stream is then called or in progress
// for ten seconds, and no reply has arrived, the stream is reset: programs forget such streams.
func (s *Stream) WaitTimeout(timeout time.Duration) error {
	defer s.use()()
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

// use records the start of a call; the returned function records the end.
func (s *Stream) use() (done func()) {
	s.mu.Lock()
	s.used++
	s.calls++
	s.mu.Unlock()
	return s.leave
}

func (s *Stream) leave() {
	s.mu.Lock()
	s.used++
	s.calls--
	s.mu.Unlock()
}

// abandon resets the stream after abandonTime if the stream is unused until then.
func (s *Stream) abandon() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.abandonLocked(s.used + 1) // counts the end of the abandoning call
}

func (s *Stream) abandonLocked(used uint64) {
	if s.abandoned != nil {
		s.abandoned.Stop()
	}
	s.abandoned = time.AfterFunc(abandonTime, func() { s.forget(used) })
}

// forget resets the stream if no reply has arrived and the stream is unused since abandon; used is
// the count of calls at that time. A stream with a call in progress is in use, and a stream with a
// reply belongs to the program: both stay.
func (s *Stream) forget(used uint64) {
	if s.isReplied() {
		return
	}
	s.mu.Lock()
	idle := s.calls == 0 && s.used == used
	switch {
	case idle:
		s.forgotten = !s.dropped
	default:
		s.abandonLocked(s.used)
	}
	s.mu.Unlock()
	if idle {
		s.drop(amahi.RstCancel)
	}
}

func (s *Stream) wasForgotten() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.forgotten
}

func (s *Stream) wasDropped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dropped
}

// endError returns the error for calls on a stream that has ended.
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

// SendReply accepts a stream of the peer; with fin this side sends nothing on the stream. A second
// call does nothing. After the peer's CANCEL the reply is dropped without an error.
func (s *Stream) SendReply(headers http.Header, fin bool) error {
	if s.replied == nil {
		return errInitiated
	}
	defer s.use()()
	if s.isAnswered() {
		return nil
	}
	if err := s.conn.overError(); err != nil {
		return err
	}
	block, err := headerBlock(headers)
	if err != nil {
		return err
	}
	switch err := s.raw.Reply(block, fin); {
	case errors.Is(err, amahi.ErrReplied): // another call was faster
		return nil
	case isCancel(err): // as for writes, see discards
		s.answer()
		return nil
	case err != nil:
		return s.writeError(err)
	}
	if fin {
		s.finish()
	}
	s.answer()
	s.flush()
	return nil
}

// isAnswered reports whether the peer has an answer to the peer's stream.
func (s *Stream) isAnswered() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answered
}

// answer records that the peer has an answer, and reports whether this is the first answer.
func (s *Stream) answer() (first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answered {
		return false
	}
	if s.replied == nil { // the peer answers our stream
		return !s.dropped && !s.isReplied()
	}
	s.answered = true
	close(s.replied)
	return true
}

// isReplied reports whether the peer has replied to a stream of ours.
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

// SendHeader sends headers after the written bytes; with fin this side sends nothing more. On a
// stream of the peer SendHeader waits for the reply to be sent.
func (s *Stream) SendHeader(headers http.Header, fin bool) error {
	defer s.use()()
	if !fin && s.discards(nil) {
		return nil
	}
	if err := s.overError(false); err != nil {
		return err
	}
	if err := s.awaitAnswer(); err != nil {
		return err
	}
	block, err := headerBlock(headers)
	if err != nil {
		return err
	}
	if err := s.closing(fin, true); err != nil {
		return err
	}
	if err := s.raw.SendHeaders(block, fin); err != nil {
		if !fin && s.discards(err) {
			return nil
		}
		return s.writeError(err)
	}
	if fin {
		s.finish()
	}
	s.flush()
	return nil
}

// ReceiveHeader waits for headers that the peer sends with SendHeader. It fails when the peer has
// closed the peer's half or the stream has ended.
func (s *Stream) ReceiveHeader() (http.Header, error) {
	defer s.use()()
	block, err := s.raw.ReceiveHeaders(context.Background())
	if err != nil {
		return nil, s.readError(err)
	}
	s.conn.conn.moveByRead()
	if !s.conn.fits(block) {
		s.drop(amahi.RstFrameTooLarge)
		return nil, errHeaderSize
	}
	return httpHeader(block), nil
}
