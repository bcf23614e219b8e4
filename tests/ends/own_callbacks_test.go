package ends

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/spdytest"
	"github.com/amahi/spdy/tests/bubble"
)

// ownPlainServers are an http.Server, the oracle, and ours.
func ownPlainServers(h http.Handler) map[string]ender {
	quiet := log.New(io.Discard, "", 0)
	return map[string]ender{
		ownOracle: &http.Server{Handler: h, ErrorLog: quiet},
		ownServer: &spdy.Server{Handler: h, ErrorLog: quiet},
	}
}

// ownBusy are ways of a server to run a function of the user before there is a request. A way
// returns the listener for a server.
var ownBusy = map[string]func(srv ender, ln net.Listener, f func()) net.Listener{
	"GetCertificate": func(_ ender, ln net.Listener, f func()) net.Listener {
		return tls.NewListener(ln, &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			f()
			return nil, errors.New("no certificate")
		}})
	},
	"GetConfigForClient": func(_ ender, ln net.Listener, f func()) net.Listener {
		return tls.NewListener(ln, &tls.Config{
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("no certificate") },
			GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
				f()
				return nil, errors.New("no configuration")
			},
		})
	},
	"ConnContext": func(srv ender, ln net.Listener, f func()) net.Listener {
		srv.(*spdy.Server).ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
			f()
			return ctx
		}
		return ln
	},
}

// TestOwnBusyCallbacks: the end of a server does not wait for a function of the user that takes its
// time while a connection is new. An http.Server returns from Close at once, and from Shutdown with
// the context, or after five seconds; a spdy.Server within a tenth of a second, as it closes such
// connections. An http.Server calls ConnContext where it accepts, and waits for that.
func TestOwnBusyCallbacks(t *testing.T) {
	for way, listen := range ownBusy {
		for kind := range ownPlainServers(nil) {
			if kind == ownOracle && way == "ConnContext" {
				continue
			}
			for _, limit := range []time.Duration{-1, 0, 200 * time.Millisecond, time.Minute} { // -1 is Close
				bubble.Run(t, fmt.Sprint(way, "/", kind, "/", limit), func(t *testing.T) {
					srv, release := ownPlainServers(http.NotFoundHandler())[kind], make(chan struct{})
					ln := spdytest.Listen()
					served := make(chan error, 1)
					busy := listen(srv, ln, func() { <-release })
					go func() { served <- srv.Serve(busy) }()
					conn, err := ln.DialContext(t.Context(), "", "")
					require.NoError(t, err)
					go func() { // ends with the connection
						if way == "ConnContext" {
							_, _ = conn.Write([]byte{0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1})
							return
						}
						_ = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(t.Context())
					}()
					synctest.Wait()
					began, cause := time.Now(), error(nil)
					if limit < 0 {
						err = srv.Close()
					} else {
						ctx, cancel := context.WithTimeout(t.Context(), limit)
						err = srv.Shutdown(ctx)
						cause = ctx.Err()
						cancel()
					}
					took := time.Since(began)
					require.ErrorIs(t, <-served, http.ErrServerClosed)
					close(release)
					conn.Close()
					srv.Close()
					synctest.Wait()
					switch {
					case kind == ownServer:
						require.NoError(t, err)
						require.LessOrEqual(t, took, 100*time.Millisecond)
					case limit > 0 && limit < time.Minute:
						require.Equal(t, cause, err)
						require.Equal(t, limit, took)
					case limit < 0:
						require.NoError(t, err)
						require.Zero(t, took)
					}
				})
			}
		}
	}
}

// TestOwnCloseByCallback: a function of the user may close the server, and need not wait for itself.
func TestOwnCloseByCallback(t *testing.T) {
	for way, listen := range ownBusy {
		for kind := range ownPlainServers(nil) {
			if kind == ownOracle && way == "ConnContext" {
				continue
			}
			bubble.Run(t, way+"/"+kind, func(t *testing.T) {
				srv, closed := ownPlainServers(http.NotFoundHandler())[kind], make(chan error, 1)
				ln := spdytest.Listen()
				go srv.Serve(listen(srv, ln, func() { closed <- srv.Close() }))
				conn, err := ln.DialContext(t.Context(), "", "")
				require.NoError(t, err)
				if way == "ConnContext" {
					_, _ = conn.Write([]byte{0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 1})
				} else {
					_ = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(t.Context())
				}
				require.NoError(t, <-closed)
				conn.Close()
			})
		}
	}
}
