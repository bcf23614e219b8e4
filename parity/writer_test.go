package parity

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"time"
)

// panics is a handler that writes, flushes if that is wanted, and panics.
func panics(text string, flush bool, value any) handlerFunc {
	return func(e *env, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/again" {
			io.WriteString(w, "fine")
			return
		}
		io.WriteString(w, text)
		if flush {
			e.flush(w)
		}
		panic(value)
	}
}

// twice is a client that gets a page whose handler panics, and another.
func twice(e *env) {
	e.get("/")
	e.get("/again")
}

var panicScenarios = []scenario{
	{name: "before the answer", handler: panics("", false, "oops"), client: twice, want: `
		error: failed
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "fine"`},
	{name: "in a buffered answer", handler: panics("text", false, "oops"), client: twice, want: `
		error: failed
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "fine"`},
	{name: "in an answer", handler: panics("text", true, "oops"), client: twice, want: `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "text"
		error: failed
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "fine"`},
	{name: "in a long answer", handler: panics(string(pattern100K), true, errors.New("oops")), client: func(e *env) {
		res, err := e.client.Get(base)
		e.note("error %s", kind(err))
		_, err = io.Copy(io.Discard, res.Body)
		e.note("fails %v", err != nil)
		res.Body.Close()
		e.get("/again")
	}, want: `
		error none
		fails true
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "fine"`},
	{name: "ErrAbortHandler before the answer", handler: panics("", false, http.ErrAbortHandler), client: twice, want: `
		error: failed
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "fine"`},
	{name: "ErrAbortHandler in an answer", handler: panics("text", true, http.ErrAbortHandler), client: twice, want: `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "text"
		error: failed
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "fine"`},
	{name: "ErrAbortHandler with a Content-Length", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "text")
		e.flush(w)
		panic(http.ErrAbortHandler)
	}, want: `
		200 OK, length 100
		Content-Length: 100
		Content-Type: text/plain; charset=utf-8
		body "text"
		error: failed`},
	{name: "nil", handler: panics("", false, nil), client: twice, want: `
		error: failed
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "fine"`},
	{name: "recovered by middleware", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		defer func() {
			e.saw("%v", recover())
			http.Error(w, "sorry", http.StatusInternalServerError)
		}()
		panic("oops")
	}, want: `
		> oops
		500 Internal Server Error, length 6
		Content-Length: 6
		Content-Type: text/plain; charset=utf-8
		X-Content-Type-Options: nosniff
		body "sorry\n"`},
	{name: "while the body is unread", handler: panics("", false, "oops"), client: func(e *env) {
		send("POST", "/", "some body")(e)
		e.get("/again")
	}, want: `
		error: failed
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "fine"`},
	{name: "leaves other requests alone", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/panic" {
			<-after(time.Second)
			panic(http.ErrAbortHandler)
		}
		<-after(2 * time.Second)
		io.WriteString(w, "fine")
	}, client: func(e *env) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			e.client.Do(e.request("POST", "/panic", strings.NewReader("x")))
		}()
		e.get("/other")
		<-done
	}, want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "fine"`},
}

var writerScenarios = []scenario{
	{name: "Flusher", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		f, ok := w.(http.Flusher)
		e.saw("%v", ok)
		io.WriteString(w, "a")
		f.Flush()
		<-after(time.Second)
		io.WriteString(w, "b")
	}, client: func(e *env) {
		res, err := e.client.Get(base)
		e.note("error %s", kind(err))
		start := time.Now()
		io.ReadFull(res.Body, make([]byte, 1))
		e.note("first after %v", time.Since(start))
		readAll(e.note, res.Body)
		e.note("second after %v", time.Since(start))
		res.Body.Close()
	}, want: `
		> true
		error none
		first after 0s
		read "b", error none
		second after 1s`},
	{name: "not flushed", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "a")
		<-after(time.Second)
		io.WriteString(w, "b")
	}, client: func(e *env) {
		start := time.Now()
		res, err := e.client.Get(base)
		e.note("error %s after %v, length %d", kind(err), time.Since(start), res.ContentLength)
		res.Body.Close()
	}, want: `
		error none after 1s, length 2`},
	{name: "Flush sends the headers", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-A", "1")
		w.WriteHeader(http.StatusAccepted)
		e.flush(w)
		<-after(time.Second)
	}, client: func(e *env) {
		start := time.Now()
		res, err := e.client.Get(base)
		e.note("error %s after %v, %s, %s", kind(err), time.Since(start), res.Status, res.Header.Get("X-A"))
		e.body(res)
	}, want: `
		error none after 0s, 202 Accepted, 1
		body ""`},
	{name: "Flush through wrapped writers", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "a")
		e.saw("%s", kind(http.NewResponseController(wrapped{wrapped{w}}).Flush()))
		e.saw("%s", kind(http.NewResponseController(opaque{w}).Flush()))
	}, want: `
		> none
		> feature not supported
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "a"`},
	{name: "Flush after the client has gone", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		e.flush(w)
		<-r.Context().Done()
		io.WriteString(w, "a")
		e.saw("fails %v", http.NewResponseController(w).Flush() != nil)
	}, client: func(e *env) {
		res, err := e.client.Get(base)
		e.note("error %s", kind(err))
		res.Body.Close()
		<-after(time.Second)
	}, want: `
		> fails true
		error none`},
	{name: "full duplex", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		e.saw("%s", kind(http.NewResponseController(wrapped{w}).EnableFullDuplex()))
		e.saw("%s", kind(http.NewResponseController(opaque{w}).EnableFullDuplex()))
	}, want: `
		> none
		> feature not supported
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "Hijacker", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		_, ok := w.(http.Hijacker)
		e.saw("%v", ok)
		if !ok {
			_, _, err := http.NewResponseController(w).Hijack()
			e.saw("error %s", kind(err))
		}
	}, want: `
		> false
		> error feature not supported
		200 OK, length 0
		Content-Length: 0
		body ""`, except: []exception{{on(http1), "Hijacker", `
		> true
		200 OK, length 0
		Content-Length: 0
		body ""`}}},
	{name: "Hijack through an opaque writer", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		_, _, err := http.NewResponseController(opaque{w}).Hijack()
		e.saw("error %s", kind(err))
	}, want: `
		> error feature not supported
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "Pusher", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		p, ok := w.(http.Pusher)
		e.saw("%v", ok)
		if ok { // the clients take none
			e.saw("%s", kind(p.Push("/style.css", nil)))
		}
		io.WriteString(w, "page")
	}, want: `
		> true
		> feature not supported
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "page"`, except: []exception{{on(http1), "Pusher", `
		> false
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "page"`}}},
	{name: "100 Continue by hand", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusContinue)
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, "text")
	}, client: send("POST", "/", "body"), want: `
		202 Accepted, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`},
	{name: "102 and 103 do not end the headers", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusProcessing)
		w.Header().Set("Link", "</x.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header().Set("X-After", "1")
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, "text")
	}, want: `
		202 Accepted, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		Link: </x.css>; rel=preload
		X-After: 1
		body "text"`},
	{name: "103 seen by the client", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</x.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.WriteHeader(http.StatusNoContent)
	}, client: func(e *env) {
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			e.note("%d %s", code, header.Get("Link"))
			return nil
		}}
		req := e.request("GET", "/", nil)
		e.show(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
	}, want: `
		103 </x.css>; rel=preload
		204 No Content, length 0
		Link: </x.css>; rel=preload
		body ""`, except: []exception{{on(spdy31), "interim answers", `
		204 No Content, length 0
		Link: </x.css>; rel=preload
		body ""`}}},
	{name: "Expect: 100-continue, body read", handler: reads, client: send("POST", "/", "body", "Expect", "100-continue"), want: `
		> length 4, read "body", error none
		200 OK, length 1
		Content-Length: 1
		Content-Type: text/plain; charset=utf-8
		body "4"`},
	{name: "Expect: 100-continue, refused", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusExpectationFailed)
	}, client: send("POST", "/", "body", "Expect", "100-continue"), want: `
		417 Expectation Failed, length 0
		Content-Length: 0
		body ""`},
	{name: "Expect shown to the handler", handler: sees(func(r *http.Request) any { return fmt.Sprintf("%q", r.Header["Expect"]) }),
		client: send("POST", "/", "body", "Expect", "100-continue"), want: `
		> []
		204 No Content, length 0
		body ""`, except: []exception{{on(http1), "Expect", `
		> ["100-continue"]
		204 No Content, length 0
		body ""`}}},
	{name: "Expect of something else", handler: sees(func(r *http.Request) any { return fmt.Sprintf("%q", r.Header["Expect"]) }),
		client: send("POST", "/", "body", "Expect", "a-miracle"), want: `
		> ["a-miracle"]
		204 No Content, length 0
		body ""`, except: []exception{{on(http1), "Expect", `
		417 Expectation Failed, length 0
		Content-Length: 0
		body ""`}}},
}
