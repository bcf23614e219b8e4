package spdy

import (
	"net/http"
	"net/textproto"
	"strings"
	"time"
)

// This file determines how long a pushed answer may be used, following RFC 9111 §4.2.

// pushGrace is how long a stale answer may still be used, such as an answer with no-cache, or
// without a lifetime. The server has just sent the answer, which validates it as in HTTP/2 (RFC
// 9113 §8.4), and the page using it is being loaded. A later request is sent.
const pushGrace = 10 * time.Second

// answered reports whether the headers of the answer have arrived.
func (p *push) answered() bool {
	select {
	case <-p.st.replied:
		return true
	default:
		return false
	}
}

// waited returns the time since the headers of the answer arrived.
func (p *push) waited() time.Duration { return time.Since(p.came) }

// age returns the age of an answer whose headers have arrived (RFC 9111 §4.2.3).
func (p *push) age() time.Duration {
	reply := &p.st.reply
	before := time.Duration(0)
	if value, ok := reply.Get("age"); ok {
		before = deltaSeconds(firstLine(value))
	}
	if date, ok := timeIn(reply, "date"); ok {
		before = max(before, p.came.Sub(date))
	}
	return min(before, maxDelta) + p.waited()
}

// lifetime returns the freshness lifetime of the answer (RFC 9111 §4.2.1); 0 if the answer has
// none, or must be validated before each use.
func (p *push) lifetime() time.Duration {
	reply := &p.st.reply
	c := cacheControlOf(reply)
	switch {
	case c.noCache:
		return 0
	case c.hasLifetime:
		return c.lifetime
	}
	expires, ok := timeIn(reply, "expires")
	if !ok {
		return 0
	}
	date, ok := timeIn(reply, "date")
	if !ok {
		date = p.came
	}
	return expires.Sub(date)
}

// spent reports whether the push can no longer answer any request.
func (p *push) spent() bool {
	switch {
	case time.Since(p.began) >= pushPatience:
		return true
	case !p.answered():
		return false
	}
	return cacheControlOf(&p.st.reply).noStore || p.waited() >= pushGrace && p.age() >= p.lifetime()
}

// fresh reports whether the answer, whose headers have arrived, is fresh enough for a request.
func (p *push) fresh(req *http.Request) bool {
	age, least := p.age(), time.Duration(0)
	for _, line := range headerValues(req.Header, "cache-control") {
		for name, value := range directives(line) {
			switch name {
			case "max-age":
				if age >= deltaSeconds(value) {
					return false
				}
			case "min-fresh":
				least = max(least, deltaSeconds(value))
			}
		}
	}
	return least == 0 && p.waited() < pushGrace || age+least < p.lifetime()
}

// firstLine returns the first line of a header.
func firstLine(value string) string {
	line, _, _ := strings.Cut(value, "\x00")
	return textproto.TrimString(line)
}

// timeIn parses the time in a header.
func timeIn(h *HeaderBlock, name string) (time.Time, bool) {
	value, ok := h.Get(name)
	if !ok {
		return time.Time{}, false
	}
	t, err := http.ParseTime(firstLine(value))
	return t, err == nil
}
