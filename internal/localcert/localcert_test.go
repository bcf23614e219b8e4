package localcert_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/localcert"
)

func TestNew(t *testing.T) {
	cert, pool, err := localcert.New()
	require.NoError(t, err)
	key, ok := cert.PrivateKey.(*ecdsa.PrivateKey)
	require.True(t, ok)
	require.Equal(t, elliptic.P256(), key.Curve)
	for _, host := range []string{"localhost", "127.0.0.1", "::1"} {
		_, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: pool})
		require.NoError(t, err, host)
	}
	_, err = cert.Leaf.Verify(x509.VerifyOptions{DNSName: "example.com", Roots: pool})
	require.Error(t, err)

	almost := time.Now().Add(365*24*time.Hour - time.Minute)
	_, err = cert.Leaf.Verify(x509.VerifyOptions{DNSName: "localhost", Roots: pool, CurrentTime: almost})
	require.NoError(t, err)
	_, err = cert.Leaf.Verify(x509.VerifyOptions{DNSName: "localhost", Roots: pool, CurrentTime: almost.Add(time.Hour)})
	require.Error(t, err, "a year is enough")
	_, err = cert.Leaf.Verify(x509.VerifyOptions{DNSName: "localhost", Roots: pool, CurrentTime: time.Now().Add(-time.Minute)})
	require.NoError(t, err, "a client whose clock is behind")

	other, otherPool, err := localcert.New()
	require.NoError(t, err)
	require.NotEqual(t, cert.Leaf.SerialNumber, other.Leaf.SerialNumber)
	_, err = cert.Leaf.Verify(x509.VerifyOptions{DNSName: "localhost", Roots: otherPool})
	require.Error(t, err, "each certificate is its own authority")
	require.True(t, cert.Leaf.BasicConstraintsValid)
	require.False(t, cert.Leaf.IsCA)
}

func TestNewForHosts(t *testing.T) {
	cert, pool, err := localcert.New("home.example", "192.0.2.7")
	require.NoError(t, err)
	for host, ok := range map[string]bool{"home.example": true, "192.0.2.7": true, "localhost": false} {
		_, err := cert.Leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: pool})
		assert.Equal(t, ok, err == nil, host)
	}
}

// TestServe goes the whole way: files, server, client that trusts the pool.
func TestServe(t *testing.T) {
	cert, pool, err := localcert.New()
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), "made", "on", "the", "way")
	certPath, keyPath, err := localcert.WritePEM(dir, cert)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, "cert.pem"), certPath)
	require.Equal(t, filepath.Join(dir, "key.pem"), keyPath)
	loaded, err := tls.LoadX509KeyPair(certPath, keyPath)
	require.NoError(t, err)

	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hello")
	}))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{loaded}}
	srv.StartTLS()
	defer srv.Close()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	defer client.CloseIdleConnections()
	res, err := client.Get(srv.URL)
	require.NoError(t, err)
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, "hello", string(body))
}

func TestWritePEMModes(t *testing.T) {
	cert, _, err := localcert.New()
	require.NoError(t, err)
	dir := t.TempDir()
	// A key file that others may read must not make the new key readable.
	require.NoError(t, os.WriteFile(filepath.Join(dir, localcert.KeyFile), []byte("old"), 0o666))
	require.NoError(t, os.Chmod(filepath.Join(dir, localcert.KeyFile), 0o666))
	certPath, keyPath, err := localcert.WritePEM(dir, cert)
	require.NoError(t, err)
	_, err = tls.LoadX509KeyPair(certPath, keyPath)
	require.NoError(t, err)
	if runtime.GOOS != "windows" { // which has no such modes
		for path, want := range map[string]os.FileMode{keyPath: 0o600, certPath: 0o644} {
			info, err := os.Stat(path)
			require.NoError(t, err)
			require.Equal(t, want, info.Mode().Perm(), path)
		}
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 2, "nothing else is left")
}

func TestWritePEMFails(t *testing.T) {
	cert, _, err := localcert.New()
	require.NoError(t, err)
	dir := t.TempDir()
	_, _, err = localcert.WritePEM(dir, tls.Certificate{})
	require.Error(t, err, "no key")
	require.NoError(t, os.Mkdir(filepath.Join(dir, localcert.KeyFile), 0o700))
	_, _, err = localcert.WritePEM(dir, cert)
	require.Error(t, err, "a directory is in the way")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1, "the key is not left in a file of another name")
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, _, err = localcert.WritePEM(file, cert)
	require.Error(t, err, "the directory is a file")
	require.NoError(t, os.Remove(filepath.Join(dir, localcert.KeyFile)))
	require.NoError(t, os.Mkdir(filepath.Join(dir, localcert.CertFile), 0o700))
	_, _, err = localcert.WritePEM(dir, cert)
	require.Error(t, err, "a directory is in the certificate's way")
}
