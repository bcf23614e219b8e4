package parity

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// target is what a handler sees of the URL.
func target(r *http.Request) any {
	return fmt.Sprintf("%q path %q raw %q query %q scheme %q host %q fragment %q", r.RequestURI, r.URL.Path, r.URL.RawPath,
		r.URL.RawQuery, r.URL.Scheme, r.URL.Host, r.URL.Fragment)
}

// toURL is a client that shows the answer to a GET of a URL.
func toURL(u *url.URL) func(e *env) {
	return edited(func(r *http.Request) { r.URL, r.Host = u, "" })
}

// parsed is toURL of a text behind the base.
func parsed(path string) func(e *env) {
	return func(e *env) { e.get(path) }
}

var urlScenarios = []scenario{
	{name: "path and query", handler: sees(target), client: parsed("/a/b?c=d&e"), want: `
		> "/a/b?c=d&e" path "/a/b" raw "" query "c=d&e" scheme "" host "" fragment ""
		204 No Content, length 0
		body ""`},
	{name: "no path", handler: sees(target), client: parsed(""), want: `
		> "/" path "/" raw "" query "" scheme "" host "" fragment ""
		204 No Content, length 0
		body ""`},
	{name: "empty query", handler: sees(target), client: parsed("/?"), want: `
		> "/?" path "/" raw "" query "" scheme "" host "" fragment ""
		204 No Content, length 0
		body ""`},
	{name: "escapes stay", handler: sees(target), client: parsed("/a%2Fb%20c?x=%26"), want: `
		> "/a%2Fb%20c?x=%26" path "/a/b c" raw "/a%2Fb%20c" query "x=%26" scheme "" host "" fragment ""
		204 No Content, length 0
		body ""`},
	{name: "escapes are added", handler: sees(target), client: toURL(&url.URL{Scheme: "https", Host: "example.com", Path: "/a b/ü"}), want: `
		> "/a%20b/%C3%BC" path "/a b/ü" raw "" query "" scheme "" host "" fragment ""
		204 No Content, length 0
		body ""`},
	{name: "two slashes", handler: sees(target), client: parsed("//a//b/../c"), want: `
		> "//a//b/../c" path "//a//b/../c" raw "" query "" scheme "" host "" fragment ""
		204 No Content, length 0
		body ""`},
	{name: "no fragment", handler: sees(target), client: parsed("/a#b"), want: `
		> "/a" path "/a" raw "" query "" scheme "" host "" fragment ""
		204 No Content, length 0
		body ""`},
	{name: "opaque", handler: sees(target), client: toURL(&url.URL{Scheme: "https", Host: "example.com", Opaque: "//example.com/%41"}), want: `
		> "/%41" path "/A" raw "/%41" query "" scheme "" host "" fragment ""
		204 No Content, length 0
		body ""`, except: []exception{{on(http1), "opaque URL", `
		> "https://example.com/%41" path "/A" raw "/%41" query "" scheme "https" host "example.com" fragment ""
		204 No Content, length 0
		body ""`}}},
	{name: "semicolons and plus", handler: sees(target), client: parsed("/a;b?c;d=1+2"), want: `
		> "/a;b?c;d=1+2" path "/a;b" raw "" query "c;d=1+2" scheme "" host "" fragment ""
		204 No Content, length 0
		body ""`},
	{name: "long", handler: sees(func(r *http.Request) any { return len(r.RequestURI) }), client: parsed("/" + strings.Repeat("x", 5000)), want: `
		> 5001
		204 No Content, length 0
		body ""`},
	{name: "space in the query", handler: sees(target), client: toURL(&url.URL{Scheme: "https", Host: "example.com", Path: "/", RawQuery: "a b"}), want: `
		error: failed`, except: []exception{{on(http1), "invalid target", `
		400 Bad Request, length -1
		Date []
		Content-Type: text/plain; charset=utf-8
		body "400 Bad Request"`}, {on(http2), "invalid target", `
		> "/?a b" path "/" raw "" query "a b" scheme "" host "" fragment ""
		204 No Content, length 0
		body ""`}}},
	{name: "no host", handler: sees(target), client: toURL(&url.URL{Scheme: "https", Path: "/"}), want: `
		error: failed`},
	{name: "unknown scheme", handler: sees(target), client: toURL(&url.URL{Scheme: "gopher", Host: "example.com", Path: "/"}), want: `
		error: failed`},
	{name: "no URL", handler: sees(target), client: toURL(nil), want: `
		error: failed`},
	{name: "ServeMux", handler: func() handlerFunc {
		mux := http.NewServeMux()
		mux.HandleFunc("GET /item/{id}/{rest...}", func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintf(w, "%s %s %s", r.Pattern, r.PathValue("id"), r.PathValue("rest"))
		})
		return serve(mux)
	}(), client: func(e *env) {
		e.get("/item/7/a/b%2Fc")
		e.show(e.request("POST", "/item/7/x", nil))
		e.get("/other")
	}, want: `
		200 OK, length 32
		Content-Length: 32
		Content-Type: text/plain; charset=utf-8
		body "GET /item/{id}/{rest...} 7 a/b/c"
		405 Method Not Allowed, length 19
		Allow: GET, HEAD
		Content-Length: 19
		Content-Type: text/plain; charset=utf-8
		X-Content-Type-Options: nosniff
		body "Method Not Allowed\n"
		404 Not Found, length 19
		Content-Length: 19
		Content-Type: text/plain; charset=utf-8
		X-Content-Type-Options: nosniff
		body "404 page not found\n"`},
	{name: "ServeMux redirects to the clean path", handler: func() handlerFunc {
		mux := http.NewServeMux()
		mux.HandleFunc("/dir/", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) })
		return serve(mux)
	}(), client: func(e *env) {
		e.get("/dir")
		e.get("/x/..//dir/./a")
	}, want: `
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body "/dir/"
		200 OK, length 6
		Content-Length: 6
		Content-Type: text/plain; charset=utf-8
		body "/dir/a"`},
	{name: "ServeMux by host", handler: func() handlerFunc {
		mux := http.NewServeMux()
		mux.HandleFunc("www.example.com/", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "www") })
		mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "any") })
		return serve(mux)
	}(), client: func(e *env) {
		e.get("/")
		res, err := e.client.Get("https://www.example.com/")
		e.note("error %s", kind(err))
		e.body(res)
	}, want: `
		200 OK, length 3
		Content-Length: 3
		Content-Type: text/plain; charset=utf-8
		body "any"
		error none
		body "www"`},
	{name: "StripPrefix", handler: serve(http.StripPrefix("/api", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "%s %s", r.URL.Path, r.RequestURI)
	}))), client: func(e *env) { e.get("/api/x?y"); e.get("/other") }, want: `
		200 OK, length 11
		Content-Length: 11
		Content-Type: text/plain; charset=utf-8
		body "/x /api/x?y"
		404 Not Found, length 19
		Content-Length: 19
		Content-Type: text/plain; charset=utf-8
		X-Content-Type-Options: nosniff
		body "404 page not found\n"`},
}

var requestScenarios = []scenario{
	{name: "protocol", handler: sees(func(r *http.Request) any {
		return fmt.Sprintf("%s %d %d %v", r.Proto, r.ProtoMajor, r.ProtoMinor, r.ProtoAtLeast(1, 1))
	}), want: `
		> HTTP/1.1 1 1 true
		204 No Content, length 0
		body ""`, except: []exception{{on(http2), "version", `
		> HTTP/2.0 2 0 true
		204 No Content, length 0
		body ""`}}},
	{name: "addresses", handler: sees(func(r *http.Request) any {
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		return fmt.Sprint(host, " ", err, " ", local)
	}), want: `
		> 192.0.2.1 <nil> 192.0.2.2:443
		204 No Content, length 0
		body ""`},
	{name: "TLS", handler: sees(func(r *http.Request) any {
		return fmt.Sprintf("%q %v %x", r.TLS.ServerName, r.TLS.HandshakeComplete, r.TLS.Version)
	}), want: `
		> "example.com" true 304
		204 No Content, length 0
		body ""`},
	{name: "server in the context", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		srv, ok := r.Context().Value(http.ServerContextKey).(*http.Server)
		e.saw("%v %v", ok, srv.Handler != nil)
	}, want: `
		> true true
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "context ends with the handler", handler: func() handlerFunc {
		contexts := make(map[*env]context.Context)
		return func(e *env, w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/first" {
				e.saw("%v", r.Context().Err())
				contexts[e] = r.Context()
				return
			}
			e.saw("%v %v", contexts[e].Err(), r.Context().Err())
		}
	}(), client: func(e *env) { e.get("/first"); e.get("/second") }, want: `
		> <nil>
		> context canceled <nil>
		200 OK, length 0
		Content-Length: 0
		body ""
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "Body and GetBody", handler: sees(func(r *http.Request) any {
		return fmt.Sprint(r.Body != nil, r.Body == http.NoBody, r.GetBody == nil, r.Response == nil)
	}), client: func(e *env) {
		e.get("/")
		e.show(e.request("POST", "/", strings.NewReader("text")))
		e.show(e.request("POST", "/", strings.NewReader("")))
	}, want: `
		> true true true true
		> true false true true
		> true true true true
		204 No Content, length 0
		body ""
		204 No Content, length 0
		body ""
		204 No Content, length 0
		body ""`, except: []exception{{on(http2), "NoBody", `
		> true false true true
		> true false true true
		> true false true true
		204 No Content, length 0
		body ""
		204 No Content, length 0
		body ""
		204 No Content, length 0
		body ""`}}},
	{name: "Transfer-Encoding", handler: sees(func(r *http.Request) any { return fmt.Sprintf("%q %d", r.TransferEncoding, r.ContentLength) }),
		client: func(e *env) { e.show(e.request("POST", "/", unsized(strings.NewReader("text")))) }, want: `
		> [] -1
		204 No Content, length 0
		body ""`, except: []exception{{on(http1), "connection", `
		> ["chunked"] -1
		204 No Content, length 0
		body ""`}}},
	{name: "query", handler: sees(func(r *http.Request) any { return fmt.Sprint(r.URL.Query(), r.FormValue("a"), r.FormValue("none")) }),
		client: get("/?a=1&a=2&b=%20x"), want: `
		> map[a:[1 2] b:[ x]]1
		204 No Content, length 0
		body ""`},
	{name: "ParseForm of a POST", handler: sees(func(r *http.Request) any { return fmt.Sprint(r.ParseForm(), r.Form, r.PostForm) }),
		client: send("POST", "/?a=1&c=3", "a=2&b=x+y", "Content-Type", "application/x-www-form-urlencoded"), want: `
		> <nil> map[a:[2 1] b:[x y] c:[3]] map[a:[2] b:[x y]]
		204 No Content, length 0
		body ""`},
	{name: "ParseForm of a GET", handler: sees(func(r *http.Request) any { return fmt.Sprint(r.ParseForm(), r.Form, r.PostForm) }),
		client: get("/?a=1"), want: `
		> <nil> map[a:[1]] map[]
		204 No Content, length 0
		body ""`},
	{name: "ParseForm of a PUT", handler: sees(func(r *http.Request) any { return fmt.Sprint(r.ParseForm(), r.Form, r.PostForm) }),
		client: send("PUT", "/", "a=2", "Content-Type", "application/x-www-form-urlencoded"), want: `
		> <nil> map[a:[2]] map[a:[2]]
		204 No Content, length 0
		body ""`},
	{name: "ParseForm of another type", handler: sees(func(r *http.Request) any { return fmt.Sprint(r.ParseForm(), r.Form, r.PostForm) }),
		client: send("POST", "/?a=1", "a=2", "Content-Type", "text/plain"), want: `
		> <nil> map[a:[1]] map[]
		204 No Content, length 0
		body ""`},
	{name: "malformed form", handler: sees(func(r *http.Request) any { return fmt.Sprint(r.ParseForm() != nil, r.Form) }),
		client: send("POST", "/?a=1", "b=%zz&c=3", "Content-Type", "application/x-www-form-urlencoded"), want: `
		> true map[a:[1] c:[3]]
		204 No Content, length 0
		body ""`},
	{name: "PostForm of the client", handler: sees(func(r *http.Request) any {
		return fmt.Sprint(r.PostFormValue("a"), " ", r.Header.Get("Content-Type"), " ", r.ContentLength)
	}), client: func(e *env) {
		res, err := e.client.PostForm(base+"/", url.Values{"a": {"x y", "z"}})
		e.note("error %s, %s", kind(err), res.Status)
		res.Body.Close()
	}, want: `
		> x y application/x-www-form-urlencoded 9
		error none, 204 No Content`},
	{name: "multipart form", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		e.saw("%v", r.ParseMultipartForm(1<<10))
		file, header, err := r.FormFile("file")
		e.saw("%v %q %d %v %q", err, header.Filename, header.Size, header.Header.Get("Content-Type"), r.FormValue("field"))
		readAll(e.saw, file)
	}, client: multipartUpload, want: `
		> <nil>
		> <nil> "a.bin" 5000 x/y "value"
		> read of 5000 bytes, 9e04c7ed147806678beb716fb, error none
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "MultipartReader", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		parts, err := r.MultipartReader()
		e.saw("%v", err)
		for {
			part, err := parts.NextPart()
			if err != nil {
				e.saw("%v", err)
				return
			}
			e.saw("%q %q", part.FormName(), part.FileName())
			readAll(e.saw, part)
		}
	}, client: multipartUpload, want: `
		> <nil>
		> "field" ""
		> read "value", error none
		> "file" "a.bin"
		> read of 5000 bytes, 9e04c7ed147806678beb716fb, error none
		> EOF
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "no multipart form", handler: sees(func(r *http.Request) any {
		_, _, err := r.FormFile("file")
		return errors.Is(err, http.ErrNotMultipart)
	}), client: send("POST", "/", "text"), want: `
		> true
		204 No Content, length 0
		body ""`},
	{name: "Clone in the handler", handler: sees(func(r *http.Request) any {
		c := r.Clone(r.Context())
		c.Header.Set("X-A", "2")
		return r.Header.Get("X-A") + c.Header.Get("X-A")
	}), client: withHeader("X-A", "1"), want: `
		> 12
		204 No Content, length 0
		body ""`},
	{name: "values of the context stay with the client", handler: sees(func(r *http.Request) any { return r.Context().Value(key{}) }),
		client: func(e *env) {
			req := e.request("GET", "/", nil)
			res, err := e.client.Do(req.WithContext(context.WithValue(req.Context(), key{}, "v")))
			e.note("error %s, %v", kind(err), res.Request.Context().Value(key{}))
			res.Body.Close()
		}, want: `
		> <nil>
		error none, v`},
	{name: "BaseContext and ConnContext", server: func(_ *env, s *http.Server) {
		s.BaseContext = func(net.Listener) context.Context { return context.WithValue(context.Background(), key{}, "base") }
		s.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, key2{}, fmt.Sprint(ctx.Value(key{}), " and conn ", c.LocalAddr()))
		}
	}, handler: sees(func(r *http.Request) any { return r.Context().Value(key2{}) }), want: `
		> base and conn 192.0.2.2:443
		204 No Content, length 0
		body ""`},
}

type (
	key  struct{}
	key2 struct{}
)

// multipartUpload sends a form with a field and a file of 5000 bytes.
func multipartUpload(e *env) {
	const boundary = "parity-boundary"
	text := "--" + boundary + "\r\nContent-Disposition: form-data; name=\"field\"\r\n\r\nvalue\r\n" +
		"--" + boundary + "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\nContent-Type: x/y\r\n\r\n"
	body := io.MultiReader(strings.NewReader(text), strings.NewReader(string(pattern100K[:5000])), strings.NewReader("\r\n--"+boundary+"--\r\n"))
	e.show(e.request("POST", "/", body, "Content-Type", "multipart/form-data; boundary="+boundary))
}
