package spdy

import "time"

// This file deals with interim answers (1xx). A stream of SPDY has one SYN_REPLY
// (SPDY/3.1 §2.6.2), so that no server that follows the specification sends them.
// Some do, node-spdy for one: as a SYN_REPLY that another one follows, or HEADERS
// with the final status. A client swallows them (SPEC M11).

// A stream may have interimBurst interim answers at once and interimRate more each second.
// A larger one counts as several, so that those at once have at most MaxHeaderBytes
// together, as an answer has. They are not charged to a budget of the session: the origin that
// sends them may be behind the server, and the streams of others are on the session, too.
const (
	interimBurst = 100
	interimRate  = 10
)

// replyLocked takes the header block of a SYN_REPLY, or of what follows an interim
// one, which the receiver has just read, to whoever waits for the answer. The result
// is why the stream has to be reset, if it cannot be an answer.
func (st *Stream) replyLocked(h HeaderBlock, fin bool) *StreamError {
	if app, ok := st.session.app.(*httpClientApp); ok && app != nil {
		status, has := h.Get(pseudoStatus.name(st.session.version))
		switch {
		case isInterim(status) && fin:
			return streamErrorf(st.id, RstProtocolError, "an interim answer with FIN")
		case isInterim(status) && !st.takeInterimLocked():
			return streamErrorf(st.id, RstFrameTooLarge, "too many interim answers, or too large ones")
		case isInterim(status):
			st.state.expectAnother()
			st.ringInterim()
			return nil
		case st.state.interim && !has:
			return streamErrorf(st.id, RstProtocolError, "no status after an interim answer")
		}
	}
	if full := st.chargeHeadersLocked(h); full != nil {
		return full
	}
	st.state.interim, st.state.replied, st.state.bare = false, true, fin
	st.reply = h
	close(st.replied)
	return nil
}

// takeInterimLocked counts an interim answer. It reports false if that is one too many.
func (st *Stream) takeInterimLocked() bool {
	s, late := st.session, st.makeLateLocked()
	if late.interims == nil {
		b := newBucket(interimBurst, time.Now())
		late.interims = &b
	}
	size := int64(s.inflate.size) * (interimBurst - 1) / int64(s.conf.MaxHeaderBytes)
	return late.interims.take(1+size, interimBurst, interimRate, 0)
}

// isInterim reports whether a value of :status is one of 1xx.
func isInterim(value string) bool {
	code, _, ok := parseStatus(value)
	return ok && code < 200
}

// ringInterim tells an upload that waits for it that there was an interim answer.
func (st *Stream) ringInterim() {
	ringBell(st.interim)
}
