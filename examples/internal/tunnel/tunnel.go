// Package tunnel implements the relay example: a server behind NAT, the origin, dials out to a
// public proxy, and the proxy forwards the requests of ordinary HTTP clients over that connection.
//
//	HTTP client ──HTTP/1.1──▶ proxy ◀──dials── origin
//	                            └──SPDY/3.1 requests──▶
//
// The connection starts with one HTTP/1.1 request in which the origin identifies itself, and
// becomes a SPDY session after the proxy has agreed:
//
//	GET /tunnel/home HTTP/1.1          HTTP/1.1 101 Switching Protocols
//	Authorization: Bearer <token>      Connection: Upgrade
//	Connection: Upgrade                Upgrade: SPDY/3.1
//	Upgrade: SPDY/3.1
//
// From then on the roles are reversed: the origin, which dialled, is the server of the session, and
// the proxy, which accepted, is the client.
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

	// handshakeTime is the time limit of either side for the handshake.
	handshakeTime = 10 * time.Second
)

// A RefusedError is the proxy's response to an origin that the proxy refuses.
type RefusedError struct {
	Status  int // HTTP status
	Message string
}

// Error returns the proxy's status and message.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("the proxy refused the tunnel: %d %s: %s", e.Status, http.StatusText(e.Status), e.Message)
}

// Permanent reports whether a retry without a change is useless.
func (e *RefusedError) Permanent() bool {
	return e.Status == http.StatusUnauthorized || e.Status == http.StatusUpgradeRequired
}

// keepAlive pings the peer periodically, and ends the session if the peer does not reply: a NAT on
// the path drops idle connections silently. keepAlive returns when the session has ended.
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

// shutdown ends a session gracefully, within d.
func shutdown(s *spdy.Session, d time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return s.Shutdown(ctx)
}
