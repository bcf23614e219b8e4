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
	kept     int           // bytes of header blocks that wait for the application, see rawKept
	opening  int           // those of the SYN_STREAM
	rank     int           // its place in rawKept.holders, from 1; 0 if it has none
	withheld int64         // credit that is kept back from the peer, see withholding
	taken    bool          // the application has the stream, or nobody will
	dropped  bool          // its header block is gone: AcceptStream passes over it
}

var _ net.Conn = (*RawStream)(nil)

// newRawStream makes a raw stream that is not open yet.
func newRawStream(s *Session, priority uint8) *RawStream {
	r := new(RawStream)
	r.st.init(s, priority)
	r.st.raw = r
	if s.conf.KeepFrames {
		r.st.in.marks = new(marks)
	}
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
func (r *RawStream) LocalAddr() net.Addr { return r.made().st.session.LocalAddr() }

// RemoteAddr returns the address of the peer.
func (r *RawStream) RemoteAddr() net.Addr { return r.made().st.session.RemoteAddr() }

// Done returns a channel that is closed when the stream has ended: both halves are
// closed, either side has reset it, or the session is over. Bytes that have come
// before may still be unread.
func (r *RawStream) Done() <-chan struct{} { return r.made().st.done }

// Err returns nil while the stream is open, ErrStreamClosed after a regular end or a
// Close, and else why it broke off: a *StreamError, or what ended the session.
func (r *RawStream) Err() error { return r.made().st.endReason() }

// Read reads what the peer sends. It returns io.EOF after the peer's FIN and never
// else; a *TruncatedError if the stream broke off before; os.ErrDeadlineExceeded
// when the read deadline passes; and ErrStreamClosed, which matches net.ErrClosed,
// after Close, CloseRead or Reset.
func (r *RawStream) Read(p []byte) (int, error) {
	r = r.made()
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
	r = r.made()
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
// fails with ErrStreamClosed if our half is closed, or with why the stream ended. That the
// peer has called Close is no failure, as with TCP: what it has sent is there to be read.
func (r *RawStream) CloseWrite() error {
	r = r.made()
	if r.closed.Load() {
		return ErrStreamClosed
	}
	if replied, err := r.replyEmpty(true); replied || err != nil {
		return r.st.halfCloseError(err)
	}
	return r.st.finishWrite()
}

// CloseRead says that nobody will read any more: reads fail with ErrStreamClosed,
// and what has come and still comes is thrown away. A peer that has used up the
// stream's window for such bytes gets a RST_STREAM(CANCEL) as soon as our half is
// closed too; until then it waits. The error is always nil.
func (r *RawStream) CloseRead() error {
	r = r.made()
	r.st.stopReading()
	r.ringLate()
	return nil
}

// Close gives the stream up: it closes our half behind what has been written, so
// that the peer reads all of it and then io.EOF, and throws away what has come and
// nobody has read. If the peer's half is still open, a RST_STREAM(CANCEL) follows
// our FIN: nothing of the stream is left behind on either side.
//
// Close does not wait for the network, and a Write that is under way returns. What it
// has not sent yet is still sent if it fits the peer's windows at that moment: of a stream
// 256 KiB at most, of all streams of a session 1 MiB. If that is all, the Write succeeds and the
// FIN follows. Else the Write returns the number of bytes that are sent, and a RST_STREAM
// follows them without FIN, because not all has been written. The stream
// takes its slot of the session until that has left.
//
// Other calls that are under way, and all later ones, fail with ErrStreamClosed, which
// matches net.ErrClosed; a second Close does nothing. The error is always nil.
func (r *RawStream) Close() error {
	r = r.made()
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
	return r.st.giveUpLocked(func() {
		if r.st.state.ours || r.st.state.replied {
			r.st.queueFinLocked()
			return
		}
		r.replyLocked(*block, true)
		*block = nil
	})
}

// Reset ends the stream at once, in both directions and whatever has been closed
// before: the peer gets a RST_STREAM with the status, unless the stream has ended
// already. What was unread or not yet sent is thrown away. Calls that are under
// way, and all later ones, fail with an error that matches net.ErrClosed. It fails
// for the status 0, which must not be sent, and does nothing then.
func (r *RawStream) Reset(status RstStatus) error {
	r = r.made()
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
	r = r.made()
	if err := r.SetReadDeadline(t); err != nil {
		return err
	}
	return r.SetWriteDeadline(t)
}

// SetReadDeadline makes reads that wait at t or later fail with
// os.ErrDeadlineExceeded, those that are under way too. The zero time means never.
// Other streams do not notice. It fails with ErrStreamClosed after Close.
func (r *RawStream) SetReadDeadline(t time.Time) error {
	r = r.made()
	if r.closed.Load() {
		return ErrStreamClosed
	}
	return r.st.SetReadDeadline(t)
}

// SetWriteDeadline is SetReadDeadline for writes. A Write that fails so has sent as
// much as it returns, and the stream stays usable.
func (r *RawStream) SetWriteDeadline(t time.Time) error {
	r = r.made()
	if r.closed.Load() {
		return ErrStreamClosed
	}
	return r.st.SetWriteDeadline(t)
}

// WriteTo writes what the peer sends to w, as it comes, until its FIN. It holds a
// buffer only while there is something to write, which makes io.Copy from an idle
// stream cost nothing. A nil error means that all has been read and written.
func (r *RawStream) WriteTo(w io.Writer) (n int64, err error) {
	r = r.made()
	return r.st.writeTo(w, r)
}

// ReadFrom writes what src has, until it ends, through a pooled buffer. It makes
// io.Copy to a stream allocate nothing.
func (r *RawStream) ReadFrom(src io.Reader) (n int64, err error) {
	if src == nil {
		return 0, errNoReader
	}
	return copyPooled(r.made(), src)
}

// lostLocked reports that a stream has broken off and left nothing to read. One that
// has come to its FIN is not lost, even if it was reset afterwards: Close does that. One
// whose header block is gone is.
func (r *RawStream) lostLocked() bool {
	return r.dropped || r.st.ended && r.st.in.ending() != io.EOF && r.st.in.buffered() == 0
}
