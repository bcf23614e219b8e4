package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/tools/remotecommand"
	"k8s.io/client-go/util/exec"

	"github.com/amahi/spdy/interop/kubernetes/internal/workload"
)

func number[T int64 | uint64](n T) string { return fmt.Sprint(n) }

var execScenarios = []scenario{
	{"exec: both ways at once", func(c *client, ctx context.Context) (string, error) {
		out, errOut := workload.NewHasher(), &bytes.Buffer{}
		begun := time.Now()
		err := c.stream(ctx, "exec", remotecommand.StreamOptions{Stdin: workload.Content(c.seed, c.size), Stdout: out, Stderr: errOut},
			"both", number(c.size), number(c.seed+1))
		rate := float64(2*c.size) / 1e6 / time.Since(begun).Seconds()
		return fmt.Sprintf("%d bytes each way, %.0f MB/s", c.size, rate), errors.Join(err,
			expect("stdout", out.String(), workload.ContentDigest(c.seed+1, c.size)),
			expect("stdin, at the other end", errOut.String(), workload.ContentDigest(c.seed, c.size)))
	}},
	{"exec: stdin alone", func(c *client, ctx context.Context) (string, error) {
		out := workload.NewHasher()
		size := min(c.size, 32<<20)
		err := c.stream(ctx, "exec", remotecommand.StreamOptions{Stdin: workload.Content(c.seed, size), Stdout: out}, "cat")
		return "", errors.Join(err, expect("stdout", out.String(), workload.ContentDigest(c.seed, size)))
	}},
	{"exec: stdout and stderr", func(c *client, ctx context.Context) (string, error) {
		out, errOut := workload.NewHasher(), workload.NewHasher()
		size := min(c.size, 32<<20)
		err := c.stream(ctx, "exec", remotecommand.StreamOptions{Stdout: out, Stderr: errOut}, "two", number(size), number(c.seed))
		return "", errors.Join(err, expect("stdout", out.String(), workload.ContentDigest(c.seed, size)),
			expect("stderr", errOut.String(), workload.ContentDigest(c.seed+1, size)))
	}},
	{"exec: a runtime that leaves the streams open", func(c *client, ctx context.Context) (string, error) {
		out := workload.NewHasher()
		err := c.stream(ctx, "exec", remotecommand.StreamOptions{Stdout: out}, "left-open", number(c.size), number(c.seed))
		return "", errors.Join(err, expect("stdout", out.String(), workload.ContentDigest(c.seed, c.size)))
	}},
	{"exec: exit code", func(c *client, ctx context.Context) (string, error) {
		err := c.stream(ctx, "exec", remotecommand.StreamOptions{Stdout: io.Discard}, "exit", "42")
		var code exec.CodeExitError
		if !errors.As(err, &code) || code.Code != 42 {
			return "", fmt.Errorf("the exit code is %w", err)
		}
		return "", nil
	}},
	{"exec: error", func(c *client, ctx context.Context) (string, error) {
		err := c.stream(ctx, "exec", remotecommand.StreamOptions{Stdout: io.Discard}, "fail")
		if err == nil {
			return "", errNoError
		}
		if !strings.Contains(err.Error(), "on fire") {
			return "", fmt.Errorf("the error is %w", err)
		}
		return "", nil
	}},
	{"exec: resize", func(c *client, ctx context.Context) (string, error) { return c.resize(ctx, "exec", "sizes", "3") }},
	{"exec: the command ends before its stdin", func(c *client, ctx context.Context) (string, error) {
		out := workload.NewHasher()
		in, w := io.Pipe()
		defer w.Close()
		err := c.stream(ctx, "exec", remotecommand.StreamOptions{Stdin: in, Stdout: out}, "write", "100000", number(c.seed))
		return "", errors.Join(err, expect("stdout", out.String(), workload.ContentDigest(c.seed, 100000)))
	}},
	{"exec: cancelled", func(c *client, ctx context.Context) (string, error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		err := c.stream(ctx, "exec", remotecommand.StreamOptions{Stdout: &trigger{after: 100_000, do: cancel}}, "endless")
		if !errors.Is(err, context.Canceled) {
			return "", fmt.Errorf("the error is %w", err)
		}
		return "", nil
	}},
	{"exec: 20 at the same time", func(c *client, ctx context.Context) (string, error) {
		errs := make([]error, 20)
		var all sync.WaitGroup
		for i := range errs {
			all.Go(func() {
				out, errOut := workload.NewHasher(), &bytes.Buffer{}
				size, seed := min(c.size, 1<<20), c.seed+uint64(i)
				err := c.stream(ctx, "exec", remotecommand.StreamOptions{Stdin: workload.Content(seed, size), Stdout: out, Stderr: errOut},
					"both", number(size), number(seed+1))
				errs[i] = errors.Join(err, expect("stdout", out.String(), workload.ContentDigest(seed+1, size)),
					expect("stdin, at the other end", errOut.String(), workload.ContentDigest(seed, size)))
			})
		}
		all.Wait()
		return "", errors.Join(errs...)
	}},
}

var attachScenarios = []scenario{
	{"attach: echo", func(c *client, ctx context.Context) (string, error) {
		out := workload.NewHasher()
		size := min(c.size, 32<<20)
		err := c.stream(ctx, "attach", remotecommand.StreamOptions{Stdin: workload.Content(c.seed, size), Stdout: out}, "")
		return "", errors.Join(err, expect("stdout", out.String(), workload.ContentDigest(c.seed, size)))
	}},
	{"attach: resize", func(c *client, ctx context.Context) (string, error) { return c.resize(ctx, "attach") }},
}

// resize tests a terminal that changes its size twice.
func (c *client) resize(ctx context.Context, verb string, cmd ...string) (string, error) {
	var out bytes.Buffer
	in, w := io.Pipe()
	defer w.Close()
	sizes := &sizeQueue{{Width: 80, Height: 24}, {Width: 132, Height: 50}, {Width: 65535, Height: 1}}
	err := c.stream(ctx, verb, remotecommand.StreamOptions{Stdin: in, Stdout: &out, Tty: true, TerminalSizeQueue: sizes}, cmd...)
	return "", errors.Join(err, expect("the sizes", out.String(), "80x24\n132x50\n65535x1\n"))
}

// A sizeQueue holds the successive sizes of a terminal.
type sizeQueue []remotecommand.TerminalSize

func (q *sizeQueue) Next() *remotecommand.TerminalSize {
	if len(*q) == 0 {
		return nil
	}
	size := (*q)[0]
	*q = (*q)[1:]
	return &size
}

// A trigger calls do when after bytes have been written.
type trigger struct {
	after int
	do    func()
}

func (t *trigger) Write(p []byte) (int, error) {
	if t.after -= len(p); t.after <= 0 {
		t.do()
	}
	return len(p), nil
}
