package spdy

import "context"

// This file lets a caller wait until queued frames have been written to the connection. Most calls
// only queue a frame and wake the sender. A program that exits right after the last call, or closes
// the connection, would lose such a frame.

// flushers records the sender's progress. Guarded by Session.mu.
type flushers struct {
	batch uint64        // number of the last batch that has been written
	bell  chan struct{} // latch of the next batch; nil unless a Flush waits
}

// wroteLocked records that a batch has been written.
func (f *flushers) wroteLocked(batch uint64) {
	f.batch = batch
	f.wakeLocked()
}

// wakeLocked wakes every waiting Flush.
func (f *flushers) wakeLocked() {
	if f.bell != nil {
		close(f.bell)
		f.bell = nil
	}
}

// Flush waits until the frames that earlier calls on the stream have queued are written to the
// connection: SYN_STREAM, SYN_REPLY, HEADERS, RST_STREAM, and the FIN of CloseWrite or Close. Flush
// does not wait for the peer: it ignores a FIN behind bytes that wait for credit, and frames that
// FlowControlPeerUnaware holds until the peer has replied. Flush fails with the cause of the
// context, with os.ErrDeadlineExceeded after the write deadline, and with the reason why the
// session can no longer write. If the wait ends early, the frames stay queued.
func (r *RawStream) Flush(ctx context.Context) error {
	r = r.made()
	return r.st.session.flush(ctx, &r.st)
}

// Flush waits until the control frames that earlier calls on the session have queued are written to
// the connection: PING, GOAWAY and RST_STREAM. Flush fails with the cause of the context, and with
// the reason why the session can no longer write. For the frames of a stream, see RawStream.Flush.
func (s *Session) Flush(ctx context.Context) error { return s.made().flush(ctx, nil) }

// flush waits for the frames of a stream, which may be nil, and for control frames. The wait
// extends beyond the end of the session, because the sender writes the last frames after the end.
func (s *Session) flush(ctx context.Context, st *Stream) (err error) {
	w := wait{end: s.end.senderEnd, over: ctx.Done()}
	if st != nil {
		w.limit = &st.writeDeadline
	}
	var batch uint64 // number of the batch with the frames; 0 until known
	look := func() (bell chan struct{}) {
		if bell, err = s.unwritten(st, &batch); bell == nil {
			return nil
		}
		if err = causeOf(ctx); err == nil && st != nil {
			err = st.writeDeadline.err()
		}
		if err != nil {
			return nil
		}
		return bell
	}
	w.until(look(), look)
	return err
}

// unwritten returns the bell of the next batch, or nil if no frame is waiting.
func (s *Session) unwritten(st *Stream, batch *uint64) (bell chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &s.headers.flush
	if *batch == 0 && !st.frameWaitsLocked() {
		*batch = s.batch
		if len(s.control) > 0 {
			*batch++
		}
	}
	switch {
	case *batch > 0 && f.batch >= *batch:
		return nil, nil
	case s.end.lost || s.end.writeErr != nil || latched(s.end.senderEnd):
		return nil, s.reasonLocked(s.lostReasonLocked())
	}
	if f.bell == nil {
		f.bell = make(chan struct{})
	}
	return f.bell, nil
}

// lostReasonLocked returns the reason why no more frames are written.
func (s *Session) lostReasonLocked() error {
	if s.end.err != nil {
		return s.end.err
	}
	return ErrSessionClosed
}

// frameWaitsLocked reports whether the sender will write a frame of the stream without waiting for
// the peer. st may be nil.
func (st *Stream) frameWaitsLocked() bool {
	return st != nil && !st.ended && (st.headerJobs > 0 || st.finQueued && len(st.loan) == 0 && !st.muted)
}
