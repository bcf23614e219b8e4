// Command server serves a directory, and a greeting at /hello, without TLS: over SPDY, and over
// HTTP/1.1 for clients without SPDY. Stop the server with Ctrl-C; running requests finish first.
//
//	go run ./examples/server -addr localhost:8080 -dir .
//	go run ./examples/client http://localhost:8080/hello
//	curl http://localhost:8080/hello
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/amahi/spdy"
)

func main() {
	addr := flag.String("addr", "localhost:8080", "`host:port` to listen on")
	dir := flag.String("dir", ".", "`directory` to serve")
	debug := flag.Bool("debug", false, "print every frame")
	flag.Parse()
	if *debug {
		spdy.EnableDebug()
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *addr, *dir, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "server:", err)
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, addr, dir string, out io.Writer) error {
	mux := http.NewServeMux()
	mux.Handle("/", http.FileServer(http.Dir(dir)))
	mux.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) {
		protocol := "HTTP/1.1"
		if _, ok := w.(*spdy.Stream); ok {
			protocol = "SPDY"
		}
		fmt.Fprintf(w, "Hello, %s, over %s.\n", r.RemoteAddr, protocol)
	})
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "serving %s on %s, without TLS\n", dir, ln.Addr())

	server := &spdy.Server{Handler: mux}
	stopped := make(chan error, 1)
	context.AfterFunc(ctx, func() {
		grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		stopped <- server.Shutdown(grace)
	})
	if err := server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}
