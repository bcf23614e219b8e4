package parity

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// setHeader is a handler that sets headers, names and values in turn, and writes a text.
func setHeader(header ...string) handlerFunc {
	return func(e *env, w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Add(header[i], header[i+1])
		}
		io.WriteString(w, "text")
	}
}

var responseHeaderScenarios = []scenario{
	{name: "values in order", handler: setHeader("X-Many", "one", "X-Many", "two, three", "X-Many", "one"), want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		X-Many: one
		X-Many: two, three
		X-Many: one
		body "text"`},
	{name: "empty value", handler: setHeader("X-Empty", ""), want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		X-Empty:
		body "text"`},
	{name: "canonical names", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header()["x-lower"] = []string{"a"}
		w.Header()["X-UPPER"] = []string{"b"}
	}, want: `
		200 OK, length 0
		Content-Length: 0
		X-Lower: a
		X-Upper: b
		body ""`},
	{name: "white space around values", handler: setHeader("X-Padded", " \ta b\t "), want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		X-Padded: a b
		body "text"`, except: []exception{{on(http2), "white space", `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		X-Padded:  	a b
		body "text"`}}},
	{name: "bytes above ASCII", handler: setHeader("X-Binary", "\x80\xff"), client: func(e *env) {
		res, err := e.client.Get(base)
		e.note("error %s, %q", kind(err), res.Header.Get("X-Binary"))
		res.Body.Close()
	}, want: `
		error none, "\x80\xff"`},
	{name: "invalid name is left out", handler: setHeader("X Space", "a", "X-Good", "b"), want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		X-Good: b
		body "text"`},
	{name: "line break in a value", handler: setHeader("X-Split", "a\r\nX-Second: b", "X-Good", "b"), want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		X-Good: b
		body "text"`, except: []exception{{on(http1), "invalid value", `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		X-Good: b
		X-Split: a  X-Second: b
		body "text"`}}},
	{name: "header without values", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header()["X-Nothing"] = nil
		w.Header()["X-None"] = []string{}
	}, want: `
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "long value", handler: setHeader("X-Long", strings.Repeat("0123456789abcdef", 4000)), client: func(e *env) {
		res, err := e.client.Get(base)
		e.note("error %s, %d", kind(err), len(res.Header.Get("X-Long")))
		res.Body.Close()
	}, want: `
		error none, 64000`},
	{name: "many headers", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		for i := range 500 {
			w.Header().Set(fmt.Sprint("X-Number-", i), fmt.Sprint("v", i))
		}
	}, client: func(e *env) {
		res, err := e.client.Get(base)
		e.note("error %s, %d, %q", kind(err), len(res.Header)-2, res.Header["X-Number-321"])
		res.Body.Close()
	}, want: `
		error none, 500, ["v321"]`},
	{name: "changes after WriteHeader have no effect", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-A", "1")
		w.WriteHeader(http.StatusOK)
		w.Header().Set("X-A", "2")
		w.Header().Set("X-B", "3")
	}, want: `
		200 OK, length 0
		Content-Length: 0
		X-A: 1
		body ""`},
	{name: "changes after Write have no effect", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-A", "1")
		io.WriteString(w, "text")
		w.Header().Set("X-A", "2")
		w.Header().Set("X-B", "3")
	}, want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		X-A: 1
		body "text"`},
	{name: "changes after an empty Write have no effect", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Write(nil)
		w.Header().Set("X-A", "1")
	}, want: `
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "removed before WriteHeader", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-A", "1")
		w.Header().Del("X-A")
	}, want: `
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "own Date", handler: setHeader("Date", "Thu, 01 Jan 1970 00:00:00 GMT"), client: func(e *env) {
		res, err := e.client.Get(base)
		e.note("error %s, %q", kind(err), res.Header["Date"])
		res.Body.Close()
	}, want: `
		error none, ["Thu, 01 Jan 1970 00:00:00 GMT"]`},
	{name: "Date", handler: write("text"), client: func(e *env) {
		<-after(1e9)
		res, err := e.client.Get(base)
		e.note("error %s, %q", kind(err), res.Header["Date"])
		res.Body.Close()
	}, want: `
		error none, ["Sat, 01 Jan 2000 00:00:01 GMT"]`},
	{name: "no Date", handler: func(e *env, w http.ResponseWriter, r *http.Request) { w.Header()["Date"] = nil }, want: `
		200 OK, length 0
		Date []
		Content-Length: 0
		body ""`},
	{name: "hop-by-hop", handler: setHeader("Connection", "X-Hop", "X-Hop", "1", "Keep-Alive", "timeout=5", "Upgrade", "h9", "Proxy-Connection", "keep-alive"), want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		Proxy-Connection: keep-alive
		Upgrade: h9
		X-Hop: 1
		body "text"`, except: []exception{{on(spdy31), "hop-by-hop", `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`}}},
	{name: "Connection: close", handler: setHeader("Connection", "close"), client: func(e *env) {
		for range 2 {
			res, err := e.client.Get(base)
			e.note("error %s, %s, close: %v", kind(err), res.Status, res.Close)
			readAll(e.note, res.Body)
			res.Body.Close()
			<-after(2 * time.Second) // the end of the connection may follow the response
		}
		e.note("%d connections", e.dials())
	}, want: `
		error none, 200 OK, close: false
		read "text", error none
		error none, 200 OK, close: false
		read "text", error none
		2 connections`, except: []exception{{on(http1), "connection", `
		error none, 200 OK, close: true
		read "text", error none
		error none, 200 OK, close: true
		read "text", error none
		2 connections`}}},
	{name: "Connection: close, and other requests", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/close" {
			w.Header().Set("Connection", "close")
			return
		}
		ticks(5)(e, w, r)
	}, client: func(e *env) {
		slow := make(chan struct{})
		go func() {
			defer close(slow)
			e.get("/")
		}()
		<-after(1500 * time.Millisecond)
		e.get("/close")
		<-slow
	}, want: `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		200 OK, length 0
		Content-Length: 0
		body ""
		body "01234"`},
	{name: "Transfer-Encoding of the handler", handler: setHeader("Transfer-Encoding", "identity"), want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "text"`, except: []exception{{on(http1), "connection", `
		200 OK, length -1
		body "text"`}}},
	{name: "HTML", handler: write("<!DOCTYPE html><p>x"), want: `
		200 OK, length 19
		Content-Length: 19
		Content-Type: text/html; charset=utf-8
		body "<!DOCTYPE html><p>x"`},
	{name: "HTML in pieces", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		for _, piece := range []string{"", "<", "ht", "ml>", "<p>"} {
			n, err := io.WriteString(w, piece)
			e.saw("%d %v", n, err)
		}
	}, want: `
		> 0 <nil>
		> 1 <nil>
		> 2 <nil>
		> 3 <nil>
		> 3 <nil>
		200 OK, length 9
		Content-Length: 9
		Content-Type: text/html; charset=utf-8
		body "<html><p>"`},
	{name: "PNG", handler: write("\x89PNG\x0D\x0A\x1A\x0A"), want: `
		200 OK, length 8
		Content-Length: 8
		Content-Type: image/png
		body "\x89PNG\r\n\x1a\n"`},
	{name: "PDF", handler: write("%PDF-1.7"), want: `
		200 OK, length 8
		Content-Length: 8
		Content-Type: application/pdf
		body "%PDF-1.7"`},
	{name: "JSON is text", handler: write(`{"a": 1}`), want: `
		200 OK, length 8
		Content-Length: 8
		Content-Type: text/plain; charset=utf-8
		body "{\"a\": 1}"`},
	{name: "bytes", handler: write("\x00\x01\x02\x03"), want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type: application/octet-stream
		body "\x00\x01\x02\x03"`},
	{name: "sniffed from the first Flush", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "<ht")
		e.flush(w)
		io.WriteString(w, "ml>")
	}, want: `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "<html>"`},
	{name: "Flush before the body", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		e.flush(w)
		io.WriteString(w, "<html>")
	}, want: `
		200 OK, length -1
		body "<html>"`},
	{name: "sniffed from a long Write", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Write(slices.Concat([]byte("<html>"), pattern100K))
	}, want: `
		200 OK, length -1
		Content-Type: text/html; charset=utf-8
		body of 100006 bytes, 56d72d83690e8c163f482e7`},
	{name: "Content-Type of the handler", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-own")
		io.WriteString(w, "<html>")
	}, want: `
		200 OK, length 6
		Content-Length: 6
		Content-Type: application/x-own
		body "<html>"`},
	{name: "Content-Type suppressed", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Type"] = nil
		io.WriteString(w, "<html>")
	}, want: `
		200 OK, length 6
		Content-Length: 6
		body "<html>"`},
	{name: "not sniffed if encoded", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "br")
		io.WriteString(w, "<html>")
	}, want: `
		200 OK, length 6
		Content-Encoding: br
		Content-Length: 6
		body "<html>"`},
	{name: "empty body has no type", handler: func(e *env, w http.ResponseWriter, r *http.Request) { w.Write([]byte{}) }, want: `
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "Content-Length of a short answer", handler: write("12345"), want: `
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body "12345"`},
	{name: "Content-Length of 2048 bytes", handler: func(e *env, w http.ResponseWriter, r *http.Request) { w.Write(pattern100K[:2048]) }, want: `
		200 OK, length 2048
		Content-Length: 2048
		Content-Type: application/octet-stream
		body of 2048 bytes, 461054879342b76db0ccc552d`},
	{name: "no Content-Length of a longer answer", handler: func(e *env, w http.ResponseWriter, r *http.Request) { w.Write(pattern100K[:3000]) }, want: `
		200 OK, length 3000
		Content-Length: 3000
		Content-Type: application/octet-stream
		body of 3000 bytes, 461505f06f1b11a825365d8c5`, except: []exception{{on(http1), "buffer", `
		200 OK, length -1
		Content-Type: application/octet-stream
		body of 3000 bytes, 461505f06f1b11a825365d8c5`}}},
	{name: "no Content-Length of a long answer", handler: func(e *env, w http.ResponseWriter, r *http.Request) { w.Write(pattern100K) }, want: `
		200 OK, length -1
		Content-Type: application/octet-stream
		body of 100000 bytes, b4bf20e88b8f5fe92ddae8e`},
	{name: "Content-Length of the handler", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100000")
		w.Write(pattern100K)
	}, want: `
		200 OK, length 100000
		Content-Length: 100000
		Content-Type: application/octet-stream
		body of 100000 bytes, b4bf20e88b8f5fe92ddae8e`},
	{name: "Content-Length nil", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Length"] = nil
		io.WriteString(w, "12345")
	}, want: `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "12345"`},
	{name: "more than Content-Length", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "5")
		n, err := io.WriteString(w, "12345")
		e.saw("%d, error %s", n, kind(err))
		n, err = io.WriteString(w, "6")
		e.saw("%d, error %s", n, kind(err))
	}, want: `
		> 5, error none
		> 0, error http: wrote more than the declared Content-Length
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body "12345"`, except: []exception{{on(http2), "too much", `
		> 5, error none
		> 1, error none
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body "12345"
		error: failed`}}},
	{name: "less than Content-Length", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "50")
		io.WriteString(w, "12345")
		e.flush(w)
	}, want: `
		200 OK, length 50
		Content-Length: 50
		Content-Type: text/plain; charset=utf-8
		body "12345"
		error: failed`},
	{name: "less than Content-Length, not flushed", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "50")
		io.WriteString(w, "12345")
	}, want: `
		200 OK, length 50
		Content-Length: 50
		Content-Type: text/plain; charset=utf-8
		body "12345"
		error: failed`},
	{name: "nothing of a Content-Length", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "50")
	}, want: `
		200 OK, length 50
		Content-Length: 50
		body ""
		error: failed`},
	{name: "Content-Length that is no number", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "five")
		io.WriteString(w, "12345")
	}, want: `
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body "12345"`, except: []exception{{on(http1), "bad length", `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "12345"`}}},
	{name: "negative Content-Length", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "-5")
		io.WriteString(w, "12345")
	}, want: `
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body "12345"`, except: []exception{{on(http1), "bad length", `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "12345"`}}},
	{name: "Content-Length 0", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "0")
		_, err := io.WriteString(w, "1")
		e.saw("error %s", kind(err))
	}, want: `
		> error http: wrote more than the declared Content-Length
		200 OK, length 0
		Content-Length: 0
		body ""`, except: []exception{{on(http2), "too much", `
		> error none
		200 OK, length 0
		Content-Length: 0
		Content-Type: text/plain; charset=utf-8
		body ""
		error: failed`}}},
	{name: "fields of the answer", handler: write("text"), client: func(e *env) {
		res, err := e.client.Get(base)
		e.note("error %s, %q %d.%d", kind(err), res.Proto, res.ProtoMajor, res.ProtoMinor)
		e.note("TLS %v %v, request %s, uncompressed %v", res.TLS != nil, res.TLS.HandshakeComplete, res.Request.URL, res.Uncompressed)
		res.Body.Close()
	}, want: `
		error none, "HTTP/1.1" 1.1
		TLS true true, request https://example.com, uncompressed false`, except: []exception{{on(http2), "version", `
		error none, "HTTP/2.0" 2.0
		TLS true true, request https://example.com, uncompressed false`}}},
	{name: "Transfer-Encoding of the answer", handler: func(e *env, w http.ResponseWriter, r *http.Request) { w.Write(pattern100K) }, client: func(e *env) {
		res, err := e.client.Get(base)
		e.note("error %s, %q", kind(err), res.TransferEncoding)
		res.Body.Close()
	}, want: `
		error none, []`, except: []exception{{on(http1), "connection", `
		error none, ["chunked"]`}}},
}
