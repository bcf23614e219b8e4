package spdy

// This file deals with interim answers (1xx). A stream of SPDY has one SYN_REPLY
// (SPDY/3.1 §2.6.2), so that no server that follows the specification sends them.
// Some do, node-spdy for one: as a SYN_REPLY that another one follows, or HEADERS
// with the final status. A client swallows them (SPEC M11).

// replyLocked takes the header block of a SYN_REPLY, or of what follows an interim
// one, to whoever waits for the answer. The result is the status to reset the stream
// with, and why, if it cannot be an answer.
func (st *Stream) replyLocked(h HeaderBlock, fin bool) (RstStatus, string) {
	if app, ok := st.session.app.(*httpClientApp); ok && app != nil {
		status, has := h.Get(pseudoStatus.name(st.session.version))
		switch {
		case isInterim(status) && fin:
			return RstProtocolError, "an interim answer with FIN"
		case isInterim(status):
			st.state.expectAnother()
			st.ringInterim()
			return 0, ""
		case st.state.interim && !has:
			return RstProtocolError, "no status after an interim answer"
		}
	}
	st.state.interim, st.state.replied, st.state.bare = false, true, fin
	st.reply = h
	close(st.replied)
	return 0, ""
}

// isInterim reports whether a value of :status is one of 1xx.
func isInterim(value string) bool {
	code, _, ok := parseStatus(value)
	return ok && code < 200
}

// ringInterim tells an upload that waits for it that there was an interim answer.
func (st *Stream) ringInterim() {
	select {
	case st.interim <- struct{}{}:
	default: // nobody waits
	}
}
