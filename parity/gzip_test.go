package parity

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// zipped is a text as gzip writes it.
func zipped(text string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, text)
	z.Close()
	return b.Bytes()
}

// zips is a handler that compresses its answer if the client takes that.
func zips(body []byte) handlerFunc {
	return func(e *env, w http.ResponseWriter, r *http.Request) {
		e.saw("accepts %q", r.Header["Accept-Encoding"])
		if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			io.WriteString(w, "plain")
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Type", "text/plain")
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.Write(body)
	}
}

// unzipped is a client that notes whether the answer was decompressed.
func unzipped(req func(e *env) *http.Request) func(e *env) {
	return func(e *env) {
		res, err := e.client.Do(req(e))
		e.note("error %s, uncompressed %v, length %d", kind(err), res.Uncompressed, res.ContentLength)
		e.note("encoding %q, length %q", res.Header["Content-Encoding"], res.Header["Content-Length"])
		e.body(res)
	}
}

// plainly is a request without a body.
func plainly(method string, header ...string) func(e *env) *http.Request {
	return func(e *env) *http.Request { return e.request(method, "/", nil, header...) }
}

var gzipScenarios = []scenario{
	{name: "decompressed", handler: zips(zipped("hello, gzip")), client: unzipped(plainly("GET")), want: `
		> accepts ["gzip"]
		error none, uncompressed true, length -1
		encoding [], length []
		body "hello, gzip"`},
	{name: "of a POST", handler: zips(zipped("hello, gzip")), client: unzipped(func(e *env) *http.Request {
		return e.request("POST", "/", strings.NewReader("body"))
	}), want: `
		> accepts ["gzip"]
		error none, uncompressed true, length -1
		encoding [], length []
		body "hello, gzip"`},
	{name: "long", handler: zips(zipped(strings.Repeat("0123456789", 100_000))), client: unzipped(plainly("GET")), want: `
		> accepts ["gzip"]
		error none, uncompressed true, length -1
		encoding [], length []
		body of 1000000 bytes, ec21d64624228af3ecd4bd`},
	{name: "empty", handler: zips(zipped("")), client: unzipped(plainly("GET")), want: `
		> accepts ["gzip"]
		error none, uncompressed true, length -1
		encoding [], length []
		body ""`},
	{name: "asked for by the user", handler: zips(zipped("hello, gzip")), client: func(e *env) {
		res, err := e.client.Do(e.request("GET", "/", nil, "Accept-Encoding", "gzip"))
		e.note("error %s, uncompressed %v, encoding %q", kind(err), res.Uncompressed, res.Header["Content-Encoding"])
		z, err := gzip.NewReader(res.Body)
		e.note("error %s", kind(err))
		readAll(e.note, z)
		res.Body.Close()
	}, want: `
		> accepts ["gzip"]
		error none, uncompressed false, encoding ["gzip"]
		error none
		read "hello, gzip", error none`},
	{name: "not asked for with a range", handler: zips(zipped("hello, gzip")), client: unzipped(plainly("GET", "Range", "bytes=0-3")), want: `
		> accepts []
		error none, uncompressed false, length 5
		encoding [], length ["5"]
		body "plain"`},
	{name: "not asked for with HEAD", handler: zips(zipped("hello, gzip")), client: unzipped(plainly("HEAD")), want: `
		> accepts []
		error none, uncompressed false, length 5
		encoding [], length ["5"]
		body ""`},
	{name: "disabled", handler: zips(zipped("hello, gzip")), client: func(e *env) {
		e.disableCompression()
		unzipped(plainly("GET"))(e)
	}, want: `
		> accepts []
		error none, uncompressed false, length 5
		encoding [], length ["5"]
		body "plain"`},
	{name: "answer without", handler: func(e *env, w http.ResponseWriter, r *http.Request) { io.WriteString(w, "plain") },
		client: unzipped(plainly("GET")), want: `
		error none, uncompressed false, length 5
		encoding [], length ["5"]
		body "plain"`},
	{name: "of another encoding", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "br")
		io.WriteString(w, "not gzip")
	}, client: unzipped(plainly("GET")), want: `
		error none, uncompressed false, length 8
		encoding ["br"], length ["8"]
		body "not gzip"`},
	{name: "in capitals", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "GZIP")
		w.Write(zipped("hello"))
	}, client: unzipped(plainly("GET")), want: `
		error none, uncompressed true, length -1
		encoding [], length []
		body "hello"`},
	{name: "that is none", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		io.WriteString(w, "not gzip at all")
	}, client: unzipped(plainly("GET")), want: `
		error none, uncompressed true, length -1
		encoding [], length []
		body ""
		error: failed`},
	{name: "cut off", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Write(zipped("hello, gzip")[:15])
	}, client: unzipped(plainly("GET")), want: `
		error none, uncompressed true, length -1
		encoding [], length []
		body "hell"
		error: failed`},
	{name: "part by part", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		z := gzip.NewWriter(w)
		for i := range 3 {
			fmt.Fprint(z, i)
			z.Flush()
			e.flush(w)
		}
		z.Close()
	}, client: func(e *env) {
		res, err := e.client.Get(base)
		e.note("error %s", kind(err))
		p := make([]byte, 1)
		for range 3 {
			_, err := io.ReadFull(res.Body, p)
			e.note("%s, error %s", p, kind(err))
		}
		e.body(res)
	}, want: `
		error none
		0, error none
		1, error none
		2, error none
		body ""`},
	{name: "closed early", handler: zips(zipped(strings.Repeat("0123456789", 100_000))), client: func(e *env) {
		for range 2 {
			res, err := e.client.Get(base)
			p := make([]byte, 4)
			_, rerr := io.ReadFull(res.Body, p)
			e.note("error %s, %s, error %s, close %s", kind(err), p, kind(rerr), kind(res.Body.Close()))
		}
	}, want: `
		> accepts ["gzip"]
		> accepts ["gzip"]
		error none, 0123, error none, close none
		error none, 0123, error none, close none`},
	{name: "with trailers", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Trailer", "X-Sum")
		w.Write(zipped("hello"))
		w.Header().Set("X-Sum", "42")
	}, client: unzipped(plainly("GET")), want: `
		error none, uncompressed true, length -1
		encoding [], length []
		body "hello"
		trailer X-Sum: 42`, except: []exception{{on(spdy2), "trailers of SPDY/2", `
		error none, uncompressed true, length -1
		encoding [], length []
		body "hello"
		trailer X-Sum without a value`}}},
}
