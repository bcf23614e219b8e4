package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
)

func TestQuickstart(t *testing.T) {
	for name, terminal := range map[string]bool{"in a terminal": true, "piped": false} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			require.NoError(t, run(t.Context(), 5<<20, &screen{out: &out, terminal: terminal}), out.String())
			for _, want := range []string{
				`over plaintext."`, `over TLS and spdy/3.1."`, `over TLS."`,
				"3. Download 5 MiB over TLS\n", "4. Upload 5 MiB over TLS\n", "at both ends",
				"200 answers have begun", "100 read to the end and right, 100 abandoned",
				"206 Partial Content for bytes 1000000-1000999/8388608",
				"21 pings", "All was right: 14 checks in ",
			} {
				require.Contains(t, out.String(), want)
			}
			require.Equal(t, terminal, strings.Contains(out.String(), "\r"), "only a terminal draws over what it has drawn")
			require.Equal(t, !terminal, strings.Contains(out.String(), " 50 %\n"))
		})
	}
}

func TestQuickstartFails(t *testing.T) {
	why := errors.New("stopped for a reason")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(why)
	var out strings.Builder
	err := run(ctx, 1<<20, &screen{out: &out})
	require.ErrorIs(t, err, why)
	require.ErrorContains(t, err, "step 1, start the servers: ")
	require.NotContains(t, out.String(), "All was right")
	require.Error(t, run(t.Context(), 0, &screen{out: io.Discard}))
}

// liar serves a handler and returns a client of it.
func liar(t *testing.T, h http.HandlerFunc) *demo {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &spdy.Server{Handler: h}
	go server.Serve(ln)
	client, err := spdy.NewClient(ln.Addr().String())
	require.NoError(t, err)
	d := &demo{
		size: 1 << 20, file: make([]byte, fileSize), server: server,
		plain: client, tls: client, plainAddr: ln.Addr().String(), tlsAddr: ln.Addr().String(),
	}
	t.Cleanup(d.close)
	return d
}

// Every kind of wrong answer has to be noticed.
func TestWrongAnswersAreNoticed(t *testing.T) {
	s := &screen{out: io.Discard}
	wrong := liar(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Trailer", checksum)
		io.CopyN(w, endless{}, 1<<20)
		w.Header().Set(checksum, "0123")
	})
	require.ErrorContains(t, wrong.download(t.Context(), s), "got 1048576 bytes")
	require.ErrorContains(t, wrong.upload(t.Context(), s), "the server got")
	require.Error(t, wrong.ranges(t.Context(), s))
	relay := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.CopyN(w, endless{}, fileSize)
	}))
	defer relay.Close()
	wrong.relayURL = relay.URL + "/"
	require.ErrorContains(t, wrong.throughRelay(t.Context(), s), "not the one that was served")

	short := liar(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Range", "bytes")
		w.WriteHeader(http.StatusPartialContent)
		io.WriteString(w, "short")
	})
	require.ErrorIs(t, short.ranges(t.Context(), s), io.ErrUnexpectedEOF)
	require.Error(t, short.fetchPage(t.Context(), s))
	zeros := liar(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusPartialContent)
		io.CopyN(w, endless{}, pieceSize)
	})
	require.ErrorContains(t, zeros.ranges(t.Context(), s), "wrong bytes")
}

type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 1
	}
	return len(p), nil
}

func TestTexts(t *testing.T) {
	require.Equal(t, "512 bytes", bytesText(512))
	require.Equal(t, "1.5 KiB", bytesText(1536))
	require.Equal(t, "128 MiB", bytesText(128<<20))
}
