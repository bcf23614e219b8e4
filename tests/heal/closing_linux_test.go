package heal

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
)

// A fullHost accepts one connection. The system answers no further dials.
type fullHost struct {
	ln    *net.TCPListener
	conn  net.Conn   // the one that was accepted; nil before
	queue []net.Conn // those that fill the system's queue
}

func newFullHost(t *testing.T) *fullHost {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	h := &fullHost{ln: ln.(*net.TCPListener)}
	raw, err := h.ln.SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) { err = syscall.Listen(int(fd), 0) }))
	require.NoError(t, err)
	t.Cleanup(func() {
		for _, c := range append(h.queue, h.conn) {
			c.Close()
		}
		ln.Close()
	})
	return h
}

// client returns a client of the host, whose session has ended, and for which a dial never ends.
func (h *fullHost) client(t *testing.T) *spdy.Client {
	accepted := make(chan net.Conn, 1)
	go func() { // ends when the client has dialled
		if c, err := h.ln.Accept(); err == nil {
			accepted <- c
		}
	}()
	c, err := spdy.NewClient(h.ln.Addr().String())
	require.NoError(t, err)
	h.conn = <-accepted
	filler, err := net.Dial("tcp", h.ln.Addr().String()) // one fits in a queue of none
	require.NoError(t, err)
	h.queue = append(h.queue, filler)
	h.conn.Close()
	<-c.Session().Done()
	return c
}

// TestCloseEndsDial: Close and Shutdown of a client end a Do that waits for a connection, also for
// one of its own, with the error of later ones.
func TestCloseEndsDial(t *testing.T) {
	for name, end := range map[string]func(c *spdy.Client) error{
		"Close":    (*spdy.Client).Close,
		"Shutdown": func(c *spdy.Client) error { return c.Shutdown(context.Background()) },
	} {
		for _, alone := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				c := newFullHost(t).client(t)
				dials := make(chan struct{}, 1)
				ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{ConnectStart: func(string, string) {
					select {
					case dials <- struct{}{}:
					default:
					}
				}})
				got := make(chan error, 1)
				go func() {
					req, _ := http.NewRequestWithContext(ctx, "GET", "http://client.example/", nil)
					req.Close = alone
					_, err := c.Do(req)
					got <- err
				}()
				<-dials
				require.NoError(t, end(c))
				require.Equal(t, spdy.ErrSessionClosed, <-got)
				body := &closeCounter{Reader: strings.NewReader("body")}
				req, _ := http.NewRequest("POST", "http://client.example/", body)
				_, err := c.Do(req)
				require.Equal(t, spdy.ErrSessionClosed, err)
				require.Equal(t, 1, body.closed)
			})
		}
	}
}

// A closeCounter is a body that counts how often it is closed.
type closeCounter struct {
	io.Reader
	closed int
}

func (b *closeCounter) Close() error {
	b.closed++
	return nil
}
