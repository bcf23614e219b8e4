package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A process is a peer in a separate process. It exits when its standard input ends, so no process
// outlives this program. Otherwise it is killed, with all child processes.
type process struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	done  chan struct{} // latch: the process has exited and been waited for

	mu    sync.Mutex
	lines []string      // output of the process, from stdout and stderr
	bell  chan struct{} // "look at lines again"
}

// keepLines bounds the stored lines of a peer's output.
const keepLines = 2000

// start starts a peer.
func start(dir string, env []string, argv ...string) (*process, error) {
	p := &process{
		cmd:  exec.Command(argv[0], argv[1:]...),
		done: make(chan struct{}),
		bell: make(chan struct{}, 1),
	}
	p.cmd.Dir = dir
	p.cmd.Env = append(p.cmd.Environ(), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var err error
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	r, w := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = w, w
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%s: %w", argv[0], err)
	}
	go func() { // ends with the peer's output
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			p.add(lines.Text())
		}
		_, _ = io.Copy(io.Discard, r)
	}()
	go func() { // ends with the peer
		err := p.cmd.Wait()
		p.add(fmt.Sprintf("[ended: %v]", err))
		w.Close()
		close(p.done)
	}()
	return p, nil
}

func (p *process) add(line string) {
	p.mu.Lock()
	if len(p.lines) < keepLines {
		p.lines = append(p.lines, line)
	}
	p.mu.Unlock()
	select {
	case p.bell <- struct{}{}:
	default:
	}
}

// await waits for a line with the prefix, at or after line number from, and returns the text after
// the prefix.
func (p *process) await(ctx context.Context, from int, prefix string) (string, error) {
	for {
		p.mu.Lock()
		lines := p.lines
		p.mu.Unlock()
		for _, line := range lines[min(from, len(lines)):] {
			if rest, ok := strings.CutPrefix(line, prefix); ok {
				return rest, nil
			}
		}
		select {
		case <-p.bell:
		case <-p.done:
			return "", fmt.Errorf("the peer ended before it said %q: %s", prefix, p.log(from))
		case <-ctx.Done():
			return "", fmt.Errorf("the peer did not say %q: %w", prefix, context.Cause(ctx))
		}
	}
}

// printed returns the number of lines so far.
func (p *process) printed() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.lines)
}

// log returns the peer's output from a line on.
func (p *process) log(from int) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines[min(from, len(p.lines)):], "\n")
}

func (p *process) say(line string) error {
	_, err := io.WriteString(p.stdin, line+"\n")
	return err
}

func (p *process) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// stop ends the peer, by force if necessary.
func (p *process) stop() {
	p.stdin.Close()
	patience := time.NewTimer(2 * time.Second)
	defer patience.Stop()
	select {
	case <-p.done:
		return
	case <-patience.C:
	}
	if err := syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		fmt.Println("cannot kill", p.cmd.Path, err)
	}
	<-p.done
}
