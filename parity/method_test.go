package parity

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// methodLine is what a handler sees of the beginning of a request.
func methodLine(r *http.Request) any {
	return fmt.Sprintf("%s %s length %d", r.Method, r.RequestURI, r.ContentLength)
}

var methodScenarios = []scenario{
	{name: "GET", handler: sees(methodLine), want: `
		> GET / length 0
		204 No Content, length 0
		body ""`},
	{name: "no method is GET", handler: sees(methodLine), client: edited(func(r *http.Request) { r.Method = "" }), want: `
		> GET / length 0
		204 No Content, length 0
		body ""`},
	{name: "POST", handler: sees(methodLine), client: send("POST", "/", "body"), want: `
		> POST / length 4
		204 No Content, length 0
		body ""`},
	{name: "POST without a body", handler: sees(methodLine), client: send("POST", "/", ""), want: `
		> POST / length 0
		204 No Content, length 0
		body ""`},
	{name: "PUT", handler: sees(methodLine), client: send("PUT", "/x", "body"), want: `
		> PUT /x length 4
		204 No Content, length 0
		body ""`},
	{name: "PUT without a body", handler: sees(methodLine), client: send("PUT", "/x", ""), want: `
		> PUT /x length 0
		204 No Content, length 0
		body ""`},
	{name: "PATCH", handler: sees(methodLine), client: send("PATCH", "/x", "body"), want: `
		> PATCH /x length 4
		204 No Content, length 0
		body ""`},
	{name: "DELETE", handler: sees(methodLine), client: send("DELETE", "/x", ""), want: `
		> DELETE /x length 0
		204 No Content, length 0
		body ""`},
	{name: "DELETE with a body", handler: sees(methodLine), client: send("DELETE", "/x", "body"), want: `
		> DELETE /x length 4
		204 No Content, length 0
		body ""`},
	{name: "GET with a body", handler: sees(methodLine), client: send("GET", "/x", "body"), want: `
		> GET /x length 4
		204 No Content, length 0
		body ""`},
	{name: "OPTIONS", handler: sees(methodLine), client: send("OPTIONS", "/x", ""), want: `
		> OPTIONS /x length 0
		204 No Content, length 0
		body ""`},
	{name: "OPTIONS *", handler: sees(methodLine), client: func(e *env) {
		req := e.request("OPTIONS", "/", nil)
		req.URL.Path, req.URL.Opaque = "", "*"
		e.show(req)
	}, want: `
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "an own method with *", handler: sees(func(r *http.Request) any {
		return fmt.Sprintf("%s %s %s %v", methodLine(r), r.RequestURI, r.URL, r.Close)
	}), client: func(e *env) {
		req := e.request("FOO", "/", nil)
		req.URL.Path = "*"
		e.show(req)
	}, want: `
		> FOO * length 0 * * false
		204 No Content, length 0
		body ""`},
	{name: "TRACE", handler: sees(methodLine), client: send("TRACE", "/", ""), want: `
		> TRACE / length 0
		204 No Content, length 0
		body ""`},
	{name: "an own method", handler: sees(methodLine), client: send("PURGE", "/x", ""), want: `
		> PURGE /x length 0
		204 No Content, length 0
		body ""`},
	{name: "methods differ by case", handler: sees(methodLine), client: send("get", "/x", ""), want: `
		> get /x length 0
		204 No Content, length 0
		body ""`},
	{name: "a method that is no token", handler: sees(methodLine), client: edited(func(r *http.Request) { r.Method = "A B" }), want: `
		error: failed`},
	{name: "HEAD", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		n, err := io.WriteString(w, "hello")
		e.saw("%s wrote %d, error %s", r.Method, n, kind(err))
	}, client: send("HEAD", "/", ""), want: `
		> HEAD wrote 5, error none
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body ""`},
	{name: "HEAD of nothing", handler: func(e *env, w http.ResponseWriter, r *http.Request) {}, client: send("HEAD", "/", ""), want: `
		200 OK, length -1
		body ""`},
	{name: "HEAD with Content-Length", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "12345")
	}, client: send("HEAD", "/", ""), want: `
		200 OK, length 12345
		Content-Length: 12345
		body ""`},
	{name: "HEAD of a long answer", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		n, err := w.Write(pattern100K)
		e.saw("wrote %d, error %s", n, kind(err))
	}, client: send("HEAD", "/", ""), want: `
		> wrote 100000, error none
		200 OK, length -1
		Content-Type: application/octet-stream
		body ""`, except: []exception{{on(http2), "long HEAD", `
		> wrote 0, error failed
		200 OK, length -1
		Content-Type: application/octet-stream
		body ""`}}},
	{name: "HEAD answered before the handler returns", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		e.flush(w)
		select {
		case <-r.Context().Done():
			e.saw("context ends: %v", r.Context().Err())
		case <-after(20 * time.Second):
			e.saw("context goes on")
		}
	}, client: func(e *env) {
		e.show(e.request("HEAD", "/", nil))
		<-after(30 * time.Second)
	}, want: `
		> context ends: context canceled
		200 OK, length -1
		body ""`, except: []exception{{on(http1), "answered HEAD", `
		> context goes on
		200 OK, length -1
		body ""`}}},
	{name: "HEAD beyond the Content-Length", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "3")
		_, err := io.WriteString(w, "hello")
		e.saw("error %s", kind(err))
	}, client: send("HEAD", "/", ""), want: `
		> error http: wrote more than the declared Content-Length
		200 OK, length 3
		Content-Length: 3
		body ""`, except: []exception{{on(http2), "too much", `
		> error none
		200 OK, length 3
		Content-Length: 3
		Content-Type: text/plain; charset=utf-8
		body ""`}}},
	{name: "HEAD flushed", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		e.flush(w)
		io.WriteString(w, "hello")
	}, client: send("HEAD", "/", ""), want: `
		200 OK, length -1
		body ""`},
	{name: "HEAD of an error", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		http.Error(w, "no", http.StatusTeapot)
	}, client: send("HEAD", "/", ""), want: `
		418 I'm a teapot, length 3
		Content-Length: 3
		Content-Type: text/plain; charset=utf-8
		X-Content-Type-Options: nosniff
		body ""`},
	{name: "CONNECT refused", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		e.saw("%s %q %q host %s", r.Method, r.RequestURI, r.URL, r.Host)
		http.Error(w, "no", http.StatusMethodNotAllowed)
	}, client: func(e *env) {
		req := e.request("CONNECT", "", nil)
		req.URL.Path = ""
		e.show(req)
	}, want: `
		> CONNECT "example.com" "//example.com" host example.com
		405 Method Not Allowed, length 3
		Content-Length: 3
		Content-Type: text/plain; charset=utf-8
		X-Content-Type-Options: nosniff
		body "no\n"`},
	{name: "unread body, next request", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %d", r.Method, r.ContentLength)
	}, client: func(e *env) {
		e.show(e.request("POST", "/1", strings.NewReader("some bytes that nobody reads")))
		e.show(e.request("POST", "/2", strings.NewReader("more")))
	}, want: `
		200 OK, length 7
		Content-Length: 7
		Content-Type: text/plain; charset=utf-8
		body "POST 28"
		200 OK, length 6
		Content-Length: 6
		Content-Type: text/plain; charset=utf-8
		body "POST 4"`},
}
