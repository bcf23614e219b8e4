// Package hook is compiled into the tests of net/http, and configures their servers and transports
// for the protocol under test. The go command does not let the standard library import an internal
// package, so the overlay gives this file a different path.
package hook

import (
	"fmt"
	"net/http"
	"os"

	"golang.org/x/net/http2"

	"github.com/amahi/spdy"
)

// The names of tests contain the name of the protocol.
const (
	HTTP2 = "h2"
	SPDY  = "spdy"
)

// Variable is the environment variable with the protocol under test.
const Variable = "NETHTTP_OVER"

// Mode returns the protocol under test.
func Mode() string {
	switch mode := os.Getenv(Variable); mode {
	case HTTP2, SPDY:
		return mode
	default:
		panic(fmt.Sprintf("%s=%q", Variable, mode))
	}
}

// ALPN returns the name that a server selects during the TLS handshake.
func ALPN() string {
	if Mode() == SPDY {
		return spdy.SPDY31.String()
	}
	return http2.NextProtoTLS
}

// Proto returns the value of Request.Proto and Response.Proto, where a test expects proto of HTTP/2:
// SPDY carries messages of HTTP/1.1.
func Proto(proto string) string {
	if Mode() == SPDY && proto == "HTTP/2.0" {
		return "HTTP/1.1"
	}
	return proto
}

// UserAgent returns the default User-Agent header of a request, as printed by a test.
func UserAgent() string {
	if Mode() == SPDY {
		return `["Go-spdy-client/3.1"]`
	}
	return `["Go-http-client/2.0"]`
}

// Reset returns a part of the error of a second request whose stream the server has reset.
func Reset() string {
	if Mode() == SPDY {
		return "stream 3 reset by peer: INTERNAL_ERROR"
	}
	return "stream ID 3; INTERNAL_ERROR"
}

// ConfigureServer adds the protocol to a server that does not serve yet. The field HTTP2 applies to
// both protocols.
func ConfigureServer(s *http.Server) error {
	if Mode() == HTTP2 {
		return http2.ConfigureServer(s, nil)
	}
	conf := new(spdy.Config)
	if s.HTTP2 != nil {
		conf.MaxConcurrentStreams = s.HTTP2.MaxConcurrentStreams
	}
	return spdy.ConfigureServer(s, conf)
}

// ConfigureTransport adds the protocol to a transport that is not in use yet.
func ConfigureTransport(t *http.Transport) error {
	if Mode() == HTTP2 {
		return http2.ConfigureTransport(t)
	}
	return spdy.ConfigureTransport(t, nil)
}
