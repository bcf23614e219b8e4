package main

import (
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/examples/internal/exampletest"
)

func TestServer(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.txt"), []byte("from a file"), 0o600))
	p := exampletest.Start(t, func(ctx context.Context, out io.Writer) error {
		return run(ctx, "127.0.0.1:0", dir, out)
	})
	addr := p.Find(`on (127\.0\.0\.1:\d+)`)

	client, err := spdy.NewClient(addr)
	require.NoError(t, err)
	defer client.Close()
	for _, tt := range []struct {
		way        http.RoundTripper
		path, want string
	}{
		{client, "/hello", ", over SPDY."},
		{client, "/a.txt", "from a file"},
		{http.DefaultTransport, "/hello", ", over HTTP/1.1."},
	} {
		req, err := http.NewRequest(http.MethodGet, "http://"+addr+tt.path, nil)
		require.NoError(t, err)
		res, err := tt.way.RoundTrip(req)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Contains(t, string(body), tt.want)
		require.NoError(t, res.Body.Close())
	}
}

func TestServerCannotListen(t *testing.T) {
	require.Error(t, run(t.Context(), "127.0.0.1:no-such-port", ".", io.Discard))
}
