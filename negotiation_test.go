package spdy

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// What two ends agree to speak over TLS.

// echoVersion is a handler that says what it speaks and sends a body back.
func echoVersion(w http.ResponseWriter, r *http.Request) {
	version := "HTTP/1.1"
	if st, ok := w.(*Stream); ok {
		version = st.session.Version().String()
	}
	_ = http.NewResponseController(w).EnableFullDuplex() // for HTTP/1.1
	w.Header().Set("X-Version", version)
	_, _ = io.Copy(w, r.Body)
}

// wantEcho sends a body larger than every window that nobody has enlarged, and wants it
// back from a server that speaks v.
func wantEcho(t *testing.T, rt http.RoundTripper, url, v string) *http.Response {
	t.Helper()
	const size = 300 << 10
	req, err := http.NewRequest("POST", url, newPattern(1, size))
	require.NoError(t, err)
	res, err := rt.RoundTrip(req)
	require.NoError(t, err)
	check := newPatternCheck(1, size)
	_, err = io.Copy(check, res.Body)
	require.NoError(t, err)
	require.NoError(t, check.whole())
	require.NoError(t, res.Body.Close())
	require.Equal(t, v, res.Header.Get("X-Version"))
	return res
}

func TestNegotiation(t *testing.T) {
	s := serveOn(t, &Server{Handler: http.HandlerFunc(echoVersion), ErrorLog: quietLog}, "tls")
	for _, tt := range []struct {
		offers []string
		want   Version // 0 for HTTP/1.1
	}{
		{[]string{"spdy/2"}, SPDY2},
		{[]string{"spdy/3"}, SPDY3},
		{[]string{"spdy/3.1"}, SPDY31},
		{[]string{"http/1.1", "spdy/2", "spdy/3", "spdy/3.1"}, SPDY31},
		{[]string{"http/1.1", "spdy/2", "spdy/3"}, SPDY3},
		{[]string{"spdy/4a2", "spdy/2", "http/1.1"}, SPDY2},
	} {
		for _, shaken := range []bool{false, true} {
			t.Run(fmt.Sprint(tt.offers, shaken), func(t *testing.T) {
				raw, err := net.Dial("tcp", s.addr)
				require.NoError(t, err)
				conn := tls.Client(raw, &tls.Config{RootCAs: s.pool, ServerName: "localhost", NextProtos: tt.offers})
				if shaken {
					require.NoError(t, conn.Handshake())
				}
				c, err := NewClientConn(conn)
				require.NoError(t, err)
				defer c.Close()
				require.Equal(t, tt.want, c.Session().Version())
				res := wantEcho(t, c, s.url("/"), tt.want.String())
				require.Equal(t, tt.want.String(), res.TLS.NegotiatedProtocol)
			})
		}
	}
	for _, offers := range [][]string{{"http/1.1"}, nil} {
		h := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: s.pool, ServerName: "localhost", NextProtos: offers}}
		wantEcho(t, h, s.url("/"), "HTTP/1.1")
		h.CloseIdleConnections()
	}
	require.NoError(t, s.Close())
	require.ErrorIs(t, <-s.end, http.ErrServerClosed)
}

// TestConfiguredVersions: where nothing is negotiated, Config.Version says what is spoken.
func TestConfiguredVersions(t *testing.T) {
	for _, kind := range []string{"tls only", "plain"} {
		for _, v := range everyVersion {
			t.Run(kind+" "+v.String(), func(t *testing.T) {
				conf := &Config{Version: v}
				s := serveOn(t, &Server{Handler: http.HandlerFunc(echoVersion), ErrorLog: quietLog, Config: conf}, kind)
				raw, err := net.Dial("tcp", s.addr)
				require.NoError(t, err)
				if s.pool != nil {
					raw = tls.Client(raw, &tls.Config{RootCAs: s.pool, ServerName: "localhost"})
				}
				c, err := conf.NewClientConn(raw)
				require.NoError(t, err)
				wantEcho(t, c, s.url("/"), v.String())
				require.NoError(t, c.Close())
				require.NoError(t, s.Close())
				require.ErrorIs(t, <-s.end, http.ErrServerClosed)
			})
		}
	}
}

// TestClientHandshakeFails: what goes wrong in the handshake is NewClientConn's error, and
// the connection is closed.
func TestClientHandshakeFails(t *testing.T) {
	s := serveOn(t, &Server{Handler: http.HandlerFunc(echoVersion), ErrorLog: quietLog}, "tls")
	for name, conf := range map[string]*tls.Config{
		"HTTP/1.1 is chosen":    {RootCAs: s.pool, ServerName: "localhost", NextProtos: []string{"http/1.1"}},
		"no protocol in common": {RootCAs: s.pool, ServerName: "localhost", NextProtos: []string{"h3"}},
		"not trusted":           {ServerName: "localhost", NextProtos: []string{"spdy/3.1"}},
	} {
		t.Run(name, func(t *testing.T) {
			raw, err := net.Dial("tcp", s.addr)
			require.NoError(t, err)
			c, err := NewClientConn(tls.Client(raw, conf))
			require.Error(t, err)
			require.Nil(t, c)
			require.ErrorIs(t, raw.SetReadDeadline(time.Now()), net.ErrClosed)
		})
	}
	assert.NoError(t, s.Close())
	assert.ErrorIs(t, <-s.end, http.ErrServerClosed)
}

// A connection on which HTTP/1.1 was negotiated, and spoken until it was upgraded,
// can become a session.
func TestClientOfUpgradedConn(t *testing.T) {
	s := serveOn(t, &Server{Handler: http.HandlerFunc(echoVersion), ErrorLog: quietLog}, "tls")
	conn, err := tls.Dial("tcp", s.addr, &tls.Config{RootCAs: s.pool, ServerName: "localhost", NextProtos: []string{"http/1.1"}})
	require.NoError(t, err)
	c, err := NewClientConn(conn)
	require.NoError(t, err)
	require.Equal(t, SPDY31, c.Session().Version())
	require.NoError(t, c.Close())
	assert.NoError(t, s.Close())
	assert.ErrorIs(t, <-s.end, http.ErrServerClosed)
}
