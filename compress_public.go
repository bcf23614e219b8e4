package spdy

import (
	"bytes"

	"github.com/amahi/spdy/internal/deflate"
)

// isPublic reports whether CompressSafe may match the value of a header. Public headers satisfy two
// conditions:
//
//   - Their values are no secrets: values depend on the software and configuration of client
//     or server, not on the user, the session or the content.
//   - Their values do not normally repeat text chosen by an attacker.
//
// This excludes all unknown headers and all headers that authenticate: cookie, set-cookie,
// authorization, and www-authenticate with its nonces. It excludes headers that reveal the user's
// actions: :path, url, referer, location, link, origin and access-control-allow-origin. It excludes
// headers that reveal the content: etag, content-length, last-modified, and the related conditions
// and ranges. It excludes content-security-policy, which carries nonces, and x-forwarded-for and
// via. encodePrivate encodes the excluded values.
func (c *headerCompressor) isPublic(name, value []byte) bool {
	switch string(name) {
	case ":host", "host":
		return c.isFirstHost(value)
	case ":method", ":scheme", ":version", ":status",
		"method", "scheme", "version", "status":
		return true
	case "accept", "accept-charset", "accept-encoding", "accept-language",
		"cache-control", "content-encoding", "content-language", "content-type",
		"date", "expires", "pragma", "vary":
		return true
	case "dnt", "expect", "priority", "save-data", "sec-ch-ua", "sec-ch-ua-mobile",
		"sec-ch-ua-platform", "sec-fetch-dest", "sec-fetch-mode", "sec-fetch-site",
		"sec-fetch-user", "sec-gpc", "upgrade-insecure-requests", "user-agent",
		"x-requested-with":
		return true
	case "accept-ranges", "access-control-allow-credentials",
		"access-control-allow-headers", "access-control-allow-methods",
		"access-control-max-age", "age", "allow", "alt-svc", "alternate-protocol",
		"referrer-policy", "retry-after", "server", "strict-transport-security",
		"x-content-type-options", "x-frame-options", "x-powered-by",
		"x-xss-protection":
		return true
	}
	return false
}

// isFirstHost reports whether value is the first host named in the session. On a session with an
// origin server nearly every host is. A session with a forward proxy names many hosts: requests
// triggered by a page must not reveal, letter by letter, the other hosts requested by the browser.
func (c *headerCompressor) isFirstHost(value []byte) bool {
	if c.host == nil {
		c.host = append([]byte{}, value...)
	}
	return bytes.Equal(c.host, value)
}

// The kinds of values that are matched only as a whole, and only with values of the same kind: a
// cookie must not reveal whether it occurs in a referer.
const (
	wholeCookie deflate.Kind = iota
	wholeReferer
)

// encodePrivate encodes the value of a non-public header. Most values are sent as literals and
// never become a source of matches. Cookies and the referer, which clients repeat in each request,
// may be matched as a whole. Such a match confirms an attacker's guess only if the guess is
// complete and sent in the proper header, and scripts and links of other sites cannot set that
// header.
func (c *headerCompressor) encodePrivate(name, value []byte) {
	switch string(name) {
	case "cookie":
		for len(value) > 0 {
			n := cookieUnit(value)
			c.encoder.Whole(wholeCookie, value[:n])
			value = value[n:]
		}
	case "referer":
		c.encoder.Whole(wholeReferer, value)
	default:
		c.encoder.Literal(value)
	}
}

// cookieUnit returns the length of the first unit of a cookie header's value that is matched as a
// whole. A unit is a cookie with the following semicolon and space. The next cookie joins the unit
// as long as the unit or that cookie is too short to be matched alone. So a cookie with only a few
// possible values is matched only if the whole unit is guessed.
func cookieUnit(value []byte) int {
	n := firstCookie(value)
	for n < len(value) {
		next := firstCookie(value[n:])
		if n >= deflate.MinWhole && next >= deflate.MinWhole {
			break
		}
		n += next
	}
	return n
}

// firstCookie returns the length of the first cookie of value, including the separator.
func firstCookie(value []byte) int {
	if i := bytes.Index(value, []byte("; ")); i >= 0 {
		return i + len("; ")
	}
	return len(value)
}
