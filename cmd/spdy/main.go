// Command spdy is a tool for SPDY/2, SPDY/3 and SPDY/3.1: it dumps captured bytes as frames,
// fetches URLs, measures round trips and serves a directory.
//
//	spdy dump [-version 2|3|3.1] [-json] [-secrets] [file]
//	spdy get  [flags] URL...
//	spdy ping [flags] host:port
//	spdy serve [flags] [dir]
//
// See the README in the same directory, or "spdy help".
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/amahi/spdy/internal/shown"
)

// Exit codes.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 130 // the status that shells report after Ctrl-C
)

func main() {
	ignoreBrokenPipes()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// An env is the environment of a subcommand.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
}

// A command is a subcommand.
type command struct {
	name, summary string
	run           func(ctx context.Context, e *env, args []string) error
}

var commands = []command{
	{"dump", "print the frames in one direction of a captured connection", runDump},
	{"get", "fetch URLs over SPDY", runGet},
	{"ping", "measure round trips to a SPDY server", runPing},
	{"serve", "serve a directory over SPDY and HTTP/1.1", runServe},
}

// errFailed ends a subcommand that has already reported the failure.
var errFailed = errors.New("failed")

// A usageError is a mistake on the command line.
type usageError struct{ text string }

func (e *usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...)}
}

// run runs the command line with the given streams and returns the exit code.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		writeUsage(stderr)
		return exitUsage
	}
	name, rest := args[0], args[1:]
	switch name {
	case "help", "-h", "-help", "--help":
		if len(rest) == 0 {
			writeUsage(stdout)
			return exitOK
		}
		name, rest = rest[0], []string{"-h"}
	}
	for _, c := range commands {
		if c.name == name {
			err := c.run(ctx, &env{stdin, stdout, stderr}, rest)
			return report(ctx, stderr, name, err)
		}
	}
	fmt.Fprintf(stderr, "spdy: unknown command %q\nRun 'spdy help' for the commands there are.\n", name)
	return exitUsage
}

// report prints the error of a subcommand and returns the exit code.
func report(ctx context.Context, stderr io.Writer, name string, err error) int {
	var usage *usageError
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "spdy %s: %v\nRun 'spdy %s -h' for help.\n", name, err, name)
		return exitUsage
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		fmt.Fprintf(stderr, "spdy %s: interrupted\n", name)
		return exitInterrupted
	case errors.Is(err, errFailed):
		return exitFailure
	case isBrokenPipe(err):
		return exitFailure // no report: the reader has closed the output
	}
	fmt.Fprintf(stderr, "spdy %s: %s\n", name, shown.Printable(err.Error()))
	return exitFailure
}

func writeUsage(w io.Writer) {
	fmt.Fprint(w, "Usage: spdy command [flags] [arguments]\n\nThe commands:\n\n")
	for _, c := range commands {
		fmt.Fprintf(w, "  %-6s %s\n", c.name, c.summary)
	}
	fmt.Fprint(w, "\nRun 'spdy command -h' for the flags of a command.\n")
}

// newFlags returns a flag set that leaves printing to parse.
func newFlags(name string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	return flags
}

// parse parses the arguments of a subcommand and returns the arguments that are not flags. Unlike
// the flag package alone, parse accepts flags after them too, up to "--". For -h it prints the help
// and returns flag.ErrHelp.
func (e *env) parse(flags *flag.FlagSet, args []string, help string) (rest []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				e.help(flags, help)
				return nil, err
			}
			return nil, &usageError{err.Error()}
		}
		left := flags.Args()
		if len(left) == 0 {
			return rest, nil
		}
		if used := len(args) - len(left); used > 0 && args[used-1] == "--" {
			return append(rest, left...), nil
		}
		rest, args = append(rest, left[0]), left[1:]
	}
}

func (e *env) help(flags *flag.FlagSet, text string) {
	fmt.Fprint(e.stdout, text, "\nFlags:\n\n")
	flags.SetOutput(e.stdout)
	flags.PrintDefaults()
	flags.SetOutput(io.Discard)
}
