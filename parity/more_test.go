package parity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// deadlineText is the error of a read or write in short.
func deadlineText(n int, err error) string {
	return fmt.Sprintf("%d %s", n, kind(err))
}

// lineScenarios follow the rest of net/http's server: deadlines, bodies, interim responses and hijacking.
var lineScenarios = []scenario{
	{name: "read deadline that has passed is moved", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		e.saw("%s", kind(c.SetReadDeadline(time.Now().Add(time.Second))))
		b := make([]byte, 100)
		n, err := io.ReadFull(r.Body, b[:5])
		e.saw("%s", deadlineText(n, err))
		n, err = r.Body.Read(b)
		e.saw("%s %v", deadlineText(n, err), errors.Is(err, os.ErrDeadlineExceeded))
		e.saw("%s", kind(c.SetReadDeadline(time.Time{})))
		_, err = r.Body.Read(b)
		e.saw("later fails %v", err != nil)
	}, client: slowUpload(3 * time.Second), want: `
		> none
		> 5 none
		> 0 timeout true
		> none
		> later fails true
		200 OK`},
	{name: "write deadline that has passed is moved", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		e.saw("%s", kind(c.SetWriteDeadline(time.Now().Add(time.Second))))
		<-after(2 * time.Second)
		e.saw("%s", kind(c.SetWriteDeadline(time.Time{})))
		io.WriteString(w, "text")
		e.saw("flushed %v", c.Flush() == nil)
	}, client: func(e *env) {
		res, err := e.client.Get(base)
		e.note("%v", err != nil)
		if err == nil {
			readAll(e.note, res.Body)
			res.Body.Close()
		}
	}, want: `
		> none
		> none
		> flushed true
		false
		read "text", error none`, except: []exception{{on(http2), "passed write deadline", `
		> none
		> none
		> flushed false
		true`}}},
	{name: "deadlines of a handler end with the handler", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		if r.URL.Path == "/first" {
			e.saw("%s %s", kind(c.SetReadDeadline(time.Now().Add(time.Second))), kind(c.SetWriteDeadline(time.Now().Add(time.Second))))
			return
		}
		readAll(e.saw, r.Body)
		<-after(2 * time.Second)
		io.WriteString(w, "text")
	}, client: func(e *env) {
		e.get("/first")
		e.show(e.request("POST", "/second", strings.NewReader("body")))
		e.note("%d connections", e.dials())
	}, want: `
		> none none
		> read "body", error none
		200 OK, length 0
		Content-Length: 0
		body ""
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"
		1 connections`},
	{name: "Flush after the handler", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "text")
		e.handlers.Add(1)
		go func() {
			defer e.handlers.Done()
			<-after(time.Second)
			defer func() { e.saw("panic %v", recover() != nil) }()
			http.NewResponseController(w).Flush()
		}()
	}, client: func(e *env) {
		e.get("/")
		<-after(2 * time.Second)
	}, want: `
		> panic false
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`, except: []exception{{on(http2), "late Write", `
		> panic true
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`}}},
	{name: "Close of the request body twice", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		e.saw("%v %v", r.Body.Close(), r.Body.Close())
	}, client: send("POST", "/", "body"), want: `
		> <nil> <nil>
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "text of a request body read after Close", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		r.Body.Close()
		_, err := r.Body.Read(make([]byte, 1))
		e.saw("%v", err)
	}, client: send("POST", "/", "body"), want: `
		> http: invalid Read on closed Body
		200 OK, length 0
		Content-Length: 0
		body ""`, except: []exception{{on(http2), "closed body", `
		> body closed by handler
		200 OK, length 0
		Content-Length: 0
		body ""`}}},
	{name: "unread upload of 1 MiB, then a request", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "text")
	}, client: func(e *env) {
		for range 2 {
			res, err := e.client.Do(e.request("POST", "/", bytes.NewReader(make([]byte, 1<<20))))
			if err != nil {
				e.note("fails")
				continue
			}
			e.body(res)
		}
		e.note("%d connections", e.dials())
	}, want: `
		body "text"
		body "text"
		1 connections`, except: []exception{{on(http1), "unread upload", `
		body "text"
		body "text"
		2 connections`}}},
	{name: "text of MaxBytesReader", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 2))
		var large *http.MaxBytesError
		e.saw("%v %v", err, errors.As(err, &large))
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	}, client: send("POST", "/", "body"), want: `
		> http: request body too large true
		413 Request Entity Too Large, length 0
		Content-Length: 0
		body ""`},
	{name: "Expect: 100-continue without a body", handler: sees(func(r *http.Request) any { return r.ContentLength }),
		client: get("/", "Expect", "100-continue"), want: `
		> 0
		204 No Content, length 0
		body ""`},
	{name: "Hijack after a Write", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "text")
		_, _, err := http.NewResponseController(struct {
			http.ResponseWriter
		}{w}).Hijack()
		e.saw("%v %v", errors.Is(err, http.ErrNotSupported), err)
	}, want: `
		> true feature not supported
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`},
	{name: "informational headers stay in the response", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a>")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("X-A", "1")
		io.WriteString(w, "text")
	}, want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		Link: </a>
		X-A: 1
		body "text"`},
	{name: "context of a handler after its response is read", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "text")
		e.flush(w)
		<-after(500 * time.Millisecond)
		e.saw("%v", r.Context().Err())
	}, want: `
		> <nil>
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "text"`},
	{name: "context after a short answer with its Content-Length is read", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "4")
		io.WriteString(w, "text")
		e.flush(w)
		<-after(2 * time.Second)
		e.saw("%v", r.Context().Err())
	}, client: func(e *env) {
		e.get("/")
		<-after(3 * time.Second)
	}, want: `
		> <nil>
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`},
	{name: "AfterFunc of the context runs when the handler returns", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		e.handlers.Add(1)
		context.AfterFunc(r.Context(), func() {
			defer e.handlers.Done()
			e.saw("%v %v", r.Context().Err(), context.Cause(r.Context()))
		})
	}, client: func(e *env) {
		e.get("/")
		<-after(time.Second)
	}, want: `
		> context canceled context canceled
		200 OK, length 0
		Content-Length: 0
		body ""`},
}
