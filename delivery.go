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

	// maxTrip bounds the round trip that a session lingers besides.
	maxTrip = 10 * time.Second

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
	ping     uint32        // the id of the PING behind the last frame; 0 if none is sent
	grace    time.Duration // the silence after which our direction is closed
	timer    *time.Timer   // looks for progress; ends with the session
	seen     progress      // at the last look
	began    time.Time
	trip     time.Duration // how long the echo of the PING took; 0 before it
	moved    time.Time     // when progress was last seen
	looks    time.Time     // when the timer looks next
	patience time.Duration // the silence that ends the session
	stale    bool          // the peer had been silent for DeliveryTimeout before, and nothing shows that it lives
	alone    bool          // counted in unattended
	closes   bool          // the sender is to close our direction
	closed   bool          // it has
	whole    bool          // it could not: the connection closes as a whole
	written  bool          // the last frame is written: seen is what was seen then, or later
}

// farewellSize is more than the last GOAWAY and PING take, in bytes, with the records of TLS.
const farewellSize = 128

// progress is evidence that a peer receives.
type progress struct {
	received, sent int64 // bytes read from the connection, and written to it
	unacknowledged int   // bytes that the kernel keeps for the peer, 0 if it does not tell
}

// Unacknowledged returns the number of bytes written to the connection that the system of
// the peer has not acknowledged. It is known of TCP on Linux, also below TLS and below
// connections that have a method NetConn() net.Conn; elsewhere it is 0.
func (s *Session) Unacknowledged() int { return unacknowledged(s.made().conn) }

// since reports that the peer has received something since an earlier look. The
// acknowledgement of the farewell does not count: the system of a peer that is stuck sends
// that, too.
func (p progress) since(before progress) bool {
	return p.received != before.received || p.sent != before.sent ||
		p.unacknowledged < before.unacknowledged-farewellSize
}

// evidence returns what can be seen of the peer at present.
func (s *Session) evidence() progress {
	return progress{s.in.total.Load(), s.stats.bytesSent.Load(), unacknowledged(s.conn)}
}

// A receipt tells whether the peer has received all of the streams that we have ended. PINGs
// are answered in order, so that the echo of any that was queued later proves it. Guarded by Session.mu.
type receipt struct {
	owed      bool   // a FIN, or a RST_STREAM behind data, was sent since the last PING
	unwritten bool   // one of them is in the batch that the sender writes
	ping      uint32 // the id of a PING behind those that were sent before; 0 if they are proven
}

func (r *receipt) sent() { r.owed, r.unwritten = true, true }

// reset notes that we reset a stream: the peer is to have the part of an answer that was sent,
// and a raw stream that was opened with FIN, if no reply shows that it has.
func (r *receipt) reset(st *Stream) {
	ours, opened := st.state.ours, st.raw != nil && st.state.outDone && !st.state.replied
	if ours && opened || !ours && st.state.replied {
		r.sent()
	}
}

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

// deliverLocked begins the delivery of a session on which nothing is open any more. It
// reports false if there is nothing to wait for: the session is to end at once.
func (s *Session) deliverLocked() bool {
	limit := s.conf.DeliveryTimeout
	if !s.started || s.end.lost || s.end.farewell != nil || s.end.writeErr != nil ||
		!s.end.receipt.missing() || limit <= 0 || s.abandonedLocked() {
		return false
	}
	alone := s.end.waiting == 0
	if alone && unattended.Add(1) > maxUnattended {
		unattended.Add(-1)
		return false
	}
	s.goAwayLocked()
	silence := s.silenceLocked()
	patience := max(limit-silence, min(limit, deliveryGrace))
	d := &delivery{patience: patience, stale: silence >= limit, alone: alone, began: time.Now()}
	d.moved = d.began
	if s.silent || s.holdsPings() {
		d.grace = mutePeerGrace
	} else {
		d.grace = deliveryGrace
		d.ping = s.nextPingLocked()
		s.sendPingLocked(d.ping)
	}
	d.grace = min(d.grace, patience/2)
	s.alive.deliver()
	d.looks = d.began.Add(d.grace)
	s.end.delivery, d.seen = d, progress{received: s.in.total.Load(), sent: s.stats.bytesSent.Load()}
	d.timer = time.AfterFunc(d.grace, s.lookDelivered)
	s.ringLocked()
	return true
}

// silenceLocked is for how long the peer has been silent: since the last stream ended, or 0 if
// it has sent anything since.
func (s *Session) silenceLocked() time.Duration {
	if s.in.total.Load() != s.end.heard {
		return 0
	}
	return time.Since(epoch) - s.end.rested
}

// deliveredLocked takes the echo of a PING, and reports whether it is the receipt.
func (s *Session) deliveredLocked(ping uint32) bool {
	s.end.receipt.echoed(ping)
	d := s.end.delivery
	if d == nil || d.ping != ping || s.end.err != nil {
		return false
	}
	d.trip = time.Since(d.began)
	return true
}

// linger is how long a session waits for its peer to close, before it does: the peer may
// have sent a PING as well, and the end of the connection is on its way to it.
func (d *delivery) linger() time.Duration {
	if d == nil {
		return linger
	}
	return linger + min(d.trip, maxTrip)
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
	switch {
	case seen.since(d.seen):
		d.seen, d.moved, d.patience, d.stale = seen, now, s.conf.DeliveryTimeout, false
	case d.stale && d.outstanding(seen): // all of the time, from the beginning
		d.patience, d.stale = s.conf.DeliveryTimeout, false
	}
	if late := now.Sub(d.looks); wasFrozen(late) {
		d.moved = d.moved.Add(late) // what the peer has sent meanwhile has not been read
		d.looksIn(now, thawTime)
		s.mu.Unlock()
		return
	}
	silence, limit := now.Sub(d.moved), d.patience
	if silence >= limit {
		s.mu.Unlock()
		s.shutdown(&ConnError{Err: ErrDeliveryTimeout})
		return
	}
	if d.closesWhole(silence, seen) {
		reason := s.reasonLocked(ErrSessionClosed)
		s.mu.Unlock()
		s.shutdown(reason)
		return
	}
	next := limit - silence
	if !d.closes {
		if d.closes = silence >= d.grace; !d.closes {
			next = min(next, d.grace-silence)
		}
	}
	d.looksIn(now, min(next, limit/deliveryLooks))
	closes := d.closes
	s.mu.Unlock()
	if closes {
		s.ring()
	}
}

func (d *delivery) looksIn(now time.Time, wait time.Duration) {
	d.looks = now.Add(wait)
	d.timer.Reset(wait)
}

// outstanding reports that more than the farewell has not reached the system of the peer: a
// reader that pauses may still want it, for however long it has paused before.
func (d *delivery) outstanding(seen progress) bool {
	return !d.written || seen.unacknowledged > farewellSize
}

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

// closesHalfLocked reports whether the sender is to close our direction now.
func (s *Session) closesHalfLocked() bool {
	d := s.end.delivery
	return d != nil && d.closes && !d.closed && !d.whole && s.end.err == nil
}

// closeHalf closes our direction. If that is not possible, the timer looks at once whether the
// connection can be closed as a whole. Called by the sender.
func (s *Session) closeHalf() {
	closed := closeDirection(s.conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.end.delivery
	d.closed, d.whole = closed, !closed
	if d.whole && s.end.err == nil {
		d.looksIn(time.Now(), 0)
	}
}

// closesWhole reports whether to end the delivery to a silent peer whose connection has no half
// close, so that nothing but the end of all can tell it that this was all. Its system has
// acknowledged every byte, as far as that is known.
func (d *delivery) closesWhole(silence time.Duration, seen progress) bool {
	return d.whole && silence >= min(deliveryGrace, d.patience/2) && !d.outstanding(seen)
}

// halfClosedLocked reports that nothing can be written any more.
func (s *Session) halfClosedLocked() bool { return s.end.delivery != nil && s.end.delivery.closed }

// allWritten is called by the sender when nothing is left to write. It closes our direction
// if that is due.
func (s *Session) allWritten() {
	s.mu.Lock()
	due, first := s.closesHalfLocked(), s.end.delivery != nil && !s.end.delivery.written
	s.mu.Unlock()
	if due {
		s.closeHalf()
	}
	if first { // our own farewell is no sign of the peer
		seen := s.evidence()
		s.mu.Lock()
		s.end.delivery.written, s.end.delivery.seen = true, seen
		s.mu.Unlock()
	}
}

// askLateLocked sends the PING of a delivery that began when none could be sent.
func (s *Session) askLateLocked() {
	if d := s.end.delivery; d != nil && d.ping == 0 && !d.closed && s.end.err == nil {
		d.ping = s.nextPingLocked()
		s.sendPingLocked(d.ping)
	}
}

// closeDirection closes our direction of a connection, and reports whether that was possible.
func closeDirection(conn net.Conn) bool {
	c, ok := conn.(halfCloser)
	return ok && c.CloseWrite() == nil
}
