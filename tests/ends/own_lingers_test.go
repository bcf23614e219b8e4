package ends

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/localcert"
	"github.com/amahi/spdy/spdytest"
	"github.com/amahi/spdy/tests/bubble"
)

// TestOwnLingeringShutdown shows that the end of a context in http.Server.Shutdown is an error while
// an http.Server with ConfigureServer waits for a client to close a connection, although the client
// has received everything. net/http decides so, and so for HTTP/2: it counts the connections that are
// not closed. Shutdown of a spdy.Server returns nil then, see TestOwnConfirmedShutdown. A context that
// lasts longer than the wait leads to nil everywhere.
func TestOwnLingeringShutdown(t *testing.T) {
	for _, kind := range []string{ownOracle, ownConfigured, ownPackage, ownServer} {
		for _, patience := range []time.Duration{ownConfirmedPatience, 5 * time.Second} {
			bubble.Run(t, kind+"/"+patience.String(), func(t *testing.T) { playOwnLingering(t, kind, patience) })
		}
	}
}

func playOwnLingering(t *testing.T, kind string, patience time.Duration) {
	ln := spdytest.Listen()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "hello") })
	cert, _, err := localcert.New(localcert.Hosts...)
	require.NoError(t, err)
	conf, quiet := &tls.Config{Certificates: []tls.Certificate{cert}}, log.New(io.Discard, "", 0)
	hs := &http.Server{Handler: h, TLSConfig: conf, ErrorLog: quiet}
	srv := interface {
		ender
		ServeTLS(ln net.Listener, cert, key string) error
	}(hs)
	shutdown, protocol := hs.Shutdown, "spdy/3.1"
	switch kind {
	case ownOracle:
		protocol = "h2"
	case ownServer:
		server := &spdy.Server{Handler: h, TLSConfig: conf, ErrorLog: quiet}
		srv, shutdown = server, server.Shutdown
	default:
		require.NoError(t, spdy.ConfigureServer(hs, nil))
		if kind == ownPackage {
			shutdown = func(ctx context.Context) error { return spdy.ShutdownServer(ctx, hs) }
		}
	}
	go func() { _ = srv.ServeTLS(ln, "", "") }()
	raw, err := ln.DialContext(t.Context(), "", "")
	require.NoError(t, err)
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocol}})
	require.NoError(t, conn.HandshakeContext(t.Context()))
	if kind == ownOracle {
		client, err := new(http2.Transport).NewClientConn(ownOpenConn{conn})
		require.NoError(t, err)
		require.NoError(t, ownWhole(client, "/"))
	} else {
		go ownEcho(t, conn) // ends with the connection
	}
	synctest.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	began := time.Now()
	err = shutdown(ctx)
	took := time.Since(began)
	raw.Close()
	_ = srv.Close()
	if patience < time.Second && kind != ownServer {
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, patience, took)
	} else {
		require.NoError(t, err)
		require.LessOrEqual(t, took, 2*time.Second)
	}
	bubble.Pass(time.Minute)
}
