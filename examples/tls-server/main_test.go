package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/examples/internal/exampletest"
	"github.com/amahi/spdy/internal/localcert"
)

// start runs the server and returns its address and whom its clients trust.
func start(t *testing.T, o options) (addr string, trust *x509.CertPool) {
	t.Helper()
	o.addr, o.dir = "127.0.0.1:0", t.TempDir()
	o.saveCert = filepath.Join(o.dir, "cert.pem")
	p := exampletest.Start(t, func(ctx context.Context, out io.Writer) error { return run(ctx, o, out) })
	addr = p.Find(`on (127\.0\.0\.1:\d+)`)
	saved, err := os.ReadFile(o.saveCert)
	require.NoError(t, err)
	trust = x509.NewCertPool()
	require.True(t, trust.AppendCertsFromPEM(saved))
	return addr, trust
}

func hello(t *testing.T, rt http.RoundTripper, addr string) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, "https://"+addr+"/hello", nil)
	require.NoError(t, err)
	res, err := rt.RoundTrip(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return string(body)
}

func dial(t *testing.T, addr string, conf *tls.Config) *spdy.Client {
	t.Helper()
	conn, err := tls.Dial("tcp", addr, conf)
	require.NoError(t, err)
	client, err := spdy.NewClientConn(conn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, client.Close()) })
	return client
}

func TestSPDYAndHTTPS(t *testing.T) {
	addr, trust := start(t, options{})
	spdyClient := dial(t, addr, &tls.Config{RootCAs: trust, NextProtos: []string{"spdy/3.1"}})
	require.Contains(t, hello(t, spdyClient, addr), `you negotiated "spdy/3.1"`)

	https := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust}}
	defer https.CloseIdleConnections()
	require.Contains(t, hello(t, https, addr), "over TLS; you negotiated")
}

func TestSPDYOnly(t *testing.T) {
	addr, trust := start(t, options{spdyOnly: true})
	require.Contains(t, hello(t, dial(t, addr, &tls.Config{RootCAs: trust}), addr), `you negotiated ""`)
}

func TestCertificateFromFiles(t *testing.T) {
	made, trust, err := localcert.New()
	require.NoError(t, err)
	cert, key, err := localcert.WritePEM(t.TempDir(), made)
	require.NoError(t, err)
	addr, _ := start(t, options{cert: cert, key: key})
	require.Contains(t, hello(t, dial(t, addr, &tls.Config{RootCAs: trust, NextProtos: []string{"spdy/3.1"}}), addr), "Hello")

	require.Error(t, run(t.Context(), options{cert: "no-such-file", addr: "127.0.0.1:0"}, io.Discard))
}
