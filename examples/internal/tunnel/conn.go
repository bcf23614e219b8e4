package tunnel

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"net"
)

// withBuffered returns conn with the unread bytes of br in front. This is needed after reading an
// HTTP message from a connection that then switches protocols: the peer's first frames may have
// arrived with the last bytes of the message.
func withBuffered(conn net.Conn, br *bufio.Reader) net.Conn {
	head, _ := br.Peek(br.Buffered()) // cannot fail: the bytes are buffered
	if len(head) == 0 {
		return conn
	}
	p := &prefixedConn{Conn: conn, head: bytes.Clone(head)}
	if secure, ok := conn.(*tls.Conn); ok {
		return &prefixedTLSConn{prefixedConn: p, secure: secure}
	}
	return p
}

// A prefixedConn returns head before the bytes of Conn. As with any session's connection, only one
// goroutine reads.
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

// CloseWrite closes our direction. A session uses CloseWrite so that the last frame arrives.
func (c *prefixedConn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return errors.ErrUnsupported
}

// A prefixedTLSConn also reports the TLS state, by which a session recognizes a secure connection.
type prefixedTLSConn struct {
	*prefixedConn
	secure *tls.Conn
}

func (c *prefixedTLSConn) ConnectionState() tls.ConnectionState { return c.secure.ConnectionState() }
