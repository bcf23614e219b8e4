package tunnel

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// claims are the headers by which proxies tell where a request came from. What a
// client from the street says there is not to be believed.
var claims = []string{
	"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix", "X-Real-Ip",
}

// dropNamed deletes the headers that the client's Connection names: they end at the
// proxy. It has to run before the proxy adds its own headers, which the client could
// name as well. Upgrade is left to NewStreamProxy.
func dropNamed(h http.Header) {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); !strings.EqualFold(name, "Upgrade") {
				h.Del(name)
			}
		}
	}
}

// forwarded copies a request as it is sent to the origin. NewStreamProxy leaves out
// Proxy-Authorization and the other headers that end at the proxy whether Connection names
// them or not, and asks the origin for an upgrade if the client does.
func (p *Proxy) forwarded(r *http.Request, name string) *http.Request {
	out := r.Clone(r.Context())
	dropNamed(out.Header)
	for _, claim := range claims {
		out.Header.Del(claim)
	}
	client, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		client = r.RemoteAddr
	}
	out.Header.Set("X-Forwarded-For", client)
	out.Header.Set("X-Forwarded-Host", r.Host)
	out.Header.Set("X-Forwarded-Proto", "http")
	if r.TLS != nil {
		out.Header.Set("X-Forwarded-Proto", "https")
	}
	if !p.ByHost {
		stripPrefix(out.URL, "/"+name)
		out.Header.Set("X-Forwarded-Prefix", "/"+name)
	}
	return out
}

// stripPrefix takes the origin's name out of the path, in both its spellings.
func stripPrefix(u *url.URL, prefix string) {
	u.RawPath = strings.TrimPrefix(u.EscapedPath(), prefix)
	u.Path = strings.TrimPrefix(u.Path, prefix)
}
