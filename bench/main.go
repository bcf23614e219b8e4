// Command bench compares package spdy with the alternatives for a Go program:
//
//	go run ./bench                              # everything, a table at the end; under ten minutes
//	go run ./bench -run '^get' -rounds 3        # some of it, sooner
//	go run ./bench -json bench.json
//	go run ./bench -help
//
// It builds the program in bench/suite, runs the program with the same arguments in the same
// directory, and exits with the same status. The suite is a separate module because of the packages
// that it compares and draws with. Interrupts are forwarded to the program.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

func main() {
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		code = 1
	}
	os.Exit(code)
}

// run builds the suite, runs it and returns its exit status.
func run(args []string) (code int, err error) {
	dir, err := suite()
	if err != nil {
		return 0, err
	}
	tmp, err := os.MkdirTemp("", "spdy-bench-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(tmp)
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM) // from now on an interrupt does not skip the removal of tmp
	program := filepath.Join(tmp, "suite.exe")            // a name that every system can run
	build := exec.Command("go", "build", "-o", program, ".")
	build.Dir, build.Env = dir, append(os.Environ(), "GOWORK=off")
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		return 0, fmt.Errorf("building %s: %w", dir, err)
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "SPDY_BENCH_SUITE="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return wait(cmd, signals)
}

// suite returns the directory of the nested module, beside this command's source.
func suite() (string, error) {
	out, err := exec.Command("go", "list", "-f", "{{.Dir}}", "github.com/amahi/spdy/bench").Output()
	if err != nil {
		return "", fmt.Errorf("run it in the source of github.com/amahi/spdy: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "suite"), nil
}

// wait runs a command to the end, forwards signals and returns the exit status.
func wait(cmd *exec.Cmd, signals <-chan os.Signal) (code int, err error) {
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		select {
		case s := <-signals:
			_ = cmd.Process.Signal(s) // the process may have ended
		case err := <-ended:
			var exit *exec.ExitError
			if errors.As(err, &exit) && exit.ExitCode() >= 0 {
				return exit.ExitCode(), nil
			}
			return 0, err // ended by a signal, or never started
		}
	}
}
