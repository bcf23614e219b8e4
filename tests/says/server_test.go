package says

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/localcert"
	"github.com/amahi/spdy/tests/bubble"
)

// Behind TLS that negotiates nothing, Serve speaks every version of SPDY, and HTTP/1.1 as
// net/http does there; handlers see the TLS state. Where clients negotiate, that counts.
func TestServeWithoutNegotiation(t *testing.T) {
	cert, pool, err := localcert.New()
	require.NoError(t, err)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil {
			http.Error(w, "no TLS", http.StatusTeapot)
			return
		}
		body, _ := io.ReadAll(r.Body)
		io.WriteString(w, r.Proto+string(body))
	})
	for name, protos := range map[string][]string{"no ALPN": nil, "ALPN of the server": {"spdy/3.1", "http/1.1"}} {
		conf := &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: protos}
		listen := func(t *testing.T, serve func(net.Listener) error) string {
			raw, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			end := make(chan error, 1)
			go func() { end <- serve(tls.NewListener(raw, conf)) }()
			t.Cleanup(func() { raw.Close(); <-end })
			return raw.Addr().String()
		}
		t.Run(name+"/HTTP/1.1", func(t *testing.T) {
			srv := &spdy.Server{Handler: handler}
			t.Cleanup(func() { srv.Close() })
			theirs := &http.Server{Handler: handler}
			t.Cleanup(func() { theirs.Close() })
			want := getHTTP1(t, listen(t, theirs.Serve), pool)
			require.Equal(t, want, getHTTP1(t, listen(t, srv.Serve), pool))
		})
		for _, v := range bubble.Versions {
			t.Run(name+"/"+v.String(), func(t *testing.T) {
				srv := &spdy.Server{Handler: handler}
				t.Cleanup(func() { srv.Close() })
				require.Equal(t, "HTTP/1.1", getSPDY(t, listen(t, srv.Serve), pool, v))
			})
			t.Run(name+"/ServeConn/"+v.String(), func(t *testing.T) {
				srv := &spdy.Server{Handler: handler}
				t.Cleanup(func() { srv.Close() })
				addr := listen(t, func(ln net.Listener) error {
					conn, err := ln.Accept()
					if err != nil {
						return err
					}
					return srv.ServeConn(conn, nil)
				})
				require.Equal(t, "HTTP/1.1", getSPDY(t, addr, pool, v))
			})
		}
	}
}

// ServeConn says what a client speaks that is not one of SPDY, with and without TLS.
func TestServeConnOfOthers(t *testing.T) {
	for name, other := range others {
		if other.first[0] == 0x15 || other.first[0] == 0 { // servers only
			continue
		}
		t.Run(name, func(t *testing.T) {
			ours, theirs := net.Pipe()
			go io.WriteString(theirs, other.first)
			var e *spdy.NotSPDYError
			require.ErrorAs(t, (&spdy.Server{}).ServeConn(ours, nil), &e)
			theirs.Close()
		})
	}
}

func getHTTP1(t *testing.T, addr string, pool *x509.CertPool) string {
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "localhost"}, DisableKeepAlives: true,
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{}}
	res, err := (&http.Client{Transport: tr}).Get("https://" + addr)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, 200, res.StatusCode, string(body))
	return string(body)
}

func getSPDY(t *testing.T, addr string, pool *x509.CertPool, v spdy.Version) string {
	conn, err := tls.Dial("tcp", addr, &tls.Config{RootCAs: pool, ServerName: "localhost"})
	require.NoError(t, err)
	c, err := bubble.Quiet(spdy.Config{}, v).NewClientConn(conn)
	require.NoError(t, err)
	defer c.Close()
	res, err := c.Do(get())
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, 200, res.StatusCode, string(body))
	return string(body)
}
