package spdy

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// answerBuffer is how much of an answer a handler can write before it leaves. An
// answer that fits gets a Content-Length, as in net/http.
const answerBuffer = 4 << 10

// An exchange is the HTTP side of a stream that a server answers: it makes the
// Stream an http.ResponseWriter. As with any http.ResponseWriter, one goroutine of a handler should
// use it at a time, and none when the handler has returned. One that does otherwise spoils its own
// answer at most: whoever writes has the turn, which guards all but the first fields.
type exchange struct {
	turn turn // its fate is exchangeOpen or one of the others

	req  *http.Request
	body *requestBody

	header http.Header   // the handler's
	sent   http.Header   // what header was at WriteHeader, nil before
	frozen *frozenHeader // what sent is part of, nil if it is nobody's or the handler's
	status int32         // 0 before WriteHeader

	begun    bool // the SYN_REPLY is on its way
	overrun  bool // a Write was too long for length: what follows it cannot complete the answer
	replaced bool // the handler's answer could not be sent, and the client got another one
	tunnel   bool // the handler may hijack the stream; immutable

	buf      *[]byte // what Write has gathered, from answerPool; nil if nothing
	length   int64   // the Content-Length that the handler set; -1 if none
	written  int64   // bytes of body that the handler has written
	trailers []string
	err      error    // why Write fails from now on
	push     *promise // the answer is a push, nil if it was asked for; immutable
}

// The fates of an exchange. One that is not open any more stays as it is.
const (
	exchangeOpen     int32 = iota
	exchangeFinished       // the handler has returned: what it writes later fails
	exchangeHijacked       // the handler has the stream as a connection
)

// ends notes that the handler has returned, and reports whether its answer is still to be completed.
func (x *exchange) ends() bool { return x.turn.fate.CompareAndSwap(exchangeOpen, exchangeFinished) }

func (x *exchange) finished() bool { return x.turn.fate.Load() == exchangeFinished }

func (x *exchange) hijacked() bool { return x.turn.fate.Load() == exchangeHijacked }

// Header returns the headers of the answer. Changes after WriteHeader have no
// effect, except for trailers: keys that were announced by a Trailer header, and
// keys with http.TrailerPrefix. On a stream made by NewClientStream it returns
// the headers of the answer once Request has begun to copy it.
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

// WriteHeader sets the status of the answer, and freezes its headers. Interim
// statuses (1xx) are swallowed, since a stream has only one SYN_REPLY (SPEC M11).
// It panics on codes that are no status, as net/http does.
func (st *Stream) WriteHeader(status int) {
	x := st.http
	if x == nil || x.req == nil {
		return
	}
	if status < 100 || status > 999 {
		panic("spdy: invalid WriteHeader code " + strconv.Itoa(status))
	}
	x.turn.take(st.session)
	defer x.turn.pass(st.session)
	switches := status == http.StatusSwitchingProtocols && x.tunnel && x.req.Method != http.MethodConnect
	if x.status != 0 || x.turn.fate.Load() != exchangeOpen || status < 200 && !switches {
		return
	}
	x.freezeCopy(status, st.Header())
}

// freeze takes over the headers of the answer.
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

// Write writes a part of the answer's body, after WriteHeader(200) if the handler
// has not called that. It fails with http.ErrBodyNotAllowed, http.ErrContentLength,
// os.ErrDeadlineExceeded, or why the stream has ended. A Write that would exceed the Content-Length
// writes nothing, and those behind it fail too. On a stream made by
// NewClientStream it sends bytes of the stream as they are.
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

// isHead reports that the body of the answer is only counted and looked at.
func (x *exchange) isHead() bool { return x.req.Method == http.MethodHead }

// countHead is Write for an answer to HEAD. As those of an answer to GET, its headers are sent when
// a buffer is full: nothing that the handler writes later changes them.
func (st *Stream) countHead(p []byte) (int, error) {
	x := st.http
	x.keepForSniffing(p)
	if x.written > answerBuffer && !x.begun {
		if err := st.flush(nil); err != nil {
			return 0, err
		}
		if err := st.awaitHeaders(); err != nil { // a panic would keep them from the client
			return 0, err
		}
	}
	return len(p), nil
}

// keepForSniffing keeps the beginning of an answer to HEAD, which gets the
// Content-Type that an answer to GET would get.
func (x *exchange) keepForSniffing(p []byte) {
	const sniffed = 512 // all that http.DetectContentType looks at
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

// admit checks that n more bytes of body may be written.
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

// writeThrough sends p without buffering it.
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

// flush sends what is buffered. next is what follows it, for sniffing only.
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

// begin sends the SYN_REPLY, if it has not been sent. body is what is known of
// the beginning of the body, and all of it if fin is set: then the reply closes
// our half.
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
	return nil
}

// appendBlock appends the block of the SYN_REPLY.
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

// replaceAnswer answers with status 500 instead of the handler, whose headers cannot be
// sent. Nothing of its answer is sent, and it gets err from its next calls.
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
	_ = st.writeOwned(body) // fails only with the stream
}

// answerReplaced reports whether the client has got another answer than the handler's.
func (st *Stream) answerReplaced() bool {
	x := st.http
	if x == nil {
		return false
	}
	x.turn.take(st.session)
	defer x.turn.pass(st.session)
	return x.replaced
}

// breakOff resets the stream of a handler that has not returned, unless its client has got another
// answer. A goroutine that writes meanwhile returns upon that, or has the answer replaced.
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

// finish completes the answer after the handler has returned. One that has left a goroutine which
// writes waits for that.
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
	if x.err != nil { // a stream that ended by itself is not reset again
		st.reset(RstInternalError, "the answer could not be completed", x.err)
		return
	}
	trailer := x.trailer()
	countable := x.countable(len(trailer) > 0)
	if x.isHead() { // trailers come with a body
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
		_ = st.begin(body, true) // a failure is the stream's, which has ended
		return
	}
	if err := st.begin(body, false); err != nil {
		return
	}
	if x.isHead() { // the reply was all
		x.releaseBuffer()
		return
	}
	st.finishBody(trailer)
}

// cutShort sends what the handler has written, and then that this is not all of it.
func (st *Stream) cutShort() {
	if st.flush(nil) == nil {
		_ = st.awaitHeaders() // fails only with the stream, or late, which the reset is about to say
	}
	if !st.http.replaced {
		st.reset(RstInternalError, "the handler wrote less than its Content-Length", http.ErrContentLength)
	}
}

// countable reports whether the answer of a handler that has returned gets a
// Content-Length. One to HEAD gets it where one to GET would; if the handler has written
// nothing, it may have known what to leave out.
func (x *exchange) countable(trailers bool) bool {
	switch {
	case x.begun, x.length >= 0, !bodyAllowed(int(x.status)), trailers, x.sent.Get("Trailer") != "":
		return false
	case x.isHead():
		return 0 < x.written && x.written <= answerBuffer
	}
	return true
}

// finishBody sends what is buffered, the trailers, and the FIN.
func (st *Stream) finishBody(trailer http.Header) {
	x := st.http
	if len(trailer) == 0 {
		if buf := x.buf; buf != nil && len(*buf) > 0 {
			x.buf = nil
			_ = st.writeOwned(buf) // fails only with the stream
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
	_ = st.sendTrailer(trailer) // fails only with the stream
}

// sendTrailer sends the trailer of an answer, and the FIN. A trailer that cannot be sent resets
// the stream.
func (st *Stream) sendTrailer(trailer http.Header) error {
	block := getBlock()
	b, err := appendTrailerBlock((*block)[:0], st.session.version, trailer)
	if err := st.session.keepBlock(partTrailers, block, b, err); err != nil {
		st.session.log.unsentTrailers(st.session, st, err)
		st.reset(RstInternalError, "the trailers cannot be sent", err) // not FIN: the client would miss nothing
		return err
	}
	return st.sendHeaders(FrameHeaders, block, true)
}

// trailer collects the trailers that the handler has set.
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

// Flush sends what has been written so far, headers included, and waits until the
// session has taken all of it. After that not even a panic of the handler can keep the
// client from the part that was flushed.
func (st *Stream) Flush() { _ = st.FlushError() }

// FlushError is Flush with an error, as http.ResponseController wants it.
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
	if err := st.flush(nil); err != nil {
		return err
	}
	return st.awaitHeaders()
}

// CloseNotify returns a channel that gets a value when the client has gone or has given
// the request up, and when the handler has returned. It is for handlers that were written
// for http.CloseNotifier; others look at Request.Context.
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

// EnableFullDuplex does nothing and succeeds: on a stream reading the request and
// writing the answer never get in each other's way.
func (st *Stream) EnableFullDuplex() error { return nil }

// ReadFrom copies r into the body of the answer, until it ends, through a pooled
// buffer. It makes io.Copy to a stream allocate nothing.
func (st *Stream) ReadFrom(r io.Reader) (n int64, err error) {
	if err := st.unmade(); err != nil {
		return 0, err
	}
	batch := getBatch()
	defer putBatch(batch)
	return copyThrough((*batch)[:batchSize], st, r)
}
