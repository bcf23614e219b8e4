package upgrades

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// A deafConn is a client's connection whose bytes are not read before a Write to it has failed.
type deafConn struct {
	net.Conn
	once   sync.Once
	failed chan struct{}
}

func (c *deafConn) Read(p []byte) (int, error) {
	<-c.failed
	return c.Conn.Read(p)
}

func (c *deafConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err != nil {
		c.once.Do(func() { close(c.failed) })
	}
	return n, err
}

// A deafHijacker makes hijacked connections deafConns.
type deafHijacker struct{ http.ResponseWriter }

func (w deafHijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	return &deafConn{Conn: conn, failed: make(chan struct{})}, rw, err
}

// talksAndCounts is a home that talks all the time, and says how much it has read when its client
// has left.
func talksAndCounts(t *testing.T, counted chan<- int64, talked chan<- struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, read := hijacked(t, w, r)
		if conn == nil {
			return
		}
		defer conn.Close()
		var talk sync.WaitGroup
		defer talk.Wait()
		talk.Go(func() {
			_, err := conn.Write(make([]byte, 100))
			for talked <- struct{}{}; err == nil; {
				_, err = conn.Write(make([]byte, 100))
			}
		})
		n, _ := io.Copy(io.Discard, read)
		counted <- n
	})
}

// TestLastWord: a client says something and closes its connection, while it has unread bytes, so
// that the kernel resets it. Over TCP the home reads what was said before. A proxy that finds out
// when it writes to the client passes that on, too.
func TestLastWord(t *testing.T) {
	const size = 1000
	for _, v := range bubble.Versions {
		for name, sessions := range map[string]int{"one session": 1, "two sessions": 2} {
			t.Run(v.String()+" "+name, func(t *testing.T) {
				p, counted, talked := new(path), make(chan int64, 1), make(chan struct{}, 1)
				var w watcher
				last := sessionTo(t, p, v, spdyServer(t, p, v, talksAndCounts(t, counted, talked), w.watch))
				if sessions == 2 {
					last = sessionTo(t, p, v, spdyServer(t, p, v, streamProxy(last), w.watch))
				}
				front := p.serve(t, deafProxy(last))
				for range 20 {
					conn := p.dial(t, front)
					res, _ := ask(t, conn, "GET", upgradeText("GET", "echo"))
					require.Equal(t, 101, res.StatusCode)
					<-talked
					_, err := conn.Write(content(size))
					require.NoError(t, err)
					reset(conn)
					require.EqualValues(t, size, <-counted)
				}
				settles(t, "streams stay", func() bool { return w.openStreams() == 0 })
			})
		}
	}
}

func deafProxy(s *spdy.Session) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = s.NewStreamProxy(r, deafHijacker{w}) })
}
