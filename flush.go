package spdy

import "context"

// This file lets a caller wait until frames that are queued have been written to the connection.
// Most calls only queue a frame and ring the sender. A program that exits right behind its last
// call, or closes its connection, would lose such a frame.

// flushers says how far the sender has got. Guarded by Session.mu.
type flushers struct {
	batch uint64        // the latest of Session.batch that has been written
	bell  chan struct{} // latch of the next batch; nil unless a Flush waits
}

// wroteLocked notes that a batch has been written.
func (f *flushers) wroteLocked(batch uint64) {
	f.batch = batch
	f.wakeLocked()
}

// wakeLocked has each Flush look again.
func (f *flushers) wakeLocked() {
	if f.bell != nil {
		close(f.bell)
		f.bell = nil
	}
}

// Flush waits until the frames that earlier calls on the stream have queued are written to the
// connection: the SYN_STREAM, a reply, headers, RST_STREAM, and the FIN of CloseWrite or Close. It
// does not wait for the peer's credit: a FIN behind bytes that are not sent yet is not waited for,
// and neither is what FlowControlPeerUnaware keeps back until the peer has replied. It
// fails with the cause of the context, with os.ErrDeadlineExceeded when the write deadline passes,
// and with why the session can write no more. The frames stay queued if the wait ends early.
func (r *RawStream) Flush(ctx context.Context) error {
	r = r.made()
	return r.st.session.flush(ctx, &r.st)
}

// Flush waits until the control frames that earlier calls on the session have queued are written to
// the connection: PING, GOAWAY and RST_STREAM. It fails with the cause of the context, and with why
// the session can write no more. See RawStream.Flush for the frames of a stream.
func (s *Session) Flush(ctx context.Context) error { return s.made().flush(ctx, nil) }

// flush waits for the frames of a stream, which may be nil, and for control frames. It waits
// beyond the end of the session, whose last frames the sender writes after that.
func (s *Session) flush(ctx context.Context, st *Stream) (err error) {
	w := wait{end: s.end.senderEnd, over: ctx.Done()}
	if st != nil {
		w.limit = &st.writeDeadline
	}
	var batch uint64 // the one that has the frames; 0 until it is known
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

// unwritten returns the bell of the next batch, nil if there is nothing to wait for.
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

// lostReasonLocked is why nothing is written any more.
func (s *Session) lostReasonLocked() error {
	if s.end.err != nil {
		return s.end.err
	}
	return ErrSessionClosed
}

// frameWaitsLocked reports that the sender will take a frame of the stream without waiting for the
// peer. It may be called on nil.
func (st *Stream) frameWaitsLocked() bool {
	return st != nil && !st.ended && (st.headerJobs > 0 || st.finQueued && len(st.loan) == 0 && !st.muted)
}
