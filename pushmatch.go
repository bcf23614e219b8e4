package spdy

import (
	"net/http"
	"net/textproto"
	"slices"
	"strings"
)

// This file matches requests with pushed answers. A push is a stored answer to the cause, the
// associated request, and is used like an entry in a private cache of the user (RFC 9111 §4).

// maxVary bounds the names in the Vary of a pushed answer. More names count as "*".
const maxVary = 64

// credentialHeaders are the headers that authenticate the user of a request.
var credentialHeaders = [...]string{"cookie", "authorization", "proxy-authorization"}

// A pushKey is the URL of a push and the credentials of the cause. A matching request has an equal
// key.
type pushKey struct {
	url         string
	credentials [len(credentialHeaders)]string
}

func newPushKey(url string, header http.Header) pushKey {
	k := pushKey{url: url}
	for i, name := range credentialHeaders {
		k.credentials[i] = joinValues(name, headerValues(header, name))
	}
	return k
}

// pushURL returns the URL of a request, without a default port.
func pushURL(scheme string, req *http.Request) string {
	host := hostOf(req)
	switch scheme {
	case "http":
		host = strings.TrimSuffix(host, ":80")
	case "https":
		host = strings.TrimSuffix(host, ":443")
	}
	return scheme + "://" + host + req.URL.RequestURI()
}

// joinValues combines the lines of a header (RFC 9110 §5.3).
func joinValues(name string, values []string) string {
	separator := ", "
	if name == "cookie" {
		separator = "; "
	}
	return strings.Join(trimValues(values), separator)
}

// suits reports whether the headers of the pushed answer have arrived, the answer is for the user
// of the request and fresh enough for it, and the request and the cause agree in all headers named
// by Vary.
func (p *push) suits(up *upload) bool {
	if !p.answered() || !p.fresh(up.req) {
		return false
	}
	vary, _ := p.st.reply.Get("vary")
	if strings.Count(vary, ",")+strings.Count(vary, "\x00") >= maxVary {
		return false
	}
	for name := range strings.FieldsFuncSeq(vary, isVarySeparator) {
		name = strings.ToLower(textproto.TrimString(name))
		if name == "*" || name != "" && !sameValues(name, up.sentValues(name), headerValues(p.cause, name)) {
			return false
		}
	}
	return p.shares(up)
}

func isVarySeparator(c rune) bool { return c == ',' || c == 0 }

func sameValues(name string, a, b []string) bool {
	return (len(a) == 0) == (len(b) == 0) && joinValues(name, a) == joinValues(name, b)
}

// sentValues returns the values of a header in the request on the wire, where a Transport has added
// Accept-Encoding.
func (u *upload) sentValues(name string) []string {
	values := headerValues(u.req.Header, name)
	if name == "accept-encoding" && len(values) == 0 && u.asked.gzip {
		return []string{"gzip"}
	}
	return values
}

// asCause returns a copy of the request on the wire, to compare with later requests. The caller may
// change the original once the answer's body is closed.
func (u *upload) asCause() *http.Request {
	if a, ok := u.st.session.app.(*httpClientApp); !ok || a.wanted == nil {
		return u.req
	}
	cause := u.req.WithContext(u.req.Context())
	target := *u.req.URL
	cause.URL = &target
	cause.Header = make(http.Header, len(u.req.Header)+1)
	for key, values := range u.req.Header {
		cause.Header[key] = slices.Clone(values)
	}
	if len(headerValues(cause.Header, "accept-encoding")) == 0 && u.asked.gzip {
		cause.Header["Accept-Encoding"] = []string{"gzip"}
	}
	return cause
}

// isUnsafe reports whether a request may change the resource (RFC 9110 §9.2.1).
func isUnsafe(method string) bool {
	switch method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return false
	}
	return true
}

// isSelective reports whether a header with a lower-case name makes a request partial or
// conditional.
func isSelective(name string) bool { return name == "range" || strings.HasPrefix(name, "if-") }

// takesStored reports whether a cache could use a stored answer.
func takesStored(req *http.Request) bool {
	if req.Method != http.MethodGet && req.Method != "" || req.Body != nil && req.Body != http.NoBody {
		return false
	}
	for key, values := range req.Header {
		switch name := lowerName(key); {
		case len(values) == 0:
		case isSelective(name),
			name == "pragma" && slices.ContainsFunc(values, forbidsStored),
			name == "cache-control" && slices.ContainsFunc(values, forbidsStored):
			return false
		}
	}
	return true
}

// forbidsStored reports whether a line of Cache-Control or Pragma of a request forbids a stored
// answer, regardless of age (RFC 9111 §5.2.1).
func forbidsStored(line string) bool {
	for name, value := range directives(line) {
		if name == "no-cache" || name == "no-store" || name == "max-age" && deltaSeconds(value) == 0 {
			return true
		}
	}
	return false
}
