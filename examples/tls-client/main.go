// Command tls-client fetches a URL over TLS from a server that negotiates SPDY/3.1, and prints the
// response.
//
//	go run ./examples/tls-client -cafile cert.pem https://localhost:8443/hello
//
// The server's certificate is verified against the certificates in -cafile, or against the system's
// trusted certificates.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"time"

	"github.com/amahi/spdy"
)

func main() {
	cafile := flag.String("cafile", "", "PEM `file` with the certificates to trust")
	verbose := flag.Bool("v", false, "print status and headers, too")
	timeout := flag.Duration("timeout", time.Minute, "give up after this `time`")
	flag.Parse()
	if flag.NArg() != 1 {
		fmt.Fprintln(os.Stderr, "usage: tls-client [-v] [-cafile cert.pem] https://host:port/path")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	if err := run(ctx, flag.Arg(0), *cafile, *verbose, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "tls-client:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rawURL, cafile string, verbose bool, out io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, rawURL, nil)
	if err != nil {
		return err
	}
	client, err := dial(ctx, req.URL, cafile)
	if err != nil {
		return err
	}
	defer client.Close()
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if verbose {
		fmt.Fprintln(out, res.Proto, res.Status)
		if err := res.Header.Write(out); err != nil {
			return err
		}
		fmt.Fprintln(out)
	}
	_, err = io.Copy(out, res.Body)
	return err
}

// dial connects, verifies the server and negotiates SPDY/3.1.
func dial(ctx context.Context, u *url.URL, cafile string) (*spdy.Client, error) {
	if u.Scheme != "https" {
		return nil, fmt.Errorf("%q is not an https URL", u)
	}
	conf := &tls.Config{NextProtos: []string{spdy.SPDY31.String()}}
	if cafile != "" {
		pem, err := os.ReadFile(cafile)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("no certificate in %s", cafile)
		}
	}
	addr := u.Host
	if u.Port() == "" {
		addr = net.JoinHostPort(u.Hostname(), "443")
	}
	conn, err := (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	if conn.(*tls.Conn).ConnectionState().NegotiatedProtocol != spdy.SPDY31.String() {
		return nil, errors.Join(errors.New("the server does not offer SPDY/3.1"), conn.Close())
	}
	return spdy.NewClientConn(conn)
}
