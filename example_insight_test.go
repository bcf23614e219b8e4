package spdy_test

import (
	"encoding/json"
	"expvar"
	"fmt"
	"io"
	"log"
	"net/http"
	"regexp"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/spdytest"
)

// What a session is doing, and has done.
func ExampleSession_Stats() {
	pair := spdytest.NewPair(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		io.Copy(w, r.Body)
	}))
	defer pair.Close()
	body, upload := io.Pipe()
	res, err := pair.HTTPClient().Post("http://example.com/", "text/plain", body)
	if err != nil {
		log.Fatal(err)
	}
	stats := pair.Client.Stats()
	fmt.Println("open:", stats.Streams.Open, "opened:", stats.StreamsOpened)

	fmt.Fprint(upload, "hello")
	upload.Close()
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	stats = pair.Client.Stats()
	fmt.Println("open:", stats.Streams.Total(), "opened:", stats.StreamsOpened, "unread:", stats.UnreadBytes)
	fmt.Println("sent:", stats.Sent.DataBytes, "received:", stats.Received.DataBytes)
	fmt.Println("resets:", stats.Sent.Resets.Total(), "cancelled:", stats.Sent.Resets[spdy.RstCancel])
	// Output:
	// open: 1 opened: 1
	// open: 0 opened: 1 unread: 0
	// sent: 5 received: 5
	// resets: 0 cancelled: 0
}

// The statistics of a server under /debug/vars, for whoever watches it.
func ExampleServer_Stats() {
	srv := spdytest.NewServer(expvar.Handler())
	defer srv.Close()
	expvar.Publish("spdy", expvar.Func(func() any { return srv.Config.Stats() }))

	res, err := srv.Client().Get(srv.URL + "/debug/vars")
	if err != nil {
		log.Fatal(err)
	}
	defer res.Body.Close()
	var vars struct{ SPDY spdy.ServerStats }
	if err := json.NewDecoder(res.Body).Decode(&vars); err != nil {
		log.Fatal(err)
	}
	fmt.Println("sessions:", vars.SPDY.Sessions, "of", vars.SPDY.SessionsTotal)
	fmt.Println("requests:", vars.SPDY.StreamsAccepted, "running:", vars.SPDY.Streams.Total())
	// Output:
	// sessions: 1 of 1
	// requests: 1 running: 1
}

// Hooks see sessions, streams and frames.
func ExampleTrace() {
	pair := spdytest.NewUnstartedPair(http.NotFoundHandler())
	ended := make(chan bool)
	pair.ServerConfig = &spdy.Config{Trace: &spdy.Trace{
		SessionStart: func(s *spdy.Session) { fmt.Println("a session of", s.Version()) },
		FrameReceived: func(_ *spdy.Session, f spdy.FrameInfo) {
			if f.Type == spdy.FrameSynStream {
				path, _ := f.Headers.Get(":path")
				cookie, _ := f.Headers.Get("cookie")
				fmt.Println("somebody asks for", path, "with a cookie of", cookie)
			}
		},
		Headers: true, // but not the Secrets in them
		SessionEnd: func(s *spdy.Session, err error) {
			fmt.Println("it has ended after", s.Stats().StreamsAccepted, "stream:", err)
			close(ended)
		},
	}}
	pair.Start()
	req, err := http.NewRequest("GET", "http://example.com/page", nil)
	if err != nil {
		log.Fatal(err)
	}
	req.AddCookie(&http.Cookie{Name: "session", Value: "secret"})
	res, err := pair.Client.RoundTrip(req)
	if err != nil {
		log.Fatal(err)
	}
	res.Body.Close()
	pair.Close()
	<-ended
	// Output:
	// a session of spdy/3.1
	// somebody asks for /page with a cookie of [14 bytes]
	// it has ended after 1 stream: spdy: session closed
}

// requests prints the headers of the requests in a FrameLog.
type requests struct{}

var headers = regexp.MustCompile(`<- SYN_STREAM .*?( :.*)`)

func (requests) Write(line []byte) (int, error) {
	if m := headers.FindSubmatch(line); m != nil {
		fmt.Printf("%s\n", m[1])
	}
	return len(line), nil
}

// A FrameLog gets a line for each frame. Without an Out it goes to standard error, where
// GODEBUG=spdydebug=2 sends it too. What is secret does not get into it.
func ExampleFrameLog() {
	pair := spdytest.NewUnstartedPair(http.NotFoundHandler())
	pair.ServerConfig = &spdy.Config{FrameLog: &spdy.FrameLog{Out: requests{}, Headers: true}}
	pair.Start()
	defer pair.Close()
	req, err := http.NewRequest("GET", "http://example.com/?q=secret", nil)
	if err != nil {
		log.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer secret")
	req.Header.Set("User-Agent", "example")
	res, err := pair.Client.RoundTrip(req)
	if err != nil {
		log.Fatal(err)
	}
	res.Body.Close()
	// Output: :method=GET :path="/?[8 bytes]" :version=HTTP/1.1 :host=example.com :scheme=http authorization=[13 bytes] user-agent=example
}
