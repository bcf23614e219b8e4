package spdy

import "time"

// A limitProof records whether the peer has seen the SETTINGS with our MAX_CONCURRENT_STREAMS.
// Before that, the peer may open any number of streams: excess streams are refused, but the peer
// breaks no rule. When the first stream is refused, a PING queued after the SETTINGS requests the
// proof. The echo of a PING may overtake SYN_STREAMs queued at the peer, so a grace period follows.
// Guarded by Session.mu.
type limitProof struct {
	ping  uint32        // id of the PING without an echo; 0 for none
	asked time.Time     // when the PING was queued; zero before the first refusal
	trip  time.Duration // round trip of the PING
}

// The grace period after the PING, in which the peer may have opened streams without knowing our
// limit: limitTrips round trips, and at least limitWait; limitMute without an echo.
const (
	limitWait  = time.Second
	limitTrips = 4
	limitMute  = 10 * time.Second
)

// limitKnownLocked reports whether a stream that the peer opens beyond our limit breaks a rule. The
// first call requests the proof.
func (s *Session) limitKnownLocked() bool {
	p := &s.limitProof
	switch {
	case s.blind() || s.unaware != nil && !s.unaware.announced: // the peer ignores SETTINGS, or there were none
		return false
	case p.asked.IsZero():
		p.ping, p.asked = s.nextPingLocked(), time.Now()
		s.sendPingLocked(p.ping)
		s.ringLocked()
		return false
	case p.ping != 0:
		return time.Since(p.asked) >= limitMute
	}
	return time.Since(p.asked) >= max(limitWait, limitTrips*p.trip)
}

// limitSeenLocked handles the echo of our PING.
func (s *Session) limitSeenLocked(id uint32) {
	if p := &s.limitProof; id == p.ping && id != 0 {
		p.ping, p.trip = 0, time.Since(p.asked)
	}
}
