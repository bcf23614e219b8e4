// Command client fetches URLs from a SPDY/3.1 server without TLS, all of them at
// once over one connection, and prints the answers in order.
//
//	go run ./examples/client http://localhost:8080/hello http://localhost:8080/README.md
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
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

	answers := make([]*answer, len(urls))
	for i, u := range urls {
		a := &answer{done: make(chan struct{})}
		answers[i] = a
		go func() { // ends with its request
			a.res, a.err = get(ctx, client, u)
			close(a.done)
		}()
	}
	for _, a := range answers {
		<-a.done
		if a.err != nil {
			return a.err
		}
		if err := a.print(out, verbose); err != nil {
			return err
		}
	}
	return nil
}

// An answer is one of those on their way.
type answer struct {
	done chan struct{} // closed when res or err is there
	res  *http.Response
	err  error
}

func get(ctx context.Context, client *spdy.Client, url string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return client.Do(req) // returns when the headers have come
}

// print copies the body as it arrives. If the answer is cut off, that is an
// error, never a short body.
func (a *answer) print(out io.Writer, verbose bool) error {
	defer a.res.Body.Close()
	if verbose {
		fmt.Fprintln(out, a.res.Proto, a.res.Status)
		if err := a.res.Header.Write(out); err != nil {
			return err
		}
		fmt.Fprintln(out)
	}
	_, err := io.Copy(out, a.res.Body)
	return err
}
