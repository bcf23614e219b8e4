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

// A patience expires when an origin has not started the response in time. The time restarts with
// each activity of the request, so a long upload does not expire.
type patience struct {
	limit time.Duration

	mu    sync.Mutex
	timer *time.Timer
	over  bool // the response has started
}

func newPatience(limit time.Duration, expire func()) *patience {
	return &patience{limit: limit, timer: time.AfterFunc(limit, expire)}
}

// renew restarts the wait.
func (p *patience) renew() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		p.timer.Reset(p.limit)
	}
}

// end stops the wait.
func (p *patience) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	p.timer.Stop()
}

// A watchedBody is the body of a request; each read counts as activity.
type watchedBody struct {
	io.ReadCloser
	limit *patience
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.limit.renew()
	return n, err
}

// A watchedWriter detects the start of the response, and counts the body bytes.
type watchedWriter struct {
	http.ResponseWriter
	limit *patience
	bytes *atomic.Int64
}

func (w *watchedWriter) WriteHeader(status int) {
	w.limit.end()
	w.ResponseWriter.WriteHeader(status)
}

// Hijack is called when the origin has granted an upgrade. The later bytes are not counted.
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
