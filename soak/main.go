// Command soak abuses a relay for a while and checks for leaks. It runs an origin, a relay and
// several clients as separate processes: the origin dials the relay and serves the requests that
// the relay forwards, as a server behind NAT does; the clients send requests to the relay, with
// HTTP/1.1 and every dialect of SPDY.
//
//	go -C soak run .            # twenty minutes
//	go -C soak run . -for 60s   # what CI does
//
// Clients open films and abandon them, as media players do, read slowly, upload, cancel in the
// middle, ping, and cut their connections. Meanwhile clients are killed, every process is stopped
// for a while, and tunnels are cut and replaced. Every byte that arrives is checked.
//
// At the end, after the clients have ended, the goroutines, file descriptors, streams, unread
// bytes, windows and memory of relay and origin must be back at the baseline. If they are not, or a
// byte was wrong, or a partial body looked complete, the exit status is 1.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	if text, child := childSettings(); child {
		if err := runChild(text, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "soak:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program at once
	ok, err := runParent(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// runParent runs a soak with the options from the flags, and reports whether the soak passed.
func runParent(ctx context.Context, args []string, out, log io.Writer) (ok bool, err error) {
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.SetOutput(log)
	k := &soak{options: options{log: log}}
	flags.DurationVar(&k.duration, "for", 20*time.Minute, "how long the abuse goes on")
	flags.DurationVar(&k.every, "every", 0, "how often to sample; 0 makes it 300 samples, but not more often than once a second")
	flags.IntVar(&k.clients, "clients", 4, "client processes")
	flags.IntVar(&k.workers, "workers", 12, "what a client does at once")
	flags.Uint64Var(&k.seed, "seed", 0, "of all that is random; 0 takes a new one")
	svg := flags.String("svg", "", "file for the picture")
	kept := flags.String("json", "", "file for the result with all samples")
	again := flags.String("again", "", "file that -json wrote: show that result, and do nothing else")
	if err := flags.Parse(args); err != nil {
		return false, err
	}
	if k.every <= 0 {
		k.every = max(time.Second, k.duration/300)
	}
	if k.seed == 0 {
		k.seed = rand.Uint64()
	}
	var r *result
	if *again != "" {
		r, err = readResult(*again)
	} else {
		r, err = k.run(ctx)
	}
	if err != nil {
		return false, err
	}
	writeTables(out, r)
	for _, text := range r.Bad {
		fmt.Fprintln(log, "soak: FAILED:", text)
	}
	return len(r.Bad) == 0, keep(r, *svg, *kept)
}

// keep writes the requested files.
func keep(r *result, svg, kept string) error {
	if svg != "" {
		if err := drawTo(svg, r); err != nil {
			return err
		}
	}
	if kept == "" {
		return nil
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return os.WriteFile(kept, text, 0o644)
}

func readResult(file string) (*result, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := new(result)
	return r, json.Unmarshal(text, r)
}
