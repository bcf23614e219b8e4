package spdy

import (
	"net/http"
	"strings"
)

// commonNames are the header names used by nearly all messages. Converting a common name between
// the HTTP and the SPDY spelling allocates nothing.
var commonNames = [...]string{
	"Accept", "Accept-Charset", "Accept-Encoding", "Accept-Language", "Accept-Ranges",
	"Access-Control-Allow-Credentials", "Access-Control-Allow-Headers",
	"Access-Control-Allow-Methods", "Access-Control-Allow-Origin",
	"Access-Control-Expose-Headers", "Access-Control-Max-Age",
	"Access-Control-Request-Headers", "Access-Control-Request-Method",
	"Age", "Allow", "Alt-Svc", "Authorization", "Cache-Control", "Connection",
	"Content-Disposition", "Content-Encoding", "Content-Language", "Content-Length",
	"Content-Location", "Content-Range", "Content-Security-Policy", "Content-Type",
	"Cookie", "Date", "Dnt", "Etag", "Expect", "Expires", "Forwarded", "From", "Host",
	"If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since",
	"Keep-Alive", "Last-Modified", "Link", "Location", "Max-Forwards", "Origin", "P3p",
	"Pragma", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Range",
	"Referer", "Referrer-Policy", "Refresh", "Retry-After", "Server", "Set-Cookie",
	"Strict-Transport-Security", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Upgrade-Insecure-Requests", "User-Agent", "Vary", "Via", "Warning",
	"Www-Authenticate", "X-Content-Type-Options", "X-Forwarded-For", "X-Forwarded-Host",
	"X-Forwarded-Proto", "X-Frame-Options", "X-Real-Ip", "X-Request-Id",
	"X-Requested-With", "X-Xss-Protection",
}

var canonicalNames, lowerNames = buildNames()

func buildNames() (canonical, lower map[string]string) {
	canonical = make(map[string]string, len(commonNames))
	lower = make(map[string]string, len(commonNames))
	for _, name := range commonNames {
		l := strings.ToLower(name)
		canonical[l] = name
		lower[name] = l
	}
	return canonical, lower
}

// canonicalName is http.CanonicalHeaderKey for a lower-case name.
func canonicalName(lower string) string {
	if name, ok := canonicalNames[lower]; ok {
		return name
	}
	return http.CanonicalHeaderKey(lower)
}

// lowerName returns an http.Header key in the spelling of a header block.
func lowerName(key string) string {
	if name, ok := lowerNames[key]; ok {
		return name
	}
	return strings.ToLower(key)
}
