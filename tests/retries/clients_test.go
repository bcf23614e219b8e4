package retries

import (
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
)

// A client is an http.RoundTripper with a pool of sessions. The kinds of requests are those
// that its tests send.
type client struct {
	name  string
	kinds []kind
	make  func(o *origin) http.RoundTripper
}

var clients = []client{
	{"Transport", kinds, func(o *origin) http.RoundTripper {
		tr := &spdy.Transport{Config: o.conf, DialContext: o.dial}
		o.t.Cleanup(tr.CloseIdleConnections)
		return tr
	}},
	{"ConfigureTransport", kinds[:4], func(o *origin) http.RoundTripper {
		o.secure = true
		tr := &http.Transport{DialContext: o.dial, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
		require.NoError(o.t, spdy.ConfigureTransport(tr, o.conf))
		o.t.Cleanup(tr.CloseIdleConnections)
		return tr
	}},
}

// http1Client is the oracle.
func http1Client(o *origin) http.RoundTripper {
	o.http1 = true
	tr := &http.Transport{DialContext: o.dial}
	o.t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// The kind of a request decides when a client may send it again.
type kind struct {
	name       string
	method     string
	body       bool
	key        bool // there is an Idempotency-Key
	rewindable bool // there is no body, or GetBody returns another body
	replayable bool // servers may process the request twice
}

var kinds = []kind{
	{name: "GET", method: "GET", rewindable: true, replayable: true},
	{name: "POST", method: "POST", body: true, rewindable: true},
	{name: "POST, body read", method: "POST", body: true},
	{name: "POST with a key", method: "POST", body: true, key: true, rewindable: true, replayable: true},
	{name: "no method", rewindable: true, replayable: true},
	{name: "OPTIONS", method: "OPTIONS", rewindable: true, replayable: true},
	{name: "GET with a body", method: "GET", body: true, rewindable: true, replayable: true},
	{name: "GET, body read", method: "GET", body: true},
	{name: "POST without a body", method: "POST", rewindable: true},
	{name: "POST with a key, body read", method: "POST", body: true, key: true},
	{name: "DELETE with a key", method: "DELETE", key: true, rewindable: true, replayable: true},
	{name: "PUT", method: "PUT", body: true, rewindable: true},
}

// request makes a request of that kind.
func (k kind) request(o *origin) *http.Request {
	var body io.Reader
	if k.body {
		body = strings.NewReader("text") // for which net/http sets GetBody
	}
	req := o.request("GET", "/", body)
	req.Method = k.method
	if k.key {
		req.Header["X-Idempotency-Key"] = nil
	}
	if !k.rewindable {
		req.GetBody = nil
	}
	return req
}

// fetch returns the answer's body.
func fetch(rt http.RoundTripper, req *http.Request) (string, error) {
	res, err := rt.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return string(body), err
}

// requireRetryable wants the error of a request that a server has not processed.
func requireRetryable(t *testing.T, err error) {
	t.Helper()
	var reset *spdy.StreamError
	require.ErrorAs(t, err, &reset)
	require.True(t, reset.Retryable())
}

// requirePeerError wants the error that the peer has reported by GOAWAY.
func requirePeerError(t *testing.T, err error, status spdy.GoAwayStatus) {
	t.Helper()
	var ended *spdy.SessionError
	require.ErrorAs(t, err, &ended)
	require.True(t, ended.Remote)
	require.Equal(t, status, ended.Status)
	var reset *spdy.StreamError
	require.NotErrorAs(t, err, &reset, "it is not Retryable")
}

// requireLost wants the error of a lost connection.
func requireLost(t *testing.T, err error) {
	t.Helper()
	var lost *spdy.ConnError
	require.ErrorAs(t, err, &lost)
}
