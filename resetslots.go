package spdy

import "time"

// resetSlots are the slots of streams that a client has reset and whose server may not know
// that yet. Each stays in use until the server shows that the RST_STREAM has reached it, so
// that a client which cancels many requests never has more streams at the server than the
// server allows (SPEC S7). A PING behind the RST_STREAM asks for the proof, one PING for
// all resets until its echo. Guarded by Session.mu.
type resetSlots struct {
	fresh int    // slots of streams reset since the PING was queued
	asked int    // slots of streams reset before it
	ping  uint32 // id of the PING without an echo; 0 for none
	next  uint32 // id of the first stream opened after it

	wait *resetWait // nil before the first PING

	heard bool // the server has answered a PING of ours
	mute  bool // the server has never answered one, and had the time: nothing waits for it
}

// A resetWait is the wait for the echo of a PING behind resets.
type resetWait struct {
	sent  time.Time   // when the PING was queued
	due   time.Time   // when the wait ends
	timer *time.Timer // calls giveUpResets at due, at the earliest; ends with the session
}

// The wait for the echo of a PING behind resets: resetSlotTrips round trips, and at least
// resetSlotWait.
const (
	resetSlotWait  = time.Second
	resetSlotTrips = 4
)

// held is the number of slots that wait.
func (r *resetSlots) held() int { return r.fresh + r.asked }

// activeLocked is the number of slots of streams that are open, or about to be opened.
func (s *Session) activeLocked() int { return s.ourStreams - s.resetSlots.held() }

// freeResetSlotLocked frees the slot of a stream of ours that ended by a RST_STREAM of
// ours, as soon as the server has seen that. Raw sessions, whose peers may know no
// limit, do not wait.
func (s *Session) freeResetSlotLocked() {
	r := &s.resetSlots
	if _, http := s.app.(*httpClientApp); !http || r.mute || s.end.err != nil {
		s.freeSlotLocked()
		return
	}
	if r.fresh++; r.ping == 0 {
		s.askForResetsLocked()
	}
	s.pooled.unusedLocked()
}

// askForResetsLocked sends a PING behind all RST_STREAM frames that are queued.
func (s *Session) askForResetsLocked() {
	r := &s.resetSlots
	r.asked, r.fresh = r.fresh, 0
	r.ping, r.next = s.nextPingLocked(), s.nextID
	s.sendPingLocked(r.ping)
	s.ringLocked()
	wait := max(resetSlotWait, resetSlotTrips*s.stats.roundTrip)
	if r.wait == nil {
		r.wait = &resetWait{timer: time.AfterFunc(wait, s.giveUpResets)}
	} else {
		r.wait.timer.Reset(wait)
	}
	r.wait.sent = time.Now()
	r.wait.due = r.wait.sent.Add(wait)
}

// echoedLocked takes the echo of a PING of ours.
func (s *Session) echoedLocked(id uint32) {
	r := &s.resetSlots
	r.heard, r.mute = true, false
	if id == r.ping && id != 0 {
		s.stats.roundTrip = time.Since(r.wait.sent)
		s.resetsSeenLocked()
	}
}

// answeredLocked takes a reply to a stream of ours, or its reset by the server. If the
// stream was opened after the PING was queued, the server has seen the resets before that.
func (s *Session) answeredLocked(id uint32) {
	if r := &s.resetSlots; r.ping != 0 && s.isOurs(id) && id >= r.next {
		s.resetsSeenLocked()
	}
}

// resetsSeenLocked frees the slots of the resets that the server has seen, or those of all
// resets if the server answers no PING.
func (s *Session) resetsSeenLocked() {
	r := &s.resetSlots
	n := r.asked
	r.asked, r.ping = 0, 0
	if r.mute {
		n += r.fresh
		r.fresh = 0
	}
	if r.fresh > 0 {
		s.askForResetsLocked()
	} else {
		r.wait.timer.Stop()
	}
	for range n {
		s.freeSlotLocked()
	}
}

// giveUpResets frees slots whose server does not answer. A server that has never answered
// a PING is not waited for again.
func (s *Session) giveUpResets() {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.resetSlots
	switch left := time.Until(r.wait.due); {
	case r.ping == 0 || s.end.err != nil:
	case left > 0: // the timer fired as another PING was queued
		r.wait.timer.Reset(left)
	default:
		r.mute = !r.heard
		s.resetsSeenLocked()
		s.ringLocked()
	}
}

// stopResetSlotsLocked frees all slots at the end of the session.
func (s *Session) stopResetSlotsLocked() {
	r := &s.resetSlots
	s.ourStreams -= r.held()
	r.fresh, r.asked, r.ping = 0, 0, 0
	if r.wait != nil {
		r.wait.timer.Stop()
	}
}
