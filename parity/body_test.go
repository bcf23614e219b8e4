package parity

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// reads is a handler that reads the whole body and says what came.
func reads(e *env, w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	e.saw("length %d, read %s, error %s", r.ContentLength, bytesText(b), kind(err))
	fmt.Fprintf(w, "%d", len(b))
}

// sends is a client that posts a body and says whether, in the end, it was closed.
func sends(length int64, r func() io.Reader) func(e *env) {
	return func(e *env) {
		b := newBody(r())
		req := e.request("POST", "/", b)
		req.ContentLength = length
		res, err := e.client.Transport.RoundTrip(req)
		if err != nil {
			e.note("fails")
		} else {
			e.note("%s", res.Status)
			e.body(res)
		}
		<-b.closed
		e.note("body closed")
	}
}

func text(s string) func() io.Reader {
	return func() io.Reader { return strings.NewReader(s) }
}

var bodyScenarios = []scenario{
	{name: "of known length", handler: reads, client: sends(5, text("hello")), want: `
		> length 5, read "hello", error none
		200 OK
		body "5"
		body closed`},
	{name: "of unknown length", handler: reads, client: sends(-1, text("hello")), want: `
		> length -1, read "hello", error none
		200 OK
		body "5"
		body closed`},
	{name: "of unknown length that is empty", handler: reads, client: sends(-1, text("")), want: `
		> length -1, read "", error none
		200 OK
		body "0"
		body closed`},
	{name: "length 0 means unknown", handler: reads, client: sends(0, text("hello")), want: `
		> length -1, read "hello", error none
		200 OK
		body "5"
		body closed`},
	{name: "NoBody", handler: reads, client: func(e *env) { e.show(e.request("POST", "/", http.NoBody)) }, want: `
		> length 0, read "", error none
		200 OK, length 1
		Content-Length: 1
		Content-Type: text/plain; charset=utf-8
		body "0"`},
	{name: "shorter than its length", handler: reads, client: sends(10, func() io.Reader {
		return io.MultiReader(strings.NewReader("hello"), late{})
	}), want: `
		> length 10, read "hello", error failed
		fails
		body closed`, except: []exception{{on(http2), "short upload", `
		> length 10, read "hello", error failed
		200 OK
		body "5"
		body closed`}}},
	{name: "longer than its length", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
	}, client: sends(3, text("hello")), want: `
		fails
		body closed`},
	{name: "that fails", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		e.saw("read %q, fails: %v", b, err != nil)
	}, client: sends(-1, func() io.Reader { return brokenReader("hello") }), want: `
		> read "hello", fails: true
		fails
		body closed`},
	{name: "that fails behind the begin of the answer", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		e.flush(w)
		<-after(2 * time.Second)
		io.WriteString(w, "answer")
	}, client: func(e *env) {
		out, in := io.Pipe()
		res, err := e.client.Do(e.request("POST", "/", out))
		e.note("error %s", kind(err))
		io.WriteString(in, "hello")
		<-after(time.Second)
		in.CloseWithError(errors.New("broken"))
		e.body(res)
	}, want: `
		error none
		body ""
		error: failed`, except: []exception{{on(spdy31), "failing upload", `
		error none
		body "answer"`}}},
	{name: "length without a body", handler: reads, client: edited(func(r *http.Request) { r.Method, r.ContentLength = "POST", 5 }), want: `
		error: failed`, except: []exception{{on(http2), "length without body", `
		> length 0, read "", error none
		200 OK, length 1
		Content-Length: 1
		Content-Type: text/plain; charset=utf-8
		body "0"`}}},
	{name: "closed when the answer comes first", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "early")
	}, client: sends(-1, text("hello")), want: `
		200 OK
		body "early"
		body closed`},
	{name: "read byte by byte", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		var got []byte
		for p := make([]byte, 1); ; {
			n, err := r.Body.Read(p)
			got = append(got, p[:n]...)
			if err != nil {
				e.saw("%s, then %s", got, kind(err))
				return
			}
		}
	}, client: send("POST", "/", "hello"), want: `
		> hello, then EOF
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "read after its end", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		readAll(e.saw, r.Body)
		n, err := r.Body.Read(make([]byte, 1))
		e.saw("%d, error %s", n, kind(err))
		readAll(e.saw, r.Body)
	}, client: send("POST", "/", "hello"), want: `
		> read "hello", error none
		> 0, error EOF
		> read "", error none
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "read after Close", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		e.saw("close: %s", kind(r.Body.Close()))
		n, err := r.Body.Read(make([]byte, 1))
		e.saw("%d, error %s", n, kind(err))
		e.saw("close: %s", kind(r.Body.Close()))
		io.WriteString(w, "answered all the same")
	}, client: send("POST", "/", "hello"), want: `
		> close: none
		> 0, error http: invalid Read on closed Body
		> close: none
		200 OK, length 21
		Content-Length: 21
		Content-Type: text/plain; charset=utf-8
		body "answered all the same"`, except: []exception{{on(http2), "closed body", `
		> close: none
		> 0, error failed
		> close: none
		200 OK, length 21
		Content-Length: 21
		Content-Type: text/plain; charset=utf-8
		body "answered all the same"`}}},
	{name: "read in part", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		p := make([]byte, 3)
		_, err := io.ReadFull(r.Body, p)
		e.saw("%x, error %s", p, kind(err))
	}, client: func(e *env) {
		e.show(e.request("POST", "/", bytes.NewReader(pattern100K)))
		e.show(e.request("POST", "/", strings.NewReader("next")))
	}, want: `
		> 321f66, error none
		> 6e6578, error none
		200 OK, length 0
		Content-Length: 0
		body ""
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "empty Read", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		n, err := r.Body.Read(nil)
		e.saw("%d, error %s", n, kind(err))
		readAll(e.saw, r.Body)
	}, client: send("POST", "/", "hello"), want: `
		> 0, error none
		> read "hello", error none
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "read before and after the answer begins", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		e.saw("full duplex: %s", kind(http.NewResponseController(w).EnableFullDuplex()))
		p := make([]byte, 2)
		io.ReadFull(r.Body, p)
		fmt.Fprintf(w, "%s,", p)
		e.flush(w)
		rest, err := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s,%s", rest, kind(err))
	}, client: send("POST", "/", "hello"), want: `
		> full duplex: none
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "he,llo,none"`},
	{name: "in turns with the answer", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		e.flush(w)
		p := make([]byte, 1)
		for {
			if _, err := io.ReadFull(r.Body, p); err != nil {
				e.saw("%s", kind(err))
				return
			}
			w.Write(bytes.ToUpper(p))
			e.flush(w)
		}
	}, client: func(e *env) {
		out, in := io.Pipe()
		res, err := e.client.Do(e.request("POST", "/", out))
		e.note("error %s", kind(err))
		p := make([]byte, 1)
		for _, c := range "turns" {
			fmt.Fprintf(in, "%c", c)
			_, err := io.ReadFull(res.Body, p)
			e.note("%s, error %s", p, kind(err))
		}
		in.Close()
		e.body(res)
	}, want: `
		> EOF
		error none
		T, error none
		U, error none
		R, error none
		N, error none
		S, error none
		body ""`},
	{name: "answer read after its end", handler: write("hello"), client: func(e *env) {
		res, _ := e.client.Get(base)
		readAll(e.note, res.Body)
		n, err := res.Body.Read(make([]byte, 1))
		e.note("%d, error %s", n, kind(err))
		res.Body.Close()
	}, want: `
		read "hello", error none
		0, error EOF`},
	{name: "answer read after Close", handler: write("hello"), client: func(e *env) {
		res, _ := e.client.Get(base)
		e.note("close: %s", kind(res.Body.Close()))
		n, err := res.Body.Read(make([]byte, 1))
		e.note("%d, fails %v", n, err != nil)
		e.note("close: %s", kind(res.Body.Close()))
	}, want: `
		close: none
		0, fails true
		close: none`},
	{name: "answer closed twice at its end", handler: write("hello"), client: func(e *env) {
		res, _ := e.client.Get(base)
		readAll(e.note, res.Body)
		e.note("close: %s %s", kind(res.Body.Close()), kind(res.Body.Close()))
	}, want: `
		read "hello", error none
		close: none none`},
	{name: "answer is never nil", handler: noBody(http.StatusNoContent), client: func(e *env) {
		res, _ := e.client.Head(base)
		e.note("%v", res.Body != nil)
		readAll(e.note, res.Body)
		res.Body.Close()
	}, want: `
		> wrote 0, error http: request method or response status code does not allow body
		> wrote 0, error none
		true
		read "", error none`, except: []exception{{on(http2), "no body", `
		> wrote 0, error http: request method or response status code does not allow body
		> wrote 0, error http: request method or response status code does not allow body
		true
		read "", error none`}}},
	{name: "answer closed early, next request", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Write(pattern100K)
	}, client: func(e *env) {
		for range 3 {
			res, err := e.client.Get(base)
			e.note("error %s", kind(err))
			p := make([]byte, 10)
			_, err = io.ReadFull(res.Body, p)
			e.note("%x, error %s, close %s", p, kind(err), kind(res.Body.Close()))
		}
	}, want: `
		error none
		321f667b1eea4b033b6e, error none, close none
		error none
		321f667b1eea4b033b6e, error none, close none
		error none
		321f667b1eea4b033b6e, error none, close none`},
	{name: "io.Copy of a file to the answer", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(w, bytes.NewReader(pattern100K))
		e.saw("%d, error %s", n, kind(err))
	}, want: `
		> 100000, error none
		200 OK, length -1
		Content-Type: application/octet-stream
		body of 100000 bytes, b4bf20e88b8f5fe92ddae8e`},
	{name: "io.Copy of a reader that fails", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(w, brokenReader("hello"))
		e.saw("%d, error %v", n, err)
	}, want: `
		> 5, error reader failed
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body "hello"`},
	{name: "ReadFrom", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		from, ok := w.(io.ReaderFrom)
		e.saw("%v", ok)
		if ok {
			n, err := from.ReadFrom(strings.NewReader("hello"))
			e.saw("%d, error %s", n, kind(err))
		}
	}, want: `
		> true
		> 5, error none
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body "hello"`, except: []exception{{on(http2), "ReaderFrom", `
		> false
		200 OK, length 0
		Content-Length: 0
		body ""`}}},
	{name: "WriteString", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		n, err := w.(io.StringWriter).WriteString("hello")
		e.saw("%d, error %s", n, kind(err))
	}, want: `
		> 5, error none
		200 OK, length 5
		Content-Length: 5
		Content-Type: text/plain; charset=utf-8
		body "hello"`},
	{name: "echo of unknown length", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		io.Copy(w, r.Body)
	}, client: func(e *env) {
		e.show(e.request("POST", "/", unsized(bytes.NewReader(pattern100K)), "Content-Type", "x/y"))
	}, want: `
		200 OK, length -1
		Content-Type: x/y
		body of 100000 bytes, b4bf20e88b8f5fe92ddae8e`},
	{name: "write after the handler has returned", handler: func() handlerFunc {
		left := make(map[*env]http.ResponseWriter)
		return func(e *env, w http.ResponseWriter, r *http.Request) {
			if first := left[e]; first != nil {
				_, err := io.WriteString(first, "late")
				e.saw("fails: %v", err != nil)
				return
			}
			left[e] = w
		}
	}(), client: func(e *env) { e.get("/1"); e.get("/2") }, want: `
		> fails: true
		200 OK, length 0
		Content-Length: 0
		body ""
		200 OK, length 0
		Content-Length: 0
		body ""`, except: []exception{{on(http2), "late Write", `
		200 OK, length 0
		Content-Length: 0
		body ""
		error: failed`}}},
	{name: "body read after the handler has returned", handler: func() handlerFunc {
		left := make(map[*env]io.Reader)
		return func(e *env, w http.ResponseWriter, r *http.Request) {
			if first := left[e]; first != nil {
				_, err := first.Read(make([]byte, 1))
				// Over HTTP/2 the read may or may not be in time for the last bytes.
				e.saw("refused as closed: %v", errors.Is(err, http.ErrBodyReadAfterClose))
				return
			}
			left[e] = r.Body
		}
	}(), client: func(e *env) {
		send("POST", "/1", "text")(e)
		e.get("/2")
	}, want: `
		> refused as closed: true
		200 OK, length 0
		Content-Length: 0
		body ""
		200 OK, length 0
		Content-Length: 0
		body ""`, except: []exception{{on(http2), "closed body", `
		> refused as closed: false
		200 OK, length 0
		Content-Length: 0
		body ""
		200 OK, length 0
		Content-Length: 0
		body ""`}}},
}

var trailerScenarios = []scenario{
	{name: "announced", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum, X-Unset")
		w.Header().Add("Trailer", "X-Other")
		io.WriteString(w, "body")
		e.flush(w)
		w.Header().Set("X-Sum", "42")
		w.Header()["X-Other"] = []string{"a", "b"}
		w.Header().Set("X-Unannounced", "no")
	}, want: `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "body"
		trailer X-Other: a
		trailer X-Other: b
		trailer X-Sum: 42
		trailer X-Unset without a value`, except: []exception{{on(spdy2), "trailers of SPDY/2", `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "body"
		trailer X-Other without a value
		trailer X-Sum without a value
		trailer X-Unset without a value`}}},
	{name: "of a short body", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "body")
		w.Header().Set("X-Sum", "42")
	}, want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "body"
		trailer X-Sum: 42`, except: []exception{{on(http1), "length and trailers", `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "body"
		trailer X-Sum: 42`}, {on(spdy2), "trailers of SPDY/2", `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body "body"
		trailer X-Sum without a value`}}},
	{name: "of no body", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		w.WriteHeader(http.StatusAccepted)
		w.Header().Set("X-Sum", "42")
	}, want: `
		202 Accepted, length 0
		Content-Length: 0
		body ""
		trailer X-Sum: 42`, except: []exception{{on(http1), "length and trailers", `
		202 Accepted, length -1
		body ""
		trailer X-Sum: 42`}}},
	{name: "by TrailerPrefix", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "body")
		e.flush(w)
		w.Header().Set(http.TrailerPrefix+"X-Sum", "42")
	}, want: `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "body"
		trailer X-Sum: 42`, except: []exception{{on(spdy2), "trailers of SPDY/2", `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "body"`}}},
	{name: "keys before, values after the body", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "body")
		e.flush(w)
		w.Header().Set("X-Sum", "42")
	}, client: func(e *env) {
		res, err := e.client.Get(base)
		e.note("error %s, %q, header %q", kind(err), res.Trailer, res.Header["Trailer"])
		readAll(e.note, res.Body)
		e.note("%q", res.Trailer)
		res.Body.Close()
	}, want: `
		error none, map["X-Sum":[]], header []
		read "body", error none
		map["X-Sum":["42"]]`, except: []exception{{on(spdy2), "trailers of SPDY/2", `
		error none, map["X-Sum":[]], header []
		read "body", error none
		map["X-Sum":[]]`}}},
	{name: "that may not be one", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "Content-Length, X-Sum")
		io.WriteString(w, "body")
		e.flush(w)
		w.Header().Set("X-Sum", "42")
		w.Header().Set("Content-Length", "4")
	}, want: `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "body"
		trailer X-Sum: 42`, except: []exception{{on(http1), "forbidden trailers", `
		error: failed`}, {on(http2), "forbidden trailers", `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "body"
		trailer Content-Length without a value
		trailer X-Sum: 42`}, {on(spdy2), "trailers of SPDY/2", `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		body "body"
		trailer X-Sum without a value`}}},
	{name: "set before the body is a header too", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		w.Header().Set("X-Sum", "early")
		io.WriteString(w, "body")
		e.flush(w)
		w.Header().Set("X-Sum", "late")
	}, want: `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		X-Sum: early
		body "body"
		trailer X-Sum: late`, except: []exception{{on(spdy2), "trailers of SPDY/2", `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		X-Sum: early
		body "body"
		trailer X-Sum without a value`}}},
	{name: "after a long body", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		w.Write(pattern100K)
		w.Header().Set("X-Sum", "42")
	}, want: `
		200 OK, length -1
		Content-Type: application/octet-stream
		body of 100000 bytes, b4bf20e88b8f5fe92ddae8e
		trailer X-Sum: 42`, except: []exception{{on(spdy2), "trailers of SPDY/2", `
		200 OK, length -1
		Content-Type: application/octet-stream
		body of 100000 bytes, b4bf20e88b8f5fe92ddae8e
		trailer X-Sum without a value`}}},
	{name: "answer without", handler: write("body"), client: func(e *env) {
		res, _ := e.client.Get(base)
		readAll(e.note, res.Body)
		e.note("%v", res.Trailer == nil)
		res.Body.Close()
	}, want: `
		read "body", error none
		true`},
	{name: "of HEAD", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.WriteString(w, "body")
		w.Header().Set("X-Sum", "42")
	}, client: send("HEAD", "/", ""), want: `
		200 OK, length 4
		Content-Length: 4
		Content-Type: text/plain; charset=utf-8
		body ""
		trailer X-Sum without a value`, except: []exception{{on(http1), "trailers of HEAD", `
		200 OK, length -1
		Content-Type: text/plain; charset=utf-8
		Trailer: X-Sum
		body ""`}}},
	{name: "of a request", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		e.saw("%q, header %q", r.Trailer, r.Header["Trailer"])
		readAll(e.saw, r.Body)
		e.saw("%q", r.Trailer)
	}, client: func(e *env) {
		req := e.request("POST", "/", unsized(strings.NewReader("body")))
		req.Trailer = http.Header{"X-Sum": {"42"}, "X-Other": {"a", "b"}}
		e.show(req)
	}, want: `
		> map["X-Other":[] "X-Sum":[]], header []
		> read "body", error none
		> map["X-Other":["a" "b"] "X-Sum":["42"]]
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "of a request, set while the body is read", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		readAll(e.saw, r.Body)
		e.saw("%q", r.Trailer)
	}, client: func(e *env) {
		req := e.request("POST", "/", nil)
		req.Trailer = http.Header{"X-Sum": nil}
		out, in := io.Pipe()
		req.Body, req.ContentLength = out, -1
		go func() {
			io.WriteString(in, "body")
			req.Trailer.Set("X-Sum", "42")
			in.Close()
		}()
		e.show(req)
	}, want: `
		> read "body", error none
		> map["X-Sum":["42"]]
		200 OK, length 0
		Content-Length: 0
		body ""`},
	{name: "of a request that may not be one", handler: reads, client: func(e *env) {
		req := e.request("POST", "/", unsized(strings.NewReader("body")))
		req.Trailer = http.Header{"Content-Length": {"42"}}
		e.show(req)
	}, want: `
		error: failed`},
	{name: "request without", handler: func(e *env, w http.ResponseWriter, r *http.Request) {
		readAll(e.saw, r.Body)
		e.saw("%v", r.Trailer == nil)
	}, client: send("POST", "/", "body"), want: `
		> read "body", error none
		> true
		200 OK, length 0
		Content-Length: 0
		body ""`},
}
