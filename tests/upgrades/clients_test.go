package upgrades

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/tests/bubble"
)

// TestConfigured: an http.Server and an http.Transport with SPDY added carry upgrades, those of
// WebSockets over HTTP/1.1, which net/http sees to.
func TestConfigured(t *testing.T) {
	for _, v := range bubble.Versions {
		for _, protocol := range []string{"echo", "websocket"} {
			t.Run(v.String()+"/"+protocol, func(t *testing.T) {
				var overSPDY bool
				server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					overSPDY = spdy.SessionFromContext(r.Context()) != nil
					if conn, read := hijacked(t, w, r); conn != nil {
						defer conn.Close()
						_, _ = io.Copy(conn, read)
					}
				}))
				server.Config.ErrorLog = discardLog
				server.TLS = &tls.Config{NextProtos: []string{v.String(), "http/1.1"}}
				require.NoError(t, spdy.ConfigureServer(server.Config, &spdy.Config{Logger: quiet}))
				server.StartTLS()
				defer server.Close()
				transport := &http.Transport{TLSClientConfig: clientTLS(server.Certificate())}
				require.NoError(t, spdy.ConfigureTransport(transport, &spdy.Config{Logger: quiet}))
				defer transport.CloseIdleConnections()
				req, err := http.NewRequestWithContext(t.Context(), "GET", server.URL, nil)
				require.NoError(t, err)
				req.Header.Set("Connection", "Upgrade")
				req.Header.Set("Upgrade", protocol)
				res, err := (&http.Client{Transport: transport}).Do(req)
				require.NoError(t, err)
				require.Equal(t, 101, res.StatusCode)
				require.Equal(t, protocol == "echo", overSPDY)
				conn := res.Body.(io.ReadWriteCloser)
				defer conn.Close()
				_, err = io.WriteString(conn, "hello")
				require.NoError(t, err)
				require.NoError(t, closeWrite(conn))
				got, err := io.ReadAll(conn)
				require.NoError(t, err)
				require.Equal(t, "hello", string(got))
			})
		}
	}
}

// TestPushIsNoTunnel: a pushed answer answers no request for an upgrade.
func TestPushIsNoTunnel(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		p, s := newPeer(t, v, nil, spdy.Config{AcceptPush: func(*http.Request, *http.Request) bool { return true }})
		page := make(chan error, 1)
		go func() {
			req, err := http.NewRequestWithContext(t.Context(), "GET", "http://home.example/", nil)
			if err == nil {
				var res *http.Response
				if res, err = s.RoundTrip(req); err == nil {
					_, err = io.ReadAll(res.Body)
				}
			}
			page <- err
		}()
		id := frameOf[*spdy.SynStreamFrame](t, p.frames()).StreamID
		p.send(&spdy.SynReplyFrame{StreamID: id, Headers: p.block(":status", "200", ":version", "HTTP/1.1")})
		promise := p.block(":path", "/up", ":host", "home.example", ":scheme", "http", ":status", "200", ":version", "HTTP/1.1", "cache-control", "max-age=60")
		if v == spdy.SPDY2 {
			promise = p.block(":path", "http://home.example/up", ":status", "200", ":version", "HTTP/1.1", "cache-control", "max-age=60")
		}
		p.send(&spdy.SynStreamFrame{StreamID: 2, AssociatedStreamID: id, Flags: spdy.FlagUnidirectional, Headers: promise})
		p.send(&spdy.DataFrame{StreamID: 2, Flags: spdy.FlagFin, Data: []byte("pushed")})
		p.send(&spdy.DataFrame{StreamID: id, Flags: spdy.FlagFin})
		require.NoError(t, <-page)
		p.frames()

		got := askUpgrade(t.Context(), s)
		frames := p.frames()
		p.offer(1, 0)
		p.send(frameOf[*spdy.PingFrame](t, frames))
		syn := frameOf[*spdy.SynStreamFrame](t, p.frames())
		p.send(&spdy.SynReplyFrame{StreamID: syn.StreamID, Headers: p.block(":status", "200", ":version", "HTTP/1.1", ":protocol", "echo")})
		require.Equal(t, 101, (<-got).res.StatusCode)

		req, err := http.NewRequestWithContext(t.Context(), "GET", "http://home.example/up", nil)
		require.NoError(t, err)
		res, err := s.RoundTrip(req)
		require.NoError(t, err)
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Equal(t, "pushed", string(body), "which another request gets")
	})
}
