package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/localcert"
	"github.com/amahi/spdy/internal/shown"
)

const serveHelp = `Usage: spdy serve [flags] [dir]

Serves the files in a directory, by default the current one, over SPDY in every
dialect, and over HTTP/1.1 to clients that do not speak SPDY. Without -tls a
client's first bytes tell what it speaks, with -tls it negotiates.

Nothing outside the directory is served, not by way of symbolic links either, and
without -all no file or directory whose name begins with a dot.

The URLs and a line for each request go to standard output, errors to standard
error. Ctrl-C lets requests under way finish; a second one does not.
`

// serveGrace is how long requests may run after Ctrl-C.
const serveGrace = 10 * time.Second

// serveOptions are the flags of serve.
type serveOptions struct {
	addr      string
	secure    bool
	cert, key string
	http1     bool
	all       bool
	version   versionFlag
	dir       string
}

func runServe(ctx context.Context, e *env, args []string) error {
	o := serveOptions{dir: "."}
	flags := newFlags("serve")
	flags.StringVar(&o.addr, "addr", "localhost:8080", "`address` to listen on; :8080 means all of this machine's, port 0 any free port")
	flags.BoolVar(&o.secure, "tls", false, "serve https")
	flags.StringVar(&o.cert, "cert", "", "PEM `file` with the certificate for -tls (default: one made up for this run)")
	flags.StringVar(&o.key, "key", "", "PEM `file` with its key")
	flags.BoolVar(&o.http1, "http1", true, "serve HTTP/1.1 clients too")
	flags.BoolVar(&o.all, "all", false, "serve names that begin with a dot too")
	flags.Var(&o.version, "version", "without -tls: the `dialect` of clients, 3 or 3.1, whose first bytes do not tell these apart (default: find out)")
	rest, err := e.parse(flags, args, serveHelp)
	if err != nil {
		return err
	}
	switch {
	case len(rest) > 1:
		return usagef("one directory at a time, not %d", len(rest))
	case (o.cert == "") != (o.key == ""):
		return usagef("-cert and -key go together")
	case o.cert != "" && !o.secure:
		return usagef("-cert is for -tls")
	}
	if len(rest) == 1 {
		o.dir = rest[0]
	}
	return o.serve(ctx, e)
}

func (o *serveOptions) serve(ctx context.Context, e *env) error {
	root, err := os.OpenRoot(o.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	var certificate *tls.Certificate
	if o.secure {
		if certificate, err = o.certificate(); err != nil {
			return err
		}
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", o.addr)
	if err != nil {
		return err
	}
	defer ln.Close()
	out, problems := newConsole(e.stdout), newConsole(e.stderr)
	if err := o.announce(out, ln.Addr(), certificate); err != nil {
		return err
	}
	srv := &spdy.Server{
		Handler: o.handler(&directory{root: root, all: o.all}, out),
		Config: &spdy.Config{
			Version: o.version.Version,
			Logger:  slog.New(slog.NewTextHandler(problems, nil)),
		},
		ErrorLog: log.New(problems, "", log.LstdFlags),
	}
	return o.until(ctx, srv, ln, certificate)
}

func (o *serveOptions) handler(files http.FileSystem, logTo io.Writer) http.Handler {
	h := http.FileServer(files)
	if !o.http1 {
		h = spdyOnly(h)
	}
	return &accessLog{next: h, out: logTo, now: time.Now}
}

// until serves until the context ends, and then shuts down within serveGrace.
func (o *serveOptions) until(ctx context.Context, srv *spdy.Server, ln net.Listener, certificate *tls.Certificate) error {
	served := make(chan error, 1) // buffered, so that the goroutine never blocks
	go func() { served <- o.listen(srv, ln, certificate) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), serveGrace)
	defer cancel()
	err := srv.Shutdown(grace)
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return nil // the requests had serveGrace to finish
	}
	return err
}

func (o *serveOptions) listen(srv *spdy.Server, ln net.Listener, certificate *tls.Certificate) error {
	if certificate == nil {
		return srv.Serve(ln)
	}
	conf := &tls.Config{Certificates: []tls.Certificate{*certificate}}
	if o.http1 {
		srv.TLSConfig = conf
		return srv.ServeTLS(ln, "", "")
	}
	for _, v := range dialects {
		conf.NextProtos = append(conf.NextProtos, v.String())
	}
	return srv.Serve(tls.NewListener(ln, conf))
}

// certificate loads the certificate, or generates a certificate.
func (o *serveOptions) certificate() (*tls.Certificate, error) {
	var (
		cert tls.Certificate
		err  error
	)
	if o.cert != "" {
		cert, err = tls.LoadX509KeyPair(o.cert, o.key)
	} else {
		cert, _, err = localcert.New(o.hosts()...)
	}
	if err != nil {
		return nil, err
	}
	return &cert, nil
}

// hosts are the names in a generated certificate.
func (o *serveOptions) hosts() []string {
	hosts := append([]string(nil), localcert.Hosts...)
	host, _, err := net.SplitHostPort(o.addr)
	switch {
	case err != nil:
	case host == "" || net.ParseIP(host).IsUnspecified():
		hosts = append(hosts, machineAddrs()...)
	case host != "localhost":
		hosts = append(hosts, host)
	}
	return hosts
}

// announce prints the URLs of the files.
func (o *serveOptions) announce(w io.Writer, addr net.Addr, certificate *tls.Certificate) error {
	scheme := "http"
	if o.secure {
		scheme = "https"
	}
	dir := o.dir
	if full, err := filepath.Abs(dir); err == nil {
		dir = full
	}
	text := fmt.Sprintf("serving %s on\n", shown.Printable(dir))
	for _, host := range urlHosts(addr) {
		text += fmt.Sprintf("  %s://%s/\n", scheme, host)
	}
	if certificate != nil && o.cert == "" {
		text += fmt.Sprintf("with a certificate made up for this run, which clients have to be told to take (-k)\n  SHA-256 %x\n",
			sha256.Sum256(certificate.Certificate[0]))
	}
	_, err := io.WriteString(w, text)
	return err
}

// urlHosts returns the hosts for an address in URLs: localhost and all addresses of this machine if
// the address is unspecified.
func urlHosts(addr net.Addr) []string {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return []string{addr.String()}
	}
	port := fmt.Sprint(tcp.Port)
	if !tcp.IP.IsUnspecified() {
		return []string{net.JoinHostPort(tcp.IP.String(), port)}
	}
	hosts := []string{net.JoinHostPort("localhost", port)}
	for _, a := range machineAddrs() {
		hosts = append(hosts, net.JoinHostPort(a, port))
	}
	return hosts
}

// machineAddrs returns the addresses of this machine that other machines can use.
func machineAddrs() (addrs []string) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			addrs = append(addrs, n.IP.String())
		}
	}
	return addrs
}
