package spdy

import (
	"net"
	"net/http"
	"strings"
)

// ProxyOptions are the options of Session.Proxy. The zero value is the behaviour of
// Session.NewStreamProxy.
type ProxyOptions struct {
	// XForwarded tells the origin who sent the request, as httputil.ProxyRequest.SetXForwarded
	// does: X-Forwarded-For is the address of the client, without the port, X-Forwarded-Host the
	// requested host, and X-Forwarded-Proto "https" if the request arrived over TLS, else "http".
	// Existing headers of these names in r, and Forwarded, are not forwarded, and a Connection
	// header naming them has no effect: the client cannot influence the values. If RemoteAddr of r
	// is no host:port, there is no X-Forwarded-For. The request's scheme equals X-Forwarded-Proto,
	// unless the handler has set another scheme in r.URL.
	XForwarded bool

	// AppendForwardedFor makes XForwarded append the client's address to X-Forwarded-For of r
	// instead of replacing the header. Use it only for a proxy behind another, trusted proxy.
	AppendForwardedFor bool

	// DisableUpgrades forwards an upgrade request without the upgrade, and a CONNECT as an ordinary
	// request.
	DisableUpgrades bool
}

// Proxy is NewStreamProxy with options. The parameters have the order of a handler's: the writer,
// then the request.
func (s *Session) Proxy(w http.ResponseWriter, r *http.Request, o ProxyOptions) error {
	return s.NewClientStream().proxy(w, r, o)
}

// claims are the headers that describe the sender of a request, in lower case.
var claims = [...]string{"forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"}

func isClaim(key string) bool {
	for _, claim := range claims {
		if equalFold(key, claim) {
			return true
		}
	}
	return false
}

// ownClaims returns a copy of h, the forwarded header of a request, with this proxy's own claims
// about the sender.
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

// schemeOf returns the scheme of the connection on which a request arrived.
func schemeOf(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

// clientSetsScheme reports whether the scheme of r.URL was sent by the client, in an absolute URL
// as the target.
func clientSetsScheme(r *http.Request) bool {
	scheme, _, ok := strings.Cut(r.RequestURI, ":")
	return ok && r.URL != nil && scheme != "" && equalFold(scheme, r.URL.Scheme)
}

// defaultHost returns the host of a forwarded request without a host, as HTTP/1.0 allows, since
// SPDY/3 requires a host: the address the client has connected to, or else the address of the
// session's peer; "localhost" for addresses that are no host.
func (s *Session) defaultHost(r *http.Request) string {
	host := ""
	if addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		host = addr.String()
	} else if addr := s.RemoteAddr(); addr != nil {
		host = addr.String()
	}
	if host == "" || strings.ContainsAny(host, "/@\\") { // the address of a Unix socket
		return "localhost"
	}
	return host
}
