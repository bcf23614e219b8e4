package spdy

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// A tunnel is an HTTP stream that carries bytes, after a CONNECT or an upgrade. It is the Body of
// the client's response, and the connection that a handler hijacks. The two directions end
// independently, as with a RawStream: a FIN ends one direction, and a RST_STREAM ends both.
//
// All methods are safe for concurrent use.
type tunnel struct {
	st     *Stream
	answer *textAnswer // text written by a handler before the tunnel's bytes; nil on a client
	closed atomic.Bool // Close has been called
	abrupt atomic.Bool // Close resets the stream

	watched atomic.Bool // the end of the request's context resets the tunnel, see watchUntilUse
	unwatch func() bool // stops the watch

	copiesIn atomic.Int32  // running copies into the tunnel
	fed      atomic.Bool   // the application has written, or begun a copy into the tunnel
	copied   chan struct{} // bell, capacity 1: a copy into the tunnel has begun or ended, or Close was called
}

var (
	_ net.Conn      = (*tunnel)(nil)
	_ io.WriterTo   = (*tunnel)(nil)
	_ io.ReaderFrom = (*tunnel)(nil)
)

// newTunnel makes a tunnel from a stream.
func newTunnel(st *Stream) *tunnel {
	st.session.mu.Lock()
	defer st.session.mu.Unlock()
	st.tunnel = true
	return &tunnel{st: st, copied: make(chan struct{}, 1)}
}

// watchUntilUse lets the end of the request's context reset the tunnel until it is first used; stop
// ends the watch. As in net/http the context has no effect after the response 101. But an
// httputil.ReverseProxy that cannot hijack the client's connection drops the tunnel without closing
// it, and the stream would occupy a slot of the session forever. If a handler forwards a request,
// the request's context ends with the handler.
func (t *tunnel) watchUntilUse(ctx context.Context, stop func() bool) {
	if ctx.Value(http.ServerContextKey) == nil {
		stop()
		return
	}
	t.unwatch = stop
	t.watched.Store(true)
}

// use records that the application uses the tunnel.
func (t *tunnel) use() {
	if t.watched.Load() && t.watched.Swap(false) {
		t.unwatch()
	}
}

// Read reads bytes from the peer. It returns io.EOF after the peer's FIN and only then; a
// *TruncatedError if the stream was reset or lost; os.ErrDeadlineExceeded when the read deadline
// passes; and ErrStreamClosed, which matches net.ErrClosed, after Close.
func (t *tunnel) Read(p []byte) (int, error) {
	t.use()
	if t.closed.Load() {
		return 0, ErrStreamClosed
	}
	return t.st.read(p)
}

// Write sends p and returns when all bytes have been passed to the network. It may block on the
// peer's window. The errors are the same as of RawStream.Write.
func (t *tunnel) Write(p []byte) (int, error) {
	t.use()
	t.fed.Store(true)
	switch {
	case t.closed.Load():
		return 0, ErrStreamClosed
	case t.answer != nil && !t.answer.opened.Load():
		return t.answer.write(p)
	}
	return t.st.write(p, false)
}

// WriteTo copies bytes from the peer to w as they arrive. It holds a buffer only while there is
// data to write. If w fails while a copy into the tunnel runs, WriteTo returns when that copy has
// ended, or after drainTime: an httputil.ReverseProxy closes both connections when the first copy
// fails, and a client that closes a connection may have sent its last bytes just before.
func (t *tunnel) WriteTo(w io.Writer) (n int64, err error) {
	t.use()
	if other, ok := w.(*tunnel); ok {
		defer other.copyIn()()
	}
	to := &failureWriter{w: w}
	n, err = t.st.writeTo(to, t)
	if to.err != nil {
		t.awaitCopiesIn()
	}
	return n, err
}

// A failureWriter records the error of w.
type failureWriter struct {
	w   io.Writer
	err error
}

func (f *failureWriter) Write(p []byte) (n int, err error) {
	n, f.err = f.w.Write(p)
	return n, f.err
}

// ReadFrom sends the bytes of src until io.EOF, through a pooled buffer.
func (t *tunnel) ReadFrom(src io.Reader) (n int64, err error) {
	t.use()
	defer t.copyIn()()
	return copyTo(t.st, t, src)
}

// copyIn records that a copy into the tunnel runs, until ended is called.
func (t *tunnel) copyIn() (ended func()) {
	t.copiesIn.Add(1)
	t.fed.Store(true)
	ringBell(t.copied)
	return func() {
		t.copiesIn.Add(-1)
		ringBell(t.copied)
	}
}

// awaitCopiesIn waits until no copy into the tunnel runs, or for drainTime, or until the tunnel has
// ended. The first copy may be about to begin.
func (t *tunnel) awaitCopiesIn() {
	timer := time.NewTimer(drainTime)
	defer timer.Stop()
	ends := wait{end: t.st.done, clock: timer.C}
	for (t.copiesIn.Load() > 0 || !t.fed.Load()) && !t.closed.Load() {
		if ends.sleep(t.copied) != byBell {
			return
		}
	}
}

// CloseWrite ends this direction: the peer reads io.EOF after the bytes already written. CloseWrite
// waits for a concurrent Write. As with TCP, it returns nil if the peer has closed the connection
// or this direction has already ended.
func (t *tunnel) CloseWrite() error {
	t.use()
	switch {
	case t.closed.Load():
		return ErrStreamClosed
	case t.answer != nil && !t.answer.mayEnd():
		t.cut(errNoAnswer)
		return errNoAnswer
	}
	err := t.st.finishWrite()
	if err != nil && (t.closedByPeer() || t.st.finishes() || t.st.endReason() == ErrStreamClosed) {
		return nil // the last condition is the end of both directions
	}
	return err
}

// closedByPeer reports whether the peer has ended both directions regularly: it has sent a FIN, and
// then a RST_STREAM because it does not read.
func (t *tunnel) closedByPeer() bool {
	reset, ok := t.st.endReason().(*StreamError)
	return ok && reset.Remote && t.st.in.ending() == io.EOF
}

// SetLinger with 0 makes Close reset the stream, as with a *net.TCPConn; other values have no
// effect.
func (t *tunnel) SetLinger(sec int) error {
	t.abrupt.Store(sec == 0)
	return nil
}

// Close ends both directions: the peer reads the bytes already written and then io.EOF, and the
// peer's writes fail. Unread bytes are discarded. A concurrent Write returns, as with
// RawStream.Close; if not all of its bytes can be sent, Close resets the stream. An incomplete
// response is reset, too. Close does not wait for the network; a second call does nothing.
func (t *tunnel) Close() error {
	t.use()
	if t.closed.Swap(true) {
		return nil
	}
	ringBell(t.copied)
	st, s := t.st, t.st.session
	switch {
	case t.abrupt.Load():
		t.cut(ErrStreamClosed)
		return nil
	case t.answer != nil && !t.answer.mayEnd():
		t.cut(errNoAnswer)
		return nil
	}
	dropped := st.discard()
	s.mu.Lock()
	s.creditLocked(dropped)
	cut := st.giveUpLocked(st.queueFinLocked)
	s.mu.Unlock()
	if cut {
		st.reset(RstCancel, "closed before all was written", ErrStreamClosed)
	}
	s.ring()
	s.endIfDrained()
	return nil
}

// cut resets the stream, if it has not ended.
func (t *tunnel) cut(cause error) {
	st := t.st
	t.closed.Store(true)
	st.session.credit(st.discard())
	st.reset(RstCancel, "the tunnel was cut off", cause)
}

// LocalAddr returns the local address of the session's connection.
func (t *tunnel) LocalAddr() net.Addr { return t.st.session.LocalAddr() }

// RemoteAddr returns the address of the session's peer.
func (t *tunnel) RemoteAddr() net.Addr { return t.st.session.RemoteAddr() }

// SetDeadline sets the deadlines of reads and of writes.
func (t *tunnel) SetDeadline(d time.Time) error {
	if err := t.SetReadDeadline(d); err != nil {
		return err
	}
	return t.SetWriteDeadline(d)
}

// SetReadDeadline makes reads that block at d or later fail with os.ErrDeadlineExceeded, including
// reads already blocked. The zero time means never. It fails with ErrStreamClosed after Close.
func (t *tunnel) SetReadDeadline(d time.Time) error {
	if t.closed.Load() {
		return ErrStreamClosed
	}
	return t.st.SetReadDeadline(d)
}

// SetWriteDeadline is SetReadDeadline for writes. After a timeout, Write returns the number of
// bytes sent, and the tunnel stays usable.
func (t *tunnel) SetWriteDeadline(d time.Time) error {
	if t.closed.Load() {
		return ErrStreamClosed
	}
	return t.st.SetWriteDeadline(d)
}
