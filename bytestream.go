package spdy

import (
	"errors"
	"io"
	"time"
)

// This file holds what the streams of bytes have in common: raw streams, and the tunnels of
// HTTP, see tunnel.go.

// ofBytesLocked reports whether the application has the stream as a connection.
func (st *Stream) ofBytesLocked() bool { return st.raw != nil || st.tunnel }

// finishWrite closes our half behind what has been written. It waits for a write that is under
// way.
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
		st.passTurn() // the Write is through
	}
}

// finishes reports whether our half of a stream that has not ended is closed, or about to be.
func (st *Stream) finishes() bool {
	st.session.mu.Lock()
	defer st.session.mu.Unlock()
	return !st.ended && (st.state.outDone || st.finQueued || st.finHeaders)
}

// halfCloseError is what closing our half returns, which err has prevented. A peer that has
// sent all and then gives the stream up has closed it: whoever carries bytes from one
// connection to another goes on with those that have come.
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

// giveUpLocked ends a stream that the application has closed: our half by fin, and the peer's by
// a RST_STREAM behind that. It reports true if the stream has to be reset instead, because not
// all has been written, and no more of it can be sent.
func (st *Stream) giveUpLocked(fin func()) (cut bool) {
	st.unwanted = true
	ringBell(st.room) // SendHeaders fails
	switch {
	case st.ended:
		return false
	case st.muted: // what has to be said first will never be
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
	st.cancelRest = true // unless the peer's FIN comes before ours leaves
	return false
}

// What may be kept of loans whose writers have gone, in bytes: of one, and of all of a session. It
// is what the kernel would keep in the send buffer of a connection of TCP.
const (
	mostKeptLoan  = 256 << 10
	mostKeptLoans = 1 << 20
)

// keepLoanLocked lets a writer return whose stream the application has closed. As much of its loan as
// both windows allow at this moment is copied, and is still sent. If that is all of it, the Write has
// succeeded and our FIN follows; else a RST_STREAM does. If nothing is copied the loan is withdrawn. left is
// the number of bytes that will not be sent.
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

// freeOwnedLocked frees the buffer behind a loan that nobody waits for.
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

// limitTail limits the time for which the end of a stream that the application has closed waits for
// credit, when others have used up the session's window first. A slow connection is no reason.
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

// writeTo writes what r reads from the stream to w, as it comes, until the peer's FIN. It holds
// a buffer only while there is something to write.
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

// awaitReadable waits until a read would not have to wait.
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

// passSome reads once and writes that to w.
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

// copyPooled writes what src has to w, until it ends, through a pooled buffer.
func copyPooled(w io.Writer, src io.Reader) (n int64, err error) {
	buf := readBufferPool.Get().(*[readBufferSize]byte)
	defer readBufferPool.Put(buf)
	return copyThrough(buf[:], w, src)
}

// copyThrough writes what src has to w, until it ends, through buf.
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
