// Command expvar is a server that publishes spdy.Server.Stats under /debug/vars, as JSON, next to
// the variables of package expvar. All other paths return a line of text, over SPDY and HTTP/1.1,
// without TLS. Stop the server with Ctrl-C.
//
//	go run ./examples/expvar -addr localhost:8080
//	go run ./examples/client http://localhost:8080/
//	curl http://localhost:8080/debug/vars
package main

import (
	"context"
	"errors"
	"expvar"
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
	frames := flag.Bool("frames", false, "print every frame, and the headers in it, to standard error")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server := newServer()
	if *frames {
		server.Config.FrameLog = &spdy.FrameLog{Out: os.Stderr, Headers: true}
	}
	expvar.Publish("spdy", expvar.Func(func() any { return server.Stats() }))
	if err := run(ctx, server, *addr, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "expvar:", err)
		os.Exit(1)
	}
}

// newServer returns the server. The published figures reveal the load and the clients of the
// server, so a real server would publish the figures to operators only.
func newServer() *spdy.Server {
	mux := http.NewServeMux()
	mux.Handle("/debug/vars", expvar.Handler())
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s\n", r.URL.Path)
	})
	return &spdy.Server{Handler: mux, Config: new(spdy.Config)}
}

// run serves until ctx ends.
func run(ctx context.Context, server *spdy.Server, addr string, out io.Writer) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "serving on %s, without TLS; see http://%s/debug/vars\n", ln.Addr(), ln.Addr())
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
