package parity

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

// untilEnded is a handler that waits for the end of its context and notes when that was.
func untilEnded(e *env, w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	<-r.Context().Done()
	e.saw("context ends after %v: %v", time.Since(start), r.Context().Err())
}

// ticks is a handler that writes a number a second, n times, and flushes each.
func ticks(n int) handlerFunc {
	return func(e *env, w http.ResponseWriter, r *http.Request) {
		for i := range n {
			fmt.Fprintf(w, "%d", i)
			e.flush(w)
			<-after(time.Second)
		}
	}
}

// within is a client that gets / with a time limit on the request.
func within(d time.Duration) func(e *env) {
	return func(e *env) {
		ctx, cancel := context.WithTimeout(e.t.Context(), d)
		defer cancel()
		start := time.Now()
		e.show(e.request("GET", "/", nil).WithContext(ctx))
		e.note("after %v", time.Since(start))
	}
}

var timeoutScenarios = []scenario{
	{name: "of the context, before the answer", handler: untilEnded, client: within(3 * time.Second), want: `
		> context ends after 3s: context canceled
		error: timeout
		after 3s`},
	{name: "of the context, in the body", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "begun")
		e.flush(w)
		untilEnded(e, w, r)
	}, client: within(3 * time.Second), want: `
		> context ends after 3s: context canceled
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "begun"
		error: timeout
		after 3s`},
	{name: "of the context, not reached", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		<-after(2 * time.Second)
		io.WriteString(w, "in time")
	}, client: within(3 * time.Second), want: `
		200 OK, length 7
		Content-Length: 7
		Content-Type: text/plain; charset=utf-8
		body "in time"
		after 2s`},
	{name: "of the http.Client, before the answer", handler: untilEnded, client: func(e *env) {
		e.client.Timeout = 3 * time.Second
		_, err := e.client.Get(base)
		var timeout interface{ Timeout() bool }
		e.note("timeout %v, deadline %v", errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded))
	}, want: `
		> context ends after 3s: context canceled
		timeout true, deadline true`},
	{name: "of the http.Client, in the body", handler: ticks(8), client: func(e *env) {
		e.client.Timeout = 3500 * time.Millisecond
		e.get("/")
	}, want: `
		> flush: failed
		> flush: failed
		> flush: failed
		> flush: failed
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "0123"
		error: timeout`},
	{name: "of the http.Client, across redirects", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		<-after(2 * time.Second)
		http.Redirect(w, r, r.URL.Path+"x", http.StatusFound)
	}, client: func(e *env) {
		e.client.Timeout = 5 * time.Second
		e.get("/")
	}, want: `
		error: timeout`},
	{name: "after the deadline nothing is sent", handler: write("never"), client: within(-time.Second), want: `
		error: timeout
		after 0s`},
	{name: "TimeoutHandler, too slow", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			<-after(time.Millisecond)
			_, err := io.WriteString(w, "late")
			e.saw("%v, error %s", r.Context().Err(), kind(err))
		}), 3*time.Second, "<p>too slow").ServeHTTP(w, r)
		<-after(time.Second)
	}, want: `
		> context deadline exceeded, error http: Handler timeout
		503 Service Unavailable, length 11
		Content-Length: 11
		Content-Type: text/html; charset=utf-8
		body "<p>too slow"`},
	{name: "TimeoutHandler, in time", handler: serve(http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-A", "1")
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, "in time")
	}), 3*time.Second, "too slow")), want: `
		202 Accepted, length 7
		Content-Length: 7
		Content-Type: text/plain; charset=utf-8
		X-A: 1
		body "in time"`},
	{name: "TimeoutHandler cannot flush", handler: serve(http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, flusher := w.(http.Flusher)
		fmt.Fprintf(w, "%v %s", flusher, kind(http.NewResponseController(w).Flush()))
	}), 3*time.Second, "too slow")), want: `
		200 OK, length 27
		Content-Length: 27
		Content-Type: text/plain; charset=utf-8
		body "false feature not supported"`},
}

// silent is a client that connects, with a handshake that says what it speaks, and says
// no more.
func silent(e *env) {
	start := time.Now()
	raw, err := e.ln.Dial()
	require.NoError(e.t, err)
	conn := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{alpn[e.protocol]}})
	defer conn.Close()
	require.NoError(e.t, conn.SetReadDeadline(start.Add(time.Hour)))
	_, err = io.Copy(io.Discard, conn)
	e.note("cut %v, after %v", !errors.Is(err, os.ErrDeadlineExceeded), time.Since(start).Truncate(time.Second))
}

var alpn = map[string]string{
	http1: "http/1.1", http2: "h2", spdy31: "spdy/3.1", grafted: "spdy/3.1", spdy3: "spdy/3", spdy2: "spdy/2",
}

var silenceScenarios = []scenario{
	{name: "of a client, no limit set", handler: write("never"), client: silent, want: `
		cut true, after 10s`,
		except: []exception{{[]string{http1}, "silent client", `
		cut false, after 1h0m0s`}}},
	{name: "of a client, ReadHeaderTimeout", server: func(e *env, s *http.Server) {
		s.ReadHeaderTimeout = 3 * time.Second
	}, handler: write("never"), client: silent, want: `
		cut true, after 3s`,
		except: []exception{{[]string{http2}, "ReadHeaderTimeout", `
		cut true, after 10s`}}},
}

var deadlineScenarios = []scenario{
	{name: "of reading, while nothing comes", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		e.saw("set: %s", kind(http.NewResponseController(w).SetReadDeadline(start.Add(2*time.Second))))
		_, err := io.ReadAll(r.Body)
		e.saw("after %v: %v", time.Since(start), errors.Is(err, os.ErrDeadlineExceeded))
	}, client: func(e *env) {
		out, in := io.Pipe()
		defer in.Close()
		res, err := e.client.Do(e.request("POST", "/", out))
		e.note("error %s", kind(err))
		res.Body.Close()
	}, want: `
		> set: none
		> after 2s: true
		error none`},
	{name: "of reading, in the past", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		e.saw("set: %s", kind(http.NewResponseController(w).SetReadDeadline(time.Now().Add(-time.Second))))
		_, err := r.Body.Read(make([]byte, 1))
		e.saw("%v", errors.Is(err, os.ErrDeadlineExceeded))
	}, client: func(e *env) {
		out, in := io.Pipe()
		defer in.Close()
		res, err := e.client.Do(e.request("POST", "/", out))
		e.note("error %s", kind(err))
		res.Body.Close()
	}, want: `
		> set: none
		> true
		error none`},
	{name: "of reading, removed", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		c.SetReadDeadline(time.Now().Add(time.Second))
		c.SetReadDeadline(time.Time{})
		readAll(e.saw, r.Body)
	}, client: func(e *env) {
		out, in := io.Pipe()
		go func() {
			<-after(3 * time.Second)
			io.WriteString(in, "in the end")
			in.Close()
		}()
		e.show(e.request("POST", "/", out))
	}, want: `
		> read "in the end", error none
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "of reading, not reached", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).SetReadDeadline(time.Now().Add(time.Second))
		readAll(e.saw, r.Body)
	}, client: send("POST", "/", "at once"), want: `
		> read "at once", error none
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "of writing, while nobody reads", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		e.saw("set: %s", kind(http.NewResponseController(w).SetWriteDeadline(start.Add(2*time.Second))))
		for {
			if _, err := w.Write(pattern8M); err != nil {
				e.saw("%v, in time %v", errors.Is(err, os.ErrDeadlineExceeded), time.Since(start) >= 2*time.Second)
				return
			}
		}
	}, client: func(e *env) {

		res, err := e.client.Get(base)
		e.note("error %s", kind(err))
		<-after(5 * time.Second)
		_, err = io.Copy(io.Discard, res.Body)
		e.note("fails %v", err != nil)
		res.Body.Close()
	}, want: `
		> set: none
		> true, in time true
		error none
		fails true`},
	{name: "of writing, not reached", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Second))
		io.WriteString(w, "in time")
	}, want: `
		200 OK, length 7
		Content-Length: 7
		Content-Type: text/plain; charset=utf-8
		body "in time"`},
	{name: "of writing, through wrapped writers", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(wrapped{wrapped{w}})
		e.saw("%s %s", kind(c.SetWriteDeadline(time.Now().Add(time.Second))), kind(c.SetReadDeadline(time.Now().Add(time.Second))))
		c = http.NewResponseController(opaque{w})
		e.saw("%s %s", kind(c.SetWriteDeadline(time.Time{})), kind(c.SetReadDeadline(time.Time{})))
	}, want: `
		> none none
		> feature not supported feature not supported
		200 OK, length 0
		Content-Length: 0
		body ""`},
}

// cancelled returns a GET whose Cancel channel, also returned, is closed after 3 s.
func cancelled(e *env) (*http.Request, <-chan struct{}) {
	cancel := make(chan struct{})
	time.AfterFunc(3*time.Second, func() { close(cancel) })
	req := e.request("GET", "/", nil)
	//lint:ignore SA1019 there are programs that still use it
	req.Cancel = cancel
	return req, cancel
}

var cancelScenarios = []scenario{
	{name: "before the answer", handler: untilEnded, client: func(e *env) {
		ctx, cancel := context.WithCancel(e.t.Context())
		time.AfterFunc(3*time.Second, cancel)
		e.show(e.request("GET", "/", nil).WithContext(ctx))
	}, want: `
		> context ends after 3s: context canceled
		error: canceled`},
	{name: "in the body", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "begun")
		e.flush(w)
		untilEnded(e, w, r)
	}, client: func(e *env) {
		ctx, cancel := context.WithCancel(e.t.Context())
		time.AfterFunc(3*time.Second, cancel)
		e.show(e.request("GET", "/", nil).WithContext(ctx))
	}, want: `
		> context ends after 3s: context canceled
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "begun"
		error: canceled`},
	{name: "by Request.Cancel before the answer", handler: untilEnded, client: func(e *env) {
		req, cancel := cancelled(e)
		res, err := e.client.Transport.RoundTrip(req)
		e.note("%v, %v", res == nil, err)
		<-cancel
	}, want: `
		> context ends after 3s: context canceled
		true, net/http: request canceled`},
	{name: "by Request.Cancel in the body", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "begun")
		e.flush(w)
		untilEnded(e, w, r)
	}, client: func(e *env) {
		req, cancel := cancelled(e)
		res, err := e.client.Transport.RoundTrip(req)
		e.note("error %s, is res.Request: %v", kind(err), res.Request == req)
		b, err := io.ReadAll(res.Body)
		e.note("%q, %v", b, err)
		res.Body.Close()
		<-cancel
	}, want: `
		> context ends after 3s: context canceled
		error none, is res.Request: true
		"begun", net/http: request canceled`},
	{name: "by Request.Cancel after the end", handler: write("whole"), client: func(e *env) {
		req, cancel := cancelled(e)
		res, err := e.client.Transport.RoundTrip(req)
		e.note("error %s", kind(err))
		readAll(e.note, res.Body)
		res.Body.Close()
		<-cancel
		e.get("/")
		e.note("%d connections", e.dials())
	}, want: `
		error none
		read "whole", error none
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body "whole"
		1 connections`},
	{name: "before the request", handler: write("never"), client: func(e *env) {
		ctx, cancel := context.WithCancel(e.t.Context())
		cancel()
		b := newBody(strings.NewReader("body"))
		req, _ := http.NewRequestWithContext(ctx, "POST", base, b)
		_, err := e.client.Do(req)
		<-b.closed
		e.note("error: %s, body closed", kind(err))
	}, want: `
		error: canceled, body closed`},
	{name: "while the body is sent", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		e.saw("read %d, fails %v", n, err != nil)
		untilEnded(e, w, r)
	}, client: func(e *env) {
		ctx, cancel := context.WithCancel(e.t.Context())
		out, in := io.Pipe()
		go func() {
			io.WriteString(in, "begun")
			<-after(3 * time.Second)
			cancel()
			in.CloseWithError(ctx.Err()) // HTTP/1.1 waits for a Read of the body
		}()
		e.show(e.request("POST", "/", out).WithContext(ctx))
	}, want: `
		> read 5, fails true
		> context ends after 0s: context canceled
		error: canceled`},
	{name: "by closing the answer", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "begun")
		e.flush(w)
		untilEnded(e, w, r)
	}, client: func(e *env) {
		res, err := e.client.Get(base)
		e.note("error %s", kind(err))
		<-after(3 * time.Second)
		e.note("close %s", kind(res.Body.Close()))
		<-after(time.Second)
	}, want: `
		> context ends after 3s: context canceled
		error none
		close none`},
	{name: "by closing an answer that is written", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := w.Write(pattern100K); err != nil {
				e.saw("write fails")
				break
			}
		}
		untilEnded(e, w, r)
	}, client: func(e *env) {
		res, err := e.client.Get(base)
		e.note("error %s", kind(err))
		io.ReadFull(res.Body, make([]byte, 10))
		res.Body.Close()
		<-after(time.Second)
	}, want: `
		> write fails
		> context ends after 0s: context canceled
		error none`},
	{name: "with a cause", handler: untilEnded, client: func(e *env) {
		ctx, cancel := context.WithCancelCause(e.t.Context())
		time.AfterFunc(3*time.Second, func() { cancel(errors.New("the cause")) })
		_, err := e.client.Do(e.request("GET", "/", nil).WithContext(ctx))
		e.note("%v", strings.Contains(err.Error(), "the cause"))
	}, want: `
		> context ends after 3s: context canceled
		true`, except: []exception{{on(http2), "cause", `
		> context ends after 3s: context canceled
		false`}}},
	{name: "leaves other requests alone", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/cancelled" {
			untilEnded(e, w, r)
			return
		}
		<-after(5 * time.Second)
		io.WriteString(w, "here")
	}, client: func(e *env) {
		ctx, cancel := context.WithTimeout(e.t.Context(), 2*time.Second)
		defer cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			e.client.Do(e.request("GET", "/cancelled", nil).WithContext(ctx))
		}()
		e.get("/other")
		<-done
		e.get("/again")
	}, want: `
		> context ends after 2s: context canceled
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "here"
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "here"`},
	{name: "after the answer has no effect", handler: write("hello"), client: func(e *env) {
		ctx, cancel := context.WithCancel(e.t.Context())
		res, err := e.client.Do(e.request("GET", "/", nil).WithContext(ctx))
		e.note("error %s", kind(err))
		readAll(e.note, res.Body)
		cancel()
		res.Body.Close()
		e.get("/again")
	}, want: `
		error none
		read "hello", error none
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body "hello"`},
	{name: "by the server's Close", handler: untilEnded, client: func(e *env) {
		time.AfterFunc(3*time.Second, e.close)
		e.get("/")
	}, want: `
		> context ends after 3s: context canceled
		error: failed`},
}

var slowScenarios = []scenario{
	{name: "handler", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		<-after(time.Hour)
		io.WriteString(w, "at last")
	}, client: func(e *env) {
		start := time.Now()
		e.get("/")
		e.note("after %v", time.Since(start))
	}, want: `
		200 OK, length 7
		Content-Length: 7
		Content-Type: text/plain; charset=utf-8
		body "at last"
		after 1h0m0s`},
	{name: "answer, part by part", handler: ticks(4), client: func(e *env) {
		start := time.Now()
		res, err := e.client.Get(base)
		e.note("error %s after %v", kind(err), time.Since(start))
		p := make([]byte, 1)
		for {
			if _, err := io.ReadFull(res.Body, p); err != nil {
				e.note("%s after %v", kind(err), time.Since(start))
				break
			}
			e.note("%s after %v", p, time.Since(start))
		}
		res.Body.Close()
	}, want: `
		error none after 0s
		0 after 0s
		1 after 1s
		2 after 2s
		3 after 3s
		EOF after 4s`},
	{name: "upload, part by part", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		p := make([]byte, 1)
		for {
			if _, err := io.ReadFull(r.Body, p); err != nil {
				e.saw("%s after %v", kind(err), time.Since(start))
				return
			}
			e.saw("%s after %v", p, time.Since(start))
		}
	}, client: func(e *env) {
		out, in := io.Pipe()
		go func() {
			for i := range 4 {
				fmt.Fprintf(in, "%d", i)
				<-after(time.Second)
			}
			in.Close()
		}()
		e.show(e.request("POST", "/", out))
	}, want: `
		> 0 after 0s
		> 1 after 1s
		> 2 after 2s
		> 3 after 3s
		> EOF after 4s
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "reader of a long answer", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		n, err := w.Write(pattern8M[:4<<20])
		e.saw("wrote %d, error %s", n, kind(err))
	}, client: func(e *env) {
		res, err := e.client.Get(base)
		e.note("error %s", kind(err))
		var got bytes.Buffer
		for err == nil {
			<-after(time.Second)
			_, err = io.CopyN(&got, res.Body, 256<<10)
		}
		e.note("%s, whole %v", kind(err), bytes.Equal(got.Bytes(), pattern8M[:4<<20]))
		res.Body.Close()
	}, want: `
		> wrote 4194304, error none
		error none
		EOF, whole true`},
	{name: "reader of a long upload", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		var got bytes.Buffer
		var err error
		for err == nil {
			<-after(time.Second)
			_, err = io.CopyN(&got, r.Body, 256<<10)
		}
		e.saw("%s, whole %v", kind(err), bytes.Equal(got.Bytes(), pattern8M[:4<<20]))
	}, client: func(e *env) { e.show(e.request("POST", "/", bytes.NewReader(pattern8M[:4<<20]))) }, want: `
		> EOF, whole true
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "reader does not hold up the others", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			w.Write(pattern8M)
			return
		}
		io.WriteString(w, "quick")
	}, client: func(e *env) {
		slow, err := e.client.Get(base + "/slow")
		e.note("error %s", kind(err))
		for range 3 {
			e.get("/quick")
		}
		n, err := io.Copy(io.Discard, slow.Body)
		e.note("%d, error %s", n, kind(err))
		slow.Body.Close()
	}, want: `
		error none
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body "quick"
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body "quick"
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body "quick"
		8388608, error none`},
	{name: "network", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
	}, client: func(e *env) {
		e.get("/")
		e.lastConn().SetLatency(time.Second)
		e.lastConn().Peer().SetLatency(time.Second)
		start := time.Now()
		e.show(e.request("POST", "/", strings.NewReader("there and back")))
		e.note("two seconds: %v", time.Since(start) == 2*time.Second)
	}, want: `
		200 OK, length 0
		Content-Length: 0
		body ""
		200 OK, length 14
		Content-Length: 14
		Content-Type: text/plain; charset=utf-8
		body "there and back"
		two seconds: true`},
}
