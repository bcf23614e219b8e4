package spdy

import "time"

// A connection can die silently: a machine slept, a NAT lost state, a route changed. Requests
// notice when they time out or are cancelled. Each such request is reset with a PING behind the
// RST_STREAM (resetslots.go). The session of a Transport, of a transport changed by
// ConfigureTransport, or of NewClient then draws conclusions from silence:
//
//   - If nothing has arrived for a while since the PING was queued (suspectAfterLocked), the session
//     becomes suspect. Bytes within a frame that arrive more slowly than leastSpeed do not count.
//     During suspicion requests use other sessions, or start a dial, and wait for the dial or for a
//     frame, which ends the suspicion. A session that is suspect when another session has been
//     dialled is retired.
//   - If nothing has arrived by the end of the wait, which is a second or four round trips, the
//     session is retired.
//   - Arriving bytes excuse an unanswered PING for three such waits. After that the session
//     is retired as well: the path may be dead in one direction.
//   - A session that was idle while the machine slept becomes suspect, and sends a PING, when the
//     next request starts.
//   - With MaxConnsPerHost, a session that has streams stays suspect instead of being retired.
//
// A retired session accepts no more requests, and ends with the last running request. Running
// requests are not cancelled: their callers may be more patient, and Config.PingInterval detects
// dead connections for callers that need it. A slow server that never answers a PING is mistaken
// for a lost server; the cost is a dial for the cancelled request, as HTTP/1.1 always pays.
//
// A session outside a pool never becomes suspect, since there is no pool to dial another.

// The silence after a PING that makes a session suspect is half of the time that the request's
// caller had waited, but at least two round trips and leastDoubt, and at most mostDoubt. The round
// trip is the shortest known: a PING that was queued behind a download, or was in transit while the
// process or the path stood still, shows nothing about silence. So if a second request, as patient
// as the first, is lost as well, it finds the session suspect in time, and the third request
// succeeds. A request that is less patient shortens the silence, see hastenLocked.
const (
	leastDoubt = 10 * time.Millisecond
	mostDoubt  = 500 * time.Millisecond
	doubtTrips = 2
)

// uploadPatience is the time for which departing DATA bytes excuse the silence after a PING: a dead
// path accepts some bytes too, as long as the local system has buffers for them.
const uploadPatience = 10 * time.Second

// deafWaits is the number of waits for which other bytes excuse an unanswered PING: the answer may
// be in a long queue behind them.
const deafWaits = 3

// suspectAfterLocked returns the silence after a PING that makes the session suspect. The path to a
// server that has not responded yet may be long. If a request cancelled in the first round trip
// made the session suspect, the remaining requests would dial a second session, with the same
// result. But a dial takes at least one round trip, with TLS two or three. Nor does a client that
// disconnects at once show anything about a server that has not responded yet.
func (s *Session) suspectAfterLocked(patience time.Duration) time.Duration {
	if s.stats.leastTrip == 0 && s.stats.received[FrameSynReply].Load() == 0 {
		if trips := doubtTrips * s.pooled.dialTook; trips > 0 && patience >= max(leastDoubt, trips) {
			return min(max(patience/2, leastDoubt, trips), mostDoubt)
		}
		return mostDoubt
	}
	return max(min(patience/2, mostDoubt), leastDoubt, doubtTrips*s.stats.leastTrip)
}

// retireAfterLocked returns the silence after a PING that retires the session.
func (s *Session) retireAfterLocked() time.Duration {
	return max(resetSlotWait, resetSlotTrips*s.stats.leastTrip)
}

// shortenTripLocked shortens the known round trip if a response arrived sooner than the echo of
// every PING so far, and the known round trip would delay suspicions. st may be nil.
func (s *Session) shortenTripLocked(st *Stream) {
	if doubtTrips*s.stats.leastTrip <= mostDoubt || st == nil || !st.state.ours {
		return
	}
	s.stats.leastTrip = max(min(s.stats.leastTrip, st.waited()), time.Millisecond) // the precision of openedAt
}

// sinceEpoch returns the time in milliseconds, for differences of less than 49 days.
func sinceEpoch() uint32 { return uint32(time.Since(epoch).Milliseconds()) }

// waited returns the time since the stream was opened.
func (st *Stream) waited() time.Duration {
	return time.Duration(sinceEpoch()-st.openedAt) * time.Millisecond
}

// lifeSigns are signs that a peer is alive, or that silence is not significant yet.
type lifeSigns struct {
	received int64 // bytes received
	frames   uint64
	uploaded int64 // DATA bytes written: the PING may be queued behind them
	acked    int64 // bytes that the peer's system has acknowledged; 0 before the first check
}

func (s *Session) lifeSignsLocked() lifeSigns {
	return lifeSigns{received: s.in.total.Load(), frames: s.framesLocked(), uploaded: s.stats.dataSent}
}

// acknowledged returns the number of bytes that the peer's system has acknowledged, or 0 if all
// bytes are acknowledged, or the number is unknown.
func (s *Session) acknowledged() int64 {
	waiting := int64(s.Unacknowledged())
	if waiting == 0 {
		return 0
	}
	return s.stats.bytesSent.Load() - waiting
}

// uploadsLocked reports whether the PING may still be queued behind DATA bytes, some of which the
// connection or the peer's system has accepted since the last check. Bytes accepted by the
// connection count only if the connection is full: a dead path also accepts a trickle.
func (s *Session) uploadsLocked(w *resetWait, acked int64) bool {
	if time.Since(w.sent) > uploadPatience {
		return false
	}
	moves := s.writing && s.stats.dataSent != w.seen.uploaded || acked > w.seen.acked && w.seen.acked > 0
	w.seen.uploaded, w.seen.acked = s.stats.dataSent, acked
	return moves
}

// leastSpeed is the number of bytes in a second below which the parts of a frame are no sign of life:
// a peer that sends a byte now and then within the same frame blocks all streams. The slowest modems
// are faster.
const leastSpeed = 256

// silentLocked reports whether nothing significant has arrived since the PING was queued: no frame,
// and no part of a frame that arrives at leastSpeed or faster.
func (s *Session) silentLocked(w *resetWait) bool {
	received := s.in.total.Load() - w.seen.received
	slow := received < leastSpeed*int64(time.Since(w.sent))/int64(time.Second)
	return received == 0 || slow && s.framesLocked() == w.seen.frames
}

// framesLocked returns the number of frames that have begun to arrive.
func (s *Session) framesLocked() uint64 {
	sum := s.stats.dataFrames
	for i := range s.stats.received {
		sum += s.stats.received[i].Load()
	}
	return sum
}

// deafLocked reports whether a peer that has answered PINGs before has answered none for deafWaits
// waits. The peer may still send on other streams without receiving anything.
func (s *Session) deafLocked(w *resetWait) bool {
	return s.resetSlots.heard && time.Since(w.unechoed) > deafWaits*w.wait
}

// doubtLocked sends a PING because a stream was cancelled whose slot waits for no PING.
func (s *Session) doubtLocked(st *Stream) {
	if s.pooled != nil && s.openErrLocked() == nil {
		s.doubtAfterLocked(st.waited())
	}
}

// doubtAfterLocked sends a PING because of a request that had waited, unless a PING has no echo yet.
func (s *Session) doubtAfterLocked(waited time.Duration) {
	if s.resetSlots.ping == 0 {
		s.askForResetsLocked(waited)
	} else {
		s.hastenLocked(waited)
	}
}

// hastenLocked makes a session suspect sooner if a request was less patient than the request behind
// whose RST_STREAM the PING was sent. Otherwise many requests with short timeouts would be lost
// after a request with a long timeout.
func (s *Session) hastenLocked(patience time.Duration) {
	w, now := s.resetSlots.wait, time.Now()
	if s.pooled == nil || patience < leastDoubt || !w.looks.Before(w.quiet) || wasFrozen(now.Sub(w.looks)) {
		return
	}
	at := w.sent.Add(s.suspectAfterLocked(patience))
	switch {
	case !at.Before(w.looks):
	case now.Before(at):
		w.looks = at
		w.timer.Reset(at.Sub(now))
	case !s.writing && s.stats.dataSent == w.seen.uploaded: // otherwise giveUpResets looks at uploads
		s.suspectLocked(w)
		w.looks = w.quiet
		w.timer.Reset(w.looks.Sub(now))
	}
}

// doubtWaitLocked sends a PING because of a request that was cancelled before it had a stream.
// waited is the time that the request had waited for the peer.
func (s *Session) doubtWaitLocked(waited time.Duration) {
	if s.pooled != nil && waited >= leastDoubt && s.openErrLocked() == nil {
		s.doubtAfterLocked(waited)
	}
}

// doubtUnsentLocked sends a PING because of a stream cancelled before the SYN_STREAM was sent: the
// connection accepts no bytes.
func (s *Session) doubtUnsentLocked(st *Stream) {
	if st.state.ours && st.waited() >= leastDoubt {
		s.doubtLocked(st)
	}
}

// suspectLocked makes a silent session suspect.
func (s *Session) suspectLocked(w *resetWait) {
	if s.pooled != nil && s.silentLocked(w) && s.openErrLocked() == nil {
		s.distrustLocked()
		s.pooled.makeWayLocked()
		s.pooled.pool.dialInstead(s.pooled)
	}
}

func (s *Session) distrustLocked() {
	s.pooled.suspect.Store(true)
	s.pooled.wasSuspect = true
	s.in.doubted.Store(true)
}

// proveLocked makes a session suspect after the machine has slept, until the peer responds, and
// sends a PING.
func (s *Session) proveLocked() {
	if s.resetSlots.ping == 0 {
		s.askForResetsLocked(0)
	}
	s.distrustLocked()
	s.ringLocked()
}

// giveUpSilentLocked retires a session that is silent at the end of the wait, unless the session
// stays, and ends the suspicion of any other session.
func (s *Session) giveUpSilentLocked(w *resetWait) {
	switch {
	case s.pooled == nil:
	case s.silentLocked(w) && s.pooled.staysLocked():
		s.pooled.lost.Store(true)
		s.suspectLocked(w)
	case s.pooled.staysLocked():
		s.trustLocked()
	case s.silentLocked(w) || s.deafLocked(w):
		s.pooled.retireLocked()
	default:
		s.trustLocked()
	}
}

// staysLocked reports whether a session is not retired while it has streams: the connection counts
// towards MaxConnsPerHost until the streams end, so requests might have no alternative connection.
func (ps *pooledSession) staysLocked() bool {
	return ps.pool.limitsConns() && ps.s.activeLocked() > 0
}

// trust ends a suspicion when a frame has arrived. Called by the receiver.
func (s *Session) trust() {
	s.mu.Lock()
	s.trustLocked()
	s.mu.Unlock()
}

func (s *Session) trustLocked() {
	s.in.doubted.Store(false)
	if ps := s.pooled; ps != nil && ps.suspect.Swap(false) {
		ps.lost.Store(false)
		ps.admitLocked()
	}
}

// dialInstead starts a dial if requests wait for a slot of a session that has become suspect. The
// caller holds Session.mu.
func (p *sessionPool) dialInstead(ps *pooledSession) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialLocked(ps.origin)
}

// mayHaveAnother reports whether the options allow a session besides these. A suspect session does
// not count: replace retires it.
func (p *sessionPool) mayHaveAnother(sessions []*pooledSession) bool {
	return p.t.mayHave(len(sessions) - countOf(sessions, (*pooledSession).isSuspect))
}

// makeWayLocked retires a suspect session without streams if MaxConnsPerHost keeps waiting requests
// from a live connection.
func (ps *pooledSession) makeWayLocked() {
	if ps == nil || !ps.isSuspect() || ps.s.activeLocked() > 0 || len(ps.s.openers) > 0 {
		return
	}
	if ps.pool.crowded(ps.origin) {
		ps.retireLocked()
	}
}

// crowded reports whether requests wait for an origin at the connection limit.
func (p *sessionPool) crowded(o *origin) bool {
	if p.t.MaxConnsPerHost <= 0 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(o.waiters) > 0 && len(o.dials) == 0 && p.connLimitLocked(o.key)
}

// doubt makes the sessions of an origin send a PING because of a request that has stopped waiting
// for a slot.
func (p *sessionPool) doubt(o *origin, waited time.Duration) {
	p.mu.Lock()
	sessions := o.sessions
	p.mu.Unlock()
	for _, ps := range sessions {
		ps.s.mu.Lock()
		ps.s.doubtWaitLocked(waited)
		ps.s.mu.Unlock()
	}
}

func (ps *pooledSession) isSuspect() bool { return ps.suspect.Load() }

// isAlone reports whether the session accepts no requests of the pool.
func (ps *pooledSession) isAlone() bool {
	ps.s.mu.Lock()
	defer ps.s.mu.Unlock()
	return ps.alone
}

// replacedLocked reports whether a session is retired because a new session starts. surplus means
// that there are more sessions than the options allow.
func (ps *pooledSession) replacedLocked(surplus bool) bool {
	if ps.isSuspect() && !surplus && ps.staysLocked() {
		ps.lost.Store(true)
		return false
	}
	return ps.isSuspect() || surplus && ps.wasSuspect
}

// replace retires the suspect sessions of an origin when a new session starts. If there are then
// more sessions than the options allow, replace also retires sessions that were suspect when the
// dial started and have since proved alive.
func (p *sessionPool) replace(by *pooledSession) {
	if by.isAlone() { // the request behind the dial may have retired it already
		return
	}
	sessions, _ := p.sessionsOf(by.origin.key)
	count := len(sessions)
	for _, ps := range sessions {
		if ps == by {
			continue
		}
		surplus := !p.t.mayHave(count - 1)
		if ps.retireIf(func() bool { return ps.replacedLocked(surplus) }) {
			count--
		}
	}
}
