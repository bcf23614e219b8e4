// Package socks is a SOCKS5 proxy for tests.
package socks

import (
	"bufio"
	"io"
	"net"
	"strconv"
	"sync"
)

// A Proxy is a SOCKS5 proxy (RFC 1928).
type Proxy struct {
	// User and Password are the credentials required of clients (RFC 1929), if User is not empty.
	User, Password string
	// Dial connects to the host and port of a client's request.
	Dial func(addr string) (net.Conn, error)
}

// Serve serves one connection until both directions have ended.
func (s *Proxy) Serve(conn net.Conn) {
	defer conn.Close()
	r := bufio.NewReader(conn) // clients wait for each answer
	if !s.greet(conn, r) {
		return
	}
	there, err := s.Dial(readAddr(r))
	if err != nil {
		_, _ = conn.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
		return
	}
	_, _ = conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	Join(conn, there)
}

// greet reads the offered methods, and the password if one is required.
func (s *Proxy) greet(conn net.Conn, r *bufio.Reader) bool {
	if head := read(r, 2); head[0] != 5 {
		return false
	} else if read(r, int(head[1])); s.User == "" {
		_, err := conn.Write([]byte{5, 0})
		return err == nil
	}
	_, _ = conn.Write([]byte{5, 2})
	user := string(read(r, int(read(r, 2)[1])))
	password := string(read(r, int(read(r, 1)[0])))
	if user != s.User || password != s.Password {
		_, _ = conn.Write([]byte{1, 1})
		return false
	}
	_, err := conn.Write([]byte{1, 0})
	return err == nil
}

// readAddr reads the address of a request, an IPv4 address or a name.
func readAddr(r *bufio.Reader) string {
	var host string
	switch read(r, 4)[3] {
	case 1:
		host = net.IP(read(r, 4)).String()
	case 3:
		host = string(read(r, int(read(r, 1)[0])))
	}
	port := read(r, 2)
	return net.JoinHostPort(host, strconv.Itoa(int(port[0])<<8|int(port[1])))
}

// read reads n bytes. Missing bytes are zero if the connection ends early.
func read(r io.Reader, n int) []byte {
	b := make([]byte, n)
	_, _ = io.ReadFull(r, b)
	return b
}

// Join copies in both directions, propagates the end of each direction, and closes both connections
// when both directions have ended.
func Join(a, b net.Conn) {
	var both sync.WaitGroup
	for _, c := range [][2]net.Conn{{a, b}, {b, a}} {
		both.Go(func() {
			_, _ = io.Copy(c[0], c[1])
			if half, ok := c[0].(interface{ CloseWrite() error }); !ok || half.CloseWrite() != nil {
				c[0].Close()
			}
		})
	}
	both.Wait()
	a.Close()
	b.Close()
}
