package spdy

import (
	"io"
	"net"
	"sync/atomic"
	"time"
)

// A RawStream is a stream of bytes in both directions, with header blocks beside
// them: a net.Conn whose two halves close by themselves. It comes from
// Session.OpenStream or Session.AcceptStream.
//
// What a stream does not read never holds up another one: it holds its own window
// and its share of the session's. Its end is the peer's FIN, and only that reads as
// io.EOF; a stream that broke off reads as a *TruncatedError. It must be closed:
// bytes that nobody reads keep their part of the session's window.
//
// All methods may be called by any number of goroutines at once. Reads share the
// bytes among them, and each Write's bytes stay together.
type RawStream struct {
	st Stream

	header   HeaderBlock // of the SYN_STREAM; immutable once the application has the stream
	answered atomic.Bool // no reply is to be sent any more, or ever
	closed   atomic.Bool // Close or Reset has been called

	// Guarded by Session.mu.
	held     []headerJob   // HEADERS that wait for the peer's reply, see FlowControlPeerUnaware
	late     []lateBlock   // of HEADERS frames, not received by the application yet
	lateBell chan struct{} // doorbell for ReceiveHeaders, made when it first waits
	counted  int           // bytes of header blocks in Session.rawHeaders
	rank     int           // its place in Session.rawHolders, from 1; 0 if it has none
	taken    bool          // the application has the stream
	dropped  bool          // nobody will take the stream: it has to pay, see countLocked
}

var _ net.Conn = (*RawStream)(nil)

// newRawStream makes a raw stream that is not open yet.
func newRawStream(s *Session, priority uint8) *RawStream {
	r := new(RawStream)
	r.st.init(s, priority)
	r.st.raw = r
	r.st.in.marks.on = s.conf.KeepFrames
	return r
}

// Session returns the session that the stream belongs to.
func (r *RawStream) Session() *Session { return r.st.session }

// ID returns the number of the stream: odd if the client opened it.
func (r *RawStream) ID() uint32 { return r.st.id }

// Parent returns the number of the stream that this one belongs to, 0 if none. It
// is what the opener said and need not exist.
func (r *RawStream) Parent() uint32 { return r.st.assoc }

// Priority returns the priority that the stream was opened with, 0 (the most
// urgent) to 7.
func (r *RawStream) Priority() uint8 { return r.st.priority }

// Header returns the header block that the stream was opened with. It must not be
// changed.
func (r *RawStream) Header() HeaderBlock { return r.header }

// String returns the number of the stream.
func (r *RawStream) String() string { return r.st.String() }

// LocalAddr returns the local address of the session's connection.
func (r *RawStream) LocalAddr() net.Addr { return r.st.session.LocalAddr() }

// RemoteAddr returns the address of the peer.
func (r *RawStream) RemoteAddr() net.Addr { return r.st.session.RemoteAddr() }

// Done returns a channel that is closed when the stream has ended: both halves are
// closed, either side has reset it, or the session is over. Bytes that have come
// before may still be unread.
func (r *RawStream) Done() <-chan struct{} { return r.st.done }

// Err returns nil while the stream is open, ErrStreamClosed after a regular end or a
// Close, and else why it broke off: a *StreamError, or what ended the session.
func (r *RawStream) Err() error { return r.st.endReason() }

// Read reads what the peer sends. It returns io.EOF after the peer's FIN and never
// else; a *TruncatedError if the stream broke off before; os.ErrDeadlineExceeded
// when the read deadline passes; and ErrStreamClosed, which matches net.ErrClosed,
// after Close, CloseRead or Reset.
func (r *RawStream) Read(p []byte) (int, error) {
	if r.closed.Load() {
		return 0, ErrStreamClosed
	}
	return r.st.read(p)
}

// Write sends p and returns when all of it has been handed to the network, which
// may wait for the peer's window. It returns less, and why, when the write deadline
// passes (os.ErrDeadlineExceeded), the stream or the session ends, or our half is
// closed (ErrStreamClosed). The first Write to an accepted stream that has not been
// replied to replies with an empty header block.
func (r *RawStream) Write(p []byte) (int, error) {
	if r.closed.Load() {
		return 0, ErrStreamClosed
	}
	if !r.answered.Load() && len(p) > 0 {
		if _, err := r.replyEmpty(false); err != nil {
			return 0, err
		}
	}
	return r.st.write(p, false)
}

// CloseWrite closes our half: the peer reads io.EOF after what has been written. It
// waits for a Write that is under way, and replies if that has not been done. It
// fails with ErrStreamClosed if our half is closed, or with why the stream ended.
func (r *RawStream) CloseWrite() error {
	if r.closed.Load() {
		return ErrStreamClosed
	}
	if replied, err := r.replyEmpty(true); replied || err != nil {
		return err
	}
	st, s := &r.st, r.st.session
	for {
		s.mu.Lock()
		err := st.writableLocked()
		busy := err == nil && len(st.loan) > 0
		if err == nil && !busy {
			st.finQueued = true
			s.sched.place(st)
		}
		s.mu.Unlock()
		if !busy {
			s.ring()
			return err
		}
		if !st.writing.CompareAndSwap(false, true) && st.awaitTurn(new(limit)) != nil {
			continue // the stream has ended
		}
		st.passTurn() // the Write is through
	}
}

// CloseRead says that nobody will read any more: reads fail with ErrStreamClosed,
// and what has come and still comes is thrown away. A peer that has used up the
// stream's window for such bytes gets a RST_STREAM(CANCEL) as soon as our half is
// closed too; until then it waits. The error is always nil.
func (r *RawStream) CloseRead() error {
	r.st.stopReading()
	r.ringLate()
	return nil
}

// Close gives the stream up: it closes our half behind what has been written, so
// that the peer reads all of it and then io.EOF, and throws away what has come and
// nobody has read. If the peer's half is still open, a RST_STREAM(CANCEL) follows
// our FIN: nothing of the stream is left behind on either side. A Write that Close
// interrupts makes it a reset without FIN, because not all has been written.
//
// Close does not wait for the network. Calls that are under way, and all later
// ones, fail with ErrStreamClosed, which matches net.ErrClosed; a second Close does
// nothing. The error is always nil.
func (r *RawStream) Close() error {
	if r.closed.Swap(true) {
		return nil
	}
	st, s := &r.st, r.st.session
	block := r.emptyBlock()
	dropped := st.discard()
	s.mu.Lock()
	s.creditLocked(dropped)
	cut := r.closeLocked(&block)
	s.mu.Unlock()
	if block != nil {
		putBlock(block)
	}
	if cut {
		st.reset(RstCancel, "closed before all was written", ErrStreamClosed)
	}
	s.ring()
	r.ringLate()
	s.endIfDrained()
	return nil
}

// closeLocked queues what Close has to say. It takes the block, which is an empty
// one, if it needs it. It reports true if the stream has to be reset instead.
func (r *RawStream) closeLocked(block **[]byte) (cut bool) {
	st, s := &r.st, r.st.session
	st.unwanted = true
	ringBell(st.room) // SendHeaders fails
	switch {
	case st.ended:
		return false
	case len(st.loan) > 0 || st.muted: // what has to be said first will never be
		return true
	case st.writableLocked() != nil: // our FIN has been sent or queued before
		if st.state.outDone {
			s.cancelRestLocked(st)
			return false
		}
	case !st.state.ours && !st.state.replied:
		r.replyLocked(*block, true)
		*block = nil
	default:
		st.finQueued = true
		s.sched.place(st)
	}
	st.cancelRest = true // unless the peer's FIN comes before ours leaves
	return false
}

// Reset ends the stream at once, in both directions and whatever has been closed
// before: the peer gets a RST_STREAM with the status, unless the stream has ended
// already. What was unread or not yet sent is thrown away. Calls that are under
// way, and all later ones, fail with an error that matches net.ErrClosed. It fails
// for the status 0, which must not be sent, and does nothing then.
func (r *RawStream) Reset(status RstStatus) error {
	if status == 0 { // SPEC X4
		return errNoStatus
	}
	r.closed.Store(true)
	st := &r.st
	st.session.credit(st.discard())
	st.reset(status, "", ErrStreamClosed)
	r.ringLate()
	return nil
}

// SetDeadline sets the deadlines of reads and of writes.
func (r *RawStream) SetDeadline(t time.Time) error {
	if err := r.SetReadDeadline(t); err != nil {
		return err
	}
	return r.SetWriteDeadline(t)
}

// SetReadDeadline makes reads that wait at t or later fail with
// os.ErrDeadlineExceeded, those that are under way too. The zero time means never.
// Other streams do not notice. It fails with ErrStreamClosed after Close.
func (r *RawStream) SetReadDeadline(t time.Time) error {
	if r.closed.Load() {
		return ErrStreamClosed
	}
	return r.st.SetReadDeadline(t)
}

// SetWriteDeadline is SetReadDeadline for writes. A Write that fails so has sent as
// much as it returns, and the stream stays usable.
func (r *RawStream) SetWriteDeadline(t time.Time) error {
	if r.closed.Load() {
		return ErrStreamClosed
	}
	return r.st.SetWriteDeadline(t)
}

// WriteTo writes what the peer sends to w, as it comes, until its FIN. It holds a
// buffer only while there is something to write, which makes io.Copy from an idle
// stream cost nothing. A nil error means that all has been read and written.
func (r *RawStream) WriteTo(w io.Writer) (n int64, err error) {
	for {
		if err := r.awaitReadable(); err != nil {
			return n, err
		}
		k, rerr, werr := r.writeSome(w)
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
func (r *RawStream) awaitReadable() (err error) {
	st := &r.st
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

// writeSome reads once and writes that to w.
func (r *RawStream) writeSome(w io.Writer) (n int, rerr, werr error) {
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

// ReadFrom writes what src has, until it ends, through a pooled buffer. It makes
// io.Copy to a stream allocate nothing.
func (r *RawStream) ReadFrom(src io.Reader) (n int64, err error) {
	buf := readBufferPool.Get().(*[readBufferSize]byte)
	defer readBufferPool.Put(buf)
	for {
		k, rerr := src.Read(buf[:])
		if k > 0 {
			w, werr := r.Write(buf[:k])
			n += int64(w)
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

// lostLocked reports that a stream has broken off and left nothing to read. One that
// has come to its FIN is not lost, even if it was reset afterwards: Close does that. One
// that was reset for its header blocks is, because they are gone.
func (r *RawStream) lostLocked() bool {
	return r.dropped || r.st.ended && r.st.in.ending() != io.EOF && r.st.in.buffered() == 0
}
