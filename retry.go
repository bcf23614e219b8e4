package spdy

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"
)

// maxTries limits the tries of a request. retryPause is the pause before the third try, and doubles
// with each further try. The second try follows at once: most often another session has room for
// the request, or a handler has returned in the meantime. golang.org/x/net/http2 sends a request up
// to eight times, with pauses of 1 to 32 seconds. The pauses here add up to a second and a half,
// which most callers accept; for a proxy, which has no other session to try, they add up to 25
// seconds.
const (
	maxTries   = 6
	proxyTries = 10
	retryPause = 100 * time.Millisecond
)

// pause waits before the next try; tries is the number of failed tries. The pause varies by a
// quarter, so requests refused at the same time return at different times. pause ends early when
// end or leaves, which may be nil, is closed: the next try then fails at once.
func pause(ctx context.Context, tries int, end, leaves <-chan struct{}) error {
	if tries > 1 {
		d := retryPause << (tries - 2)
		timer := time.NewTimer(d*3/4 + rand.N(d/2))
		defer timer.Stop()
		w := wait{end: end, over: ctx.Done(), clock: timer.C}
		w.sleep(leaves)
	}
	return causeOf(ctx)
}

// An outlook is the consequence of a failed try for the next try.
type outlook int

const (
	outlookNone     outlook = iota // the request is not sent again
	outlookUnseen                  // the server has not processed the request
	outlookDoubtful                // the server may have processed the request once, and may do so again
)

// tries counts the tries of a request. A single goroutine uses a tries value.
type tries struct {
	n        int  // number of failed tries
	most     int  // limit of n; 0 stands for maxTries
	doubtful bool // a try has followed a doubtful failure
}

// again counts a failed try, and reports whether another try may follow. Doubtful failures allow a
// single further try: a request that makes servers fail ends two sessions, not all of them.
func (t *tries) again(o outlook) bool {
	t.n++
	if t.n >= cmp.Or(t.most, maxTries) || o == outlookNone || o == outlookDoubtful && t.doubtful {
		return false
	}
	t.doubtful = t.doubtful || o == outlookDoubtful
	return true
}

// outlook judges the failure err of a request on st. reused is true if the session had carried
// another request before.
func (st *Stream) outlook(req *http.Request, err error, reused bool) outlook {
	if req.Context().Err() != nil {
		return outlookNone
	}
	var (
		reset *StreamError
		ended *SessionError
		lost  *ConnError
	)
	s := st.session
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case st.answerBegunLocked(), asNotSPDY(err) != nil: // another session would receive the same answer
		return outlookNone
	case isOwnReset(st.err): // err may have another source, such as the reader of the body
		return outlookNone
	case errors.As(err, &reset):
		return st.outlookOfResetLocked(reset)
	case errors.As(err, &lost), errors.As(err, &ended), errors.Is(err, ErrSessionClosed):
		if !st.onWire {
			return outlookUnseen
		}
	}
	// Without an answer on the session, the request may be the cause of the loss.
	proven := reused || s.stats.received[FrameSynReply].Load() > 0
	if lost != nil && s.end.farewell == nil && proven && isReplayable(req) {
		return outlookDoubtful
	}
	return outlookNone
}

func (st *Stream) outlookOfResetLocked(reset *StreamError) outlook {
	switch {
	case !reset.Remote || !reset.Retryable():
		return outlookNone
	case st.onWire && st.session.version == SPDY2 && errors.Is(reset, errGoingAway):
		return outlookDoubtful // the GOAWAY of SPDY/2 has no status
	}
	return outlookUnseen // SPEC X6, G5
}

// answerBegunLocked reports whether the peer has sent any part of the answer, such as an interim
// answer or a push.
func (st *Stream) answerBegunLocked() bool {
	return st.state.replied || st.state.interim || st.pushed
}

// isReplayable reports whether a server may process the request twice, by the rules of net/http.
func isReplayable(req *http.Request) bool {
	if req.Body != nil && req.Body != http.NoBody && req.GetBody == nil {
		return false
	}
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return true
	}
	_, key := req.Header["Idempotency-Key"]
	_, xkey := req.Header["X-Idempotency-Key"]
	return key || xkey
}
