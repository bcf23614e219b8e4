package spdy

import (
	"bytes"
	"fmt"
	"net/http"
)

// A ResponseRecorder is an http.ResponseWriter that records the response, for tests and for
// programs that need the complete answer. The zero value is ready for use; without a Body it
// discards the written bytes. A ResponseRecorder is not safe for concurrent use.
type ResponseRecorder struct {
	// Code is the status of the answer: the argument of WriteHeader, or 200 if Write or Flush was
	// called first. Before any of these calls Code is 200 in a recorder of NewRecorder and 0 in a
	// zero recorder.
	Code int

	// HeaderMap is the result of Header. It is made when first needed.
	HeaderMap http.Header

	// Body receives the written bytes. If Body is nil, they are discarded.
	Body *bytes.Buffer

	// Flushed is true once Flush has been called.
	Flushed bool

	wroteHeader bool
}

var (
	_ http.ResponseWriter = (*ResponseRecorder)(nil)
	_ http.Flusher        = (*ResponseRecorder)(nil)
)

// NewRecorder returns a recorder that records the body.
func NewRecorder() *ResponseRecorder {
	return &ResponseRecorder{
		Code:      http.StatusOK,
		HeaderMap: make(http.Header),
		Body:      new(bytes.Buffer),
	}
}

// Header returns the headers of the answer, to be changed by the caller.
func (r *ResponseRecorder) Header() http.Header {
	if r.HeaderMap == nil {
		r.HeaderMap = make(http.Header)
	}
	return r.HeaderMap
}

// WriteHeader sets the status unless it is already set. Interim statuses below 200 other than 101
// are not the answer and are ignored. Like every http.ResponseWriter of net/http, WriteHeader
// panics if it would set a code that does not have three digits.
func (r *ResponseRecorder) WriteHeader(code int) {
	if r.wroteHeader {
		return
	}
	if code < 100 || code > 999 {
		panic(fmt.Sprintf("invalid WriteHeader code %d", code))
	}
	if code < 200 && code != http.StatusSwitchingProtocols {
		return
	}
	r.Code = code
	r.wroteHeader = true
}

// Write appends to the body. If no status or Content-Type is set, Write first sets the status to
// 200 and guesses a Content-Type. If the answer cannot have a body, Write returns
// http.ErrBodyNotAllowed.
func (r *ResponseRecorder) Write(p []byte) (int, error) {
	r.start(p)
	if !bodyAllowed(r.Code) {
		return 0, http.ErrBodyNotAllowed
	}
	if r.Body != nil {
		return r.Body.Write(p)
	}
	return len(p), nil
}

// WriteString is Write for a string.
func (r *ResponseRecorder) WriteString(s string) (int, error) {
	const sniffed = 512 // all that http.DetectContentType considers
	if !r.wroteHeader {
		r.start([]byte(s[:min(len(s), sniffed)]))
	}
	if !bodyAllowed(r.Code) {
		return 0, http.ErrBodyNotAllowed
	}
	if r.Body != nil {
		return r.Body.WriteString(s)
	}
	return len(s), nil
}

// start completes the head of the answer before the first byte of the body.
func (r *ResponseRecorder) start(p []byte) {
	if r.wroteHeader {
		return
	}
	h := r.Header()
	if _, ok := h["Content-Type"]; !ok && h.Get("Transfer-Encoding") == "" {
		h.Set("Content-Type", http.DetectContentType(p))
	}
	r.WriteHeader(http.StatusOK)
}

// Flush implements http.Flusher: it sets Flushed, and sets the status to 200 if none is set.
func (r *ResponseRecorder) Flush() {
	if !r.wroteHeader {
		r.WriteHeader(http.StatusOK)
	}
	r.Flushed = true
}
