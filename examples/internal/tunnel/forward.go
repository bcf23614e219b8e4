package tunnel

import (
	"net"
	"net/http"
	"net/url"
	"strings"
)

// claims are the headers in which proxies report the origin of a request. In a request from a
// public client these headers are not trustworthy.
var claims = []string{
	"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Prefix", "X-Real-Ip",
}

// dropNamed deletes the headers that the client's Connection header names: they are hop-by-hop.
// dropNamed must run before the proxy adds headers, which the client could name as well. Upgrade is
// left to NewStreamProxy.
func dropNamed(h http.Header) {
	for _, line := range h["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); !strings.EqualFold(name, "Upgrade") {
				h.Del(name)
			}
		}
	}
}

// forwarded returns a copy of the request for the origin. NewStreamProxy removes
// Proxy-Authorization and the other hop-by-hop headers, named by Connection or not, and asks the
// origin for an upgrade if the client does.
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

// stripPrefix removes the origin's name from Path and RawPath.
func stripPrefix(u *url.URL, prefix string) {
	u.RawPath = strings.TrimPrefix(u.EscapedPath(), prefix)
	u.Path = strings.TrimPrefix(u.Path, prefix)
}
