// Command client fetches URLs from a SPDY/3.1 server without TLS, many of them at
// once over one connection, and prints the answers in order.
//
//	go run ./examples/client http://localhost:8080/hello http://localhost:8080/README.md
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/amahi/spdy"
)

func main() {
	verbose := flag.Bool("v", false, "print status and headers, too")
	timeout := flag.Duration("timeout", time.Minute, "give up after this `time`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	if err := run(ctx, flag.Args(), *verbose, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

// run fetches URLs, all from the server that the first one names.
func run(ctx context.Context, urls []string, verbose bool, out io.Writer) error {
	if len(urls) == 0 {
		return errors.New("no URL given, for example http://localhost:8080/hello")
	}
	server, err := url.Parse(urls[0])
	if err != nil {
		return err
	}
	client, err := spdy.NewClient(server.Host)
	if err != nil {
		return err
	}
	defer client.Close()

	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	answers := make([]*answer, len(urls))
	started := 0
	for i := range answers {
		for ; started < min(i+atOnce, len(urls)); started++ {
			a := &answer{turn: make(chan struct{}), done: make(chan error, 1)}
			answers[started] = a
			target := urls[started]
			running.Go(func() { a.done <- a.fetch(ctx, client, target, verbose, out) })
		}
		close(answers[i].turn)
		if err := <-answers[i].done; err != nil {
			return err
		}
	}
	return nil
}

// atOnce limits the answers that are fetched, or wait in memory for their turn.
const atOnce = 32

// An answer is fetched by a goroutine of its own, which prints it.
type answer struct {
	turn chan struct{} // closed when all answers before it are printed
	done chan error    // capacity 1
	held bytes.Buffer  // not printed yet
}

// fetch reads the whole answer as it arrives, whether it is its turn to be printed or
// not. An unread body would keep a stream of the server and part of the session's window,
// which the answer before it may be waiting for. If the answer is cut off, that is an
// error, never a short body.
func (a *answer) fetch(ctx context.Context, client *spdy.Client, url string, verbose bool, out io.Writer) error {
	res, err := get(ctx, client, url)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if verbose {
		fmt.Fprintln(&a.held, res.Proto, res.Status)
		if err := res.Header.Write(&a.held); err != nil {
			return err
		}
		fmt.Fprintln(&a.held)
	}
	for buf := make([]byte, 32<<10); err == nil; {
		var n int
		n, err = res.Body.Read(buf)
		a.held.Write(buf[:n])
		select {
		case <-a.turn:
			if _, err := a.held.WriteTo(out); err != nil {
				return err
			}
		default:
		}
	}
	if !errors.Is(err, io.EOF) {
		return err
	}
	select {
	case <-a.turn:
	case <-ctx.Done(): // an answer before it has failed
		return ctx.Err()
	}
	_, err = a.held.WriteTo(out)
	return err
}

// get sends a request and returns its answer when the headers have arrived. A request
// that the server refused, because it takes fewer at once than it had said when the
// request was sent, is sent again.
func get(ctx context.Context, client *spdy.Client, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	for try := 1; ; try++ {
		res, err := client.Do(req)
		var refused *spdy.StreamError
		if try == maxTries || !errors.As(err, &refused) || !refused.Retryable() {
			return res, err
		}
	}
}

// maxTries limits how often a request is sent.
const maxTries = 5
