package parity

import (
	"fmt"
	"net/http"
	"strings"
)

// withHeader is a client that sends headers, names and values in turn, as they are.
func withHeader(header ...string) func(e *env) {
	return edited(func(r *http.Request) {
		for i := 0; i < len(header); i += 2 {
			r.Header[header[i]] = append(r.Header[header[i]], header[i+1])
		}
	})
}

var requestHeaderScenarios = []scenario{
	{name: "none", handler: sees(seenHeader), want: `
		>
		204 No Content, length 0
		body ""`},
	{name: "values in order", handler: sees(seenHeader), client: withHeader("X-Many", "one", "X-Many", "two, three", "X-Many", "one"), want: `
		> X-Many: one
		> X-Many: two, three
		> X-Many: one
		204 No Content, length 0
		body ""`},
	{name: "canonical names", handler: sees(seenHeader), client: withHeader("x-lower", "a", "X-UPPER-CASE", "b"), want: `
		> X-Lower: a
		> X-Upper-Case: b
		204 No Content, length 0
		body ""`},
	{name: "empty value", handler: sees(seenHeader), client: withHeader("X-Empty", ""), want: `
		> X-Empty:
		204 No Content, length 0
		body ""`},
	{name: "empty among others", handler: sees(seenHeader), client: withHeader("X-Some", "a", "X-Some", "", "X-Some", "b"), want: `
		> X-Some: a
		> X-Some:
		> X-Some: b
		204 No Content, length 0
		body ""`, except: []exception{{on(spdy31), "empty values", `
		> X-Some: a
		> X-Some: b
		204 No Content, length 0
		body ""`}}},
	{name: "white space around values", handler: sees(seenHeader), client: withHeader("X-Padded", " \ta b\t "), want: `
		> X-Padded: a b
		204 No Content, length 0
		body ""`, except: []exception{{on(http2), "white space", `
		> X-Padded:  	a b
		204 No Content, length 0
		body ""`}}},
	{name: "bytes above ASCII", handler: sees(func(r *http.Request) any { return fmt.Sprintf("%q", r.Header.Get("X-Binary")) }),
		client: withHeader("X-Binary", "\x80\xff grün"), want: `
		> "\x80\xff grün"
		204 No Content, length 0
		body ""`},
	{name: "all punctuation of names", handler: sees(seenHeader), client: withHeader("X!#$%&'*+-.^_|~", "a"), want: `
		> X!#$%&'*+-.^_|~: a
		204 No Content, length 0
		body ""`},
	{name: "invalid name", handler: sees(seenHeader), client: withHeader("X Space", "a"), want: `
		error: failed`},
	{name: "empty name", handler: sees(seenHeader), client: withHeader("", "a"), want: `
		error: failed`},
	{name: "line break in a value", handler: sees(seenHeader), client: withHeader("X-Split", "a\r\nX-Second: b"), want: `
		error: failed`},
	{name: "NUL in a value", handler: sees(seenHeader), client: withHeader("X-Nul", "a\x00b"), want: `
		error: failed`},
	{name: "long value", handler: sees(func(r *http.Request) any { return len(r.Header.Get("X-Long")) }),
		client: withHeader("X-Long", strings.Repeat("0123456789abcdef", 4000)), want: `
		> 64000
		204 No Content, length 0
		body ""`},
	{name: "many headers", handler: sees(func(r *http.Request) any {
		n := 0
		for key := range r.Header {
			if strings.HasPrefix(key, "X-Number-") && r.Header.Get(key) == "v"+key[9:] {
				n++
			}
		}
		return n
	}), client: edited(func(r *http.Request) {
		for i := range 500 {
			r.Header.Set(fmt.Sprint("X-Number-", i), fmt.Sprint("v", i))
		}
	}), want: `
		> 500
		204 No Content, length 0
		body ""`},
	{name: "Host", handler: sees(func(r *http.Request) any { return r.Host + " " + r.Header.Get("Host") }),
		client: edited(func(r *http.Request) { r.Host = "www.example.com:8443" }), want: `
		> www.example.com:8443
		204 No Content, length 0
		body ""`},
	{name: "Host among the headers is ignored", handler: sees(func(r *http.Request) any { return r.Host + " " + r.Header.Get("Host") }),
		client: withHeader("Host", "other.example"), want: `
		> example.com
		204 No Content, length 0
		body ""`},
	{name: "Host of the URL", handler: sees(func(r *http.Request) any { return r.Host }), want: `
		> example.com
		204 No Content, length 0
		body ""`},
	{name: "Host that is none", handler: sees(func(r *http.Request) any { return r.Host }),
		client: edited(func(r *http.Request) { r.Host = "exa mple" }), want: `
		error: failed`, except: []exception{{on(http1), "invalid host", `
		>
		204 No Content, length 0
		body ""`}}},
	{name: "Host with letters above ASCII", handler: sees(func(r *http.Request) any { return r.Host }),
		client: edited(func(r *http.Request) { r.Host = "grüße.example" }), want: `
		> xn--gre-6ka8l.example
		204 No Content, length 0
		body ""`},
	{name: "User-Agent by default", handler: sees(func(r *http.Request) any { return r.UserAgent() }), want: `
		> Go-spdy-client/3.1
		204 No Content, length 0
		body ""`, except: []exception{{on(http1), "User-Agent", `
		> Go-http-client/1.1
		204 No Content, length 0
		body ""`}, {on(http2), "User-Agent", `
		> Go-http-client/2.0
		204 No Content, length 0
		body ""`}, {on(spdy2), "User-Agent", `
		> Go-spdy-client/2
		204 No Content, length 0
		body ""`}, {on(spdy3), "User-Agent", `
		> Go-spdy-client/3
		204 No Content, length 0
		body ""`}}},
	{name: "User-Agent of one's own", handler: sees(func(r *http.Request) any { return r.UserAgent() }),
		client: withHeader("User-Agent", "parity/1"), want: `
		> parity/1
		204 No Content, length 0
		body ""`},
	{name: "no User-Agent", handler: sees(func(r *http.Request) any { return r.Header["User-Agent"] == nil }),
		client: withHeader("User-Agent", ""), want: `
		> true
		204 No Content, length 0
		body ""`},
	{name: "Content-Length among the headers is ignored", handler: sees(func(r *http.Request) any { return r.ContentLength }),
		client: withHeader("Content-Length", "17"), want: `
		> 0
		204 No Content, length 0
		body ""`},
	{name: "Content-Length shown to the handler", handler: sees(seenHeader), client: send("POST", "/", "12345", "Content-Type", "text/plain"), want: `
		> Content-Length: 5
		> Content-Type: text/plain
		204 No Content, length 0
		body ""`},
	{name: "Transfer-Encoding among the headers", handler: sees(func(r *http.Request) any { return headerText(r.Header) != "" && r.Header["Transfer-Encoding"] == nil }),
		client: withHeader("Transfer-Encoding", "chunked"), want: `
		> true
		204 No Content, length 0
		body ""`},
	{name: "Basic auth", handler: sees(func(r *http.Request) any {
		user, password, ok := r.BasicAuth()
		return fmt.Sprint(user, " ", password, " ", ok)
	}), client: edited(func(r *http.Request) { r.SetBasicAuth("me", "secret: ü") }), want: `
		> me secret: ü true
		204 No Content, length 0
		body ""`},
	{name: "Basic auth in the URL", handler: sees(func(r *http.Request) any {
		user, password, ok := r.BasicAuth()
		return fmt.Sprint(user, " ", password, " ", ok, " ", r.URL)
	}), client: func(e *env) {
		res, err := e.client.Get("https://me:secret@example.com/")
		e.note("error %s, %s", kind(err), res.Status)
		res.Body.Close()
	}, want: `
		> me secret true /
		error none, 204 No Content`},
	{name: "Referer", handler: sees(func(r *http.Request) any { return r.Referer() }), client: withHeader("Referer", "https://a.example/b"), want: `
		> https://a.example/b
		204 No Content, length 0
		body ""`},
	{name: "hop-by-hop", handler: sees(seenHeader), client: withHeader("Te", "trailers", "X-Kept", "1"), want: `
		> Te: trailers
		> X-Kept: 1
		204 No Content, length 0
		body ""`, except: []exception{{on(spdy31), "hop-by-hop", `
		> X-Kept: 1
		204 No Content, length 0
		body ""`}}},
	{name: "Connection: close", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		e.saw("%v", r.Close)
	}, client: edited(func(r *http.Request) { r.Close = true }), want: `
		> false
		200 OK, length 0
		Content-Length: 0
		body ""`, except: []exception{{on(http1), "connection", `
		> true
		200 OK, length 0
		Content-Length: 0
		body ""`}}},
	{name: "the request is not changed", handler: sees(seenHeader), client: func(e *env) {
		req := e.request("GET", "/a?b=c", nil, "Cookie", "a=1", "X-B", "c")
		req.Header["x-lower"] = []string{"y"}
		before, u := headerText(req.Header), *req.URL
		res, err := e.client.Transport.RoundTrip(req)
		e.note("error %s, %s", kind(err), res.Status)
		res.Body.Close()
		e.note("same header: %v, same URL: %v, Host %q, is res.Request: %v",
			headerText(req.Header) == before, *req.URL == u, req.Host, res.Request == req)
	}, want: `
		> Cookie: a=1
		> X-B: c
		> X-Lower: y
		error none, 204 No Content
		same header: true, same URL: true, Host "example.com", is res.Request: true`},
}
