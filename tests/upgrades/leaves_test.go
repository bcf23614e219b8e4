package upgrades

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// withoutReverseProxy leaves out HTTP/1.1, where the kernel resets a connection that is closed
// with unread bytes, and the ReverseProxy, which closes both connections when a write fails.
func withoutReverseProxy(t *testing.T, f func(t *testing.T, p *path)) {
	each(t, func(t *testing.T, p *path) {
		if !strings.HasPrefix(p.name, "HTTP") && !strings.Contains(p.name, "ReverseProxy") {
			f(t, p)
		}
	})
}

// TestHomeLeaves has the home write and close, while the client goes on sending and reads
// slowly. The client gets all of it, and then the end.
func TestHomeLeaves(t *testing.T) {
	sent := content(1 << 20)
	withoutReverseProxy(t, func(t *testing.T, p *path) {
		var w watcher
		front := p.front(t, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, read := hijacked(t, w, r)
			if conn == nil {
				return
			}
			defer conn.Close()
			_, err := io.ReadFull(read, make([]byte, 100))
			assert.NoError(t, err)
			_, err = conn.Write(sent)
			assert.NoError(t, err)
		}), w.watch)
		conn := p.dial(t, front)
		res, read := ask(t, conn, "GET", upgradeText("GET", "echo"))
		require.Equal(t, 101, res.StatusCode)
		var writes sync.WaitGroup
		defer writes.Wait()
		stop := make(chan struct{})
		defer close(stop)
		writes.Go(func() {
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for {
				if _, err := conn.Write(make([]byte, 100)); err != nil {
					return
				}
				select {
				case <-tick.C:
				case <-stop:
					return
				}
			}
		})
		var got bytes.Buffer
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			n, err := io.CopyN(&got, read, 20_000)
			if n < 20_000 {
				require.Equal(t, io.EOF, err, "after %d bytes", got.Len())
				break
			}
			<-tick.C
		}
		require.True(t, bytes.Equal(sent, got.Bytes()), "%d bytes", got.Len())
		settles(t, "streams stay", func() bool { return w.openStreams() == 0 })
	})
}

// TestHomeLeavesIdleClient has the home close while the client is silent and keeps its connection
// open. The proxy does not wait for it.
func TestHomeLeavesIdleClient(t *testing.T) {
	withoutReverseProxy(t, func(t *testing.T, p *path) {
		if p.tls || !strings.HasPrefix(p.name, "spdy/3.1") { // it takes half a second
			return
		}
		over := make(chan struct{}, 2)
		front := p.front(t, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if conn, _ := hijacked(t, w, r); conn != nil {
				conn.Close()
			}
		}), new(watcher).watch)
		inner := front.Config.Handler
		front.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			inner.ServeHTTP(w, r)
			over <- struct{}{}
		})
		conn := p.dial(t, front)
		res, read := ask(t, conn, "GET", upgradeText("GET", "echo"))
		require.Equal(t, 101, res.StatusCode)
		rest, err := io.ReadAll(read)
		require.NoError(t, err)
		require.Empty(t, rest)
		<-over
	})
}

// TestOldClient: a client of HTTP/1.0 cannot ask for an upgrade (RFC 9110 §7.8). A proxy forwards its
// request without.
func TestOldClient(t *testing.T) {
	withoutReverseProxy(t, func(t *testing.T, p *path) {
		front := p.front(t, p, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, r.Method+" "+r.Header.Get("Upgrade"))
		}), new(watcher).watch)
		text := strings.Replace(upgradeText("GET", "echo"), "HTTP/1.1", "HTTP/1.0", 1)
		res, _ := ask(t, p.dial(t, front), "GET", text)
		require.Equal(t, 200, res.StatusCode)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Equal(t, "GET ", string(body))
	})
}

// TestLateHead: a head that is written behind the write deadline is not taken, and can be written
// again.
func TestLateHead(t *testing.T) {
	withoutReverseProxy(t, func(t *testing.T, p *path) {
		const head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
		front := p.front(t, p, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _ := hijack(w, "")
			defer conn.Close()
			assert.NoError(t, conn.SetWriteDeadline(time.Now().Add(-time.Second)))
			for _, text := range []string{"HTTP/1.1 101 Sw", head} {
				n, err := io.WriteString(conn, text)
				assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
				assert.Zero(t, n)
			}
			assert.NoError(t, conn.SetWriteDeadline(time.Time{}))
			_, err := io.WriteString(conn, head+"once")
			assert.NoError(t, err)
		}), new(watcher).watch)
		res, read := ask(t, p.dial(t, front), "GET", upgradeText("GET", "echo"))
		require.Equal(t, 101, res.StatusCode)
		got, err := io.ReadAll(read)
		require.NoError(t, err)
		require.Equal(t, "once", string(got))
	})
}
