package main

import (
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/localcert"
)

// serve starts a server and returns its URL and the file with its certificate.
func serve(t *testing.T) (url, cafile string) {
	t.Helper()
	cert, _, err := localcert.New()
	require.NoError(t, err)
	cafile, _, err = localcert.WritePEM(t.TempDir(), cert)
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	server := &spdy.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "path %s over %s\n", r.URL.Path, r.TLS.NegotiatedProtocol)
		}),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
	}
	go server.ServeTLS(ln, "", "")
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	return "https://" + ln.Addr().String(), cafile
}

func TestTLSClient(t *testing.T) {
	url, cafile := serve(t)
	var out strings.Builder
	require.NoError(t, run(t.Context(), url+"/x", cafile, false, &out))
	require.Equal(t, "path /x over spdy/3.1\n", out.String())

	out.Reset()
	require.NoError(t, run(t.Context(), url+"/x", cafile, true, &out))
	require.Contains(t, out.String(), "HTTP/1.1 200 OK\n")
}

func TestTLSClientVerifies(t *testing.T) {
	url, cafile := serve(t)
	var unknown *tls.CertificateVerificationError
	require.ErrorAs(t, run(t.Context(), url, "", false, io.Discard), &unknown, "nobody vouches for it")
	_, other := serve(t)
	require.ErrorAs(t, run(t.Context(), url, other, false, io.Discard), &unknown, "somebody else's certificate")
	require.NoError(t, run(t.Context(), url, cafile, false, io.Discard))
}

func TestTLSClientNeedsSPDY(t *testing.T) {
	plain := httptest.NewTLSServer(http.NotFoundHandler())
	defer plain.Close()
	cafile := filepath.Join(t.TempDir(), "cert.pem")
	block := &pem.Block{Type: "CERTIFICATE", Bytes: plain.Certificate().Raw}
	require.NoError(t, os.WriteFile(cafile, pem.EncodeToMemory(block), 0o600))
	require.Error(t, run(t.Context(), plain.URL, cafile, false, io.Discard))
}

func TestTLSClientFails(t *testing.T) {
	url, cafile := serve(t)
	require.ErrorContains(t, run(t.Context(), strings.Replace(url, "https", "http", 1), cafile, false, io.Discard), "not an https URL")
	require.ErrorIs(t, run(t.Context(), url, "no-such-file", false, io.Discard), os.ErrNotExist)
	empty := filepath.Join(t.TempDir(), "empty")
	require.NoError(t, os.WriteFile(empty, nil, 0o600))
	require.ErrorContains(t, run(t.Context(), url, empty, false, io.Discard), "no certificate")
}
