package spdy

import (
	"bytes"

	"github.com/amahi/spdy/internal/deflate"
)

// isPublic reports whether CompressSafe may match the value of a header. It
// does so only for headers
//
//   - whose values are no secrets: they follow from the software at either end
//     and its configuration, not from the user, the session or the content, and
//   - that do not normally repeat what a stranger has chosen.
//
// That leaves out, besides everything that authenticates (cookie, set-cookie,
// authorization, www-authenticate with its nonces) and everything unknown:
// :path, url, referer, location, link, origin, access-control-allow-origin,
// which tell what a user does; etag, content-length, last-modified and their
// conditions and ranges, which tell what the content is;
// content-security-policy, which carries nonces; and x-forwarded-for and via.
// What becomes of all these is up to encodePrivate.
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

// isFirstHost reports whether value is the first host named in the session. To
// an origin that is nearly always so. A session with a forward proxy names many
// hosts, and what a page makes a browser ask for must not tell, letter by
// letter, what other hosts it has asked for.
func (c *headerCompressor) isFirstHost(value []byte) bool {
	if c.host == nil {
		c.host = append([]byte{}, value...)
	}
	return bytes.Equal(c.host, value)
}

// The values that are matched with another only if both are equal as a whole, and
// only with values of the same kind: a cookie must not tell whether it is in a
// referer.
const (
	wholeCookie deflate.Kind = iota
	wholeReferer
)

// encodePrivate encodes the value of a header that is not public. Most are sent as
// they are and leave no trace. Cookies and the referer, which a client says again
// and again, may be matched as a whole. What that tells is if a stranger has
// guessed all of one and can have it sent in the header where it belongs, which
// scripts and links of other sites cannot.
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

// cookieUnit returns how much of a cookie header's value is matched together: a
// cookie, with the semicolon and the space behind it, and all the cookies that
// follow as long as either is too short to stand alone. One that takes only a few
// values is thus not matched unless all of its unit is guessed.
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

// firstCookie returns the length of the first cookie of value and what parts it
// from the next one.
func firstCookie(value []byte) int {
	if i := bytes.Index(value, []byte("; ")); i >= 0 {
		return i + len("; ")
	}
	return len(value)
}
