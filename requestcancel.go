package spdy

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// errRequestCanceled is the error of a request whose Cancel channel has been closed, with the text
// of net/http.
var errRequestCanceled = errors.New("net/http: request canceled")

// cancelOf returns the deprecated field Cancel, which programs and http.Client still use.
func cancelOf(req *http.Request) <-chan struct{} {
	//lint:ignore SA1019 see above
	return req.Cancel
}

// cancelKey is the key of the release function in a context made by obeyCancel.
type cancelKey struct{}

// obeyCancel returns req with a context that ends when the channel req.Cancel is closed. The caller
// calls release if the request fails. Otherwise the end of the response releases the context, see
// (*upload).releasing. A request without a Cancel channel is returned as it is.
func obeyCancel(req *http.Request) (obeying *http.Request, release func()) {
	if cancelOf(req) == nil {
		return req, func() {}
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	outer, nested := ctx.Value(cancelKey{}).(func()) // of a request that t.host sends for t
	release = func() {
		cancel(nil)
		if nested {
			outer()
		}
	}
	go func() {
		w := wait{end: ctx.Done(), over: cancelOf(req)}
		if w.sleep(nil) != byOver {
			return
		}
		cause := errRequestCanceled
		if d, ok := ctx.Deadline(); ok && !time.Now().Before(d) { // an http.Client closes Cancel at its Timeout too
			cause = context.DeadlineExceeded
		}
		cancel(cause)
	}()
	return req.WithContext(context.WithValue(ctx, cancelKey{}, release)), release
}

// releasing wraps stop, which ends the watch over the context of an answered request, to release a
// context made by obeyCancel too.
func (u *upload) releasing(stop func() bool) func() bool {
	if cancelOf(u.req) == nil {
		return stop
	}
	release, ok := u.req.Context().Value(cancelKey{}).(func())
	if !ok {
		return stop
	}
	return func() bool {
		stopped := stop()
		release()
		return stopped
	}
}
