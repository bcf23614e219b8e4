package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/amahi/spdy/examples/internal/tunnel"
)

type proxyOptions struct {
	listen, tunnels, status string
	cert, key               string
	policy                  string
	byHost                  bool
	grace                   time.Duration
	origins                 map[string]string // token by name
}

func runProxy(ctx context.Context, args []string, p *printer) error {
	o := proxyOptions{origins: make(map[string]string)}
	flags := flag.NewFlagSet("relay proxy", flag.ContinueOnError)
	flags.StringVar(&o.listen, "listen", "localhost:8080", "`host:port` for HTTP clients")
	flags.StringVar(&o.tunnels, "tunnels", "localhost:8443", "`host:port` for origins")
	flags.StringVar(&o.status, "status", "localhost:8081", "`host:port` for the status page, none if empty")
	flags.StringVar(&o.cert, "cert", "", "PEM `file` with the certificate for origins; without, tunnels are not encrypted")
	flags.StringVar(&o.key, "key", "", "PEM `file` with its key")
	flags.StringVar(&o.policy, "reconnect", "replace", "what becomes of an origin's old tunnel when it opens a new one: `replace`, newest (keep it as a spare) or refuse")
	flags.BoolVar(&o.byHost, "by-host", false, "find the origin by the first label of the Host, not of the path")
	flags.DurationVar(&o.grace, "grace", 10*time.Second, "`time` for running answers when the proxy has to end")
	flags.Func("origin", "an origin that may connect, as `name=token`; any number of times", func(s string) error {
		return addOrigin(o.origins, s)
	})
	flags.Func("origins", "`file` with such lines", func(path string) error { return readOrigins(o.origins, path) })
	if err := parse(flags, args, p); err != nil {
		return err
	}
	if len(o.origins) == 0 {
		return errors.New("no origin may connect; try -origin home=TOKEN")
	}
	return serveProxy(ctx, o, p)
}

func addOrigin(origins map[string]string, line string) error {
	name, token, ok := strings.Cut(line, "=")
	if !ok || token == "" || name == "" || strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return errors.New("want name=token, with a name of a-z, 0-9 and -")
	}
	origins[name] = token
	return nil
}

func readOrigins(origins map[string]string, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := addOrigin(origins, line); err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return lines.Err()
}

// serveProxy runs the three listeners until ctx ends or a listener fails.
func serveProxy(ctx context.Context, o proxyOptions, p *printer) error {
	policy, err := tunnel.ParsePolicy(o.policy)
	if err != nil {
		return err
	}
	proxy := tunnel.NewProxy(o.origins, policy)
	proxy.ByHost, proxy.Logf = o.byHost, p.printf
	conf, err := tlsConfig(o)
	if err != nil {
		return err
	}
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	l := &listeners{fail: fail, p: p}
	defer l.close()
	l.serve("HTTP clients", o.listen, proxy, nil)
	l.serve("origins", o.tunnels, proxy.Tunnels(), conf)
	if o.status != "" {
		l.serve("the status page, /status", o.status, proxy.Status(), nil)
	}
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	p.printf("closing, running answers may finish")
	grace, cancel := context.WithTimeout(context.Background(), o.grace)
	defer cancel()
	return errors.Join(l.shutdown(grace), proxy.Shutdown(grace))
}

func tlsConfig(o proxyOptions) (*tls.Config, error) {
	if o.cert == "" && o.key == "" {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(o.cert, o.key)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}

// listeners holds the HTTP servers of a proxy. The first failure of a server ends all servers.
type listeners struct {
	fail    context.CancelCauseFunc
	p       *printer
	servers []*http.Server
	running sync.WaitGroup
}

// serve starts a server and returns the address, "" if listening fails.
func (l *listeners) serve(who, addr string, h http.Handler, conf *tls.Config) string {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		l.fail(err)
		return ""
	}
	if conf != nil {
		ln = tls.NewListener(ln, conf)
	}
	l.p.printf("listening for %s on %s", who, ln.Addr())
	server := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		TLSNextProto:      map[string]func(*http.Server, *tls.Conn, http.Handler){}, // no HTTP/2: tunnels hijack the connection
	}
	l.servers = append(l.servers, server)
	l.running.Go(func() {
		if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			l.fail(err)
		}
	})
	return ln.Addr().String()
}

// shutdown lets running requests finish.
func (l *listeners) shutdown(ctx context.Context) error {
	var err error
	for _, server := range l.servers {
		err = errors.Join(err, server.Shutdown(ctx))
	}
	return err
}

func (l *listeners) close() {
	for _, server := range l.servers {
		_ = server.Close() // an error here has no consequence
	}
	l.running.Wait()
}
