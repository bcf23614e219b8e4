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

// forwarded copies a request as it goes to the origin. Connection, Upgrade and the
// other hop-by-hop headers are left behind by the library.
func (p *Proxy) forwarded(r *http.Request, name string) *http.Request {
	out := r.Clone(r.Context())
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
