package spdy

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// requestOptions are the facts about an outgoing request that are not in the http.Request.
type requestOptions struct {
	scheme string // used when the URL has none; "http" if empty
	host   string // used when neither the request nor the URL has a host
	gzip   bool   // add Accept-Encoding: gzip unless the request has the header
	expect bool   // send "Expect: 100-continue" if the request has the header
	proxy  bool   // the peer is a forward proxy: SPDY/2 then sends the absolute URL (SPEC §2.4)

	upgrade string // the protocol requested by an extended CONNECT; "" for none
	limit   int    // the largest block to send, in bytes; 0 for no limit
}

// userAgent is the User-Agent of requests that neither set a User-Agent nor suppress the header
// with an empty value. Like net/http's "Go-http-client/1.1", the value names the language and the
// protocol.
func userAgent(v Version) string {
	switch v {
	case SPDY2:
		return "Go-spdy-client/2"
	case SPDY3:
		return "Go-spdy-client/3"
	}
	return "Go-spdy-client/3.1"
}

// appendRequestBlock appends the uncompressed header block of a request to dst. The request is not
// changed. On an error, of type *messageError or *headerError, dst is returned unchanged.
//
// The block contains the headers that net/http's Transport would send over HTTP/1.1, with these
// differences. An invalid host is an error, as in HTTP/2. Headers of an HTTP/1.1 connection are
// dropped (SPEC §2.3), but headers named by Connection are sent, since a proxy may have added them
// to a client's request. Several Cookie lines are joined into a single line. "Expect: 100-continue"
// is dropped unless the options make the body wait, since SPDY has no interim responses and the
// body is sent at once (SPEC M11). As in net/http's Transport, credentials in the URL are not sent:
// http.Client turns them into an Authorization header.
func appendRequestBlock(dst []byte, v Version, req *http.Request, o requestOptions) ([]byte, error) {
	t, err := outgoingTarget(v, req, &o)
	if err != nil {
		return dst, err
	}
	length, err := requestLength(req)
	if err != nil {
		return dst, err
	}
	w := beginNameValue(dst, v)
	w.limit = o.limit
	err = t.addRequest(&w, v, req, length, o)
	if err == nil && w.again() {
		err = t.addRequest(&w, v, req, length, o)
	}
	if err != nil {
		return dst, err
	}
	out, err := w.finish()
	if err != nil {
		return dst, err
	}
	return out, nil
}

// addRequest adds all headers of a request.
func (t *requestTarget) addRequest(w *nameValueWriter, v Version, req *http.Request, length int64, o requestOptions) error {
	if o.upgrade == "" {
		w.add(pseudoMethod.name(v), t.method)
	} else {
		addUpgrade(w, v, t.method, o.upgrade)
	}
	t.addPath(w, v)
	w.add(pseudoVersion.name(v), "HTTP/1.1")
	w.add(pseudoHost.name(v), t.host)
	if t.scheme != "" {
		w.add(pseudoScheme.name(v), t.scheme)
	}
	if err := addRequestHeader(w, v, req, t.method, length, o); err != nil {
		return err
	}
	return addTrailerNames(w, req.Trailer)
}

// requestLength returns the length of the body to send, -1 if unknown. As in net/http, a length of
// 0 with a body means unknown.
func requestLength(req *http.Request) (int64, error) {
	switch {
	case req.Body == nil && req.ContentLength != 0:
		return 0, &messageError{fmt.Sprintf("Request.ContentLength=%d with nil Body", req.ContentLength)}
	case req.Body == nil || req.Body == http.NoBody:
		return 0, nil
	case req.ContentLength <= 0 || len(req.TransferEncoding) > 0 && req.TransferEncoding[0] == "chunked":
		return -1, nil
	}
	return req.ContentLength, nil
}

// sendsLength reports whether net/http would send a Content-Length. Methods that usually have a
// body send a length of 0, too.
func sendsLength(method string, length int64) bool {
	return length > 0 || length == 0 && (method == "POST" || method == "PUT" || method == "PATCH")
}

// A requestTarget holds the values of a request's pseudo headers.
type requestTarget struct {
	method string
	prefix string // scheme and authority, for SPDY/2 to a proxy
	path   string
	query  string // sent after the path and a question mark if hasQuery
	host   string
	scheme string // empty for CONNECT

	hasQuery bool
}

func outgoingTarget(v Version, req *http.Request, o *requestOptions) (t requestTarget, err error) {
	if req.URL == nil {
		return t, &messageError{"nil Request.URL"}
	}
	t.method = req.Method
	if t.method == "" {
		t.method = "GET"
	}
	if !httpguts.ValidHeaderFieldName(t.method) { // methods and header names are both tokens
		return t, &messageError{fmt.Sprintf("invalid method %q", t.method)}
	}
	if t.host, err = outgoingHost(req, o); err != nil {
		return t, err
	}
	t.scheme = strings.ToLower(cmpOr(req.URL.Scheme, o.scheme, "http"))
	if !validScheme(t.scheme) {
		return t, &messageError{fmt.Sprintf("invalid scheme %q", t.scheme)}
	}
	t.outgoingPath(req)
	if !t.validPath() {
		return t, &messageError{"invalid path or query in Request.URL"}
	}
	if t.method == "CONNECT" {
		t.scheme = "" // SPEC §2.4
	} else if v == SPDY2 && o.proxy && t.path != "*" {
		t.prefix = t.scheme + "://" + t.host
	}
	return t, nil
}

func cmpOr(a, b, c string) string {
	if a != "" {
		return a
	}
	if b != "" {
		return b
	}
	return c
}

// outgoingPath sets path and query to the two parts of URL.RequestURI, without building the joined
// string.
func (t *requestTarget) outgoingPath(req *http.Request) {
	u := req.URL
	t.query, t.hasQuery = u.RawQuery, u.ForceQuery || u.RawQuery != ""
	switch {
	case t.method == "CONNECT" && u.Path == "":
		t.path = cmpOr(u.Opaque, t.host, "")
		t.query, t.hasQuery = "", false
	case u.Opaque == "":
		t.path = cmpOr(u.EscapedPath(), "/", "")
	default:
		t.path = opaquePath(u.Opaque, t.scheme, t.host)
	}
}

// opaquePath returns the path in an opaque URL, with its spelling preserved. The URL may name the
// request's host before the path. If the URL names a different host, the result is empty.
func opaquePath(opaque, scheme, host string) string {
	if opaque == "*" || opaque[0] == '/' && !strings.HasPrefix(opaque, "//") {
		return opaque
	}
	rest := strings.TrimPrefix(opaque, scheme+":")
	path, ok := strings.CutPrefix(rest, "//"+host)
	if !ok {
		return ""
	}
	return path
}

// validPath reports whether path and query fit into a request line, and whether the path begins as
// required (SPEC §2.4).
func (t *requestTarget) validPath() bool {
	if t.path == "" || !validTarget(t.path) || !validTarget(t.query) {
		return false
	}
	switch {
	case t.path[0] == '/':
		return true
	case t.path == "*":
		return mayAskStar(t.method) && !t.hasQuery
	case t.method == "CONNECT":
		return httpguts.ValidHostHeader(t.path)
	}
	return false
}

// mayAskStar reports whether a request may have the target "*". RFC 9110 defines it for OPTIONS, and
// excludes it for the other methods listed there. Extensions may use it.
func mayAskStar(method string) bool {
	switch method {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "TRACE":
		return false
	}
	return true
}

// validTarget reports whether s can be part of a request line, where white space would end the
// target.
func validTarget(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] == 0x7f {
			return false
		}
	}
	return true
}

// validScheme reports whether s is a scheme as defined in RFC 3986 §3.1.
func validScheme(s string) bool {
	for i := 0; i < len(s); i++ {
		c := lowerByte(s[i])
		letter := 'a' <= c && c <= 'z'
		if !letter && (i == 0 || !('0' <= c && c <= '9' || c == '+' || c == '-' || c == '.')) {
			return false
		}
	}
	return s != ""
}

// addPath adds :path, or url in SPDY/2.
func (t *requestTarget) addPath(w *nameValueWriter, v Version) {
	name := pseudoPath.name(v)
	if !t.hasQuery && t.prefix == "" {
		w.add(name, t.path)
		return
	}
	size := len(t.prefix) + len(t.path)
	if t.hasQuery {
		size += 1 + len(t.query)
	}
	if !w.begin(name, size) {
		return
	}
	w.dst = append(append(w.dst, t.prefix...), t.path...)
	if t.hasQuery {
		w.dst = append(append(w.dst, '?'), t.query...)
	}
}

// addRequestHeader adds all headers except the pseudo headers and Trailer.
func addRequestHeader(w *nameValueWriter, v Version, req *http.Request, method string, length int64, o requestOptions) error {
	gzip := o.gzip
	var keys [24]string
	groups := groupHeader(keys[:0], req.Header)
	sawAgent := false
	for {
		key, values, ok := groups.next()
		if !ok {
			break
		}
		if !httpguts.ValidHeaderFieldName(key) {
			return &messageError{fmt.Sprintf("invalid header name %q", key)}
		}
		if !validValues(values) {
			return &messageError{fmt.Sprintf("invalid value of header %q", key)}
		}
		name := lowerName(key)
		sawAgent = sawAgent || name == "user-agent"
		if len(values) == 0 || notForRequest(v, name) {
			continue
		}
		gzip = gzip && name != "accept-encoding"
		addRequestField(w, name, trimValues(values), o.expect)
	}
	if sendsLength(method, length) {
		addInt(w, "content-length", length)
	}
	if gzip {
		w.add("accept-encoding", "gzip")
	}
	if !sawAgent {
		w.add("user-agent", userAgent(v))
	}
	return nil
}

// notForRequest reports whether a header is omitted from a request block: headers of an HTTP/1.1
// connection, headers derived from other fields of the request, and in SPDY/2 headers that would
// collide with pseudo headers.
func notForRequest(v Version, name string) bool {
	switch name {
	case "host", "content-length", "trailer":
		return true
	case "method", "url", "version", "scheme":
		return v == SPDY2
	}
	return reachOf(name) == connectionOnly
}

func addRequestField(w *nameValueWriter, name string, values []string, expect bool) {
	switch name {
	case "user-agent": // at most a single value, and none if empty, as in net/http
		if values[0] != "" {
			w.add(name, values[0])
		}
	case "cookie":
		addCookies(w, values)
	case "expect":
		if expect || !httpguts.HeaderValuesContainsToken(values, "100-continue") {
			w.addValues(name, values)
		}
	default:
		w.addValues(name, values)
	}
}

// addTrailerNames announces the keys of a request's Trailer.
func addTrailerNames(w *nameValueWriter, trailer http.Header) error {
	if len(trailer) == 0 {
		return nil
	}
	names := make([]string, 0, len(trailer))
	for key, values := range trailer {
		if !httpguts.ValidHeaderFieldName(key) || !validTrailer(key) {
			return &messageError{fmt.Sprintf("invalid Trailer key %q", key)}
		}
		if !validValues(values) {
			return &messageError{fmt.Sprintf("invalid value of trailer %q", key)}
		}
		names = append(names, http.CanonicalHeaderKey(key))
	}
	slices.Sort(names)
	w.add("trailer", strings.Join(slices.Compact(names), ","))
	return nil
}
