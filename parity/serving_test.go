package parity

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"
)

// logsTo gives a server a log, and notes lines of the log at the end: those that match, without
// the address of the client and the place in the source.
func logsTo(pattern string) func(e *env, s *http.Server) {
	return func(e *env, s *http.Server) {
		var text lockedBuffer
		s.ErrorLog = log.New(&text, "", 0)
		e.finally = func() {
			for _, line := range regexp.MustCompile(pattern).FindAllString(text.String(), -1) {
				line = regexp.MustCompile(`192\.0\.2\.1:\d+`).ReplaceAllString(line, "CLIENT")
				e.note("log: %s", line)
			}
		}
	}
}

// closing is a channel of CloseNotify.
func closing(w http.ResponseWriter) <-chan bool {
	return w.(http.CloseNotifier).CloseNotify() //lint:ignore SA1019 old handlers use the interface
}

// servingScenarios follow Server.serve of net/http and its callees.
var servingScenarios = []scenario{
	{name: "text of a logged panic", server: logsTo(`.*panic serving.*`), handler: panics("", false, fmt.Errorf("oops")), want: `
		error: failed
		log: http: panic serving CLIENT: oops`, except: []exception{{on(http2), "log of a panic", `
		error: failed
		log: http2: panic serving CLIENT: oops`}, {on(spdy31), "log of a panic", `
		error: failed
		log: spdy: panic serving peer=CLIENT stream=1 panic=oops`}}},
	{name: "HTTP request to the port of TLS", server: logsTo(`.*TLS handshake error.*`), handler: write("x"), client: func(e *env) {
		conn, err := e.dial(context.Background(), "tcp", "example.com:443")
		e.note("%v", err)
		defer conn.Close()
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n")
		answer, err := io.ReadAll(conn)
		e.note("%q %v", answer, err)
	}, want: `
		<nil>
		"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n" <nil>
		log: http: TLS handshake error from CLIENT: client sent an HTTP request to an HTTPS server`},
	{name: "no bytes of TLS on the port of TLS", server: logsTo(`.*TLS handshake error.*`), handler: write("x"), client: func(e *env) {
		conn, err := e.dial(context.Background(), "tcp", "example.com:443")
		e.note("%v", err)
		conn.Close()
		<-after(time.Second)
	}, want: `
		<nil>
		log: http: TLS handshake error from CLIENT: EOF`},
	{name: "ConnContext gets the connection of TLS", server: func(e *env, s *http.Server) {
		var known net.Conn
		s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
			_, ok := c.(*tls.Conn)
			e.saw("ConnContext *tls.Conn %v", ok)
			known = c
			return ctx
		}
		s.ConnState = func(c net.Conn, state http.ConnState) {
			if state == http.StateActive {
				e.saw("ConnState the same %v", c == known)
			}
		}
	}, handler: write(""), want: `
		> ConnContext *tls.Conn true
		> ConnState the same true
		200 OK, length 0
		Content-Length: 0
		body ""`, except: []exception{{on(http2), "ConnState", `
		> ConnContext *tls.Conn true
		> ConnState the same true
		> ConnState the same true
		200 OK, length 0
		Content-Length: 0
		body ""`}}},
	{name: "request-target * of GET and of an unknown method", handler: sees(func(r *http.Request) any {
		return fmt.Sprintf("%s %q %q", r.Method, r.RequestURI, r.URL.Path)
	}), client: func(e *env) {
		for _, method := range []string{"GET", "FETCH"} {
			req := e.request(method, "", nil)
			req.URL.Path = "*"
			e.show(req)
		}
	}, want: `
		> GET "*" "*"
		> FETCH "*" "*"
		204 No Content, length 0
		body ""
		204 No Content, length 0
		body ""`},
	{name: "fields of a request with nothing", handler: sees(func(r *http.Request) any {
		return fmt.Sprint(r.Header != nil, r.Header["Host"], r.Trailer == nil, r.Form == nil, r.URL.Scheme, r.URL.Host, r.URL.IsAbs(), r.Body == nil)
	}), want: `
		> true [] true truefalse false
		204 No Content, length 0
		body ""`},
	{name: "Trailer is removed from the headers", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		e.saw("%v %v", r.Header["Trailer"], r.Trailer)
		readAll(e.saw, r.Body)
		e.saw("%v", r.Trailer)
	}, client: func(e *env) {
		req := e.request("POST", "/", unsized(strings.NewReader("body")))
		req.Trailer = http.Header{"X-A": {"1"}}
		e.show(req)
	}, want: `
		> [] map[X-A:[]]
		> read "body", error none
		> map[X-A:[1]]
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "Pragma: no-cache of a request", handler: sees(func(r *http.Request) any { return fmt.Sprint(r.Header["Pragma"], r.Header["Cache-Control"]) }),
		client: withHeader("Pragma", "no-cache"), want: `
		> [no-cache] []
		204 No Content, length 0
		body ""`, except: []exception{{on(http1), "Pragma", `
		> [no-cache] [no-cache]
		204 No Content, length 0
		body ""`}}},
	{name: "headers of 512 KiB, 16 values", handler: sees(func(r *http.Request) any { return len(r.Header["X-Long"]) }),
		client: edited(func(r *http.Request) {
			for range 16 {
				r.Header.Add("X-Long", strings.Repeat("x", 32<<10))
			}
		}), want: `
		> 16
		204 No Content, length 0
		body ""`, except: []exception{{on(spdy2), "long values of SPDY/2", `
		error: failed`}}},
	{name: "temporary files of a form are removed", handler: func() handlerFunc {
		name := ""
		return func(e *env, w http.ResponseWriter, r *http.Request) {
			if r.Method == "GET" {
				_, err := os.Stat(name)
				e.saw("is left: %v", !os.IsNotExist(err))
				return
			}
			e.saw("%v", r.ParseMultipartForm(1))
			f, _, err := r.FormFile("file")
			e.saw("%v", err)
			file, ok := f.(*os.File)
			e.saw("%v", ok)
			name = file.Name()
			f.Close()
		}
	}(), client: func(e *env) {
		multipartUpload(e)
		e.get("/")
	}, want: `
		> <nil>
		> <nil>
		> true
		> is left: false
		200 OK, length 0
		Content-Length: 0
		body ""
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "CloseNotify after the client has gone", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		<-after(time.Second)
		select {
		case v := <-closing(w):
			e.saw("told %v", v)
		case <-after(time.Second):
			e.saw("not told")
		}
	}, client: func(e *env) {
		ctx, cancel := context.WithTimeout(e.t.Context(), 3*time.Second)
		defer cancel()
		e.show(e.request("GET", "/", nil).WithContext(ctx))
		<-after(5 * time.Second)
	}, want: `
		> told true
		error: timeout`},
	{name: "CloseNotify after the handler", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		e.handlers.Add(1)
		go func() {
			defer e.handlers.Done()
			<-after(time.Second)
			defer func() { e.saw("%v", recover()) }()
			closing(w)
		}()
	}, client: func(e *env) {
		e.get("/")
		<-after(3 * time.Second)
	}, want: `
		> net/http: CloseNotify called after ServeHTTP finished
		200 OK, length 0
		Content-Length: 0
		body ""`, except: []exception{{on(http2), "late CloseNotify", `
		> CloseNotify called after Handler finished
		200 OK, length 0
		Content-Length: 0
		body ""`}, {on(spdy31), "late CloseNotify", `
		> <nil>
		200 OK, length 0
		Content-Length: 0
		body ""`}}},
	{name: "context of the connection is the parent", server: func(e *env, s *http.Server) {
		ctx, cancel := context.WithCancel(context.Background())
		s.ConnContext = func(context.Context, net.Conn) context.Context { return ctx }
		time.AfterFunc(2*time.Second, cancel)
	}, handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		<-r.Context().Done()
		e.saw("%v after %v", r.Context().Err(), time.Since(start))
	}, want: `
		> context canceled after 2s
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "handlers of one client run with their own contexts", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/first" {
			return
		}
		<-after(2 * time.Second)
		e.saw("%v", r.Context().Err())
	}, client: func(e *env) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			<-after(time.Second)
			e.get("/first")
		}()
		res, err := e.client.Get(base + "/second")
		e.note("%v", err)
		res.Body.Close()
		<-done
	}, want: `
		> <nil>
		200 OK, length 0
		Content-Length: 0
		body ""
		<nil>`},
	{name: "ServeMux refuses the request-target *", handler: serve(http.NewServeMux()), client: func(e *env) {
		req := e.request("GET", "", nil)
		req.URL = &url.URL{Scheme: "https", Host: "example.com", Path: "*"}
		e.show(req)
	}, want: `
		400 Bad Request, length 0
		Content-Length: 0
		body ""`},
	{name: "HTTP/1.1 client of the same port", handler: sees(func(r *http.Request) any { return r.Proto }), client: func(e *env) {
		raw, err := e.dial(context.Background(), "tcp", "example.com:443")
		e.note("%v", err)
		conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
		defer conn.Close()
		io.WriteString(conn, "GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n")
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		e.note("%v", err)
		e.answer(res)
	}, want: `
		> HTTP/1.1
		<nil>
		<nil>
		204 No Content, length 0
		body ""`},
}
