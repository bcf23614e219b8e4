package spdy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/amahi/spdy"
)

// The two functions below are in the README as they stand here; TestReadme compares.

// serve answers requests on a listener until that is closed.
func serve(ln net.Listener) error {
	hello := func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello, %s!\n", r.FormValue("name"))
	}
	server := &spdy.Server{Handler: http.HandlerFunc(hello)}
	return server.Serve(ln)
}

// fetch sends a request and copies the answer as it arrives.
func fetch(addr string, out io.Writer) error {
	client, err := spdy.NewClient(addr)
	if err != nil {
		return err
	}
	defer client.Close()
	req, err := http.NewRequest("GET", "http://"+addr+"/?name=gopher", nil)
	if err != nil {
		return err
	}
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	_, err = io.Copy(out, res.Body)
	return err
}

// A server and a client, as in the README.
func Example() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()
	go serve(ln)
	if err := fetch(ln.Addr().String(), os.Stdout); err != nil {
		log.Fatal(err)
	}
	// Output: Hello, gopher!
}

// A server serves every dialect of SPDY, and HTTP/1.1, on the same port.
func ExampleServer() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &spdy.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, isSPDY := w.(*spdy.Stream)
			fmt.Fprintln(w, "SPDY:", isSPDY)
		}),
	}
	go server.Serve(ln) // returns http.ErrServerClosed

	client, err := spdy.NewClient(ln.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	for _, way := range []http.RoundTripper{client, &http.Transport{DisableKeepAlives: true}} {
		c := &http.Client{Transport: way}
		res, err := c.Get("http://" + ln.Addr().String())
		if err != nil {
			log.Fatal(err)
		}
		io.Copy(os.Stdout, res.Body)
		res.Body.Close()
	}
	client.Close()
	fmt.Println(server.Shutdown(context.Background()))
	// Output:
	// SPDY: true
	// SPDY: false
	// <nil>
}

// A Client is an http.RoundTripper, so an http.Client follows redirects and keeps
// cookies over it. Many requests share the one connection.
func ExampleClient() {
	addr, stop := serveExample(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/old" {
			http.Redirect(w, r, "/new", http.StatusFound)
			return
		}
		body, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %q %v", r.Method, r.URL.Path, body, err)
	})
	defer stop()
	transport, err := spdy.NewClient(addr)
	if err != nil {
		log.Fatal(err)
	}
	defer transport.Close()
	client := &http.Client{Transport: transport}
	show := func(res *http.Response, err error) {
		if err != nil {
			log.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		fmt.Println(res.Status, string(body), err)
	}
	show(client.Get("http://" + addr + "/old"))
	show(client.Post("http://"+addr+"/upload", "text/plain", strings.NewReader("some bytes")))
	// Output:
	// 200 OK GET /new "" <nil> <nil>
	// 200 OK POST /upload "some bytes" <nil> <nil>
}

// A reverse tunnel: the side that dials serves, and the side that accepts asks. It
// is how a server behind NAT is reached. See examples/relay for all of it.
func ExampleNewServerSession() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	defer ln.Close()

	go func() { // at home, behind NAT
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err != nil {
			log.Fatal(err)
		}
		files := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s from home", r.URL.Path)
		})
		spdy.NewServerSession(conn, &http.Server{Handler: files}).Serve()
	}()

	conn, err := ln.Accept() // in the open
	if err != nil {
		log.Fatal(err)
	}
	home := spdy.NewClientSession(conn)
	go home.Serve()
	defer home.Close()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := home.NewStreamProxy(r, w); err != nil {
			log.Print(err)
		}
	}))
	defer proxy.Close()

	res, err := http.Get(proxy.URL + "/film.mkv") // an ordinary HTTP client
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	io.Copy(os.Stdout, res.Body)
	// Output: /film.mkv from home
}

// An answer that was cut off is an error to its reader, and says by whom.
func ExampleStreamError() {
	addr, stop := serveExample(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	defer stop()
	client, err := spdy.NewClient(addr)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	req, _ := http.NewRequest("GET", "http://"+addr+"/", nil)
	res, err := client.Do(req)
	if err == nil {
		_, err = io.ReadAll(res.Body)
		res.Body.Close()
	}
	var reset *spdy.StreamError
	if errors.As(err, &reset) {
		fmt.Println("reset:", reset.Status, "by the peer:", reset.Remote, "safe to send again:", reset.Retryable())
	}
	// Output: reset: INTERNAL_ERROR by the peer: true safe to send again: false
}

// serveExample serves a handler until stop is called.
func serveExample(h http.HandlerFunc) (addr string, stop func() error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &spdy.Server{Handler: h}
	go server.Serve(ln)
	return ln.Addr().String(), server.Close
}
