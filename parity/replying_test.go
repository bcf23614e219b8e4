package parity

import (
	"io"
	"net/http"
	"strings"
	"time"
)

// headers is a handler that sets headers, which may have no values, and writes a text.
func headers(text string, set http.Header) handlerFunc {
	return func(e *env, w http.ResponseWriter, r *http.Request) {
		for key, values := range set {
			w.Header()[key] = values
		}
		if n, err := io.WriteString(w, text); err != nil {
			e.saw("%d %s", n, kind(err))
		}
	}
}

// replyingScenarios follow the ResponseWriter of net/http's server.
var replyingScenarios = []scenario{
	{name: "Content-Length nil", handler: headers("text", http.Header{"Content-Length": nil}), want: `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "text"`},
	{name: "Content-Length twice", handler: headers("text", http.Header{"Content-Length": {"4", "4"}}), want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`},
	{name: "Content-Length with a sign", handler: headers("text", http.Header{"Content-Length": {"+4"}}), want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`, except: []exception{{on(http1), "bad length", `
		error: failed`}}},
	{name: "Content-Length with zeros", handler: headers("text", http.Header{"Content-Length": {"004"}}), want: `
		200 OK, length 4
		Content-Length: 004
		Content-Type: text/plain; charset=utf-8
		body "text"`, except: []exception{{on(spdy31), "spelling of lengths", `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`}}},
	{name: "Content-Length of the empty string", handler: headers("text", http.Header{"Content-Length": {""}}), want: `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "text"`, except: []exception{{on(http2), "empty length", `
		200 OK, length -1
		Content-Length:
		Content-Type: text/plain; charset=utf-8
		body "text"`}}},
	{name: "Content-Length set after WriteHeader", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "text")
	}, want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`},
	{name: "invalid Content-Length is logged", server: logsTo(`.*invalid.*`), handler: headers("text", http.Header{"Content-Length": {"x"}}), client: func(e *env) {
		res, err := e.client.Get(base)
		e.note("%s", kind(err))
		res.Body.Close()
	}, want: `
		none`, except: []exception{{on(http1), "bad length", `
		none
		log: http: invalid Content-Length of "x"`}}},
	{name: "WriteString beyond the Content-Length", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "4")
		n, err := io.WriteString(w, "text")
		e.saw("%d %s", n, kind(err))
		n, err = io.WriteString(w, "more")
		e.saw("%d %s", n, kind(err))
	}, want: `
		> 4 none
		> 0 http: wrote more than the declared Content-Length
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`, except: []exception{{on(http2), "too much", `
		> 4 none
		> 4 none
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"
		error: failed`}}},
	{name: "WriteHeader after a Write", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "text")
		w.WriteHeader(http.StatusTeapot)
	}, want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`},
	{name: "WriteHeader with an invalid status after a Write", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "text")
		w.WriteHeader(0)
	}, want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`},
	{name: "WriteHeader 103 after a Write", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "text")
		w.WriteHeader(http.StatusEarlyHints)
	}, want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`},
	{name: "text of the panic of an invalid status", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		defer func() { e.saw("%v", recover()) }()
		w.WriteHeader(99)
	}, want: `
		> invalid WriteHeader code 99
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "Content-Encoding of the empty string", handler: headers("text", http.Header{"Content-Encoding": {""}}), want: `
		200 OK, length 4
		Content-Encoding:
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`},
	{name: "Content-Type of the empty string", handler: headers("text", http.Header{"Content-Type": {""}}), want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type:
		body "text"`},
	{name: "Date of the empty string", handler: headers("text", http.Header{"Date": {""}}), want: `
		200 OK, length 4
		Date [""]
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`},
	{name: "name of small letters", handler: headers("text", http.Header{"x-small": {"1"}, "X-Small": {"2"}}), want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		X-Small: 2
		X-Small: 1
		body "text"`},
	{name: "Set-Cookie, several", handler: headers("text", http.Header{"Set-Cookie": {"a=1", "b=2"}}), want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		Set-Cookie: a=1
		Set-Cookie: b=2
		body "text"`},
	{name: "Trailer with names in several forms", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header()["Trailer"] = []string{"x-a, X-B", "x-c"}
		io.WriteString(w, "text")
		e.flush(w)
		w.Header().Set("X-A", "1")
		w.Header().Set("X-B", "2")
		w.Header()["X-C"] = []string{"3", "4"}
	}, want: `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "text"
		trailer X-A: 1
		trailer X-B: 2
		trailer X-C: 3
		trailer X-C: 4`, except: []exception{{on(spdy2), "trailers of SPDY/2", `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "text"
		trailer X-A without a value
		trailer X-B without a value
		trailer X-C without a value`}}},
	{name: "announced trailer that is not set", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-A")
		io.WriteString(w, "text")
		e.flush(w)
	}, want: `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "text"
		trailer X-A without a value`},
	{name: "Pragma: no-cache of a response", handler: headers("text", http.Header{"Pragma": {"no-cache"}}), want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		Pragma: no-cache
		body "text"`, except: []exception{{on(http1), "Pragma", `
		200 OK, length 4
		Cache-Control: no-cache
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		Pragma: no-cache
		body "text"`}}},
	{name: "headers of the request changed by the handler", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		r.Header.Set("Connection", "close")
		io.WriteString(w, "text")
	}, client: twice, want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`},
	{name: "empty Write sends no headers", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		n, err := w.Write(nil)
		e.saw("%d %v", n, err)
		<-after(2 * time.Second)
	}, client: func(e *env) {
		start := time.Now()
		res, err := e.client.Get(base)
		e.note("%s after %v", kind(err), time.Since(start))
		res.Body.Close()
	}, want: `
		> 0 <nil>
		none after 2s`},
	{name: "WriteHeader sends no headers", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		<-after(2 * time.Second)
	}, client: func(e *env) {
		start := time.Now()
		res, err := e.client.Get(base)
		e.note("%s after %v", kind(err), time.Since(start))
		res.Body.Close()
	}, want: `
		none after 2s`},
	{name: "Flush twice, and after the body", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		e.flush(w)
		e.flush(w)
		io.WriteString(w, "text")
		e.flush(w)
		e.flush(w)
	}, want: `
		200 OK, length -1
		body "text"`},
	{name: "Flush of 204", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNoContent)
		e.flush(w)
	}, want: `
		204 No Content, length 0
		body ""`, except: []exception{{on(http2), "no body", `
		204 No Content, length -1
		body ""`}}},
	{name: "Location of the handler is sent as set", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/a b")
		w.WriteHeader(http.StatusCreated)
	}, want: `
		201 Created, length 0
		Content-Length: 0
		Location: /a b
		body ""`},
	{name: "Write from two goroutines in turn", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			io.WriteString(w, strings.Repeat("a", 3000))
		}()
		<-done
		io.WriteString(w, strings.Repeat("b", 3000))
	}, client: func(e *env) {
		res, err := e.client.Get(base)
		e.note("%s", kind(err))
		e.body(res)
	}, want: `
		none
		body of 6000 bytes, d8784b999d519b023c186bdaf`},
	{name: "Content-Length with 205", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusResetContent)
		n, err := io.WriteString(w, "text")
		e.saw("%d %s", n, kind(err))
	}, want: `
		> 4 none
		205 Reset Content, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`},
	{name: "status 101 without an upgrade", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusSwitchingProtocols)
	}, client: func(e *env) {
		res, err := e.client.Get(base)
		e.note("%v", err != nil)
		if err == nil {
			e.note("%s", res.Status)
			res.Body.Close()
		}
	}, want: `
		false
		200 OK`, except: []exception{{on(http1), "status 101", `
		false
		101 Switching Protocols`}}},
}
