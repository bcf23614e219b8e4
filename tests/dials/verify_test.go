package dials

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/localcert"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// verifyDials are clients that make TLS connections, the oracle first.
var verifyDials = map[string]func(ctx context.Context, dial func(context.Context, string, string) (net.Conn, error), conf *tls.Config) error{
	"http.Transport": func(ctx context.Context, dial func(context.Context, string, string) (net.Conn, error), conf *tls.Config) error {
		return verifyGet(ctx, &http.Transport{DialContext: dial, TLSClientConfig: conf, TLSHandshakeTimeout: handshakeTimeout})
	},
	"Transport": func(ctx context.Context, dial func(context.Context, string, string) (net.Conn, error), conf *tls.Config) error {
		return verifyGet(ctx, &spdy.Transport{DialContext: dial, TLSClientConfig: conf})
	},
	"UpgradeDialer": func(ctx context.Context, dial func(context.Context, string, string) (net.Conn, error), conf *tls.Config) error {
		_, _, err := (&spdy.UpgradeDialer{DialContext: dial, TLSClientConfig: conf}).Dial(ctx, "GET", "https://origin.example/")
		return err
	},
	"NewClientConn": func(ctx context.Context, dial func(context.Context, string, string) (net.Conn, error), conf *tls.Config) error {
		if _, limited := ctx.Deadline(); limited { // it takes no context
			<-ctx.Done()
			return ctx.Err()
		}
		conn, err := dial(ctx, "", "")
		if err != nil {
			return err
		}
		_, err = spdy.NewClientConn(tls.Client(conn, conf))
		return err
	},
}

func verifyGet(ctx context.Context, rt http.RoundTripper) error {
	req, err := http.NewRequestWithContext(ctx, "GET", "https://origin.example/", nil)
	if err != nil {
		return err
	}
	res, err := rt.RoundTrip(req)
	if err == nil {
		res.Body.Close()
	}
	return err
}

// TestSlowVerify: a TLS check of the user that takes its time holds up a dial for no longer than its
// context, and without an end of that for no longer than the limit of the handshake, behind which an
// http.Transport waits for the check. Then the connection is closed.
func TestSlowVerify(t *testing.T) {
	cert, _, err := localcert.New(localcert.Hosts...)
	require.NoError(t, err)
	for name, dial := range verifyDials {
		for _, limit := range []time.Duration{0, time.Second} {
			if name == "http.Transport" && limit == 0 {
				continue
			}
			bubble.Run(t, fmt.Sprint(name, "/", limit), func(t *testing.T) {
				var mu sync.Mutex
				var conns []net.Conn // guarded by mu
				connect := func(context.Context, string, string) (net.Conn, error) {
					ours, theirs := testconn.Pair()
					mu.Lock()
					conns = append(conns, ours)
					mu.Unlock()
					server := tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"spdy/3.1", "http/1.1"}})
					go func() { // ends with the connection
						_ = server.HandshakeContext(t.Context())
						_, _ = server.Read(make([]byte, 1))
						theirs.Close()
					}()
					return ours, nil
				}
				over := make(chan struct{})
				defer close(over)
				conf := &tls.Config{InsecureSkipVerify: true, VerifyConnection: func(tls.ConnectionState) error {
					<-over
					return errors.New("no")
				}}
				ctx, want := t.Context(), handshakeTimeout
				if limit > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, limit)
					defer cancel()
					want = limit
				}
				began := time.Now()
				err := dial(ctx, connect, conf)
				took := time.Since(began)
				var timeout net.Error
				require.ErrorAs(t, err, &timeout)
				require.True(t, timeout.Timeout())
				require.GreaterOrEqual(t, took, want)
				require.LessOrEqual(t, took, want+hookGrace)
				if name != "http.Transport" { // which goes on
					bubble.Pass(2 * handshakeTimeout)
				}
				mu.Lock()
				defer mu.Unlock()
				if name == "http.Transport" {
					conns[0].Close()
					return
				}
				for _, conn := range conns {
					_, err = conn.Write(nil)
					require.ErrorIs(t, err, net.ErrClosed)
				}
			})
		}
	}
}
