package parity

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// A handlerFunc handles requests and notes what it sees.
type handlerFunc = func(e *env, w http.ResponseWriter, r *http.Request)

// write is a handler that writes a text.
func write(text string) handlerFunc {
	return func(e *env, w http.ResponseWriter, r *http.Request) { io.WriteString(w, text) }
}

// serve is the handler h, for those that need no env.
func serve(h http.Handler) handlerFunc {
	return func(e *env, w http.ResponseWriter, r *http.Request) { h.ServeHTTP(w, r) }
}

// sees is a handler that notes the request line, and what f says of the request.
func sees(f func(r *http.Request) any) handlerFunc {
	return func(e *env, w http.ResponseWriter, r *http.Request) {
		e.saw("%v", f(r))
		w.WriteHeader(http.StatusNoContent)
	}
}

// get is a client that shows the answer to a GET.
func get(path string, header ...string) func(e *env) {
	return func(e *env) { e.get(path, header...) }
}

// send is a client that shows the answer to a request with a body of known length, or
// with none if it is "".
func send(method, path, body string, header ...string) func(e *env) {
	return func(e *env) {
		var r io.Reader
		if body != "" {
			r = strings.NewReader(body)
		}
		e.show(e.request(method, path, r, header...))
	}
}

// edited is a client that shows the answer to a GET of / after f has changed it.
func edited(f func(r *http.Request)) func(e *env) {
	return func(e *env) {
		req := e.request("GET", "/", nil)
		f(req)
		e.show(req)
	}
}

// seenHeader is the header of a request without what names the program that sent it.
func seenHeader(r *http.Request) any {
	h := r.Header.Clone()
	h.Del("User-Agent")
	h.Del("Accept-Encoding")
	return headerText(h)
}

// unsized hides the length of a reader, and everything but Read.
func unsized(r io.Reader) io.Reader { return struct{ io.Reader }{r} }

// pattern is n bytes that do not repeat soon.
func pattern(n int) []byte {
	block := sha256.Sum256([]byte("parity"))
	out := make([]byte, 0, n+len(block))
	for len(out) < n {
		block = sha256.Sum256(block[:])
		out = append(out, block[:]...)
	}
	return out[:n]
}

// patterns are made once.
var (
	pattern100K = pattern(100_000)
	pattern8M   = bytes.Repeat(pattern(1<<16+1), 128)[:8<<20]
)

// after returns a channel that is ready in d of the bubble's time.
func after(d time.Duration) <-chan time.Time { return time.NewTimer(d).C }

// readAll notes what reading a body to its end brings.
func readAll(note func(string, ...any), body io.Reader) {
	b, err := io.ReadAll(body)
	note("read %s, error %s", bytesText(b), kind(err))
}

// flush flushes an answer and notes an error.
func (e *env) flush(w http.ResponseWriter) {
	if err := http.NewResponseController(w).Flush(); err != nil {
		e.saw("flush: %s", kind(err))
	}
}

// A body is a request body that remembers whether it was closed.
type body struct {
	io.Reader
	closed chan struct{}
}

func newBody(r io.Reader) *body { return &body{Reader: r, closed: make(chan struct{}, 8)} }

func (b *body) Close() error {
	b.closed <- struct{}{}
	return nil
}

// brokenReader gives a text and, a second later, fails.
func brokenReader(text string) io.Reader {
	return io.MultiReader(strings.NewReader(text), failing{})
}

// late is empty, but takes a second to say so.
type late struct{}

func (late) Read([]byte) (int, error) {
	<-after(time.Second)
	return 0, io.EOF
}

type failing struct{}

func (failing) Read([]byte) (int, error) {
	<-after(time.Second)
	return 0, fmt.Errorf("reader failed")
}

// wrapped is a ResponseWriter of some middleware.
type wrapped struct{ http.ResponseWriter }

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// opaque is a ResponseWriter that shows nothing of what it wraps.
type opaque struct{ http.ResponseWriter }

// on lists protocols for an exception.
func on(names ...string) []string { return names }
