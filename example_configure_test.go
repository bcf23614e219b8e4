package spdy_test

import (
	"crypto/tls"
	"fmt"
	"log"
	"net"
	"net/http"

	"github.com/amahi/spdy"
)

// An http.Server serves SPDY beside HTTP/1.1 and HTTP/2 once it has been configured.
func ExampleConfigureServer() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := &http.Server{TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}}
	if err := spdy.ConfigureServer(server, nil); err != nil {
		log.Fatal(err)
	}
	go server.ServeTLS(ln, "", "") // or with the names of files
	defer server.Close()
	for _, offer := range []string{"spdy/3.1", "h2", "http/1.1"} {
		conn, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{RootCAs: trusted, NextProtos: []string{offer}})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(conn.ConnectionState().NegotiatedProtocol)
		conn.Close()
	}
	// Output:
	// spdy/3.1
	// h2
	// http/1.1
}

// A server can serve a connection that something else has accepted. Handlers find
// the session in the request's context.
func ExampleServer_ServeConn() {
	client, conn := net.Pipe() // any net.Conn will do
	server := &spdy.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Speaks", spdy.SessionFromContext(r.Context()).Version().String())
	})}
	go server.ServeConn(conn, nil)
	defer server.Close()
	c, err := spdy.NewClientConn(client)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	res, err := (&http.Client{Transport: c}).Head("http://example.com/")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(res.Header.Get("Speaks"))
	// Output: spdy/3.1
}
