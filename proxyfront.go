package spdy

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"time"
)

// This file connects the proxy to HTTP/1.1: after NewStreamProxy the client's connection is in the
// same state as after a handler of net/http that has not read the request.

// The rest of a request is read after the answer until the client has sent nothing for drainTime,
// for at most drainLimit, and at most drainBytes, which is net/http's limit. The reads are in
// pieces of drainPiece: a Read of chunked data returns only with a full buffer, and reports no
// progress before.
const (
	drainTime  = 500 * time.Millisecond
	drainLimit = 5 * time.Second
	drainBytes = 256 << 10
	drainPiece = 1 << 10
)

// unannouncedBytes replaces drainBytes where the headers of the answer do not announce the end of
// the connection: a client that has written the whole request into the buffers of the two systems
// may send the next request already.
const unannouncedBytes = 4 << 20

// briskTime is the time within which a Read of chunked data must fill the buffer for the next Read
// to be larger.
const briskTime = drainTime / 20

// A proxyFront is the client's side of a proxied request. Only the handler's goroutine uses it.
type proxyFront struct {
	writer http.ResponseWriter
	body   io.ReadCloser // of the forwarded request, a *proxiedBody if there is one
	duplex bool          // the client speaks HTTP/1 and net/http does not wait for the request
	last   bool          // the headers of the answer announce the end of the connection
	whole  bool          // the answer has been written completely
}

// enableDuplex lets the answer to an HTTP/1 request with a body begin before the request has been
// read. Only HTTP/1 needs this. If there is no body to read, the handler has replaced the body, and
// net/http itself handles the rest of the request.
func (f *proxyFront) enableDuplex(r *http.Request) {
	b, ok := f.body.(*proxiedBody)
	if !ok || r.ProtoMajor != 1 || streamOf(f.writer) != nil ||
		http.NewResponseController(f.writer).EnableFullDuplex() != nil {
		return
	}
	f.duplex, b.duplex = true, true
	if values := r.Header["Content-Length"]; len(values) == 1 {
		if n, ok := parseLength(values); ok {
			b.length = n
		}
	}
	if r.ContentLength < 0 {
		b.piece = drainPiece
	}
}

// closeAfterPart announces that an HTTP/1 answer is the last of the connection, if the rest of the
// request is too long to be read after the answer. net/http does so itself, but not in full duplex.
// A rest of unknown length is no reason for the announcement: the end of most uploads arrives while
// the answer is being written. If the end has not arrived by then, the connection ends unannounced,
// see end.
func (f *proxyFront) closeAfterPart() {
	b, ok := f.body.(*proxiedBody)
	if !ok || !f.duplex || b.isWhole() {
		return
	}
	if b.leavesRest() || !endsUnannounced(f.writer) {
		f.writer.Header().Set("Connection", "close")
		f.last = true
	}
}

// deliver flushes the answer to the client's connection and reports a failure of the connection. A
// stream or HTTP/2 reports errors only after the handler has returned, and a flush would remove the
// Content-Length of a short answer; flush is true for an answer that must not have a
// Content-Length.
func (f *proxyFront) deliver(r *http.Request, flush bool) error {
	if r.ProtoMajor == 1 || flush {
		err := http.NewResponseController(f.writer).Flush()
		if err != nil && !errors.Is(err, http.ErrNotSupported) {
			return causedError{"spdy: proxied answer", err}
		}
	}
	if st := streamOf(f.writer); st != nil && st.cameToEnd() { // after the reply to HEAD, which ends the context
		return nil
	}
	if r.Context().Err() != nil { // the client has disconnected
		return causedError{"spdy: proxied answer", causeOf(r.Context())}
	}
	return nil
}

// end closes the body of a proxied request. The connection's deadline must not be set if the body
// has been read completely, or if no Read of the body is running and the connection carries further
// requests. After the end of a body, net/http reads ahead in the background, and treats an expired
// deadline there as the loss of the client, which would fail later requests on the connection.
func (f *proxyFront) end() {
	b, ok := f.body.(*proxiedBody)
	if !ok {
		_ = f.body.Close() // the error has no reader
		return
	}
	idle, due := b.finish()
	switch whole := b.isWhole(); {
	case whole, idle == nil && !f.duplex: // a running Close does not block
	case f.duplex && f.whole:
		f.linger(b, idle, due)
		f.closeUnlessWhole(b)
	default: // Close would wait for the read
		_ = http.NewResponseController(f.writer).SetReadDeadline(time.Now())
	}
	_ = b.ReadCloser.Close()
}

// linger hands the connection to net/http without losing the answer: if a connection is closed
// while bytes of the client are unread or in flight, the kernel resets it, and the client loses
// unread bytes. So linger reads the rest of the request, within limits, and net/http half-closes
// the connection and waits before closing it. idle and due are the results of
// (*proxiedBody).finish.
func (f *proxyFront) linger(b *proxiedBody, idle <-chan struct{}, due time.Time) {
	control := http.NewResponseController(f.writer)
	begin := time.Now()
	patience := min(max(time.Until(due), drainTime), drainLimit)
	if control.SetReadDeadline(begin.Add(patience)) != nil {
		return
	}
	_ = control.Flush() // the client may wait for the answer; deliver has reported a failure
	// A body set by a handler may ignore the deadline of the connection.
	closer := time.AfterFunc(drainLimit+drainTime, func() { _ = b.ReadCloser.Close() })
	defer closer.Stop()
	if idle != nil {
		timer := time.NewTimer(patience + drainTime)
		defer timer.Stop()
		w := wait{end: idle, clock: timer.C}
		if w.sleep(nil) == byClock { // as above
			return
		}
	}
	limit := drainBytes
	if !f.last {
		limit = unannouncedBytes
	}
	b.drain(limit, func() bool {
		next := time.Now().Add(drainTime)
		return next.Before(begin.Add(drainLimit)) && control.SetReadDeadline(next) == nil
	})
}

// closeUnlessWhole ends the connection after the answer unless the whole request has been read. In
// full duplex net/http would parse the rest of the body, or the bytes after invalid chunks, as the
// next request, and so let the client forge requests of others.
func (f *proxyFront) closeUnlessWhole(b *proxiedBody) {
	if f.last || !b.isWhole() {
		exceedLimit(f.writer)
		return
	}
	// net/http reads ahead already. The deadline of the last Read must not end that read.
	_ = http.NewResponseController(f.writer).SetReadDeadline(time.Time{})
}

// exceedLimit signals to net/http that the request exceeds the limit of an http.MaxBytesReader:
// net/http then half-closes the connection after the answer and waits.
func exceedLimit(w http.ResponseWriter) {
	var p [1]byte
	_, _ = http.MaxBytesReader(innermost(w), io.NopCloser(strings.NewReader("x")), 0).Read(p[:])
}

// endsUnannounced reports whether exceedLimit ends the connection of w although the headers of the
// answer have been written: w is a ResponseWriter of net/http, possibly wrapped.
func endsUnannounced(w http.ResponseWriter) bool {
	return fmt.Sprintf("%T", innermost(w)) == "*http.response"
}

// innermost returns the ResponseWriter below all wrappers.
func innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = u.Unwrap()
	}
}

// A proxiedBody is the body of a request received by a handler. One goroutine reads it.
type proxiedBody struct {
	io.ReadCloser
	trailer forwardedTrailer // completed by the Read that returns io.EOF
	duplex  bool             // as in the proxyFront; set before the first Read
	length  int64            // Content-Length sent by the client, -1 if absent or not in full duplex; as duplex
	piece   int              // size limit of a Read of chunked data; 0 if there is none; for the reader

	mu      sync.Mutex
	busy    int           // running reads and closes
	reading bool          // a Read is running
	closing bool          // the running Read closes the body
	whole   bool          // the body has been read completely
	over    bool          // the handler is about to return, no more may be read or sent
	due     time.Time     // until when the latest Read of chunked data may take to fill the buffer
	idle    chan struct{} // closed when no call is running; nil unless finish has found running calls
	drained int           // bytes read by drain; used by admitted calls, then by the handler
	got     int64         // bytes read
	broken  bool          // a Read has failed, or drain has stopped before the end
}

func (b *proxiedBody) Read(p []byte) (int, error) {
	if b.piece > 0 {
		p = p[:min(len(p), b.piece)]
	}
	if !b.begin(true, len(p)) {
		return 0, http.ErrBodyReadAfterClose
	}
	began := time.Now()
	n, err := b.ReadCloser.Read(p)
	b.adapt(n, time.Since(began))
	if err == io.EOF {
		b.trailer.complete()
	}
	if b.closesAfter(n, err) {
		b.drain(drainBytes, b.mayDrain)
	}
	b.done()
	return n, err
}

// isAllLocked reports whether the end of the body is certain to be the end of the request. A handler may
// have replaced the body, even by a part. In full duplex net/http would then parse the rest of the
// request as the next request, and so let the client forge requests of others.
func (b *proxiedBody) isAllLocked() bool {
	switch {
	case !b.duplex:
		return true
	case b.length >= 0:
		return b.got == b.length
	}
	t := reflect.TypeOf(b.ReadCloser)
	return t.Kind() == reflect.Pointer && t.Elem().PkgPath() == "net/http"
}

// adapt chooses the size of the next Read of chunked data: small for a client that sends slowly,
// since a Read reports no progress until the buffer is full.
func (b *proxiedBody) adapt(n int, took time.Duration) {
	switch {
	case b.piece == 0:
	case took > briskTime:
		b.piece = drainPiece
	case n == b.piece && n < readBufferSize:
		b.piece *= 2
	}
}

// Close closes the body. In full duplex Close instead reads the rest of the request, within the
// limits of net/http: a client that sends the whole request before reading then reaches the answer.
// If a Read is running, which Close does not interrupt, that Read drains the body.
func (b *proxiedBody) Close() error {
	if !b.begin(false, 0) {
		return nil
	}
	defer b.done()
	if !b.duplex {
		return b.ReadCloser.Close()
	}
	if !b.leavesClose() {
		b.drain(drainBytes, b.mayDrain)
	}
	return nil
}

// drain reads the rest of the request, up to limit bytes, while goOn, called before each Read,
// returns true.
func (b *proxiedBody) drain(limit int, goOn func() bool) {
	buf := make([]byte, drainPiece)
	for b.drained < limit && !b.isWhole() && goOn() {
		n, err := b.ReadCloser.Read(buf)
		b.drained += n
		b.closesAfter(n, err)
		if err != nil {
			return
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.broken = !b.whole
}

// mayDrain reports whether the handler still waits for the answer.
func (b *proxiedBody) mayDrain() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !b.over
}

// begin admits a Read of n bytes or a Close, unless the handler is about to return.
func (b *proxiedBody) begin(reads bool, n int) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return false
	}
	b.busy++
	b.reading = b.reading || reads
	if reads && b.piece > 0 {
		b.due = time.Now().Add(drainTime * time.Duration(n) / drainPiece)
	}
	return true
}

// done ends a call that begin has admitted.
func (b *proxiedBody) done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.busy--
	if b.busy == 0 && b.idle != nil {
		close(b.idle)
	}
}

// closesAfter records the end of a Read of n bytes and reports whether this Read has to close the
// body.
func (b *proxiedBody) closesAfter(n int, err error) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got += int64(n)
	b.whole = b.whole || err == io.EOF && b.isAllLocked()
	b.broken = b.broken || err != nil && !b.whole
	closes := b.closing
	b.reading, b.closing = false, false
	return closes
}

// leavesClose reports whether a running Read closes the body.
func (b *proxiedBody) leavesClose() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reading {
		b.closing = true
	}
	return b.closing
}

func (b *proxiedBody) isWhole() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.whole
}

// leavesRest reports whether it is known that drain will not read the rest of the request.
func (b *proxiedBody) leavesRest() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.broken || b.length-b.got > drainBytes
}

// finish admits no more calls. It returns a channel closed when the running calls have ended, nil
// if there are none, and the time until which a running Read may take to fill the buffer: before
// that time, a client that sends continuously may seem silent.
func (b *proxiedBody) finish() (idle <-chan struct{}, due time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over = true
	if b.busy == 0 {
		return nil, time.Time{}
	}
	b.idle = make(chan struct{})
	return b.idle, b.due
}
