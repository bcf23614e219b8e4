//go:build terminators

package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/localcert"
)

// terminators are programs that end TLS in front of a server and negotiate nothing: their
// command lines for two addresses and a file with the certificate and its key.
var terminators = map[string]func(t *testing.T, front, back, pem string) *exec.Cmd{
	"haproxy": func(t *testing.T, front, back, pem string) *exec.Cmd {
		conf := filepath.Join(t.TempDir(), "haproxy.cfg")
		text := "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n" +
			"frontend f\n bind " + front + " ssl crt " + pem + "\n default_backend b\nbackend b\n server s " + back + "\n"
		require.NoError(t, os.WriteFile(conf, []byte(text), 0o600))
		return exec.Command("haproxy", "-db", "-f", conf)
	},
	"hitch": func(t *testing.T, front, back, pem string) *exec.Cmd {
		bracketed := func(addr string) string {
			host, port, _ := net.SplitHostPort(addr)
			return fmt.Sprintf("[%s]:%s", host, port)
		}
		args := []string{"--frontend=" + bracketed(front), "--backend=" + bracketed(back), "--workers=1"}
		if os.Geteuid() == 0 { // whose workers it does not run
			args = append(args, "--user=nobody")
		}
		return exec.Command("hitch", append(args, pem)...)
	},
}

// Behind a program that terminates TLS and negotiates nothing, Server.Serve on a plain
// listener speaks every version of SPDY, and HTTP/1.1: a megabyte goes each way.
func TestTerminators(t *testing.T) {
	cert, pool, err := localcert.New()
	require.NoError(t, err)
	for name, command := range terminators {
		t.Run(name, func(t *testing.T) {
			_, err := exec.LookPath(name)
			require.NoError(t, err, "interop/run.sh installs it")
			back, err := net.Listen("tcp", "127.0.0.1:0")
			require.NoError(t, err)
			srv := &spdy.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				w.Write(body)
			})}
			ended := make(chan error, 1)
			go func() { ended <- srv.Serve(back) }()
			t.Cleanup(func() { srv.Close(); <-ended })
			front := startTerminator(t, command, back.Addr().String(), cert)
			t.Run("HTTP/1.1", func(t *testing.T) {
				echo(t, &http.Transport{TLSClientConfig: clientTLS(pool), DisableKeepAlives: true}, front)
			})
			for _, v := range []spdy.Version{spdy.SPDY2, spdy.SPDY3, spdy.SPDY31} {
				t.Run("Client/"+v.String(), func(t *testing.T) {
					conn, err := tls.Dial("tcp", front, clientTLS(pool))
					require.NoError(t, err)
					require.Empty(t, conn.ConnectionState().NegotiatedProtocol)
					c, err := (&spdy.Config{Version: v}).NewClientConn(conn)
					require.NoError(t, err)
					defer c.Close()
					echo(t, c, front)
				})
				t.Run("Transport/"+v.String(), func(t *testing.T) {
					tr := &spdy.Transport{Config: &spdy.Config{Version: v}, TLSClientConfig: clientTLS(pool)}
					defer tr.CloseIdleConnections()
					echo(t, tr, front)
				})
			}
		})
	}
}

func clientTLS(pool *x509.CertPool) *tls.Config {
	return &tls.Config{RootCAs: pool, ServerName: "localhost"}
}

// startTerminator runs a program until the test ends, and returns where it listens.
func startTerminator(t *testing.T, command func(t *testing.T, front, back, pem string) *exec.Cmd, back string, cert tls.Certificate) string {
	dir := t.TempDir()
	certFile, keyFile, err := localcert.WritePEM(dir, cert)
	require.NoError(t, err)
	both := filepath.Join(dir, "both.pem")
	var text []byte
	for _, name := range []string{keyFile, certFile} {
		part, err := os.ReadFile(name)
		require.NoError(t, err)
		text = append(text, part...)
	}
	require.NoError(t, os.WriteFile(both, text, 0o600))
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	front := free.Addr().String()
	free.Close()
	cmd := command(t, front, back, both)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() { cmd.Process.Signal(os.Interrupt); <-exited })
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := net.Dial("tcp", front)
		if err == nil {
			conn.Close()
			return front
		}
		select {
		case err := <-exited:
			exited <- err
			t.Fatalf("%v: %v\n%s", cmd.Args, err, out.String())
		case <-tick.C:
		}
	}
}

// echo sends a megabyte and wants it back.
func echo(t *testing.T, rt http.RoundTripper, addr string) {
	t.Helper()
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	req, err := http.NewRequest("POST", "https://"+addr+"/", bytes.NewReader(want))
	require.NoError(t, err)
	res, err := rt.RoundTrip(req)
	require.NoError(t, err)
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got))
}
