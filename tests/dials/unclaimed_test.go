package dials

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/localcert"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// A tlsSite is a server of one protocol over TLS, which is reached after a tenth of a second.
type tlsSite struct {
	network
	protocol string
	cert     tls.Certificate
	running  sync.WaitGroup // a goroutine for each connection; ends with it
}

func (s *tlsSite) dial(_ context.Context, _, _ string) (net.Conn, error) {
	bubble.Pass(100 * time.Millisecond)
	ours, theirs := testconn.Pair()
	s.count(0, 1)
	s.running.Go(func() { s.serve(theirs) })
	return &conn{Conn: ours, n: &s.network}, nil
}

func (s *tlsSite) serve(raw net.Conn) {
	defer raw.Close()
	secure := tls.Server(raw, &tls.Config{Certificates: []tls.Certificate{s.cert}, NextProtos: []string{s.protocol}})
	if secure.Handshake() != nil {
		return
	}
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") })
	if s.protocol == "h2" {
		new(http2.Server).ServeConn(secure, &http2.ServeConnOpts{Handler: h})
		return
	}
	_ = bubble.Quiet(spdy.Config{}, 0).ServerSession(secure, &http.Server{Handler: h}).Serve() // fails with the connection
}

// TestUnclaimedConnections: a connection whose request was cancelled during the dial does not stay open
// for ever in an http.Transport that has SPDY, if it is not for other requests. Without SPDY a single one
// stays.
func TestUnclaimedConnections(t *testing.T) {
	cert, _, err := localcert.New()
	require.NoError(t, err)
	meet := func(t *testing.T, protocol string, keepAlives, configured bool) {
		name := fmt.Sprintf("%s, keep-alives %v, configured %v", protocol, keepAlives, configured)
		s := &tlsSite{protocol: protocol, cert: cert}
		tr := &http.Transport{
			DialContext: s.dial, ForceAttemptHTTP2: true, DisableKeepAlives: !keepAlives,
			TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		}
		if configured {
			require.NoError(t, spdy.ConfigureTransport(tr, bubble.Quiet(spdy.Config{}, 0)))
		}
		get := func(d time.Duration) error {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, "GET", "https://origin.example/", nil)
			require.NoError(t, err)
			res, err := tr.RoundTrip(req)
			if err != nil {
				return err
			}
			defer res.Body.Close()
			_, err = io.Copy(io.Discard, res.Body)
			return err
		}
		for i := range 5 {
			if err := get(50 * time.Millisecond); i == 0 || !keepAlives && configured {
				require.Error(t, err, name)
			} // otherwise the request may find the connection
			bubble.Pass(time.Second)
		}
		bubble.Pass(10 * time.Second)
		if !keepAlives && configured {
			require.Zero(t, s.alive(), name)
		} else {
			require.LessOrEqual(t, s.alive(), 1, name)
		}
		for range 3 {
			require.NoError(t, get(time.Second), name)
		}
		tr.CloseIdleConnections()
		bubble.Pass(10 * time.Second)
		require.Zero(t, s.alive(), name)
		s.running.Wait()
		synctest.Wait()
	}
	bubble.Run(t, "", func(t *testing.T) { // a single one: x/net's servers share channels
		for _, keepAlives := range []bool{false, true} {
			meet(t, "h2", keepAlives, false)
			for _, protocol := range []string{"h2", "spdy/3.1", "spdy/3", "spdy/2"} {
				meet(t, protocol, keepAlives, true)
			}
		}
	})
}
