package upgrades

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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
// when it writes to the client passes that on, too. So does an httputil.ReverseProxy, which closes
// both connections when it has found out.
func TestLastWord(t *testing.T) {
	for _, v := range bubble.Versions {
		for name, proxies := range map[string][]string{
			"NewStreamProxy":                       {"stream"},
			"two NewStreamProxies":                 {"stream", "stream"},
			"ReverseProxy":                         {"reverse"},
			"ReverseProxy before a NewStreamProxy": {"stream", "reverse"},
		} {
			t.Run(v.String()+" "+name, func(t *testing.T) { lastWord(t, v, proxies) })
		}
	}
}

// lastWord is TestLastWord for a row of proxies, the last of which is the client's.
func lastWord(t *testing.T, v spdy.Version, proxies []string) {
	const size = 1000
	p, counted, talked := new(path), make(chan int64, 1), make(chan struct{}, 1)
	var w watcher
	handler := talksAndCounts(t, counted, talked)
	for _, kind := range proxies {
		s := sessionTo(t, p, v, spdyServer(t, p, v, handler, w.watch))
		if handler = streamProxy(s); kind == "reverse" {
			handler = reverseTo("http://home.example", s)
		}
	}
	front := p.serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(deafHijacker{w}, r)
	}))
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
}

// A failingWriter fails.
type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

// TestLastWordHasALimit: a copy out of a tunnel that fails waits for a copy into the tunnel, for half
// a second at most. It does not wait for an application that does not copy, nor beyond Close.
func TestLastWordHasALimit(t *testing.T) {
	for name, tt := range map[string]struct {
		before func(near net.Conn, src io.Reader)
		want   time.Duration
	}{
		"a copy that goes on":   {func(near net.Conn, src io.Reader) { go func() { _, _ = io.Copy(near, src) }() }, 500 * time.Millisecond},
		"a copy that has ended": {func(near net.Conn, _ io.Reader) { _, _ = io.Copy(near, strings.NewReader("hello")) }, 0},
		"a Write":               {func(near net.Conn, _ io.Reader) { _, _ = io.WriteString(near, "hello") }, 0},
		"Close": {func(near net.Conn, src io.Reader) {
			go func() { _, _ = io.Copy(near, src) }()
			time.AfterFunc(100*time.Millisecond, func() { near.Close() })
		}, 100 * time.Millisecond},
		"the end of the copy": {func(near net.Conn, src io.Reader) {
			go func() { _, _ = io.Copy(near, src) }()
			time.AfterFunc(200*time.Millisecond, func() { src.(io.Closer).Close() })
		}, 200 * time.Millisecond},
	} {
		for _, homeIsNear := range []bool{false, true} {
			bubble.InVersions(t, fmt.Sprintf("%s, at the home %t", name, homeIsNear), func(t *testing.T, v spdy.Version) {
				c := tunnelCloser(t, v, homeIsNear)
				src, feed := net.Pipe()
				defer feed.Close()
				defer src.Close()
				tt.before(c.near, src)
				synctest.Wait()
				_, err := io.WriteString(c.far, "hello")
				require.NoError(t, err)
				began := time.Now()
				_, err = io.Copy(failingWriter{}, c.near)
				require.Equal(t, io.ErrShortWrite, err)
				require.Equal(t, tt.want, time.Since(began))
				c.near.Close()
				c.far.Close()
			})
		}
	}
}
