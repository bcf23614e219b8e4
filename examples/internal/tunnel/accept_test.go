package tunnel

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/localcert"
)

// Without the token there is no session: the proxy answers in HTTP and says
// nothing in SPDY.
func TestWrongToken(t *testing.T) {
	r := newRelay(t, Replace)
	for name, change := range map[string]func(*Endpoint){
		"wrong token":         func(e *Endpoint) { e.Token = "wrong" },
		"no token":            func(e *Endpoint) { e.Token = "" },
		"no such name":        func(e *Endpoint) { e.Name = "nobody" },
		"a name that is none": func(e *Endpoint) { e.Name = "no\nbody" },
	} {
		t.Run(name, func(t *testing.T) {
			e := r.endpoint()
			change(&e)
			_, err := e.Dial(t.Context())
			var refused *RefusedError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, http.StatusUnauthorized, refused.Status)
			require.True(t, refused.Permanent())
		})
	}
	require.Nil(t, r.proxy.registry.all())
}

// An origin with a wrong token says so and ends, rather than knock for ever.
func TestRunGivesUpOnWrongToken(t *testing.T) {
	r := newRelay(t, Replace)
	o := &Origin{Endpoint: r.endpoint(), Handler: http.NotFoundHandler()}
	o.Endpoint.Token = "wrong"
	var refused *RefusedError
	require.ErrorAs(t, o.Run(t.Context()), &refused)
	require.ErrorContains(t, refused, "401 Unauthorized: wrong name or token")
}

func TestNoUpgrade(t *testing.T) {
	r := newRelay(t, Replace)
	conn := r.dialTunnels()
	fmt.Fprintf(conn, "GET /tunnel/home HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n", testToken)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	require.Equal(t, http.StatusUpgradeRequired, res.StatusCode)
	require.Equal(t, "SPDY/3.1", res.Header.Get("Upgrade"))
}

// An origin's first frames may come in one packet with its request, and the
// proxy's with its answer. None may be lost in the buffers of the HTTP side.
func TestBufferedBytesAreKept(t *testing.T) {
	ping := []byte{0x80, 3, 0, 6, 0, 0, 0, 4, 0, 0, 0, 2} // of a server
	request := fmt.Appendf(nil, "GET /tunnel/home HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"+
		"Connection: upgrade\r\nUpgrade: spdy/3.1\r\n\r\n%s", testToken, ping)
	t.Run("by the proxy", func(t *testing.T) {
		conn := newRelay(t, Replace).dialTunnels()
		_, err := conn.Write(request)
		require.NoError(t, err)
		br := bufio.NewReader(conn)
		res, err := http.ReadResponse(br, nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusSwitchingProtocols, res.StatusCode)
		requireFrame(t, br, ping)
	})
	t.Run("by the proxy, over TLS", func(t *testing.T) {
		r := newRelay(t, Replace)
		secure := httptest.NewTLSServer(r.proxy.Tunnels())
		defer secure.Close()
		conf := secure.Client().Transport.(*http.Transport).TLSClientConfig
		conn, err := tls.Dial("tcp", secure.Listener.Addr().String(), &tls.Config{RootCAs: conf.RootCAs})
		require.NoError(t, err)
		defer conn.Close()
		_, err = conn.Write(request)
		require.NoError(t, err)
		br := bufio.NewReader(conn)
		_, err = http.ReadResponse(br, nil)
		require.NoError(t, err)
		requireFrame(t, br, ping)
	})
	t.Run("by the origin", func(t *testing.T) {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer ln.Close()
		go func() {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			http.ReadRequest(bufio.NewReader(conn))
			conn.Write(append([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\n\r\n"), "first bytes"...))
			conn.Close()
		}()
		e := Endpoint{Addr: ln.Addr().String(), Name: "home"}
		conn, err := e.Dial(t.Context())
		require.NoError(t, err)
		defer conn.Close()
		all, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Equal(t, "first bytes", string(all))
	})
}

// requireFrame reads frames until one is want.
func requireFrame(t *testing.T, r io.Reader, want []byte) {
	t.Helper()
	for {
		var head [8]byte
		_, err := io.ReadFull(r, head[:])
		require.NoError(t, err, "the frame never came")
		body := make([]byte, int(head[5])<<16|int(head[6])<<8|int(head[7]))
		_, err = io.ReadFull(r, body)
		require.NoError(t, err)
		if bytes.Equal(append(head[:], body...), want) {
			return
		}
	}
}

func TestTunnelOverTLS(t *testing.T) {
	cert, trust, err := localcert.New()
	require.NoError(t, err)
	r := newRelay(t, Replace)
	secure := httptest.NewUnstartedServer(r.proxy.Tunnels())
	secure.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	secure.StartTLS()
	defer secure.Close()
	e := r.endpoint()
	e.Addr, e.TLS = secure.Listener.Addr().String(), &tls.Config{RootCAs: trust}
	conn, err := e.Dial(t.Context())
	require.NoError(t, err)
	session := spdy.NewServerSession(conn, &http.Server{Handler: http.HandlerFunc(
		func(w http.ResponseWriter, req *http.Request) { fmt.Fprint(w, "secure: ", req.TLS != nil) })})
	go session.Serve()
	defer session.Close()
	_, body := r.get("/home/")
	require.Equal(t, "secure: true", body)

	e.TLS = &tls.Config{}
	_, err = e.Dial(t.Context())
	var unknown *tls.CertificateVerificationError
	require.ErrorAs(t, err, &unknown, "the origin checks whom it gives its token to")
}

// A proxy that says nothing does not hold an origin for ever, nor one that has to end.
func TestDialGivesUp(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	e := Endpoint{Addr: ln.Addr().String(), Name: "home"}
	_, err = e.Dial(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}
