package dials

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
)

// invalidRequests change a valid request in ways that net/http refuses before it dials.
var invalidRequests = map[string]func(req *http.Request){
	"method": func(req *http.Request) { req.Method = "GE T" },
	"name":   func(req *http.Request) { req.Header["a b"] = []string{"c"} },
	"value":  func(req *http.Request) { req.Header["A"] = []string{"b\nc"} },
	"name of trailer": func(req *http.Request) {
		req.Trailer = http.Header{"a b": nil}
		req.Body = io.NopCloser(strings.NewReader("x"))
	},
	"scheme":           func(req *http.Request) { req.URL.Scheme = "ftp" },
	"no URL":           func(req *http.Request) { req.URL = nil },
	"no host":          func(req *http.Request) { req.URL.Host = "" },
	"connection field": func(req *http.Request) { req.Header["Connection"] = []string{"a\x00"} },
}

// TestNoDialForTheInvalid: an invalid request fails before a dial, as in net/http.
func TestNoDialForTheInvalid(t *testing.T) {
	errDialled := errors.New("dialled")
	dials := 0
	dial := func(context.Context, string, string) (net.Conn, error) {
		dials++
		return nil, errDialled
	}
	transports := map[string]http.RoundTripper{
		"net/http":  &http.Transport{DialContext: dial},
		"Transport": &spdy.Transport{DialContext: dial},
	}
	for kind, spoil := range invalidRequests {
		for name, rt := range transports {
			t.Run(kind+"/"+name, func(t *testing.T) {
				dials = 0
				req := &http.Request{Method: "GET", URL: &url.URL{Scheme: "http", Host: "a.example"}, Header: http.Header{}}
				_, err := rt.RoundTrip(req)
				require.ErrorIs(t, err, errDialled, "the request is valid")
				require.Equal(t, 1, dials)
				spoil(req)
				_, err = rt.RoundTrip(req)
				require.Error(t, err)
				require.NotErrorIs(t, err, errDialled)
				require.Equal(t, 1, dials)
			})
		}
	}
}
