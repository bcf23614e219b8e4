package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/shown"
)

// An accessLog prints a line for each request after the response.
type accessLog struct {
	next http.Handler
	out  io.Writer
	now  func() time.Time
}

// ServeHTTP calls the next handler. A handler that panics is logged too.
func (a *accessLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begun := a.now()
	answer := &loggedAnswer{ResponseWriter: w}
	defer func() {
		status := "-" // no response was sent
		if answer.status != 0 {
			status = fmt.Sprint(answer.status)
		}
		now := a.now()
		_, _ = fmt.Fprintf(a.out, "%s %s %s %s %s %s %d %s\n", now.Format(time.RFC3339), r.RemoteAddr, protocolOf(w, r),
			shortened(r.Method), logged(r.URL.RequestURI()), status, answer.n, elapsed(now.Sub(begun)))
	}()
	a.next.ServeHTTP(answer, r)
	if answer.status == 0 {
		answer.status = http.StatusOK
	}
}

// longestWord is the maximum number of shown bytes of a method and of a path. A few bytes on the
// wire can make them a megabyte long.
const longestWord = 1000

// shortened makes text from the network a single printable word.
func shortened(text string) string {
	text, more := text[:min(len(text), longestWord)], len(text)-longestWord
	text = strings.ReplaceAll(shown.Printable(text), " ", `\x20`)
	if more > 0 {
		text += fmt.Sprintf("[%d-bytes-more]", more)
	}
	return text
}

// logged makes a URL a single printable word, without the query, which may contain secrets.
func logged(uri string) string {
	path, query, found := strings.Cut(uri, "?")
	path = shortened(path)
	if found {
		path += fmt.Sprintf("?[%d-bytes]", len(query))
	}
	return path
}

// protocolOf names the protocol of a request: with TLS the negotiated protocol; else "spdy", since
// the dialect is unknown, or the version of HTTP.
func protocolOf(w http.ResponseWriter, r *http.Request) string {
	switch {
	case r.TLS != nil && r.TLS.NegotiatedProtocol != "":
		return r.TLS.NegotiatedProtocol
	case overSPDY(w):
		return "spdy"
	}
	return strings.ToLower(shown.Printable(r.Proto))
}

func overSPDY(w http.ResponseWriter) bool {
	_, ok := w.(*spdy.Stream)
	return ok
}

// A loggedAnswer records the status and the size of a response.
type loggedAnswer struct {
	http.ResponseWriter
	status int
	n      int64
}

// WriteHeader records the status.
func (l *loggedAnswer) WriteHeader(status int) {
	if l.status == 0 && status >= 200 {
		l.status = status
	}
	l.ResponseWriter.WriteHeader(status)
}

// Write counts bytes.
func (l *loggedAnswer) Write(p []byte) (int, error) {
	n, err := l.ResponseWriter.Write(p)
	l.wrote(int64(n))
	return n, err
}

// ReadFrom counts bytes, and leaves the copying to the underlying writer, which may have a faster
// way.
func (l *loggedAnswer) ReadFrom(r io.Reader) (int64, error) {
	n, err := io.Copy(l.ResponseWriter, r)
	l.wrote(n)
	return n, err
}

func (l *loggedAnswer) wrote(n int64) {
	if l.status == 0 {
		l.status = http.StatusOK
	}
	l.n += n
}

// Unwrap gives an http.ResponseController access to the underlying writer.
func (l *loggedAnswer) Unwrap() http.ResponseWriter { return l.ResponseWriter }

// spdyOnly rejects clients of HTTP/1.1 with a response in HTTP/1.1.
func spdyOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		under := w
		if l, ok := w.(*loggedAnswer); ok {
			under = l.ResponseWriter
		}
		if overSPDY(under) {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Connection", "close")
		http.Error(w, "This server speaks SPDY only.", http.StatusHTTPVersionNotSupported)
	})
}
