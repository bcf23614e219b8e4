package spdy

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSmoke(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := &Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "hello %s %d", r.URL.Path, len(b))
	})}
	go srv.Serve(ln)
	c, err := NewClient(ln.Addr().String())
	require.NoError(t, err)
	for i := range 3 {
		req, _ := http.NewRequest("POST", fmt.Sprintf("http://x/%d", i), strings.NewReader(strings.Repeat("x", 300000)))
		res, err := c.Do(req)
		require.NoError(t, err)
		b, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprintf("hello /%d 300000", i), string(b))
		require.Equal(t, int64(len(b)), res.ContentLength)
		t.Log(res.Header)
	}
	require.NoError(t, c.Close())
	require.NoError(t, srv.Close())
}
