package spdy_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"

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
