package spdy_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/spdytest"
)

// Over TLS the client and the server agree by ALPN on what they speak: SPDY, or
// HTTP/1.1 with clients that do not know it.
func ExampleServer_ServeTLS() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &spdy.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			protocol := r.TLS.NegotiatedProtocol
			if protocol == "" {
				protocol = r.Proto
			}
			fmt.Fprintln(w, protocol)
		}),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}},
	}
	go server.ServeTLS(ln, "", "") // or with the names of files
	defer server.Close()

	ordinary := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}
	defer ordinary.CloseIdleConnections()
	withSPDY := &spdy.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}
	defer withSPDY.CloseIdleConnections()
	for _, transport := range []http.RoundTripper{ordinary, withSPDY} {
		client := &http.Client{Transport: transport}
		res, err := client.Get("https://" + ln.Addr().String())
		if err != nil {
			log.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		fmt.Print(string(body))
	}
	// Output:
	// HTTP/1.1
	// spdy/3.1
}

// A server that is shut down tells its clients that it takes no more requests, and
// completes those that it has taken, as long as the context allows.
func ExampleServer_Shutdown() {
	begun := make(chan bool)
	shutdown := make(chan bool)
	srv := spdytest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(begun)
		<-shutdown // whatever it has to do
		fmt.Fprint(w, "done")
	}))
	defer srv.Close()

	answer := make(chan string)
	go func() {
		res, err := srv.Client().Get(srv.URL)
		if err != nil {
			log.Fatal(err)
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		answer <- string(body)
	}()

	<-begun
	ended := make(chan error)
	go func() { ended <- srv.Config.Shutdown(context.Background()) }()
	close(shutdown)
	fmt.Println("the answer:", <-answer)
	fmt.Println("Shutdown:", <-ended)
	// Output:
	// the answer: done
	// Shutdown: <nil>
}

// Everything that a handler does with http.ResponseController works on a stream of
// SPDY. Here the client is too slow with its request.
func ExampleStream_SetReadDeadline() {
	srv := spdytest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var past = aLongTimeAgo // so that the example does not wait
		if err := http.NewResponseController(w).SetReadDeadline(past); err != nil {
			log.Fatal(err)
		}
		_, err := io.ReadAll(r.Body)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			http.Error(w, "too slow", http.StatusRequestTimeout)
		}
	}))
	defer srv.Close()

	slow, _ := io.Pipe() // never has anything
	res, err := srv.Client().Post(srv.URL, "text/plain", slow)
	if err != nil {
		log.Fatal(err)
	}
	res.Body.Close()
	fmt.Println(res.Status)
	// Output: 408 Request Timeout
}

// A handler pushes what it knows that the client will ask for next.
func ExampleStream_Push() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if pusher, ok := w.(http.Pusher); ok && r.URL.Path == "/" {
			if err := pusher.Push("/style.css", nil); err != nil {
				log.Print(err) // the client takes no pushes, most often
			}
		}
		fmt.Fprint(w, "this is ", r.URL.Path)
	})
	pair := spdytest.NewUnstartedPair(handler)
	pair.ClientConfig = &spdy.Config{
		AcceptPush: func(promised, cause *http.Request) bool { return true },
	}
	pair.Start()
	defer pair.Close()

	for _, path := range []string{"/", "/style.css"} {
		res, err := pair.HTTPClient().Get("http://example.com" + path)
		if err != nil {
			log.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		fmt.Println(string(body))
	}
	fmt.Println("pushes:", pair.Client.Stats().StreamsAccepted)
	// Output:
	// this is /
	// this is /style.css
	// pushes: 1
}
