package spdy

import (
	"errors"
	"io"
	"net/http"
	"sync"
)

// A tryBody is the body of a request that may be sent again. It records whether a try has begun to
// read the body, and prevents a failed try from closing an unread body. A nil *tryBody stands for a
// request without a body.
type tryBody struct {
	body   io.ReadCloser // of the request, or of GetBody
	second bool          // body is of GetBody
	kept   bool          // the caller closes the request's body
	tried  *triedBody    // body as seen by the current try, nil between two tries
}

// newTryBody returns the body of a request. With kept set the caller closes the body.
func newTryBody(req *http.Request, kept bool) *tryBody {
	if req.Body == nil || req.Body == http.NoBody {
		return nil
	}
	return &tryBody{body: req.Body, kept: kept}
}

// closes reports whether the tryBody closes the current body.
func (b *tryBody) closes() bool { return b.second || !b.kept }

// attach returns the request for the next try.
func (b *tryBody) attach(req *http.Request) *http.Request {
	if b == nil {
		return req
	}
	b.tried = &triedBody{ReadCloser: b.body}
	req = req.WithContext(req.Context())
	req.Body = b.tried
	return req
}

// rewind prepares the body for another try. It reports false if a try has read the body and GetBody
// returns no other.
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
	if b.closes() {
		_ = b.tried.Close() // an error has no reader
	}
	b.body, b.second, b.tried = body, true, nil
	return true
}

// settle ends the retries: no try follows the current try.
func (b *tryBody) settle() {
	if b != nil && b.tried.settle() && b.closes() {
		_ = b.body.Close() // an error has no reader
	}
}

// release moves the unread body to req, for another RoundTripper.
func (b *tryBody) release(req *http.Request) {
	if b != nil {
		b.tried.takeBack()
		req.Body = b.body
		b.body, b.second, b.tried = http.NoBody, false, nil
	}
}

// handBack leaves the request's body to the caller, and closes a body of GetBody.
func (b *tryBody) handBack() {
	if b != nil && b.second {
		_ = b.body.Close()
	}
}

// Close closes the body after the last try, or between two.
func (b *tryBody) Close() {
	switch {
	case b == nil || !b.closes():
	case b.tried == nil:
		_ = b.body.Close()
	default:
		b.settle()
		_ = b.tried.Close()
	}
}

// A triedBody is the body of a request during a single try.
type triedBody struct {
	io.ReadCloser

	mu     sync.Mutex
	read   bool // a Read has begun
	taken  bool // the body belongs to another try
	final  bool // no other try follows
	closed bool // Close has been called
}

// errBodyTaken is the error of a Read by a try that has failed.
var errBodyTaken = errors.New("spdy: the request is sent again")

// Read reads the body while this try owns it.
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

// Close closes the body once, unless another try may send it.
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

// takeBack removes the body from this try, and reports false if a Read has begun.
func (b *triedBody) takeBack() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.taken = !b.read
	return b.taken
}

// settle makes this the last try. It reports whether the caller has to close the body, because an
// earlier Close of the try had no effect.
func (b *triedBody) settle() (open bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	open = b.closed && !b.read && !b.final && !b.taken
	b.final = true
	return open
}
