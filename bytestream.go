package spdy

import (
	"errors"
	"io"
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
		if !st.writing.CompareAndSwap(false, true) && st.awaitTurn(new(limit)) != nil {
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
// all has been written.
func (st *Stream) giveUpLocked(fin func()) (cut bool) {
	st.unwanted = true
	ringBell(st.room) // SendHeaders fails
	switch {
	case st.ended:
		return false
	case len(st.loan) > 0 || st.muted: // what has to be said first will never be
		return true
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
