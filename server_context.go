package spdy

import (
	"context"
	"net/http"
)

// sessionContextKey is the key of a request's session in the request's context.
type sessionContextKey struct{}

// SessionFromContext returns the session that received a request, or nil if the request was not
// received over SPDY. ctx is the request's context, or a context derived from it:
//
//	if s := spdy.SessionFromContext(r.Context()); s != nil {
//		fmt.Fprintln(w, "You speak", s.Version())
//	}
func SessionFromContext(ctx context.Context) *Session {
	s, _ := ctx.Value(sessionContextKey{}).(*Session)
	return s
}

// StreamOf returns the stream that w writes to, or nil if w does not write to a stream. w may be
// wrapped in any number of writers with an Unwrap method that returns the inner writer, as for
// http.ResponseController. StreamOf reaches methods that middleware hides and
// http.ResponseController lacks, such as Push.
func StreamOf(w http.ResponseWriter) *Stream { return streamOf(w) }
