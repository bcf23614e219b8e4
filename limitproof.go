package spdy

import "time"

// A limitProof is what a session knows of whether its peer has seen the SETTINGS with our
// MAX_CONCURRENT_STREAMS. A peer that has not may open as many streams as it likes: they
// are refused, and it breaks no rule. When the first one has to be refused, a PING behind
// the SETTINGS asks for the proof. The echo of a PING may overtake SYN_STREAMs that wait
// at the peer, so there is some time for these. Guarded by Session.mu.
type limitProof struct {
	ping  uint32        // id of the PING without an echo; 0 for none
	asked time.Time     // when it was queued; zero before the first refusal
	trip  time.Duration // what its echo took
}

// How long after the PING the peer is taken to have opened its streams without knowing our
// limit: limitTrips round trips, and at least limitWait; limitMute if no echo comes.
const (
	limitWait  = time.Second
	limitTrips = 4
	limitMute  = 10 * time.Second
)

// limitKnownLocked reports whether a stream that the peer opens beyond our limit breaks a
// rule. It asks for the proof when it is called first.
func (s *Session) limitKnownLocked() bool {
	p := &s.limitProof
	switch {
	case s.blind() || s.unaware != nil && !s.unaware.announced: // the peer looks at no SETTINGS, or there were none
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

// limitSeenLocked takes the echo of a PING of ours.
func (s *Session) limitSeenLocked(id uint32) {
	if p := &s.limitProof; id == p.ping && id != 0 {
		p.ping, p.trip = 0, time.Since(p.asked)
	}
}
