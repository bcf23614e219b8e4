// Package exampletest runs the examples in their tests: in process, until the test ends, with
// access to the output.
package exampletest

import (
	"bytes"
	"context"
	"io"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long a test waits for an event that should happen at once.
const patience = 20 * time.Second

// A Program is a running example.
type Program struct {
	t      *testing.T
	cancel context.CancelFunc
	ended  chan struct{} // latch: the program has returned, the result is in err

	mu      sync.Mutex
	out     bytes.Buffer
	changed chan struct{} // latch: closed and replaced whenever out has grown
	err     error
}

// Start runs an example until the test ends. The example must then return without an error.
func Start(t *testing.T, run func(ctx context.Context, out io.Writer) error) *Program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &Program{t: t, cancel: cancel, ended: make(chan struct{}), changed: make(chan struct{})}
	go func() {
		err := run(ctx, p)
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(p.ended)
	}()
	t.Cleanup(func() { require.NoError(t, p.Stop(), "the example's error\n%s", p.Output()) })
	return p
}

// Stop interrupts the program and returns the program's result.
func (p *Program) Stop() error {
	p.t.Helper()
	p.cancel()
	return p.Wait()
}

// Wait returns the program's result.
func (p *Program) Wait() error {
	p.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
		require.FailNow(p.t, "the example does not end", p.Output())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// Write stores the output of the program.
func (p *Program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.changed)
	p.changed = make(chan struct{})
	return p.out.Write(b)
}

// Output returns the output of the program so far.
func (p *Program) Output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// Find waits until the output of the program matches pattern, and returns the pattern's first
// group.
func (p *Program) Find(pattern string) string {
	p.t.Helper()
	re := regexp.MustCompile(pattern)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		p.mu.Lock()
		m, changed := re.FindStringSubmatch(p.out.String()), p.changed
		p.mu.Unlock()
		if m != nil {
			return m[len(m)-1]
		}
		select {
		case <-changed:
		case <-p.ended:
			p.mu.Lock()
			m, err := re.FindStringSubmatch(p.out.String()), p.err
			p.mu.Unlock()
			if m != nil {
				return m[len(m)-1]
			}
			require.FailNow(p.t, "the example ended without printing "+pattern, "%v\n%s", err, p.Output())
		case <-timer.C:
			require.FailNow(p.t, "the example does not print "+pattern, p.Output())
		}
	}
}
