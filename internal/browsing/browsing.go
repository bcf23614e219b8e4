// Package browsing generates the headers of a browser on a site, and of the site's responses, in
// the style of a browser of 2014. The tests and bench/suite measure header compression with them.
// The same number of requests always yields the same trace.
package browsing

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// A Field is a header. The name is in lower case as in SPDY, with a leading ":" for the parts of
// the request or status line.
type Field struct{ Name, Value string }

// A Block holds the headers of a request or a response, ordered by name.
type Block []Field

// A Trace holds the requests of a browser that reads one site, and the responses: pages with style
// sheets, scripts, pictures and calls.
type Trace struct {
	Requests, Responses []Block // of equal length

	r            *rand.Rand
	now          time.Time
	page, cookie string
}

// New generates a trace of n requests.
func New(n int) *Trace {
	t := &Trace{
		r:   rand.New(rand.NewPCG(3, 1)),
		now: time.Date(2014, 3, 17, 9, 26, 53, 0, time.UTC),
	}
	for len(t.Requests) < n {
		t.visit()
	}
	t.Requests, t.Responses = t.Requests[:n], t.Responses[:n]
	return t
}

var words = []string{"market", "report", "storm", "city", "council", "school", "budget", "league",
	"final", "review", "science", "water", "energy", "vote", "health", "travel", "music", "history"}

func (t *Trace) word() string { return words[t.r.IntN(len(words))] }
func (t *Trace) hex(n int) string {
	return fmt.Sprintf("%032x", t.r.Uint64())[32-n:]
}

func (t *Trace) visit() {
	t.now = t.now.Add(time.Duration(20+t.r.IntN(90)) * time.Second)
	t.cookie = fmt.Sprintf("sid=%s; theme=light; _ga=GA1.2.1720398241.1395048413; visits=%d",
		"31d4d96e407aad42c18b2f0e6d7a9b35", len(t.Requests))
	referer := t.page
	path := fmt.Sprintf("/news/%s/%s-%s-%s-%d", t.word(), t.word(), t.word(), t.word(), 100000+t.r.IntN(900000))
	t.page = ""
	if referer != "" {
		t.page = referer
	}
	t.add("document", path)
	t.page = "https://www.example.com" + path
	for _, name := range []string{"main", "article", "print"}[:1+t.r.IntN(3)] {
		t.add("style", fmt.Sprintf("/static/css/%s.%s.css", name, t.hex(8)))
	}
	for range 1 + t.r.IntN(4) {
		t.add("script", fmt.Sprintf("/static/js/%s.%s.min.js", t.word(), t.hex(8)))
	}
	for range 3 + t.r.IntN(9) {
		t.add("image", fmt.Sprintf("/media/2014/03/%s-%s_%dx%d.jpg?v=%s", t.word(), t.word(), 80*(1+t.r.IntN(9)), 60*(1+t.r.IntN(9)), t.hex(6)))
	}
	for range t.r.IntN(4) {
		t.add("xhr", fmt.Sprintf("/api/v1/%s?limit=%d&after=%s&_=%d", t.word(), 10*(1+t.r.IntN(5)), t.hex(12), t.now.UnixMilli()))
	}
}

func (t *Trace) add(kind, path string) {
	t.now = t.now.Add(time.Duration(t.r.IntN(400)) * time.Millisecond)
	accept, contentType, cache := "*/*", "application/javascript", "public, max-age=31536000"
	switch kind {
	case "document":
		accept = "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"
		contentType, cache = "text/html; charset=utf-8", "private, max-age=0, must-revalidate"
	case "style":
		accept, contentType = "text/css,*/*;q=0.1", "text/css"
	case "image":
		accept, contentType = "image/webp,*/*;q=0.8", "image/jpeg"
	case "xhr":
		contentType, cache = "application/json; charset=utf-8", "no-cache"
	}
	req := Block{
		{":host", "www.example.com"},
		{":method", "GET"},
		{":path", path},
		{":scheme", "https"},
		{":version", "HTTP/1.1"},
		{"accept", accept},
		{"accept-encoding", "gzip,deflate,sdch"},
		{"accept-language", "en-US,en;q=0.8,de;q=0.6"},
	}
	if kind == "document" {
		req = append(req, Field{"cache-control", "max-age=0"})
	}
	req = append(req, Field{"cookie", t.cookie})
	conditional := t.r.IntN(8) == 0
	if conditional {
		req = append(req, Field{"if-none-match", `"` + t.hex(16) + `"`})
	}
	if t.page != "" {
		req = append(req, Field{"referer", t.page})
	}
	req = append(req, Field{"user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/33.0.1750.166 Safari/537.36"})
	if kind == "xhr" {
		req = append(req, Field{"x-requested-with", "XMLHttpRequest"})
	}
	t.Requests = append(t.Requests, req)
	t.respond(kind, contentType, cache, conditional)
}

func (t *Trace) respond(kind, contentType, cache string, conditional bool) {
	const stamp = "Mon, 02 Jan 2006 15:04:05 GMT"
	status := "200 OK"
	if conditional {
		status = "304 Not Modified"
	}
	resp := Block{
		{":status", status},
		{":version", "HTTP/1.1"},
		{"accept-ranges", "bytes"},
		{"cache-control", cache},
	}
	if !conditional {
		if kind != "image" {
			resp = append(resp, Field{"content-encoding", "gzip"})
		}
		resp = append(resp, Field{"content-length", fmt.Sprint(200 + t.r.IntN(60000))},
			Field{"content-type", contentType})
	}
	resp = append(resp, Field{"date", t.now.Format(stamp)},
		Field{"etag", `"` + t.hex(16) + `"`})
	if kind != "xhr" && kind != "document" {
		resp = append(resp, Field{"expires", t.now.AddDate(1, 0, 0).Format(stamp)},
			Field{"last-modified", t.now.Add(-time.Duration(t.r.IntN(1e7)) * time.Second).Format(stamp)})
	}
	resp = append(resp, Field{"server", "nginx/1.5.11"})
	if kind == "document" {
		resp = append(resp, Field{"set-cookie", fmt.Sprintf("visits=%d; path=/; expires=%s", len(t.Requests), t.now.AddDate(0, 1, 0).Format(stamp))})
	}
	resp = append(resp, Field{"vary", "Accept-Encoding"})
	t.Responses = append(t.Responses, resp)
}
