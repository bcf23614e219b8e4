package spdy

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/net/idna"
)

// outgoingHost returns the value of :host: the request's Host, or else the URL's host, in ASCII and
// without an IPv6 zone (RFC 6874 §4).
func outgoingHost(req *http.Request, o *requestOptions) (string, error) {
	host := cmpOr(req.Host, req.URL.Host, o.host)
	if host == "" {
		return "", &messageError{"http: no Host in request URL"}
	}
	ascii, err := asciiHostPort(withoutZone(host))
	if err != nil || !httpguts.ValidHostHeader(ascii) {
		return "", &messageError{fmt.Sprintf("spdy: invalid host %q", host)}
	}
	return ascii, nil
}

// withoutZone removes the zone from a bracketed IPv6 address, because zones have a meaning only on
// the local machine.
func withoutZone(host string) string {
	if host[0] != '[' {
		return host
	}
	if end := strings.LastIndexByte(host, ']'); end > 0 {
		if zone := strings.IndexByte(host[:end], '%'); zone > 0 {
			return host[:zone] + host[end:]
		}
	}
	return host
}

var errNotUTF8 = errors.New("the host is not UTF-8")

// asciiHostPort converts a host with an optional port to ASCII (RFC 5891 §4). The name is mapped as
// for a lookup, so two spellings that resolve to the same name are sent as the same name. An ASCII
// host is returned unchanged.
func asciiHostPort(v string) (string, error) {
	if isASCII(v) {
		return v, nil
	}
	if !utf8.ValidString(v) { // ToASCII would turn invalid bytes into U+FFFD
		return "", errNotUTF8
	}
	host, port, err := net.SplitHostPort(v)
	if err != nil { // v has no port
		host, port = v, ""
	}
	if host, err = idna.Lookup.ToASCII(host); err != nil {
		return "", err
	}
	if port == "" {
		return host, nil
	}
	return net.JoinHostPort(host, port), nil
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// lowerAddr returns an address with the host in lower case, so that all spellings of a name share
// sessions. The zone of an IPv6 address is the name of an interface, and keeps its case.
func lowerAddr(addr string) string {
	if host, zone, ok := strings.Cut(addr, "%"); ok {
		return strings.ToLower(host) + "%" + zone
	}
	return strings.ToLower(addr)
}
