package spdy

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// serveLocal runs a server on a loopback port until the test ends.
func serveLocal(t *testing.T, srv *Server) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	t.Cleanup(func() {
		assert.NoError(t, srv.Close())
		assert.ErrorIs(t, <-served, http.ErrServerClosed)
	})
	return ln.Addr().String()
}

// dialLocal makes a client that is closed with the test.
func dialLocal(t *testing.T, addr string, conf *Config) *Client {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	c, err := conf.NewClientConn(conn)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	return c
}

func TestVersionsByFirstBytes(t *testing.T) {
	srv := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		assert.NoError(t, err)
		w.Header().Set("Trailer", "X-Count")
		fmt.Fprintf(w, "%s %s %s\n", r.Method, r.Host, r.URL)
		_, _ = io.Copy(w, io.LimitReader(neverEnding('x'), 300<<10))
		w.Header().Set("X-Count", fmt.Sprint(n))
	})}
	addr := serveLocal(t, srv)
	for _, v := range []Version{SPDY2, SPDY3, SPDY31} {
		t.Run(v.String(), func(t *testing.T) {
			c := dialLocal(t, addr, &Config{Version: v})
			for range 3 {
				req, err := http.NewRequest("POST", "http://example.com/a?b=c", strings.NewReader(strings.Repeat("y", 500<<10)))
				require.NoError(t, err)
				res, err := c.Do(req)
				require.NoError(t, err)
				body, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				require.True(t, strings.HasPrefix(string(body), "POST example.com /a?b=c\n"))
				require.Len(t, body, 24+300<<10)
				if v != SPDY2 { // SPEC R12
					require.Equal(t, fmt.Sprint(500<<10), res.Trailer.Get("X-Count"))
				}
			}
			pinged, err := c.Ping(5 * time.Second)
			require.NoError(t, err)
			require.True(t, pinged)
		})
	}
	t.Run("http/1.1", func(t *testing.T) {
		res, err := http.Post("http://"+addr+"/a?b=c", "text/plain", strings.NewReader("hello"))
		require.NoError(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.True(t, strings.HasPrefix(string(body), "POST "+addr+" /a?b=c\n"))
	})
}

type neverEnding byte

func (b neverEnding) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}

// undecided reports whether Config.AcceptPush has still to return.
func undecided(s *Session) bool {
	a := s.app.(*httpClientApp)
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asking > 0
}

func TestPushEndToEnd(t *testing.T) {
	for _, v := range []Version{SPDY2, SPDY3, SPDY31} {
		t.Run(v.String(), func(t *testing.T) {
			asked := make(chan string, 10)
			srv := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked <- r.URL.Path
				if r.URL.Path == "/" {
					assert.NoError(t, w.(http.Pusher).Push("/style.css", nil))
					assert.Error(t, w.(http.Pusher).Push("/missing", nil))
				}
				if r.URL.Path == "/missing" {
					http.NotFound(w, r)
					return
				}
				fmt.Fprintf(w, "this is %s", r.URL.Path)
			})}
			addr := serveLocal(t, srv)
			c := dialLocal(t, addr, &Config{Version: v, AcceptPush: func(promised, cause *http.Request) bool {
				assert.Equal(t, "/", cause.URL.Path)
				return promised.URL.Path == "/style.css"
			}})
			get := func(path string) string {
				req, err := http.NewRequestWithContext(context.Background(), "GET", "http://example.com"+path, nil)
				require.NoError(t, err)
				res, err := c.Do(req)
				require.NoError(t, err)
				body, err := io.ReadAll(res.Body)
				require.NoError(t, err)
				return string(body)
			}
			require.Equal(t, "this is /", get("/"))
			for undecided(c.session) {
				runtime.Gosched()
			}
			require.Equal(t, "this is /style.css", get("/style.css"))
			require.Equal(t, "this is /style.css", get("/style.css"))
			var paths []string
			for len(asked) > 0 {
				paths = append(paths, <-asked)
			}
			require.Equal(t, []string{"/", "/style.css", "/missing", "/style.css"}, paths)
		})
	}
}
