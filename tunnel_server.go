package spdy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// This file is the server's side of tunnels. A handler sees a tunnel as over HTTP/1.1: it hijacks
// the connection and writes the response as text. A textAnswer converts the head of that text into
// the SYN_REPLY.

// opensTunnel reports whether the handler of a request may hijack the stream.
func opensTunnel(req *http.Request, upgrades bool) bool {
	return req.Method == http.MethodConnect || upgrades && req.Header["Upgrade"] != nil
}

// A tunnelWriter is the http.ResponseWriter of a request that may open a tunnel: a Stream with a
// Hijack method.
type tunnelWriter struct{ *Stream }

var _ http.Hijacker = tunnelWriter{}

// Unwrap implements the interface for http.ResponseController.
func (w tunnelWriter) Unwrap() http.ResponseWriter { return w.Stream }

// Hijack passes the stream to the handler, as a connection on which the handler must still write an
// HTTP/1.1 response, unless WriteHeader has been called. After a response that opens no tunnel, the
// handler writes the rest of the body, in chunks if there is no Content-Length, as over HTTP/1.1;
// if the handler closes earlier, the body is truncated. Deadlines set by the server are cleared.
func (w tunnelWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	st, x := w.Stream, w.Stream.http
	x.turn.take(st.session)
	defer x.turn.pass(st.session)
	switch {
	case x.hijacked():
		return nil, nil, http.ErrHijacked
	case x.finished():
		return nil, nil, errHijackLate
	}
	if x.status != 0 {
		if err := st.flush(nil); err != nil {
			return nil, nil, err
		}
	}
	if !x.turn.fate.CompareAndSwap(exchangeOpen, exchangeHijacked) { // the exchange ended during the flush
		return nil, nil, errHijackLate
	}
	if x.body != nil {
		x.body.closed.Store(true)
	}
	_ = st.SetReadDeadline(time.Time{}) // never fail
	_ = st.SetWriteDeadline(time.Time{})
	t := newTunnel(st)
	t.answer = &textAnswer{t: t}
	switch {
	case !x.begun:
	case x.status == http.StatusSwitchingProtocols, x.req.Method == http.MethodConnect && x.status < 300:
		t.answer.opened.Store(true)
	default:
		t.answer.body = &textBody{chunked: x.length < 0 && bodyAllowed(int(x.status)), left: max(0, x.length-x.written)}
	}
	x.err = http.ErrHijacked
	return t, bufio.NewReadWriter(bufio.NewReader(t), bufio.NewWriter(t)), nil
}

// writer returns the http.ResponseWriter of a stream.
func (st *Stream) writer() http.ResponseWriter {
	if st.http.tunnel {
		return tunnelWriter{st}
	}
	return st
}

var (
	errHijackLate = errors.New("spdy: Hijack after the handler has returned")

	errNoAnswer  = errors.New("spdy: the hijacked connection was closed before its answer was complete")
	errBadAnswer = errors.New("spdy: what was written to the hijacked connection is no answer of HTTP/1.1")
)

// A textAnswer is an HTTP/1.1 response that a handler writes to a hijacked connection.
type textAnswer struct {
	t      *tunnel
	opened atomic.Bool // the response has opened the tunnel: the tunnel's bytes follow

	mu   sync.Mutex
	head []byte    // incomplete head of a response
	body *textBody // body of a response that opens no tunnel; nil before the head
}

// write processes a part of the response and the bytes after it. After write returns, a reset no
// longer drops the accepted bytes.
func (a *textAnswer) write(p []byte) (int, error) {
	st := a.t.st
	if err := st.writeDeadline.Load().err(); err != nil { // before any byte of p is accepted
		return 0, err
	}
	rest, last, bad := a.take(p)
	if len(rest) == 0 {
		if err := st.awaitSent(); err != nil {
			return 0, err
		}
	}
	trailer := a.trailer(last)
	n, err := st.write(rest, last && trailer == nil)
	if err != nil {
		return max(0, len(p)-len(rest)+n), err
	}
	if bad != nil {
		st.reset(RstInternalError, "the answer of a hijacked connection", bad)
		return 0, bad
	}
	if trailer != nil {
		if err := st.sendTrailer(trailer); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// awaitSent waits until the sender has taken the SYN_REPLY, if one is queued. A timeout is not an
// error, because the SYN_REPLY cannot be withdrawn.
func (st *Stream) awaitSent() error {
	err := st.takeTurn()
	if err == nil {
		defer st.passTurn() // other writers wait for the same bell
		err = st.awaitHeaders()
	}
	if isTimeout(err) {
		return nil
	}
	return err
}

// trailer returns the trailer of a complete response, nil if it has none.
func (a *textAnswer) trailer(over bool) http.Header {
	if !over {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.body.trailer
}

// take appends p to the head of the response until the head is complete. It returns the bytes to
// send after the head, including bytes before an error, and whether they end the response.
func (a *textAnswer) take(p []byte) (rest []byte, last bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for !a.opened.Load() && a.body == nil {
		before := len(a.head)
		a.head = append(a.head, p...)
		end := headEnd(a.head, before-len("\n\r"))
		if end < 0 {
			if limit := a.t.st.session.conf.MaxSendHeaderBytes; len(a.head) > limit {
				return nil, false, &HeaderTooLargeError{Part: partAnswer, Size: len(a.head), Limit: limit}
			}
			return nil, false, nil
		}
		head := a.head[:end]
		p = p[end-before:]
		a.head = nil
		if err := a.begin(head); err != nil {
			return nil, false, err
		}
	}
	if a.body == nil {
		return p, false, nil
	}
	return a.body.pass(p)
}

// headEnd returns the index after the empty line that ends the head of a message, or -1 if the head
// is incomplete. The caller knows that the head does not end before index from.
func headEnd(text []byte, from int) int {
	for i := max(from, 0); i < len(text); i++ {
		if text[i] != '\n' {
			continue
		}
		switch rest := text[i+1:]; {
		case bytes.HasPrefix(rest, []byte("\n")):
			return i + 2
		case bytes.HasPrefix(rest, []byte("\r\n")):
			return i + 3
		}
	}
	return -1
}

// begin sends the SYN_REPLY for a complete head. Interim responses are discarded (SPEC M11).
func (a *textAnswer) begin(head []byte) error {
	st := a.t.st
	req := st.http.req
	res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), req)
	if err != nil {
		return fmt.Errorf("%w: %w", errBadAnswer, err)
	}
	v := st.session.version
	block, opens := getBlock(), false
	var b []byte
	switch status := res.StatusCode; {
	case status == http.StatusSwitchingProtocols:
		protocol := res.Header.Get("Upgrade")
		if req.Method == http.MethodConnect || !validProtocol(protocol) {
			putBlock(block)
			return fmt.Errorf("%w: an upgrade to %q", errBadAnswer, protocol)
		}
		opens = true
		b, err = appendSwitchBlock((*block)[:0], v, protocol, res.Header)
	case status < 200:
		putBlock(block)
		return nil
	case req.Method == http.MethodConnect && status < 300:
		opens = true
		b, err = appendResponseBlock((*block)[:0], v, status, withoutLength(res.Header))
	default:
		a.body = newTextBody(res)
		b, err = appendTextBlock((*block)[:0], v, res)
	}
	if err := st.session.keepBlock(partAnswer, block, b, err); err != nil {
		return err
	}
	if err := st.sendHeaders(FrameSynReply, block, false); err != nil {
		return err
	}
	a.opened.Store(opens) // bytes of other goroutines may follow now
	return nil
}

// appendTextBlock appends the header block of a response that opens no tunnel. The block has the
// headers that net/http's client would return for the text.
func appendTextBlock(dst []byte, v Version, res *http.Response) ([]byte, error) {
	delete(res.Header, "Trailer") // net/http leaves it there if the body has no chunks, and then no trailer follows
	if len(res.Trailer) > 0 {
		res.Header["Trailer"] = slices.Sorted(maps.Keys(res.Trailer))
	}
	w := beginNameValue(dst, v)
	addResponse(&w, v, res.StatusCode, res.Header)
	if res.StatusCode == http.StatusNotModified { // headers that net/http's server accepts from handlers
		for _, key := range []string{"Content-Length", "Content-Type"} {
			if values := sendableValues(res.Header[key]); len(values) > 0 {
				w.addValues(lowerName(key), values[:1])
			}
		}
	}
	out, err := w.finish()
	if err != nil {
		return dst, err
	}
	return out, nil
}

// mayEnd reports whether the connection may end regularly: always for a tunnel, otherwise if the
// response is complete.
func (a *textAnswer) mayEnd() bool {
	if a.opened.Load() {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.body != nil && a.body.complete()
}
