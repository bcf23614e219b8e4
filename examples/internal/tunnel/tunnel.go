// Package tunnel is what the relay example is made of: a server behind NAT, the
// origin, dials out to a public proxy, and the proxy hands the requests of
// ordinary HTTP clients down that connection.
//
//	HTTP client ──HTTP/1.1──▶ proxy ◀──dials── origin
//	                            └──SPDY/3.1 requests──▶
//
// The connection begins with one HTTP/1.1 request by which the origin says who it
// is, and turns into a SPDY session once the proxy has agreed:
//
//	GET /tunnel/home HTTP/1.1          HTTP/1.1 101 Switching Protocols
//	Authorization: Bearer <token>      Connection: Upgrade
//	Connection: Upgrade                Upgrade: SPDY/3.1
//	Upgrade: SPDY/3.1
//
// From then on the roles are turned around: the origin, which dialled, is the
// server of the session, and the proxy, which accepted, its client.
package tunnel

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/amahi/spdy"
)

const (
	upgradeTo  = "SPDY/3.1"
	pathPrefix = "/tunnel/"

	// handshakeTime is how long either side waits for the other to become a
	// SPDY peer.
	handshakeTime = 10 * time.Second
)

// A RefusedError is the proxy's answer to an origin that it does not let in.
type RefusedError struct {
	Status  int // of HTTP
	Message string
}

// Error says what the proxy said.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("the proxy refused the tunnel: %d %s: %s", e.Status, http.StatusText(e.Status), e.Message)
}

// Permanent reports that trying again without a change is no use.
func (e *RefusedError) Permanent() bool {
	return e.Status == http.StatusUnauthorized || e.Status == http.StatusUpgradeRequired
}

// keepAlive pings the peer now and then, and ends the session of one that does
// not answer: a NAT in between forgets idle connections without telling anybody.
// It returns when the session has ended.
func keepAlive(s *spdy.Session, every, patience time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-s.Done():
			return
		case <-tick.C:
		}
		if !s.Ping(patience) {
			s.Close()
			return
		}
	}
}

// shutdown ends a session gracefully, but not later than in d.
func shutdown(s *spdy.Session, d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return s.Shutdown(ctx)
}
