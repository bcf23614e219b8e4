package spdy

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"time"
)

// maxTries is the number of times that a request is sent at most. retryPause is the pause
// before the third try; it doubles with each further one. The second try follows at once:
// most often another session takes the request, or a handler has returned meanwhile.
// golang.org/x/net/http2 sends eight times, with pauses of 1 to 32 seconds; here they add
// up to a second and a half, for which most callers wait.
const (
	maxTries   = 6
	retryPause = 100 * time.Millisecond
)

// pause waits before a request is sent again after the given number of tries. It varies
// by a quarter, so that requests that were refused together do not return together.
func pause(ctx context.Context, tries int) error {
	if tries > 1 {
		d := retryPause << (tries - 2)
		timer := time.NewTimer(d*3/4 + rand.N(d/2))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return context.Cause(ctx)
}

// An outlook is what the failure of a try means for the next one.
type outlook int

const (
	outlookNone     outlook = iota // the request is not sent again
	outlookUnseen                  // the server has not processed the request
	outlookDoubtful                // the server may have processed it, and it may be repeated
)

// tries counts how often a request has been sent. One goroutine uses it.
type tries struct {
	n        int  // number of tries
	doubtful bool // one of them followed a try that the server may have processed
}

// again counts a try that has failed, and reports whether another one may follow. After a
// doubtful failure only one does: a request that makes servers fail ends two sessions,
// not all of them.
func (t *tries) again(o outlook) bool {
	t.n++
	if t.n >= maxTries || o == outlookNone || o == outlookDoubtful && t.doubtful {
		return false
	}
	t.doubtful = t.doubtful || o == outlookDoubtful
	return true
}

// outlook judges the failure err of the stream of a request. reused reports that its
// session had carried another request before.
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
	case st.answerBegunLocked():
		return outlookNone
	case errors.As(err, &reset):
		return st.outlookOfResetLocked(reset)
	case errors.As(err, &lost), errors.As(err, &ended), errors.Is(err, ErrSessionClosed):
		if !st.onWire {
			return outlookUnseen
		}
	}
	// A new session without an answer may have been cut because of the request.
	proven := reused || s.stats.received[FrameSynReply].Load() > 0
	if lost != nil && s.farewell == nil && proven && isReplayable(req) {
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

// answerBegunLocked reports that the peer has sent something of the answer, an interim
// one or a push included.
func (st *Stream) answerBegunLocked() bool {
	return st.state.replied || st.state.interim || len(st.pushes) > 0
}

// isReplayable reports whether a request may be sent again after a server may have
// processed it. The rules are those of net/http.
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
