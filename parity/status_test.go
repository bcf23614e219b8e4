package parity

import (
	"fmt"
	"io"
	"net/http"
)

// status is a handler that answers with a status and a short text.
func status(code int) handlerFunc {
	return func(e *env, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(code)
		io.WriteString(w, "text")
	}
}

// refusesStatus is a handler that tries a status which is none.
func refusesStatus(code int) handlerFunc {
	return func(e *env, w http.ResponseWriter, r *http.Request) {
		defer func() {
			e.saw("panics: %v", recover())
			w.WriteHeader(http.StatusAccepted)
		}()
		w.WriteHeader(code)
	}
}

// noBody is a handler that answers with a status that has no body, and tries one.
func noBody(code int, header ...string) handlerFunc {
	return func(e *env, w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		n, err := io.WriteString(w, "text")
		e.saw("wrote %d, error %s", n, kind(err))
		n, err = w.Write(nil)
		e.saw("wrote %d, error %s", n, kind(err))
	}
}

var statusScenarios = []scenario{
	{name: "200 by default", handler: func(e *env, w http.ResponseWriter, r *http.Request) {}, want: `
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "201", handler: status(http.StatusCreated), want: `
		201 Created, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`},
	{name: "202", handler: status(http.StatusAccepted), want: `
		202 Accepted, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`},
	{name: "203", handler: status(http.StatusNonAuthoritativeInfo), want: `
		203 Non-Authoritative Information, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`},
	{name: "204", handler: noBody(http.StatusNoContent, "Content-Type", "text/plain"), want: `
		> wrote 0, error http: request method or response status code does not allow body
		> wrote 0, error none
		204 No Content, length 0
		Content-Type: text/plain
		body ""`, except: []exception{{on(http2), "no body", `
		> wrote 0, error http: request method or response status code does not allow body
		> wrote 0, error http: request method or response status code does not allow body
		204 No Content, length 0
		Content-Type: text/plain
		body ""`}}},
	{name: "204 with Content-Length", handler: noBody(http.StatusNoContent, "Content-Length", "4"), want: `
		> wrote 0, error http: request method or response status code does not allow body
		> wrote 0, error none
		204 No Content, length 0
		body ""`, except: []exception{{on(http2), "no body", `
		> wrote 0, error http: request method or response status code does not allow body
		> wrote 0, error http: request method or response status code does not allow body
		204 No Content, length 4
		Content-Length: 4
		body ""
		error: failed`}}},
	{name: "205", handler: status(http.StatusResetContent), want: `
		205 Reset Content, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`},
	{name: "207", handler: status(http.StatusMultiStatus), want: `
		207 Multi-Status, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`},
	{name: "304", handler: noBody(http.StatusNotModified, "Etag", `"1"`), want: `
		> wrote 0, error http: request method or response status code does not allow body
		> wrote 0, error none
		304 Not Modified, length 0
		Etag: "1"
		body ""`, except: []exception{{on(http2), "no body", `
		> wrote 0, error http: request method or response status code does not allow body
		> wrote 0, error http: request method or response status code does not allow body
		304 Not Modified, length 0
		Etag: "1"
		body ""`}}},
	{name: "304 with Content-Length and Content-Type", handler: noBody(http.StatusNotModified, "Content-Length", "4", "Content-Type", "text/plain"), want: `
		> wrote 0, error http: request method or response status code does not allow body
		> wrote 0, error none
		304 Not Modified, length 0
		body ""`, except: []exception{{on(http2), "no body", `
		> wrote 0, error http: request method or response status code does not allow body
		> wrote 0, error http: request method or response status code does not allow body
		304 Not Modified, length 4
		Content-Length: 4
		Content-Type: text/plain
		body ""
		error: failed`}}},
	{name: "400", handler: status(http.StatusBadRequest), want: `
		400 Bad Request, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`},
	{name: "401", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("WWW-Authenticate", `Basic realm="parity"`)
		w.WriteHeader(http.StatusUnauthorized)
	}, want: `
		401 Unauthorized, length 0
		Content-Length: 0
		Www-Authenticate: Basic realm="parity"
		body ""`},
	{name: "404 of NotFound", handler: serve(http.NotFoundHandler()), want: `
		404 Not Found, length 19
		Content-Length: 19
		Content-Type: text/plain; charset=utf-8
		X-Content-Type-Options: nosniff
		body "404 page not found\n"`},
	{name: "418", handler: status(http.StatusTeapot), want: `
		418 I'm a teapot, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`},
	{name: "429", handler: status(http.StatusTooManyRequests), want: `
		429 Too Many Requests, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`},
	{name: "500", handler: status(http.StatusInternalServerError), want: `
		500 Internal Server Error, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`},
	{name: "503", handler: status(http.StatusServiceUnavailable), want: `
		503 Service Unavailable, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`},
	{name: "a status without a text", handler: status(599), want: `
		599 , length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`, except: []exception{{on(http1), "status text", `
		599 status code 599, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`}}},
	{name: "999", handler: status(999), want: `
		999 , length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`, except: []exception{{on(http1), "status text", `
		999 status code 999, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`}}},
	{name: "99 panics", handler: refusesStatus(99), want: `
		> panics: invalid WriteHeader code 99
		202 Accepted, length 0
		Content-Length: 0
		body ""`},
	{name: "0 panics", handler: refusesStatus(0), want: `
		> panics: invalid WriteHeader code 0
		202 Accepted, length 0
		Content-Length: 0
		body ""`},
	{name: "1000 panics", handler: refusesStatus(1000), want: `
		> panics: invalid WriteHeader code 1000
		202 Accepted, length 0
		Content-Length: 0
		body ""`},
	{name: "the first WriteHeader counts", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, "text")
		w.WriteHeader(http.StatusGone)
	}, want: `
		202 Accepted, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`},
	{name: "Write before WriteHeader", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "text")
		w.WriteHeader(http.StatusTeapot)
	}, want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`},
	{name: "Flush before WriteHeader", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		e.flush(w)
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, "text")
	}, want: `
		200 OK, length -1
		body "text"`},
	{name: "http.Error", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.Header().Set("Content-Encoding", "br")
		w.Header().Set("Etag", `"1"`)
		w.Header().Set("X-Kept", "yes")
		http.Error(w, "went wrong", http.StatusBadGateway)
	}, want: `
		502 Bad Gateway, length 11
		Content-Encoding: br
		Content-Length: 11
		Content-Type: text/plain; charset=utf-8
		Etag: "1"
		X-Content-Type-Options: nosniff
		X-Kept: yes
		body "went wrong\n"`},
	{name: "statuses in turn", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		var code int
		fmt.Sscanf(r.URL.Path, "/%d", &code)
		w.WriteHeader(code)
	}, client: func(e *env) {
		for _, code := range []int{200, 404, 204, 500, 304, 226} {
			res, err := e.client.Get(fmt.Sprint(base, "/", code))
			if err != nil {
				e.note("error: %s", kind(err))
				continue
			}
			e.note("%s, length %d", res.Status, res.ContentLength)
			res.Body.Close()
		}
	}, want: `
		200 OK, length 0
		404 Not Found, length 0
		204 No Content, length 0
		500 Internal Server Error, length 0
		304 Not Modified, length 0
		226 IM Used, length 0`},
}
