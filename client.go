package spdy

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"
)

// A Client sends requests over one SPDY session, on a connection that has been made; a
// Transport makes connections as they are needed. All its methods may be called by any
// number of goroutines at once.
type Client struct {
	session *Session
}

// NewClient connects to a SPDY/3.1 server that speaks SPDY without TLS. addr is
// host:port.
func NewClient(addr string) (*Client, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return (&Config{SettingsKey: "http://" + strings.ToLower(addr)}).NewClientConn(conn)
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
// body streams, and has to be closed. It does not follow redirects. See
// Session.RoundTrip, which it calls.
func (c *Client) Do(req *http.Request) (*http.Response, error) {
	return c.session.RoundTrip(req)
}

// RoundTrip is Do; it makes a Client an http.RoundTripper.
func (c *Client) RoundTrip(req *http.Request) (*http.Response, error) {
	return c.session.RoundTrip(req)
}

// Session returns the session under the client.
func (c *Client) Session() *Session { return c.session }

// Close ends the session; see Session.Close. The error is always nil.
func (c *Client) Close() error {
	c.session.Close()
	return nil
}

// Shutdown lets the requests that run finish, takes no new ones, and closes; see
// Session.Shutdown.
func (c *Client) Shutdown(ctx context.Context) error { return c.session.Shutdown(ctx) }

// Ping sends a PING and reports whether its echo came within d. The error says
// why the session ended, if it has.
func (c *Client) Ping(d time.Duration) (pinged bool, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	_, err = c.session.PingContext(ctx)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, context.DeadlineExceeded):
		return false, nil
	}
	return false, err
}
