// Command client fetches URLs from a SPDY/3.1 server without TLS, many at once over one connection,
// and prints the responses in order.
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

// run fetches URLs, all from the server of the first URL.
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

// atOnce limits the responses that are being fetched or wait in memory to be printed.
const atOnce = 32

// An answer is a response, fetched and printed by a separate goroutine.
type answer struct {
	turn chan struct{} // closed when all earlier responses are printed
	done chan error    // capacity 1
	held bytes.Buffer  // received and not yet printed
}

// fetch reads the whole response as it arrives, even before the response's turn to be printed. An
// unread body would occupy a stream of the server and part of the session's window, which an
// earlier response may be waiting for. A response that is cut off is an error, never a short body.
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
	case <-ctx.Done(): // an earlier response has failed
		return ctx.Err()
	}
	_, err = a.held.WriteTo(out)
	return err
}

// get sends a request and returns the response when the headers have arrived. The server may have
// lowered the limit of concurrent streams while the request was on the way, and refuse the request:
// then get sends the request again.
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

// maxTries limits the number of attempts for a request.
const maxTries = 5
