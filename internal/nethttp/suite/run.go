package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	"github.com/amahi/spdy/internal/nethttp/suite/hook"
)

// slow tests build programs, and none of them uses the protocol under test.
const slow = "^(TestOmitHTTP2|TestOmitHTTP2Vet|TestCmdGoNoHTTPServer)$"

// The timeouts end a process with a test that hangs. Without such tests all tests take ten seconds,
// and those that have failed before, or are excluded, take one.
const (
	timeout      = "40s"
	briefTimeout = "10s"
)

// A runner runs the compiled tests of a package.
type runner struct{ binary, dir, path string }

// An outcome is the result of a test.
type outcome struct {
	result string // pass, fail or skip; empty if the process ended before the test
	uses   bool   // the test has used the protocol under test
	output []string
}

// An event is a line of go tool test2json.
type event struct{ Action, Test, Output string }

// run runs the top-level tests that match pattern, and returns the outcomes by name. A test that
// ends the process, or hangs, has failed; the tests it prevented run in another process.
func (r runner) run(over, pattern, timeout string) (map[string]*outcome, error) {
	outcomes := make(map[string]*outcome)
	skip := slow
	for {
		before := len(outcomes)
		if err := r.process(over, pattern, skip, timeout, outcomes); err != nil {
			return nil, err
		}
		culprits := false
		for name, o := range outcomes {
			if o.result == "" {
				o.result, culprits = "fail", true
			}
			if !strings.Contains(name, "/") {
				skip = strings.TrimSuffix(skip, ")$") + "|" + regexp.QuoteMeta(name) + ")$"
			}
		}
		if !culprits || len(outcomes) == before {
			return outcomes, nil
		}
	}
}

// process runs the binary once.
func (r runner) process(over, pattern, skip, timeout string, outcomes map[string]*outcome) error {
	cmd := exec.Command("go", "tool", "test2json", r.binary, "-test.v=test2json", "-test.timeout", timeout,
		"-test.run", pattern, "-test.skip", skip)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), hook.Variable+"="+over)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	err = read(out, outcomes)
	if waited := cmd.Wait(); err == nil && waited != nil && cmd.ProcessState.ExitCode() != 1 {
		err = waited // 1 is a failed test
	}
	return err
}

// read adds the outcomes in the output of test2json.
func read(from io.Reader, outcomes map[string]*outcome) error {
	lines := bufio.NewScanner(from)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("test2json printed %q: %w", lines.Text(), err)
		}
		if e.Test == "" {
			continue
		}
		o := outcomes[e.Test]
		if o == nil {
			o = new(outcome)
			outcomes[e.Test] = o
		}
		switch e.Action {
		case "pass", "fail", "skip":
			o.result = e.Action
		case "output":
			o.output = append(o.output, e.Output)
			o.uses = o.uses || strings.Contains(e.Output, mark)
		}
	}
	return lines.Err()
}

// settle returns the results of the tests that use the protocol under test. A test with subtests of
// its own for several protocols counts once for the protocol, "TestName/spdy"; deeper subtests are
// part of it. In the names the protocol is called "spdy".
func settle(over string, outcomes map[string]*outcome) map[string]string {
	results := make(map[string]string)
	for name, o := range outcomes {
		if !o.uses {
			continue
		}
		unit := unitOf(over, name)
		if whole := outcomes[unit]; whole != nil {
			results[named(over, unit)] = whole.result
		}
	}
	return results
}

// unitOf returns the name of the test to which a subtest belongs.
func unitOf(over, name string) string {
	parts := strings.Split(name, "/")
	if i := slices.Index(parts, over); i > 0 {
		return strings.Join(parts[:i+1], "/")
	}
	return parts[0]
}

// named returns the name of a test with "spdy" for the protocol.
func named(over, unit string) string {
	if strings.HasSuffix(unit, "/"+over) {
		return strings.TrimSuffix(unit, over) + hook.SPDY
	}
	return unit
}

// tops returns a pattern for the top-level tests of the names.
func tops(names []string) string {
	top := make([]string, len(names))
	for i, name := range names {
		top[i], _, _ = strings.Cut(name, "/")
	}
	slices.Sort(top)
	return "^(" + strings.Join(slices.Compact(top), "|") + ")$"
}
