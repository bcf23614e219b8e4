package spdy

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// A frozenHeader is the header of an answer as it was when the handler called
// WriteHeader. It comes from a pool: every answer needs one, for a short time.
type frozenHeader struct {
	header http.Header
	values []string // those of header, and room for those that the answer gets from us
}

// A pooled frozenHeader holds at most this many headers and values.
const maxFrozen = 64

var frozenPool = sync.Pool{New: func() any {
	return &frozenHeader{header: make(http.Header, 8), values: make([]string, 0, 16)}
}}

// freezeCopy is freeze with a header that the handler may go on changing.
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

// value returns a slice of one string. It may be called on nil.
func (f *frozenHeader) value(s string) []string {
	if f == nil {
		return []string{s}
	}
	f.values = append(f.values, s)
	return f.values[len(f.values)-1 : len(f.values) : len(f.values)]
}

// thaw gives the frozen header back, once it has been encoded.
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

// dateHeader is a Date header. Answers of the same second share one.
func dateHeader(now time.Time) string {
	second := now.Unix()
	if d := latestDate.Load(); d != nil && d.second == second {
		return d.text
	}
	d := &stampedDate{second, now.UTC().Format(http.TimeFormat)}
	latestDate.Store(d)
	return d.text
}
