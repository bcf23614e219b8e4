// Program mobypeer is github.com/moby/spdystream v0.5.1 at one end of a connection, for the tests
// of compat/spdystream. The two have the same module path and cannot be linked into one program.
//
//	mobypeer serve         prints an address, and serves until its input ends; the header
//	                       Do of a stream selects the action, see handlers
//	mobypeer dial ADDRESS  tests a server that mirrors streams, and fails if the test fails
//	mobypeer golden        prints frames and errors of package spdy, for its tests
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"github.com/moby/spdystream"
)

func main() {
	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == "serve":
		err = serve()
	case len(os.Args) == 3 && os.Args[1] == "dial":
		err = dial(os.Args[2])
	case len(os.Args) == 2 && os.Args[1] == "golden":
		err = golden(os.Stdout)
	default:
		err = errors.New("usage: mobypeer serve | dial ADDRESS | golden")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "mobypeer:", err)
		os.Exit(1)
	}
}

// serve accepts connections until its input ends.
func serve() error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	go func() { // ends with the listener
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			c, err := spdystream.NewConnection(conn, true)
			if err != nil {
				return
			}
			go c.Serve(func(s *spdystream.Stream) { handle(c, conn, s) })
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
	return ln.Close()
}

// bulk is the number of bytes that the handler "source" sends.
const bulk = 8 << 20

// handlers are the actions on a stream. They run on separate goroutines, because a handler would
// block one of the five frame workers of a spdystream connection.
var handlers = map[string]func(c *spdystream.Connection, conn net.Conn, s *spdystream.Stream){
	// MirrorStreamHandler drops data that arrives before spdystream has recorded its own reply,
	// which may be later than the peer receives the reply. The first bytes signal that the reply is
	// recorded.
	"mirror": func(_ *spdystream.Connection, _ net.Conn, s *spdystream.Stream) {
		accept(s)
		_, _ = s.Write([]byte("ready"))
		spdystream.MirrorStreamHandler(s)
	},
	"refuse": func(_ *spdystream.Connection, _ net.Conn, s *spdystream.Stream) { _ = s.Refuse() },
	"ignore": func(_ *spdystream.Connection, _ net.Conn, s *spdystream.Stream) {},
	"accept": func(_ *spdystream.Connection, _ net.Conn, s *spdystream.Stream) { accept(s) },
	"source": func(_ *spdystream.Connection, _ net.Conn, s *spdystream.Stream) {
		accept(s)
		_, _ = io.Copy(s, io.LimitReader(zeros{}, bulk))
		_ = s.Close()
	},
	// The calls of Kubernetes at the end of an exec.
	"exit": func(c *spdystream.Connection, _ net.Conn, s *spdystream.Stream) {
		accept(s)
		_, _ = s.Write([]byte("exit code 7"))
		_ = s.Reset()
		_ = c.Close()
	},
	"reset": func(_ *spdystream.Connection, _ net.Conn, s *spdystream.Stream) {
		accept(s)
		_, _ = s.Write([]byte("part"))
		_ = s.Reset()
	},
	"close": func(c *spdystream.Connection, _ net.Conn, s *spdystream.Stream) {
		accept(s)
		_, _ = s.Write([]byte("part"))
		_ = c.Close()
		_, _ = s.Write([]byte(" and whole"))
		_ = s.Close()
	},
	"cut": func(_ *spdystream.Connection, conn net.Conn, s *spdystream.Stream) {
		accept(s)
		_, _ = s.Write([]byte("part"))
		conn.Close()
	},
}

func handle(c *spdystream.Connection, conn net.Conn, s *spdystream.Stream) {
	do := handlers[s.Headers().Get("Do")]
	if do == nil {
		_ = s.Refuse()
		return
	}
	go do(c, conn, s) // ends with the connection
}

func accept(s *spdystream.Stream) { _ = s.SendReply(http.Header{"Accepted": {"yes"}}, false) }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
