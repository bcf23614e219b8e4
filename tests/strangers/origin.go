package strangers

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// chunk is the size of a write of a handler and of a read of an honest user.
const chunk = 16 << 10

// An origin is the handler behind a way. It serves honest users and strangers by path.
type origin struct {
	uploads []*transfer   // of the honest, by number
	up      *meter        // counts strangers that upload to handlers that read
	over    chan struct{} // latch: closed by the play when strangers must leave
	mux     *http.ServeMux
}

func newOrigin() *origin {
	o := &origin{over: make(chan struct{}), mux: http.NewServeMux()}
	o.mux.HandleFunc("/ok", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	o.mux.HandleFunc("/film", o.film)
	o.mux.HandleFunc("/keep", o.keep)
	o.mux.HandleFunc("/endless", o.endless)
	o.mux.HandleFunc("/wait", o.wait)
	o.mux.HandleFunc("/deaf", o.wait)
	o.mux.HandleFunc("/busy", o.busy)
	o.mux.HandleFunc("/sip", o.sip)
	o.mux.HandleFunc("/sink", func(w http.ResponseWriter, r *http.Request) {
		defer o.up.want()()
		io.Copy(io.Discard, r.Body)
	})
	o.mux.HandleFunc("/panic", func(w http.ResponseWriter, r *http.Request) { panic("as a stranger has asked") })
	o.mux.HandleFunc("/panic/late", func(w http.ResponseWriter, r *http.Request) {
		w.Write(make([]byte, 1<<10))
		panic("as a stranger has asked")
	})
	o.mux.HandleFunc("/early", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "enough") })
	o.mux.HandleFunc("/large", func(w http.ResponseWriter, r *http.Request) { w.Header().Set("X-Large", letters(12<<20)) })
	return o
}

// ServeHTTP implements http.Handler.
func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) { o.mux.ServeHTTP(w, r) }

// film replies with the first bytes of a pattern.
func (o *origin) film(w http.ResponseWriter, r *http.Request) {
	number, length := o.int(r, "number"), o.int(r, "bytes")
	w.Header().Set("Content-Length", strconv.Itoa(length))
	io.CopyBuffer(onlyWriter{w}, io.LimitReader(newPattern(number), int64(length)), make([]byte, chunk))
}

// onlyWriter hides ReadFrom, which allocates a buffer for each answer.
type onlyWriter struct{ io.Writer }

// keep reads an upload of an honest user and replies with the length.
func (o *origin) keep(w http.ResponseWriter, r *http.Request) {
	t := o.uploads[o.int(r, "number")]
	if err := t.receive(r.Body); err != nil {
		t.fail(err)
		panic(http.ErrAbortHandler)
	}
	fmt.Fprint(w, t.moved.Load())
}

// held is the size of the part of an endless response that the handler writes: larger than a stream
// window of this library, and smaller than the windows of HTTP/2.
const held = 1 << 20

// endless sends a part of a response and then waits until the client leaves. The response has a
// length, because ReverseProxy holds a mutex while it writes a response without a length, see
// letGo.
func (o *origin) endless(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", strconv.FormatInt(1<<40, 10))
	buf := make([]byte, chunk)
	for range held / chunk {
		if _, err := w.Write(buf); err != nil {
			return
		}
	}
	o.wait(w, r)
}

// wait neither replies nor reads until the client leaves.
func (o *origin) wait(w http.ResponseWriter, r *http.Request) {
	select {
	case <-r.Context().Done():
	case <-o.over:
	}
}

// busy runs for five seconds and ignores the request's context.
func (o *origin) busy(w http.ResponseWriter, r *http.Request) {
	timer := time.NewTimer(5 * time.Second)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-o.over:
	}
}

// sip reads a byte a second.
func (o *origin) sip(w http.ResponseWriter, r *http.Request) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		if _, err := r.Body.Read(make([]byte, 1)); err != nil {
			return
		}
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		case <-o.over:
			return
		}
	}
}

func (o *origin) int(r *http.Request, name string) int {
	n, err := strconv.Atoi(r.URL.Query().Get(name))
	if err != nil {
		panic(err) // a mistake of the suite
	}
	return n
}

var errWrongByte = errors.New("a wrong byte")
