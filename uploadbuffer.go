package spdy

// An uploadBuffer passes the body of a request to the sender. A body may return few bytes from
// each Read. If the sender had to take these before the next Read, the stream would have few
// bytes in each of its turns, and less than its share of the connection. So the body is read on,
// into the same buffer, while the sender has not taken the loan, and the loan grows. No bytes
// are held back for that: the sender may take the loan at any time. Owned by the goroutine that
// reads the body.
type uploadBuffer struct {
	st      *Stream
	parcel  *[]byte // nil before the first Read, and if the sender has it
	filled  int     // bytes of the body in parcelRoom(parcel); the loan is the last part of them
	offered bool    // the loan is in the parcel, and the sender may take that
	turn    bool    // this goroutine has the stream's turn to write, and may have lent bytes
}

// space returns the room for the next Read, leastParcel bytes or more.
func (b *uploadBuffer) space() []byte {
	if b.parcel == nil {
		b.parcel = getBatch()
	}
	return parcelRoom(b.parcel)[b.filled:]
}

// put lends the first n bytes of space, and the FIN behind them if fin is set. It waits until the
// sender has taken all that is lent if last is set, and also if nothing would be gained by a Read
// before that: n bytes make a turn by themselves, or space would be too short. With a write
// deadline it always waits, because a Read does not notice that the deadline passes.
func (b *uploadBuffer) put(n int, fin, last bool) error {
	b.filled += n
	full := n >= leastParcel || len(b.space()) < leastParcel
	waits := last || full || b.st.writeDeadline.Load() != nil
	if n > 0 || fin {
		if err := b.lend(n, fin, waits); err != nil {
			return err
		}
	}
	if !waits {
		return nil
	}
	return b.flush()
}

// lend adds n bytes to the loan. With final set no others follow before the sender has taken
// the loan, so the sender may take the parcel as well.
func (b *uploadBuffer) lend(n int, fin, final bool) error {
	st := b.st
	if !b.turn {
		if err := st.takeTurn(); err != nil {
			return err
		}
		b.turn = true
	}
	s := st.session
	s.mu.Lock()
	if err := st.writableLocked(); err != nil {
		s.mu.Unlock()
		return err
	}
	st.bellLocked()
	left := len(st.loan)
	st.loan, st.finQueued = parcelRoom(b.parcel)[b.filled-n-left:b.filled], fin
	if final && len(st.loan) >= leastParcel {
		st.parcel, b.offered = b.parcel, true
	}
	s.sched.place(st)
	s.mu.Unlock()
	if left == 0 { // else the sender knows of the stream
		s.ring()
	}
	return nil
}

// flush waits until the sender has taken all that is lent. The buffer is empty afterwards.
func (b *uploadBuffer) flush() (err error) {
	if b.filled > 0 {
		_, err = b.st.awaitLoan()
	}
	b.settle()
	b.filled = 0
	return err
}

// settle withdraws what is left of the loan, if the wait for the sender has not, finds out who
// has the parcel, and passes the turn.
func (b *uploadBuffer) settle() {
	if !b.turn {
		return
	}
	st := b.st
	st.session.mu.Lock()
	if len(st.loan) > 0 {
		st.withdrawLocked()
	}
	if b.offered && st.parcel == nil {
		b.parcel = nil
	}
	st.parcel, b.offered = nil, false
	st.session.mu.Unlock()
	b.turn = false
	st.passTurn()
}

// release gives the buffer back. It also runs if a Read ends its goroutine: nothing may stay
// lent of a buffer that is about to have other bytes in it.
func (b *uploadBuffer) release() {
	b.settle()
	if b.parcel != nil {
		putBatch(b.parcel)
	}
}
