package spdy

import (
	"context"
	"net/http/httptrace"
	"time"
)

// This file holds the httptrace hooks, which run on the request's goroutines and never on the
// session's own; the Transport's response timeout; and the body's wait for an interim response.

// wroteHeaders is called once the SYN_STREAM is queued with the sender.
func (u *upload) wroteHeaders(err error) {
	if err == nil && u.trace != nil && u.trace.WroteHeaders != nil {
		u.trace.WroteHeaders()
	}
}

// wrote is called once the whole request is queued with the sender, or with the error that prevents
// it. The response timeout starts here.
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
		if u.isAnswered() { // in the meantime
			timer.Stop()
		}
	}
}

// leftUnsent is wrote for a request whose body is not sent: the answer has arrived, which is no error,
// or the stream has ended.
func (u *upload) leftUnsent() {
	var err error
	if !u.isAnswered() {
		err = u.st.writeEnd(u.st.endReason())
	}
	u.wrote(err)
}

// stopPatience stops the response timeout: the response has arrived or will not arrive.
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

// answered is called when the response headers have arrived.
func (u *upload) answered() {
	u.stopPatience()
	if u.trace != nil && u.trace.GotFirstResponseByte != nil {
		u.trace.GotFirstResponseByte()
	}
}

// errAnswerTimeout is the error of a request without a response within
// Transport.ResponseHeaderTimeout. Programs search for the text of net/http in it.
var errAnswerTimeout error = answerTimeoutError{timeoutError("timeout awaiting response headers")}

// An answerTimeoutError matches context.DeadlineExceeded, like the timeout error of http.Transport.
type answerTimeoutError struct{ timeoutError }

func (answerTimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// mayBegin waits, if the request expects 100-continue, until the server asks for the body or the
// continue timeout expires. It reports false if the body is no longer wanted: the response has
// arrived, or the stream has ended.
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
