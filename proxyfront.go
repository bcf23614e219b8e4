package spdy

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// This file is the seam to HTTP/1.1: it leaves the connection of the client behind
// NewStreamProxy as net/http leaves it for a handler that did not read its request.

// The rest of a request is read behind its answer until the client has sent nothing for
// drainTime, for drainLimit at most, and drainBytes at most, which is net/http's limit. It is
// read in pieces of drainPiece: a Read of chunks returns when its buffer is full, and says
// nothing of what has come before.
const (
	drainTime  = 500 * time.Millisecond
	drainLimit = 5 * time.Second
	drainBytes = 256 << 10
	drainPiece = 1 << 10
)

// briskTime is how soon a Read of chunks has filled its buffer if the next one may be larger.
const briskTime = drainTime / 20

// A proxyFront is the client's side of a proxied request. Only the handler's goroutine uses
// it.
type proxyFront struct {
	writer http.ResponseWriter
	body   io.ReadCloser // of the forwarded request, a *proxiedBody if there is one
	duplex bool          // the client speaks HTTP/1 and net/http does not wait for its request
	last   bool          // the connection ends with the answer
	whole  bool          // the answer has been written to its end
}

// closeAfterPart makes an answer of HTTP/1 the last one of its connection, unless all of
// the request has been read. net/http sees to that itself, but not in full duplex: there
// it would take the rest of the body, or what follows chunks that are none, for the next
// request, and so let the client speak in the name of others.
func (f *proxyFront) closeAfterPart() {
	if b, ok := f.body.(*proxiedBody); ok && f.duplex && !b.isWhole() {
		f.writer.Header().Set("Connection", "close")
		f.last = true
	}
}

// deliver passes the answer to the client's connection and reports a failure of that
// connection. A stream or HTTP/2 has no error to report until the handler has returned, and
// would lose the Content-Length of a short answer; flush is set for an answer that must not
// have one.
func (f *proxyFront) deliver(r *http.Request, flush bool) error {
	if r.ProtoMajor == 1 || flush {
		err := http.NewResponseController(f.writer).Flush()
		if err != nil && !errors.Is(err, http.ErrNotSupported) {
			return causedError{"spdy: proxied answer", err}
		}
	}
	if r.Context().Err() != nil { // the client has gone
		return causedError{"spdy: proxied answer", causeOf(r.Context())}
	}
	return nil
}

// end closes the body of a proxied request. The connection's deadline must not be set if all of
// the body has been read, or if none of its reads is under way and the connection carries other
// requests: behind a request whose body is through, net/http reads ahead in the background, and
// takes a deadline that passes there for the loss of the client, of which the connection's later
// requests would hear.
func (f *proxyFront) end() {
	b, ok := f.body.(*proxiedBody)
	if !ok {
		_ = f.body.Close() // its error has no reader
		return
	}
	idle, due := b.finish()
	switch whole := b.isWhole(); {
	case whole, idle == nil && !f.last: // a Close that is under way waits for nothing
	case f.last && f.whole:
		f.linger(b, idle, due)
	default: // Close would wait for the read
		_ = http.NewResponseController(f.writer).SetReadDeadline(time.Now())
	}
	_ = b.ReadCloser.Close()
}

// linger leaves the connection to net/http in a way that keeps the answer: a connection that
// is closed while bytes of the client are unread, or on their way, is reset by the kernel,
// and the client loses what it has not read. So the rest of the request is read, within
// limits, and net/http half-closes the connection and waits before it closes it. idle and due
// are those of (*proxiedBody).finish.
func (f *proxyFront) linger(b *proxiedBody, idle <-chan struct{}, due time.Time) {
	exceedLimit(f.writer)
	control := http.NewResponseController(f.writer)
	begin := time.Now()
	patience := min(max(time.Until(due), drainTime), drainLimit)
	if control.SetReadDeadline(begin.Add(patience)) != nil {
		return
	}
	_ = control.Flush() // the client may wait for it; deliver has reported a failure
	// The body of a handler's own making may not end with the deadline of the connection.
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
	b.drain(func() bool {
		next := time.Now().Add(drainTime)
		return next.Before(begin.Add(drainLimit)) && control.SetReadDeadline(next) == nil
	})
}

// exceedLimit tells net/http what it is told of a request that exceeds the limit of an
// http.MaxBytesReader: half-close the connection behind the answer and wait.
func exceedLimit(w http.ResponseWriter) {
	for {
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		w = u.Unwrap()
	}
	var p [1]byte
	_, _ = http.MaxBytesReader(w, io.NopCloser(strings.NewReader("x")), 0).Read(p[:])
}

// A proxiedBody is the body of a request that a handler got. One goroutine reads it.
type proxiedBody struct {
	io.ReadCloser
	trailer forwardedTrailer // completed by the Read that returns io.EOF
	duplex  bool             // as of the proxyFront; set before the first Read
	piece   int              // how much a Read of chunks asks for; 0 if it may be any; for the reader

	mu      sync.Mutex
	busy    int           // reads and closes that are under way
	reading bool          // a Read is under way
	closing bool          // that Read closes the body
	whole   bool          // all has been read
	over    bool          // the handler is about to return, nothing more is to be sent
	due     time.Time     // until when the latest Read of chunks has time to fill its buffer
	idle    chan struct{} // latch: none is under way any more; nil unless finish has found some
	drained int           // bytes that drain has read; for those who are admitted, and the handler behind them
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
	if b.closesAfter(err == io.EOF) {
		b.drain(b.mayDrain)
	}
	b.done()
	return n, err
}

// adapt chooses the size of the next Read of chunks: little of a client that sends slowly, of
// which nothing would be seen until a large buffer is full.
func (b *proxiedBody) adapt(n int, took time.Duration) {
	switch {
	case b.piece == 0:
	case took > briskTime:
		b.piece = drainPiece
	case n == b.piece && n < readBufferSize:
		b.piece *= 2
	}
}

// Close closes the body. In full duplex it reads the rest of the request instead, within the
// limits that net/http has for that: a client that sends all before it reads gets to the
// answer. If a Read is under way, which a Close does not end, the Read does so.
func (b *proxiedBody) Close() error {
	if !b.begin(false, 0) {
		return nil
	}
	defer b.done()
	if !b.duplex {
		return b.ReadCloser.Close()
	}
	if !b.leavesClose() {
		b.drain(b.mayDrain)
	}
	return nil
}

// drain reads the rest of the request while goOn, which is asked before each Read, returns
// true, to its end or to drainBytes.
func (b *proxiedBody) drain(goOn func() bool) {
	buf := make([]byte, drainPiece)
	for b.drained < drainBytes && !b.isWhole() && goOn() {
		n, err := b.ReadCloser.Read(buf)
		b.drained += n
		if err == io.EOF {
			b.closesAfter(true)
		}
		if err != nil {
			return
		}
	}
}

// mayDrain reports whether the handler still waits for its answer.
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

// done ends what begin has admitted.
func (b *proxiedBody) done() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.busy--
	if b.busy == 0 && b.idle != nil {
		close(b.idle)
	}
}

// closesAfter takes note of the end of a Read and reports whether it has to close the body.
func (b *proxiedBody) closesAfter(whole bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.whole = b.whole || whole
	closes := b.closing
	b.reading, b.closing = false, false
	return closes
}

// leavesClose reports whether a Read that is under way closes the body.
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

// finish admits no more calls. It returns a latch for the end of those that are under way,
// nil if there are none, and until when a Read among them may take to fill its buffer: a client
// that sends all the time is not silent before.
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
