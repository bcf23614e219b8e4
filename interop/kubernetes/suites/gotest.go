package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/amahi/spdy/interop/kubernetes/internal/swap"
)

// A tally is the result of the tests of a package.
type tally struct {
	tests   map[string]string // full test name: pass, fail or skip
	outcome string            // of the package
	seconds float64
	output  string // of the tests that did not pass
}

func (t tally) count(outcome string) (n int) {
	for _, o := range t.tests {
		if o == outcome {
			n++
		}
	}
	return n
}

// A result is the result of a package with the two libraries.
type result struct {
	layout, pkg string
	moby, ours  tally
}

// worse lists the tests that pass with moby but not with ours.
func (r result) worse() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(r.moby.tests)) {
		if r.moby.tests[name] == "pass" && r.ours.tests[name] != "pass" {
			names = append(names, name)
		}
	}
	if r.moby.outcome == "pass" && r.ours.outcome != "pass" && len(names) == 0 {
		names = append(names, "(the package as a whole)")
	}
	return names
}

// runLayout runs the packages with each library.
func (o options) runLayout(ctx context.Context, l layout, tmp string) ([]result, error) {
	dir := filepath.Join(o.root, "interop", "kubernetes", "suites", "testdata", l.name)
	flags, err := swap.Modfile(ctx, o.root, dir, filepath.Join(tmp, l.name+".mod"))
	if err != nil {
		return nil, err
	}
	say("%s with moby/spdystream", l.name)
	moby, err := o.gotest(ctx, dir, l.packages, "-mod=readonly")
	if err != nil {
		return nil, err
	}
	say("%s with compat/spdystream", l.name)
	ours, err := o.gotest(ctx, dir, l.packages, flags...)
	if err != nil {
		return nil, err
	}
	var results []result
	for _, p := range l.packages {
		results = append(results, result{layout: l.name, pkg: p, moby: moby[p], ours: ours[p]})
	}
	return results, nil
}

// gotest runs the tests of some packages. Failed tests are not an error.
func (o options) gotest(ctx context.Context, dir string, packages []string, flags ...string) (map[string]tally, error) {
	args := append([]string{"test", "-json", "-count=" + strconv.Itoa(o.count), "-p=" + strconv.Itoa(o.parallel), "-timeout=5m"}, flags...)
	if o.race {
		args = append(args, "-race")
	}
	cmd := swap.Go(ctx, dir, append(args, packages...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	tallies, parseErr := readEvents(out)
	err = cmd.Wait()
	if parseErr != nil {
		return nil, parseErr
	}
	var failed *exec.ExitError
	if err != nil && (!errors.As(err, &failed) || ctx.Err() != nil) {
		return nil, err
	}
	for _, p := range packages {
		t := tallies[p]
		if o.verbose && t.outcome != "pass" {
			fmt.Print(t.output)
		}
		say("  %-52s %s, %d of %d pass", p, cmp.Or(t.outcome, "no outcome"), t.count("pass"), len(t.tests))
	}
	return tallies, nil
}

// An event is a line of "go test -json".
type event struct {
	Action, Package, Test, Output, ImportPath string
	Elapsed                                   float64
}

// readEvents collects the events of go test by package.
func readEvents(r io.Reader) (map[string]tally, error) {
	tallies := make(map[string]tally)
	output := make(map[string]string) // of one test
	scan := bufio.NewScanner(r)
	scan.Buffer(nil, 16<<20)
	for scan.Scan() {
		var e event
		if err := json.Unmarshal(scan.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("go test -json: %w in %.100q", err, scan.Bytes())
		}
		if e.Action == "build-output" {
			fmt.Fprint(os.Stderr, e.Output)
		}
		if e.Package == "" {
			continue
		}
		key := e.Package + " " + e.Test
		t := tallies[e.Package]
		if t.tests == nil {
			t.tests = make(map[string]string)
		}
		switch e.Action {
		case "output":
			output[key] += e.Output
		case "pass", "fail", "skip":
			if e.Test == "" {
				t.outcome, t.seconds = e.Action, e.Elapsed
			} else if t.tests[e.Test] != "fail" { // a failure in any of several runs counts as a failure
				t.tests[e.Test] = e.Action
			}
			if e.Action == "fail" {
				t.output += output[key]
			}
			delete(output, key)
		}
		tallies[e.Package] = t
	}
	return tallies, scan.Err()
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "suites: "+format+"\n", args...) }
