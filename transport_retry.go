package spdy

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// maxTries is how often a request is sent at most, and retryPause how long the pause
// before the third try is; it doubles with each further one. The second try follows at
// once: most often a session has gone away and another one will do.
const (
	maxTries   = 6
	retryPause = 100 * time.Millisecond
)

// pause waits before a request is sent again after the given number of tries. It varies,
// so that requests that were refused together do not come back together.
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

// untouched reports whether the error of a stream shows that the peer has not looked at
// it: it said so (SPEC X6, G5), or the stream's SYN_STREAM has never left.
func untouched(st *Stream, err error) bool {
	var (
		reset *StreamError
		ended *SessionError
		lost  *ConnError
	)
	if errors.As(err, &reset) {
		return reset.Remote && reset.Retryable()
	}
	if !errors.Is(err, ErrSessionClosed) && !errors.As(err, &ended) && !errors.As(err, &lost) {
		return false
	}
	st.session.mu.Lock()
	defer st.session.mu.Unlock()
	return !st.onWire
}

// A tryBody is the body of a request while it is open whether the request has to be sent
// again. It finds out whether anything of the body has been read, and keeps a body that
// nobody has begun to read from being closed by a try that fails. A nil *tryBody stands
// for a request without one.
type tryBody struct {
	body   io.ReadCloser // of the request, or of GetBody
	second bool          // it is of GetBody
	tried  *triedBody    // what the current try reads, nil between two
}

func newTryBody(req *http.Request) *tryBody {
	if req.Body == nil || req.Body == http.NoBody {
		return nil
	}
	return &tryBody{body: req.Body}
}

// attach returns the request to be sent next.
func (b *tryBody) attach(req *http.Request) *http.Request {
	if b == nil {
		return req
	}
	b.tried = &triedBody{ReadCloser: b.body}
	req = req.WithContext(req.Context())
	req.Body = b.tried
	return req
}

// rewind prepares for another try. It reports false if that cannot be.
func (b *tryBody) rewind(req *http.Request) bool {
	switch {
	case b == nil:
		return true
	case b.tried.takeBack():
		b.tried = nil
		return true
	case req.GetBody == nil:
		return false
	}
	body, err := req.GetBody()
	if err != nil {
		return false
	}
	_ = b.tried.Close() // nobody is left to tell
	b.body, b.second, b.tried = body, true, nil
	return true
}

// settle says that this try was the last.
func (b *tryBody) settle() {
	if b != nil {
		b.tried.settle()
	}
}

// handBack leaves a body that nobody has read to the caller. One that has been read is
// closed already.
func (b *tryBody) handBack() {
	if b != nil && b.second {
		_ = b.body.Close()
	}
}

// Close closes the body after the last try, or between two.
func (b *tryBody) Close() {
	switch {
	case b == nil:
	case b.tried == nil:
		_ = b.body.Close()
	default:
		b.tried.settle()
		_ = b.tried.Close()
	}
}

// A triedBody is the body of a request as one try sees it.
type triedBody struct {
	io.ReadCloser

	mu     sync.Mutex
	read   bool // somebody has begun to read
	taken  bool // it belongs to another try
	final  bool // there will be no other try
	closed bool // Close has been called
}

// errBodyTaken is for a try that has failed and did not notice.
var errBodyTaken = errors.New("spdy: the request is sent again")

// Read is the body's, until another try gets that.
func (b *triedBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	taken, closed := b.taken, b.closed
	b.read = b.read || !taken && !closed
	b.mu.Unlock()
	switch {
	case taken:
		return 0, errBodyTaken
	case closed:
		return 0, http.ErrBodyReadAfterClose
	}
	return b.ReadCloser.Read(p)
}

// Close closes the body once, but not one that another try may want.
func (b *triedBody) Close() error {
	b.mu.Lock()
	first := !b.closed
	b.closed = true
	now := first && !b.taken && (b.read || b.final)
	b.mu.Unlock()
	if !now {
		return nil
	}
	return b.ReadCloser.Close()
}

// takeBack gets the body back if nobody has begun to read it.
func (b *triedBody) takeBack() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken = !b.read
	return b.taken
}

func (b *triedBody) settle() {
	b.mu.Lock()
	late := b.closed && !b.read && !b.final && !b.taken
	b.final = true
	b.mu.Unlock()
	if late {
		_ = b.ReadCloser.Close() // nobody is left to tell
	}
}
