package spdy

import (
	"net"
	"net/http"
	"sync"
)

// A connReporter reports to an http.Server's ConnState whether a session is active. As over HTTP/2,
// a connection is active while any handler is running. The handlers' goroutines call the user's
// function, so the session's two goroutines never wait for it. The goroutine that finds a change
// reports it, and then any changes made during the call. A nil connReporter does nothing.
type connReporter struct {
	conn net.Conn
	tell func(net.Conn, http.ConnState)

	mu      sync.Mutex
	running int            // number of handlers
	said    http.ConnState // the last reported state; StateNew until the first handler starts
	busy    bool           // a goroutine is calling tell
	over    bool           // no more states are reported
}

func newConnReporter(hs *http.Server, conn net.Conn) *connReporter {
	if hs.ConnState == nil {
		return nil
	}
	return &connReporter{conn: conn, tell: hs.ConnState}
}

// reports reports whether hs.ConnState is or calls a user's function, and is not only ours, see
// strangers.
func (srv *Server) reports(hs *http.Server) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return hs != srv.plain || srv.ConnState != nil
}

// begin and end record the start and the end of a handler.
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

// state returns the current state. Callers hold r.mu.
func (r *connReporter) state() http.ConnState {
	if r.running > 0 {
		return http.StateActive
	}
	return http.StateIdle
}

// stop ends the reports: the connection is closed, and handlers may still be running.
func (r *connReporter) stop() {
	if r != nil {
		r.mu.Lock()
		r.over = true
		r.mu.Unlock()
	}
}
