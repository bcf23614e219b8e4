// Stall runs go test with a Go whose goroutines are held up at random: before they run,
// when they have woken another one, and around what they do with sockets. What a test
// takes for granted about who is first, and the library about what cannot happen in
// between, then fails within minutes instead of once in a thousand runs on somebody
// else's machine. Time in a synctest bubble does not notice. It needs Linux.
//
//	go run ./internal/stall                            # go test -count=1 -shuffle=on ./...
//	go run ./internal/stall -- -race -run TestPing .   # go test with these arguments
//	go run ./internal/stall -every 50                  # more of it
//
// It copies a few files of the Go that is installed, puts the stalls in, and gives them to
// the compiler by go test -overlay; nothing that is installed changes. Programs that tests
// build stall, too. It prints what go test prints and exits as go test does. The files of
// a Go that it does not know are an error.
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

// installed is the root of the Go that go test uses.
func installed() (goroot string, err error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
