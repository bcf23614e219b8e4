package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/net/http2"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
)

// A roundTripper sends requests over one connection; HTTP/1.1 may use several.
type roundTripper interface {
	RoundTrip(*http.Request) (*http.Response, error)
}

// A service is a running server and a way to make clients.
type service struct {
	target string
	url    string // ends in a slash
	dial   func() (net.Conn, error)
}

// maxStreams is the number of streams that the servers accept and our clients open, slightly more
// than the largest workload needs: the windows are as large as fits 2^31-1 bytes.
const maxStreams = 10_200

// A network makes a listener and the matching dial function.
type network func() (ln net.Listener, dial func() (net.Conn, error), err error)

// loopback is TCP within this machine.
func loopback() (net.Listener, func() (net.Conn, error), error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	return ln, func() (net.Conn, error) { return net.Dial("tcp", ln.Addr().String()) }, nil
}

// inMemory is a network within this process, which needs no file descriptors and can be as slow as
// wanted.
func inMemory(opts ...testconn.Option) network {
	return func() (net.Listener, func() (net.Conn, error), error) {
		ln := testconn.Listen()
		return ln, func() (net.Conn, error) { return ln.Dial(opts...) }, nil
	}
}

// serve starts a server of the target's kind, which runs until the process ends.
func serve(target string, over network, h http.Handler) (*service, error) {
	ln, dial, err := over()
	if err != nil {
		return nil, err
	}
	switch target {
	case "spdy":
		pools := spdy.Pools{BufferBytes: -1, Handlers: -1} // for crowds too large for a machine of 1 GiB
		server := &spdy.Server{Handler: h, Config: &spdy.Config{MaxConcurrentStreams: maxStreams, Version: spdy.SPDY31, Pools: pools}}
		go server.Serve(ln)
	case "h2":
		go serveHTTP2(ln, h)
	case "http1":
		go http.Serve(ln, h)
	default:
		return nil, fmt.Errorf("no target %q", target)
	}
	return &service{target: target, url: "http://" + ln.Addr().String() + "/", dial: dial}, nil
}

func serveHTTP2(ln net.Listener, h http.Handler) {
	server := &http2.Server{MaxConcurrentStreams: maxStreams}
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		go server.ServeConn(conn, &http2.ServeConnOpts{Handler: h})
	}
}

// client makes a client with a separate connection.
func (s *service) client() (roundTripper, error) {
	if s.target == "http1" {
		dial := func(context.Context, string, string) (net.Conn, error) { return s.dial() }
		return &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 1000, DisableCompression: true}, nil
	}
	conn, err := s.dial()
	if err != nil {
		return nil, err
	}
	if s.target == "spdy" {
		return (&spdy.Config{MaxConcurrentStreams: maxStreams, Version: spdy.SPDY31}).NewClientConn(conn)
	}
	t := &http2.Transport{
		AllowHTTP:          true,
		DisableCompression: true,
		DialTLSContext: func(context.Context, string, string, *tls.Config) (net.Conn, error) {
			return nil, errors.New("there is one connection")
		},
	}
	return t.NewClientConn(conn)
}

// serveOne starts a server on loopback and one client.
func serveOne(target string, h http.HandlerFunc) (rt roundTripper, url string, err error) {
	s, err := serve(target, loopback, h)
	if err != nil {
		return nil, "", err
	}
	rt, err = s.client()
	return rt, s.url, err
}

// kind splits a target such as "spdy+100".
func kind(target string) (name, variant string) {
	name, variant, _ = strings.Cut(target, "+")
	return name, variant
}

// urgency sets the priority of a request, from 0, the most urgent, to 7, as the target encodes
// priorities.
func urgency(target string, req *http.Request, priority uint8) *http.Request {
	if target == "spdy" {
		return req.WithContext(spdy.WithPriority(req.Context(), priority))
	}
	req.Header.Set("Priority", "u="+strconv.Itoa(int(priority))+", i") // RFC 9218, in turn among equals
	return req
}

// get reads the whole response to a GET.
func get(rt roundTripper, url string) (int64, error) {
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	return exchange(rt, req)
}

func exchange(rt roundTripper, req *http.Request) (int64, error) {
	res, err := rt.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("status %s", res.Status)
	}
	return io.Copy(io.Discard, res.Body)
}

var hello = []byte("Hello, gopher!\n")

func small(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Write(hello)
}

// smallOrIdle responds as small does, except to /idle, where the response begins and then stalls.
func smallOrIdle(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/idle" {
		small(w, r)
		return
	}
	w.(http.Flusher).Flush()
	<-never
}

// never blocks idle handlers until the process ends.
var never chan struct{}

// inParallel runs f n times at once.
func inParallel(n int, f func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}
