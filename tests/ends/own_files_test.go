package ends

import (
	"bytes"
	"context"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOwnFiles: the files that ParseMultipartForm made of a request are removed when its handler
// has returned, as net/http does, and when it has panicked, as its HTTP/2 server does.
func TestOwnFiles(t *testing.T) {
	for _, protocol := range bodyProtocols {
		for _, panics := range []bool{false, true} {
			if panics && protocol == "HTTP/1.1" {
				continue // leaves them
			}
			name := protocol
			if panics {
				name += "/panic"
			}
			t.Run(name, func(t *testing.T) {
				dir := t.TempDir()
				t.Setenv("TMPDIR", dir)
				synctest.Test(t, func(t *testing.T) { uploadsForm(t, protocol, dir, panics) })
			})
		}
	}
}

// uploadsForm sends a form with a file, and looks for the file before and after the handler's end.
func uploadsForm(t *testing.T, protocol, dir string, panics bool) {
	files := func() int {
		entries, err := os.ReadDir(dir)
		assert.NoError(t, err)
		return len(entries)
	}
	p := newBodyPair(t, protocol, func(_ http.ResponseWriter, r *http.Request) {
		assert.NoError(t, r.ParseMultipartForm(1))
		assert.Equal(t, 1, files())
		if panics {
			panic(http.ErrAbortHandler)
		}
	}, nil)
	var form bytes.Buffer
	w := multipart.NewWriter(&form)
	part, err := w.CreateFormFile("file", "name")
	require.NoError(t, err)
	_, err = part.Write(make([]byte, 1<<20))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	req, err := http.NewRequestWithContext(context.Background(), "POST", "http://home.example/", &form)
	require.NoError(t, err)
	req.Header.Set("Content-Type", w.FormDataContentType())
	res, err := p.client.RoundTrip(req)
	require.Equal(t, panics, err != nil, "%v", err)
	if !panics {
		_, err = io.Copy(io.Discard, res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
	}
	synctest.Wait()
	require.Zero(t, files())
}
