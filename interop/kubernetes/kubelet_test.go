package kubernetes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/examples/kubernetes/kube"
	"github.com/amahi/spdy/interop/kubernetes/internal/census"
	"github.com/amahi/spdy/interop/kubernetes/internal/workload"
)

// client-go, with either library, talks to the kubelet of examples/kubernetes.
func TestKubelet(t *testing.T) {
	built, err := peers()
	require.NoError(t, err)
	for _, client := range libraries {
		t.Run("client="+client, func(t *testing.T) {
			runClient(t, built[client], client, startKubelet(t))
		})
	}
}

// startKubelet runs a kubelet, and beside it what a client has to know: where to go.
func startKubelet(t *testing.T) (address string) {
	pod := newPod(t)
	mux := http.NewServeMux()
	mux.Handle("/", &kube.Kubelet{Runtime: pod, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	ts := httptest.NewServer(mux)
	t.Cleanup(ts.Close)
	mux.HandleFunc("/open/{verb}", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		q["command"] = q["cmd"]
		q.Del("cmd")
		switch verb := r.PathValue("verb"); verb {
		case "portforward":
			fmt.Fprint(w, ts.URL+"/portForward/ns/pod")
		default:
			fmt.Fprint(w, ts.URL+"/"+verb+"/ns/pod/container?"+q.Encode())
		}
	})
	mux.HandleFunc("/census", func(w http.ResponseWriter, r *http.Request) { _ = json.NewEncoder(w).Encode(census.Take()) })
	mux.HandleFunc("/stacks", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, census.Stacks()) })
	u, err := url.Parse(ts.URL)
	require.NoError(t, err)
	return u.Host
}

// A pod is a kube.Runtime with the commands and ports of package workload.
type pod struct{ ports map[uint16]string }

func newPod(t *testing.T) *pod {
	p := &pod{ports: make(map[uint16]string)}
	for _, port := range workload.Ports {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { ln.Close() })
		p.ports[uint16(port)] = ln.Addr().String()
		go func() { // ends with the listener
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				go func() { // ends with the connection
					defer conn.Close()
					_ = workload.Serve(port, conn)
				}()
			}
		}()
	}
	return p
}

func process(p kube.Process) workload.Process {
	w := workload.Process{In: p.Stdin, Out: p.Stdout, ErrOut: p.Stderr}
	if p.TTY {
		w.Size = func() (width, height uint16, ok bool) {
			size, ok := <-p.Sizes
			return size.Width, size.Height, ok
		}
	}
	return w
}

func (*pod) Exec(ctx context.Context, _ kube.Container, command []string, p kube.Process) error {
	err := process(p).Run(ctx, command)
	var exit workload.ExitCode
	if errors.As(err, &exit) {
		return &kube.ExitError{Code: int(exit)}
	}
	return err
}

func (*pod) Attach(ctx context.Context, _ kube.Container, p kube.Process) error {
	return process(p).Attach(ctx)
}

func (p *pod) Dial(ctx context.Context, _ kube.Container, port uint16) (io.ReadWriteCloser, error) {
	if p.ports[port] == "" {
		return nil, errors.New("connection refused: nobody listens")
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", p.ports[port])
}

// The client of examples/kubernetes talks to the streaming server of container runtimes,
// with either library.
func TestClient(t *testing.T) {
	built, err := peers()
	require.NoError(t, err)
	for _, server := range libraries {
		t.Run("server="+server, func(t *testing.T) {
			c := &criClient{t: t, address: startServer(t, built[server], server)}
			c.commands() // once, for what is made once in a process
			http.DefaultClient.CloseIdleConnections()
			here, there := census.Take(), c.census()
			t.Run("commands", c.with((*criClient).commands))
			t.Run("cancelled", c.with((*criClient).cancelled))
			t.Run("terminal", c.with((*criClient).terminal))
			t.Run("ports", c.with((*criClient).ports))
			c.nothingLeft(here, there)
		})
	}
}

// A criClient asks a "peer serve".
type criClient struct {
	t       *testing.T
	address string
	kube.Client
}

func (c *criClient) with(f func(*criClient)) func(t *testing.T) {
	return func(t *testing.T) { f(&criClient{t: t, address: c.address}) }
}

func (c *criClient) get(path string, q url.Values) string {
	req, err := http.NewRequest("GET", "http://"+c.address+path+"?"+q.Encode(), nil)
	require.NoError(c.t, err)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	require.NoError(c.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	require.Equal(c.t, http.StatusOK, resp.StatusCode, "%s", text)
	return string(text)
}

func (c *criClient) census() (n census.Census) {
	require.NoError(c.t, json.Unmarshal([]byte(c.get("/census", nil)), &n))
	return n
}

func (c *criClient) nothingLeft(here, there census.Census) {
	ctx, cancel := context.WithTimeout(c.t.Context(), *patience)
	defer cancel()
	_, err := census.Settle(ctx, here, func() (census.Census, error) { return census.Take(), nil })
	require.NoError(c.t, err, "in the client\n%s", census.Stacks())
	_, err = census.Settle(ctx, there, func() (census.Census, error) { return c.census(), nil })
	require.NoError(c.t, err, "in the server\n%s", c.get("/stacks", nil))
}

func (c *criClient) exec(ctx context.Context, streams kube.Streams, command ...string) error {
	q := url.Values{"cmd": command}
	streams.Query(q)
	return c.Run(ctx, c.get("/open/exec", q), streams)
}

func (c *criClient) commands() {
	ctx, cancel := context.WithTimeout(c.t.Context(), *patience)
	defer cancel()
	out, told := workload.NewHasher(), new(strings.Builder)
	err := c.exec(ctx, kube.Streams{Stdin: workload.Content(1, *size), Stdout: out, Stderr: told}, "both", fmt.Sprint(*size), "2")
	require.NoError(c.t, err)
	require.Equal(c.t, workload.ContentDigest(2, *size), out.String())
	require.Equal(c.t, workload.ContentDigest(1, *size), told.String())

	// The streaming server resets the streams that a runtime has left open.
	out = workload.NewHasher()
	require.NoError(c.t, c.exec(ctx, kube.Streams{Stdout: out}, workload.LeftOpen, fmt.Sprint(*size), "3"))
	require.Equal(c.t, workload.ContentDigest(3, *size), out.String())

	var exit *kube.ExitError
	require.ErrorAs(c.t, c.exec(ctx, kube.Streams{Stdout: io.Discard}, "exit", "42"), &exit)
	require.Equal(c.t, 42, exit.Code)
	var remote *kube.RemoteError
	require.ErrorAs(c.t, c.exec(ctx, kube.Streams{Stdout: io.Discard}, "fail"), &remote)
	require.Contains(c.t, remote.Message, "on fire")

	// A stdin that does not end.
	in, keyboard := io.Pipe()
	defer keyboard.Close()
	out = workload.NewHasher()
	require.NoError(c.t, c.exec(ctx, kube.Streams{Stdin: in, Stdout: out}, "write", "100000", "4"))
	require.Equal(c.t, workload.ContentDigest(4, 100000), out.String())
}

func (c *criClient) cancelled() {
	ctx, cancel := context.WithCancel(c.t.Context())
	r, w := io.Pipe()
	go func() {
		_, _ = io.CopyN(io.Discard, r, 100_000)
		cancel()
		_, _ = io.Copy(io.Discard, r)
	}()
	require.ErrorIs(c.t, c.exec(ctx, kube.Streams{Stdout: w}, "endless"), context.Canceled)
	w.Close()
}

func (c *criClient) terminal() {
	for _, verb := range []string{"exec", "attach"} {
		var out strings.Builder
		sizes := make(chan kube.Size, 3)
		sizes <- kube.Size{Width: 80, Height: 24}
		sizes <- kube.Size{Width: 132, Height: 50}
		sizes <- kube.Size{Width: 65535, Height: 1}
		streams := kube.Streams{Stdout: &out, TTY: true, Sizes: sizes}
		q := url.Values{"cmd": {"sizes", "3"}}
		streams.Query(q)
		require.NoError(c.t, c.Run(c.t.Context(), c.get("/open/"+verb, q), streams))
		require.Equal(c.t, "80x24\n132x50\n65535x1\n", out.String())
	}
}
