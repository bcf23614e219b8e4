package parity

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"strings"
)

// cookies are the cookies of a request in short.
func cookies(r *http.Request) any { return fmt.Sprint(r.Cookies()) }

// withJar gives the client a cookie jar.
func withJar(e *env) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		e.t.Error(err)
	}
	e.client.Jar = jar
}

var cookieScenarios = []scenario{
	{name: "one", handler: sees(cookies), client: edited(func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "a", Value: "1"}) }), want: `
		> [a=1]
		204 No Content, length 0
		body ""`},
	{name: "several", handler: sees(cookies), client: edited(func(r *http.Request) {
		r.AddCookie(&http.Cookie{Name: "a", Value: "1"})
		r.AddCookie(&http.Cookie{Name: "b", Value: "2"})
		r.AddCookie(&http.Cookie{Name: "a", Value: "3"})
	}), want: `
		> [a=1 b=2 a=3]
		204 No Content, length 0
		body ""`},
	{name: "one line at the handler", handler: sees(func(r *http.Request) any { return fmt.Sprintf("%q", r.Header["Cookie"]) }),
		client: withHeader("Cookie", "a=1; b=2"), want: `
		> ["a=1; b=2"]
		204 No Content, length 0
		body ""`},
	{name: "several lines", handler: sees(func(r *http.Request) any { return fmt.Sprintf("%q", r.Header["Cookie"]) }),
		client: withHeader("Cookie", "a=1", "Cookie", "b=2"), want: `
		> ["a=1; b=2"]
		204 No Content, length 0
		body ""`, except: []exception{{on(http1), "Cookie lines", `
		> ["a=1" "b=2"]
		204 No Content, length 0
		body ""`}}},
	{name: "many", handler: sees(func(r *http.Request) any { return len(r.Cookies()) }), client: edited(func(r *http.Request) {
		for i := range 150 {
			r.AddCookie(&http.Cookie{Name: fmt.Sprint("c", i), Value: "x"})
		}
	}), want: `
		> 150
		204 No Content, length 0
		body ""`},
	{name: "odd values", handler: sees(cookies), client: edited(func(r *http.Request) {
		r.AddCookie(&http.Cookie{Name: "a", Value: "with space, comma"})
		r.AddCookie(&http.Cookie{Name: "b", Value: ""})
		r.AddCookie(&http.Cookie{Name: "c", Value: "x=y"})
	}), want: `
		> [a="with space, comma" b= c=x=y]
		204 No Content, length 0
		body ""`},
	{name: "none", handler: sees(func(r *http.Request) any {
		_, err := r.Cookie("a")
		return errors.Is(err, http.ErrNoCookie)
	}), want: `
		> true
		204 No Content, length 0
		body ""`},
	{name: "set by the handler", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1", Path: "/", HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode})
		http.SetCookie(w, &http.Cookie{Name: "b", Value: "2, 3", MaxAge: 60})
		http.SetCookie(w, &http.Cookie{Name: "bad name", Value: "x"})
	}, want: `
		200 OK, length 0
		Content-Length: 0
		Set-Cookie: a=1; Path=/; HttpOnly; Secure; SameSite=Lax
		Set-Cookie: b="2, 3"; Max-Age=60
		body ""`},
	{name: "read by the client", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "1"})
		http.SetCookie(w, &http.Cookie{Name: "b", Value: "2"})
	}, client: func(e *env) {
		res, err := e.client.Get(base)
		e.note("error %s, %v", kind(err), res.Cookies())
		res.Body.Close()
	}, want: `
		error none, [a=1 b=2]`},
	{name: "kept in a jar", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		e.saw("%s %v", r.URL.Path, r.Cookies())
		switch r.URL.Path {
		case "/set":
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "1", Path: "/"})
			http.SetCookie(w, &http.Cookie{Name: "b", Value: "2", Path: "/deep"})
		case "/delete":
			http.SetCookie(w, &http.Cookie{Name: "a", Path: "/", MaxAge: -1})
		}
	}, client: func(e *env) {
		withJar(e)
		for _, path := range []string{"/set", "/", "/deep/x", "/delete", "/"} {
			res, err := e.client.Get(base + path)
			e.note("error %s", kind(err))
			res.Body.Close()
		}
	}, want: `
		> /set []
		> / [a=1]
		> /deep/x [b=2 a=1]
		> /delete [a=1]
		> / []
		error none
		error none
		error none
		error none
		error none`},
	{name: "set by a redirect", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		e.saw("%s %v", r.URL.Path, r.Cookies())
		if r.URL.Path == "/login" {
			http.SetCookie(w, &http.Cookie{Name: "session", Value: "x", Path: "/"})
			http.Redirect(w, r, "/home", http.StatusSeeOther)
		}
	}, client: func(e *env) { withJar(e); send("POST", "/login", "me")(e) }, want: `
		> /login []
		> /home [session=x]
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "jar and own cookies together", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		e.saw("%v", r.Cookies())
		http.SetCookie(w, &http.Cookie{Name: "jar", Value: "1"})
	}, client: func(e *env) {
		withJar(e)
		get("/", "Cookie", "own=1")(e)
		get("/", "Cookie", "own=1")(e)
	}, want: `
		> [own=1]
		> [own=1 jar=1]
		200 OK, length 0
		Content-Length: 0
		Set-Cookie: jar=1
		body ""
		200 OK, length 0
		Content-Length: 0
		Set-Cookie: jar=1
		body ""`},
}

// redirects answers /from with a redirect to /to, which notes what comes.
func redirects(code int) handlerFunc {
	return func(e *env, w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		e.saw("%s %s %q %s", r.Method, r.URL, body, kind(err))
		if r.URL.Path == "/from" {
			http.Redirect(w, r, "/to?a=b", code)
		}
	}
}

var redirectScenarios = []scenario{
	{name: "301 of GET", handler: redirects(http.StatusMovedPermanently), client: get("/from"), want: `
		> GET /from "" none
		> GET /to?a=b "" none
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "302 of POST becomes GET", handler: redirects(http.StatusFound), client: send("POST", "/from", "body"), want: `
		> POST /from "body" none
		> GET /to?a=b "" none
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "303 of PUT becomes GET", handler: redirects(http.StatusSeeOther), client: send("PUT", "/from", "body"), want: `
		> PUT /from "body" none
		> GET /to?a=b "" none
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "307 keeps method and body", handler: redirects(http.StatusTemporaryRedirect), client: send("POST", "/from", "body"), want: `
		> POST /from "body" none
		> POST /to?a=b "body" none
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "308 keeps method and body", handler: redirects(http.StatusPermanentRedirect), client: send("PUT", "/from", "body"), want: `
		> PUT /from "body" none
		> PUT /to?a=b "body" none
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "307 without GetBody is not followed", handler: redirects(http.StatusTemporaryRedirect), client: func(e *env) {
		req := e.request("POST", "/from", unsized(strings.NewReader("body")))
		req.GetBody = nil
		e.show(req)
	}, want: `
		> POST /from "body" none
		307 Temporary Redirect, length 0
		Content-Length: 0
		Location: /to?a=b
		body ""`},
	{name: "HEAD stays HEAD", handler: redirects(http.StatusFound), client: send("HEAD", "/from", ""), want: `
		> HEAD /from "" none
		> HEAD /to?a=b "" none
		200 OK, length -1
		body ""`},
	{name: "no more than ten", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Path+"x", http.StatusFound)
	}, want: `
		error: failed`},
	{name: "ErrUseLastResponse", handler: redirects(http.StatusFound), client: func(e *env) {
		e.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		e.get("/from")
	}, want: `
		> GET /from "" none
		302 Found, length 30
		Content-Length: 30
		Content-Type: text/html; charset=utf-8
		Location: /to?a=b
		body "<a href=\"/to?a=b\">Found</a>.\n\n"`},
	{name: "CheckRedirect fails", handler: redirects(http.StatusFound), client: func(e *env) {
		e.client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
			e.note("%s after %d", req.URL, len(via))
			return errors.New("no")
		}
		res, err := e.client.Get(base + "/from")
		e.note("error %v, %s", err, res.Status)
	}, want: `
		> GET /from "" none
		https://example.com/to?a=b after 1
		error Get "/to?a=b": no, 302 Found`},
	{name: "Location is relative", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		e.saw("%s", r.URL)
		if r.URL.Path == "/a/b" {
			w.Header().Set("Location", "../c?d")
			w.WriteHeader(http.StatusFound)
		}
	}, client: get("/a/b"), want: `
		> /a/b
		> /c?d
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "no Location", handler: func(e *env, w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusFound) }, want: `
		302 Found, length 0
		Content-Length: 0
		body ""`},
	{name: "304 and 300 are no redirects", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", "/to")
		w.WriteHeader(http.StatusMultipleChoices)
	}, want: `
		300 Multiple Choices, length 0
		Content-Length: 0
		Location: /to
		body ""`},
	{name: "Referer", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		e.saw("%s from %q", r.URL, r.Referer())
		if r.URL.Path == "/from" {
			http.Redirect(w, r, "/to", http.StatusFound)
		}
	}, client: get("/from?x"), want: `
		> /from?x from ""
		> /to from "https://example.com/from?x"
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "Authorization stays with the domain", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		e.saw("%s%s %q", r.Host, r.URL, r.Header["Authorization"])
		switch r.URL.Path {
		case "/1":
			http.Redirect(w, r, "https://www.example.com/2", http.StatusFound)
		case "/2":
			http.Redirect(w, r, "https://127.0.0.1/3", http.StatusFound)
		}
	}, client: get("/1", "Authorization", "Bearer x"), want: `
		> example.com/1 ["Bearer x"]
		> www.example.com/2 ["Bearer x"]
		> 127.0.0.1/3 []
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "http.Redirect writes a page", handler: serve(http.RedirectHandler("/to?a=<b>", http.StatusMovedPermanently)), client: func(e *env) {
		e.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		e.get("/")
		send("HEAD", "/", "")(e)
		send("POST", "/", "x")(e)
	}, want: `
		301 Moved Permanently, length 50
		Content-Length: 50
		Content-Type: text/html; charset=utf-8
		Location: /to?a=<b>
		body "<a href=\"/to?a=&lt;b&gt;\">Moved Permanently</a>.\n\n"
		301 Moved Permanently, length -1
		Content-Type: text/html; charset=utf-8
		Location: /to?a=<b>
		body ""
		301 Moved Permanently, length 0
		Content-Length: 0
		Location: /to?a=<b>
		body ""`},
}
