// Package parity holds one suite of handlers and clients, written from what net/http
// documents, that is run over HTTP/1.1, HTTP/2 and SPDY. docs/net-http.md lists where
// they may differ.
package parity

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/spdytest"
)

// base is the URL of the server in every case.
const base = "https://example.com"

// The ways from a client to a server.
const (
	http1   = "HTTP/1.1"
	http2   = "HTTP/2"
	spdy31  = "SPDY/3.1"
	grafted = "SPDY/3.1 in net/http"
	spdy3   = "SPDY/3"
	spdy2   = "SPDY/2"
)

// A protocol is one of them, and how it is set up.
type protocol struct {
	name  string
	start func(e *env, h http.Handler, s *http.Server)
	like  string // what comes of a scenario unless an exception says otherwise; "" for its want
}

// protocols are all of them.
var protocols = []protocol{
	{http1, (*env).startHTTP1, ""},
	{http2, (*env).startHTTP2, ""},
	{spdy31, func(e *env, h http.Handler, s *http.Server) { e.startSPDY(h, s, spdy.SPDY31) }, ""},
	{grafted, (*env).startGrafted, spdy31},
	{spdy3, func(e *env, h http.Handler, s *http.Server) { e.startSPDY(h, s, spdy.SPDY3) }, spdy31},
	{spdy2, func(e *env, h http.Handler, s *http.Server) { e.startSPDY(h, s, spdy.SPDY2) }, spdy31},
}

// A scenario is what happens between one handler and one client, and what both see.
type scenario struct {
	name    string
	server  func(e *env, s *http.Server) // sets what is to be other than the zero value
	handler func(e *env, w http.ResponseWriter, r *http.Request)
	client  func(e *env) // nil means show the answer to GET /
	want    string       // what handler and client note, a line each; see env.transcript
	except  []exception
}

// An exception is another outcome over some protocols.
type exception struct {
	on   []string
	why  string // the name of the difference in docs/net-http.md
	want string
}

// An env is one run of a scenario.
type env struct {
	t        *testing.T
	protocol string
	client   *http.Client
	ln       *testconn.Listener

	close    func()                          // ends the server at once
	shutdown func(ctx context.Context) error // ends it when it is idle
	stops    []func()

	onShutdown func() // what a server is to call, nil for nothing
	finally    func() // notes what is known at the very end

	handlers sync.WaitGroup

	mu      sync.Mutex     // guards the rest
	notes   [2][]string    // of the handler, of the client
	conn    *testconn.Conn // see lastConn
	dialled int            // see dials
}

const (
	byHandler = iota
	byClient
)

// saw notes what a handler sees.
func (e *env) saw(format string, args ...any) { e.add(byHandler, format, args...) }

// note notes what the client sees.
func (e *env) note(format string, args ...any) { e.add(byClient, format, args...) }

func (e *env) add(by int, format string, args ...any) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.notes[by] = append(e.notes[by], fmt.Sprintf(format, args...))
}

// transcript is all that has been noted: what handlers have seen, each line after a
// ">", and what the client has.
func (e *env) transcript() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var b strings.Builder
	for by, mark := range [...]string{"> ", ""} {
		for _, note := range e.notes[by] {
			for line := range strings.Lines(note + "\n") {
				b.WriteString(mark + line)
			}
		}
	}
	return b.String()
}

// run plays a scenario over a protocol and returns its transcript.
func (s *scenario) run(t *testing.T, p protocol) string {
	e := &env{t: t, protocol: p.name}
	synctest.Test(t, func(t *testing.T) {
		e.t = t
		conf := &http.Server{ErrorLog: log.New(io.Discard, "", 0)}
		if s.server != nil {
			s.server(e, conf)
		}
		p.start(e, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			e.handlers.Add(1)
			defer e.handlers.Done()
			s.handler(e, w, r)
		}), conf)
		defer e.stop()
		if s.client == nil {
			e.get("/")
		} else {
			s.client(e)
		}
	})
	return e.transcript()
}

func (e *env) stop() {
	for i := len(e.stops) - 1; i >= 0; i-- {
		e.stops[i]()
	}
	<-after(time.Minute) // a session lingers, and no server's Close waits for handlers
	e.handlers.Wait()
	if e.finally != nil {
		e.finally()
	}
}

func (e *env) startHTTP1(h http.Handler, conf *http.Server) { e.startNetHTTP(h, conf, false) }
func (e *env) startHTTP2(h http.Handler, conf *http.Server) { e.startNetHTTP(h, conf, true) }

func (e *env) startNetHTTP(h http.Handler, conf *http.Server, two bool) {
	conf.Handler = h
	srv := &httptest.Server{Listener: e.listen(), Config: conf, EnableHTTP2: two}
	e.serveNetHTTP(srv)
}

// serveNetHTTP starts a server, whose client is for HTTP/1.1 and HTTP/2.
func (e *env) serveNetHTTP(srv *httptest.Server) {
	if e.onShutdown != nil {
		srv.Config.RegisterOnShutdown(e.onShutdown)
	}
	srv.StartTLS()
	e.client = srv.Client()
	e.client.Transport.(*http.Transport).DialContext = e.dial
	e.close = func() { srv.Config.Close() }
	e.shutdown = srv.Config.Shutdown
	e.stops = append(e.stops, srv.Close)
}

func (e *env) startSPDY(h http.Handler, conf *http.Server, v spdy.Version) {
	srv := spdytest.NewUnstartedServer(h)
	srv.Listener.Close()
	srv.Listener = e.listen()
	sc := srv.Config
	sc.BaseContext, sc.ConnContext, sc.ConnState, sc.ErrorLog = conf.BaseContext, conf.ConnContext, conf.ConnState, conf.ErrorLog
	sc.ReadTimeout, sc.ReadHeaderTimeout, sc.WriteTimeout = conf.ReadTimeout, conf.ReadHeaderTimeout, conf.WriteTimeout
	sc.IdleTimeout, sc.MaxHeaderBytes = conf.IdleTimeout, conf.MaxHeaderBytes
	if e.onShutdown != nil {
		sc.RegisterOnShutdown(e.onShutdown)
	}
	srv.StartTLS()
	e.client = srv.Client()
	e.client.Transport.(*spdy.Transport).TLSClientConfig.NextProtos = []string{v.String()}
	e.close = func() { sc.Close() }
	e.shutdown = sc.Shutdown
	e.stops = append(e.stops, srv.Close)
}

// startGrafted is SPDY for those who keep their http.Server and http.Transport.
func (e *env) startGrafted(h http.Handler, conf *http.Server) {
	conf.Handler = h
	require.NoError(e.t, spdy.ConfigureServer(conf, nil))
	e.serveNetHTTP(&httptest.Server{Listener: e.listen(), Config: conf, TLS: conf.TLSConfig})
	require.NoError(e.t, spdy.ConfigureTransport(e.client.Transport.(*http.Transport), nil))
}

// socketBuffer is how many bytes a connection holds for a reader, in each direction.
const socketBuffer = 256 << 10

// A listener is a listener in memory that spdytest knows how to dial.
type listener struct {
	*testconn.Listener
	e *env
}

func (e *env) listen() net.Listener {
	e.ln = testconn.Listen()
	return listener{e.ln, e}
}

// DialContext connects to the listener, and leaves the connection where scenarios
// can get at it.
func (l listener) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	return l.e.dial(ctx, network, addr)
}

func (e *env) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := e.ln.Dial(testconn.WriteCap(socketBuffer))
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.conn = conn
	e.dialled++
	return conn, nil
}

// lastConn is the client's end of the connection that was made last.
func (e *env) lastConn() *testconn.Conn {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.conn
}

// dials is how many connections have been made.
func (e *env) dials() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.dialled
}

// lines takes a text apart and drops indentation and empty lines.
func lines(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return out
}

// disableCompression keeps the client's transport from asking for gzip.
func (e *env) disableCompression() {
	switch t := e.client.Transport.(type) {
	case *http.Transport:
		t.DisableCompression = true
	case *spdy.Transport:
		t.DisableCompression = true
	}
}

// request makes a request with the body, which may be nil, and the header's names and
// values in turn.
func (e *env) request(method, path string, body io.Reader, header ...string) *http.Request {
	req, err := http.NewRequestWithContext(e.t.Context(), method, base+path, body)
	require.NoError(e.t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	return req
}

// get shows the answer to a GET.
func (e *env) get(path string, header ...string) { e.show(e.request("GET", path, nil, header...)) }

// show sends a request and notes the whole answer, or the error.
func (e *env) show(req *http.Request) {
	res, err := e.client.Do(req)
	if err != nil {
		e.note("error: %s", kind(err))
		return
	}
	e.answer(res)
}
