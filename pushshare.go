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

// This file determines which users may receive a pushed answer. Vary and the credentials do not
// distinguish users where a server also uses other headers, such as X-Api-Key or the
// X-Forwarded-For of a proxy.

// shares reports whether the pushed answer may be used for the request. An answer with no-store is
// used for no request. A shareable answer is used for every request. Other answers are used only
// for requests of the user of the cause, as far as the headers show. An answer for one user is used
// for no request if the headers name no user. It is called only after the headers of the answer
// have arrived.
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

// A cacheControl holds the cache directives of an answer (RFC 9111 §5.2.2).
type cacheControl struct {
	noStore, noCache, private, public bool

	lifetime    time.Duration // the least max-age
	hasLifetime bool
	shared      bool // max-age or s-maxage is positive
	setsCookie  bool
}

// cacheControlOf reads all directives: a later directive may forbid what an earlier one allows.
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
		case "s-maxage": // the lifetime applies to shared caches only; the permission to share applies here, too
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

// oneUser reports whether the server restricts the answer to one user.
func (c *cacheControl) oneUser() bool { return c.private || c.setsCookie }

// directives returns the directives of a Cache-Control, with names in lower case and values without
// quotes.
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

// directiveEnd returns the length of the first directive. A comma in quotes does not end the
// directive, the end of a line does.
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

// maxDelta is the longest time headers can express.
const maxDelta = (1<<31 - 1) * time.Second

// deltaSeconds parses a number of seconds. Values above maxDelta become maxDelta, and invalid
// values 0 (RFC 9111 §1.2.2, §4.2.1).
func deltaSeconds(value string) time.Duration {
	seconds, err := strconv.ParseUint(value, 10, 31)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0
	}
	return time.Duration(seconds) * time.Second
}

// sameUser reports whether a request and the cause of a push have the same headers, except headers
// common to many users.
func sameUser(up *upload, cause http.Header) bool {
	return maps.Equal(personal(up.req.Header), personal(cause))
}

// namesUser reports whether a request has a header that may identify the user. Headers added by
// proxies do not count: many users share one address.
func namesUser(header http.Header) bool {
	for name := range personal(header) {
		if name != "via" && name != "x-real-ip" && !slices.Contains(claims[:], name) {
			return true
		}
	}
	return false
}

// personal returns the headers that may identify the user, by lower-case names.
func personal(header http.Header) map[string]string {
	own := make(map[string]string, len(header))
	for key, values := range header {
		if name := lowerName(key); len(values) > 0 && !impersonal(name) {
			own[name] += joinValues(name, values) // at worst, two keys of one name in another order count as another user
		}
	}
	return own
}

// impersonal reports whether a header with a lower-case name may differ between the requests of one
// user.
func impersonal(name string) bool {
	return slices.Contains(impersonalHeaders, name) || strings.HasPrefix(name, "sec-fetch-") || reachOf(name) != endToEnd
}

var impersonalHeaders = []string{
	"accept", "accept-encoding", "accept-language", "user-agent", "referer", "origin", "cache-control", "pragma",
	"dnt", "priority", "purpose", "upgrade-insecure-requests",
}
