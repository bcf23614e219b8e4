package spdy

import "bytes"

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
