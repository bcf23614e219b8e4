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

// outgoingHost is the value of :host: the request's Host or the URL's, in ASCII
// and without an IPv6 zone (RFC 6874 §4).
func outgoingHost(req *http.Request, o *requestOptions) (string, error) {
	host := cmpOr(req.Host, req.URL.Host, o.host)
	if host == "" {
		return "", &messageError{"no Host in request URL"}
	}
	ascii, err := asciiHostPort(withoutZone(host))
	if err != nil || !httpguts.ValidHostHeader(ascii) {
		return "", &messageError{fmt.Sprintf("invalid host %q", host)}
	}
	return ascii, nil
}

// withoutZone takes the zone off an IPv6 address in brackets: it means something on
// this machine only.
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

// asciiHostPort is a host, with or without a port, in ASCII (RFC 5891 §4). It is
// mapped as for a lookup: a name that looks different in the URL and is the same to
// the resolver is the same in the request too. A host that is ASCII already stays as
// it is.
func asciiHostPort(v string) (string, error) {
	if isASCII(v) {
		return v, nil
	}
	if !utf8.ValidString(v) { // would become a name of U+FFFD
		return "", errNotUTF8
	}
	host, port, err := net.SplitHostPort(v)
	if err != nil { // it has none
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
