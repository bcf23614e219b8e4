package spdy

import (
	"io"
	"net"
	"sync/atomic"
	"time"
)

// A RawStream is a bidirectional byte stream with header blocks beside the bytes: a net.Conn whose
// two directions close independently. Session.OpenStream and Session.AcceptStream return
// RawStreams.
//
// Unread bytes of a stream never block another stream: the bytes use the stream's own window and
// its share of the session's. A stream ends with the peer's FIN, and only the FIN reads as io.EOF;
// a stream that broke off reads as a *TruncatedError. A RawStream must be closed: unread bytes keep
// their part of the session's window.
//
// All methods may be called by any number of goroutines at once. Concurrent Reads share the bytes,
// and the bytes of each Write stay together.
type RawStream struct {
	st Stream

	header   HeaderBlock // of the SYN_STREAM; immutable once the application has the stream
	answered atomic.Bool // no reply remains to be sent
	closed   atomic.Bool // Close or Reset has been called

	// Guarded by Session.mu.
	held     []headerJob   // HEADERS that wait for the peer's reply, see FlowControlPeerUnaware
	late     []lateBlock   // of HEADERS frames, not received by the application yet
	lateBell chan struct{} // doorbell for ReceiveHeaders, made when ReceiveHeaders first waits
	kept     int           // bytes of undelivered header blocks, see rawKept
	opening  int           // the part of kept that is the SYN_STREAM's block; the ledger has it in Stream.headerCharge
	rank     int           // position in rawKept.holders, from 1; 0 if it has none
	withheld int64         // credit withheld from the peer, see withholding
	taken    bool          // the application has the stream, or no caller will accept it
	dropped  bool          // the header block is discarded: AcceptStream skips the stream
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

// Parent returns the number of the stream's parent, 0 if none. The opener chose the number, and the
// parent need not exist.
func (r *RawStream) Parent() uint32 { return r.st.assoc }

// Priority returns the priority that the stream was opened with, 0 (the most urgent) to 7.
func (r *RawStream) Priority() uint8 { return r.st.priority }

// Header returns the header block that the stream was opened with. The caller must not modify it.
func (r *RawStream) Header() HeaderBlock { return r.header }

// String returns the number of the stream.
func (r *RawStream) String() string { return r.st.String() }

// LocalAddr returns the local address of the session's connection.
func (r *RawStream) LocalAddr() net.Addr { return r.made().st.session.LocalAddr() }

// RemoteAddr returns the address of the peer.
func (r *RawStream) RemoteAddr() net.Addr { return r.made().st.session.RemoteAddr() }

// Done returns a channel that is closed when the stream has ended: both halves are closed, either
// side has reset the stream, or the session is over. Bytes received before may still be unread.
func (r *RawStream) Done() <-chan struct{} { return r.made().st.done }

// Err returns nil while the stream is open, ErrStreamClosed after a regular end or a Close, and
// else the reason: a *StreamError, or the error that ended the session.
func (r *RawStream) Err() error { return r.made().st.endReason() }

// Read reads bytes from the peer. It returns io.EOF only after the peer's FIN; a *TruncatedError if
// the stream broke off before; os.ErrDeadlineExceeded when the read deadline passes; and
// ErrStreamClosed, which matches net.ErrClosed, after Close, CloseRead or Reset.
func (r *RawStream) Read(p []byte) (int, error) {
	r = r.made()
	if r.closed.Load() {
		return 0, ErrStreamClosed
	}
	return r.st.read(p)
}

// Write sends p and returns when all of p has been handed to the network, which may wait for the
// peer's window. It returns a smaller count and the reason when the write deadline passes
// (os.ErrDeadlineExceeded), the stream or the session ends, or our half is closed
// (ErrStreamClosed). The first Write to an accepted stream without a reply sends a reply with an
// empty header block.
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

// CloseWrite closes our half: the peer reads io.EOF after the written bytes. CloseWrite waits for a
// running Write, and replies first if no reply has been sent. It fails with ErrStreamClosed if our
// half is closed, or with the error that ended the stream. A Close by the peer is no failure, as
// with TCP: the peer's bytes can still be read.
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

// CloseRead stops reading: reads fail with ErrStreamClosed, and received and later bytes are
// discarded. A peer that has used up the stream's window for discarded bytes receives a
// RST_STREAM(CANCEL) as soon as our half is closed too; until then the peer is blocked. The error
// is always nil.
func (r *RawStream) CloseRead() error {
	r = r.made()
	r.st.stopReading()
	r.ringLate()
	return nil
}

// Close closes the stream: our half closes after the written bytes, so that the peer reads all of
// them and then io.EOF. Close discards unread bytes. If the peer's half is still open, a
// RST_STREAM(CANCEL) follows our FIN, so neither side keeps state of the stream.
//
// Close does not wait for the network, and a running Write returns. The unsent bytes of the Write
// are still sent if they fit the peer's windows at that moment: 256 KiB at most for one stream, 1
// MiB at most for all streams of a session. If all bytes fit, the Write succeeds and the FIN
// follows. Else the Write returns the number of bytes that are sent, and a RST_STREAM follows them
// without FIN, because bytes are missing. The stream occupies a slot of the session until these
// frames have been sent.
//
// Other running calls, and all later calls, fail with ErrStreamClosed, which matches net.ErrClosed;
// a second Close does nothing. The error is always nil.
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

// closeLocked queues the frames of Close. If it needs the empty block, it takes ownership of the
// block. It reports true if the stream has to be reset instead.
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

// Reset ends the stream at once, in both directions, whichever halves are closed: the peer receives
// a RST_STREAM with the status, unless the stream has ended already. Unread and unsent bytes are
// discarded. Running calls, and all later calls, fail with an error that matches net.ErrClosed. For
// the status 0, which must not be sent, Reset fails and does nothing.
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

// SetDeadline sets the read and write deadlines.
func (r *RawStream) SetDeadline(t time.Time) error {
	r = r.made()
	if err := r.SetReadDeadline(t); err != nil {
		return err
	}
	return r.SetWriteDeadline(t)
}

// SetReadDeadline makes reads that are waiting at t or later fail with os.ErrDeadlineExceeded,
// including reads already running. The zero time means never. Other streams are not affected.
// SetReadDeadline fails with ErrStreamClosed after Close.
func (r *RawStream) SetReadDeadline(t time.Time) error {
	r = r.made()
	if r.closed.Load() {
		return ErrStreamClosed
	}
	return r.st.SetReadDeadline(t)
}

// SetWriteDeadline is SetReadDeadline for writes. A Write that times out returns the number of
// bytes sent, and the stream stays usable.
func (r *RawStream) SetWriteDeadline(t time.Time) error {
	r = r.made()
	if r.closed.Load() {
		return ErrStreamClosed
	}
	return r.st.SetWriteDeadline(t)
}

// WriteTo writes the bytes from the peer to w as they arrive, until the peer's FIN. It holds a
// buffer only while data is pending, so io.Copy from an idle stream costs no memory. After a nil
// error, all bytes have been read and written.
func (r *RawStream) WriteTo(w io.Writer) (n int64, err error) {
	r = r.made()
	return r.st.writeTo(w, r)
}

// ReadFrom writes the bytes of src, until src ends, through a pooled buffer, so that io.Copy to a
// stream does not allocate.
func (r *RawStream) ReadFrom(src io.Reader) (n int64, err error) {
	if src == nil {
		return 0, errNoReader
	}
	r = r.made()
	return copyTo(&r.st, r, src)
}

// lostLocked reports whether AcceptStream skips the stream: its header block is discarded, the peer
// has reset it with no data left to read, or this side has ended the session. A stream with the
// peer's FIN is not skipped, even if reset afterwards, as by Close. Nor is a stream that the peer, or
// the network, has cut off by ending the session: its SYN_STREAM had arrived.
func (r *RawStream) lostLocked() bool {
	end := r.st.session.end.err
	switch {
	case r.dropped:
		return true
	case !r.st.ended, r.st.err == end && end != ErrSessionClosed:
		return false
	}
	return r.st.in.ending() != io.EOF && r.st.in.buffered() == 0
}
