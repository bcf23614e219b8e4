// Package strangers is the acceptance suite for a promise: no user of a session reaches
// another.
//
// Twelve honest users and a PING share a connection to an origin with strangers. A Deed is a
// kind of behaviour that any user is free to show. A Way is a path of requests to the origin:
// directly on a session, or through a front that multiplexes the requests of many users on a
// session. The same deeds run over golang.org/x/net/http2 for comparison. Play runs a deed on
// a way in a bubble of testing/synctest and returns a Verdict: the effect on the honest users.
// Time is fake and the link has a known latency and bandwidth, so shares and round trips do
// not depend on the machine.
//
//	go test ./tests/strangers ./examples/internal/tunnel -run '^TestStrangers'
//	go test -p 1 ./tests/strangers ./examples/internal/tunnel -run '^TestStrangers' -write
//
// The second command writes the figures into docs/attacks.md. The package is for the tests of
// this module and has no stable API.
package strangers
