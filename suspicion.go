package spdy

import "time"

// A connection can die without a word: a machine slept, a NAT forgot, a route changed. The
// requests that find out are those that time out or are cancelled. Each of them is reset with a
// PING behind it (resetslots.go), and the session of a Transport, of a transport that
// ConfigureTransport has changed, or of NewClient draws conclusions from silence:
//
//   - If no byte has come for a while since the PING was queued (suspectAfterLocked), the session is
//     suspect. While it is, requests go to other sessions, or have one dialled, and wait for
//     that or for a byte, which ends the suspicion. A session that is suspect when another
//     one has been dialled is retired.
//   - If no byte has come by the end of the wait, which is a second or four round trips, the
//     session is retired.
//   - Bytes that come explain for three such waits that the PING is not answered. Then the session
//     is retired as well: the path may be dead in one direction.
//   - A session that was idle while the machine slept is suspect, and asked by a PING, when the
//     next request comes.
//   - With MaxConnsPerHost, a session that has streams stays suspect instead of being retired.
//
// A session that is retired takes no more requests, and ends when those that it has do. They
// are not ended: their callers may have more patience, and Config.PingInterval is for those
// who want to hear of it. A server that never answers a PING, and is slow, is taken for a lost
// one; that costs a dial for the request that was given up, as HTTP/1.1 always does.
//
// A session that is in no pool never becomes suspect: nobody could dial another one.

// The silence behind a PING that makes a session suspect is half of what the caller of the
// request had waited for, but at least two round trips and leastDoubt, and at most
// mostDoubt. The round trip is the shortest known: that of a PING which lay behind a download, or
// was out while the process or the path stood still, says nothing about silence. So a second request that is as patient as the first, and is lost as well, finds the
// session suspect in its time, and the third one succeeds.
const (
	leastDoubt = 10 * time.Millisecond
	mostDoubt  = 500 * time.Millisecond
	doubtTrips = 2
)

// uploadPatience is for how long bytes of DATA that leave explain the silence behind a PING: a
// dead path takes some too, for as long as this system has room for them.
const uploadPatience = 10 * time.Second

// deafWaits is for how many waits other bytes explain that no PING is answered: the answer may lie
// in a long queue behind them.
const deafWaits = 3

// suspectAfterLocked is the silence behind a PING that makes the session suspect. The path to a
// server that has answered nothing yet may be long: if a request that is given up in the first
// round trip made its session suspect, others would have the next one dialled, in which the same
// happens.
func (s *Session) suspectAfterLocked(patience time.Duration) time.Duration {
	roundTrip := s.stats.leastTrip
	if roundTrip == 0 && s.stats.received[FrameSynReply].Load() == 0 {
		return mostDoubt
	}
	return max(min(patience/2, mostDoubt), leastDoubt, doubtTrips*roundTrip)
}

// retireAfterLocked is the silence behind a PING that has the session retired.
func (s *Session) retireAfterLocked() time.Duration {
	return max(resetSlotWait, resetSlotTrips*s.stats.leastTrip)
}

// shortenTripLocked takes note of an answer that came sooner than the echo of each PING so far, if
// that would delay suspicions. st may be nil.
func (s *Session) shortenTripLocked(st *Stream) {
	if doubtTrips*s.stats.leastTrip <= mostDoubt || st == nil || !st.state.ours {
		return
	}
	s.stats.leastTrip = max(min(s.stats.leastTrip, st.waited()), time.Millisecond) // which openedAt is exact to
}

// sinceEpoch is the time in milliseconds, for differences of less than 49 days.
func sinceEpoch() uint32 { return uint32(time.Since(epoch).Milliseconds()) }

// waited is how long ago the stream was opened.
func (st *Stream) waited() time.Duration {
	return time.Duration(sinceEpoch()-st.openedAt) * time.Millisecond
}

// lifeSigns are what tells that a peer is there, or that its silence means nothing yet.
type lifeSigns struct {
	received int64 // bytes that have come
	uploaded int64 // bytes of DATA that have been written: the PING may be behind them
	acked    int64 // bytes that the peer's system has acknowledged; 0 before the first look
}

func (s *Session) lifeSignsLocked() lifeSigns {
	return lifeSigns{received: s.in.total.Load(), uploaded: s.stats.dataSent}
}

// acknowledged is the number of bytes that the peer's system has acknowledged, and 0 if all of
// them are, or that is not known.
func (s *Session) acknowledged() int64 {
	waiting := int64(s.Unacknowledged())
	if waiting == 0 {
		return 0
	}
	return s.stats.bytesSent.Load() - waiting
}

// uploadsLocked reports whether the PING may still be on its way behind bytes of DATA, which the
// connection or the peer's system has taken some of since the last look. What the connection
// takes says something only if it is full: a dead path takes a trickle, too.
func (s *Session) uploadsLocked(w *resetWait, acked int64) bool {
	if time.Since(w.sent) > uploadPatience {
		return false
	}
	moves := s.writing && s.stats.dataSent != w.seen.uploaded || acked > w.seen.acked && w.seen.acked > 0
	w.seen.uploaded, w.seen.acked = s.stats.dataSent, acked
	return moves
}

// silentLocked reports whether no byte has come since the PING was queued.
func (s *Session) silentLocked(w *resetWait) bool { return s.in.total.Load() == w.seen.received }

// deafLocked reports whether the peer, which has answered PINGs before, has answered none for
// deafWaits waits. What it sends on other streams may come from one that hears nothing any more.
func (s *Session) deafLocked(w *resetWait) bool {
	return s.resetSlots.heard && time.Since(w.unechoed) > deafWaits*w.wait
}

// doubtLocked asks for a sign of life because a stream was given up whose slot waits for nothing.
func (s *Session) doubtLocked(st *Stream) {
	if s.pooled != nil && s.resetSlots.ping == 0 && s.openErrLocked() == nil {
		s.askForResetsLocked(st.waited())
	}
}

// doubtWaitLocked asks for one because of a request that was given up before it had a stream,
// when it had waited for a word of the peer for that long.
func (s *Session) doubtWaitLocked(waited time.Duration) {
	if s.pooled != nil && waited >= leastDoubt && s.resetSlots.ping == 0 && s.openErrLocked() == nil {
		s.askForResetsLocked(waited)
	}
}

// doubtUnsentLocked asks for one because of a stream that was given up before its SYN_STREAM had
// left: the connection takes nothing.
func (s *Session) doubtUnsentLocked(st *Stream) {
	if st.state.ours && st.waited() >= leastDoubt {
		s.doubtLocked(st)
	}
}

// suspectLocked makes a session suspect that is silent.
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

// proveLocked makes a session suspect, whose machine has slept, until its peer shows that it is
// there, and asks for that.
func (s *Session) proveLocked() {
	if s.resetSlots.ping == 0 {
		s.askForResetsLocked(0)
	}
	s.distrustLocked()
	s.ringLocked()
}

// giveUpSilentLocked retires a session that is silent at the end of the wait, unless it stays, and
// trusts one that is not.
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

// staysLocked reports whether a session is not retired as long as it has streams: its connection
// counts towards MaxConnsPerHost until these end, so that requests might have no other one.
func (ps *pooledSession) staysLocked() bool {
	return ps.pool.t.host == nil && ps.pool.t.MaxConnsPerHost > 0 && ps.s.activeLocked() > 0
}

// trust ends a suspicion when a frame has come. Called by the receiver.
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

// dialInstead has another session dialled if requests wait for a slot of one that has become
// suspect. Its Session.mu is held.
func (p *sessionPool) dialInstead(ps *pooledSession) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dialLocked(ps.origin)
}

// mayHaveAnother reports whether the options allow a session besides these. One that is suspect
// does not count: replace retires it.
func (p *sessionPool) mayHaveAnother(sessions []*pooledSession) bool {
	return p.t.mayHave(len(sessions) - countOf(sessions, (*pooledSession).isSuspect))
}

// makeWayLocked retires a suspect session without streams if MaxConnsPerHost keeps requests that
// wait from a connection that is alive.
func (ps *pooledSession) makeWayLocked() {
	if ps == nil || !ps.isSuspect() || ps.s.activeLocked() > 0 || len(ps.s.openers) > 0 {
		return
	}
	if ps.pool.crowded(ps.origin) {
		ps.retireLocked()
	}
}

// crowded reports whether requests wait for an origin that may have no further connection.
func (p *sessionPool) crowded(o *origin) bool {
	if p.t.MaxConnsPerHost <= 0 {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(o.waiters) > 0 && len(o.dials) == 0 && p.connLimitLocked(o.key)
}

// doubt asks the sessions of an origin for a sign of life because of a request that has given up
// its wait for a slot of one.
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

// isAlone reports whether the session takes no requests of the pool.
func (ps *pooledSession) isAlone() bool {
	ps.s.mu.Lock()
	defer ps.s.mu.Unlock()
	return ps.alone
}

// replacedLocked reports whether a session is retired because a new one begins. surplus says that
// there are more than the options allow.
func (ps *pooledSession) replacedLocked(surplus bool) bool {
	if ps.isSuspect() && !surplus && ps.staysLocked() {
		ps.lost.Store(true)
		return false
	}
	return ps.isSuspect() || surplus && ps.wasSuspect
}

// replace retires the sessions of an origin that are suspect when a new one begins. If with
// the new one there are more than the options allow, it also retires those that were suspect
// when the dial began, and have turned out to be there.
func (p *sessionPool) replace(by *pooledSession) {
	if by.isAlone() { // what it was dialled for may have retired it already
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
