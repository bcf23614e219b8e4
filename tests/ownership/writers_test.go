package ownership

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// overEach runs f with a client of a handler, over one connection: in each version, and over HTTP/2,
// which is the oracle and has races of its own.
func overEach(t *testing.T, h http.HandlerFunc, f func(t *testing.T, rt http.RoundTripper, base string)) {
	t.Helper()
	quiet := log.New(io.Discard, "", 0)
	for _, v := range bubble.Versions {
		t.Run(v.String(), func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			srv := &spdy.Server{Handler: h, ErrorLog: quiet, Config: bubble.Quiet(spdy.Config{}, v)}
			served := make(chan error, 1)
			go func() { served <- srv.Serve(ln) }()
			conn, err := net.Dial("tcp", ln.Addr().String())
			require.NoError(t, err)
			s := bubble.Quiet(spdy.Config{}, v).ClientSession(conn)
			go s.Serve()
			f(t, s, "http://example.com")
			assert.NoError(t, s.Err(), "the session goes on")
			s.Close()
			srv.Close()
			<-served
		})
	}
	if raced {
		return
	}
	t.Run("HTTP/2", func(t *testing.T) {
		srv := httptest.NewUnstartedServer(h)
		srv.Config.ErrorLog, srv.EnableHTTP2 = quiet, true
		srv.StartTLS()
		defer srv.Close()
		rt := &http2.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		defer rt.CloseIdleConnections()
		f(t, rt, srv.URL)
	})
}

// fetch returns the body of an answer.
func fetch(rt http.RoundTripper, url string) (string, error) {
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		return "", err
	}
	res, err := rt.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return string(body), err
}

// Goroutines of a handler that write to its answer at the same time, while it begins, harm nobody
// else on the session: in none of the versions do bytes overtake the SYN_REPLY.
func TestWritersAtOnce(t *testing.T) {
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/other" {
			_, _ = io.WriteString(w, "another answer")
			return
		}
		for i := range 3000 {
			w.Header().Set(fmt.Sprint("X-", i), "some value of a header field")
		}
		w.WriteHeader(http.StatusOK)
		var writers sync.WaitGroup
		for range 4 {
			writers.Go(func() {
				defer func() { _ = recover() }() // of x/net/http2
				_, _ = w.Write(make([]byte, 5000))
			})
		}
		writers.Wait()
	}
	overEach(t, handler, func(t *testing.T, rt http.RoundTripper, base string) {
		for range 10 {
			body, err := fetch(rt, base+"/several")
			if _, ours := rt.(*spdy.Session); !ours {
				continue // net/http forbids it, and x/net/http2 may end the connection
			}
			require.NoError(t, err)
			require.Len(t, body, 4*5000, "and nothing of it is lost")
			body, err = fetch(rt, base+"/other")
			require.NoError(t, err)
			require.Equal(t, "another answer", body)
		}
	})
}

// What a goroutine writes that a handler has left behind gets nowhere, least of all into the answers
// of others.
func TestWritersLeftBehind(t *testing.T) {
	var left sync.WaitGroup
	handler := func(w http.ResponseWriter, r *http.Request) {
		if name, other := strings.CutPrefix(r.URL.Path, "/other"); other {
			for range 5 {
				_, _ = io.WriteString(w, strings.Repeat(name, 300))
			}
			return
		}
		left.Go(func() {
			defer func() { _ = recover() }() // of x/net/http2
			for range 200 {
				_, _ = io.WriteString(w, strings.Repeat("SECRET", 100))
			}
			_ = http.NewResponseController(w).Flush()
		})
		_, _ = w.Write(make([]byte, 5000))
	}
	overEach(t, handler, func(t *testing.T, rt http.RoundTripper, base string) {
		var all sync.WaitGroup
		for user := range 8 {
			all.Go(func() {
				for i := range 40 {
					_, _ = fetch(rt, base+"/leaves")
					name := fmt.Sprintf("%d-%d.", user, i)
					body, err := fetch(rt, base+"/other"+name)
					if _, ours := rt.(*spdy.Session); !ours {
						continue // net/http forbids it, and x/net/http2 has been seen to send the bytes to others
					}
					assert.NoError(t, err)
					assert.True(t, body == strings.Repeat(name, 1500), "the answer of another: %.40q", body)
				}
			})
		}
		all.Wait()
		left.Wait()
	})
}

// Whoever writes after the handler has returned gets an error, and panics do not let others in.
func TestWriteAfterHandler(t *testing.T) {
	writers := make(chan http.ResponseWriter, 1)
	handler := func(w http.ResponseWriter, r *http.Request) {
		writers <- w
		_, _ = io.WriteString(w, "begun")
		if r.URL.Path == "/panics" {
			panic(http.ErrAbortHandler)
		}
	}
	overEach(t, handler, func(t *testing.T, rt http.RoundTripper, base string) {
		for _, path := range []string{"/returns", "/panics"} {
			_, err := fetch(rt, base+path)
			require.Equal(t, path == "/panics", err != nil, "%v", err)
			w := <-writers
			if _, ours := rt.(*spdy.Session); !ours {
				continue // it panics
			}
			w.WriteHeader(http.StatusTeapot)
			require.Eventually(t, func() bool {
				_, err = io.WriteString(w, "late")
				return err == http.ErrHandlerTimeout
			}, 10*time.Second, time.Millisecond, "%v", err)
			require.Equal(t, http.ErrHandlerTimeout, http.NewResponseController(w).Flush())
		}
	})
}
