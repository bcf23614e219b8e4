package spdy

import (
	"net"
	"sync/atomic"
	"time"
)

// ErrDeliveryTimeout ends a session whose peer has not confirmed, within Config.DeliveryTimeout,
// that it has received everything sent. Shutdown returns a *ConnError that wraps it. The *ConnError
// is a net.Error whose Timeout method returns true.
var ErrDeliveryTimeout error = timeoutError("the peer does not confirm that it has received everything")

// A graceful end is a delivery. When the last stream has ended, the last bytes are in the kernel.
// Closing the connection then loses unread bytes: a frame from the peer that arrives at a closed
// socket triggers a TCP reset, which discards them. So the session sends a PING after its last
// frame, and closes when the echo arrives or the peer closes.
const (
	// deliveryGrace is the silence after which we close our direction without an echo: the peer may
	// not answer PINGs and wait for us. The half close loses no bytes.
	deliveryGrace = 5 * time.Second

	// mutePeerGrace is deliveryGrace where no PING may be sent. Some clients lose a response whose
	// last frame is followed immediately by the end of the connection.
	mutePeerGrace = 200 * time.Millisecond

	// maxTrip bounds the round trip added to the linger time.
	maxTrip = 10 * time.Second

	// deliveryLooks is the number of checks for progress in DeliveryTimeout.
	deliveryLooks = 16

	// maxUnattended bounds the deliveries of a process for which no Shutdown waits. Beyond it
	// sessions close without a receipt.
	maxUnattended = 4096
)

// epoch is the origin of the times stored by a session: a time.Time needs three words.
var epoch = time.Now()

// unattended counts the deliveries of the process for which no Shutdown waits.
var unattended atomic.Int32

// A delivery is the wait for the receipt. Guarded by Session.mu.
type delivery struct {
	ping     uint32        // the id of the PING after the last frame; 0 if none is sent
	grace    time.Duration // the silence after which our direction is closed
	timer    *time.Timer   // checks for progress; stops with the session
	seen     progress      // progress at the last check
	began    time.Time
	trip     time.Duration // round trip of the PING; 0 before the echo
	moved    time.Time     // when progress was last seen
	looks    time.Time     // when the timer fires next
	limit    time.Duration // DeliveryTimeout, or less, see deliveryLimitLocked
	patience time.Duration // the silence that ends the session; not above limit
	stale    bool          // the peer was silent for DeliveryTimeout before, without a sign of life since
	alone    bool          // counted in unattended
	closes   bool          // the sender must close our direction
	closed   bool          // the sender has closed our direction
	whole    bool          // half close is impossible: the whole connection must close
	written  bool          // the last frame is written, and seen is no older
}

// farewellSize is an upper bound for the bytes of the last GOAWAY and PING with their TLS records.
const farewellSize = 128

// progress is evidence that the peer receives.
type progress struct {
	received, sent int64 // bytes read from and written to the connection
	unacknowledged int   // bytes in the kernel's send queue, 0 if unknown
}

// Unacknowledged returns the number of bytes written to the connection and not acknowledged by the
// peer's system. It works for TCP on Linux, also below TLS and below connections with a method
// NetConn() net.Conn. Elsewhere it returns 0.
func (s *Session) Unacknowledged() int { return unacknowledged(s.made().conn) }

// since reports whether the peer has received anything since an earlier check. The acknowledgement
// of the farewell does not count: the system of a stuck peer sends it, too.
func (p progress) since(before progress) bool {
	return p.received != before.received || p.sent != before.sent ||
		p.unacknowledged < before.unacknowledged-farewellSize
}

// evidence returns the current progress of the peer.
func (s *Session) evidence() progress {
	return progress{s.in.total.Load(), s.stats.bytesSent.Load(), unacknowledged(s.conn)}
}

// A receipt records whether the peer has confirmed all data of the streams that we ended. PINGs are
// answered in order, so the echo of any later PING is proof. Guarded by Session.mu.
type receipt struct {
	owed      bool   // a FIN, or a RST_STREAM after data, was sent since the last PING
	unwritten bool   // such a frame is in the batch being written
	ping      uint32 // the id of a PING sent after such frames; 0 if they are confirmed
}

func (r *receipt) sent() { r.owed, r.unwritten = true, true }

// reset records that we reset a stream. Two things must still reach the peer before the connection
// closes: the part of a response sent before the reset, and a raw stream opened with FIN that no
// reply has confirmed.
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

// deliverLocked begins the delivery of a session without open streams. It returns false if there is
// nothing to wait for: the session must end at once.
func (s *Session) deliverLocked() bool {
	limit := s.deliveryLimitLocked()
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
	d := &delivery{limit: limit, patience: patience, stale: silence >= limit, alone: alone, began: time.Now()}
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

// deliveryLimitLocked returns the silence that ends a delivery. A connection that counts towards
// MaxConnsPerHost keeps requests from another connection, so its peer has only the time after which
// the session of a silent peer is retired.
func (s *Session) deliveryLimitLocked() time.Duration {
	limit := s.conf.DeliveryTimeout
	if s.pooled != nil && s.pooled.pool.limitsConns() && s.end.waiting == 0 {
		limit = min(limit, s.retireAfterLocked())
	}
	return limit
}

// silenceLocked returns how long the peer has been silent since the last stream ended, or 0 if the
// peer has sent anything since.
func (s *Session) silenceLocked() time.Duration {
	if s.in.total.Load() != s.end.heard {
		return 0
	}
	return time.Since(epoch) - s.end.rested
}

// deliveredLocked processes the echo of a PING and reports whether the echo is the receipt.
func (s *Session) deliveredLocked(ping uint32) bool {
	s.end.receipt.echoed(ping)
	d := s.end.delivery
	if d == nil || d.ping != ping || s.end.err != nil {
		return false
	}
	d.trip = time.Since(d.began)
	return true
}

// linger returns how long a session waits for the peer to close before closing the connection. The
// peer may have sent a PING, too, and then waits for the end of the connection.
func (d *delivery) linger() time.Duration {
	if d == nil {
		return linger
	}
	return linger + min(d.trip, maxTrip)
}

// lookDelivered runs when the timer of a delivery fires.
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
		d.seen, d.moved, d.patience, d.stale = seen, now, d.limit, false
	case d.stale && d.outstanding(seen): // restart with the full time
		d.patience, d.stale = d.limit, false
	}
	if late := now.Sub(d.looks); wasFrozen(late) {
		d.moved = d.moved.Add(late) // bytes from the peer may be unread
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

// outstanding reports whether more than the farewell has not reached the peer's system. A paused
// reader may still want those bytes, however long the pause.
func (d *delivery) outstanding(seen progress) bool {
	return !d.written || seen.unacknowledged > farewellSize
}

// stopLocked stops a delivery when the session ends. It may be called on nil.
func (d *delivery) stopLocked() {
	if d == nil {
		return
	}
	d.timer.Stop()
	if d.alone {
		unattended.Add(-1)
	}
}

// closesHalfLocked reports whether the sender must close our direction now.
func (s *Session) closesHalfLocked() bool {
	d := s.end.delivery
	return d != nil && d.closes && !d.closed && !d.whole && s.end.err == nil
}

// closeHalf closes our direction. If that fails, the timer checks at once whether the whole
// connection can be closed. Called by the sender.
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

// closesWhole reports whether to close the whole connection to a silent peer because the connection
// has no half close, and nothing else can signal the end. A peer that may still answer our PING is
// not closed on: bytes that its system has acknowledged may be unread there, or in a relay, and a
// frame that arrives at our closed socket would discard them.
func (d *delivery) closesWhole(silence time.Duration, seen progress) bool {
	return d.whole && d.ping == 0 && silence >= min(deliveryGrace, d.patience/2) && !d.outstanding(seen)
}

// halfClosedLocked reports whether our direction is closed.
func (s *Session) halfClosedLocked() bool { return s.end.delivery != nil && s.end.delivery.closed }

// allWritten is called by the sender when nothing is left to write. It closes our direction if that
// is due.
func (s *Session) allWritten() {
	s.mu.Lock()
	due, first := s.closesHalfLocked(), s.end.delivery != nil && !s.end.delivery.written
	s.mu.Unlock()
	if due {
		s.closeHalf()
	}
	if first { // our own farewell is no sign of life
		seen := s.evidence()
		s.mu.Lock()
		s.end.delivery.written, s.end.delivery.seen = true, seen
		s.mu.Unlock()
	}
}

// askLateLocked sends the PING of a delivery that began when no PING could be sent.
func (s *Session) askLateLocked() {
	if d := s.end.delivery; d != nil && d.ping == 0 && !d.closed && s.end.err == nil {
		d.ping = s.nextPingLocked()
		s.sendPingLocked(d.ping)
	}
}

// closeDirection closes our direction of a connection. It returns false if that is impossible.
func closeDirection(conn net.Conn) bool {
	c, ok := conn.(halfCloser)
	return ok && c.CloseWrite() == nil
}
