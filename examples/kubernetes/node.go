package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/examples/kubernetes/host"
	"github.com/amahi/spdy/examples/kubernetes/kube"
)

// kubelet serves until an interrupt.
func (p *program) kubelet(args []string) error {
	listen := p.flags.String("listen", "127.0.0.1:10250", "`host:port`; who may come here and has the token may run commands on this machine")
	cert := p.flags.String("cert", "", "`file` with a certificate, for TLS")
	key := p.flags.String("key", "", "`file` with its key")
	if err := p.flags.Parse(args); err != nil {
		return err
	}
	if token() == "" {
		return errors.New("without a token in KUBE_TOKEN everybody could run commands on this machine")
	}
	n, err := startNode(p.ctx, *listen, token(), *cert, *key, p.flags.Args())
	if err != nil {
		return err
	}
	n.kubelet.Logger = slog.New(slog.NewTextHandler(p.errOut, nil))
	p.printf("serving on %s", n.url)
	return n.run(p.ctx)
}

// A node is a serving kubelet.
type node struct {
	url     string
	kubelet *kube.Kubelet
	ln      net.Listener
	server  *spdy.Server
	serve   func() error
}

// startNode starts to listen. Clients attach to the main process; main may be empty.
func startNode(ctx context.Context, listen, token, cert, key string, main []string) (*node, error) {
	runtime := &host.Runtime{Main: main}
	if err := runtime.Start(ctx); err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, err
	}
	n := &node{kubelet: &kube.Kubelet{Runtime: runtime, Token: token}, ln: ln}
	n.server = &spdy.Server{Handler: n.kubelet}
	n.url, n.serve = "http://"+ln.Addr().String(), func() error { return n.server.Serve(ln) }
	if cert != "" {
		n.url, n.serve = "https://"+ln.Addr().String(), func() error { return n.server.ServeTLS(ln, cert, key) }
	}
	return n, nil
}

// grace is the time for commands and forwarded connections to finish.
const grace = time.Second

// run serves until the context ends. Then clients have the time grace to finish.
func (n *node) run(ctx context.Context) error {
	ended := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		err := n.server.Shutdown(ctx)
		if errors.Is(err, context.DeadlineExceeded) { // everything has been closed
			err = nil
		}
		ended <- err
	})
	if err := n.serve(); !errors.Is(err, http.ErrServerClosed) {
		stop()
		return err
	}
	return <-ended
}

// demo runs a node and a client of the node, in one process.
func (p *program) demo(args []string) error {
	if err := p.flags.Parse(args); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	secret := rand.Text()
	n, err := startNode(ctx, "127.0.0.1:0", secret, "", "", nil)
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- n.run(ctx) }() // ends with ctx
	client := &kube.Client{Dialer: spdy.UpgradeDialer{Header: http.Header{"Authorization": {"Bearer " + secret}}}}
	err = errors.Join(p.demoExec(ctx, client, n.url), p.demoForward(ctx, client, n.url))
	cancel()
	return errors.Join(err, <-ended)
}

func (p *program) demoExec(ctx context.Context, client *kube.Client, server string) error {
	var out, errOut bytes.Buffer
	streams := kube.Streams{Stdin: strings.NewReader("one\ntwo\nthree\n"), Stdout: &out, Stderr: &errOut}
	command := []string{"sh", "-c", "wc -l; echo 'and now fail' >&2; exit 3"}
	err := client.Run(ctx, kube.PodURL(server, "default", "pod", "exec", "", streams, command...), streams)
	var exit *kube.ExitError
	if !errors.As(err, &exit) {
		return fmt.Errorf("exec: %w", err)
	}
	p.printf("exec: stdout %q, stderr %q, exit code %d", strings.TrimSpace(out.String()), strings.TrimSpace(errOut.String()), exit.Code)
	return nil
}

func (p *program) demoForward(ctx context.Context, client *kube.Client, server string) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello from the pod") })}
	go func() { _ = web.Serve(ln) }() // ends with Close
	defer web.Close()
	f, err := client.Forward(ctx, kube.PodURL(server, "default", "pod", "portforward", "", kube.Streams{}))
	if err != nil {
		return err
	}
	defer f.Close()
	// A forwarded connection is a net.Conn: no local port is needed.
	transport := &http.Transport{DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
		_, text, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		port, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return nil, err
		}
		return f.Dial(ctx, uint16(port))
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, "GET", fmt.Sprintf("http://pod:%d/", ln.Addr().(*net.TCPAddr).Port), nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	p.printf("port-forward: %s, %q", resp.Status, text)
	return err
}
