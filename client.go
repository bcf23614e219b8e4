package spdy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// A Client sends requests to one server over a SPDY session. Any number of goroutines may call the
// methods of a Client at once.
//
// A Client made by NewClient dials the server, and dials again after the session has ended or is
// lost, as a Transport does. Transport documents which requests are sent again, and how the loss of
// a session with a silent server is detected. The Client uses one session at a time for new
// requests. A Client made by NewClientConn uses only the given connection; each request is sent
// once.
type Client struct {
	session *Session   // set by NewClientConn; nil for a client that dials
	pool    *Transport // set by NewClient; nil for a client that does not dial
	home    originKey  // the origin that pool dials

	closing context.Context    // set by NewClient; ends when the client makes no more sessions
	stop    context.CancelFunc // ends closing

	mu       sync.Mutex
	sessions []*Session // sessions that pool has made and that may still be open; guarded by mu
	latest   *Session   // the latest session not made for a single request; guarded by mu
}

// NewClient connects to a SPDY/3.1 server without TLS. addr is host:port. A dial times out after 30
// seconds. NewClient fails if the first dial fails; a later dial fails the requests that need a
// session.
func NewClient(addr string) (*Client, error) {
	c := &Client{home: originKey{scheme: "http", addr: lowerAddr(addr)}}
	c.closing, c.stop = context.WithCancel(context.Background())
	c.pool = &Transport{
		owner:                      c,
		StrictMaxConcurrentStreams: true,
		DisableCompression:         true,
		DialContext:                c.dial,
	}
	ps, _, err := c.pool.sessions().take(context.Background(), nil, c.home, false)
	if err != nil {
		return nil, err
	}
	ps.giveBack()
	return c, nil
}

// dial connects to the server, unless the client is closed. Closing the client ends a running dial.
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

// adopt records a session that the pool is about to use, for a single request if alone is set.
// adopt may be called on nil.
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

// isUnmade reports whether the client is a zero Client.
func (c *Client) isUnmade() bool { return c.session == nil && c.pool == nil }

// isClosed reports whether a client of NewClient makes no more sessions.
func (c *Client) isClosed() bool { return c.closing.Err() != nil }

// closes returns a channel that is closed when a client of NewClient makes no more sessions. On a
// nil Client it returns nil.
func (c *Client) closes() <-chan struct{} {
	if c == nil {
		return nil
	}
	return c.closing.Done()
}

// close stops the making of sessions and returns the existing sessions. Requests that wait for
// another session fail.
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

// NewClientConn makes a client of a connection: a *tls.Conn, an accepted connection, or any other
// net.Conn. The client owns the connection. If the handshake of a TLS connection is not complete,
// NewClientConn completes the handshake within ten seconds to learn the negotiated dialect. It
// fails, and closes the connection, if the handshake fails or the server has chosen a protocol
// other than SPDY. A connection with a complete handshake is used as is: it may have been upgraded
// from HTTP/1.1.
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

// Do sends a request and returns the response once the headers have arrived. The body streams, and
// the caller must close it. Do does not follow redirects. The host of the request's URL is sent,
// and does not change the server that receives the request.
func (c *Client) Do(req *http.Request) (*http.Response, error) { return c.RoundTrip(req) }

// RoundTrip is Do; it makes a Client an http.RoundTripper.
func (c *Client) RoundTrip(req *http.Request) (*http.Response, error) {
	switch {
	case c.isUnmade():
		if req != nil && req.Body != nil {
			_ = req.Body.Close() // an http.RoundTripper must close the body
		}
		return nil, errUnmadeClient
	case c.pool == nil:
		return c.session.RoundTrip(req)
	case c.isClosed():
		if s := c.Session(); req == nil || s.Err() == nil { // the session reports the reason for refusing requests
			return s.RoundTrip(req)
		}
		if req.Body != nil {
			_ = req.Body.Close() // an http.RoundTripper must close the body
		}
		return nil, ErrSessionClosed
	}
	return c.pool.RoundTrip(req)
}

// Session returns the client's session. A client of NewClient replaces a session that has ended or
// is lost; Session returns the latest.
func (c *Client) Session() *Session {
	if c.pool == nil {
		return c.session
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest // NewClient has made a session
}

// Close ends the client's session; see Session.Close. The client dials no more sessions, and
// requests that wait for a session fail with ErrSessionClosed. The error is always nil.
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

// Shutdown lets running requests finish, refuses new requests, and closes; see Session.Shutdown.
// The client dials no more sessions, and requests that wait for a session fail with
// ErrSessionClosed.
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

// Ping sends a PING and reports whether the echo arrived within d. If the session has ended, the
// error is the reason.
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
