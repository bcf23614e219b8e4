package spdytest_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/spdytest"
)

// shows answers with the protocol that it was asked in, and how.
var shows = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	_, isSPDY := w.(*spdy.Stream)
	w.Header().Set("X-Spdy", map[bool]string{true: "yes", false: "no"}[isSPDY])
	io.WriteString(w, r.Method+" "+r.URL.Path)
})

// fetch gets a URL and wants a SPDY answer.
func fetch(t *testing.T, c *http.Client, url string) string {
	t.Helper()
	res, err := c.Get(url)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, "yes", res.Header.Get("X-Spdy"))
	return string(body)
}

func TestServers(t *testing.T) {
	for name, start := range map[string]func(http.Handler) *spdytest.Server{
		"plain": spdytest.NewServer, "TLS": spdytest.NewTLSServer,
		"memory": spdytest.NewMemoryServer, "memory TLS": spdytest.NewMemoryTLSServer,
	} {
		t.Run(name, func(t *testing.T) {
			srv := start(shows)
			defer srv.Close()
			require.Equal(t, "GET /a", fetch(t, srv.Client(), srv.URL+"/a"))
			require.Equal(t, "GET /b", fetch(t, srv.Client(), srv.URL+"/b"))
			require.Equal(t, srv.TLS != nil, srv.Certificate() != nil)
			require.Panics(t, srv.Start, "twice")
			require.Panics(t, srv.StartTLS, "twice")
		})
	}
}

// TestOtherClients: programs that speak HTTP/1.1, or their own SPDY, are served too.
func TestOtherClients(t *testing.T) {
	srv := spdytest.NewServer(shows)
	defer srv.Close()
	res, err := http.Get(srv.URL)
	require.NoError(t, err)
	require.Equal(t, "no", res.Header.Get("X-Spdy"))
	require.NoError(t, res.Body.Close())

	client, err := spdy.NewClient(srv.Listener.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	require.Equal(t, "GET /own", fetch(t, &http.Client{Transport: client}, srv.URL+"/own"))
}

// TestCertificate: the certificate is for the server's address and for example.com; one of
// the user's own stays.
func TestCertificate(t *testing.T) {
	srv := spdytest.NewTLSServer(shows)
	defer srv.Close()
	for _, name := range []string{"127.0.0.1", "localhost", "example.com", "www.example.com"} {
		require.NoError(t, srv.Certificate().VerifyHostname(name))
	}
	require.Equal(t, "GET /", fetch(t, srv.Client(), "https://example.com/"))

	other := spdytest.NewUnstartedServer(shows)
	own := srv.TLS.Certificates[0]
	other.TLS = &tls.Config{Certificates: []tls.Certificate{own}, MinVersion: tls.VersionTLS13}
	other.StartTLS()
	defer other.Close()
	require.Equal(t, srv.Certificate(), other.Certificate())
	require.EqualValues(t, tls.VersionTLS13, other.TLS.MinVersion)
	require.Equal(t, "GET /", fetch(t, other.Client(), other.URL))

	third := spdytest.NewTLSServer(shows)
	defer third.Close()
	_, err := srv.Client().Get(third.URL)
	require.NoError(t, err, "it goes to its own server")
	trust := x509.NewCertPool()
	trust.AddCert(srv.Certificate())
	_, err = tls.Dial("tcp", third.Listener.Addr().String(), &tls.Config{RootCAs: trust})
	require.Error(t, err, "certificates are not shared")
}

// TestUnstarted: what a configuration says counts, and a server that was never started
// can be closed.
func TestUnstarted(t *testing.T) {
	srv := spdytest.NewUnstartedServer(shows)
	require.Nil(t, srv.Client())
	require.Empty(t, srv.URL)
	srv.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return context.WithValue(ctx, key{}, "by ConnContext")
	}
	srv.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Spdy", "yes")
		io.WriteString(w, r.Context().Value(key{}).(string))
	})
	srv.Start()
	require.Equal(t, "by ConnContext", fetch(t, srv.Client(), srv.URL))
	srv.Close()

	never := spdytest.NewUnstartedServer(shows)
	addr := never.Listener.Addr().String()
	never.Close()
	_, err := net.Dial("tcp", addr)
	require.Error(t, err)
}

type key struct{}

// TestCloseWaits: Close lets running requests finish, takes no others, says what it
// waits for if that takes long, and can be called again.
func TestCloseWaits(t *testing.T) {
	var text bytes.Buffer
	log.SetOutput(&text)
	defer log.SetOutput(os.Stderr)
	synctest.Test(t, func(t *testing.T) {
		srv := spdytest.NewMemoryServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-time.NewTimer(8 * time.Second).C
			shows(w, r)
		}))
		got := make(chan string, 1)
		go func() { got <- fetch(t, srv.Client(), srv.URL+"/slow") }()
		synctest.Wait()
		start := time.Now()
		closed := make(chan time.Duration, 1)
		go func() {
			srv.Close()
			closed <- time.Since(start)
		}()
		synctest.Wait()
		_, err := srv.Client().Get(srv.URL)
		assert.Error(t, err)
		require.Equal(t, "GET /slow", <-got)
		require.Equal(t, 8*time.Second, <-closed)
		require.Contains(t, text.String(), "Close has waited for 5s")
		require.Contains(t, text.String(), "192.0.2.1:49152")
		srv.Close()
	})
}

// TestCloseClientConnections: requests fail, later ones get a new connection.
func TestCloseClientConnections(t *testing.T) {
	for name, start := range map[string]func(http.Handler) *spdytest.Server{
		"memory": spdytest.NewMemoryServer, "memory TLS": spdytest.NewMemoryTLSServer,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/hang" {
						<-r.Context().Done()
						return
					}
					shows(w, r)
				}))
				defer srv.Close()
				failed := make(chan error, 1)
				go func() {
					_, err := srv.Client().Post(srv.URL+"/hang", "", nil)
					failed <- err
				}()
				synctest.Wait()
				srv.CloseClientConnections()
				require.Error(t, <-failed)
				require.Equal(t, "GET /again", fetch(t, srv.Client(), srv.URL+"/again"))
			})
		})
	}
}

func TestListener(t *testing.T) {
	ln := spdytest.Listen()
	ctx, cancel := context.WithCancel(t.Context())
	client, err := ln.DialContext(ctx, "tcp", "any.example:80")
	require.NoError(t, err)
	server, err := ln.Accept()
	require.NoError(t, err)
	require.Equal(t, client.RemoteAddr(), ln.Addr())
	_, err = io.WriteString(client, "hello")
	require.NoError(t, err)
	require.NoError(t, client.Close())
	got, err := io.ReadAll(server)
	require.NoError(t, err)
	require.Equal(t, "hello", string(got))
	require.NoError(t, server.Close())

	cancel()
	_, err = ln.DialContext(ctx, "tcp", "")
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, ln.Close())
	_, err = ln.Accept()
	require.ErrorIs(t, err, net.ErrClosed)
	_, err = ln.DialContext(t.Context(), "tcp", "")
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}
