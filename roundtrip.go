package spdy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"sync/atomic"
	"time"
)

// RoundTrip sends a request and returns the answer as soon as the headers have arrived; the body
// streams. A Session is an http.RoundTripper. The request is not changed. The request's context
// cancels the exchange at any point until the answer's body has been read to the end or closed. On
// cancellation or failure the server receives RST_STREAM. If all bytes of the answer had arrived by
// then, the caller can still read them. The bytes are no longer charged to a window, even if the
// caller never closes the body.
//
// If the server accepts no more streams at present, RoundTrip waits for a stream to end. A request
// is sent once. On a session that serves requests instead of sending them, RoundTrip fails at once.
// If the server did not process the request, RoundTrip fails with a *StreamError that is Retryable;
// a Transport sends the request again.
func (s *Session) RoundTrip(req *http.Request) (*http.Response, error) {
	s = s.made()
	if err := s.checkAsks(req); err != nil {
		if req != nil && req.Body != nil {
			_ = req.Body.Close() // as an http.RoundTripper has to
		}
		return nil, err
	}
	obeying, release := obeyCancel(req)
	res, err := s.roundTrip(s.newLocalStream(priorityOf(req)), obeying)
	if err != nil {
		release()
		return nil, err
	}
	res.Request = req
	return res, nil
}

func (s *Session) roundTrip(st *Stream, req *http.Request) (*http.Response, error) {
	return s.carry(&upload{st: st, req: req, trace: httptrace.ContextClientTrace(req.Context())})
}

// carry sends a request to the peer and returns the answer.
func (s *Session) carry(up *upload) (*http.Response, error) {
	err := s.checkAsks(up.req)
	if err == nil {
		err = up.settleTunnel()
	}
	if err != nil {
		up.closeBody()
		return nil, err
	}
	if pushed := s.claimPush(up); pushed != nil { // SPEC U13
		res, err := s.awaitResponse(&upload{st: pushed, req: up.req, trace: up.trace})
		if err == nil || up.req.Context().Err() != nil {
			return res, err
		}
	}
	if err := up.open(); err != nil {
		up.closeBody()
		return nil, err
	}
	s.outdatePushes(up)
	res, err := s.awaitResponse(up)
	s.outdatePushes(up)
	return res, err
}

// awaitResponse waits for the headers of an answer. The answer may be a push, for which no request
// was sent.
func (s *Session) awaitResponse(up *upload) (*http.Response, error) {
	st, ctx := up.st, up.req.Context()
	stop := up.cancelWith(ctx)
	reply, err := st.awaitReply(ctx)
	if err != nil {
		stop()
		up.stopPatience()
		err = up.failure(err)
		st.forget()
		return nil, err
	}
	up.answered()
	res, err := up.parseAnswer(reply)
	if err != nil {
		stop()
		e := err.(*StreamError)
		e.StreamID = st.id
		s.log.streamError(s, e)
		s.abortStream(st, e)
		st.forget()
		return nil, e
	}
	res.TLS = s.tlsState()
	stop = up.releasing(stop)
	if up.asked.tunnel {
		if body := st.tunnelled(res); body != nil {
			body.watchUntilUse(ctx, stop)
			return res, nil
		}
		_ = st.closeWrite() // the request is an ordinary one; a failure is the stream's
	}
	if hasNoBody(res) && up.running == nil && !st.bare() {
		stop()
		st.leave()
		res.Body = http.NoBody
		return res, nil
	}
	up.finishResponse(res, up.unwatch(stop))
	return res, nil
}

// forget returns the credit of an answer that will not be read. An ended stream keeps its received
// bytes, and resetting it has no effect.
func (st *Stream) forget() { st.session.credit(st.discard()) }

// cancelWith aborts the request when the context ends, until stop is called. A context that cannot
// end costs nothing.
func (u *upload) cancelWith(ctx context.Context) (stop func() bool) {
	if ctx.Done() == nil {
		return notWatched
	}
	return context.AfterFunc(ctx, func() { u.abandon(causeOf(ctx)) })
}

// abandon resets the stream because the request's context has ended. As over HTTP/2, a caller can
// still read an answer whose bytes had all arrived. But many callers never read or close the body.
// So the session recovers the credit at once, and keeps nothing of the stream: the bytes belong to
// the caller, as long as the caller keeps the body.
func (u *upload) abandon(cause error) {
	st, unread := u.st, dropUnread
	if u.body.Load().hasCome() {
		unread = keepUnread
	}
	e := &StreamError{StreamID: st.id, Status: RstCancel, Reason: "request cancelled", Err: cause}
	st.session.abort(st, e, unread)
	st.session.credit(st.in.uncharge())
	st.settle()
}

func notWatched() bool { return true }

// hasNoBody reports whether an answer has no body, whatever follows its headers.
func hasNoBody(res *http.Response) bool {
	return res.Request.Method == http.MethodHead || !bodyAllowed(res.StatusCode)
}

// leaveTime limits how long a stream stays open after the answer: for the peer's FIN, if the answer
// has no body or all of its Content-Length has been read, and for the rest of the request. DATA in
// flight arrives within this time, and a peer reading the answer receives the end before the
// RST_STREAM.
const leaveTime = time.Second

// leave abandons a stream whose answer is complete: the peer should end the stream. Bytes that
// arrive before the end are dropped.
func (st *Stream) leave() {
	st.forget()
	st.setDeadline(&st.readDeadline, time.Now().Add(leaveTime), func() {
		st.reset(RstCancel, "no end behind a complete answer", nil)
	})
}

// allSent reports whether our half is closed.
func (st *Stream) allSent() bool {
	st.session.mu.Lock()
	defer st.session.mu.Unlock()
	return st.state.outDone
}

// limitRest resets a stream whose answer has ended, unless the request ends within leaveTime. It
// uses the timer of the write deadline.
func (st *Stream) limitRest(reason string) {
	st.setDeadline(&st.writeDeadline, time.Now().Add(leaveTime), func() {
		st.reset(RstCancel, reason, nil)
	})
}

// finishResponse sets the body of an answer.
func (u *upload) finishResponse(res *http.Response, stop func() bool) {
	st, noBody := u.st, hasNoBody(res)
	if st.bare() && (noBody || res.ContentLength <= 0) {
		if !noBody {
			res.ContentLength = 0
		}
		stop()
		res.Body = http.NoBody
		return
	}
	body := &responseBody{st: st, res: res, stop: stop}
	body.check.init(true, res.ContentLength)
	body.check.none = noBody // some servers send a body all the same: node-spdy does for HEAD
	res.Body = body
	u.body.Store(body)
}

// bare reports whether nothing can follow the headers of the answer. Frames that have already
// arrived after the headers do not count: the answer must not depend on a race.
func (st *Stream) bare() bool {
	st.session.mu.Lock()
	defer st.session.mu.Unlock()
	return st.state.bare
}

// tlsState returns the TLS state of the connection, nil if the connection has none.
func (s *Session) tlsState() *tls.ConnectionState {
	if !s.secure {
		return nil
	}
	return connectionState(s.conn)
}

// An upload is the sending side of a request.
type upload struct {
	st      *Stream
	req     *http.Request
	running context.Context // ends with the goroutine that sends the body; nil if there is none

	trace    *httptrace.ClientTrace // hooks of the request, nil if it has none
	asked    uploadOptions
	patience atomic.Pointer[time.Timer] // of answerTimeout, once it runs
	unsent   atomic.Bool                // the answer arrived before the body was begun

	body atomic.Pointer[responseBody] // of the answer; nil before it, and if it has none
}

// uploadOptions are the options set by a Transport for a request.
type uploadOptions struct {
	gzip            bool          // request gzip unless the request names an encoding
	tunnel          bool          // the stream is to carry bytes after the answer, see settleTunnel
	answerTimeout   time.Duration // from the end of the request to the answer; 0 for none
	continueTimeout time.Duration // how long the body waits for 100; 0 for not at all
}

// unwatch wraps stop, which ends the watch over the request's context, for the end of the answer:
// while the body is still being sent, the watch has to continue.
func (u *upload) unwatch(stop func() bool) func() bool {
	if u.running == nil {
		return stop
	}
	end := stop
	if u.asked.continueTimeout > 0 {
		end = func() bool {
			if u.unsent.Load() {
				u.st.reset(RstCancel, "answered before its body was sent", nil)
			}
			return stop()
		}
	}
	return func() bool {
		if u.running.Err() != nil {
			return end()
		}
		context.AfterFunc(u.running, func() { end() })
		u.st.limitRest("the answer ended before the request")
		return true
	}
}

// open sends the SYN_STREAM and, if there is a body, starts the goroutine that sends the body.
func (u *upload) open() error {
	s := u.st.session
	if err := causeOf(u.req.Context()); err != nil {
		return err
	}
	scheme := "http"
	if s.secure {
		scheme = "https"
	}
	block := getBlock()
	b, err := appendRequestBlock((*block)[:0], s.version, u.req, requestOptions{
		scheme: scheme, gzip: u.asked.gzip, expect: u.asked.continueTimeout > 0, upgrade: u.upgrade(),
		limit: s.conf.MaxSendHeaderBytes,
	})
	if err := s.keepBlock(partRequest, block, b, err); err != nil {
		return err
	}
	u.st.request = u.asCause()
	length, err := requestLength(u.req)
	if err != nil {
		putBlock(block)
		return err
	}
	if length == 0 { // SPEC M1
		flags := frameFlags(FlagFin)
		if u.asked.tunnel {
			flags = 0
		}
		err := s.open(u.req.Context(), u.st, block, flags)
		u.wroteHeaders(err)
		u.wrote(err)
		return err
	}
	if u.asked.continueTimeout > 0 {
		u.st.interim = make(chan struct{}, 1)
	}
	if err := s.open(u.req.Context(), u.st, block, 0); err != nil {
		u.wrote(err)
		return err
	}
	u.wroteHeaders(nil)
	ctx, cancel := context.WithCancelCause(context.Background())
	u.running = ctx
	stop := context.AfterFunc(ctx, u.closeBody) // unblocks a Read of the body when the stream fails
	u.st.setContext(cancel)
	go func() {
		if u.mayBegin() {
			u.wrote(u.send(length))
		} else {
			u.leftUnsent()
		}
		if stop() {
			u.closeBody()
		}
		cancel(nil)
	}()
	return nil
}

func (u *upload) closeBody() {
	if u.req.Body != nil {
		_ = u.req.Body.Close() // the error has no reader
	}
}

// send copies the body to the stream. It ends when the body ends, or when the stream is reset or
// lost, since then both the writes and the body fail.
func (u *upload) send(length int64) error {
	b := uploadBuffer{st: u.st}
	defer b.release()
	sent := int64(0)
	for {
		n, rerr := u.req.Body.Read(b.space())
		sent += int64(n)
		last := rerr == io.EOF
		if long := sent > length; length >= 0 && (long || last && sent < length) {
			if err := b.flush(); err != nil {
				return u.cut(err)
			}
			if long {
				return u.spoil("longer than its Content-Length", http.ErrContentLength)
			}
			return u.spoil(fmt.Sprintf("%d bytes shorter than its Content-Length", length-sent), io.ErrUnexpectedEOF)
		}
		if err := b.put(n, last && len(u.req.Trailer) == 0, rerr != nil); err != nil {
			return u.cut(err)
		}
		switch {
		case last:
			return u.sendTrailer()
		case rerr != nil:
			return u.giveUp(RstCancel, "reading the request body", rerr)
		}
	}
}

// cut ends an upload because the sender accepts no more bytes, and returns err.
func (u *upload) cut(err error) error {
	if err == os.ErrDeadlineExceeded { // of Stream.SetWriteDeadline; the stream stays open
		return u.giveUp(RstCancel, "sending the request body", err)
	}
	return err // the stream has ended, and awaitReply returns the reason
}

// spoil is giveUp for a body of another length than its Content-Length.
func (u *upload) spoil(how string, err error) error {
	return u.giveUp(RstInternalError, "request body", causedError{"spdy: request body is " + how, err})
}

// giveUp ends an upload that cannot be completed, and returns err. The server receives no FIN,
// since it would mistake a part for the whole. An answer that has begun and continues is not
// affected: giveUp then postpones the RST_STREAM to the end of the answer, or of its progress.
func (u *upload) giveUp(status RstStatus, reason string, err error) error {
	e := &StreamError{StreamID: u.st.id, Status: status, Reason: reason, Err: err}
	if !u.st.resetBehindAnswer(e) {
		u.st.session.abortStream(u.st, e)
	}
	return err
}

// resetBehindAnswer resets a stream of ours once the peer's FIN has arrived, or at once if it
// already has. It reports false if the answer has not begun.
func (st *Stream) resetBehindAnswer(e *StreamError) bool {
	s := st.session
	s.mu.Lock()
	begun := st.state.replied
	if begun {
		st.unfinished = e
		s.retireLocked(st)
	}
	s.mu.Unlock()
	if begun {
		s.ring()
		s.endIfDrained()
		st.in.rests()
		st.limitSilence(e, silenceLooks)
	}
	return begun
}

// answerSilence is how long the answer to an incomplete request may pause, and silenceLooks the
// number of checks in that time. The RST_STREAM notifies a handler that waits for the rest of the
// request before continuing. answerSilence leaves time for credit for the bytes already read, and
// for the next bytes after those of other streams, to cross slow networks.
const (
	answerSilence = 20 * time.Second
	silenceLooks  = 5
)

// limitSilence resets a stream whose upload failed after the answer began, if the given number of
// consecutive checks finds no new byte of the answer and nothing unread: a reader that pauses may
// keep the peer from sending. It uses the timer of the write deadline: no more is written.
func (st *Stream) limitSilence(e *StreamError, looks int) {
	st.setDeadline(&st.writeDeadline, time.Now().Add(answerSilence/silenceLooks), func() {
		switch {
		case !st.in.rests():
			st.limitSilence(e, silenceLooks)
		case looks > 1:
			st.limitSilence(e, looks-1)
		default:
			st.session.abortStream(st, e)
		}
	})
}

// sendTrailer ends the request with trailers, if any.
func (u *upload) sendTrailer() error {
	if len(u.req.Trailer) == 0 {
		return nil
	}
	block := getBlock()
	b, err := appendTrailerBlock((*block)[:0], u.st.session.version, u.req.Trailer)
	if err := u.st.session.keepBlock(partTrailers, block, b, err); err != nil {
		return u.giveUp(RstInternalError, "request trailers", err)
	}
	return u.st.sendHeaders(FrameHeaders, block, true)
}

// failure returns the error of a request without an answer: the context's error if the context
// ended, else the error that ended the stream. The stream has ended afterwards.
func (u *upload) failure(err error) error {
	ctx := u.req.Context()
	if cause := causeOf(ctx); cause != nil {
		u.st.reset(RstCancel, "request cancelled", cause)
		return cause
	}
	var local *StreamError
	if errors.As(err, &local) && !local.Remote && local.Err != nil {
		return local.Err // unwrapped: url.Error asks the error itself for Timeout
	}
	return err
}
