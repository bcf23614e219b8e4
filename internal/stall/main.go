// Stall runs go test with a Go toolchain whose goroutines are delayed at random: before running,
// after waking another goroutine, and around socket operations. Wrong assumptions about ordering in
// a test, or about atomicity in the library, then fail within minutes instead of once in a thousand
// runs on a different machine. Time in a synctest bubble is not affected. Stall needs Linux.
//
//	go run ./internal/stall                            # go test -count=1 -shuffle=on ./...
//	go run ./internal/stall -- -race -run TestPing .   # go test with these arguments
//	go run ./internal/stall -every 50                  # more stalls
//
// It copies a few files of the installed Go, inserts the stalls, and passes the copies to the
// compiler by go test -overlay; the installation is unchanged. Programs built by tests stall, too.
// The output and exit status are those of go test. An unknown Go version, whose files do not match,
// is an error.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

func main() {
	every := flag.Int("every", 400, "one stall in so many chances, on average; of 0 to 2 ms, and ten times as seldom of up to 20 ms")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: stall [-every n] [-- arguments of go test]")
		flag.PrintDefaults()
	}
	flag.Parse()
	args := flag.Args()
	if len(args) == 0 {
		args = []string{"-count=1", "-shuffle=on", "./..."}
	}
	err := run(*every, args)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() > 0 {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "stall:", err)
		os.Exit(1)
	}
}

func run(every int, args []string) error {
	if every < 1 {
		return fmt.Errorf("one stall in %d chances cannot be", every)
	}
	dir, err := os.MkdirTemp("", "stall")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	goroot, err := installed()
	if err != nil {
		return err
	}
	overlay, err := writeOverlay(dir, goroot, every)
	if err != nil {
		return err
	}
	cmd := exec.Command("go", append([]string{"test"}, args...)...)
	cmd.Env = append(os.Environ(), "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -overlay="+overlay))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// installed returns the GOROOT of the Go that go test uses.
func installed() (goroot string, err error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
