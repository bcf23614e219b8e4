package spdy_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/spdytest"
)

// An http.Client moves to SPDY by another Transport. It dials, shares one connection
// among all requests to a server, and dials again when that is lost.
func ExampleTransport() {
	srv := spdytest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.TLS.NegotiatedProtocol)
	}))
	defer srv.Close()

	transport := &spdy.Transport{TLSClientConfig: &tls.Config{RootCAs: trust(srv)}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	for range 3 {
		res, err := client.Get(srv.URL)
		if err != nil {
			log.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		fmt.Println(res.Status, string(body))
	}
	fmt.Println("connections:", srv.Config.Stats().SessionsTotal)
	// Output:
	// 200 OK spdy/3.1
	// 200 OK spdy/3.1
	// 200 OK spdy/3.1
	// connections: 1
}

// An http.Transport can be taught SPDY for servers that have it; with others it speaks
// HTTP/2 and HTTP/1.1 as ever.
func ExampleConfigureTransport() {
	srv := spdytest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.TLS.NegotiatedProtocol)
	}))
	defer srv.Close()

	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trust(srv)}}
	if err := spdy.ConfigureTransport(transport, nil); err != nil {
		log.Fatal(err)
	}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	res, err := client.Get(srv.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	fmt.Println(string(body))
	// Output: spdy/3.1
}

// A client on a connection that the program has made itself.
func ExampleNewClientConn() {
	srv := spdytest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello, %s", r.Host)
	}))
	defer srv.Close()

	conn, err := tls.Dial("tcp", srv.Listener.Addr().String(), &tls.Config{
		RootCAs:    trust(srv),
		ServerName: "example.com",
		NextProtos: []string{"spdy/3.1", "spdy/3", "spdy/2"},
	})
	if err != nil {
		log.Fatal(err)
	}
	client, err := spdy.NewClientConn(conn)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	fmt.Println(client.Session().Version())

	req, err := http.NewRequest("GET", "https://example.com/", nil)
	if err != nil {
		log.Fatal(err)
	}
	res, err := client.Do(req)
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	fmt.Println(string(body))
	// Output:
	// spdy/3.1
	// Hello, example.com
}

// A client that is shut down completes its requests and takes no new ones.
func ExampleClient_Shutdown() {
	srv := spdytest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	client, err := spdy.NewClient(srv.Listener.Addr().String())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.Shutdown(context.Background()))

	req, _ := http.NewRequest("GET", srv.URL, nil)
	_, err = client.Do(req)
	fmt.Println(err)
	// Output:
	// <nil>
	// spdy: session closed
}

// A program whose requests are all its own can fetch what a page needs first before the
// rest. The classes are in the documentation.
func ExamplePriorityFor() {
	for _, name := range []string{"/index.html", "/style.css", "/photo.jpg", "/film.mkv", "/image.iso"} {
		fmt.Println(name, spdy.PriorityFor(&url.URL{Path: name}))
	}
	// Output:
	// /index.html 0
	// /style.css 1
	// /photo.jpg 4
	// /film.mkv 5
	// /image.iso 7
}

// All requests have the same priority, unless their context says otherwise. A program whose
// requests are all its own may go by their URLs.
func ExampleWithPriority() {
	pair := spdytest.NewUnstartedPair(http.NotFoundHandler())
	pair.ServerConfig = &spdy.Config{Trace: &spdy.Trace{
		StreamOpened: func(_ *spdy.Session, st spdy.StreamInfo) { fmt.Println("priority", st.Priority) },
	}}
	pair.Start()
	defer pair.Close()

	req, err := http.NewRequest("GET", "http://example.com/download.zip", nil)
	if err != nil {
		log.Fatal(err)
	}
	urgent := req.WithContext(spdy.WithPriority(req.Context(), 1))
	byURL := req.WithContext(spdy.WithPriority(req.Context(), spdy.PriorityFor(req.URL)))
	for _, req := range []*http.Request{req, urgent, byURL} {
		res, err := pair.Client.RoundTrip(req)
		if err != nil {
			log.Fatal(err)
		}
		res.Body.Close()
	}
	// Output:
	// priority 4
	// priority 1
	// priority 7
}
