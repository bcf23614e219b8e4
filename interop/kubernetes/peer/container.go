package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"

	"github.com/amahi/spdy/interop/kubernetes/internal/workload"
)

// A container is what the streaming server asks to run a command.
type container struct{}

// Exec runs a command. As containerd does, it closes the outputs that are left.
func (c container) Exec(ctx context.Context, _ string, cmd []string, in io.Reader, out, errOut io.WriteCloser, _ bool, resize <-chan remotecommand.TerminalSize) error {
	if len(cmd) == 0 || cmd[0] != workload.LeftOpen {
		defer closeAll(out, errOut)
	}
	err := process(in, out, errOut, resize).Run(ctx, cmd)
	var exit workload.ExitCode
	if errors.As(err, &exit) {
		return utilexec.CodeExitError{Err: err, Code: int(exit)}
	}
	return err
}

// Attach attaches to a process that runs.
func (c container) Attach(ctx context.Context, _ string, in io.Reader, out, errOut io.WriteCloser, _ bool, resize <-chan remotecommand.TerminalSize) error {
	defer closeAll(out, errOut)
	return process(in, out, errOut, resize).Attach(ctx)
}

func process(in io.Reader, out, errOut io.Writer, resize <-chan remotecommand.TerminalSize) workload.Process {
	p := workload.Process{In: in, Out: out, ErrOut: errOut}
	if resize != nil {
		p.Size = func() (width, height uint16, ok bool) {
			size, ok := <-resize // closed when the stream ends
			return size.Width, size.Height, ok
		}
	}
	return p
}

func closeAll(outputs ...io.WriteCloser) {
	for _, w := range outputs {
		if w != nil {
			w.Close()
		}
	}
}

// PortForward is a connection to one of the pod's ports. A broken connection is no
// failure of the pod, so it is not reported as one: client-go gives up the whole session
// when it hears of a failure.
func (c container) PortForward(_ context.Context, _ string, port int32, stream io.ReadWriteCloser) error {
	if !workload.Listens(int(port)) {
		return fmt.Errorf("connection refused: nobody listens on port %d", port)
	}
	_ = workload.Serve(int(port), stream)
	return nil
}
