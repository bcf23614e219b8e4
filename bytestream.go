package spdy

import (
	"errors"
	"io"
	"time"
)

// This file holds the code that byte streams share: raw streams, and HTTP tunnels (see tunnel.go).

// ofBytesLocked reports whether the application uses the stream as a connection.
func (st *Stream) ofBytesLocked() bool { return st.raw != nil || st.tunnel }

// finishWrite closes our half after the written bytes. It waits for a running Write.
func (st *Stream) finishWrite() error {
	s := st.session
	for {
		s.mu.Lock()
		err := st.writableLocked()
		busy := err == nil && len(st.loan) > 0
		if err == nil && !busy {
			st.queueFinLocked()
		}
		s.mu.Unlock()
		if !busy {
			s.ring()
			return st.halfCloseError(err)
		}
		if !st.turn.try() && st.awaitTurn(new(limit)) != nil {
			continue // the stream has ended
		}
		st.passTurn() // the Write has returned
	}
}

// finishes reports whether the stream is open and our half is closed or about to close.
func (st *Stream) finishes() bool {
	st.session.mu.Lock()
	defer st.session.mu.Unlock()
	return !st.ended && (st.state.outDone || st.finQueued || st.finHeaders)
}

// halfCloseError returns the result of closing our half when err prevented the close. If the peer
// has sent all bytes and then cancelled the stream, the close has succeeded: a program that copies
// between two connections continues with the received bytes.
func (st *Stream) halfCloseError(err error) error {
	var reset *StreamError
	if errors.As(err, &reset) && reset.Remote && reset.Status == RstCancel && st.in.ending() == endOfStream {
		return nil
	}
	return err
}

func (st *Stream) queueFinLocked() {
	st.finQueued = true
	st.session.sched.place(st)
}

// giveUpLocked ends a stream that the application has closed: our half by fin, and the peer's half
// by a later RST_STREAM. cut is true if the stream must be reset instead, because written bytes are
// unsent and cannot be sent any more.
func (st *Stream) giveUpLocked(fin func()) (cut bool) {
	st.unwanted = true
	ringBell(st.room) // SendHeaders fails
	switch {
	case st.ended:
		return false
	case st.muted: // the frame that must precede the FIN will never be sent
		return true
	case len(st.loan) > 0:
		if !st.hasCreditLocked() || st.session.end.writeErr != nil {
			return true
		}
		st.closing = true
		if st.lastHeaders == nil && !st.finQueued {
			st.queueFinLocked()
		}
		st.limitTail()
		ringBell(st.taken) // the writer does the rest, see keepLoanLocked
	case st.writableLocked() != nil: // our FIN has been sent or queued before
		if st.state.outDone {
			st.session.cancelRestLocked(st)
			return false
		}
	default:
		fin()
	}
	st.cancelRest = true // unless the peer's FIN arrives before ours is sent
	return false
}

// Limits in bytes on the loans kept after the writer has returned: for a stream, and for all
// streams of a session. The kernel would keep as much in the send buffer of a TCP connection.
const (
	mostKeptLoan  = 256 << 10
	mostKeptLoans = 1 << 20
)

// keepLoanLocked lets the writer of a stream return after the application has closed the stream. It
// copies as much of the loan as both windows allow now; the copy is still sent. If the copy is
// complete, the Write has succeeded and our FIN follows; else a RST_STREAM follows. If nothing is
// copied the loan is withdrawn. left is the number of bytes that will not be sent.
func (st *Stream) keepLoanLocked() (left int, err error) {
	s, all := st.session, len(st.loan)
	n := min(int64(all), st.out.avail, s.flow.out.avail, mostKeptLoan, mostKeptLoans-int64(s.sched.keptLoans))
	if n <= 0 || !s.ledger.takeLocked(heldBuffers, n) {
		st.withdrawLocked()
		return all, ErrStreamClosed
	}
	kept := append([]byte(nil), st.loan[:n]...)
	st.loan, st.owned = kept, &kept
	s.sched.keptLoans += int32(n)
	if left = all - int(n); left > 0 {
		st.finQueued, st.finHeaders = false, false
		st.dropLastLocked()
		err = ErrStreamClosed
	}
	s.sched.place(st)
	return left, err
}

// freeOwnedLocked frees the buffer of a loan that has no waiting writer.
func (st *Stream) freeOwnedLocked() {
	if st.closing {
		n := len(*st.owned)
		st.session.sched.keptLoans -= int32(n)
		st.session.ledger.giveLocked(heldBuffers, int64(n))
	} else {
		putAnswerBuffer(st.owned)
	}
	st.owned = nil
}

// hasCreditLocked reports whether both windows allow the stream to send.
func (st *Stream) hasCreditLocked() bool { return st.out.avail > 0 && st.session.flow.out.avail > 0 }

// limitTail bounds how long the end of a closed stream waits for credit when other streams have
// used up the session window. A slow connection does not count.
func (st *Stream) limitTail() {
	st.setDeadline(&st.writeDeadline, time.Now().Add(leaveTime), func() {
		st.session.mu.Lock()
		waits, credit := !st.ended && len(st.loan) > 0, st.hasCreditLocked()
		st.session.mu.Unlock()
		switch {
		case waits && credit:
			st.limitTail()
		case waits:
			st.reset(RstCancel, "closed before all was written", ErrStreamClosed)
		}
	})
}

// writeTo copies bytes from r, a reader of the stream, to w as they arrive, until the peer's FIN.
// It holds a buffer only while bytes are available.
func (st *Stream) writeTo(w io.Writer, r io.Reader) (n int64, err error) {
	for {
		if err := st.awaitReadable(); err != nil {
			return n, err
		}
		k, rerr, werr := passSome(w, r)
		n += int64(k)
		switch {
		case werr != nil:
			return n, werr
		case rerr == io.EOF:
			return n, nil
		case rerr != nil:
			return n, rerr
		}
	}
}

// awaitReadable waits until a read would not block.
func (st *Stream) awaitReadable() (err error) {
	look := func() (bell chan struct{}) {
		if err = st.readDeadline.err(); err != nil || st.in.readable() {
			return nil
		}
		return st.in.bell
	}
	if bell := look(); bell != nil {
		st.awaitIn(bell, look)
	}
	return err
}

// passSome reads once and writes the bytes to w.
func passSome(w io.Writer, r io.Reader) (n int, rerr, werr error) {
	buf := readBufferPool.Get().(*[readBufferSize]byte)
	defer readBufferPool.Put(buf)
	k, rerr := r.Read(buf[:])
	if k == 0 {
		return 0, rerr, nil
	}
	n, werr = w.Write(buf[:k])
	if werr == nil && n < k {
		werr = io.ErrShortWrite
	}
	return n, rerr, werr
}

// copyPooled copies src to w until EOF, through a pooled buffer.
func copyPooled(w io.Writer, src io.Reader) (n int64, err error) {
	buf := readBufferPool.Get().(*[readBufferSize]byte)
	defer readBufferPool.Put(buf)
	return copyThrough(buf[:], w, src)
}

// copyTo is copyPooled to a stream, which is charged for the buffer.
func copyTo(st *Stream, w io.Writer, src io.Reader) (n int64, err error) {
	size := st.chargeCopy(readBufferSize)
	defer st.returnCopy(size)
	if size < readBufferSize {
		return copySmall(w, src)
	}
	return copyPooled(w, src)
}

// copySmall is copyPooled with a small buffer.
func copySmall(w io.Writer, src io.Reader) (n int64, err error) {
	buf := getAnswerBuffer()
	defer putAnswerBuffer(buf)
	return copyThrough((*buf)[:answerBuffer], w, src)
}

// copyThrough copies src to w until EOF, through buf.
func copyThrough(buf []byte, w io.Writer, src io.Reader) (n int64, err error) {
	for {
		k, rerr := src.Read(buf)
		if k > 0 {
			m, werr := w.Write(buf[:k])
			n += int64(m)
			if werr != nil {
				return n, werr
			}
		}
		switch {
		case rerr == io.EOF:
			return n, nil
		case rerr != nil:
			return n, rerr
		}
	}
}
