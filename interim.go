package spdy

import "time"

// This file handles interim responses (1xx). A SPDY stream has a single SYN_REPLY (SPDY/3.1
// §2.6.2), so a conforming server sends no interim responses. Some servers do, for example
// node-spdy: as a SYN_REPLY followed by a second SYN_REPLY, or by HEADERS with the final status.
// The client discards interim responses (SPEC M11).

// A stream may receive a burst of interimBurst interim responses and interimRate more per second. A
// large interim response counts as several, so a burst has at most MaxHeaderBytes in total, like a
// final response. Interim responses are not charged to a budget of the session: the origin that
// sends them may be behind the server, and other users' streams share the session.
const (
	interimBurst = 100
	interimRate  = 10
)

// replyLocked delivers the header block that the receiver has just read, from a SYN_REPLY or from a
// frame after an interim response, to the waiting request. If the block is not a valid response,
// the result is the reason to reset the stream.
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

// takeInterimLocked charges an interim response. It reports false if the limit is exceeded.
func (st *Stream) takeInterimLocked() bool {
	s, late := st.session, st.makeLateLocked()
	if late.interims == nil {
		b := newBucket(interimBurst, time.Now())
		late.interims = &b
	}
	size := int64(s.inflate.size) * (interimBurst - 1) / int64(s.conf.MaxHeaderBytes)
	return late.interims.take(1+size, interimBurst, interimRate, 0)
}

// isInterim reports whether a value of :status is 1xx.
func isInterim(value string) bool {
	code, _, ok := parseStatus(value)
	return ok && code < 200
}

// ringInterim wakes an upload that waits for an interim response.
func (st *Stream) ringInterim() {
	ringBell(st.interim)
}
