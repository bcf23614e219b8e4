package spdy

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// A requestError is the reason why a peer's request does not reach a handler. The peer gets a
// response with the status; the session continues (SPEC M2).
type requestError struct {
	Status int // 400, or 505 for an unsupported HTTP version
	Reason string
}

// Error describes the fault in the request; the text never contains a header's value.
func (e *requestError) Error() string { return "spdy: bad request: " + e.Reason }

func badRequest(reason string) *requestError {
	return &requestError{Status: http.StatusBadRequest, Reason: reason}
}

// parseRequestBlock returns the request that net/http's server would have parsed from the same
// request over HTTP/1.1, without Body, RemoteAddr and TLS. ContentLength is -1 if the peer
// announced none: the caller knows whether a body follows. Errors are of type *requestError.
//
// The parser is stricter than net/http wherever a second reading of the request could split it in
// two downstream. A Content-Length must occur once, "*" needs a suitable method, an absolute target must be
// http or https, and the target of CONNECT must be an authority.
func parseRequestBlock(ctx context.Context, v Version, h HeaderBlock) (*http.Request, error) {
	return parseRequest(ctx, v, h, requestPseudos)
}

// parseRequest is parseRequestBlock for requests with additional pseudo headers; allowed holds
// their bits.
func parseRequest(ctx context.Context, v Version, h HeaderBlock, allowed uint) (*http.Request, error) {
	var m parsedMessage
	if reason := m.parse(v, h, allowed); reason != "" {
		return nil, badRequest(reason)
	}
	if err := m.checkRequest(v); err != nil {
		return nil, err
	}
	return m.request(ctx)
}

// request builds an http.Request from a message that checkRequest accepted. It is a separate
// function because a request on the stack of parse would double the stack of every receiver.
func (m *parsedMessage) request(ctx context.Context) (*http.Request, error) {
	req := http.Request{
		Method:     m.method(),
		RequestURI: m.pseudo[pseudoPath],
		Proto:      m.pseudo[pseudoVersion],
		ProtoMajor: 1,
		ProtoMinor: int(m.pseudo[pseudoVersion][len("HTTP/1.")] - '0'),
		Host:       m.pseudo[pseudoHost],
		Header:     m.header,
	}
	if err := parseTarget(&req); err != nil {
		return nil, err
	}
	delete(m.header, "Host") // :host replaces it (SPEC §2.3)
	lengths := m.header["Content-Length"]
	n, ok := parseLength(lengths)
	if !ok || len(lengths) > 1 {
		return nil, badRequest("invalid content-length")
	}
	req.ContentLength = n
	if httpguts.HeaderValuesContainsToken(m.header["Expect"], "100-continue") {
		delete(m.header, "Expect") // 100 Continue cannot be sent (SPEC M11)
	}
	req.Trailer = announcedTrailers(m.header)
	if m.has(pseudoProtocol) {
		if err := m.asksUpgrade(&req); err != nil {
			return nil, err
		}
	}
	return req.WithContext(ctx), nil
}

// checkRequest checks the pseudo headers individually.
func (m *parsedMessage) checkRequest(v Version) error {
	required := [...]pseudoHeader{pseudoMethod, pseudoPath, pseudoVersion, pseudoHost, pseudoScheme}
	need := required[:]
	if v == SPDY2 {
		need = required[:3] // SPEC M3
	} else if m.method() == "CONNECT" {
		need = required[:4] // SPEC §2.4
	}
	for _, p := range need {
		if m.pseudo[p] == "" {
			return badRequest("no " + p.name(v))
		}
	}
	if !httpguts.ValidHeaderFieldName(m.pseudo[pseudoMethod]) { // methods and header names are both tokens
		return badRequest("invalid method")
	}
	if reason := m.checkUpgrade(); reason != "" {
		return badRequest(reason)
	}
	if !httpguts.ValidHostHeader(m.pseudo[pseudoHost]) {
		return badRequest("invalid host")
	}
	if m.has(pseudoScheme) && !validScheme(m.pseudo[pseudoScheme]) {
		return badRequest("invalid scheme")
	}
	switch version := m.pseudo[pseudoVersion]; version {
	case "HTTP/1.1", "HTTP/1.0":
		return nil
	default:
		if _, _, ok := http.ParseHTTPVersion(version); !ok {
			return badRequest("malformed HTTP version")
		}
		return &requestError{http.StatusHTTPVersionNotSupported, "unsupported HTTP version"}
	}
}

// parseTarget sets URL from Method and RequestURI, and sets Host if the target names a host.
func parseTarget(req *http.Request) error {
	target := req.RequestURI
	if !validTarget(target) {
		return badRequest("invalid path")
	}
	switch {
	case target[0] == '/':
	case target == "*":
		if !mayAskStar(req.Method) {
			return badRequest("path * with the method " + req.Method)
		}
	case req.Method == "CONNECT":
		return parseAuthority(req)
	case !absoluteHTTP(target):
		return badRequest("path does not begin with a slash")
	}
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return badRequest("invalid path")
	}
	req.URL = u
	if u.Scheme == "" {
		return nil
	}
	// An absolute target overrides :host, as an absolute target overrides a Host line (RFC 9112
	// §3.2.2).
	if u.Host == "" || !httpguts.ValidHostHeader(u.Host) {
		return badRequest("invalid host in absolute path")
	}
	req.Host = u.Host
	return nil
}

// parseAuthority sets URL and Host of a CONNECT request from host:port.
func parseAuthority(req *http.Request) error {
	u, err := url.ParseRequestURI("http://" + req.RequestURI)
	if err != nil || u.Host != req.RequestURI || !httpguts.ValidHostHeader(u.Host) {
		return badRequest("invalid authority in CONNECT")
	}
	u.Scheme = ""
	req.URL, req.Host = u, u.Host
	return nil
}

// absoluteHTTP reports whether target is an http or https URL with an authority.
func absoluteHTTP(target string) bool {
	scheme, _, ok := strings.Cut(target, "://")
	return ok && (equalFold(scheme, "http") || equalFold(scheme, "https"))
}
