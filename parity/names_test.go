package parity

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// nameScenarios use exported fields and methods of net/http for which no other scenario exists.
var nameScenarios = []scenario{
	{name: "Request, methods at the handler", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		user, password, ok := r.BasicAuth()
		e.saw("%q %q %q %q %v", r.UserAgent(), r.Referer(), user, password, ok)
		cookie, err := r.Cookie("a")
		e.saw("%v %v %v %v", cookie, err, r.CookiesNamed("b"), len(r.Cookies()))
		_, err = r.Cookie("none")
		e.saw("%v", err == http.ErrNoCookie)
		e.saw("%q %q %v", r.PostFormValue("f"), r.FormValue("q"), r.ProtoAtLeast(1, 0))
		e.saw("%q %q %q", r.Pattern, r.PathValue("none"), r.RequestURI)
		r.SetPathValue("none", "now")
		e.saw("%q %v %v", r.PathValue("none"), r.MultipartForm, r.WithContext(r.Context()) != r)
	}, client: func(e *env) {
		req := e.request("POST", "/a?q=1", strings.NewReader("f=2"), "User-Agent", "agent", "Referer", base+"/before",
			"Content-Type", "application/x-www-form-urlencoded")
		req.SetBasicAuth("user", "password")
		for _, c := range []string{"a=1", "b=2", "b=3"} {
			name, value, _ := strings.Cut(c, "=")
			req.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		e.show(req)
	}, want: `
		> "agent" "https://example.com/before" "user" "password" true
		> a=1 <nil> [b=2 b=3] 3
		> true
		> "2" "1" true
		> "" "" "/a?q=1"
		> "now" <nil> true
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "Request.Write at the handler", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		var text bytes.Buffer
		r.Header = http.Header{"User-Agent": r.Header["User-Agent"], "X-A": r.Header["X-A"]}
		var err error
		if r.URL.Path == "/proxy" {
			r.URL.Scheme, r.URL.Host = "http", r.Host
			err = r.WriteProxy(&text)
		} else {
			err = r.Write(&text)
		}
		e.saw("%v\n%q", err, text.String())
	}, client: func(e *env) {
		e.show(e.request("POST", "/direct?q", strings.NewReader("body"), "User-Agent", "agent", "X-A", "1"))
		e.show(e.request("GET", "/proxy?q", nil, "User-Agent", "agent"))
	}, want: `
		> <nil>
		> "POST /direct?q HTTP/1.1\r\nHost: example.com\r\nUser-Agent: agent\r\nContent-Length: 4\r\nX-A: 1\r\n\r\nbody"
		> <nil>
		> "GET http://example.com/proxy?q HTTP/1.1\r\nHost: example.com\r\nUser-Agent: agent\r\n\r\n"
		200 OK, length 0
		Content-Length: 0
		body ""
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "Response, methods", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
		w.Header().Set("Location", "next")
		io.WriteString(w, "body")
	}, client: func(e *env) {
		res, err := e.client.Get(base + "/a/b")
		if err != nil {
			e.note("error: %s", kind(err))
			return
		}
		defer res.Body.Close()
		location, err := res.Location()
		e.note("%v %v %v %v", location, err, res.Cookies(), res.ProtoAtLeast(1, 1))
		e.note("%q %d %v %v", res.Status, res.StatusCode, res.Close, res.Request.Method)
		var text bytes.Buffer
		err = res.Write(&text)
		_, rest, _ := strings.Cut(text.String(), "\r\n")
		head := strings.Split(rest, "\r\n")
		head = slices.DeleteFunc(head, func(line string) bool { return strings.HasPrefix(line, "Date: ") })
		e.note("%v %q", err, head)
	}, want: `
		https://example.com/a/next <nil> [a=1] true
		"200 OK" 200 false GET
		<nil> ["Content-Length: 4" "Content-Type: text/plain; charset=utf-8" "Location: next" "Set-Cookie: a=1" "" "body"]`},
	{name: "Request.Response of a redirect", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/next", http.StatusFound)
		}
	}, client: func(e *env) {
		e.client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
			e.note("%s after %s", req.URL.Path, req.Response.Status)
			return nil
		}
		res, err := e.client.Get(base + "/")
		e.note("%s, %v", kind(err), res.Request.Response != nil)
		res.Body.Close()
	}, want: `
		/next after 302 Found
		none, true`},
	{name: "Request.RequestURI of the client", handler: write("body"), client: func(e *env) {
		req := e.request("GET", "/", nil)
		req.RequestURI = "/other"
		_, err := e.client.Do(req)
		e.note("%v", err)
		res, err := e.client.Transport.RoundTrip(req)
		e.note("%s", kind(err))
		e.answer(res)
	}, want: `
		Get "https://example.com/": http: Request.RequestURI can't be set in client requests
		none
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "body"`},
	{name: "Request.Cancel", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-after(5 * time.Second):
		}
	}, client: func(e *env) {
		req := e.request("GET", "/", nil)
		cancel := make(chan struct{})
		req.Cancel = cancel //lint:ignore SA1019 old programs use the field
		time.AfterFunc(time.Second, func() { close(cancel) })
		start := time.Now()
		res, err := e.client.Transport.RoundTrip(req)
		e.note("fails %v after %v", err != nil, time.Since(start))
		if err == nil {
			res.Body.Close()
		}
	}, want: `
		fails true after 1s`},
	{name: "Request.Host, GetBody and ContentLength", handler: sees(func(r *http.Request) any {
		b, err := io.ReadAll(r.Body)
		return fmt.Sprint(r.Host, " ", r.ContentLength, " ", len(b), " ", err)
	}), client: func(e *env) {
		req := e.request("POST", "/", strings.NewReader("body"))
		req.Host = "other.example"
		e.note("%v %d", req.GetBody != nil, req.ContentLength)
		e.show(req)
	}, want: `
		> other.example 4 4 <nil>
		true 4
		204 No Content, length 0
		body ""`},
}
