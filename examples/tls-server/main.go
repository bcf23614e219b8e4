// Command tls-server serves a directory, and a greeting at /hello, over TLS: SPDY for clients that
// negotiate SPDY by ALPN, ordinary HTTPS for all others.
//
//	go run ./examples/tls-server -save-cert cert.pem
//	go run ./examples/tls-client -cafile cert.pem https://localhost:8443/hello
//	curl --cacert cert.pem https://localhost:8443/hello
//
// Without -cert and -key the server generates a certificate for this machine in memory. The key is
// never written to disk; -save-cert writes the certificate, so that clients can trust it.
package main

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/localcert"
)

type options struct {
	addr, dir, cert, key, saveCert string
	spdyOnly                       bool
}

func main() {
	var o options
	flag.StringVar(&o.addr, "addr", "localhost:8443", "`host:port` to listen on")
	flag.StringVar(&o.dir, "dir", ".", "`directory` to serve")
	flag.StringVar(&o.cert, "cert", "", "PEM `file` with the certificate")
	flag.StringVar(&o.key, "key", "", "PEM `file` with its key")
	flag.StringVar(&o.saveCert, "save-cert", "", "write the certificate to this `file`")
	flag.BoolVar(&o.spdyOnly, "spdy-only", false, "speak SPDY to everybody, without negotiation")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "tls-server:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, o options, out io.Writer) error {
	cert, err := certificate(o)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(o.dir)))
	mux.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) {
		protocol := r.TLS.NegotiatedProtocol // "" if nothing was negotiated
		fmt.Fprintf(w, "Hello, %s, over TLS; you negotiated %q.\n", r.RemoteAddr, protocol)
	})
	ln, err := net.Listen("tcp", o.addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "serving %s on %s, with TLS\n", o.dir, ln.Addr())

	server := &spdy.Server{
		Handler:   mux,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
	}
	stopped := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		stopped <- server.Shutdown(grace)
	})
	if o.spdyOnly {
		err = server.Serve(tls.NewListener(ln, server.TLSConfig))
	} else {
		err = server.ServeTLS(ln, "", "") // the certificate is in TLSConfig
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

// certificate loads the certificate from files, or generates a certificate.
func certificate(o options) (cert tls.Certificate, err error) {
	if o.cert != "" || o.key != "" {
		cert, err = tls.LoadX509KeyPair(o.cert, o.key)
	} else {
		cert, _, err = localcert.New()
	}
	if err != nil || o.saveCert == "" {
		return cert, err
	}
	var chain []byte
	for _, der := range cert.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return cert, os.WriteFile(o.saveCert, chain, 0o644)
}
