package spdy

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// answerBuffer is the number of response bytes that are buffered before the first is sent. A
// response that fits receives a Content-Length, as in net/http.
const answerBuffer = 4 << 10

// An exchange is the HTTP side of a stream on the server: it makes the Stream an
// http.ResponseWriter. As with any http.ResponseWriter, only one goroutine of a handler should use
// the exchange at a time, and none after the handler has returned. A handler that breaks this rule
// corrupts at most its own response: writers hold the turn, which guards all but the first fields.
type exchange struct {
	turn turn // turn.fate is exchangeOpen or another fate

	req  *http.Request
	body *requestBody

	header http.Header   // the handler's
	sent   http.Header   // copy of header at WriteHeader; nil before
	frozen *frozenHeader // pooled owner of sent; nil if sent is not pooled
	status int32         // 0 before WriteHeader

	begun    bool // the SYN_REPLY has been queued
	overrun  bool // a Write exceeded length: later writes cannot complete the response
	replaced bool // the handler's response could not be sent, and the client received a replacement
	tunnel   bool // the handler may hijack the stream; immutable

	buf      *[]byte // bytes buffered by Write, from answerPool; nil if none
	length   int64   // the handler's Content-Length; -1 if none
	written  int64   // bytes of body that the handler has written
	trailers []string
	err      error    // error of every later Write
	push     *promise // set for the response of a push; nil for a requested response; immutable
}

// The fates of an exchange. A fate other than exchangeOpen is final.
const (
	exchangeOpen     int32 = iota
	exchangeFinished       // the handler has returned: later writes fail
	exchangeHijacked       // the handler uses the stream as a connection
)

// ends records that the handler has returned, and reports whether the response still has to be
// completed.
func (x *exchange) ends() bool { return x.turn.fate.CompareAndSwap(exchangeOpen, exchangeFinished) }

func (x *exchange) finished() bool { return x.turn.fate.Load() == exchangeFinished }

func (x *exchange) hijacked() bool { return x.turn.fate.Load() == exchangeHijacked }

// Header returns the headers of the response. Changes after WriteHeader have no effect, except for
// trailers: keys announced in a Trailer header, and keys with http.TrailerPrefix. On a stream made
// by NewClientStream, Header returns the headers of the received response once Request has started
// to copy the response.
func (st *Stream) Header() http.Header {
	x := st.http
	if x == nil {
		x = &exchange{}
		st.http = x
	}
	if x.header == nil {
		x.header = make(http.Header)
	}
	return x.header
}

// WriteHeader sets the status of the response and freezes the headers. Interim statuses (1xx) are
// dropped, since a stream has only one SYN_REPLY (SPEC M11). WriteHeader panics if the code is not
// a valid status, unless the headers have been frozen before, as in net/http.
func (st *Stream) WriteHeader(status int) {
	x := st.http
	if x == nil || x.req == nil {
		return
	}
	x.turn.take(st.session)
	defer x.turn.pass(st.session)
	if x.status != 0 || x.turn.fate.Load() != exchangeOpen {
		return
	}
	if status < 100 || status > 999 {
		panic("invalid WriteHeader code " + strconv.Itoa(status)) // the text of net/http
	}
	switches := status == http.StatusSwitchingProtocols && x.tunnel && x.req.Method != http.MethodConnect
	if status < 200 && !switches {
		return
	}
	x.freezeCopy(status, st.Header())
}

// freeze fixes the status and the headers of the response.
func (x *exchange) freeze(status int, header http.Header) {
	x.status, x.sent, x.length = int32(status), header, -1
	if values := header["Content-Length"]; len(values) > 0 {
		if n, ok := responseLength(values); ok && n >= 0 {
			x.length = n
		} else {
			delete(header, "Content-Length")
		}
	}
	for _, v := range header["Trailer"] {
		for key := range strings.SplitSeq(v, ",") {
			key = http.CanonicalHeaderKey(strings.TrimSpace(key))
			if validTrailer(key) {
				x.trailers = append(x.trailers, key)
			}
		}
	}
}

// Write writes a part of the response body. Write first calls WriteHeader(200) if the handler has
// not called WriteHeader. Errors are http.ErrBodyNotAllowed, http.ErrContentLength,
// os.ErrDeadlineExceeded, or the reason why the stream has ended. A Write that would exceed the
// Content-Length writes nothing, and all later writes fail too. On a stream made by
// NewClientStream, Write sends raw bytes on the stream.
func (st *Stream) Write(p []byte) (int, error) {
	x := st.http
	if st.session == nil {
		return 0, errUnmade
	}
	if x == nil || x.req == nil {
		return st.write(p, false)
	}
	x.turn.take(st.session)
	defer x.turn.pass(st.session)
	if err := x.admit(st, int64(len(p))); err != nil {
		return 0, err
	}
	if x.isHead() {
		return st.countHead(p)
	}
	if x.buf == nil {
		if len(p) > answerBuffer {
			return st.writeThrough(p)
		}
		x.buf = getAnswerBuffer()
	}
	free := answerBuffer - len(*x.buf)
	if len(p) <= free {
		*x.buf = append(*x.buf, p...)
		return len(p), nil
	}
	if err := st.flush(p); err != nil {
		return 0, err
	}
	if len(p) > answerBuffer {
		return st.writeThrough(p)
	}
	*x.buf = append(*x.buf, p...)
	return len(p), nil
}

// isHead reports whether the response body is only counted and sniffed, not sent.
func (x *exchange) isHead() bool { return x.req.Method == http.MethodHead }

// countHead is Write for a response to HEAD. As for GET, the headers are sent once the buffer is
// full: later writes of the handler do not change the headers.
func (st *Stream) countHead(p []byte) (int, error) {
	x := st.http
	if err := x.lateErr(st); err != nil {
		return 0, err
	}
	x.keepForSniffing(p)
	if x.written > answerBuffer && !x.begun {
		if err := st.flush(nil); err != nil {
			return 0, err
		}
		if err := st.awaitHeaders(); err != nil { // otherwise a panic would keep the headers from the client
			return 0, err
		}
	}
	return len(p), nil
}

// lateErr returns the error of a handler that continues a response to HEAD although the stream and
// the context of the request have ended: otherwise a handler that writes until a Write fails would
// never return. The call that sends the headers does not fail in this way.
func (x *exchange) lateErr(st *Stream) error {
	if !x.begun || x.req.Context().Err() == nil || !latched(st.done) {
		return nil
	}
	return st.writeEnd(st.endReason())
}

// keepForSniffing keeps the beginning of a response to HEAD, which receives the same Content-Type
// as a response to GET.
func (x *exchange) keepForSniffing(p []byte) {
	const sniffed = 512 // http.DetectContentType reads no more
	if x.begun || len(p) == 0 {
		return
	}
	if x.buf == nil {
		x.buf = getAnswerBuffer()
	}
	if free := sniffed - len(*x.buf); free > 0 {
		*x.buf = append(*x.buf, p[:min(free, len(p))]...)
	}
}

// WriteString is Write for a string.
func (st *Stream) WriteString(s string) (int, error) { return st.Write([]byte(s)) }

// admit checks whether n more bytes of body may be written.
func (x *exchange) admit(st *Stream, n int64) error {
	switch {
	case x.finished():
		return http.ErrHandlerTimeout
	case x.err != nil:
		return x.err
	}
	if x.status == 0 {
		x.freezeCopy(http.StatusOK, st.Header())
	}
	switch {
	case n == 0:
		return nil
	case !bodyAllowed(int(x.status)):
		return http.ErrBodyNotAllowed
	case x.overrun, x.length >= 0 && x.written+n > x.length:
		x.overrun = true
		return http.ErrContentLength
	}
	x.written += n
	return nil
}

// writeThrough sends p without buffering.
func (st *Stream) writeThrough(p []byte) (int, error) {
	if err := st.begin(p, false); err != nil {
		return 0, err
	}
	n, err := st.write(p, false)
	if err != nil {
		st.http.err = err
	}
	return n, err
}

// flush sends the buffered bytes. next is the data that follows the buffer, for sniffing only.
func (st *Stream) flush(next []byte) error {
	x := st.http
	first := next
	if x.buf != nil && len(*x.buf) > 0 {
		first = *x.buf
	}
	if err := st.begin(first, false); err != nil {
		return err
	}
	if x.buf == nil || len(*x.buf) == 0 {
		return nil
	}
	if x.isHead() {
		x.releaseBuffer()
		return nil
	}
	_, err := st.write(*x.buf, false)
	*x.buf = (*x.buf)[:0]
	x.err = err
	return err
}

// begin sends the SYN_REPLY, unless already sent. body is the known beginning of the body, or the
// whole body if fin is set: then the reply closes our direction.
func (st *Stream) begin(body []byte, fin bool) error {
	x := st.http
	if x.begun {
		return nil
	}
	x.begun = true
	header := x.sent
	allowed := bodyAllowed(int(x.status))
	if _, has := header["Content-Type"]; !has && allowed && len(body) > 0 && header.Get("Content-Encoding") == "" {
		header["Content-Type"] = []string{http.DetectContentType(body)}
	}
	if _, has := header["Date"]; !has {
		header["Date"] = x.frozen.value(dateHeader(time.Now()))
	}
	if x.push != nil {
		return st.beginPush(header, fin)
	}
	closes := st.closesConnection(header)
	block := getBlock()
	b, err := x.appendBlock((*block)[:0], st.session.version, header)
	if err := st.session.keepBlock(partAnswer, block, b, err); err != nil {
		st.replaceAnswer(err)
		return err
	}
	x.thaw()
	if err := st.sendHeaders(FrameSynReply, block, fin || x.isHead()); err != nil {
		x.err = err
		return err
	}
	if closes {
		st.session.goAway()
	}
	return nil
}

// appendBlock appends the header block of the SYN_REPLY.
func (x *exchange) appendBlock(dst []byte, v Version, header http.Header) ([]byte, error) {
	if x.status != http.StatusSwitchingProtocols {
		return appendResponseBlock(dst, v, int(x.status), header)
	}
	protocol := header.Get("Upgrade")
	if !validProtocol(protocol) {
		protocol = x.req.Header.Get("Upgrade")
	}
	return appendSwitchBlock(dst, v, protocol, header)
}

// replaceAnswer sends a response with status 500 instead of the handler's response, whose headers
// cannot be sent. Nothing of the handler's response is sent, and the handler's later calls return
// err.
func (st *Stream) replaceAnswer(err error) {
	x := st.http
	x.err, x.replaced = err, true
	x.releaseBuffer()
	st.session.log.replaced(st.session, st, err)
	text := http.StatusText(http.StatusInternalServerError) + "\n"
	block := getBlock()
	*block, _ = appendResponseBlock((*block)[:0], st.session.version, http.StatusInternalServerError, http.Header{
		"Content-Length":         {strconv.Itoa(len(text))},
		"Content-Type":           {"text/plain; charset=utf-8"},
		"Date":                   {dateHeader(time.Now())},
		"X-Content-Type-Options": {"nosniff"},
	})
	head := x.isHead()
	if st.sendHeaders(FrameSynReply, block, head) != nil || head {
		return
	}
	st.limitEnd()
	body := getAnswerBuffer()
	*body = append(*body, text...)
	_ = st.writeOwned(body) // fails only if the stream has failed
}

// answerReplaced reports whether the client has received a replacement for the handler's response.
func (st *Stream) answerReplaced() bool {
	x := st.http
	if x == nil {
		return false
	}
	x.turn.take(st.session)
	defer x.turn.pass(st.session)
	return x.replaced
}

// breakOff resets the stream of a handler that has not returned, unless the client has received a
// replacement response. The reset unblocks a goroutine that is writing, or its response is
// replaced.
func (st *Stream) breakOff() {
	x := st.http
	busy := !x.turn.try()
	if !busy && x.replaced {
		st.limitEnd()
	} else {
		st.reset(RstInternalError, "the handler did not return", nil)
	}
	if busy {
		x.turn.take(st.session)
	}
	x.releaseBuffer()
	x.turn.pass(st.session)
}

// finish completes the response after the handler has returned. If a goroutine of the handler is
// still writing, finish waits for that goroutine.
func (st *Stream) finish() {
	x := st.http
	st.limitEnd()
	x.turn.take(st.session)
	defer x.turn.pass(st.session)
	if x.status == 0 {
		status := http.StatusOK
		if x.body != nil && x.body.wrong.Load() { // SPEC M5
			status = http.StatusBadRequest
		}
		x.freeze(status, st.Header())
	}
	defer x.releaseBuffer()
	if x.replaced {
		return
	}
	if x.err != nil { // a stream that has already ended is not reset again
		st.reset(RstInternalError, "the answer could not be completed", x.err)
		return
	}
	trailer := x.trailer()
	countable := x.countable()
	if x.isHead() { // trailers need a body
		trailer = nil
	}
	noBody := x.written == 0 || x.isHead() || !bodyAllowed(int(x.status))
	var body []byte
	if x.buf != nil {
		body = *x.buf
	}
	if countable {
		x.length = x.written
		x.sent["Content-Length"] = x.frozen.value(strconv.FormatInt(x.length, 10))
	}
	if short := x.length - x.written; short > 0 && !x.isHead() && bodyAllowed(int(x.status)) {
		st.cutShort()
		return
	}
	if noBody && len(trailer) == 0 && !x.begun {
		_ = st.begin(body, true) // begin fails only if the stream has ended
		return
	}
	if err := st.begin(body, false); err != nil {
		return
	}
	if x.isHead() { // the reply is the whole response
		x.releaseBuffer()
		return
	}
	st.finishBody(trailer)
}

// cutShort sends the bytes that the handler has written, and then resets the stream because the
// response is incomplete.
func (st *Stream) cutShort() {
	if st.flush(nil) == nil {
		_ = st.awaitHeaders() // fails only with the stream or at the deadline, before the reset
	}
	if !st.http.replaced {
		st.reset(RstInternalError, "the handler wrote less than its Content-Length", http.ErrContentLength)
	}
}

// countable reports whether the response of a handler that has returned receives a Content-Length.
// A response to HEAD receives a Content-Length if a response to GET would. A handler that has
// written nothing to a HEAD may have omitted the body on purpose: then no Content-Length is set. A
// handler sets Header["Content-Length"] to nil to omit the header, as in net/http.
func (x *exchange) countable() bool {
	if _, has := x.sent["Content-Length"]; has {
		return false
	}
	for key := range x.header { // an HTTP/1.1 proxy can pass on trailers only without a Content-Length
		if strings.HasPrefix(key, http.TrailerPrefix) {
			return false
		}
	}
	switch {
	case x.begun, x.length >= 0, !bodyAllowed(int(x.status)):
		return false
	case x.isHead():
		return 0 < x.written && x.written <= answerBuffer
	}
	return true
}

// finishBody sends the buffered bytes, the trailers, and the FIN.
func (st *Stream) finishBody(trailer http.Header) {
	x := st.http
	if len(trailer) == 0 {
		if buf := x.buf; buf != nil && len(*buf) > 0 {
			x.buf = nil
			_ = st.writeOwned(buf) // fails only if the stream has failed
			return
		}
		_ = st.closeWrite()
		return
	}
	if x.buf != nil {
		if _, err := st.write(*x.buf, false); err != nil {
			st.reset(RstInternalError, "the answer could not be completed", err)
			return
		}
	}
	_ = st.sendTrailer(trailer) // fails only if the stream has failed
}

// sendTrailer sends the trailer of a response, and the FIN. If the trailer cannot be sent, the
// stream is reset.
func (st *Stream) sendTrailer(trailer http.Header) error {
	block := getBlock()
	b, err := appendTrailerBlock((*block)[:0], st.session.version, trailer)
	if err := st.session.keepBlock(partTrailers, block, b, err); err != nil {
		st.session.log.unsentTrailers(st.session, st, err)
		st.reset(RstInternalError, "the trailers cannot be sent", err) // after a FIN the client would not notice the missing trailers
		return err
	}
	return st.sendHeaders(FrameHeaders, block, true)
}

// trailer returns the trailers that the handler has set.
func (x *exchange) trailer() http.Header {
	var t http.Header
	set := func(key string, values []string) {
		if t == nil {
			t = make(http.Header)
		}
		t[key] = values
	}
	for _, key := range x.trailers {
		if values := x.header[key]; len(values) > 0 {
			set(key, values)
		}
	}
	for key, values := range x.header {
		if name, ok := strings.CutPrefix(key, http.TrailerPrefix); ok && len(values) > 0 {
			set(http.CanonicalHeaderKey(name), values)
		}
	}
	return t
}

func (x *exchange) releaseBuffer() {
	if x.buf != nil {
		putAnswerBuffer(x.buf)
		x.buf = nil
	}
}

// Flush sends the headers and all bytes written so far, and waits until the session has accepted
// all bytes. After Flush not even a panic of the handler can keep the flushed part from the client.
func (st *Stream) Flush() { _ = st.FlushError() }

// FlushError is Flush with an error result, for http.ResponseController.
func (st *Stream) FlushError() error {
	x := st.http
	if x == nil || x.req == nil {
		return nil
	}
	x.turn.take(st.session)
	defer x.turn.pass(st.session)
	if err := x.admit(st, 0); err != nil {
		return err
	}
	if x.isHead() {
		if err := x.lateErr(st); err != nil {
			return err
		}
	}
	if err := st.flush(nil); err != nil {
		return err
	}
	return st.awaitHeaders()
}

// CloseNotify returns a channel that receives a value when the client has disconnected or has
// cancelled the request, and when the handler has returned. CloseNotify serves handlers written for
// http.CloseNotifier; other handlers use Request.Context.
func (st *Stream) CloseNotify() <-chan bool {
	gone := make(chan bool, 1)
	if x := st.http; x != nil && x.req != nil {
		context.AfterFunc(x.req.Context(), func() {
			select {
			case gone <- true:
			default:
			}
		})
	}
	return gone
}

// EnableFullDuplex does nothing and returns nil: on a stream, reading the request and writing the
// response are always independent.
func (st *Stream) EnableFullDuplex() error { return nil }

// ReadFrom copies r to the body of the response until r ends, through a pooled buffer. With
// ReadFrom, io.Copy to a stream allocates nothing.
func (st *Stream) ReadFrom(r io.Reader) (n int64, err error) {
	if err := st.unmade(); err != nil {
		return 0, err
	}
	size := st.chargeCopy(batchSize)
	defer st.returnCopy(size)
	if size < batchSize {
		return copySmall(st, r)
	}
	batch := getBatch()
	defer putBatch(batch)
	return copyThrough((*batch)[:batchSize], st, r)
}
