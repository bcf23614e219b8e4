// Command kubernetes runs commands in pods and forwards ports of pods, as kubectl exec, attach and
// port-forward do. It is also the node that serves these requests: a kubelet whose only container
// is this machine.
//
// Client and node in one process, as a demonstration:
//
//	go run .
//
// For real use, with a kubelet in one terminal and a client in another,
//
//	KUBE_TOKEN=secret kubernetes kubelet -listen 127.0.0.1:10250 top -b
//	KUBE_TOKEN=secret kubernetes exec -server http://127.0.0.1:10250 -i -t POD sh
//	KUBE_TOKEN=secret kubernetes attach -server http://127.0.0.1:10250 POD
//	KUBE_TOKEN=secret kubernetes forward -server http://127.0.0.1:10250 POD 8080:80
//
// The client connects to any API server that accepts a bearer token, and with -url to the streaming
// server of a container runtime. Package kube implements the protocols.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/examples/kubernetes/kube"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	var exit *kube.ExitError
	switch {
	case errors.Is(err, flag.ErrHelp), err == nil:
	case errors.As(err, &exit):
		os.Exit(exit.Code)
	default:
		fmt.Fprintln(os.Stderr, "kubernetes:", err)
		os.Exit(1)
	}
}

// A program is a command, with inputs and outputs.
type program struct {
	ctx    context.Context
	flags  *flag.FlagSet
	in     io.Reader
	out    io.Writer
	errOut io.Writer

	mu sync.Mutex // of printf
}

// run runs the selected program until ctx ends.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) error {
	command := "demo"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		command, args = args[0], args[1:]
	}
	p := &program{ctx: ctx, flags: flag.NewFlagSet(command, flag.ContinueOnError), in: in, out: out, errOut: errOut}
	p.flags.SetOutput(errOut)
	switch command {
	case "demo":
		return p.demo(args)
	case "kubelet":
		return p.kubelet(args)
	case "exec", "attach":
		return p.command(command, args)
	case "forward":
		return p.forward(args)
	}
	return fmt.Errorf("there is no command %q, only kubelet, exec, attach, forward and demo", command)
}

// printf prints a line. Any number of goroutines may call printf.
func (p *program) printf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, format+"\n", args...)
}

// token is the bearer token of both ends.
func token() string { return os.Getenv("KUBE_TOKEN") }

// A target is the server and pod that a client connects to.
type target struct {
	server, url, namespace, container, caFile string
}

func (t *target) register(flags *flag.FlagSet) {
	flags.StringVar(&t.server, "server", "", "`URL` of an API server, or of a kubelet of this program")
	flags.StringVar(&t.url, "url", "", "complete `URL` of the request, instead of -server and the pod")
	flags.StringVar(&t.namespace, "namespace", "default", "of the pod")
	flags.StringVar(&t.container, "container", "", "of the pod; needed if there are several")
	flags.StringVar(&t.caFile, "cafile", "", "`file` with the certificates to trust, instead of those of the system")
}

// client returns a client for the target.
func (t *target) client() (*kube.Client, error) {
	c := &kube.Client{Dialer: spdy.UpgradeDialer{Proxy: http.ProxyFromEnvironment}}
	if token() != "" {
		c.Dialer.Header = http.Header{"Authorization": {"Bearer " + token()}}
	}
	if t.caFile != "" {
		pem, err := os.ReadFile(t.caFile)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s has no certificates", t.caFile)
		}
		c.Dialer.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return c, nil
}

// requestURL returns the URL of a request, and the remaining arguments. The first argument is the
// pod, unless the target has a complete URL.
func (t *target) requestURL(verb string, streams kube.Streams, args []string, isCommand bool) (string, []string, error) {
	if t.url != "" {
		return t.url, args, nil
	}
	if t.server == "" || len(args) == 0 {
		return "", nil, errors.New("-server and a pod are needed, or -url")
	}
	pod, rest := args[0], args[1:]
	var command []string
	if isCommand {
		command = rest
	}
	return kube.PodURL(t.server, t.namespace, pod, verb, t.container, streams, command...), rest, nil
}
