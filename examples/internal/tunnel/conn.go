package tunnel

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"net"
)

// withBuffered returns conn with what br has read from it and nobody has taken
// yet in front. Whoever reads an HTTP message from a connection that goes on as
// something else has to do this: the peer's first frames may have come with the
// message's last bytes.
func withBuffered(conn net.Conn, br *bufio.Reader) net.Conn {
	head, _ := br.Peek(br.Buffered()) // cannot fail: they are there
	if len(head) == 0 {
		return conn
	}
	p := &prefixedConn{Conn: conn, head: bytes.Clone(head)}
	if secure, ok := conn.(*tls.Conn); ok {
		return &prefixedTLSConn{prefixedConn: p, secure: secure}
	}
	return p
}

// A prefixedConn reads head before the rest. Like any session's connection it has
// one reader.
type prefixedConn struct {
	net.Conn
	head []byte
}

func (c *prefixedConn) Read(p []byte) (int, error) {
	if len(c.head) == 0 {
		return c.Conn.Read(p)
	}
	n := copy(p, c.head)
	c.head = c.head[n:]
	return n, nil
}

// CloseWrite closes one direction, which a session likes to do so that its last
// frame arrives.
func (c *prefixedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// A prefixedTLSConn can tell its TLS state, from which a session learns that it is
// secure.
type prefixedTLSConn struct {
	*prefixedConn
	secure *tls.Conn
}

func (c *prefixedTLSConn) ConnectionState() tls.ConnectionState { return c.secure.ConnectionState() }
