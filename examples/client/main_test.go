package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
)

func serve(t *testing.T, h http.HandlerFunc) (url string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &spdy.Server{Handler: h}
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
