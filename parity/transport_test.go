package parity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"github.com/amahi/spdy"
)

// A tuning are the fields that http.Transport and spdy.Transport have in common.
type tuning struct {
	ResponseHeaderTimeout, IdleConnTimeout, ExpectContinueTimeout *time.Duration
	DisableKeepAlives, DisableCompression                         *bool
	TLSClientConfig                                               **tls.Config
	DialContext                                                   *func(ctx context.Context, network, addr string) (net.Conn, error)
}

// tune returns the fields of the client's transport.
func (e *env) tune() tuning {
	if t, ok := e.client.Transport.(*spdy.Transport); ok {
		return tuning{&t.ResponseHeaderTimeout, &t.IdleConnTimeout, &t.ExpectContinueTimeout,
			&t.DisableKeepAlives, &t.DisableCompression, &t.TLSClientConfig, &t.DialContext}
	}
	t := e.client.Transport.(*http.Transport)
	return tuning{&t.ResponseHeaderTimeout, &t.IdleConnTimeout, &t.ExpectContinueTimeout,
		&t.DisableKeepAlives, &t.DisableCompression, &t.TLSClientConfig, &t.DialContext}
}

// tuned is a client that changes its transport first.
func tuned(f func(t tuning), then func(e *env)) func(e *env) {
	return func(e *env) {
		f(e.tune())
		then(e)
	}
}

// inTurn is a client that makes n requests, one after the other, and counts connections.
func inTurn(n int, method string) func(e *env) {
	return func(e *env) {
		for i := range n {
			res, err := e.client.Do(e.request(method, "/", strings.NewReader(strings.Repeat("x", i))))
			e.note("error %s", kind(err))
			readAll(e.note, res.Body)
			res.Body.Close()
		}
		e.note("%d connections", e.dials())
	}
}

// traced is a client that posts twice and notes which hooks of httptrace are called, in
// which order; that of WroteRequest and the answer is nobody's promise.
func traced(e *env) {
	for range 2 {
		var mu sync.Mutex
		var names []string
		hook := func(name string) {
			mu.Lock()
			defer mu.Unlock()
			names = append(names, name)
		}
		wrote := "WroteRequest was not called"
		trace := &httptrace.ClientTrace{
			GetConn:           func(string) { hook("GetConn") },
			GotConn:           func(i httptrace.GotConnInfo) { hook(fmt.Sprintf("GotConn(reused %v)", i.Reused)) },
			TLSHandshakeStart: func() { hook("TLSHandshakeStart") },
			TLSHandshakeDone:  func(_ tls.ConnectionState, err error) { hook("TLSHandshakeDone " + kind(err)) },
			WroteHeaders:      func() { hook("WroteHeaders") },
			WroteRequest: func(i httptrace.WroteRequestInfo) {
				mu.Lock()
				defer mu.Unlock()
				wrote = "WroteRequest " + kind(i.Err)
			},
			GotFirstResponseByte: func() { hook("GotFirstResponseByte") },
		}
		req := e.request("POST", "/", strings.NewReader("body"))
		e.show(req.WithContext(httptrace.WithClientTrace(req.Context(), trace)))
		synctest.Wait()
		mu.Lock()
		e.note("%s\n%s", strings.Join(names, "\n"), wrote)
		mu.Unlock()
	}
}

var transportScenarios = []scenario{
	{name: "one connection for requests in turn", handler: echo, client: inTurn(5, "POST"), want: `
		> 0, error none
		> 1, error none
		> 2, error none
		> 3, error none
		> 4, error none
		error none
		read "", error none
		error none
		read "x", error none
		error none
		read "xx", error none
		error none
		read "xxx", error none
		error none
		read "xxxx", error none
		1 connections`},
	{name: "one connection after bodies that nobody read", handler: write("hello"), client: inTurn(5, "PUT"), want: `
		error none
		read "hello", error none
		error none
		read "hello", error none
		error none
		read "hello", error none
		error none
		read "hello", error none
		error none
		read "hello", error none
		1 connections`},
	{name: "DisableKeepAlives", handler: write("hello"), client: tuned(func(t tuning) { *t.DisableKeepAlives = true }, inTurn(3, "GET")), want: `
		error none
		read "hello", error none
		error none
		read "hello", error none
		error none
		read "hello", error none
		3 connections`},
	{name: "Request.Close", handler: write("hello"), client: func(e *env) {
		for range 2 {
			req := e.request("GET", "/", nil)
			req.Close = true
			e.show(req)
		}
		e.note("%d connections", e.dials())
	}, want: `
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body "hello"
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body "hello"
		2 connections`},
	{name: "Connection: close of a request", handler: write("hello"), client: func(e *env) {
		for range 2 {
			e.get("/", "Connection", "close")
		}
		e.note("%d connections", e.dials())
	}, want: `
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body "hello"
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body "hello"
		2 connections`},
	{name: "IdleConnTimeout", handler: write("hello"), client: tuned(func(t tuning) { *t.IdleConnTimeout = 3 * time.Second }, apart(5*time.Second)), want: `
		error none
		read "hello", error none
		error none
		read "hello", error none
		2 connections`},
	{name: "IdleConnTimeout, not reached", handler: write("hello"), client: tuned(func(t tuning) { *t.IdleConnTimeout = 3 * time.Second }, apart(2*time.Second)), want: `
		error none
		read "hello", error none
		error none
		read "hello", error none
		1 connections`},
	{name: "CloseIdleConnections", handler: write("hello"), client: func(e *env) {
		e.get("/")
		e.client.CloseIdleConnections()
		e.get("/")
		e.note("%d connections", e.dials())
	}, want: `
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body "hello"
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body "hello"
		2 connections`},
	{name: "CloseIdleConnections leaves the busy alone", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		<-after(3 * time.Second)
		io.WriteString(w, "here")
	}, client: func(e *env) {
		time.AfterFunc(time.Second, e.client.CloseIdleConnections)
		e.get("/")
	}, want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "here"`},
	{name: "ResponseHeaderTimeout", handler: untilEnded, client: tuned(func(t tuning) { *t.ResponseHeaderTimeout = 3 * time.Second }, func(e *env) {
		start := time.Now()
		_, err := e.client.Get(base)
		e.note("error: %s, %v", kind(err), strings.Contains(err.Error(), "timeout awaiting response headers"))
		e.note("after %v", time.Since(start))
	}), want: `
		> context ends after 3s: context canceled
		error: timeout, true
		after 3s`},
	{name: "ResponseHeaderTimeout is not for the body", handler: ticks(6), client: tuned(func(t tuning) { *t.ResponseHeaderTimeout = 3 * time.Second }, get("/")), want: `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "012345"`},
	{name: "ResponseHeaderTimeout begins after the request", handler: reads, client: tuned(func(t tuning) { *t.ResponseHeaderTimeout = 3 * time.Second }, slowUpload(5*time.Second)), want: `
		> length -1, read "begun, ended", error none
		200 OK`},
	{name: "ExpectContinueTimeout, body wanted", handler: reads, client: tuned(func(t tuning) { *t.ExpectContinueTimeout = 3 * time.Second }, func(e *env) {
		start := time.Now()
		send("POST", "/", "body", "Expect", "100-continue")(e)
		e.note("after %v", time.Since(start))
	}), want: `
		> length 4, read "body", error none
		200 OK, length 1
		Content-Length: 1
		Content-Type: text/plain; charset=utf-8
		body "4"
		after 0s`, except: []exception{{on(spdy31), "interim answers", `
		> length 4, read "body", error none
		200 OK, length 1
		Content-Length: 1
		Content-Type: text/plain; charset=utf-8
		body "4"
		after 3s`}}},
	{name: "ExpectContinueTimeout, body not wanted", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
	}, client: tuned(func(t tuning) { *t.ExpectContinueTimeout = 3 * time.Second }, func(e *env) {
		body := &counter{Reader: strings.NewReader("body")}
		req := e.request("POST", "/", body, "Expect", "100-continue")
		req.ContentLength = 4
		e.show(req)
		<-after(5 * time.Second)
		e.note("%d bytes of the body were read", body.n)
	}), want: `
		403 Forbidden, length 0
		Content-Length: 0
		body ""
		0 bytes of the body were read`},
	{name: "dial fails", handler: write("never"), client: tuned(func(t tuning) {
		*t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			return nil, fmt.Errorf("no way to %s by %s", addr, network)
		}
	}, func(e *env) {
		b := newBody(strings.NewReader("body"))
		_, err := e.client.Do(e.request("POST", "/", b))
		e.note("%v", err)
		<-b.closed
		e.note("body closed")
	}), want: `
		Post "https://example.com/": no way to example.com:443 by tcp
		body closed`},
	{name: "dial is cancelled", handler: write("never"), client: tuned(func(t tuning) {
		*t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
	}, within(3*time.Second)), want: `
		error: timeout
		after 3s`},
	{name: "certificate of somebody unknown", handler: write("never"), client: tuned(func(t tuning) {
		*t.TLSClientConfig = (*t.TLSClientConfig).Clone()
		(*t.TLSClientConfig).RootCAs = x509.NewCertPool()
	}, func(e *env) {
		_, err := e.client.Get(base)
		var unknown x509.UnknownAuthorityError
		e.note("%v", errors.As(err, &unknown))
	}), want: `
		true`},
	{name: "certificate of another host", handler: write("never"), client: func(e *env) {
		_, err := e.client.Get("https://other.example/")
		var other x509.HostnameError
		e.note("%v", errors.As(err, &other))
	}, want: `
		true`},
	{name: "TLS state of the answer", handler: write("hello"), client: func(e *env) {
		res, err := e.client.Get(base)
		e.note("error %s, %v %s", kind(err), res.TLS.HandshakeComplete, res.TLS.ServerName)
		e.note("%d certificates", len(res.TLS.PeerCertificates))
		res.Body.Close()
	}, want: `
		error none, true example.com
		1 certificates`},
	{name: "hooks", handler: echo, client: traced, want: `
		> 4, error none
		> 4, error none
		200 OK, length 4
		Content-Length: 4
		Content-Type: x/y
		body "body"
		GetConn
		TLSHandshakeStart
		TLSHandshakeDone none
		GotConn(reused false)
		WroteHeaders
		GotFirstResponseByte
		WroteRequest none
		200 OK, length 4
		Content-Length: 4
		Content-Type: x/y
		body "body"
		GetConn
		GotConn(reused true)
		WroteHeaders
		GotFirstResponseByte
		WroteRequest none`},
	{name: "connection lost before the answer", handler: untilEnded, client: func(e *env) {
		time.AfterFunc(3*time.Second, func() { e.lastConn().Reset() })
		e.get("/")
	}, want: `
		> context ends after 3s: context canceled
		error: failed`},
	{name: "connection lost in the answer", handler: ticks(6), client: func(e *env) {
		time.AfterFunc(2500*time.Millisecond, func() { e.lastConn().Reset() })
		res, err := e.client.Get(base)
		e.note("error %s", kind(err))
		b, err := io.ReadAll(res.Body)
		e.note("%q, fails %v", b, err != nil)
		res.Body.Close()
	}, want: `
		> flush: failed
		> flush: failed
		> flush: failed
		error none
		"012", fails true`},
	{name: "next request after a lost connection", handler: write("hello"), client: func(e *env) {
		e.get("/")
		e.lastConn().Reset()
		<-after(time.Second)
		e.show(e.request("POST", "/", strings.NewReader("body")))
		e.note("%d connections", e.dials())
	}, want: `
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body "hello"
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body "hello"
		2 connections`},
	{name: "server goes away between requests", handler: write("hello"), client: func(e *env) {
		e.get("/")
		e.close()
		<-after(time.Second)
		_, err := e.client.Get(base)
		e.note("fails %v", err != nil)
	}, want: `
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body "hello"
		fails true`},
	{name: "request body is closed when nobody can be reached", handler: write("never"), client: func(e *env) {
		e.close()
		b := newBody(strings.NewReader("body"))
		_, err := e.client.Do(e.request("POST", "/", b))
		<-b.closed
		e.note("fails %v, body closed", err != nil)
	}, want: `
		fails true, body closed`},
}
