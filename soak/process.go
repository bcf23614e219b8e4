package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// A process is the parent's view of a child.
type process struct {
	name string
	cmd  *exec.Cmd
	gone chan struct{} // closed when the process has ended

	asking sync.Mutex // held while a caller waits for an answer
	last   int        // number of commands; guarded by asking
	lines  *json.Encoder
	input  io.Closer

	mu      sync.Mutex
	waiting map[int]chan answer
	latest  *sample // the latest sample received
}

var errGone = errors.New("the process has ended")

// startProcess runs this program again, as a child with the given settings.
func startProcess(name string, set settings) (*process, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(set)
	if err != nil {
		return nil, err
	}
	p := &process{name: name, cmd: exec.Command(program), gone: make(chan struct{}), waiting: make(map[int]chan answer)}
	p.cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	p.cmd.Stderr = os.Stderr
	tied(p.cmd)
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.lines, p.input = json.NewEncoder(in), in
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // ends with the child
		p.hear(out)
		p.cmd.Wait()
		close(p.gone)
	}()
	return p, nil
}

// hear delivers answers to the waiting callers. Some callers no longer wait, since a stopped child
// answers late.
func (p *process) hear(out io.Reader) {
	lines := json.NewDecoder(out)
	for {
		var a answer
		if lines.Decode(&a) != nil {
			return
		}
		p.mu.Lock()
		if a.Sample != nil {
			p.latest = a.Sample
		}
		if c := p.waiting[a.ID]; c != nil {
			c <- a // never blocks: this is the only answer
			delete(p.waiting, a.ID)
		}
		p.mu.Unlock()
	}
}

// ask sends a command and waits for the answer.
func (p *process) ask(ctx context.Context, op string) (answer, error) {
	p.asking.Lock()
	defer p.asking.Unlock()
	p.last++
	id, c := p.last, make(chan answer, 1)
	p.mu.Lock()
	p.waiting[id] = c
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.waiting, id)
		p.mu.Unlock()
	}()
	if err := p.lines.Encode(command{ID: id, Op: op}); err != nil {
		return answer{}, fmt.Errorf("%s: %w", p.name, err)
	}
	select {
	case a := <-c:
		return a, nil
	case <-p.gone:
		return answer{}, fmt.Errorf("%s: %w", p.name, errGone)
	case <-ctx.Done():
		return answer{}, fmt.Errorf("%s: no answer to %q: %w", p.name, op, context.Cause(ctx))
	}
}

// sample requests a sample from the child, by "sample" or "rest", and measures the process through
// the operating system. If only the child does not answer, for example when stopped, the sample has
// no Gauges.
func (p *process) sample(ctx context.Context, op string) (*sample, error) {
	a, err := p.ask(ctx, op)
	s := a.Sample
	if err != nil || s == nil {
		s = new(sample)
	}
	var sysErr error
	s.RSS, s.Files, sysErr = measure(p.cmd.Process.Pid)
	return s, errors.Join(err, sysErr)
}

// quit lets the child finish and returns the last sample.
func (p *process) quit(ctx context.Context) (*sample, error) {
	a, err := p.ask(ctx, "quit")
	if err != nil {
		p.kill()
		return p.lastSample(), err
	}
	p.input.Close()
	<-p.gone
	return a.Sample, nil
}

// kill kills the child with SIGKILL and waits for the end.
func (p *process) kill() {
	p.cmd.Process.Kill()
	<-p.gone
}

// lastSample returns the latest known sample of a child.
func (p *process) lastSample() *sample {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.latest == nil {
		return new(sample)
	}
	return p.latest
}

// stopFor stops the child with SIGSTOP, and continues it after d or when ctx ends.
func (p *process) stopFor(ctx context.Context, d time.Duration) {
	if p.cmd.Process.Signal(sigStop) != nil {
		return // the child has just been killed
	}
	pause(ctx, d)
	p.cmd.Process.Signal(sigCont)
}
