package spdy

import (
	"errors"
	"iter"
	"maps"
	"net/http"
	"net/textproto"
	"slices"
	"strconv"
	"strings"
	"time"
)

// This file says for which users a pushed answer is. Vary and the credentials do not tell
// them apart where a server looks at other headers, such as X-Api-Key or the
// X-Forwarded-For of a proxy.

// shares reports whether the pushed answer may be used for the request. One that may not
// be stored answers no request; one that the server does not declare to be for everybody
// answers only requests of the user of the cause, as far as the headers tell; and none if it is
// for one user and the headers name nobody. The headers of the answer have arrived.
func (p *push) shares(up *upload) bool {
	c := cacheControlOf(&p.st.reply)
	switch {
	case c.noStore:
		return false
	case c.everybody():
		return true
	case c.oneUser() && !namesUser(p.cause):
		return false
	}
	return sameUser(up, p.cause)
}

// A cacheControl is what an answer says to caches (RFC 9111 §5.2.2).
type cacheControl struct {
	noStore, noCache, private, public bool

	lifetime    time.Duration // the least max-age
	hasLifetime bool
	shared      bool // max-age or s-maxage let caches use it for some time
	setsCookie  bool
}

// cacheControlOf reads all directives: a later one may forbid what an earlier one allows.
func cacheControlOf(reply *HeaderBlock) (c cacheControl) {
	control, _ := reply.Get("cache-control")
	for name, value := range directives(control) {
		switch name {
		case "no-store":
			c.noStore = true
		case "no-cache":
			c.noCache = true
		case "private":
			c.private = true
		case "public":
			c.public = true
		case "max-age":
			lifetime := deltaSeconds(value)
			c.shared = c.shared || lifetime > 0
			if !c.hasLifetime || lifetime < c.lifetime {
				c.lifetime, c.hasLifetime = lifetime, true
			}
		case "s-maxage": // how long is for caches of many users, and for whom is for all
			c.shared = c.shared || deltaSeconds(value) > 0
		}
	}
	_, c.setsCookie = reply.Get("set-cookie")
	return c
}

// everybody reports whether a cache may use the answer for other users.
func (c *cacheControl) everybody() bool {
	return (c.public || c.shared) && !c.private && !c.noCache && !c.setsCookie
}

// oneUser reports whether the server says that the answer is for one user only.
func (c *cacheControl) oneUser() bool { return c.private || c.setsCookie }

// directives returns the directives of a Cache-Control, with names in lower case and
// values without quotes.
func directives(control string) iter.Seq2[string, string] {
	return func(yield func(name, value string) bool) {
		for control != "" {
			end := directiveEnd(control)
			name, value, _ := strings.Cut(control[:end], "=")
			name = strings.ToLower(textproto.TrimString(name))
			if name != "" && !yield(name, strings.Trim(value, " \t\"")) {
				return
			}
			control = control[min(end+1, len(control)):]
		}
	}
}

// directiveEnd is the length of the first directive. A comma in quotes does not end it, the
// end of a line does.
func directiveEnd(control string) int {
	quoted := false
	for i := range len(control) {
		switch c := control[i]; {
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted, c == 0:
			return i
		}
	}
	return len(control)
}

// maxDelta is the longest time that headers can say.
const maxDelta = (1<<31 - 1) * time.Second

// deltaSeconds reads a number of seconds. More than maxDelta is maxDelta, and what is no
// number is 0 (RFC 9111 §1.2.2, §4.2.1).
func deltaSeconds(value string) time.Duration {
	seconds, err := strconv.ParseUint(value, 10, 31)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// sameUser reports whether a request and the cause of a push have the same headers, but for
// those that say nothing of the user.
func sameUser(up *upload, cause http.Header) bool {
	return maps.Equal(personal(up.req.Header), personal(cause))
}

// namesUser reports whether a request has a header that may say who the user is. What proxies
// add does not: many users have one address.
func namesUser(header http.Header) bool {
	for name := range personal(header) {
		if name != "via" && name != "x-real-ip" && !slices.Contains(claims[:], name) {
			return true
		}
	}
	return false
}

// personal returns the headers that may say who the user is, by lower-case names.
func personal(header http.Header) map[string]string {
	own := make(map[string]string, len(header))
	for key, values := range header {
		if name := lowerName(key); len(values) > 0 && !impersonal(name) {
			own[name] += joinValues(name, values) // two keys of one name, in any order, are another user's at worst
		}
	}
	return own
}

// impersonal reports whether a header with a lower-case name differs between the requests
// of one user.
func impersonal(name string) bool {
	return slices.Contains(impersonalHeaders, name) || strings.HasPrefix(name, "sec-fetch-") || reachOf(name) != endToEnd
}

var impersonalHeaders = []string{
	"accept", "accept-encoding", "accept-language", "user-agent", "referer", "origin", "cache-control", "pragma",
	"dnt", "priority", "purpose", "upgrade-insecure-requests",
}
