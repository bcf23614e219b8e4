package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
)

func serve(t *testing.T, h http.HandlerFunc, conf ...spdy.Config) (url string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &spdy.Server{Handler: h}
	if len(conf) > 0 {
		server.Config = &conf[0]
	}
	go server.Serve(ln)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	return "http://" + ln.Addr().String()
}

func TestClient(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "path %s\n", r.URL.Path)
	})
	var out strings.Builder
	require.NoError(t, run(t.Context(), []string{url + "/1", url + "/2", url + "/3"}, false, &out))
	require.Equal(t, "path /1\npath /2\npath /3\n", out.String())

	out.Reset()
	require.NoError(t, run(t.Context(), []string{url + "/"}, true, &out))
	require.Contains(t, out.String(), "HTTP/1.1 200 OK\n")
	require.Contains(t, out.String(), "Content-Length: 7\r\n")
}

// Any number of URLs can be fetched, whatever the server allows at once and however much
// the answers bring: together more than the client's windows, each more than a stream's.
func TestManyURLs(t *testing.T) {
	for name, test := range map[string]struct {
		urls, size int
		conf       spdy.Config
	}{
		"more than the session's window": {urls: 135, size: 260 << 10},
		"more than the server's streams": {urls: 500, size: 1000},
		"one stream at a time":           {urls: 6, size: 600 << 10, conf: spdy.Config{MaxConcurrentStreams: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			body := func(n int) string { return strings.Repeat(fmt.Sprintf("%08d\n", n), test.size/9) }
			url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				n, err := strconv.Atoi(r.URL.Path[1:])
				assert.NoError(t, err)
				io.WriteString(w, body(n))
			}, test.conf)
			var urls []string
			for n := range test.urls {
				urls = append(urls, fmt.Sprint(url, "/", n))
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // a hang, not a slow machine
			defer cancel()
			var out strings.Builder
			require.NoError(t, run(ctx, urls, false, &out))
			rest := out.String()
			for n := range test.urls {
				var ok bool
				rest, ok = strings.CutPrefix(rest, body(n))
				require.True(t, ok, "answer %d is not in its place", n)
			}
			require.Empty(t, rest)
		})
	}
}

// The first answer begins when all that may be fetched beside it have been sent whole:
// none of them waits for the first to be printed.
func TestSlowFirstAnswer(t *testing.T) {
	var sent sync.WaitGroup
	sent.Add(atOnce - 1)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/0" {
			sent.Wait()
			return
		}
		_, err := w.Write(make([]byte, 11<<17))
		assert.NoError(t, err)
		sent.Done()
	})
	var urls []string
	for n := range atOnce {
		urls = append(urls, fmt.Sprint(url, "/", n))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // a hang, not a slow machine
	defer cancel()
	require.NoError(t, run(ctx, urls, false, io.Discard))
}

// The first failure ends the others.
func TestFailureEndsTheRest(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/0" {
			panic(http.ErrAbortHandler)
		}
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	var reset *spdy.StreamError
	require.ErrorAs(t, run(t.Context(), []string{url + "/0", url + "/1"}, false, io.Discard), &reset)
}

func TestClientFails(t *testing.T) {
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "cut here")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	require.ErrorIs(t, run(t.Context(), []string{url}, false, io.Discard), io.ErrUnexpectedEOF)
	require.Error(t, run(t.Context(), nil, false, io.Discard), "no URL")
	require.Error(t, run(t.Context(), []string{"http://127.0.0.1:0/"}, false, io.Discard), "nobody listens")
	require.Error(t, run(t.Context(), []string{":"}, false, io.Discard), "no URL either")
}
