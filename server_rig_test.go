package spdy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/localcert"
	"github.com/amahi/spdy/internal/testconn"
)

// A site is a server in a bubble, and what the tests want of one: a Server, or an
// http.Server with SPDY.
type site struct {
	t   *testing.T
	ln  *testconn.Listener
	end chan error
	tls *tls.Config // a client's; nil if the site has no TLS
	srv interface {
		Shutdown(context.Context) error
		Close() error
	}
}

// siteTest runs f in a bubble with a Server, with TLS or without.
func siteTest(t *testing.T, name string, srv *Server, secure bool, f func(s *site)) {
	story(t, name, func(t *testing.T) {
		if srv.ErrorLog == nil && srv.Logger == nil {
			srv.ErrorLog = quietLog
		}
		s := &site{t: t, srv: srv}
		serve := srv.Serve
		if secure {
			srv.TLSConfig = s.certify()
			serve = func(ln net.Listener) error { return srv.ServeTLS(ln, "", "") }
		}
		s.run(serve, f)
	})
}

// configuredTest runs f in a bubble with an http.Server that has been configured.
func configuredTest(t *testing.T, name string, hs *http.Server, conf *Config, f func(s *site)) {
	story(t, name, func(t *testing.T) {
		if hs.ErrorLog == nil {
			hs.ErrorLog = quietLog
		}
		s := &site{t: t, srv: hs}
		hs.TLSConfig = s.certify()
		require.NoError(t, ConfigureServer(hs, conf))
		s.run(func(ln net.Listener) error { return hs.ServeTLS(ln, "", "") }, f)
	})
}

// certify makes a certificate and has clients trust it.
func (s *site) certify() *tls.Config {
	cert, pool, err := localcert.New()
	require.NoError(s.t, err)
	s.trust(pool)
	return &tls.Config{Certificates: []tls.Certificate{cert}}
}

func (s *site) trust(pool *x509.CertPool) {
	s.tls = &tls.Config{RootCAs: pool, ServerName: "localhost"}
}

// run serves until f returns.
func (s *site) run(serve func(net.Listener) error, f func(s *site)) {
	s.ln, s.end = testconn.Listen(), make(chan error, 1)
	go func() { s.end <- serve(s.ln) }()
	synctest.Wait()
	defer func() {
		err := s.srv.Close()
		assert.True(s.t, err == nil || errors.Is(err, net.ErrClosed), "%v", err)
		assert.ErrorIs(s.t, <-s.end, http.ErrServerClosed)
		synctest.Wait()
	}()
	f(s)
}

// dial connects, with a complete handshake that offers protos if there is TLS.
func (s *site) dial(protos ...string) net.Conn {
	s.t.Helper()
	conn, err := s.connect(context.Background(), protos...)
	require.NoError(s.t, err)
	return conn
}

func (s *site) connect(ctx context.Context, protos ...string) (net.Conn, error) {
	conn, err := s.ln.Dial()
	if err != nil || s.tls == nil {
		return conn, err
	}
	conf := s.tls.Clone()
	conf.NextProtos = protos
	c := tls.Client(conn, conf)
	return c, c.HandshakeContext(ctx)
}

// client makes a SPDY client.
func (s *site) client() *Client {
	s.t.Helper()
	c, err := quietConfig.NewClientConn(s.dial("spdy/3.1"))
	require.NoError(s.t, err)
	return c
}

// peer makes a client of which the test sends every frame.
func (s *site) peer() (*Framer, net.Conn) {
	conn := s.dial("spdy/3.1")
	return NewFramer(conn, conn, SPDY31), conn
}

// url is the URL of a path on the site.
func (s *site) url(path string) string {
	if s.tls != nil {
		return "https://localhost" + path
	}
	return "http://localhost" + path
}

// http1 makes a client of net/http that offers protos.
func (s *site) http1(protos ...string) *http.Transport {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) { return s.connect(ctx, protos...) }
	t := &http.Transport{DialContext: dial, DialTLSContext: dial, Protocols: new(http.Protocols)}
	t.Protocols.SetHTTP1(true)
	return t
}

// wantCut wants the server to close conn after exactly d, and to say nothing that
// would be an answer.
func (s *site) wantCut(why string, conn net.Conn, d time.Duration) {
	s.t.Helper()
	start := time.Now()
	b, err := io.ReadAll(conn)
	require.True(s.t, err == nil || errors.Is(err, io.ErrUnexpectedEOF), "%s: %v", why, err)
	require.Equal(s.t, d, time.Since(start), why)
	require.NotContains(s.t, string(b), "200 OK", why)
	conn.Close()
}
