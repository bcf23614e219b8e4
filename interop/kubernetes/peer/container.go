package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"

	"github.com/amahi/spdy/interop/kubernetes/internal/workload"
)

// A container runs commands for the streaming server.
type container struct{ pod workload.Pod }

// Exec runs a command. Like containerd, it closes the remaining outputs.
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

// Attach attaches to a running process.
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

// grace is containerd's timeout for the second direction after the first direction has ended.
const grace = time.Second

// PortForward forwards like containerd: it dials the port, copies in both directions, allows the
// second direction a second after the first has ended, and reports the first error. client-go
// abandons the whole session on such an error.
func (c container) PortForward(ctx context.Context, _ string, port int32, stream io.ReadWriteCloser) error {
	address, ok := c.pod[int(port)]
	if !ok {
		return fmt.Errorf("connection refused: nobody listens on port %d", port)
	}
	defer stream.Close()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	copied := make(chan error, 2)
	copying := func(dst io.Writer, src io.Reader) {
		_, err := io.Copy(dst, src)
		copied <- err
	}
	go copying(stream, conn) // ends with conn
	go copying(conn, stream) // ends with the stream
	first := <-copied
	limit := time.NewTimer(grace)
	defer limit.Stop()
	select {
	case second := <-copied:
		if first == nil {
			first = second
		}
	case <-limit.C:
	}
	return first
}
