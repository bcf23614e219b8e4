package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"

	"github.com/amahi/spdy/examples/internal/tunnel"
)

func runOrigin(ctx context.Context, args []string, p *printer) error {
	flags := flag.NewFlagSet("relay origin", flag.ContinueOnError)
	proxy := flags.String("proxy", "localhost:8443", "`host:port` of the proxy's listener for origins")
	name := flags.String("name", "home", "`name` that the proxy knows this origin by")
	dir := flags.String("dir", ".", "`directory` to serve")
	token := flags.String("token", "", "`secret` that proves it; better in the environment, as RELAY_TOKEN")
	cafile := flags.String("cafile", "", "PEM `file` with the certificates to trust, instead of the system's")
	plain := flags.Bool("plain", false, "no TLS; the token is for everybody on the way to read")
	if err := parse(flags, args, p); err != nil {
		return err
	}
	if *token == "" {
		*token = os.Getenv("RELAY_TOKEN")
	}
	if *token == "" {
		return errors.New("no token; set RELAY_TOKEN")
	}
	conf, err := originTLS(*plain, *cafile)
	if err != nil {
		return err
	}
	o := &tunnel.Origin{
		Endpoint: tunnel.Endpoint{Addr: *proxy, TLS: conf, Name: *name, Token: *token},
		Handler:  http.FileServer(http.Dir(*dir)),
		Logf:     p.printf,
	}
	return o.Run(ctx)
}

// originTLS returns nil for a tunnel without TLS.
func originTLS(plain bool, cafile string) (*tls.Config, error) {
	if plain {
		return nil, nil
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if cafile == "" {
		return conf, nil
	}
	pem, err := os.ReadFile(cafile)
	if err != nil {
		return nil, err
	}
	conf.RootCAs = x509.NewCertPool()
	if !conf.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("no certificate in %s", cafile)
	}
	return conf, nil
}
