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

// This file has what a server knows of sessions that run on connections which its handlers
// have hijacked. An http.Server forgets such a connection, and calls the functions of
// RegisterOnShutdown for it.

// upgrades are the sessions of one http.Server, that of a Server included, which runs on
// hijacked connections.
type upgrades struct {
	mu       sync.Mutex
	closing  bool // no session is entered any more
	sessions map[*Session]struct{}
	served   *Server // has the sessions that ConfigureServer adds; nil before it
	shared   *pools  // of the Server that the sessions belong to; nil for a plain http.Server
}

// An upgradeRegistry has the upgrades of every http.Server that has any. It does not keep
// the server alive, and an entry goes with its server: each registers with its server
// once, since there is no way to take a function of RegisterOnShutdown back.
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

// upgradesOf returns the upgrades of the server whose request has this context, nil if no
// http.Server has made it.
func upgradesOf(ctx context.Context) *upgrades {
	hs, _ := ctx.Value(http.ServerContextKey).(*http.Server)
	if hs == nil {
		return nil
	}
	return upgradesByServer.of(hs)
}

// isClosing reports whether the server is shutting down. It may be called on nil.
func (u *upgrades) isClosing() bool {
	if u == nil {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.closing
}

// enter enters a session until it ends. It reports false, and enters nothing, if the
// server is shutting down. It may be called on nil.
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
	if over { // its end may have come before owner was set
		u.leave(s)
	}
	return true
}

// leave forgets a session. It may be called on nil.
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

// close takes no more sessions and returns those that have not ended.
func (u *upgrades) close() []*Session {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closing = true
	return slices.Collect(maps.Keys(u.sessions))
}

// serve enters the Server of ConfigureServer.
func (u *upgrades) serve(srv *Server) {
	u.mu.Lock()
	u.served = srv
	u.mu.Unlock()
	u.share(srv.pools())
}

// share enters the pools of the Server whose http.Server has these upgrades. The Server itself
// would keep its http.Server alive, see upgradeRegistry.
func (u *upgrades) share(p *pools) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.shared = p
}

// pools are those that the sessions are charged to. It may be called on nil.
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

// goAway is close, and begins to drain the sessions.
func (u *upgrades) goAway() {
	for _, s := range u.close() {
		s.goAway()
	}
}

// errNoServer is what TrackSession returns for a context of no request.
var errNoServer = errors.New("spdy: the context is not that of a request which an http.Server has received")

// TrackSession makes a session, of whatever kind, one of the server whose request has the
// context ctx. An Upgrader does that itself; TrackSession is for programs that hijack a
// connection and call Config.RawSession. From then on
//
//   - Server.Shutdown, ShutdownServer and the Shutdown of an http.Server send a GOAWAY,
//     upon which the session ends with its last stream. The first two wait for that, the
//     last one does not: it waits for no hijacked connection.
//   - Server.Close and CloseServer end the session. The Close of an http.Server cannot: it
//     tells nobody.
//
// It fails with http.ErrServerClosed if the server is shutting down, and the caller has to
// close the session, or if an http.Server has received no request with this context.
func TrackSession(ctx context.Context, s *Session) error {
	u := upgradesOf(ctx)
	switch {
	case u == nil:
		return errNoServer
	case !u.enter(s):
		return http.ErrServerClosed
	}
	return nil
}

// ShutdownServer shuts an http.Server down, as its method Shutdown does, and waits also for
// the sessions of an Upgrader and those of TrackSession: they get a GOAWAY and end with
// their last stream. If the context ends first, its error is returned, and what has not
// ended goes on, as with http.Server.Shutdown. A client that does not confirm its answer for
// Config.DeliveryTimeout makes it return ErrDeliveryTimeout, as for Server.Shutdown, also if ConfigureServer has added its session.
func ShutdownServer(ctx context.Context, s *http.Server) error {
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

// CloseServer closes an http.Server, as its method Close does, and ends also the sessions
// of an Upgrader and those of TrackSession.
func CloseServer(s *http.Server) error {
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
