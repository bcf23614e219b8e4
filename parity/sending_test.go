package parity

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/amahi/spdy"
)

// refused sends a request, which the transport should refuse, and notes the error, whether the body
// was closed, and whether a connection was dialled.
func (e *env) refused(what string, edit func(r *http.Request)) {
	b := newBody(strings.NewReader("body"))
	req := e.request("POST", "/", nil)
	req.Body = b
	edit(req)
	res, err := e.client.Transport.RoundTrip(req)
	if err == nil {
		res.Body.Close()
	}
	e.note("%s: %v, closed %d, dials %d", what, err, len(b.closed), e.dials())
}

// answersLate is a handler that answers a second after the body has ended, so that an error of the body
// arrives before the answer.
func answersLate(e *env, w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	<-after(time.Second)
}

// sendingScenarios follow Transport.RoundTrip of net/http and its callees.
var sendingScenarios = []scenario{
	{name: "texts of refusals", handler: write("x"), client: func(e *env) {
		e.refused("no URL", func(r *http.Request) { r.URL = nil })
		e.refused("name", func(r *http.Request) { r.Header["A B"] = []string{"x"} })
		e.refused("value", func(r *http.Request) { r.Header.Set("X-A", "secret\n") })
		e.refused("scheme", func(r *http.Request) { r.URL.Scheme = "ftp" })
		e.refused("no scheme", func(r *http.Request) { r.URL.Scheme = "" })
		e.refused("method", func(r *http.Request) { r.Method = "A B" })
		e.refused("no host", func(r *http.Request) { r.URL.Host = "" })
		e.refused("trailer", func(r *http.Request) { r.Trailer = http.Header{"A B": {"x"}} })
		e.refused("trailer value", func(r *http.Request) { r.Trailer = http.Header{"X-A": {"a\nb"}} })
	}, want: `
		no URL: http: nil Request.URL, closed 1, dials 0
		name: net/http: invalid header field name "A B", closed 1, dials 0
		value: net/http: invalid header field value for "X-A", closed 1, dials 0
		scheme: unsupported protocol scheme "ftp", closed 1, dials 0
		no scheme: unsupported protocol scheme "", closed 1, dials 0
		method: net/http: invalid method "A B", closed 1, dials 0
		no host: http: no Host in request URL, closed 1, dials 0
		trailer: net/http: invalid trailer field name "A B", closed 1, dials 0
		trailer value: net/http: invalid trailer field value for "X-A", closed 1, dials 0`},
	{name: "no Header", handler: write("x"), client: func(e *env) {
		req := e.request("GET", "/", nil)
		req.Header = nil
		res, err := e.client.Transport.RoundTrip(req)
		e.note("%v", err)
		if err == nil {
			res.Body.Close()
		}
	}, want: `
		http: nil Request.Header`, except: []exception{{on(spdy31, spdy3, spdy2), "nil Header", `
		<nil>`}, {on(grafted), "nil Header", `
		http: nil Request.Header`}}},
	{name: "request whose context has ended", handler: write("x"), client: func(e *env) {
		ctx, cancel := context.WithCancel(e.t.Context())
		cancel()
		e.refused("ended", func(r *http.Request) { *r = *r.WithContext(ctx) })
	}, want: `
		ended: context canceled, closed 1, dials 0`},
	{name: "error of the dial is returned", handler: write("x"), client: func(e *env) {
		failure := errors.New("no route")
		*e.tune().DialContext = func(context.Context, string, string) (net.Conn, error) { return nil, failure }
		_, err := e.client.Transport.RoundTrip(e.request("GET", "/", nil))
		e.note("%v %v", errors.Is(err, failure), err)
	}, want: `
		true no route`},
	{name: "dial gets the address and the values of the context", handler: write("x"), client: func(e *env) {
		*e.tune().DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			e.note("%s %s %v", network, addr, ctx.Value(key{}))
			return nil, errors.New("no route")
		}
		req := e.request("GET", "/", nil)
		_, err := e.client.Transport.RoundTrip(req.WithContext(context.WithValue(req.Context(), key{}, "v")))
		e.note("%v", err != nil)
	}, want: `
		tcp example.com:443 v
		true`},
	{name: "server without TLS", handler: write("x"), client: func(e *env) {
		*e.tune().DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			one, two := net.Pipe()
			go func() {
				r := bufio.NewReader(two)
				r.Peek(1)
				io.WriteString(two, "HTTP/1.1 400 Bad Request\r\n\r\n")
				two.Close()
			}()
			return one, nil
		}
		_, err := e.client.Get(base)
		e.note("%v %v", errors.Is(err, http.ErrSchemeMismatch), err)
	}, want: `
		true Get "https://example.com": http: server gave HTTP response to HTTPS client`},
	{name: "text of ResponseHeaderTimeout", handler: func(e *env, w http.ResponseWriter, r *http.Request) { <-after(5 * time.Second) }, client: func(e *env) {
		*e.tune().ResponseHeaderTimeout = 2 * time.Second
		_, err := e.client.Transport.RoundTrip(e.request("GET", "/", nil))
		var timeout net.Error
		e.note("%v, %v %v", err, errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded))
	}, want: `
		net/http: timeout awaiting response headers, true true`, except: []exception{{on(http2), "texts of errors", `
		http2: timeout awaiting response headers, true false`}, {on(spdy31), "texts of errors", `
		spdy: timeout awaiting response headers, true true`}}},
	{name: "text of a body read after Close", handler: write("text"), client: func(e *env) {
		res, err := e.client.Get(base)
		e.note("%s", kind(err))
		res.Body.Close()
		n, err := res.Body.Read(make([]byte, 1))
		e.note("%d %v", n, err)
	}, want: `
		none
		0 http: read on closed response body`, except: []exception{{on(http2), "texts of errors", `
		none
		0 http2: response body closed`}, {on(spdy31), "texts of errors", `
		none
		0 http: invalid Read on closed Body`}}},
	{name: "text of a body of another length", handler: answersLate, client: func(e *env) {
		req := e.request("POST", "/", unsized(strings.NewReader("long body")))
		req.ContentLength = 4
		_, err := e.client.Transport.RoundTrip(req)
		e.note("%v", err)
	}, want: `
		net/http: HTTP/1.x transport connection broken: http: ContentLength=4 with Body length 9`, except: []exception{{on(http2), "texts of errors", `
		http2: request body larger than specified content length`}, {on(spdy31), "texts of errors", `
		spdy: request body is longer than its Content-Length: http: wrote more than the declared Content-Length`}}},
	{name: "text of an error of the body", handler: answersLate, client: func(e *env) {
		failure := errors.New("disk on fire")
		_, err := e.client.Transport.RoundTrip(e.request("POST", "/", io.MultiReader(strings.NewReader("x"), failsWith{failure})))
		e.note("%v %v", errors.Is(err, failure), err)
	}, want: `
		true disk on fire`},
	{name: "answer has the request", handler: write("x"), client: func(e *env) {
		req := e.request("GET", "/", nil)
		res, err := e.client.Transport.RoundTrip(req)
		e.note("%v %v", err, res.Request == req)
		res.Body.Close()
	}, want: `
		<nil> true`},
	{name: "answers without a body have NoBody", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/204":
			w.WriteHeader(http.StatusNoContent)
		case "/text":
			io.WriteString(w, "text")
		}
	}, client: func(e *env) {
		for _, c := range []string{"GET /empty", "GET /204", "HEAD /text", "GET /text"} {
			method, path, _ := strings.Cut(c, " ")
			res, err := e.client.Do(e.request(method, path, nil))
			_, writer := res.Body.(io.Writer)
			e.note("%s: %s NoBody %v, Writer %v", c, kind(err), res.Body == http.NoBody, writer)
			res.Body.Close()
		}
	}, want: `
		GET /empty: none NoBody true, Writer false
		GET /204: none NoBody true, Writer false
		HEAD /text: none NoBody true, Writer false
		GET /text: none NoBody false, Writer false`, except: []exception{{on(http2), "NoBody", `
		GET /empty: none NoBody false, Writer false
		GET /204: none NoBody false, Writer false
		HEAD /text: none NoBody false, Writer false
		GET /text: none NoBody false, Writer false`}}},
	{name: "Proxy that fails", handler: write("x"), client: func(e *env) {
		failure := errors.New("no proxy")
		proxy := func(*http.Request) (*url.URL, error) { return nil, failure }
		if t, ok := e.client.Transport.(*http.Transport); ok {
			t.Proxy = proxy
		} else {
			e.client.Transport.(*spdy.Transport).Proxy = proxy
		}
		_, err := e.client.Transport.RoundTrip(e.request("GET", "/", nil))
		e.note("%v %v", errors.Is(err, failure), err)
	}, want: `
		true no proxy`},
	{name: "Accept-Encoding is added", handler: sees(func(r *http.Request) any { return r.Header["Accept-Encoding"] }), client: func(e *env) {
		e.get("/")
		e.get("/", "Range", "bytes=0-1")
		e.get("/", "Accept-Encoding", "identity")
		e.show(e.request("HEAD", "/", nil))
	}, want: `
		> [gzip]
		> []
		> [identity]
		> []
		204 No Content, length 0
		body ""
		204 No Content, length 0
		body ""
		204 No Content, length 0
		body ""
		204 No Content, length -1
		body ""`},
	{name: "no User-Agent", handler: sees(func(r *http.Request) any { return fmt.Sprintf("%q", r.Header["User-Agent"]) }), client: func(e *env) {
		e.get("/", "User-Agent", "")
		req := e.request("GET", "/", nil)
		req.Header["User-Agent"] = nil
		e.show(req)
	}, want: `
		> []
		> []
		204 No Content, length 0
		body ""
		204 No Content, length 0
		body ""`},
	{name: "CloseIdleConnections, then a request", handler: write("x"), client: func(e *env) {
		e.get("/")
		e.client.CloseIdleConnections()
		e.get("/")
		e.note("%d connections", e.dials())
	}, want: `
		200 OK, length 1
		Content-Length: 1
		Content-Type: text/plain; charset=utf-8
		body "x"
		200 OK, length 1
		Content-Length: 1
		Content-Type: text/plain; charset=utf-8
		body "x"
		2 connections`},
	{name: "host in capitals and with the port", handler: sees(func(r *http.Request) any { return r.Host }), client: func(e *env) {
		for _, host := range []string{"EXAMPLE.com", "example.com:443"} {
			req := e.request("GET", "/", nil)
			req.URL.Host, req.Host = host, ""
			e.show(req)
		}
		e.note("%d connections", e.dials())
	}, want: `
		> EXAMPLE.com
		> example.com:443
		204 No Content, length 0
		body ""
		204 No Content, length 0
		body ""
		2 connections`, except: []exception{{on(spdy31), "capitals of hosts", `
		> EXAMPLE.com
		> example.com:443
		204 No Content, length 0
		body ""
		204 No Content, length 0
		body ""
		1 connections`}}},
	{name: "Close of a body twice", handler: func(e *env, w http.ResponseWriter, r *http.Request) { w.Write(pattern100K) }, client: func(e *env) {
		res, err := e.client.Get(base)
		e.note("%s", kind(err))
		e.note("%v %v", res.Body.Close(), res.Body.Close())
	}, want: `
		none
		<nil> <nil>`},
	{name: "trailers that the client sets after RoundTrip", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		e.saw("%v", r.Trailer)
	}, client: func(e *env) {
		req := e.request("POST", "/", nil)
		req.Trailer = http.Header{"X-A": nil}
		req.ContentLength = -1
		req.Body = io.NopCloser(io.MultiReader(strings.NewReader("text"), atEnd(func() { req.Trailer.Set("X-A", "1") })))
		e.show(req)
	}, want: `
		> map[X-A:[1]]
		200 OK, length 0
		Content-Length: 0
		body ""`},
}

// failsWith is a reader that fails with an error.
type failsWith struct{ err error }

func (f failsWith) Read([]byte) (int, error) { return 0, f.err }

// atEnd is an empty reader that calls a function.
type atEnd func()

func (f atEnd) Read([]byte) (int, error) {
	f()
	return 0, io.EOF
}
