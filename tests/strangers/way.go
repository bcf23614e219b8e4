package strangers

import (
	"context"
	"io"
	"log"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
)

// A Way is a path for the requests of many users to an origin over one connection.
type Way struct {
	// Name describes the path.
	Name string

	// Library names the protocol and the implementation of the session.
	Library string

	// Open sets the way up. Play calls it in a bubble.
	Open func(s *Stage) (*Road, error)

	// Dials is true if the way dials another session when the streams of a session are used up.
	Dials bool
}

// A Road is an open Way.
type Road struct {
	// User returns the transport of a new user.
	User func() http.RoundTripper

	// Base is the prefix of URLs.
	Base string

	// Ping sends a PING on the session and waits for the reply.
	Ping func(ctx context.Context) error

	// Streams returns the number of streams at both ends together.
	Streams func() int

	// Ended returns the reason why a session has ended, or nil.
	Ended func() error

	// Close shuts the way down and waits for its goroutines.
	Close func()
}

// A Stage is the environment of a way.
type Stage struct {
	// Link is the network between the session's two ends.
	Link *Link

	// Handler is the handler of the origin.
	Handler http.Handler
}

// Quiet is a logger for servers that discards everything.
var Quiet = log.New(io.Discard, "", 0)

// Watch returns a configuration with default limits. The watcher records the sessions that use
// the configuration.
func (w *Watcher) Watch(v spdy.Version) *spdy.Config {
	return &spdy.Config{
		Version: v,
		Logger:  slog.New(slog.DiscardHandler),
		Trace: &spdy.Trace{
			SessionStart: func(s *spdy.Session) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.sessions = append(w.sessions, s)
			},
			SessionEnd: func(s *spdy.Session, err error) {
				w.mu.Lock()
				defer w.mu.Unlock()
				if w.ended == nil {
					w.ended = err
				}
			},
		},
	}
}

// A Watcher records sessions.
type Watcher struct {
	mu       sync.Mutex
	sessions []*spdy.Session
	ended    error
}

// Session returns the latest session, or nil.
func (w *Watcher) Session() *spdy.Session {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.sessions) == 0 {
		return nil
	}
	return w.sessions[len(w.sessions)-1]
}

// Ping sends a PING on the latest session and waits for the reply.
func (w *Watcher) Ping(ctx context.Context) error {
	_, err := w.Session().PingContext(ctx)
	return err
}

// Streams returns the number of streams of all sessions.
func (w *Watcher) Streams() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.sessions {
		n += s.Stats().Streams.Total()
	}
	return n
}

// Ended returns the reason of the first session that ended, or nil.
func (w *Watcher) Ended() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ended
}

// A Front is an HTTP/1.1 server of net/http in front of a session. Every user has separate
// connections.
type Front struct {
	server  *http.Server
	ln      *testconn.Listener
	serving sync.WaitGroup

	mu    sync.Mutex
	users []*http.Transport
}

// NewFront starts a front.
func NewFront(h http.Handler) *Front {
	f := &Front{server: &http.Server{Handler: letGo(h), ErrorLog: Quiet}, ln: testconn.Listen()}
	f.serving.Go(func() { _ = f.server.Serve(f.ln) })
	return f
}

// letGo interrupts reads of a request body after the handler has returned. net/http holds a
// mutex during such a read and locks it before it finishes the answer. Time in a bubble stands
// still while a goroutine waits for a mutex, so the read would never end.
func letGo(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Body != http.NoBody {
			defer func() { _ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0)) }()
		}
		h.ServeHTTP(w, r)
	})
}

// User returns a new user, without idle connections.
func (f *Front) User() http.RoundTripper {
	user := &http.Transport{DialContext: f.dial, MaxIdleConnsPerHost: -1, DisableCompression: true}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.users = append(f.users, user)
	return user
}

// Close closes the front and waits for the accept loop.
func (f *Front) Close() {
	_ = f.server.Close()
	f.serving.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, user := range f.users {
		user.CloseIdleConnections()
	}
}
