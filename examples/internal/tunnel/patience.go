package tunnel

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A patience ends when an origin has not begun its answer in time. The time counts
// from the last sign of life of the request, so that a long upload is not too late.
type patience struct {
	limit time.Duration

	mu    sync.Mutex
	timer *time.Timer
	over  bool // the answer has begun
}

func newPatience(limit time.Duration, expire func()) *patience {
	return &patience{limit: limit, timer: time.AfterFunc(limit, expire)}
}

// renew begins anew to wait.
func (p *patience) renew() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		p.timer.Reset(p.limit)
	}
}

// end stops waiting.
func (p *patience) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	p.timer.Stop()
}

// A watchedBody is the body of a request; to read it is a sign of life.
type watchedBody struct {
	io.ReadCloser
	limit *patience
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.limit.renew()
	return n, err
}

// A watchedWriter notes when the answer begins, and counts its bytes.
type watchedWriter struct {
	http.ResponseWriter
	limit *patience
	bytes *atomic.Int64
}

func (w *watchedWriter) WriteHeader(status int) {
	w.limit.end()
	w.ResponseWriter.WriteHeader(status)
}

// Hijack is called when the origin has granted an upgrade. The bytes behind it are not counted.
func (w *watchedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.limit.end()
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

func (w *watchedWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.bytes.Add(int64(n))
	return n, err
}

// Unwrap lets http.ResponseController flush, hijack and set deadlines.
func (w *watchedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
