package spdy

import (
	"net"
	"sync/atomic"
	"time"
)

// ErrDeliveryTimeout is why a session ended whose peer has not confirmed, for
// Config.DeliveryTimeout, that it has received the end of what was sent. Shutdown returns
// a *ConnError that wraps it, and that is a net.Error whose Timeout method reports true.
var ErrDeliveryTimeout error = timeoutError("the peer does not confirm that it has received everything")

// A graceful end is a delivery. When the last stream has ended, its bytes are with the
// kernel, and a connection that is closed then loses those that the peer has not read: a
// frame of the peer that meets a closed socket draws a reset, which discards them. So the
// session sends a PING behind its last frame, and closes when the echo has come. The peer's
// own close does as well.
const (
	// deliveryGrace is the silence after which our direction is closed although no echo has
	// come: the peer may answer no PING, and wait for us. It loses the peer nothing.
	deliveryGrace = 5 * time.Second

	// mutePeerGrace is deliveryGrace where no PING may be sent. Clients are known that lose
	// an answer whose last frame is followed by the end of the connection at once.
	mutePeerGrace = 200 * time.Millisecond

	// deliveryLooks is how often a delivery looks for progress in DeliveryTimeout.
	deliveryLooks = 16

	// maxUnattended bounds the deliveries of a process that no Shutdown waits for. Beyond it
	// sessions close without a receipt.
	maxUnattended = 4096
)

// epoch is what times are counted from that a session keeps: a time.Time takes three words.
var epoch = time.Now()

// unattended counts the deliveries of the process that no Shutdown waits for.
var unattended atomic.Int32

// A delivery is the wait for the receipt. Guarded by Session.mu.
type delivery struct {
	ping   uint32        // the id of the PING behind the last frame; 0 if none is sent
	grace  time.Duration // the silence after which our direction is closed
	timer  *time.Timer   // looks for progress; ends with the session
	seen   progress      // at the last look
	moved  time.Time     // when progress was last seen
	alone  bool          // counted in unattended
	closes bool          // the sender is to close our direction
	closed bool          // it has
}

// progress is evidence that a peer receives. Two that differ show that it does.
type progress struct {
	received, sent int64 // bytes read from the connection, and written to it
	unacknowledged int   // bytes that the kernel keeps for the peer, 0 if it does not tell
}

// evidence returns what can be seen of the peer at present.
func (s *Session) evidence() progress {
	return progress{s.in.total.Load(), s.stats.bytesSent.Load(), unacknowledged(s.conn)}
}

// A receipt tells whether the peer has received all of the streams that we have ended with
// FIN; what we have reset is nobody's. PINGs are answered in order, so that the echo of any
// that was queued later proves it. Guarded by Session.mu.
type receipt struct {
	owed      bool   // a FIN was sent since the last PING
	unwritten bool   // a FIN is in the batch that the sender writes
	ping      uint32 // the id of a PING behind those that were sent before; 0 if they are proven
}

func (r *receipt) sent() { r.owed, r.unwritten = true, true }

func (r *receipt) asked(id uint32) {
	if r.owed {
		r.owed, r.ping = false, id
	}
}

func (r *receipt) echoed(id uint32) {
	if r.ping == id {
		r.ping = 0
	}
}

func (r *receipt) missing() bool { return r.owed || r.ping != 0 }

// deliver begins the delivery of a session on which nothing is open any more. It reports
// false if there is nothing to wait for: the session is to end at once.
func (s *Session) deliverLocked() bool {
	left := s.deliveryLeftLocked()
	if left <= 0 {
		return false
	}
	alone := s.end.waiting == 0
	if alone && unattended.Add(1) > maxUnattended {
		unattended.Add(-1)
		return false
	}
	s.goAwayLocked()
	d := &delivery{grace: deliveryGrace, alone: alone, moved: time.Now().Add(left - s.conf.DeliveryTimeout)}
	if s.silent || s.holdsPings() {
		d.grace = mutePeerGrace
	} else {
		d.ping = s.nextPingLocked()
		s.sendPingLocked(d.ping)
	}
	s.alive.deliver()
	s.end.delivery, d.seen = d, s.evidence()
	d.timer = time.AfterFunc(min(d.grace, left), s.lookDelivered)
	s.ringLocked()
	return true
}

// deliveryLeftLocked is for how long a delivery that begins now may see no progress. A
// session has been silent since its last stream ended, or the keepalive last saw a byte.
func (s *Session) deliveryLeftLocked() time.Duration {
	switch {
	case !s.started || s.end.lost || s.end.farewell != nil || s.end.writeErr != nil:
		return 0
	case !s.end.receipt.missing():
		return 0
	}
	return s.conf.DeliveryTimeout - (time.Since(epoch) - s.end.rested)
}

// deliveredLocked takes the echo of a PING, and reports whether it is the receipt.
func (s *Session) deliveredLocked(ping uint32) bool {
	s.end.receipt.echoed(ping)
	d := s.end.delivery
	return d != nil && d.ping == ping && s.end.err == nil
}

// lookDelivered is what a delivery's timer does.
func (s *Session) lookDelivered() {
	now, seen := time.Now(), s.evidence()
	s.mu.Lock()
	d := s.end.delivery
	if s.end.err != nil {
		s.mu.Unlock()
		return
	}
	if seen != d.seen {
		d.seen, d.moved = seen, now
	}
	silence, limit := now.Sub(d.moved), s.conf.DeliveryTimeout
	if silence >= limit {
		s.mu.Unlock()
		s.shutdown(&ConnError{Err: ErrDeliveryTimeout})
		return
	}
	next := limit - silence
	if !d.closes {
		if d.closes = silence >= d.grace; !d.closes {
			next = min(next, d.grace-silence)
		}
	}
	d.timer.Reset(min(next, limit/deliveryLooks))
	closes := d.closes
	s.mu.Unlock()
	if closes {
		s.ring()
	}
}

// partedLocked reports that both sides have said GOAWAY, and that nothing is open: a peer that
// hangs up now wants no more. One whose last FIN could not be written has not hung up: it
// would have waited for that.
func (s *Session) partedLocked() bool { return s.end.delivery != nil && s.end.heardGoAway }

// stopLocked ends a delivery with its session. It may be called on nil.
func (d *delivery) stopLocked() {
	if d == nil {
		return
	}
	d.timer.Stop()
	if d.alone {
		unattended.Add(-1)
	}
}

// closesHalfLocked reports whether the sender is to close our direction now, and notes that
// it does.
func (s *Session) closesHalfLocked() bool {
	d := s.end.delivery
	if d == nil || !d.closes || d.closed || s.end.err != nil {
		return false
	}
	d.closed = true
	return true
}

// halfClosedLocked reports that nothing can be written any more.
func (s *Session) halfClosedLocked() bool { return s.end.delivery != nil && s.end.delivery.closed }

// closeHalf closes our direction if that is due. Called by the sender when nothing is left
// to write.
func (s *Session) closeHalf() {
	s.mu.Lock()
	due := s.closesHalfLocked()
	s.mu.Unlock()
	if due {
		closeDirection(s.conn)
	}
}

// closeDirection closes our direction of a connection, and reports whether that was possible.
func closeDirection(conn net.Conn) bool {
	c, ok := conn.(interface{ CloseWrite() error })
	return ok && c.CloseWrite() == nil
}
