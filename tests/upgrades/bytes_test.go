package upgrades

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/websocket"

	"github.com/amahi/spdy"
)

// A watcher knows the sessions that carry a test's requests.
type watcher struct {
	mu       sync.Mutex
	sessions map[*spdy.Session]bool
}

func (w *watcher) watch(s *spdy.Session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.sessions == nil {
		w.sessions = make(map[*spdy.Session]bool)
	}
	w.sessions[s] = true
}

// openStreams is the number of streams that are open at the serving ends.
func (w *watcher) openStreams() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for s := range w.sessions {
		n += s.Stats().Streams.Total()
	}
	return n
}

// hijacked answers a request for an upgrade by 101 and returns the connection.
func hijacked(t assert.TestingT, w http.ResponseWriter, r *http.Request) (net.Conn, *bufio.Reader) {
	conn, rw, err := http.NewResponseController(w).Hijack()
	if !assert.NoError(t, err) {
		return nil, nil
	}
	_, err = io.WriteString(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+r.Header.Get("Upgrade")+"\r\nX-Home: yes\r\n\r\n")
	assert.NoError(t, err)
	assert.NoError(t, rw.Flush())
	return conn, rw.Reader
}

// content are bytes that look like no others.
func content(n int) []byte {
	p := make([]byte, n)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(p)
	return p
}

// TestWebSocket echoes 10 MiB in each direction, by frames of a WebSocket library that knows
// nothing of SPDY, and ends without a trace.
func TestWebSocket(t *testing.T) {
	sent := content(10 << 20)
	each(t, func(t *testing.T, p *path) {
		echo := websocket.Handler(func(ws *websocket.Conn) { _, _ = io.Copy(ws, ws) })
		var w watcher
		front := p.front(t, p, echo, w.watch)
		conn := p.dial(t, front)
		conf, err := websocket.NewConfig("ws://home.example/chat", "http://home.example/")
		require.NoError(t, err)
		ws, err := websocket.NewClient(conf, conn)
		require.NoError(t, err)
		ws.PayloadType = websocket.BinaryFrame
		wrote := make(chan error, 1)
		go func() {
			_, err := io.Copy(ws, struct{ io.Reader }{bytes.NewReader(sent)})
			wrote <- err
		}()
		got := make([]byte, len(sent))
		_, err = io.ReadFull(ws, got)
		require.NoError(t, err)
		require.NoError(t, <-wrote)
		require.True(t, bytes.Equal(sent, got))
		require.NoError(t, ws.Close())
		settles(t, "streams stay", func() bool { return w.openStreams() == 0 })
	})
}

// TestHead compares what the home sees of a request to upgrade, and what the client sees of the
// answer, with HTTP/1.1.
func TestHead(t *testing.T) {
	for _, method := range []string{"GET", "POST", "OPTIONS"} {
		t.Run(method, func(t *testing.T) {
			each(t, func(t *testing.T, p *path) {
				seen := make(chan *http.Request, 1)
				front := p.front(t, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					seen <- r
					body, err := io.ReadAll(r.Body)
					assert.NoError(t, err)
					assert.Empty(t, body)
					if conn, _ := hijacked(t, w, r); conn != nil {
						conn.Close()
					}
				}), new(watcher).watch)
				res, _ := ask(t, p.dial(t, front), method, upgradeText(method, "echo/2"))
				require.Equal(t, 101, res.StatusCode)
				require.Equal(t, "101 Switching Protocols", res.Status)
				require.Equal(t, []string{"echo/2"}, res.Header["Upgrade"])
				require.Equal(t, []string{"Upgrade"}, res.Header["Connection"])
				require.Equal(t, "yes", res.Header.Get("X-Home"))
				if !strings.Contains(p.name, "ReverseProxy") || method != "POST" { // which adds one of 0
					require.NotContains(t, res.Header, "Content-Length")
				}
				r := <-seen
				require.Equal(t, method, r.Method)
				require.Equal(t, "/up?q=1", r.RequestURI)
				require.Equal(t, "/up", r.URL.Path)
				require.Equal(t, "home.example", r.Host)
				require.Equal(t, "HTTP/1.1", r.Proto)
				require.Equal(t, []string{"echo/2"}, r.Header["Upgrade"])
				require.Equal(t, []string{"Upgrade"}, r.Header["Connection"])
				require.Equal(t, "yes", r.Header.Get("X-Own"))
				require.Zero(t, r.ContentLength)
			})
		})
	}
}

// TestHalfClose ends the client's direction first. The home reads to the end, answers behind
// that, and ends the other direction.
func TestHalfClose(t *testing.T) {
	sent := content(700_000)
	each(t, func(t *testing.T, p *path) {
		var w watcher
		front := p.front(t, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, read := hijacked(t, w, r)
			if conn == nil {
				return
			}
			defer conn.Close()
			got, err := io.ReadAll(read)
			assert.NoError(t, err)
			_, err = conn.Write(got)
			assert.NoError(t, err)
			assert.NoError(t, closeWrite(conn))
			_, err = conn.Read(make([]byte, 1))
			assert.Equal(t, io.EOF, err)
		}), w.watch)
		conn := p.dial(t, front)
		res, read := ask(t, conn, "GET", upgradeText("GET", "echo"))
		require.Equal(t, 101, res.StatusCode)
		_, err := conn.Write(sent)
		require.NoError(t, err)
		require.NoError(t, closeWrite(conn))
		got, err := io.ReadAll(read)
		require.NoError(t, err)
		require.True(t, bytes.Equal(sent, got), "%d bytes", len(got))
		settles(t, "streams stay", func() bool { return w.openStreams() == 0 })
	})
}

// TestHomeEndsFirst has the home end its direction while the client goes on.
func TestHomeEndsFirst(t *testing.T) {
	sent := content(300_000)
	each(t, func(t *testing.T, p *path) {
		got := make(chan []byte, 1)
		front := p.front(t, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, read := hijacked(t, w, r)
			if conn == nil {
				return
			}
			defer conn.Close()
			_, err := io.WriteString(conn, "goodbye")
			assert.NoError(t, err)
			assert.NoError(t, closeWrite(conn))
			all, err := io.ReadAll(read)
			assert.NoError(t, err)
			got <- all
		}), new(watcher).watch)
		conn := p.dial(t, front)
		res, read := ask(t, conn, "GET", upgradeText("GET", "echo"))
		require.Equal(t, 101, res.StatusCode)
		said, err := io.ReadAll(read)
		require.NoError(t, err)
		require.Equal(t, "goodbye", string(said))
		_, err = conn.Write(sent)
		require.NoError(t, err)
		require.NoError(t, closeWrite(conn))
		require.True(t, bytes.Equal(sent, <-got))
	})
}

// TestHomeCloses has the home close a connection whose bytes the client has not read. The client
// then ends its direction, or goes on sending, before it reads. It gets all bytes, and their end.
func TestHomeCloses(t *testing.T) {
	sent := content(200_000) // within a window, and more than what is under way to a client with a small buffer
	for _, sends := range []bool{false, true} {
		t.Run(fmt.Sprintf("client sends %v", sends), func(t *testing.T) {
			each(t, func(t *testing.T, p *path) {
				proxied := strings.HasSuffix(p.name, "NewStreamProxy") || strings.HasSuffix(p.name, "two sessions")
				if !proxied && (sends || p.tls) { // the end of TLS is something sent
					return // the kernel resets a connection that was closed before such bytes, and a ReverseProxy closes it
				}
				closed := make(chan *spdy.Session, 1)
				var w watcher
				front := p.front(t, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					conn, _ := hijacked(t, w, r)
					if conn == nil {
						return
					}
					_, err := conn.Write(sent)
					assert.NoError(t, err)
					assert.NoError(t, conn.Close())
					closed <- spdy.SessionFromContext(r.Context())
				}), w.watch)
				conn := p.dial(t, front)
				require.NoError(t, lowestOf(conn).(*net.TCPConn).SetReadBuffer(16<<10))
				res, read := ask(t, conn, "GET", upgradeText("GET", "echo"))
				require.Equal(t, 101, res.StatusCode)
				if s := <-closed; s != nil {
					settles(t, "the home's stream stays", func() bool { return s.Stats().Streams.Total() == 0 })
					_, err := s.PingContext(t.Context()) // the proxy has heard of it
					require.NoError(t, err)
				}
				if sends {
					for range 10 {
						_, err := conn.Write(sent[:1000])
						require.NoError(t, err)
					}
				} else {
					require.NoError(t, closeWrite(conn))
				}
				got, err := io.ReadAll(read)
				require.NoError(t, err)
				require.True(t, bytes.Equal(sent, got), "%d bytes", len(got))
				conn.Close()
				settles(t, "streams stay", func() bool { return w.openStreams() == 0 })
			})
		})
	}
}

// TestCut cuts an upgraded connection off, from each end. The other end gets an error, never an
// end, and nothing is left of it.
func TestCut(t *testing.T) {
	for _, by := range []string{"client", "home"} {
		t.Run(by, func(t *testing.T) {
			each(t, func(t *testing.T, p *path) {
				ended, cut := make(chan error, 1), make(chan struct{})
				var w watcher
				front := p.front(t, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					conn, read := hijacked(t, w, r)
					if conn == nil {
						return
					}
					defer conn.Close()
					_, err := io.WriteString(conn, "hello")
					assert.NoError(t, err)
					if by == "home" {
						<-cut
						reset(conn)
						return
					}
					_, err = io.Copy(io.Discard, read)
					ended <- err
				}), w.watch)
				before := count()
				conn := p.dial(t, front)
				res, read := ask(t, conn, "GET", upgradeText("GET", "echo"))
				require.Equal(t, 101, res.StatusCode)
				hello := make([]byte, 5)
				_, err := io.ReadFull(read, hello)
				require.NoError(t, err)
				if by == "client" {
					reset(conn)
					if err := <-ended; !strings.Contains(p.name, "ReverseProxy") { // which closes regularly then
						require.Error(t, err, "an end that was none")
					}
				} else {
					close(cut)
					_, err := read.Read(hello)
					require.Error(t, err)
					if !strings.Contains(p.name, "ReverseProxy") { // which closes the client's connection regularly
						require.False(t, errors.Is(err, io.EOF) && !p.tls, "an end that was none: %v", err)
					}
					conn.Close()
				}
				settles(t, "streams stay", func() bool { return w.openStreams() == 0 })
				if by == "client" {
					settles(t, "goroutines or files stay", func() bool {
						now := count()
						return now.goroutines <= before.goroutines+8 && now.files <= before.files+4 // of the sessions that have been dialled
					})
				}
			})
		})
	}
}

// TestDeadlines: those of the hijacked connection end its reads and writes, and leave it usable.
func TestDeadlines(t *testing.T) {
	each(t, func(t *testing.T, p *path) {
		front := p.front(t, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, read := hijacked(t, w, r)
			if conn == nil {
				return
			}
			defer conn.Close()
			assert.NoError(t, conn.SetReadDeadline(time.Now().Add(-time.Second)))
			_, err := conn.Read(make([]byte, 1))
			var timeout net.Error
			assert.True(t, errors.As(err, &timeout) && timeout.Timeout(), "%v", err)
			assert.NoError(t, conn.SetReadDeadline(time.Time{}))
			if p.tls && p.name == "HTTP 1.1" { // a TLS connection cannot write any more
				return
			}
			assert.NoError(t, conn.SetWriteDeadline(time.Now().Add(-time.Second)))
			_, err = conn.Write([]byte("late"))
			assert.True(t, errors.As(err, &timeout) && timeout.Timeout(), "%v", err)
			if p.tls && p.name == "HTTP 1.1 ReverseProxy" {
				return
			}
			assert.NoError(t, conn.SetDeadline(time.Time{}))
			_, err = io.Copy(conn, read)
			assert.NoError(t, err)
		}), new(watcher).watch)
		conn := p.dial(t, front)
		res, read := ask(t, conn, "GET", upgradeText("GET", "echo"))
		require.Equal(t, 101, res.StatusCode)
		if p.tls && (p.name == "HTTP 1.1" || p.name == "HTTP 1.1 ReverseProxy") { // whose home has left
			return
		}
		_, err := io.WriteString(conn, "still there")
		require.NoError(t, err)
		require.NoError(t, closeWrite(conn))
		got, err := io.ReadAll(read)
		require.NoError(t, err)
		require.Equal(t, "still there", string(got))
	})
}
