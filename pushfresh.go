package spdy

import (
	"net/http"
	"net/textproto"
	"strings"
	"time"
)

// This file says how long a pushed answer may be used, as RFC 9111 §4.2 does.

// pushGrace is how long an answer that is not fresh may be used all the same, such as one
// with no-cache, or without a word on its age. The server has just sent it, which validates it
// as in HTTP/2 (RFC 9113 §8.4), and the page that it belongs to is being loaded. A request
// that comes later is sent.
const pushGrace = 10 * time.Second

// answered reports whether the headers of the answer have come.
func (p *push) answered() bool {
	select {
	case <-p.st.replied:
		return true
	default:
		return false
	}
}

// waited is for how long the answer, whose headers have come, has been here.
func (p *push) waited() time.Duration { return time.Since(p.came) }

// age is the age of an answer whose headers have come (RFC 9111 §4.2.3).
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

// lifetime is how old the answer may be (RFC 9111 §4.2.1); 0 if it does not say, or has to
// be validated before each use.
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

// spent reports whether no request may be answered by the push any more.
func (p *push) spent() bool {
	switch {
	case time.Since(p.began) >= pushPatience:
		return true
	case !p.answered():
		return false
	}
	return cacheControlOf(&p.st.reply).noStore || p.waited() >= pushGrace && p.age() >= p.lifetime()
}

// fresh reports whether the answer, whose headers have come, is fresh enough for a request.
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

// firstLine is the first of the lines of a header.
func firstLine(value string) string {
	line, _, _ := strings.Cut(value, "\x00")
	return textproto.TrimString(line)
}

// timeIn reads the time in a header.
func timeIn(h *HeaderBlock, name string) (time.Time, bool) {
	value, ok := h.Get(name)
	if !ok {
		return time.Time{}, false
	}
	t, err := http.ParseTime(firstLine(value))
	return t, err == nil
}
