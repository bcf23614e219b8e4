package spdy

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"runtime"
	"slices"
	"sync"
	"weak"
)

// This file tracks the sessions on hijacked connections of a server. An http.Server forgets a
// hijacked connection: its shutdown only calls the functions of RegisterOnShutdown.

// upgrades are the sessions on hijacked connections of an http.Server, possibly the http.Server of
// a Server.
type upgrades struct {
	mu       sync.Mutex
	closing  bool // no more sessions are registered
	sessions map[*Session]struct{}
	served   *Server // has the sessions that ConfigureServer adds; nil before
	shared   *pools  // pools of the Server that owns the sessions; nil for a plain http.Server
}

// An upgradeRegistry holds the upgrades of every http.Server that has any. It does not keep the
// server alive, and the garbage collector removes the entry along with the server. Each upgrades
// object registers with the server once, since a function of RegisterOnShutdown cannot be
// unregistered.
type upgradeRegistry struct {
	mu      sync.Mutex
	servers map[weak.Pointer[http.Server]]*upgrades
}

var upgradesByServer = upgradeRegistry{servers: make(map[weak.Pointer[http.Server]]*upgrades)}

// of returns the upgrades of a server.
func (g *upgradeRegistry) of(hs *http.Server) *upgrades {
	key := weak.Make(hs)
	g.mu.Lock()
	u := g.servers[key]
	known := u != nil
	if !known {
		u = &upgrades{sessions: make(map[*Session]struct{})}
		g.servers[key] = u
	}
	g.mu.Unlock()
	if !known {
		runtime.AddCleanup(hs, g.forget, key)
		hs.RegisterOnShutdown(u.goAway)
	}
	return u
}

func (g *upgradeRegistry) forget(key weak.Pointer[http.Server]) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.servers, key)
}

// upgradesOf returns the upgrades of the server whose request has this context, or nil if the
// context is not from an http.Server.
func upgradesOf(ctx context.Context) *upgrades {
	hs, _ := ctx.Value(http.ServerContextKey).(*http.Server)
	if hs == nil {
		return nil
	}
	return upgradesByServer.of(hs)
}

// isClosing reports whether the server is shutting down. A nil receiver is allowed.
func (u *upgrades) isClosing() bool {
	if u == nil {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.closing
}

// enter registers a session until it ends. It reports false, and registers nothing, if the server
// is shutting down. A nil receiver is allowed.
func (u *upgrades) enter(s *Session) bool {
	if u == nil {
		return true
	}
	u.mu.Lock()
	if u.closing {
		u.mu.Unlock()
		return false
	}
	u.sessions[s] = struct{}{}
	u.mu.Unlock()
	s.mu.Lock()
	before := s.owner
	s.owner = u
	over := s.end.err != nil
	s.mu.Unlock()
	if before != u {
		before.leave(s)
	}
	if over { // the session may have ended before owner was set
		u.leave(s)
	}
	return true
}

// leave removes a session. A nil receiver is allowed.
func (u *upgrades) leave(s *Session) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.sessions, s)
}

// leaveServer is called when a session and its connection have ended.
func (s *Session) leaveServer() {
	s.mu.Lock()
	u := s.owner
	s.mu.Unlock()
	u.leave(s)
}

// close refuses new sessions and returns those that have not ended.
func (u *upgrades) close() []*Session {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closing = true
	return slices.Collect(maps.Keys(u.sessions))
}

// serve registers the Server of ConfigureServer.
func (u *upgrades) serve(srv *Server) {
	u.mu.Lock()
	u.served = srv
	u.mu.Unlock()
	u.share(srv.pools())
}

// share registers the pools of the owning Server. A reference to the Server would keep the
// http.Server alive, see upgradeRegistry.
func (u *upgrades) share(p *pools) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.shared = p
}

// pools returns the pools to which the sessions are charged. A nil receiver is allowed.
func (u *upgrades) pools() *pools {
	if u == nil {
		return nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.shared
}

// configured returns the sessions that ConfigureServer has added.
func (u *upgrades) configured() []*Session {
	u.mu.Lock()
	srv := u.served
	u.mu.Unlock()
	if srv == nil {
		return nil
	}
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.sessionsLocked()
}

// goAway calls close and starts to drain the sessions.
func (u *upgrades) goAway() {
	for _, s := range u.close() {
		s.goAway()
	}
}

// errNoServer is the error of TrackSession for a context that is not from a request.
var errNoServer = errors.New("spdy: the context is not that of a request which an http.Server has received")

// TrackSession registers a session of any kind with the server whose request has the context ctx.
// An Upgrader does so itself; TrackSession is for programs that hijack a connection and call
// Config.RawSession. From then on
//
//   - Server.Shutdown, ShutdownServer and the Shutdown of an http.Server send a GOAWAY, and
//     the session ends with the last stream. The first two wait for the end, but
//     http.Server.Shutdown waits for no hijacked connection.
//   - Server.Close and CloseServer end the session. The Close of an http.Server cannot, since it
//     has no hook.
//
// TrackSession fails with http.ErrServerClosed if the server is shutting down, and the caller must
// close the session. It also fails if no http.Server has received a request with this context.
func TrackSession(ctx context.Context, s *Session) error {
	u := upgradesOf(ctx)
	switch {
	case s == nil || s.conn == nil:
		return errUnmade
	case u == nil:
		return errNoServer
	case !u.enter(s):
		return http.ErrServerClosed
	}
	return nil
}

// ShutdownServer shuts an http.Server down, like http.Server.Shutdown, and also waits for the
// sessions of an Upgrader and of TrackSession, which send a GOAWAY and end with their last stream.
// If the context ends first, ShutdownServer returns the context's error, and unfinished sessions
// continue, as with http.Server.Shutdown. The same applies if clients have confirmed everything and
// only their connections are not closed yet. If a client does not confirm its response within
// Config.DeliveryTimeout, ShutdownServer returns ErrDeliveryTimeout, like Server.Shutdown, also for
// a session added by ConfigureServer.
func ShutdownServer(ctx context.Context, s *http.Server) error {
	if s == nil {
		return errNilServer
	}
	u := upgradesByServer.of(s)
	sessions := u.close()
	if insideSession() {
		for _, session := range sessions {
			session.goAway()
		}
		return errInside
	}
	alive := slices.DeleteFunc(append(u.configured(), sessions...), (*Session).ended)
	for _, session := range sessions {
		session.wait(1)
		defer session.wait(-1)
		session.goAway()
	}
	err := s.Shutdown(ctx)
	for _, session := range sessions {
		if !session.awaitEnd(ctx) && !session.delivered() {
			return ctx.Err()
		}
	}
	return cmp.Or(err, undelivered(alive))
}

// CloseServer closes an http.Server, like http.Server.Close, and also ends the sessions of an
// Upgrader and of TrackSession.
func CloseServer(s *http.Server) error {
	if s == nil {
		return errNilServer
	}
	sessions := upgradesByServer.of(s).close()
	if insideSession() {
		for _, session := range sessions {
			session.shutdown(ErrSessionClosed)
		}
	} else {
		closeSoon(sessions...)
	}
	return s.Close()
}
