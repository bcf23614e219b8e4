package spdy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
)

// A lengthCheck compares the bytes of a body with the Content-Length. A body of another length is
// an error to the reader, never a clean end.
type lengthCheck struct {
	length int64        // Content-Length; less than 0 if absent
	left   atomic.Int64 // bytes not read yet; concurrent readers share the counter
	none   bool         // the message has no body: received bytes are dropped
	answer bool         // the body belongs to a response, else to a request
}

func (c *lengthCheck) init(answer bool, length int64) {
	c.left.Store(length)
	c.length, c.answer = length, answer
}

// label names the body in errors.
func (c *lengthCheck) label() string {
	if c.answer {
		return "response body"
	}
	return "request body"
}

// hasCome reports whether a Content-Length is present and all of the body has been received.
func (c *lengthCheck) hasCome(in *northbound) bool {
	return !c.none && c.length >= 0 && in.received() >= c.length
}

// take returns the outcome of a read of n bytes from in, or an error if the body breaks the
// Content-Length.
func (c *lengthCheck) take(in *northbound, n int, err error) (int, error) {
	switch {
	case c.none:
		return 0, err
	case c.length < 0:
		return n, err
	}
	if left := c.left.Add(-int64(n)); left < 0 {
		n = int(max(int64(n)+left, 0))
		return n, fmt.Errorf("spdy: %s is longer than its Content-Length: %w", c.label(), http.ErrContentLength)
	}
	if err == io.EOF {
		// Another reader may not have counted the bytes of a read yet.
		if lacks := c.length - in.received(); lacks > 0 {
			return n, fmt.Errorf("spdy: %s is %d bytes shorter than its Content-Length: %w", c.label(), lacks, io.ErrUnexpectedEOF)
		}
	}
	return n, err
}

// isRead reports whether all bytes of a body with a Content-Length have been read.
func (c *lengthCheck) isRead() bool { return c.length >= 0 && !c.none && c.left.Load() == 0 }

// A requestBody is the Body of a request that a handler received.
type requestBody struct {
	st     *Stream
	req    *http.Request
	check  lengthCheck
	closed atomic.Bool
	wrong  atomic.Bool // the body's length differs from the Content-Length
	late   atomic.Bool // a Read has failed because of the deadline, and so do all later Reads
}

// Read reads the bytes that the client sends. After the last byte it sets the request's Trailer and
// returns io.EOF.
func (b *requestBody) Read(p []byte) (int, error) {
	if err := b.ended(); err != nil {
		return 0, err
	}
	k, rerr := b.st.readBody(p)
	rerr = b.st.bodyError(rerr)
	n, err := b.check.take(&b.st.in, k, rerr)
	switch {
	case err == io.EOF:
		setTrailer(&b.req.Trailer, b.st)
	case err != rerr: // only the length check changes the error
		b.wrong.Store(true)
	case err == os.ErrDeadlineExceeded:
		b.late.Store(true)
	}
	return n, err
}

// ended returns the error of a Read that reads nothing.
func (b *requestBody) ended() error {
	switch {
	case b.closed.Load():
		return http.ErrBodyReadAfterClose
	case b.late.Load():
		return os.ErrDeadlineExceeded
	}
	return nil
}

// WriteTo forwards the client's bytes to w as they arrive, without an intermediate buffer; io.Copy
// uses it. Otherwise WriteTo equals calling Read until the end.
func (b *requestBody) WriteTo(w io.Writer) (int64, error) {
	if err := b.ended(); err != nil {
		return 0, err
	}
	to := checkedWriter{w: w, check: &b.check}
	n, fromWriter, err := b.st.northbound(&to, nil)
	switch {
	case fromWriter:
		if to.wrong {
			b.wrong.Store(true)
		}
		return n, err
	case err == os.ErrDeadlineExceeded:
		b.late.Store(true)
		return n, err
	case err != nil:
		return n, b.st.bodyError(err)
	}
	if _, err = b.check.take(&b.st.in, 0, io.EOF); err != io.EOF {
		b.wrong.Store(true)
		return n, err
	}
	setTrailer(&b.req.Trailer, b.st)
	return n, nil
}

// Close discards the rest of the body.
func (b *requestBody) Close() error {
	if b.closed.CompareAndSwap(false, true) {
		b.st.stopReading()
	}
	return nil
}

// bodyError makes the error of a read the error of an HTTP body. A body is closed by Close, or
// because the handler has returned. A program may also pass ErrStreamClosed as a cause, perhaps
// from another session; that error is not converted.
func (st *Stream) bodyError(err error) error {
	if err == ErrStreamClosed && st.in.isDiscarding() {
		return http.ErrBodyReadAfterClose
	}
	return err
}

// keepsUnreadLocked reports whether the bytes received before the peer's RST_STREAM have a reader:
// the handler of a request, or the client that waits for a response. As over HTTP/1.1 and HTTP/2
// the reader gets all of the bytes, and then the error. The bytes count against the windows until
// they are read or the body is closed.
func (st *Stream) keepsUnreadLocked() bool {
	switch st.session.app.(type) {
	case *acceptQueue:
		// Some peers, such as those of Kubernetes, know no other way to end a stream than to reset
		// it after the last bytes.
		return st.session.unaware != nil
	case *httpServerApp:
		return true
	case *httpClientApp:
		return st.request != nil // false for a push, which the program may never read
	}
	return false
}

// setTrailer adds the headers of HEADERS frames to a message's trailers.
func setTrailer(trailer *http.Header, st *Stream) {
	late := st.lateHeaders()
	if len(late) == 0 {
		return
	}
	values, err := parseTrailerBlock(st.session.version, late)
	if err != nil || len(values) == 0 {
		return
	}
	if *trailer == nil {
		*trailer = make(http.Header, len(values))
	}
	for key, v := range values {
		(*trailer)[key] = v
	}
}

// A responseBody is the Body of a response that a client received.
type responseBody struct {
	st    *Stream
	res   *http.Response
	check lengthCheck
	stop  func() bool // stops watching the request's context
	done  atomic.Bool // the end has been read, or Close called
	to    checkedWriter
	lends atomic.Bool // to is in use
}

// hasCome reports whether the response has a Content-Length and all of the body has been received:
// only the end of the stream is missing.
func (b *responseBody) hasCome() bool { return b != nil && b.check.hasCome(&b.st.in) }

// Read reads the bytes that the server sends. For a truncated body the error matches
// io.ErrUnexpectedEOF and the cause.
func (b *responseBody) Read(p []byte) (int, error) {
	for {
		n, err := b.st.readBody(p)
		n, err = b.taken(n, b.st.bodyError(err))
		if n > 0 || err != nil || len(p) == 0 || !b.check.none {
			return n, err
		}
	}
}

// taken checks the outcome of a read and, at the end of the body, releases the stream.
func (b *responseBody) taken(n int, err error) (int, error) {
	n, err = b.check.take(&b.st.in, n, err)
	if err == io.EOF && !b.done.Swap(true) {
		setTrailer(&b.res.Trailer, b.st)
		b.stop()
	}
	return n, err
}

// WriteTo forwards the rest of the body to w as the bytes arrive, without an intermediate buffer.
func (b *responseBody) WriteTo(w io.Writer) (int64, error) {
	n, _, err := b.forward(w, nil)
	return n, err
}

// forward is WriteTo with a function that is called before each wait. fromWriter reports whether w
// failed.
func (b *responseBody) forward(w io.Writer, flush func()) (n int64, fromWriter bool, err error) {
	to := &b.to
	if b.lends.CompareAndSwap(false, true) {
		defer b.lends.Store(false)
	} else {
		to = new(checkedWriter)
	}
	*to = checkedWriter{w: w, check: &b.check}
	n, fromWriter, err = b.st.northbound(to, flush)
	switch {
	case fromWriter:
		return n, true, err
	case err != nil:
		return n, false, b.st.bodyError(err)
	}
	if _, err = b.taken(0, io.EOF); err == io.EOF {
		err = nil
	}
	return n, false, err
}

// A checkedWriter withholds bytes beyond a body's Content-Length.
type checkedWriter struct {
	w     io.Writer
	check *lengthCheck
	wrong bool // the body exceeded the Content-Length
}

func (c *checkedWriter) Write(p []byte) (int, error) {
	if c.check.none {
		return len(p), nil
	}
	n, err := c.check.take(nil, len(p), nil) // callers check the end
	c.wrong = err != nil
	k, werr := c.w.Write(p[:n])
	if werr != nil {
		return k, werr
	}
	return k, err
}

// Close discards the rest of the response: an open stream is reset with CANCEL. Close does not wait
// for the peer. If all bytes of the Content-Length have been read and the request has been sent,
// the server has leaveTime to end the stream: as over HTTP/1.1 the handler, which may still be
// working, is not cancelled.
func (b *responseBody) Close() error {
	b.stop()
	b.st.session.credit(b.st.discard())
	select {
	case <-b.st.done:
		b.done.Store(true)
		return nil
	default:
	}
	if b.check.isRead() && b.st.allSent() {
		if !b.done.Swap(true) {
			b.st.leave()
		}
		return nil
	}
	if !b.done.Swap(true) {
		b.st.reset(RstCancel, "response body closed", context.Canceled)
	} else {
		b.st.reset(RstCancel, "answer complete before the request", nil)
	}
	return nil
}
