package spdy

import (
	"cmp"
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"time"
)

// This file tracks a Server's listeners, connections and sessions. Listeners and connections belong
// to the user and need not be comparable, so they are identified by our own pointers.

// An arrival is a connection without a session yet.
type arrival struct {
	conn  net.Conn
	since time.Time
}

// close stops accepting and returns the running sessions, including upgraded ones, and the
// http.Server.
func (srv *Server) close() ([]*Session, *http.Server) {
	srv.mu.Lock()
	srv.closing = true
	end := srv.end
	var closers []io.Closer
	for ln := range srv.listeners {
		closers = append(closers, *ln)
	}
	for a := range srv.greeting {
		closers = append(closers, a.conn)
	}
	sessions := srv.sessionsLocked()
	plain := srv.plain
	srv.mu.Unlock()
	if end != nil {
		end()
	}
	for _, c := range closers {
		c.Close()
	}
	if plain != nil {
		sessions = append(sessions, upgradesByServer.of(plain).close()...)
	}
	return sessions, plain
}

func (srv *Server) sessionsLocked() []*Session {
	sessions := make([]*Session, 0, len(srv.sessions))
	for s := range srv.sessions {
		sessions = append(sessions, s)
	}
	return sessions
}

func (srv *Server) isClosing() bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.closing
}

// openLocked reports whether the server accepts new listeners, connections and sessions, and
// creates the maps for them.
func (srv *Server) openLocked() bool {
	if srv.closing {
		return false
	}
	if srv.life == nil {
		srv.life, srv.end = context.WithCancel(context.Background())
		srv.listeners = make(map[*net.Listener]struct{})
		srv.sessions = make(map[*Session]struct{})
		srv.greeting = make(map[*arrival]struct{})
		srv.introduced = make(map[*tls.Conn]struct{})
	}
	return true
}

// track registers a listener, unless the server is closing.
func (srv *Server) track(ln *net.Listener) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if !srv.openLocked() {
		return false
	}
	srv.listeners[ln] = struct{}{}
	return true
}

func (srv *Server) forget(ln *net.Listener) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	delete(srv.listeners, ln)
}

// begin counts a connection's goroutine until done, unless the server is closing.
func (srv *Server) begin() bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if !srv.openLocked() {
		return false
	}
	srv.serving++
	return true
}

// done ends the count that begin started.
func (srv *Server) done() {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.serving--
	if srv.serving == 0 && srv.unserved != nil {
		close(srv.unserved)
		srv.unserved = nil
	}
}

// endLimit is the time that a closed server, or a server whose Shutdown has timed out, waits for
// the goroutines of connections. Most end at once. A goroutine that runs the user's code, such as
// GetCertificate in a TLS handshake, may run for any time, and net/http does not wait for it.
const endLimit = 100 * time.Millisecond

// awaitServing waits until the goroutines of all connections have ended, but no longer than
// endLimit after began. No new goroutines start, since the server is closing.
func (srv *Server) awaitServing(began time.Time) {
	srv.mu.Lock()
	if srv.serving == 0 {
		srv.mu.Unlock()
		return
	}
	if srv.unserved == nil {
		srv.unserved = make(chan struct{})
	}
	unserved := srv.unserved
	srv.mu.Unlock()
	limit := time.NewTimer(endLimit - time.Since(began))
	defer limit.Stop()
	w := wait{end: unserved, clock: limit.C}
	w.sleep(nil)
}

// meet registers a connection without a session, unless the server is closing.
func (srv *Server) meet(a *arrival) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if !srv.openLocked() {
		return false
	}
	srv.greeting[a] = struct{}{}
	return true
}

func (srv *Server) met(a *arrival) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	delete(srv.greeting, a)
}

// enter registers a session, unless the server is closing.
func (srv *Server) enter(s *Session) bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if !srv.openLocked() {
		return false
	}
	srv.sessions[s] = struct{}{}
	return true
}

// pools returns the pools of the sessions.
func (srv *Server) pools() *pools {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.poolsLocked()
}

func (srv *Server) poolsLocked() *pools {
	if srv.shared == nil {
		srv.shared = newPools(srv.Config)
	}
	return srv.shared
}

func (srv *Server) leave(s *Session) {
	stats := s.Stats()
	srv.mu.Lock()
	defer srv.mu.Unlock()
	delete(srv.sessions, s)
	srv.ended.addTotals(&stats)
}

// An acceptPause slows down a listener after temporary errors, such as a lack of file descriptors,
// as net/http does.
type acceptPause struct{ delay time.Duration }

// wait pauses and reports true after a temporary error, and reports false after any other error.
// Every pause is logged, since an operator has no other sign why clients wait.
func (a *acceptPause) wait(err error, done <-chan struct{}, errorLog *log.Logger) bool {
	temporary, ok := err.(interface{ Temporary() bool })
	if !ok || !temporary.Temporary() {
		return false
	}
	a.delay = min(max(2*a.delay, 5*time.Millisecond), time.Second)
	cmp.Or(errorLog, log.Default()).Printf("spdy: Accept error: %v; retrying in %v", err, a.delay)
	timer := time.NewTimer(a.delay)
	defer timer.Stop()
	w := wait{end: done, clock: timer.C}
	w.sleep(nil)
	return true
}

func (a *acceptPause) reset() { a.delay = 0 }
