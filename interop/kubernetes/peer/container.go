package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"

	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

// A container is what the streaming server asks to run a command. Its commands are made
// to show faults of the transport.
type container struct{}

// Exec runs a command. As containerd does, it closes the outputs that are left.
func (c container) Exec(ctx context.Context, _ string, cmd []string, in io.Reader, out, errOut io.WriteCloser, _ bool, resize <-chan remotecommand.TerminalSize) error {
	if len(cmd) == 0 {
		return errors.New("there is no command")
	}
	p := process{in: in, out: out, errOut: errOut, resize: resize}
	if cmd[0] != "left-open" {
		defer p.closeOutputs()
	}
	return p.run(ctx, cmd[0], cmd[1:])
}

// Attach attaches to a process that echoes.
func (c container) Attach(ctx context.Context, _ string, in io.Reader, out, errOut io.WriteCloser, _ bool, resize <-chan remotecommand.TerminalSize) error {
	p := process{in: in, out: out, errOut: errOut, resize: resize}
	defer p.closeOutputs()
	if resize != nil {
		return p.run(ctx, "sizes", []string{"3"})
	}
	return p.run(ctx, "cat", nil)
}

type process struct {
	in          io.Reader
	out, errOut io.WriteCloser
	resize      <-chan remotecommand.TerminalSize
}

func (p process) closeOutputs() {
	for _, w := range []io.WriteCloser{p.out, p.errOut} {
		if w != nil {
			w.Close()
		}
	}
}

func (p process) run(ctx context.Context, name string, args []string) error {
	number := func(i int) int64 {
		if i >= len(args) {
			return 0
		}
		n, _ := strconv.ParseInt(args[i], 10, 64)
		return n
	}
	switch name {
	case "cat":
		_, err := io.Copy(p.out, p.in)
		return err
	case "both": // SIZE SEED: writes as much as it reads, at the same time
		d, err := both(p.out, p.in, uint64(number(1)), number(0), nil)
		if err == nil {
			_, err = io.WriteString(p.errOut, d)
		}
		return err
	case "left-open", "write": // SIZE SEED
		_, err := io.Copy(p.out, content(uint64(number(1)), number(0)))
		return err
	case "two": // SIZE SEED: stdout and stderr in turns
		return p.two(uint64(number(1)), number(0))
	case "exit": // CODE
		code := int(number(0))
		return utilexec.CodeExitError{Err: fmt.Errorf("exit status %d", code), Code: code}
	case "fail":
		return errors.New("the container is on fire")
	case "sizes": // COUNT
		return p.sizes(ctx, int(number(0)))
	case "endless":
		_, err := io.Copy(p.out, content(0, 1<<62))
		return err
	}
	return fmt.Errorf("there is no command %q", name)
}

func (p process) two(seed uint64, size int64) error {
	a, b := content(seed, size), content(seed+1, size)
	for {
		n, err := io.CopyN(p.out, a, 10000)
		m, err2 := io.CopyN(p.errOut, b, 10000)
		if n == 0 && m == 0 {
			return nil
		}
		if err != nil && err != io.EOF || err2 != nil && err2 != io.EOF {
			return errors.Join(err, err2)
		}
	}
}

func (p process) sizes(ctx context.Context, count int) error {
	for range count {
		select {
		case size, ok := <-p.resize:
			if !ok {
				return errors.New("no more sizes")
			}
			fmt.Fprintf(p.out, "%dx%d\n", size.Width, size.Height)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// The ports of the pod.
const (
	portEcho = 7001 // writes back what it reads
	portBoth = 7002 // reads size and seed, then writes as much as it reads, and then the digest of what it read
	portFail = 7003 // fails
)

// PortForward is a connection to one of the pod's ports. A broken connection is no
// failure of the pod, so it is not reported as one: client-go gives up the whole session
// when it hears of a failure.
func (c container) PortForward(_ context.Context, _ string, port int32, stream io.ReadWriteCloser) error {
	switch port {
	case portEcho:
		_, _ = io.Copy(stream, stream)
		return nil
	case portBoth:
		var head [16]byte
		if _, err := io.ReadFull(stream, head[:]); err != nil {
			return nil
		}
		size, seed := int64(binary.BigEndian.Uint64(head[:8])), binary.BigEndian.Uint64(head[8:])
		d, err := both(stream, stream, seed, size, nil)
		if err == nil {
			_, _ = io.WriteString(stream, d)
		}
		return nil
	}
	return fmt.Errorf("connection refused: nobody listens on port %d", port)
}
