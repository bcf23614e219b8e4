package spdy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/spdytest"
)

// A stream is opened with headers, and accepted with others.
func ExampleSession_OpenStream() {
	pair := spdytest.NewRawPair()
	defer pair.Close()
	go func() {
		st, err := pair.Server.AcceptStream(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		name, _ := st.Header().Get("name")
		st.Reply(spdy.HeaderBlock{{Name: "greeting", Value: "Hello, " + name}}, true)
	}()

	header := spdy.HeaderBlock{{Name: "name", Value: "gopher"}}
	st, err := pair.Client.OpenStream(context.Background(), header, spdy.StreamOptions{Priority: 3})
	if err != nil {
		log.Fatal(err)
	}
	defer st.Close()
	reply, err := st.AwaitReply(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	greeting, _ := reply.Get("greeting")
	fmt.Println(greeting)
	// Output: Hello, gopher
}

// The header of an HTTP message as a block for a stream, and back.
func ExampleNewHeaderBlock() {
	block, err := spdy.NewHeaderBlock(http.Header{"Accept": {"text/plain", "text/html"}})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q\n", block)
	fmt.Println(block.HTTPHeader())
	// Output:
	// [{"accept" "text/plain\x00text/html"}]
	// map[Accept:[text/plain text/html]]
}

// A handler turns the connection of a request into a session of raw streams, as a
// Kubernetes API server does for kubectl exec.
func ExampleUpgrader() {
	upgrader := &spdy.Upgrader{Protocols: []string{"v1.echo.example"}}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, protocol, err := upgrader.Upgrade(w, r)
		if err != nil {
			return // the client has been told
		}
		fmt.Println("they speak", protocol)
		go session.Serve()
		defer session.Close()
		st, err := session.AcceptStream(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		io.Copy(st, st)
		st.Close()
		session.Shutdown(context.Background())
	}))
	defer server.Close()

	dialer := &spdy.UpgradeDialer{Protocols: []string{"v2.echo.example", "v1.echo.example"}}
	session, _, err := dialer.Dial(context.Background(), "POST", server.URL)
	if err != nil {
		log.Fatal(err)
	}
	go session.Serve()
	defer session.Close()
	st, err := session.OpenStream(context.Background(), nil, spdy.StreamOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(st, "there and back")
	st.CloseWrite()
	echo, err := io.ReadAll(st)
	fmt.Println(string(echo), err)
	// Output:
	// they speak v1.echo.example
	// there and back <nil>
}

// A server that does not upgrade says why.
func ExampleUpgradeDialer() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, "who are you?", http.StatusUnauthorized)
	}))
	defer server.Close()

	dialer := &spdy.UpgradeDialer{Protocols: []string{"v1.echo.example"}}
	_, _, err := dialer.Dial(context.Background(), "POST", server.URL)
	if refusal, ok := err.(*spdy.UpgradeError); ok {
		fmt.Print(refusal.StatusCode, ": ", string(refusal.Body))
	}
	// Output: 401: who are you?
}

// A service that reports errors as JSON does so for upgrades that it refuses, too.
func ExampleUpgrader_refuse() {
	upgrader := &spdy.Upgrader{
		Protocols: []string{"v1.echo.example"},
		Refuse: func(w http.ResponseWriter, r *http.Request, refusal *spdy.UpgradeError) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(refusal.StatusCode)
			json.NewEncoder(w).Encode(map[string]string{"message": refusal.Reason})
		},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if session, _, err := upgrader.Upgrade(w, r); err == nil {
			session.Serve()
		}
	}))
	defer server.Close()

	res, err := http.Get(server.URL)
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	fmt.Print(res.Status, "\n", string(body))
	// Output:
	// 400 Bad Request
	// {"message":"the header field Connection does not say Upgrade"}
}

// The answer 101 can have more to say than which protocol the streams have.
func ExampleUpgradeDialer_DialResponse() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Audit-Id", "7")
		if session, _, err := new(spdy.Upgrader).Upgrade(w, r); err == nil {
			session.Serve()
		}
	}))
	defer server.Close()

	session, res, err := new(spdy.UpgradeDialer).DialResponse(context.Background(), "POST", server.URL)
	if err != nil {
		log.Fatal(err)
	}
	go session.Serve()
	defer session.Close()
	fmt.Println(res.Status, res.Header.Get("Audit-Id"))
	// Output: 101 Switching Protocols 7
}
