package spdytest_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"time"

	"github.com/amahi/spdy/spdytest"
)

// A test against a server on the loopback interface, with an ordinary http.Client.
func ExampleNewServer() {
	srv := spdytest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello, %s!", r.URL.Query().Get("name"))
	}))
	defer srv.Close()

	res, err := srv.Client().Get(srv.URL + "/?name=gopher")
	if err != nil {
		log.Fatal(err)
	}
	greeting, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(greeting))
	// Output: Hello, gopher!
}

// With TLS the client trusts the server's certificate, which is good for example.com
// too: requests for that go to the server, like all of the client's.
func ExampleNewTLSServer() {
	srv := spdytest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s by %s", r.Host, r.TLS.NegotiatedProtocol)
	}))
	defer srv.Close()

	res, err := srv.Client().Get("https://www.example.com/")
	if err != nil {
		log.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	res.Body.Close()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(body))
	// Output: www.example.com by spdy/3.1
}

// A server is configured between NewUnstartedServer and Start, as in httptest.
func ExampleNewUnstartedServer() {
	srv := spdytest.NewUnstartedServer(http.NotFoundHandler())
	srv.Listener.Close()
	srv.Listener = spdytest.Listen() // in memory, for once
	srv.Start()
	defer srv.Close()

	res, err := srv.Client().Get(srv.URL)
	if err != nil {
		log.Fatal(err)
	}
	res.Body.Close()
	fmt.Println(res.Status)
	// Output: 404 Not Found
}

// Two sessions with nothing but memory between them. In a bubble of testing/synctest
// the latency takes no time.
func ExampleNewPair() {
	pair := spdytest.NewPair(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
	}))
	defer pair.Close()
	pair.SetLatency(time.Millisecond)

	rtt, err := pair.Client.PingContext(context.Background())
	fmt.Println(rtt >= 2*time.Millisecond, err)
	res, err := pair.HTTPClient().Get("http://any.example/")
	if err != nil {
		log.Fatal(err)
	}
	res.Body.Close()
	fmt.Println(res.Status)
	// Output:
	// true <nil>
	// 200 OK
}
