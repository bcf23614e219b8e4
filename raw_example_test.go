package spdy_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"

	"github.com/amahi/spdy"
)

// Two ends of a connection exchange bytes without HTTP. The end that accepts sends back
// what it gets, under the name that the stream was opened with.
func ExampleNewRawSession() {
	near, far := net.Pipe() // or any other connection
	client, server := spdy.NewRawSession(near, true), spdy.NewRawSession(far, false)
	go client.Serve()
	go server.Serve()
	defer client.Close()

	ctx := context.Background()
	go func() {
		for {
			st, err := server.AcceptStream(ctx)
			if err != nil {
				return // the session has ended
			}
			go func() {
				defer st.Close()
				name, _ := st.Header().Get("name")
				fmt.Fprintf(st, "%s: ", name)
				_, _ = io.Copy(st, st)
			}()
		}
	}()

	st, err := client.OpenStream(ctx, spdy.HeaderBlock{{Name: "name", Value: "echo"}}, spdy.StreamOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	fmt.Fprint(st, "Hello!")
	if err := st.CloseWrite(); err != nil {
		log.Fatal(err)
	}
	text, err := io.ReadAll(st)
	fmt.Println(string(text), err)
	// Output: echo: Hello! <nil>
}

// An http.Server serves the streams of a session as if they were connections, here those of a
// client that has dialled. Whoever has the other end of the session opens a stream for each
// connection.
func ExampleSession_Listener() {
	near, far := net.Pipe() // or any other connection
	client, home := spdy.NewRawSession(near, true), spdy.NewRawSession(far, false)
	go client.Serve()
	go home.Serve()
	defer client.Close()

	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "Hello, %s!", r.URL.Query().Get("name"))
	})}
	go server.Serve(home.Listener())
	defer server.Close() // closes the listener; the session goes on

	asker := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			return client.OpenStream(ctx, nil, spdy.StreamOptions{})
		},
	}}
	res, err := asker.Get("http://home/?name=gopher")
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	fmt.Println(string(text), err)
	// Output: Hello, gopher! <nil>
}
