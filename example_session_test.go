package spdy_test

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/spdytest"
)

// A session that asks, on a connection of any kind. Here it is a pipe to one that
// serves.
func ExampleNewClientSession() {
	here, there := net.Pipe()
	server := spdy.NewServerSession(there, &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s %s", r.Method, r.URL)
		}),
	})
	client := spdy.NewClientSession(here)
	go server.Serve()
	go client.Serve()
	defer client.Close()

	req, err := http.NewRequest("GET", "http://example.com/path?query", nil)
	if err != nil {
		log.Fatal(err)
	}
	res, err := client.RoundTrip(req)
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	fmt.Println(res.Status, string(body))
	// Output: 200 OK GET /path?query
}

// A Session is an http.RoundTripper, so httputil.ReverseProxy can use it.
func ExampleSession_RoundTrip() {
	origin := spdytest.NewPair(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s for %s", r.URL, r.Header.Get("X-Forwarded-Host"))
	}))
	defer origin.Close()
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Transport: origin.Client,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: "origin.example"})
			r.SetXForwarded()
			r.Out.Header.Set("X-Forwarded-Host", "the browser")
		},
	})
	defer proxy.Close()

	res, err := http.Get(proxy.URL + "/page")
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	fmt.Println(string(body))
	// Output: /page for the browser
}

// NewStreamProxy is a proxy in one call, for handlers that know which session a request
// is for. Nothing is buffered; if the session has no answer, the client gets a 502, 503
// or 504.
func ExampleSession_NewStreamProxy() {
	home := spdytest.NewPair(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, strings.ToUpper(r.URL.Path))
	}))
	defer home.Close()
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := home.Client.NewStreamProxy(r, w); err != nil {
			log.Print(err) // the client has been told
		}
	}))
	defer proxy.Close()

	res, err := http.Get(proxy.URL + "/whisper")
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	fmt.Println(string(body))
	// Output: /WHISPER
}

// Stream.Request writes an answer to any http.ResponseWriter, such as a recorder.
func ExampleStream_Request() {
	pair := spdytest.NewPair(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Answer", "42")
		fmt.Fprint(w, "recorded")
	}))
	defer pair.Close()

	req, err := http.NewRequest("GET", "http://example.com/", nil)
	if err != nil {
		log.Fatal(err)
	}
	recorder := spdy.NewRecorder()
	if err := pair.Client.NewClientStream().Request(req, recorder); err != nil {
		log.Fatal(err)
	}
	fmt.Println(recorder.Code, recorder.Header().Get("X-Answer"), recorder.Body)
	// Output: 200 42 recorded
}

// A recorder is an http.ResponseWriter that keeps what is written to it.
func ExampleNewRecorder() {
	recorder := spdy.NewRecorder()
	http.NotFound(recorder, nil)
	fmt.Println(recorder.Code, recorder.Header().Get("Content-Type"))
	fmt.Print(recorder.Body)
	// Output:
	// 404 text/plain; charset=utf-8
	// 404 page not found
}

// How far is it to the peer, and is it there at all?
func ExampleSession_PingContext() {
	pair := spdytest.NewPair(nil)
	defer pair.Close()
	pair.SetLatency(5 * time.Millisecond)

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	rtt, err := pair.Client.PingContext(ctx)
	fmt.Println(rtt >= 10*time.Millisecond, err)

	pair.SetBlackHole(true) // somebody has pulled the plug
	ctx, cancel = context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err = pair.Client.PingContext(ctx)
	fmt.Println(err)
	// Output:
	// true <nil>
	// context deadline exceeded
}

// A session that is shut down completes what is open on it and ends.
func ExampleSession_Shutdown() {
	pair := spdytest.NewPair(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "the whole answer")
	}))
	defer pair.Close()
	res, err := pair.HTTPClient().Get("http://example.com/")
	if err != nil {
		log.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- pair.Server.Shutdown(context.Background()) }()
	body, err := io.ReadAll(res.Body)
	fmt.Printf("%s, error: %v\n", body, err)
	fmt.Println("Shutdown:", <-ended)
	fmt.Println("session:", pair.Server.Err())
	// Output:
	// the whole answer, error: <nil>
	// Shutdown: <nil>
	// session: spdy: session closed
}

// One Config is for any number of servers, clients and sessions. What it does not set
// has its default.
func ExampleConfig() {
	conf := &spdy.Config{
		MaxConcurrentStreams: 100,
		MaxHeaderBytes:       64 << 10,
		PingInterval:         30 * time.Second,
		PingTimeout:          10 * time.Second,
	}
	pair := spdytest.NewUnstartedPair(http.NotFoundHandler())
	pair.ServerConfig = conf
	pair.Start()
	defer pair.Close()

	req, err := http.NewRequest("GET", "http://example.com/", nil)
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("X-Large", strings.Repeat("x", 100_000))
	res, err := pair.Client.RoundTrip(req)
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	fmt.Println(res.Status)
	fmt.Println("streams:", pair.Client.Stats().PeerMaxStreams)
	// Output:
	// 431 Request Header Fields Too Large
	// streams: 100
}

// A Config takes pushes if it has AcceptPush, which says which of them are wanted.
func ExampleConfig_acceptPush() {
	conf := &spdy.Config{
		AcceptPush: func(promised, cause *http.Request) bool {
			return strings.HasSuffix(promised.URL.Path, ".css")
		},
	}
	pair := spdytest.NewUnstartedPair(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			w.(http.Pusher).Push("/wanted.css", nil)
			w.(http.Pusher).Push("/not.js", nil)
		}
		fmt.Fprint(w, r.URL.Path)
	}))
	pair.ClientConfig = conf
	pair.Start()
	defer pair.Close()
	for _, path := range []string{"/", "/wanted.css", "/not.js"} {
		res, err := pair.HTTPClient().Get("http://example.com" + path)
		if err != nil {
			log.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		fmt.Println(string(body))
	}
	fmt.Println("pushes:", pair.Server.Stats().StreamsOpened)
	// Output:
	// /
	// /wanted.css
	// /not.js
	// pushes: 2
}

// A store that keeps nothing, so that servers cannot recognise the client.
type forgetful struct{}

func (forgetful) Load(server string) []spdy.Setting { return nil }

func (forgetful) Update(server string, clear bool, entries []spdy.Setting) {}

// Servers may ask clients to keep settings for later sessions. A client says where, or
// that it does not, and which server it talks to. A Transport does the latter itself.
func ExampleSettingsStore() {
	const origin = "https://example.com:443"
	private := &spdy.Config{SettingsKey: origin, Settings: forgetful{}}
	shared := &spdy.Config{SettingsKey: origin} // spdy.DefaultSettings
	own := &spdy.Config{SettingsKey: origin, Settings: new(spdy.MemorySettings)}
	for _, conf := range []*spdy.Config{private, shared, own} {
		pair := spdytest.NewUnstartedPair(nil)
		pair.ClientConfig = conf
		pair.Start()
		pair.Close()
	}
	fmt.Println(len(own.Settings.Load(origin)), "settings")
	// Output: 0 settings
}
