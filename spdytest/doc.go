// Package spdytest provides SPDY servers and sessions for tests, as net/http/httptest provides HTTP
// servers.
//
// NewServer and NewTLSServer start a server on a port of the loopback interface, and Server.Client
// is an http.Client that speaks SPDY to the server:
//
//	srv := spdytest.NewServer(handler)
//	defer srv.Close()
//	res, err := srv.Client().Get(srv.URL)
//
// NewMemoryServer and NewMemoryTLSServer do the same without a network, and NewPair creates a
// client session and a server session connected in memory. A goroutine that waits on these is
// durably blocked in the sense of testing/synctest, so in a bubble an hour of timeouts passes at
// once:
//
//	synctest.Test(t, func(t *testing.T) {
//		pair := spdytest.NewPair(handler)
//		defer pair.Close()
//		pair.SetLatency(time.Second)
//		res, err := pair.Client.RoundTrip(req) // two seconds later, at once
//		…
//	})
//
// Servers and pairs created in a bubble must be closed in the same bubble.
package spdytest
