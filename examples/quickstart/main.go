// Command quickstart demonstrates the library: it starts servers, a client and a relay in one
// process, on 127.0.0.1 only, transfers bytes between them, and checks every byte.
//
//	go run ./examples/quickstart
//
// The exit code is 0 only if every check succeeds.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// limit is the time limit of the whole run.
const limit = 55 * time.Second

func main() {
	size := flag.Int64("mib", 256, "how many `MiB` to download, and to upload")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it takes more than %v", limit))
	defer cancel()
	if err := run(ctx, *size<<20, newScreen(os.Stdout)); err != nil {
		fmt.Fprintln(os.Stderr, "\nquickstart:", err)
		os.Exit(1)
	}
}

// A step demonstrates one feature. The step calls check to report each verified fact.
type step struct {
	title string
	run   func(context.Context, *screen) error
}

func run(ctx context.Context, size int64, s *screen) error {
	if size <= 0 {
		return errors.New("-mib must be more than 0")
	}
	began := time.Now()
	s.line("SPDY/3.1 quickstart: servers, clients and a relay in one program, on this machine only.")
	d := &demo{size: size}
	defer d.close()
	for i, st := range d.steps() {
		s.title(i+1, st.title)
		if err := st.run(ctx, s); err != nil {
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
			return fmt.Errorf("step %d, %s: %w", i+1, st.title, err)
		}
	}
	s.line("")
	s.line("All was right: %d checks in %.1f seconds.", s.checks, time.Since(began).Seconds())
	return nil
}

func (d *demo) steps() []step {
	return []step{
		{"start the servers", d.start},
		{"fetch a page", d.fetchPage},
		{fmt.Sprintf("download %s over TLS", bytesText(d.size)), d.download},
		{fmt.Sprintf("upload %s over TLS", bytesText(d.size)), d.upload},
		{"open 200 Range requests at once, abandon half", d.ranges},
		{"go through the relay, with an ordinary HTTP client", d.throughRelay},
		{"ping", d.ping},
		{"shut down", d.shutdown},
	}
}
