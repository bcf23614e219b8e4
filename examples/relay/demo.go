package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"flag"
	"net/http"
	"time"

	"github.com/amahi/spdy/examples/internal/tunnel"
	"github.com/amahi/spdy/internal/localcert"
)

// runDemo runs a proxy and an origin in one process, with a temporary token and certificate.
func runDemo(ctx context.Context, args []string, p *printer) error {
	flags := flag.NewFlagSet("relay", flag.ContinueOnError)
	listen := flags.String("listen", "localhost:8080", "`host:port` for HTTP clients")
	dir := flags.String("dir", ".", "`directory` that the origin serves")
	if err := parse(flags, args, p); err != nil {
		return err
	}
	token := rand.Text()
	cert, trust, err := localcert.New()
	if err != nil {
		return err
	}
	proxy := tunnel.NewProxy(map[string]string{"home": token}, tunnel.Replace)
	proxy.Logf = p.printf
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	l := &listeners{fail: fail, p: p}
	defer l.close()
	public := l.serve("HTTP clients", *listen, proxy, nil)
	tunnels := l.serve("origins", "127.0.0.1:0", proxy.Tunnels(), &tls.Config{Certificates: []tls.Certificate{cert}})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	origin := &tunnel.Origin{
		Endpoint: tunnel.Endpoint{Addr: tunnels, TLS: &tls.Config{RootCAs: trust}, Name: "home", Token: token},
		Handler:  http.FileServer(http.Dir(*dir)),
		Logf:     p.printf,
	}
	p.printf("the origin serves %s; in another terminal, try\n\n    curl http://%s/home/\n    curl -r 0-99 http://%[2]s/home/README.md\n", *dir, public)
	err = origin.Run(ctx) // until ctx ends and the running requests have finished
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(err, l.shutdown(grace), proxy.Shutdown(grace))
}
