package spdy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// A Client sends requests to one server over a SPDY session. All its methods may be called by
// any number of goroutines at once.
//
// A Client of NewClient dials, and dials again when its session has ended or is lost, as a
// Transport does: see there for what is sent again, and for how a session is found to be lost
// whose server has gone silent. It has one session at a time that takes requests. A Client of
// NewClientConn has the connection that it was given and no other; its requests are sent once.
type Client struct {
	session *Session   // of NewClientConn; nil for a client that dials
	pool    *Transport // of NewClient; nil for a client that does not dial
	home    originKey  // where pool dials

	closing context.Context    // of NewClient; ends when no more sessions are made
	stop    context.CancelFunc // ends closing

	mu       sync.Mutex
	sessions []*Session // those that pool has made and that may live; guarded by mu
	latest   *Session   // the latest that is not for a single request; guarded by mu
}

// NewClient connects to a SPDY/3.1 server that speaks SPDY without TLS. addr is
// host:port. A dial may take 30 seconds. NewClient fails if the first dial does; later ones fail
// with the requests that need them.
func NewClient(addr string) (*Client, error) {
	c := &Client{home: originKey{scheme: "http", addr: strings.ToLower(addr)}}
	c.closing, c.stop = context.WithCancel(context.Background())
	c.pool = &Transport{
		owner:                      c,
		StrictMaxConcurrentStreams: true,
		DisableCompression:         true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return c.dial(ctx, network, addr) // of which the zone of an IPv6 address has its case
		},
	}
	ps, _, err := c.pool.sessions().take(context.Background(), c.home, false)
	if err != nil {
		return nil, err
	}
	ps.giveBack()
	return c, nil
}

// dial connects to the server, unless the client is closed, which ends a dial that is under way.
func (c *Client) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.closing, cancel)()
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, addr)
	if !c.isClosed() {
		return conn, err
	}
	if err == nil {
		conn.Close()
	}
	return nil, ErrSessionClosed
}

// adopt notes a session that the pool is about to use, for a single request if alone is set. It
// may be called on nil.
func (c *Client) adopt(s *Session, alone bool) {
	if c == nil {
		return
	}
	c.mu.Lock()
	c.sessions = append(slices.DeleteFunc(c.sessions, (*Session).ended), s)
	if !alone {
		c.latest = s
	}
	c.mu.Unlock()
	if c.isClosed() {
		s.shutdown(ErrSessionClosed)
	}
}

// isUnmade reports whether the client is a zero one.
func (c *Client) isUnmade() bool { return c.session == nil && c.pool == nil }

// isClosed reports whether a client of NewClient makes no more sessions.
func (c *Client) isClosed() bool { return c.closing.Err() != nil }

// closes returns a channel that is closed when a client of NewClient makes no more sessions. It may be
// called on nil, which is never closed.
func (c *Client) closes() <-chan struct{} {
	if c == nil {
		return nil
	}
	return c.closing.Done()
}

// close has no more sessions made, and returns those that there are. Requests that wait for another
// one fail.
func (c *Client) close() []*Session {
	switch {
	case c.isUnmade():
		return nil
	case c.pool == nil:
		return []*Session{c.session}
	}
	c.stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.sessions)
}

// NewClientConn makes a client of a connection, which may be a *tls.Conn, an
// accepted one, or any other net.Conn. The client owns the connection. If it is one
// of TLS whose handshake is not complete, NewClientConn completes it, for at most ten
// seconds, to learn which dialect is negotiated; it fails, and closes the
// connection, if that fails or the server has chosen a protocol that is not SPDY. A connection whose handshake is
// complete is taken as it is: it may have been upgraded from HTTP/1.1.
func NewClientConn(c net.Conn) (*Client, error) {
	return (*Config)(nil).NewClientConn(c)
}

// NewClientConn is the package's NewClientConn with a configuration.
func (c *Config) NewClientConn(conn net.Conn) (*Client, error) {
	if conn == nil {
		return nil, errors.New("spdy: NewClientConn without a connection")
	}
	if err := c.check(c.clientSending()); err != nil {
		conn.Close()
		return nil, err
	}
	if err := c.agree(conn); err != nil {
		conn.Close()
		return nil, err
	}
	session := c.ClientSession(conn)
	go session.Serve() // ends with the session; Close waits for it
	return &Client{session: session}, nil
}

// Do sends a request and returns its answer when the headers have come; the
// body streams, and has to be closed. It does not follow redirects. The host of the
// request's URL is sent, and has no effect on where the request goes.
func (c *Client) Do(req *http.Request) (*http.Response, error) { return c.RoundTrip(req) }

// RoundTrip is Do; it makes a Client an http.RoundTripper.
func (c *Client) RoundTrip(req *http.Request) (*http.Response, error) {
	switch {
	case c.isUnmade():
		if req != nil && req.Body != nil {
			_ = req.Body.Close() // as an http.RoundTripper has to
		}
		return nil, errUnmadeClient
	case c.pool == nil:
		return c.session.RoundTrip(req)
	case c.isClosed():
		if s := c.Session(); req == nil || s.Err() == nil { // it says why it takes no requests
			return s.RoundTrip(req)
		}
		if req.Body != nil {
			_ = req.Body.Close() // as an http.RoundTripper has to
		}
		return nil, ErrSessionClosed
	}
	return c.pool.RoundTrip(req)
}

// Session returns the session under the client. A client of NewClient gets another one when
// that has ended or is lost; Session returns the latest.
func (c *Client) Session() *Session {
	if c.pool == nil {
		return c.session
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest // NewClient has made one
}

// Close ends the client's session; see Session.Close. No other one is dialled afterwards, and
// requests that wait for one fail with ErrSessionClosed. The error is always nil.
func (c *Client) Close() error {
	sessions := c.close()
	if insideSession() {
		for _, s := range sessions {
			s.shutdown(ErrSessionClosed)
		}
		return nil
	}
	closeSoon(sessions...)
	return nil
}

// Shutdown lets the requests that run finish, takes no new ones, and closes; see
// Session.Shutdown. No other session is dialled afterwards, and requests that wait for one fail
// with ErrSessionClosed.
func (c *Client) Shutdown(ctx context.Context) (err error) {
	if c.isUnmade() {
		return errUnmadeClient
	}
	sessions := c.close()
	for _, s := range sessions {
		s.goAway()
	}
	for _, s := range sessions {
		if failed := s.Shutdown(ctx); err == nil {
			err = failed
		}
	}
	return err
}

// Ping sends a PING and reports whether its echo came within d. The error says
// why the session ended, if it has.
func (c *Client) Ping(d time.Duration) (pinged bool, err error) {
	if c.isUnmade() {
		return false, errUnmadeClient
	}
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	_, err = c.Session().PingContext(ctx)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, context.DeadlineExceeded):
		return false, nil
	}
	return false, err
}
