package parity

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"
)

// behind is a handler that answers paths under /back itself, and is a reverse proxy to
// there for all others, over the protocol that it is asked in.
func behind(back handlerFunc, edit ...func(e *env, p *httputil.ReverseProxy)) handlerFunc {
	return func(e *env, w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/back") {
			back(e, w, r)
			return
		}
		http.NewResponseController(w).EnableFullDuplex() // for those that answer while they read
		proxy := &httputil.ReverseProxy{
			Transport: e.client.Transport,
			ErrorLog:  log.New(io.Discard, "", 0),
			Rewrite: func(r *httputil.ProxyRequest) {
				r.SetURL(&url.URL{Scheme: "https", Host: "example.com", Path: "/back"})
				r.SetXForwarded()
			},
		}
		for _, f := range edit {
			f(e, proxy)
		}
		proxy.ServeHTTP(w, r)
	}
}

var proxyScenarios = []scenario{
	{name: "GET", handler: behind(func(e *env, w http.ResponseWriter, r *http.Request) {
		e.saw("%s %s %s\n%s", r.Method, r.Host, r.URL, seenHeader(r))
		w.Header().Set("X-Back", "1")
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, "from behind")
	}), client: get("/a?b=c", "X-Front", "1"), want: `
		> GET example.com /back/a?b=c
		> X-Forwarded-For: 192.0.2.1
		> X-Forwarded-Host: example.com
		> X-Forwarded-Proto: https
		> X-Front: 1
		202 Accepted, length 11
		Content-Length: 11
		Content-Type: text/plain; charset=utf-8
		X-Back: 1
		body "from behind"`},
	{name: "POST", handler: behind(reads), client: send("POST", "/", "some body"), want: `
		> length 9, read "some body", error none
		200 OK, length 1
		Content-Length: 1
		Content-Type: text/plain; charset=utf-8
		body "9"`},
	{name: "POST of unknown length", handler: behind(reads), client: func(e *env) {
		e.show(e.request("POST", "/", unsized(strings.NewReader("some body"))))
	}, want: `
		> length -1, read "some body", error none
		200 OK, length 1
		Content-Length: 1
		Content-Type: text/plain; charset=utf-8
		body "9"`},
	{name: "HEAD", handler: behind(write("hello")), client: send("HEAD", "/", ""), want: `
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body ""`},
	{name: "statuses without a body", handler: behind(noBody(http.StatusNotModified, "Etag", `"1"`)), want: `
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
	{name: "redirect is handed on", handler: behind(func(e *env, w http.ResponseWriter, r *http.Request) {
		e.saw("%s", r.URL)
		if r.URL.Path == "/back/" {
			http.Redirect(w, r, "/again", http.StatusFound)
		}
	}), want: `
		> /back/
		> /back/again
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "cookies", handler: behind(func(e *env, w http.ResponseWriter, r *http.Request) {
		e.saw("%v", r.Cookies())
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
		http.SetCookie(w, &http.Cookie{Name: "b", Value: "2"})
	}), client: get("/", "Cookie", "c=3; d=4"), want: `
		> [c=3 d=4]
		200 OK, length 0
		Content-Length: 0
		Set-Cookie: a=1
		Set-Cookie: b=2
		body ""`},
	{name: "trailers", handler: behind(func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "body")
		e.flush(w)
		w.Header().Set("X-Sum", "42")
	}), want: `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "body"
		trailer X-Sum: 42`, except: []exception{{on(spdy2), "trailers of SPDY/2", `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "body"
		trailer X-Sum without a value`}}},
	{name: "range of a file", handler: behind(func(e *env, w http.ResponseWriter, r *http.Request) {
		http.StripPrefix("/back", http.FileServerFS(site)).ServeHTTP(w, r)
	}), client: get("/big.bin", "Range", "bytes=1000-60999"), want: `
		206 Partial Content, length 60000
		Accept-Ranges: bytes
		Content-Length: 60000
		Content-Range: bytes 1000-60999/100000
		Content-Type: application/octet-stream
		Last-Modified: Wed, 01 Dec 1999 12:00:00 GMT
		body of 60000 bytes, 9f6afe44ac626b12ff5273a8`},
	{name: "large echo", handler: behind(echo, func(e *env, p *httputil.ReverseProxy) {
		p.ModifyResponse = func(res *http.Response) error {
			e.note("length %d", res.ContentLength)
			return nil
		}
	}), client: func(e *env) {
		e.show(e.request("PUT", "/", bytes.NewReader(pattern100K)))
	}, want: `
		> 100000, error none
		length -1
		200 OK, length -1
		Content-Type: x/y
		body of 100000 bytes, b4bf20e88b8f5fe92ddae8e`},
	{name: "part by part", handler: behind(ticks(3)), client: func(e *env) {
		start := time.Now()
		res, err := e.client.Get(base)
		e.note("error %s after %v", kind(err), time.Since(start))
		p := make([]byte, 1)
		for range 3 {
			_, err := io.ReadFull(res.Body, p)
			e.note("%s, error %s after %v", p, kind(err), time.Since(start))
		}
		e.body(res)
	}, want: `
		error none after 0s
		0, error none after 0s
		1, error none after 1s
		2, error none after 2s
		body ""`},
	{name: "panic behind, before the answer", handler: behind(panics("", false, http.ErrAbortHandler)), want: `
		502 Bad Gateway, length 0
		Content-Length: 0
		body ""`},
	{name: "panic behind, in the answer", handler: behind(panics("text", true, http.ErrAbortHandler)), client: func(e *env) {
		res, err := e.client.Get(base)
		e.note("error %s, %s", kind(err), res.Status)
		_, err = io.ReadAll(res.Body)
		e.note("fails %v", err != nil)
		res.Body.Close()
	}, want: `
		error none, 200 OK
		fails true`},
	{name: "cancelled in front", handler: behind(untilEnded), client: func(e *env) {
		within(3 * time.Second)(e)
		<-after(time.Second)
	}, want: `
		> context ends after 3s: context canceled
		error: timeout
		after 3s`},
	{name: "closed in front, in the answer", handler: behind(func(e *env, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "begun")
		e.flush(w)
		untilEnded(e, w, r)
	}), client: func(e *env) {
		res, err := e.client.Get(base)
		e.note("error %s", kind(err))
		<-after(3 * time.Second)
		res.Body.Close()
		<-after(time.Second)
	}, want: `
		> context ends after 3s: context canceled
		error none`},
	{name: "timeout behind", handler: behind(untilEnded, func(e *env, p *httputil.ReverseProxy) {
		rewrite := p.Rewrite
		p.Rewrite = func(r *httputil.ProxyRequest) {
			rewrite(r)
			ctx, cancel := context.WithTimeout(r.Out.Context(), 2*time.Second)
			context.AfterFunc(ctx, cancel)
			r.Out = r.Out.WithContext(ctx)
		}
		p.ErrorHandler = func(w http.ResponseWriter, r *http.Request, err error) {
			e.note("%s", kind(err))
			w.WriteHeader(http.StatusGatewayTimeout)
		}
	}), client: func(e *env) { e.get("/") }, want: `
		> context ends after 2s: context canceled
		timeout
		504 Gateway Timeout, length 0
		Content-Length: 0
		body ""`},
	{name: "ModifyResponse fails", handler: behind(write("hello"), func(e *env, p *httputil.ReverseProxy) {
		p.ModifyResponse = func(*http.Response) error { return errors.New("no") }
	}), want: `
		502 Bad Gateway, length 0
		Content-Length: 0
		body ""`},
}
