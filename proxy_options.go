package spdy

import (
	"net"
	"net/http"
	"strings"
)

// ProxyOptions say how Session.Proxy forwards a request. The zero value is that of
// Session.NewStreamProxy.
type ProxyOptions struct {
	// XForwarded tells the origin where the request came from, as
	// httputil.ProxyRequest.SetXForwarded does: X-Forwarded-For is the address of the
	// client, without the port, X-Forwarded-Host the host that it asked for, and
	// X-Forwarded-Proto "https" if it came over TLS, else "http". These headers of r, and
	// Forwarded, are not forwarded, whoever has set them, so that the client has no say in
	// them; that its Connection names them has no effect. If RemoteAddr of r is no
	// host:port, there is no X-Forwarded-For. The request's scheme is that of
	// X-Forwarded-Proto too, unless the handler has set another one in r.URL.
	XForwarded bool

	// AppendForwardedFor makes XForwarded append the client's address to X-Forwarded-For of
	// r instead of replacing that. It is for a proxy that is reached by way of another
	// proxy only, which it trusts.
	AppendForwardedFor bool

	// DisableUpgrades forwards a request for an upgrade without that, and a CONNECT as any
	// other request.
	DisableUpgrades bool
}

// Proxy is NewStreamProxy with options. Like that of a handler, the order of its parameters is
// the writer and the request.
func (s *Session) Proxy(w http.ResponseWriter, r *http.Request, o ProxyOptions) error {
	return s.NewClientStream().proxy(w, r, o)
}

// claims are the headers that say where a request came from, in lower case.
var claims = [...]string{"forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"}

func isClaim(key string) bool {
	for _, claim := range claims {
		if equalFold(key, claim) {
			return true
		}
	}
	return false
}

// ownClaims returns a copy of h, the header that is forwarded of a request, with what this side
// says of where the request came from.
func (o *ProxyOptions) ownClaims(h http.Header, r *http.Request) http.Header {
	out := make(http.Header, len(h)+3)
	for key, values := range h {
		if !isClaim(key) {
			out[key] = values
		}
	}
	if client, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		if before := headerValues(h, "x-forwarded-for"); o.AppendForwardedFor && len(before) > 0 {
			client = strings.Join(before, ", ") + ", " + client
		}
		out["X-Forwarded-For"] = []string{client}
	}
	out["X-Forwarded-Host"] = []string{r.Host}
	out["X-Forwarded-Proto"] = []string{schemeOf(r)}
	return out
}

// schemeOf returns the scheme of the connection that a request has come by.
func schemeOf(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// clientSetsScheme reports whether the scheme of r.URL is from the client, whose target was a
// whole URL.
func clientSetsScheme(r *http.Request) bool {
	scheme, _, ok := strings.Cut(r.RequestURI, ":")
	return ok && r.URL != nil && scheme != "" && equalFold(scheme, r.URL.Scheme)
}

// defaultHost is the host of a forwarded request that names none, as HTTP/1.0 allows, since
// SPDY/3 requires one: the address that its client has connected to, or else the address of the
// session's peer; "localhost" for addresses that are no host.
func (s *Session) defaultHost(r *http.Request) string {
	host := ""
	if addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		host = addr.String()
	} else if addr := s.RemoteAddr(); addr != nil {
		host = addr.String()
	}
	if host == "" || strings.ContainsAny(host, "/@\\") { // that of a socket of Unix
		return "localhost"
	}
	return host
}
