package parity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// timeouts are settings of a server in short.
func timeouts(f func(s *http.Server)) func(e *env, s *http.Server) {
	return func(e *env, s *http.Server) { f(s) }
}

// slowUpload is a client that sends "begun" and, after d, the rest of its body.
func slowUpload(d time.Duration) func(e *env) {
	return func(e *env) {
		out, in := io.Pipe()
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			io.WriteString(in, "begun")
			<-after(d)
			io.WriteString(in, ", ended")
			in.Close()
		}()
		defer func() { <-sent }()
		res, err := e.client.Do(e.request("POST", "/", out))
		out.Close()
		if err != nil {
			e.note("fails")
			return
		}
		e.note("%s", res.Status)
		res.Body.Close()
	}
}

// apart is a client that makes two requests with d between them and counts connections.
func apart(d time.Duration) func(e *env) {
	return func(e *env) {
		for range 2 {
			res, err := e.client.Get(base)
			e.note("error %s", kind(err))
			readAll(e.note, res.Body)
			res.Body.Close()
			<-after(d)
		}
		e.note("%d connections", e.dials())
	}
}

// notesBody is a handler that reads the body and says when it got how far.
func notesBody(e *env, w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	b, err := io.ReadAll(r.Body)
	e.saw("%q after %v, deadline %v", b, time.Since(start), errors.Is(err, os.ErrDeadlineExceeded))
}

// logged gives a server a log and notes, at the end, whether it has what is said.
func logged(words ...string) func(e *env, s *http.Server) {
	return func(e *env, s *http.Server) {
		var text lockedBuffer
		s.ErrorLog = log.New(&text, "", 0)
		e.finally = func() {
			for _, word := range words {
				e.note("log has %q: %v", word, strings.Contains(text.String(), word))
			}
		}
	}
}

var serverScenarios = []scenario{
	{name: "ReadTimeout", server: timeouts(func(s *http.Server) { s.ReadTimeout = 3 * time.Second }),
		handler: notesBody, client: slowUpload(10 * time.Second), want: `
		> "begun" after 3s, deadline true
		200 OK`},
	{name: "ReadTimeout, not reached", server: timeouts(func(s *http.Server) { s.ReadTimeout = 3 * time.Second }),
		handler: notesBody, client: slowUpload(2 * time.Second), want: `
		> "begun, ended" after 2s, deadline false
		200 OK`},
	{name: "ReadTimeout, moved by the handler", server: timeouts(func(s *http.Server) { s.ReadTimeout = 3 * time.Second }),
		handler: func(e *env, w http.ResponseWriter, r *http.Request) {
			e.saw("%s", kind(http.NewResponseController(w).SetReadDeadline(time.Time{})))
			notesBody(e, w, r)
		}, client: slowUpload(10 * time.Second), want: `
		> none
		> "begun, ended" after 10s, deadline false
		200 OK`},
	{name: "ReadTimeout does not end a slow handler", server: timeouts(func(s *http.Server) { s.ReadTimeout = 3 * time.Second }),
		handler: func(e *env, w http.ResponseWriter, r *http.Request) {
			<-after(10 * time.Second)
			io.WriteString(w, "done")
		}, want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "done"`},
	{name: "WriteTimeout", server: timeouts(func(s *http.Server) { s.WriteTimeout = 3 * time.Second }),
		handler: func(e *env, w http.ResponseWriter, r *http.Request) {
			<-after(5 * time.Second)
			io.WriteString(w, "too late")
		}, want: `
		error: failed`},
	{name: "WriteTimeout, in the answer", server: timeouts(func(s *http.Server) { s.WriteTimeout = 3500 * time.Millisecond }),
		handler: func(e *env, w http.ResponseWriter, r *http.Request) {
			for i := range 10 {
				fmt.Fprint(w, i)
				if http.NewResponseController(w).Flush() != nil {
					e.saw("the end of %d", i)
					return
				}
				<-after(time.Second)
			}
		}, client: func(e *env) {
			res, err := e.client.Get(base)
			e.note("error %s", kind(err))
			body, err := io.ReadAll(res.Body)
			e.note("body %q, fails %v", body, err != nil)
			res.Body.Close()
		}, want: `
		> the end of 4
		error none
		body "0123", fails true`},
	{name: "WriteTimeout, not reached", server: timeouts(func(s *http.Server) { s.WriteTimeout = 3 * time.Second }),
		handler: ticks(2), want: `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "01"`},
	{name: "WriteTimeout, moved by the handler", server: timeouts(func(s *http.Server) { s.WriteTimeout = 3 * time.Second }),
		handler: func(e *env, w http.ResponseWriter, r *http.Request) {
			e.saw("%s", kind(http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute))))
			ticks(6)(e, w, r)
		}, want: `
		> none
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "012345"`},
	{name: "IdleTimeout", server: timeouts(func(s *http.Server) { s.IdleTimeout = 3 * time.Second }),
		handler: write("hello"), client: apart(5 * time.Second), want: `
		error none
		read "hello", error none
		error none
		read "hello", error none
		2 connections`},
	{name: "IdleTimeout, not reached", server: timeouts(func(s *http.Server) { s.IdleTimeout = 3 * time.Second }),
		handler: write("hello"), client: apart(2 * time.Second), want: `
		error none
		read "hello", error none
		error none
		read "hello", error none
		1 connections`},
	{name: "IdleTimeout does not end a slow handler", server: timeouts(func(s *http.Server) { s.IdleTimeout = 3 * time.Second }),
		handler: ticks(6), want: `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "012345"`},
	{name: "MaxHeaderBytes, enough", server: timeouts(func(s *http.Server) { s.MaxHeaderBytes = 8 << 10 }),
		handler: sees(func(r *http.Request) any { return len(r.Header.Get("X-Long")) }),
		client:  withHeader("X-Long", strings.Repeat("x", 6<<10)), want: `
		> 6144
		204 No Content, length 0
		body ""`},
	{name: "MaxHeaderBytes, too much", server: timeouts(func(s *http.Server) { s.MaxHeaderBytes = 8 << 10 }),
		handler: sees(func(r *http.Request) any { return len(r.Header.Get("X-Long")) }),
		client: edited(func(r *http.Request) {
			for i := range 40 {
				r.Header.Set(fmt.Sprint("X-Long-", i), strings.Repeat("x", 1<<10))
			}
		}), want: `
		431 Request Header Fields Too Large, length 0
		Content-Length: 0
		Content-Type: text/plain; charset=utf-8
		body ""`, except: []exception{{on(http1), "header limit", `
		431 Request Header Fields Too Large, length -1
		Date []
		Content-Type: text/plain; charset=utf-8
		body "431 Request Header Fields Too Large"`}, {on(http2), "header limit", `
		error: failed`}}},
	{name: "Shutdown lets requests end", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		<-after(5 * time.Second)
		io.WriteString(w, "done")
	}, client: func(e *env) {
		ended := make(chan struct{})
		time.AfterFunc(time.Second, func() {
			defer close(ended)
			e.note("shutdown: %s", kind(e.shutdown(context.Background())))
		})
		e.get("/")
		<-ended
		_, err := e.client.Get(base)
		e.note("then fails: %v", err != nil)
	}, want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "done"
		shutdown: none
		then fails: true`},
	{name: "Shutdown gives up with its context", handler: untilEnded, client: func(e *env) {
		failed := make(chan bool, 1)
		go func() {
			_, err := e.client.Get(base)
			failed <- err != nil
		}()
		<-after(time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		e.note("shutdown: %s", kind(e.shutdown(ctx)))
		<-after(time.Second)
		e.close()
		e.note("fails: %v", <-failed)
	}, want: `
		> context ends after 4s: context canceled
		shutdown: timeout
		fails: true`, except: []exception{{on(spdy31), "Shutdown", `
		> context ends after 3s: context canceled
		shutdown: timeout
		fails: true`}, {on(grafted), "Shutdown", `
		> context ends after 4s: context canceled
		shutdown: timeout
		fails: true`}}},
	{name: "RegisterOnShutdown", server: func(e *env, s *http.Server) { e.onShutdown = sync.OnceFunc(func() { e.note("told") }) },
		handler: write("hello"), client: func(e *env) {
			e.get("/")
			e.shutdown(context.Background())
			<-after(time.Second)
		}, want: `
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body "hello"
		told`},
	{name: "panics are logged", server: logged("panic serving", "oops", "goroutine"), handler: panics("", false, "oops"), client: twice, want: `
		error: failed
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "fine"
		log has "panic serving": true
		log has "oops": true
		log has "goroutine": true`},
	{name: "ErrAbortHandler is not logged", server: logged("panic", "abort"), handler: panics("", false, http.ErrAbortHandler), client: twice, want: `
		error: failed
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "fine"
		log has "panic": false
		log has "abort": false`},
	{name: "superfluous WriteHeader is logged", server: logged("superfluous"), handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusAccepted)
		w.WriteHeader(http.StatusTeapot)
	}, want: `
		202 Accepted, length 0
		Content-Length: 0
		body ""
		log has "superfluous": false`, except: []exception{{on(http1), "superfluous WriteHeader", `
		202 Accepted, length 0
		Content-Length: 0
		body ""
		log has "superfluous": true`}}},
	{name: "ConnState", server: func(e *env, s *http.Server) {
		s.ConnState = func(c net.Conn, state http.ConnState) { e.saw("%s", state) }
	}, handler: write("hello"), client: func(e *env) {
		e.get("/")
		<-after(time.Second)
		e.client.CloseIdleConnections()
		<-after(time.Second)
	}, want: `
		> new
		> active
		> idle
		> closed
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body "hello"`, except: []exception{{on(http2), "ConnState", `
		> new
		> active
		> idle
		> active
		> idle
		> closed
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body "hello"`}}},
	{name: "CloseNotifier", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		<-w.(http.CloseNotifier).CloseNotify() //lint:ignore SA1019 that is what old handlers use
		e.saw("gone after %v", time.Since(start))
	}, client: func(e *env) {
		ctx, cancel := context.WithTimeout(e.t.Context(), 3*time.Second)
		defer cancel()
		e.show(e.request("GET", "/", nil).WithContext(ctx))
		<-after(time.Second)
	}, want: `
		> gone after 3s
		error: timeout`},
}

// A lockedBuffer is a bytes.Buffer for several goroutines.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
