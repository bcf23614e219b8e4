package spdy

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// A tunnel is a stream of HTTP that carries bytes: behind a CONNECT, or behind an upgrade. It is
// the Body of the client's answer, and the connection that a handler hijacks. The two directions
// end as those of a RawStream: a FIN is the end of one, and a RST_STREAM cuts both off.
//
// All methods may be called by any number of goroutines at once.
type tunnel struct {
	st     *Stream
	answer *textAnswer // what a handler writes before the bytes; nil on a client
	closed atomic.Bool // Close has been called
	abrupt atomic.Bool // Close resets the stream

	watched atomic.Bool // the end of the request's context cuts the tunnel off, see watchUntilUse
	unwatch func() bool // ends that
}

var (
	_ net.Conn      = (*tunnel)(nil)
	_ io.WriterTo   = (*tunnel)(nil)
	_ io.ReaderFrom = (*tunnel)(nil)
)

// newTunnel makes a tunnel of a stream.
func newTunnel(st *Stream) *tunnel {
	st.session.mu.Lock()
	defer st.session.mu.Unlock()
	st.tunnel = true
	return &tunnel{st: st}
}

// watchUntilUse lets the end of the request's context, of which stop ends the watch, cut the
// tunnel off until it is first used. As in net/http the context has no say any more behind the
// answer 101. But a httputil.ReverseProxy that cannot hijack its client's connection drops the
// tunnel without closing it, and the stream would take a slot of the session for ever. The context of a request
// that a handler passes on ends with the handler.
func (t *tunnel) watchUntilUse(ctx context.Context, stop func() bool) {
	if ctx.Value(http.ServerContextKey) == nil {
		stop()
		return
	}
	t.unwatch = stop
	t.watched.Store(true)
}

// use notes that the application uses the tunnel.
func (t *tunnel) use() {
	if t.watched.Load() && t.watched.Swap(false) {
		t.unwatch()
	}
}

// Read reads what the peer sends. It returns io.EOF behind the peer's FIN and never else; a
// *TruncatedError if the stream was cut off; os.ErrDeadlineExceeded when the read deadline
// passes; and ErrStreamClosed, which matches net.ErrClosed, after Close.
func (t *tunnel) Read(p []byte) (int, error) {
	t.use()
	if t.closed.Load() {
		return 0, ErrStreamClosed
	}
	return t.st.read(p)
}

// Write sends p and returns when all of it has been passed to the network, which may wait for
// the peer's window. Its errors are those of RawStream.Write.
func (t *tunnel) Write(p []byte) (int, error) {
	t.use()
	switch {
	case t.closed.Load():
		return 0, ErrStreamClosed
	case t.answer != nil && !t.answer.opened.Load():
		return t.answer.write(p)
	}
	return t.st.write(p, false)
}

// WriteTo writes what the peer sends to w, as it arrives. It holds a buffer only while there is
// something to write.
func (t *tunnel) WriteTo(w io.Writer) (n int64, err error) {
	t.use()
	return t.st.writeTo(w, t)
}

// ReadFrom writes what src has, until it ends, through a pooled buffer.
func (t *tunnel) ReadFrom(src io.Reader) (n int64, err error) {
	t.use()
	return copyPooled(t, src)
}

// CloseWrite ends this direction: the peer reads io.EOF behind what has been written. It waits
// for a Write that is under way. As with TCP it is no error that the peer has closed the
// connection, nor that this direction has ended before.
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
		return nil // the last of these is the end of both directions
	}
	return err
}

// closedByPeer reports whether the peer has ended both directions regularly: its FIN has come, and
// then a RST_STREAM, which says that it does not read.
func (t *tunnel) closedByPeer() bool {
	reset, ok := t.st.endReason().(*StreamError)
	return ok && reset.Remote && t.st.in.ending() == io.EOF
}

// SetLinger with 0 makes Close a reset, as that of a *net.TCPConn; other values have no effect.
func (t *tunnel) SetLinger(sec int) error {
	t.abrupt.Store(sec == 0)
	return nil
}

// Close ends both directions: the peer reads what has been written and then io.EOF, and its
// writes fail. What has arrived and is unread is discarded. A Write that is under way returns, as
// with RawStream.Close, and makes it a reset if not all of it can be sent. So does an answer
// that is not complete. Close does not wait for the network; a second one does nothing.
func (t *tunnel) Close() error {
	t.use()
	if t.closed.Swap(true) {
		return nil
	}
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

// SetReadDeadline makes reads that wait at d or later fail with os.ErrDeadlineExceeded, those
// that are under way too. The zero time means never. It fails with ErrStreamClosed after Close.
func (t *tunnel) SetReadDeadline(d time.Time) error {
	if t.closed.Load() {
		return ErrStreamClosed
	}
	return t.st.SetReadDeadline(d)
}

// SetWriteDeadline is SetReadDeadline for writes. A Write that fails so has sent as much as it
// returns, and the tunnel stays usable.
func (t *tunnel) SetWriteDeadline(d time.Time) error {
	if t.closed.Load() {
		return ErrStreamClosed
	}
	return t.st.SetWriteDeadline(d)
}
