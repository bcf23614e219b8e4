// Speccov reports the protocol rules shown by the tests. It runs the tests of the package in the
// current directory, or reads saved output of go test -json, and writes docs/spec-coverage.md. With
// -check it writes nothing and fails if that file is out of date, if a test fails, or if a rule has
// neither a test nor a reason.
//
//	go run ./internal/speccov
//	go run ./internal/speccov -check
//	go test -json . | go run ./internal/speccov -json -
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "speccov: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string, stdin io.Reader, stderr io.Writer) error {
	flags := flag.NewFlagSet("speccov", flag.ContinueOnError)
	flags.SetOutput(stderr)
	saved := flags.String("json", "", "read the output of go test -json from this `file`, - for standard input, instead of running the tests")
	out := flags.String("o", filepath.Join("docs", "spec-coverage.md"), "the `file` to write or check")
	check := flags.Bool("check", false, "check the file instead of writing it")
	if err := flags.Parse(args); err != nil {
		return err
	}
	cover, err := gather(*saved, stdin, stderr)
	if err != nil {
		return err
	}
	text := cover.Markdown()
	if !*check {
		if err := os.MkdirAll(filepath.Dir(*out), 0o755); err != nil {
			return err
		}
		return errors.Join(cover.Err(), os.WriteFile(*out, []byte(text), 0o644))
	}
	committed, err := os.ReadFile(*out)
	if err == nil {
		err = compare(*out, string(committed), text)
	}
	return errors.Join(cover.Err(), err)
}

// gather returns the results of the tests.
func gather(saved string, stdin io.Reader, stderr io.Writer) (*Coverage, error) {
	switch saved {
	case "":
		return runTests(stderr)
	case "-":
		return ReadTests(stdin)
	}
	f, err := os.Open(saved)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadTests(f)
}

// runTests runs the tests in the current directory. Coverage.Err reports failed tests.
func runTests(stderr io.Writer) (*Coverage, error) {
	cmd := exec.Command("go", "test", "-json", ".")
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	cover, err := ReadTests(out)
	_, _ = io.Copy(io.Discard, out) // drain the output so that Wait returns
	var exit *exec.ExitError
	if werr := cmd.Wait(); werr != nil && (!errors.As(werr, &exit) || err == nil && len(cover.failed) == 0) {
		return nil, errors.Join(werr, err)
	}
	return cover, err
}

// compare returns an error with the first difference from the committed file.
func compare(name, committed, text string) error {
	if committed == text {
		return nil
	}
	was, is := strings.SplitAfter(committed, "\n"), strings.SplitAfter(text, "\n")
	i := 0
	for i < len(was) && i < len(is) && was[i] == is[i] {
		i++
	}
	line := func(lines []string) string {
		if i < len(lines) {
			return lines[i]
		}
		return ""
	}
	return fmt.Errorf("%s:%d is out of date, run go run ./internal/speccov:\n- %q\n+ %q", name, i+1, line(was), line(is))
}
