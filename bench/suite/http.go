package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/http2"

	"github.com/amahi/spdy"
)

// A roundTripper sends requests over one connection; HTTP/1.1 may take more of them.
type roundTripper interface {
	RoundTrip(*http.Request) (*http.Response, error)
}

// httpTargets make a client of a handler that is served at the address.
var httpTargets = map[string]func(h http.Handler) (rt roundTripper, url string, err error){
	"spdy":  serveSPDY,
	"h2":    serveHTTP2,
	"http1": serveHTTP1,
}

// maxStreams is what the servers are told to take, so that none is held back.
const maxStreams = 20_000

func listen() (net.Listener, string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	return ln, "http://" + ln.Addr().String() + "/", nil
}

func serveSPDY(h http.Handler) (roundTripper, string, error) {
	ln, url, err := listen()
	if err != nil {
		return nil, "", err
	}
	server := &spdy.Server{Handler: h, Config: &spdy.Config{MaxConcurrentStreams: maxStreams, Version: spdy.SPDY31}}
	go server.Serve(ln) // ends with the process
	client, err := spdy.NewClient(ln.Addr().String())
	return client, url, err
}

func serveHTTP2(h http.Handler) (roundTripper, string, error) {
	ln, url, err := listen()
	if err != nil {
		return nil, "", err
	}
	server := &http2.Server{MaxConcurrentStreams: maxStreams}
	go func() { // ends with the process
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go server.ServeConn(conn, &http2.ServeConnOpts{Handler: h})
		}
	}()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		return nil, "", err
	}
	t := &http2.Transport{
		AllowHTTP: true,
		DialTLSContext: func(context.Context, string, string, *tls.Config) (net.Conn, error) {
			return nil, errors.New("there is one connection")
		},
	}
	client, err := t.NewClientConn(conn)
	return client, url, err
}

func serveHTTP1(h http.Handler) (roundTripper, string, error) {
	ln, url, err := listen()
	if err != nil {
		return nil, "", err
	}
	go http.Serve(ln, h) // ends with the process
	return &http.Transport{MaxIdleConnsPerHost: 1000, DisableCompression: true}, url, nil
}

// get reads the whole answer to a GET.
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

// smallGets sends small GETs, some at once.
func smallGets(atOnce int, total int64) func(string, float64) (metrics, error) {
	return func(target string, scale float64) (metrics, error) {
		rt, url, err := httpTargets[target](http.HandlerFunc(small))
		if err != nil {
			return nil, err
		}
		n := int64(float64(total)*scale) / int64(atOnce)
		if err := inParallel(atOnce, func(int) error { return repeatGet(rt, url, n/10+1) }); err != nil {
			return nil, err
		}
		meter := startMeter()
		if err := inParallel(atOnce, func(int) error { return repeatGet(rt, url, n) }); err != nil {
			return nil, err
		}
		return meter.each(n * int64(atOnce)), nil
	}
}

func repeatGet(rt roundTripper, url string, n int64) error {
	for range n {
		got, err := get(rt, url)
		if err != nil {
			return err
		}
		if got != int64(len(hello)) {
			return fmt.Errorf("%d bytes", got)
		}
	}
	return nil
}

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

// download sends a body of each bytes on each of some streams at once.
func download(streams int, each int64) func(string, float64) (metrics, error) {
	return func(target string, scale float64) (metrics, error) {
		n := int64(float64(each) * scale)
		if target == "tcp" {
			return rawBulk(streams, n*int64(streams))(target, 1)
		}
		rt, url, err := httpTargets[target](http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n := n
			if r.URL.Path == "/warm" {
				n = 1 << 20
			}
			w.Header().Set("Content-Type", "application/octet-stream")
			_ = send(w, n) // a failure is the client's to report
		}))
		if err != nil {
			return nil, err
		}
		if err := inParallel(streams, func(int) error { return wantBytes(rt, url+"warm", 1<<20) }); err != nil {
			return nil, err
		}
		meter := startMeter()
		if err := inParallel(streams, func(int) error { return wantBytes(rt, url, n) }); err != nil {
			return nil, err
		}
		return meter.bulk(n * int64(streams)), nil
	}
}

func wantBytes(rt roundTripper, url string, n int64) error {
	got, err := get(rt, url)
	if err == nil && got != n {
		err = fmt.Errorf("%d bytes instead of %d", got, n)
	}
	return err
}

// upload sends a request body.
func upload(total int64) func(string, float64) (metrics, error) {
	return func(target string, scale float64) (metrics, error) {
		n := int64(float64(total) * scale)
		if target == "tcp" {
			return rawBulk(1, n)(target, 1)
		}
		rt, url, err := httpTargets[target](http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got, err := io.Copy(io.Discard, r.Body)
			if err != nil {
				panic(http.ErrAbortHandler)
			}
			fmt.Fprint(w, got)
		}))
		if err != nil {
			return nil, err
		}
		put := func(n int64) error {
			req, err := http.NewRequest(http.MethodPut, url, io.LimitReader(zeros{}, n))
			if err != nil {
				return err
			}
			req.ContentLength = n
			_, err = exchange(rt, req)
			return err
		}
		if err := put(1 << 20); err != nil {
			return nil, err
		}
		meter := startMeter()
		if err := put(n); err != nil {
			return nil, err
		}
		return meter.bulk(n), nil
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// idleSessions is what a session costs, both ends, after one request.
func idleSessions(target string, scale float64) (metrics, error) {
	n := max(int(200*scale), 10)
	keep := make([]roundTripper, 0, n)
	once := func() error {
		rt, url, err := httpTargets[target](http.HandlerFunc(small))
		if err != nil {
			return err
		}
		keep = append(keep, rt)
		return repeatGet(rt, url, 1)
	}
	if err := once(); err != nil { // fills what all share
		return nil, err
	}
	listener, err := listenerCost(target)
	if err != nil {
		return nil, err
	}
	bytes, goroutines := live()
	for range n {
		if err := once(); err != nil {
			return nil, err
		}
	}
	bytesAfter, goroutinesAfter := settled()
	return metrics{
		"KiB":        (bytesAfter-bytes)/float64(n)/1024 - listener.bytes/1024,
		"goroutines": float64(goroutinesAfter-goroutines)/float64(n) - listener.goroutines,
	}, nil
}

// A cost is what something takes up.
type cost struct{ bytes, goroutines float64 }

// listenerCost is what a server costs that has no connection.
func listenerCost(target string) (cost, error) {
	const n = 50
	bytes, goroutines := live()
	for range n {
		ln, _, err := listen()
		if err != nil {
			return cost{}, err
		}
		switch target {
		case "spdy":
			go (&spdy.Server{Handler: http.HandlerFunc(small)}).Serve(ln)
		default:
			go func() { ln.Accept() }()
		}
	}
	after, goroutinesAfter := settled()
	return cost{(after - bytes) / n, float64(goroutinesAfter-goroutines) / n}, nil
}

// settled is live, once what has been started has come to rest.
func settled() (float64, int) {
	time.Sleep(200 * time.Millisecond)
	return live()
}

// idleStreams is what an answer costs that has begun and does not go on: both ends,
// with its handler.
func idleStreams(target string, scale float64) (metrics, error) {
	n := max(int(2000*scale), 20)
	release := make(chan struct{})
	defer close(release)
	rt, url, err := httpTargets[target](http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/idle" {
			w.(http.Flusher).Flush()
			<-release
			return
		}
		small(w, r)
	}))
	if err != nil {
		return nil, err
	}
	if err := repeatGet(rt, url, 10); err != nil {
		return nil, err
	}
	bytes, goroutines := live()
	bodies, err := openIdle(rt, url, n)
	if err != nil {
		return nil, err
	}
	after, goroutinesAfter := settled()
	for _, b := range bodies {
		defer b.Close()
	}
	return metrics{
		"KiB":        (after - bytes) / float64(n) / 1024,
		"goroutines": float64(goroutinesAfter-goroutines) / float64(n),
	}, nil
}

// openIdle asks for n answers that begin and do not go on.
func openIdle(rt roundTripper, url string, n int) ([]io.Closer, error) {
	bodies := make([]io.Closer, n)
	for i := range bodies {
		req, err := http.NewRequest(http.MethodGet, url+"idle", nil)
		if err != nil {
			return nil, err
		}
		res, err := rt.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		bodies[i] = res.Body
	}
	return bodies, nil
}

// getsBeside sends small GETs, one at a time, while other answers do not go on.
func getsBeside(idle int) func(string, float64) (metrics, error) {
	return func(target string, scale float64) (metrics, error) {
		release := make(chan struct{})
		defer close(release)
		rt, url, err := httpTargets[target](http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/idle" {
				w.(http.Flusher).Flush()
				<-release
				return
			}
			small(w, r)
		}))
		if err != nil {
			return nil, err
		}
		bodies, err := openIdle(rt, url, idle)
		if err != nil {
			return nil, err
		}
		for _, b := range bodies {
			defer b.Close()
		}
		n := int64(10_000 * scale)
		if err := repeatGet(rt, url, n/10+1); err != nil {
			return nil, err
		}
		meter := startMeter()
		if err := repeatGet(rt, url, n); err != nil {
			return nil, err
		}
		return meter.each(n), nil
	}
}
