package spdy

import "time"

// resetSlots are the slots of streams reset by a client before the server is known to have received
// the RST_STREAM. Each slot stays in use until the server proves receipt, so that a client that
// cancels many requests never has more streams at the server than the server allows (SPEC S7). A
// PING after the RST_STREAM requests the proof; one PING covers all resets until its echo. The same
// PING asks a server in a pool for a sign of life, see suspicion.go. Guarded by Session.mu.
type resetSlots struct {
	fresh int    // slots of streams reset since the PING was queued
	asked int    // slots of streams reset before the PING
	ping  uint32 // id of the PING without an echo; 0 for none
	next  uint32 // id of the first stream opened after the PING

	wait *resetWait // nil before the first PING

	heard bool // the server has answered a PING of ours
	mute  bool // the server has had time to answer a PING and never has: no slot waits for it
}

// A resetWait is the wait for the echo of a PING sent after resets.
type resetWait struct {
	wait  time.Duration // length of the whole wait, if nothing is queued before the PING
	sent  time.Time     // when the PING was queued
	looks time.Time     // when giveUpResets looks next
	due   time.Time     // when the wait ends
	quiet time.Time     // when the wait ends if the server has been silent; not after due
	timer *time.Timer   // calls giveUpResets at looks, at the earliest; ends with the session

	unechoed time.Time     // since when a PING has no echo; zero if the latest has an echo
	patience time.Duration // how long the reset stream had waited
	seen     lifeSigns     // when the PING was queued, or at the last look
}

// The wait for the echo of a PING sent after resets: resetSlotTrips round trips, and at least
// resetSlotWait.
const (
	resetSlotWait  = time.Second
	resetSlotTrips = 4
)

// held returns the number of waiting slots.
func (r *resetSlots) held() int { return r.fresh + r.asked }

// activeLocked returns the number of slots of streams open or about to be opened.
func (s *Session) activeLocked() int { return s.ourStreams - s.resetSlots.held() }

// freeResetSlotLocked frees the slot of a stream of ours that ended by our RST_STREAM, as soon as
// the server has received the RST_STREAM. Raw sessions do not wait, because their peers may have no
// limit.
func (s *Session) freeResetSlotLocked(st *Stream) {
	r := &s.resetSlots
	if _, http := s.app.(*httpClientApp); !http || s.end.err != nil {
		s.freeSlotLocked()
		return
	}
	if r.mute {
		s.freeSlotLocked()
		s.doubtLocked(st)
		return
	}
	if r.fresh++; r.ping == 0 {
		s.askForResetsLocked(st.waited())
	} else {
		s.hastenLocked(st.waited())
	}
	s.pooled.unusedLocked()
}

// askForResetsLocked sends a PING after all queued RST_STREAM frames. patience is how long one of
// these streams had waited.
func (s *Session) askForResetsLocked(patience time.Duration) {
	r := &s.resetSlots
	r.asked, r.fresh = r.fresh, 0
	r.ping, r.next = s.nextPingLocked(), s.nextID
	s.sendPingLocked(r.ping)
	s.ringLocked()
	wait := max(resetSlotWait, resetSlotTrips*s.stats.roundTrip)
	first := wait
	if s.pooled != nil {
		first = s.suspectAfterLocked(patience)
	}
	if r.wait == nil {
		r.wait = &resetWait{timer: time.AfterFunc(first, s.giveUpResets)}
	} else {
		r.wait.timer.Reset(first)
	}
	w := r.wait
	w.sent, w.wait, w.patience, w.seen = time.Now(), wait, patience, s.lifeSignsLocked()
	w.due = w.sent.Add(wait)
	w.quiet = w.sent.Add(min(wait, s.retireAfterLocked()))
	w.looks = w.sent.Add(first)
	if w.unechoed.IsZero() {
		w.unechoed = w.sent
	}
}

// echoedLocked handles the echo of a PING of ours.
func (s *Session) echoedLocked(id uint32) {
	r := &s.resetSlots
	r.heard, r.mute = true, false
	if r.wait != nil {
		r.wait.unechoed = time.Time{}
	}
	if id == r.ping && id != 0 {
		s.stats.tripLocked(time.Since(r.wait.sent))
		s.resetsSeenLocked()
	}
}

// answeredLocked handles a reply to a stream of ours, or a reset of the stream by the server. If
// the stream was opened after the PING was queued, the server has received the earlier resets.
func (s *Session) answeredLocked(id uint32) {
	if r := &s.resetSlots; r.ping != 0 && s.isOurs(id) && id >= r.next {
		r.wait.unechoed = time.Time{}
		s.resetsSeenLocked()
	}
}

// resetsSeenLocked frees the slots of the resets received by the server, or of all resets if the
// server answers no PING.
func (s *Session) resetsSeenLocked() {
	r := &s.resetSlots
	n := r.asked
	r.asked, r.ping = 0, 0
	if r.mute {
		n += r.fresh
		r.fresh = 0
	}
	if r.fresh > 0 {
		s.askForResetsLocked(r.wait.patience)
	} else {
		r.wait.timer.Stop()
	}
	for range n {
		s.freeSlotLocked()
	}
}

// giveUpResets is called by the timer of the wait. At the first look a server in a pool that has
// been silent becomes suspect. At the end of the wait the slots are freed, and a session in a pool
// that is still silent accepts no more requests. If the server has never answered a PING, later
// resets do not wait.
func (s *Session) giveUpResets() {
	acked := s.acknowledged()
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &s.resetSlots
	if r.ping == 0 || s.end.err != nil {
		return
	}
	w, now := r.wait, time.Now()
	late := now.Sub(w.looks)
	switch {
	case late < 0: // the timer fired as another PING was queued
	case wasFrozen(late):
		w.postpone(now.Add(thawTime))
	case s.uploadsLocked(w, acked):
		w.postpone(now.Add(w.wait))
	case w.looks.Before(w.quiet):
		s.suspectLocked(w)
		w.looks = w.quiet
	case w.looks.Before(w.due) && !(s.pooled != nil && s.silentLocked(w)):
		w.looks = w.due
	default:
		s.giveUpSilentLocked(w)
		r.mute = !r.heard
		s.resetsSeenLocked()
		s.ringLocked()
		return
	}
	w.timer.Reset(w.looks.Sub(now))
}

// postpone schedules the next look at t, and moves the ends of the wait to t if they are earlier.
func (w *resetWait) postpone(t time.Time) {
	w.looks = t
	if w.due.Before(t) {
		w.due = t
	}
	if w.quiet.Before(t) {
		w.quiet = t
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
