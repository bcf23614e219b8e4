package spdy

import (
	"net"
	"net/http"
	"sync"
)

// A connReporter tells an http.Server's ConnState whether a session is at work. As
// over HTTP/2 a connection is active from the first of its running handlers to the
// last. It is the handlers' goroutines that call the user's function, so that
// neither of the session's two waits for it: whichever finds a change reports it, and
// what changes meanwhile, one after the other. A nil connReporter does nothing.
type connReporter struct {
	conn net.Conn
	tell func(net.Conn, http.ConnState)

	mu      sync.Mutex
	running int            // handlers
	said    http.ConnState // StateNew until there has been a handler
	busy    bool           // somebody is calling tell
	over    bool           // nothing is reported any more
}

func newConnReporter(hs *http.Server, conn net.Conn) *connReporter {
	if hs.ConnState == nil {
		return nil
	}
	return &connReporter{conn: conn, tell: hs.ConnState}
}

// reports says that hs.ConnState is a user's, or leads to one, and not only ours, see
// strangers.
func (srv *Server) reports(hs *http.Server) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return hs != srv.plain || srv.ConnState != nil
}

// begin and end say that a handler begins, and that it has ended.
func (r *connReporter) begin() { r.add(1) }
func (r *connReporter) end()   { r.add(-1) }

func (r *connReporter) add(n int) {
	if r == nil {
		return
	}
	r.mu.Lock()
	r.running += n
	for !r.busy && !r.over && r.said != r.state() {
		state := r.state()
		r.said, r.busy = state, true
		r.mu.Unlock()
		r.tell(r.conn, state) // may panic: the mutex is not held, nor about to be released
		r.mu.Lock()
		r.busy = false
	}
	r.mu.Unlock()
}

// state returns what there is to say. Callers hold r.mu.
func (r *connReporter) state() http.ConnState {
	if r.running > 0 {
		return http.StateActive
	}
	return http.StateIdle
}

// stop ends the reports: the connection is closed, and handlers may still run.
func (r *connReporter) stop() {
	if r != nil {
		r.mu.Lock()
		r.over = true
		r.mu.Unlock()
	}
}
