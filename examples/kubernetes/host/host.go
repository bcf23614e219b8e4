// Package host is a container runtime without containers: commands run on this machine, as the user
// who runs the program, and the ports are ports of the loopback interface. A client that can reach
// the kubelet in front of the runtime has all rights of that user.
package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"sync"
	"time"

	"github.com/amahi/spdy/examples/kubernetes/kube"
)

// waitDelay is the time limit for reading output after a command has ended, if a process that the
// command has left behind keeps the output open.
const waitDelay = 2 * time.Second

// A Runtime is a kube.Runtime.
type Runtime struct {
	// Main is the command for Attach. Start starts the command if Main is not empty.
	Main []string

	main *mainProcess
}

var _ kube.Runtime = (*Runtime)(nil)

// Exec runs a command, in a terminal if the client has asked for a terminal.
func (*Runtime) Exec(ctx context.Context, _ kube.Container, command []string, p kube.Process) error {
	if len(command) == 0 {
		return errors.New("there is no command")
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.WaitDelay = waitDelay
	if p.TTY {
		return runInTerminal(cmd, p)
	}
	cmd.Stdout, cmd.Stderr = p.Stdout, p.Stderr
	if p.Stdin != nil {
		// exec.Cmd would wait for the end of stdin, but the command may end earlier.
		in, err := cmd.StdinPipe()
		if err != nil {
			return err
		}
		go func() { // ends with the stream, or the command
			_, _ = io.Copy(in, p.Stdin)
			in.Close()
		}()
	}
	return exitError(cmd.Run())
}

// exitError converts the result of a command to an error of package kube.
func exitError(err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	code := exit.ExitCode()
	if code < 0 { // ended by a signal
		code = 137
	}
	return &kube.ExitError{Code: code, Message: exit.Error()}
}

// Dial connects to a port of this machine.
func (*Runtime) Dial(ctx context.Context, _ kube.Container, port uint16) (io.ReadWriteCloser, error) {
	var d net.Dialer
	return d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))))
}

// A mainProcess is the process that runs permanently. All attached clients receive the output from
// the time of the attachment on, and may write to stdin.
type mainProcess struct {
	stdin io.Writer
	done  chan struct{} // latch: the process has ended
	err   error         // result; valid when done is closed

	mu       sync.Mutex
	attached map[*attachment]bool
}

type attachment struct {
	out, errOut io.Writer
}

// Start starts the main process, which ends with the context.
func (r *Runtime) Start(ctx context.Context) error {
	if len(r.Main) == 0 {
		return nil
	}
	m := &mainProcess{done: make(chan struct{}), attached: make(map[*attachment]bool)}
	cmd := exec.CommandContext(ctx, r.Main[0], r.Main[1:]...)
	cmd.WaitDelay = waitDelay
	cmd.Stdout = fanOut{m, func(a *attachment) io.Writer { return a.out }}
	cmd.Stderr = fanOut{m, func(a *attachment) io.Writer { return a.errOut }}
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	m.stdin = in
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { // ends with the process
		m.err = exitError(cmd.Wait())
		close(m.done)
	}()
	r.main = m
	return nil
}

// Attach connects to the main process until the process ends or the client has disconnected.
func (r *Runtime) Attach(ctx context.Context, _ kube.Container, p kube.Process) error {
	m := r.main
	if m == nil {
		return errors.New("there is nothing to attach to")
	}
	if p.TTY {
		return errors.New("what runs here has no terminal")
	}
	a := &attachment{out: p.Stdout, errOut: p.Stderr}
	m.mu.Lock()
	m.attached[a] = true
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		delete(m.attached, a)
		m.mu.Unlock()
	}()
	if p.Stdin != nil {
		go func() { _, _ = io.Copy(m.stdin, p.Stdin) }() // ends with the stream, or the process
	}
	select {
	case <-m.done:
		return m.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// A fanOut is an output of the main process.
type fanOut struct {
	m  *mainProcess
	of func(*attachment) io.Writer
}

// Write writes to all attached clients. A client that does not read blocks the process, as with a
// pipe; a disconnected client does not.
func (f fanOut) Write(p []byte) (int, error) {
	f.m.mu.Lock()
	var to []io.Writer
	for a := range f.m.attached {
		if w := f.of(a); w != nil {
			to = append(to, w)
		}
	}
	f.m.mu.Unlock()
	for _, w := range to {
		_, _ = w.Write(p)
	}
	return len(p), nil
}

// errNoTerminal is the error on systems without terminal support in this package.
var errNoTerminal = fmt.Errorf("no terminals here: %w", errors.ErrUnsupported)
