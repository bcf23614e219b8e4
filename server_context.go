package spdy

import (
	"context"
	"net/http"
)

// sessionContextKey is where the context of a request keeps its session.
type sessionContextKey struct{}

// SessionFromContext returns the session over which a request came, or nil if it
// came over something else. ctx is the request's context, or one derived from it:
//
//	if s := spdy.SessionFromContext(r.Context()); s != nil {
//		fmt.Fprintln(w, "You speak", s.Version())
//	}
func SessionFromContext(ctx context.Context) *Session {
	s, _ := ctx.Value(sessionContextKey{}).(*Session)
	return s
}

// StreamOf returns the stream that w writes to, or nil if it writes to something
// else. w may be wrapped any number of times in writers that have a method Unwrap
// which returns the one inside, as http.ResponseController asks for. It is for what
// middleware hides and http.ResponseController does not know, such as Push.
func StreamOf(w http.ResponseWriter) *Stream { return streamOf(w) }
