package spdy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
)

// A lengthCheck compares the bytes of a body with its Content-Length. A body of
// another length is an error to its reader, never a clean end.
type lengthCheck struct {
	length int64        // Content-Length, less than 0 if there is none
	left   atomic.Int64 // what has not been read yet. Several readers at once share it
	none   bool         // there is no body: what comes all the same is dropped
	answer bool         // it is of an answer, else of a request
}

func (c *lengthCheck) init(answer bool, length int64) {
	c.left.Store(length)
	c.length, c.answer = length, answer
}

// label says what errors are about.
func (c *lengthCheck) label() string {
	if c.answer {
		return "response body"
	}
	return "request body"
}

// hasCome reports that there is a Content-Length and all of it has come.
func (c *lengthCheck) hasCome(in *northbound) bool {
	return !c.none && c.length >= 0 && in.received() >= c.length
}

// take passes the outcome of a read of n bytes from in on, unless it breaks the promise.
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
		// Another reader may not have counted yet what it has got.
		if lacks := c.length - in.received(); lacks > 0 {
			return n, fmt.Errorf("spdy: %s is %d bytes shorter than its Content-Length: %w", c.label(), lacks, io.ErrUnexpectedEOF)
		}
	}
	return n, err
}

// isRead reports that all bytes of a body with a Content-Length have been read.
func (c *lengthCheck) isRead() bool { return c.length >= 0 && !c.none && c.left.Load() == 0 }

// A requestBody is the Body of a request that a handler got.
type requestBody struct {
	st     *Stream
	req    *http.Request
	check  lengthCheck
	closed atomic.Bool
	wrong  atomic.Bool // it has another length than its Content-Length
}

// Read reads what the client sends. After the last byte it sets the request's
// Trailer and returns io.EOF.
func (b *requestBody) Read(p []byte) (int, error) {
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	k, rerr := b.st.readBody(p)
	rerr = b.st.bodyError(rerr)
	n, err := b.check.take(&b.st.in, k, rerr)
	switch {
	case err == io.EOF:
		setTrailer(&b.req.Trailer, b.st)
	case err != rerr: // nobody but the check has changed it
		b.wrong.Store(true)
	}
	return n, err
}

// WriteTo sends what the client sends on to w as it arrives, without a buffer in
// between; it is what io.Copy uses. In all else it is Read until the end.
func (b *requestBody) WriteTo(w io.Writer) (int64, error) {
	if b.closed.Load() {
		return 0, http.ErrBodyReadAfterClose
	}
	to := checkedWriter{w: w, check: &b.check}
	n, fromWriter, err := b.st.northbound(&to, nil)
	switch {
	case fromWriter:
		if to.wrong {
			b.wrong.Store(true)
		}
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

// Close says that nobody wants the rest.
func (b *requestBody) Close() error {
	if b.closed.CompareAndSwap(false, true) {
		b.st.stopReading()
	}
	return nil
}

// bodyError makes the error of a read one of an HTTP body. A body is closed by its Close, or
// because the handler has returned. That a cause of the program is ErrStreamClosed, perhaps of
// another session, is not the same.
func (st *Stream) bodyError(err error) error {
	if err == ErrStreamClosed && st.in.isDiscarding() {
		return http.ErrBodyReadAfterClose
	}
	return err
}

// keepsUnreadLocked reports that somebody is about to read what has come before the
// peer's RST_STREAM: the handler of a request, or the client that waits for an answer.
// As over HTTP/1.1 and HTTP/2 they get all of it, and then the error. It counts against
// the windows until they have read it, or closed the body.
func (st *Stream) keepsUnreadLocked() bool {
	switch st.session.app.(type) {
	case *acceptQueue:
		// A peer that knows no other way to be through with its streams, as those of
		// Kubernetes, resets them behind its last bytes.
		return st.session.unaware != nil
	case *httpServerApp:
		return true
	case *httpClientApp:
		return st.request != nil // not a push, for which nobody may ever ask
	}
	return false
}

// setTrailer adds what HEADERS frames brought to a message's trailers.
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

// A responseBody is the Body of an answer that a client got.
type responseBody struct {
	st    *Stream
	res   *http.Response
	check lengthCheck
	stop  func() bool // ends the watch over the request's context
	done  atomic.Bool // the end has been read, or Close called
	to    checkedWriter
	lends atomic.Bool // to is in use
}

// hasCome reports that the answer has a Content-Length and all of it has come: only the end of
// the stream is missing.
func (b *responseBody) hasCome() bool { return b != nil && b.check.hasCome(&b.st.in) }

// Read reads what the server sends. A body that did not come to its end is an
// error that matches io.ErrUnexpectedEOF and what ended it.
func (b *responseBody) Read(p []byte) (int, error) {
	for {
		n, err := b.st.readBody(p)
		n, err = b.taken(n, b.st.bodyError(err))
		if n > 0 || err != nil || len(p) == 0 || !b.check.none {
			return n, err
		}
	}
}

// taken checks what a read has brought and, at the end, lets go of the stream.
func (b *responseBody) taken(n int, err error) (int, error) {
	n, err = b.check.take(&b.st.in, n, err)
	if err == io.EOF && !b.done.Swap(true) {
		setTrailer(&b.res.Trailer, b.st)
		b.stop()
	}
	return n, err
}

// WriteTo sends the rest of the body on to w as it arrives, without a buffer in
// between.
func (b *responseBody) WriteTo(w io.Writer) (int64, error) {
	n, _, err := b.forward(w, nil)
	return n, err
}

// forward is WriteTo with a function that is called before waiting, and tells
// whether w failed.
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

// A checkedWriter holds back what goes beyond a body's Content-Length.
type checkedWriter struct {
	w     io.Writer
	check *lengthCheck
	wrong bool // it has met more than that
}

func (c *checkedWriter) Write(p []byte) (int, error) {
	if c.check.none {
		return len(p), nil
	}
	n, err := c.check.take(nil, len(p), nil) // the end is looked at by others
	c.wrong = err != nil
	k, werr := c.w.Write(p[:n])
	if werr != nil {
		return k, werr
	}
	return k, err
}

// Close gives the rest of the answer up: a stream that is still open is reset
// with CANCEL. It returns without waiting for the peer. If all bytes that the Content-Length
// promises have been read, and the request has been sent, the server has leaveTime to end the
// stream: as over HTTP/1.1 its handler, which may have something left to do, is not cancelled.
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
