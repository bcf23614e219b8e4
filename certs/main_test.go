package main

import (
	"crypto/tls"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	var out strings.Builder
	require.NoError(t, run([]string{"-dir", dir, "-hosts", "home.example, 192.0.2.7"}, &out, io.Discard))
	certPath, keyPath := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.Contains(t, out.String(), certPath)
	require.Contains(t, out.String(), keyPath)
	cert, err := tls.LoadX509KeyPair(certPath, keyPath)
	require.NoError(t, err)
	require.Equal(t, []string{"home.example"}, cert.Leaf.DNSNames)
	require.Len(t, cert.Leaf.IPAddresses, 1)

	require.NoError(t, run([]string{"-dir", dir}, io.Discard, io.Discard), "again, over the old files")
	cert, err = tls.LoadX509KeyPair(certPath, keyPath)
	require.NoError(t, err)
	for _, host := range []string{"localhost", "127.0.0.1", "::1"} {
		require.NoError(t, cert.Leaf.VerifyHostname(host))
	}
}

func TestRunDefaultDirectory(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, run(nil, io.Discard, io.Discard))
	_, err := tls.LoadX509KeyPair("certs/cert.pem", "certs/key.pem")
	require.NoError(t, err)
}

func TestRunFails(t *testing.T) {
	t.Chdir(t.TempDir())
	require.ErrorContains(t, run([]string{"certs"}, io.Discard, io.Discard), `"certs"`)
	require.ErrorIs(t, run([]string{"-h"}, io.Discard, io.Discard), flag.ErrHelp)
	require.Error(t, run([]string{"-no-such-flag"}, io.Discard, io.Discard))
	require.NoError(t, os.WriteFile("file", nil, 0o600))
	require.Error(t, run([]string{"-dir", "file/in/the/way"}, io.Discard, io.Discard))
	require.NoDirExists(t, "certs")
}
