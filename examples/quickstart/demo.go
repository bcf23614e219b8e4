package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/examples/internal/tunnel"
	"github.com/amahi/spdy/internal/localcert"
)

// fileSize is the size of the file in the served directory.
const fileSize = 8 << 20

// A demo is the state that the steps share.
type demo struct {
	size int64
	dir  string // the served directory, temporary
	file []byte // the content of film.bin in dir

	trust      *x509.CertPool
	server     *spdy.Server // of both listeners
	plainAddr  string
	tlsAddr    string
	plain, tls *spdy.Client
	proxy      *tunnel.Proxy
	public     *http.Server // for HTTP clients of the relay
	tunnels    *http.Server // for origins of the relay
	relayURL   string
	stopOrigin func() error // returns the origin's result
}

// start starts a SPDY server in plaintext and with TLS, a relay, and the clients.
func (d *demo) start(ctx context.Context, s *screen) error {
	if err := d.makeDirectory(); err != nil {
		return err
	}
	cert, trust, err := localcert.New()
	if err != nil {
		return err
	}
	d.trust = trust
	d.server = &spdy.Server{Handler: site(d.dir), TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}}}
	if d.plainAddr, err = listen(d.server.Serve); err != nil {
		return err
	}
	d.tlsAddr, err = listen(func(ln net.Listener) error { return d.server.ServeTLS(ln, "", "") })
	if err != nil {
		return err
	}
	if d.plain, err = spdy.NewClient(d.plainAddr); err != nil {
		return err
	}
	if d.tls, err = d.dialTLS(ctx); err != nil {
		return err
	}
	s.note("plaintext  http://%s", d.plainAddr)
	s.note("TLS        https://%s  (certificate made just now; clients verify it)", d.tlsAddr)
	if err := d.startRelay(ctx); err != nil {
		return err
	}
	s.note("relay      %s  (its origin has no open port: it dialled the relay)", d.relayURL)
	return nil
}

func (d *demo) makeDirectory() (err error) {
	if d.dir, err = os.MkdirTemp("", "spdy-quickstart-*"); err != nil {
		return err
	}
	if d.file, err = io.ReadAll(generated(fileSize)); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(d.dir, "film.bin"), d.file, 0o600)
}

// listen serves on a free port of the loopback interface.
func listen(serve func(net.Listener) error) (addr string, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go serve(ln) // ends when the server is closed
	return ln.Addr().String(), nil
}

// dialTLS connects, verifies the server's certificate and negotiates SPDY/3.1.
func (d *demo) dialTLS(ctx context.Context) (*spdy.Client, error) {
	dialer := &tls.Dialer{Config: &tls.Config{RootCAs: d.trust, NextProtos: []string{spdy.SPDY31.String()}}}
	conn, err := dialer.DialContext(ctx, "tcp", d.tlsAddr)
	if err != nil {
		return nil, err
	}
	if got := conn.(*tls.Conn).ConnectionState().NegotiatedProtocol; got != spdy.SPDY31.String() {
		conn.Close()
		return nil, fmt.Errorf("negotiated %q", got)
	}
	return spdy.NewClientConn(conn)
}

// startRelay starts a proxy, and an origin that dials the proxy.
func (d *demo) startRelay(ctx context.Context) (err error) {
	token := rand.Text()
	up := make(chan struct{}, 1)
	d.proxy = tunnel.NewProxy(map[string]string{"home": token}, tunnel.Replace)
	d.tunnels = &http.Server{Handler: d.proxy.Tunnels(), ReadHeaderTimeout: 10 * time.Second}
	tunnelAddr, err := listen(d.tunnels.Serve)
	if err != nil {
		return err
	}
	d.public = &http.Server{Handler: d.proxy, ReadHeaderTimeout: 10 * time.Second}
	publicAddr, err := listen(d.public.Serve)
	if err != nil {
		return err
	}
	d.relayURL = "http://" + publicAddr + "/home/"
	origin := &tunnel.Origin{
		Endpoint: tunnel.Endpoint{Addr: tunnelAddr, Name: "home", Token: token},
		Handler:  site(d.dir),
	}
	d.proxy.Logf = func(string, ...any) { // the first log line reports that the tunnel is up
		select {
		case up <- struct{}{}:
		default:
		}
	}
	var result error
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{}) // latch: the origin has ended, result is valid
	go func() {
		result = origin.Run(running)
		close(ended)
	}()
	d.stopOrigin = func() error {
		stop()
		<-ended
		return result
	}
	select {
	case <-up:
		return nil
	case <-ended:
		return fmt.Errorf("the origin could not connect: %w", result)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// shutdown shuts everything down gracefully.
func (d *demo) shutdown(ctx context.Context, s *screen) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	err := errors.Join(d.stopOrigin(), d.public.Shutdown(ctx), d.proxy.Shutdown(ctx), d.tunnels.Shutdown(ctx))
	err = errors.Join(err, d.plain.Close(), d.tls.Close(), d.server.Shutdown(ctx))
	if err != nil {
		return err
	}
	s.check("clients, servers and relay have ended in an orderly way")
	return nil
}

// close closes the remaining servers and clients after a failure.
func (d *demo) close() {
	if d.stopOrigin != nil {
		_ = d.stopOrigin()
	}
	for _, server := range []*http.Server{d.public, d.tunnels} {
		if server != nil {
			_ = server.Close()
		}
	}
	for _, client := range []*spdy.Client{d.plain, d.tls} {
		if client != nil {
			_ = client.Close()
		}
	}
	if d.server != nil {
		_ = d.server.Close()
	}
	if d.dir != "" {
		_ = os.RemoveAll(d.dir)
	}
}
