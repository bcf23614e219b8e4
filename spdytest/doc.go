// Package spdytest has SPDY servers and sessions for tests, as net/http/httptest has
// servers for HTTP.
//
// NewServer and NewTLSServer start a server on a port of the loopback interface, and
// Server.Client is an http.Client that speaks SPDY to it:
//
//	srv := spdytest.NewServer(handler)
//	defer srv.Close()
//	res, err := srv.Client().Get(srv.URL)
//
// NewMemoryServer and NewMemoryTLSServer do the same without a network, and NewPair
// makes a client's session and a server's with nothing but memory between them. In
// these whatever waits is durably blocked in the sense of testing/synctest, so that in
// a bubble an hour of timeouts takes no time:
//
//	synctest.Test(t, func(t *testing.T) {
//		pair := spdytest.NewPair(handler)
//		defer pair.Close()
//		pair.SetLatency(time.Second)
//		res, err := pair.Client.RoundTrip(req) // two seconds later, at once
//		…
//	})
//
// What is made in a bubble must be closed in it.
package spdytest
