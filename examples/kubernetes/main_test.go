package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/examples/internal/exampletest"
	"github.com/amahi/spdy/examples/kubernetes/kube"
)

func TestDemo(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), nil, nil, &out, io.Discard))
	require.Equal(t, "exec: stdout \"3\", stderr \"and now fail\", exit code 3\n"+
		"port-forward: 200 OK, \"hello from the pod\"\n", strings.ReplaceAll(out.String(), `" `, `"`))
}

// startKubelet runs the kubelet command and returns its URL.
func startKubelet(t *testing.T, main ...string) string {
	t.Setenv("KUBE_TOKEN", "secret")
	p := exampletest.Start(t, func(ctx context.Context, out io.Writer) error {
		return run(ctx, append([]string{"kubelet", "-listen", "127.0.0.1:0"}, main...), nil, out, io.Discard)
	})
	return p.Find(`serving on (\S+)`)
}

func TestCommands(t *testing.T) {
	url := startKubelet(t, "cat")
	var out, errOut bytes.Buffer
	err := run(t.Context(), []string{"exec", "-server", url, "-i", "pod", "sh", "-c", "cat; echo oh >&2; exit 7"},
		strings.NewReader("hello"), &out, &errOut)
	var exit *kube.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 7, exit.Code)
	require.Equal(t, "hello", out.String())
	require.Equal(t, "oh\n", errOut.String())

	err = run(t.Context(), []string{"exec", "-server", url, "pod", "/no/such/program"}, nil, &out, &errOut)
	require.ErrorContains(t, err, "no such file")

	// A command need not wait for the end of its stdin.
	out.Reset()
	idle, nobody := io.Pipe()
	require.NoError(t, run(t.Context(), []string{"exec", "-server", url, "-i", "pod", "echo", "done"}, idle, &out, &errOut))
	require.Equal(t, "done\n", out.String())
	nobody.Close()

	// What runs in the container goes on, so the client has to leave.
	ctx, cancel := context.WithCancel(t.Context())
	in, keyboard := io.Pipe()
	go fmt.Fprintln(keyboard, "to cat")
	var echo [6]byte
	out2, w := io.Pipe()
	attached := make(chan error, 1)
	go func() { attached <- run(ctx, []string{"attach", "-server", url, "-i", "pod"}, in, w, io.Discard) }()
	_, err = io.ReadFull(out2, echo[:])
	require.NoError(t, err)
	require.Equal(t, "to cat", string(echo[:]))
	cancel()
	go func() { _, _ = io.Copy(io.Discard, out2) }()
	require.ErrorIs(t, <-attached, context.Canceled)
	keyboard.Close()
	w.Close()
}

// A command that was asked for a terminal has one, of the client's size.
func TestTerminal(t *testing.T) {
	url := startKubelet(t)
	sizes := make(chan kube.Size, 1)
	sizes <- kube.Size{Width: 123, Height: 45}
	var out bytes.Buffer
	streams := kube.Streams{Stdin: strings.NewReader("exit 5\n"), Stdout: &out, TTY: true, Sizes: sizes}
	var target target
	client, err := target.client()
	require.NoError(t, err)
	err = client.Run(t.Context(), kube.PodURL(url, "ns", "pod", "exec", "", streams, "sh", "-c",
		`until [ "$(stty size)" = "45 123" ]; do :; done; echo a terminal; exec sh`), streams)
	var exit *kube.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 5, exit.Code)
	require.Contains(t, out.String(), "a terminal\r\n")
}

func TestForward(t *testing.T) {
	url := startKubelet(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = io.Copy(conn, conn)
			conn.Close()
		}
	}()
	p := exampletest.Start(t, func(ctx context.Context, out io.Writer) error {
		return run(ctx, []string{"forward", "-server", url, "pod", fmt.Sprintf("0:%d", ln.Addr().(*net.TCPAddr).Port), "0:1"}, nil, out, io.Discard)
	})
	conn, err := net.Dial("tcp", p.Find(`forwarding (\S+) to port \d\d`))
	require.NoError(t, err)
	_, err = conn.Write([]byte("through and back"))
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	text, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.Equal(t, "through and back", string(text))

	// Nobody listens on port 1, which is told, and changes nothing else.
	// The reset may be there before Dial returns.
	nobody, err := net.Dial("tcp", p.Find(`forwarding (\S+) to port 1\n`))
	if err == nil {
		_, err = io.ReadAll(nobody)
		require.NoError(t, nobody.Close())
	}
	require.ErrorIs(t, err, syscall.ECONNRESET)
	p.Find(`port 1: forwarding to port 1 of default/pod: .*refused`)
}

func TestMistakes(t *testing.T) {
	for _, args := range [][]string{
		{"dance"},
		{"exec", "pod"},
		{"exec", "-server", "http://x", "pod"},
		{"exec", "-server", "http://x", "-t", "pod", "sh"},
		{"forward", "-server", "http://x", "pod"},
		{"forward", "-server", "http://x", "pod", "80:0"},
		{"attach", "-cafile", "main.go", "-server", "http://x", "pod"},
		{"kubelet", "-listen", "127.0.0.1:0"}, // without a token
	} {
		t.Setenv("KUBE_TOKEN", "")
		require.Error(t, run(t.Context(), args, strings.NewReader(""), io.Discard, io.Discard), args)
	}
}
