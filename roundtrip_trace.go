package spdy

import (
	"context"
	"net/http/httptrace"
	"time"
)

// This file holds what happens beside a request: the hooks of httptrace, which are
// called by the goroutines that work for the request and never by the session's own; the
// time limit of a Transport for the answer; and the wait of a body for an interim answer.

// wroteHeaders is called when the SYN_STREAM is with the sender.
func (u *upload) wroteHeaders(err error) {
	if err == nil && u.trace != nil && u.trace.WroteHeaders != nil {
		u.trace.WroteHeaders()
	}
}

// wrote is called when all of the request is with the sender, or why it will not be.
// From now on the answer has its time.
func (u *upload) wrote(err error) {
	if u.trace != nil && u.trace.WroteRequest != nil {
		u.trace.WroteRequest(httptrace.WroteRequestInfo{Err: err})
	}
	d := u.asked.answerTimeout
	if err != nil || d <= 0 || u.isAnswered() {
		return
	}
	timer := time.AfterFunc(d, func() {
		if !u.isAnswered() {
			u.st.reset(RstCancel, "waiting for the answer", errAnswerTimeout)
		}
	})
	u.patience.Store(timer)
	select {
	case <-u.st.done:
		timer.Stop()
	default:
		if u.isAnswered() { // meanwhile
			timer.Stop()
		}
	}
}

// stopPatience ends the time for the answer, which has come or will not.
func (u *upload) stopPatience() {
	if timer := u.patience.Load(); timer != nil {
		timer.Stop()
	}
}

func (u *upload) isAnswered() bool {
	select {
	case <-u.st.replied:
		return true
	default:
		return false
	}
}

// answered is called when the headers of the answer have come.
func (u *upload) answered() {
	u.stopPatience()
	if u.trace != nil && u.trace.GotFirstResponseByte != nil {
		u.trace.GotFirstResponseByte()
	}
}

// errAnswerTimeout is what a request gets that had no answer within
// Transport.ResponseHeaderTimeout.
var errAnswerTimeout error = answerTimeoutError{timeoutError("no response headers in time")}

// An answerTimeoutError matches context.DeadlineExceeded, as that of http.Transport does.
type answerTimeoutError struct{ timeoutError }

func (answerTimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// mayBegin waits, if the request asks for it, until the server wants the body or the
// time for that has passed. It reports false if the body is not wanted any more: there
// is an answer, or the stream has ended.
func (u *upload) mayBegin() bool {
	d := u.asked.continueTimeout
	if d <= 0 {
		return true
	}
	if u.trace != nil && u.trace.Wait100Continue != nil {
		u.trace.Wait100Continue()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	w := wait{end: u.st.done, over: u.st.replied, clock: timer.C}
	switch w.sleep(u.st.interim) {
	case byBell:
		if u.trace != nil && u.trace.Got100Continue != nil {
			u.trace.Got100Continue()
		}
		return true
	case byClock:
		return true
	case byOver:
		u.unsent.Store(true)
	}
	return false
}
