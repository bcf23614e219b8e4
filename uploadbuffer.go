package spdy

// An uploadBuffer passes the body of a request to the sender. Each Read of a body may return few
// bytes. If the sender had to take these bytes before the next Read, the stream would send few
// bytes in each of its turns, and get less than its share of the connection. So reads continue into
// the same buffer until the sender takes the loan, and the loan grows. No bytes are delayed: the
// sender may take the loan at any time. Owned by the goroutine that reads the body.
type uploadBuffer struct {
	st      *Stream
	parcel  *[]byte // nil before the first Read, and while the sender owns it
	filled  int     // bytes of the body in parcelRoom(parcel); the loan is the last part of them
	offered bool    // the loan is in the parcel, and the sender may take the parcel
	turn    bool    // this goroutine holds the stream's write turn, and may have lent bytes
}

// space returns the room for the next Read, leastParcel bytes or more.
func (b *uploadBuffer) space() []byte {
	if b.parcel == nil {
		b.parcel = getBatch()
	}
	return parcelRoom(b.parcel)[b.filled:]
}

// put lends the first n bytes of space, followed by the FIN if fin is set. If last is set, put
// waits until the sender has taken all lent bytes. It also waits if another Read would not help:
// the n bytes fill a turn, or too little space is left. With a write deadline put always waits,
// because a Read does not notice that the deadline passes.
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

// lend adds n bytes to the loan. If final is set, no bytes follow before the sender has taken the
// loan, so the sender may take the parcel as well.
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
	if left == 0 { // otherwise the sender already knows of the stream
		s.ring()
	}
	return nil
}

// flush waits until the sender has taken all lent bytes. The buffer is empty afterwards.
func (b *uploadBuffer) flush() (err error) {
	if b.filled > 0 {
		_, err = b.st.awaitLoan()
	}
	b.settle()
	b.filled = 0
	return err
}

// settle ends a loan: it withdraws bytes that the sender has not copied, determines the owner of
// the parcel, and passes the turn.
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

// release returns the parcel to the pool. It also runs if a Read ends the goroutine: no lent bytes
// may remain in a buffer that is about to be reused.
func (b *uploadBuffer) release() {
	b.settle()
	if b.parcel != nil {
		putBatch(b.parcel)
	}
}
