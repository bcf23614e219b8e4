//go:build unix

package heal

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
)

// A child is this program in a process of its own, which runs a single test and can be stopped.
type child struct {
	*exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// startChild starts a test in a process of its own, and waits until the process prints a line that
// begins with until. It returns the rest of the line.
func startChild(test, until string, env ...string) (c *child, rest string, err error) {
	cmd := exec.Command(os.Args[0], "-test.run=^"+test+"$")
	cmd.Env = append(os.Environ(), env...)
	in, inErr := cmd.StdinPipe()
	out, outErr := cmd.StdoutPipe()
	if err := errors.Join(inErr, outErr, cmd.Start()); err != nil {
		return nil, "", err
	}
	c = &child{cmd, in, bufio.NewReader(out)}
	for {
		line, err := c.out.ReadString('\n')
		if err != nil {
			in.Close()
			return nil, line, errors.Join(err, cmd.Wait())
		}
		if rest, ok := strings.CutPrefix(line, until); ok {
			return c, strings.TrimSpace(rest), nil
		}
	}
}
