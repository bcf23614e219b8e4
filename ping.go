package spdy

import (
	"context"
	"encoding/binary"
	"time"
)

// PingContext measures a round trip to the peer (SPDY/3.1 §2.6.5). Any number of calls may run at
// once. PingContext fails with the context's error, or with the session's error.
func (s *Session) PingContext(ctx context.Context) (time.Duration, error) {
	s = s.made()
	w := newPingWaiter()
	s.mu.Lock()
	if s.end.err != nil {
		defer s.mu.Unlock()
		return 0, s.end.err
	}
	id := s.pingLocked(w)
	s.mu.Unlock()
	s.flow.ringRoom() // the echo must not wait for a reader, see shed
	s.ring()
	rtt, echoed := awaitVerdict(w.verdict, s.end.done, ctx.Done())
	if echoed {
		return rtt, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.pings, id)
	if err := causeOf(ctx); err != nil { // the context may have ended before the session
		return 0, err
	}
	return 0, s.end.err
}

// nextPingLocked returns the id of our next PING, whose echo is a receipt.
func (s *Session) nextPingLocked() uint32 {
	id := s.pingIDLocked()
	s.end.receipt.asked(id)
	return id
}

// pingIDLocked returns the next id.
func (s *Session) pingIDLocked() uint32 {
	id := s.nextPing
	s.nextPing += 2 // wraps after 2^31 PINGs, keeping the parity (SPEC P3)
	if s.nextPing == 0 {
		s.nextPing = 2
	}
	return id
}

func newPingWaiter() pingWaiter {
	return pingWaiter{sent: time.Now(), verdict: make(chan time.Duration, 1)}
}

// pingLocked queues a PING for a waiter and returns the id of the PING.
func (s *Session) pingLocked(w pingWaiter) (id uint32) {
	id = s.nextPingLocked()
	s.awaitPingLocked(id, w)
	return id
}

// quietPing is set in the ids of keepalive PINGs with Config.PingProof.
const quietPing = 1 << 30

// quietPingLocked is pingLocked for the keepalive.
func (s *Session) quietPingLocked(w pingWaiter) (id uint32) {
	if !s.conf.PingProof {
		return s.pingLocked(w)
	}
	id = s.pingIDLocked() | quietPing
	s.end.receipt.asked(id)
	s.awaitPingLocked(id, w)
	return id
}

// awaitPingLocked registers a waiter and queues the PING.
func (s *Session) awaitPingLocked(id uint32, w pingWaiter) {
	if s.pings == nil {
		s.pings = make(map[uint32]pingWaiter)
	}
	s.pings[id] = w
	if !s.holdsPings() { // otherwise heard sends the PING
		s.sendPingLocked(id)
	}
}

// sendPingLocked queues a PING, whose echo is not charged to the peer.
func (s *Session) sendPingLocked(id uint32) {
	s.control = appendPing(s.control, s.version, id)
	s.floods.echoes++
}

// Ping sends a PING and reports whether the echo arrived within d.
func (s *Session) Ping(d time.Duration) (pinged bool) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	_, err := s.PingContext(ctx)
	return err == nil
}

// SendGoaway sends a GOAWAY frame with the given payload of 8 bytes, the last good stream id and
// the status, and begins to drain the session: new streams are refused, and the session ends when
// the open streams have ended. GOAWAY has no flags; f is ignored. A payload of another length is
// replaced by the session's own last good id and the status OK. Shutdown does the same and waits.
func (s *Session) SendGoaway(f FrameFlags, dat []byte) {
	s = s.made()
	if len(dat) == 8 {
		s.mu.Lock()
		if s.end.err == nil && !s.blind() {
			last := binary.BigEndian.Uint32(dat) & maxStreamID
			status := GoAwayStatus(binary.BigEndian.Uint32(dat[4:]))
			s.control = appendGoAway(s.control, s.version, last, status)
			s.end.saidGoAway = true
		}
		s.mu.Unlock()
	}
	s.goAway()
}
