package spdy

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A frozenHeader is a copy of a response header at the time of WriteHeader. Frozen headers are
// pooled: every response needs a frozen header for a short time.
type frozenHeader struct {
	header http.Header
	values []string // values of header, and space for the values that we add to the response
}

// maxFrozen is the maximum number of headers, and of values, in a pooled frozenHeader.
const maxFrozen = 64

var frozenPool = sync.Pool{New: func() any {
	return &frozenHeader{header: make(http.Header, 8), values: make([]string, 0, 16)}
}}

// freezeCopy is freeze for a header that the handler may still change.
func (x *exchange) freezeCopy(status int, header http.Header) {
	f := frozenPool.Get().(*frozenHeader)
	for key, values := range header {
		f.header[key] = f.copied(values)
	}
	x.frozen = f
	x.freeze(status, f.header)
}

// copied returns a copy of values, nil for nil.
func (f *frozenHeader) copied(values []string) []string {
	if values == nil {
		return nil
	}
	start := len(f.values)
	f.values = append(f.values, values...)
	return f.values[start:len(f.values):len(f.values)]
}

// value returns a slice of one string. f may be nil.
func (f *frozenHeader) value(s string) []string {
	if f == nil {
		return []string{s}
	}
	f.values = append(f.values, s)
	return f.values[len(f.values)-1 : len(f.values) : len(f.values)]
}

// thaw returns the frozen header to the pool, after encoding.
func (x *exchange) thaw() {
	f := x.frozen
	if f == nil {
		return
	}
	x.frozen, x.sent = nil, nil
	if len(f.header) > maxFrozen || cap(f.values) > maxFrozen {
		return
	}
	clear(f.header)
	clear(f.values)
	f.values = f.values[:0]
	frozenPool.Put(f)
}

// A stampedDate is the Date header of one second.
type stampedDate struct {
	second int64
	text   string
}

var latestDate atomic.Pointer[stampedDate]

// dateHeader returns the value of a Date header. Responses of the same second share the string.
func dateHeader(now time.Time) string {
	second := now.Unix()
	if d := latestDate.Load(); d != nil && d.second == second {
		return d.text
	}
	d := &stampedDate{second, now.UTC().Format(http.TimeFormat)}
	latestDate.Store(d)
	return d.text
}
