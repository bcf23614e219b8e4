package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// Unexported code is measured by the benchmarks in package spdy's tests, each in a process like
// every other workload.

const (
	suiteDirVar = "SPDY_BENCH_SUITE" // directory of this module, if not the current directory
	testsVar    = "SPDY_BENCH_TESTS" // the compiled tests of package spdy
)

// moduleDir returns the root of the repository.
func moduleDir() (string, error) {
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/amahi/spdy")
	cmd.Dir, cmd.Env, cmd.Stderr = os.Getenv(suiteDirVar), append(os.Environ(), "GOWORK=off"), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("where is package spdy? %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// buildTests builds the tests of package spdy into a directory, for the children.
func buildTests(tmp string) error {
	dir, err := moduleDir()
	if err != nil {
		return err
	}
	program := filepath.Join(tmp, "spdy.test.exe")
	cmd := exec.Command("go", "test", "-c", "-o", program, ".")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOWORK=off")
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("building the tests of package spdy: %w", err)
	}
	return os.Setenv(testsVar, program)
}

// packageBench runs the named benchmark of package spdy with the target as sub-benchmark, and
// renames the metrics.
func packageBench(name string, rename map[string]string) func(string, float64) (metrics, error) {
	return func(target string, scale float64) (metrics, error) {
		args := []string{"-test.run=^$", "-test.benchmem", "-test.bench=^" + name + "$/^" + target + "$",
			"-test.benchtime=" + strconv.FormatFloat(max(0.3*scale, 0.001), 'f', -1, 64) + "s"}
		if profiles.cpuprofile != "" {
			args = append(args, "-test.cpuprofile="+profiles.cpuprofile, "-test.memprofile="+profiles.heap)
		}
		cmd := exec.Command(os.Getenv(testsVar), args...)
		cmd.Stderr = os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("%s/%s: %w: %s", name, target, err, out)
		}
		return parseBench(out, rename)
	}
}

// parseBench parses the line of a benchmark.
func parseBench(out []byte, rename map[string]string) (metrics, error) {
	for line := range bytes.Lines(out) {
		fields := strings.Fields(string(line))
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		m := metrics{}
		for i := 2; i+1 < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("%q: %w", line, err)
			}
			unit := fields[i+1]
			if unit == "ns/op" {
				unit, value = "µs/op", value/1e3
			}
			if as, ok := rename[unit]; ok {
				m[as] = value
			}
		}
		return m, nil
	}
	return nil, fmt.Errorf("no benchmark in %q", out)
}
