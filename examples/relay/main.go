// Command relay makes a server behind NAT reachable. The server, called the origin, dials out to a
// public proxy and serves files over that connection. The proxy forwards requests of ordinary HTTP
// clients to the origin.
//
// Proxy and origin in one process, as a demonstration:
//
//	go run ./examples/relay
//
// For real use the proxy runs on a publicly reachable machine,
//
//	relay proxy -listen :8080 -tunnels :8443 -cert cert.pem -key key.pem -origin home=TOKEN
//
// and the origin on an unreachable machine:
//
//	RELAY_TOKEN=TOKEN relay origin -proxy proxy.example:8443 -name home -dir /srv/media
//
// Then http://proxy.example:8080/home/ is the directory. Package examples/internal/tunnel
// implements and documents the mechanism.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	err := run(ctx, os.Args[1:], os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "relay:", err)
		os.Exit(1)
	}
}

// run runs the selected program until ctx ends.
func run(ctx context.Context, args []string, out io.Writer) error {
	command := "demo"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		command, args = args[0], args[1:]
	}
	p := &printer{out: out}
	switch command {
	case "demo":
		return runDemo(ctx, args, p)
	case "proxy":
		return runProxy(ctx, args, p)
	case "origin":
		return runOrigin(ctx, args, p)
	}
	return fmt.Errorf("there is no command %q, only proxy, origin and demo", command)
}

// parse parses flags. Help is printed to the program's output; a mistake only returns an error.
func parse(flags *flag.FlagSet, args []string, p *printer) error {
	flags.SetOutput(io.Discard)
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		p.printf("The flags of %s:", flags.Name())
		flags.SetOutput(p.out)
		flags.PrintDefaults()
		return err
	}
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return err
}

// A printer prints whole lines, from any number of goroutines.
type printer struct {
	mu  sync.Mutex
	out io.Writer
}

func (p *printer) printf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, format+"\n", args...)
}
