package spdy

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// receiveRstStream ends a stream reset by the peer. RST_STREAM is never answered (SPEC X2), and no
// status means a clean end (SPEC X4).
func (s *Session) receiveRstStream(h frameHeader, p []byte) error {
	id, status, err := parseRstStream(h, p)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.stats.resetsLocked().received[status.slot()]++
	s.answeredLocked(id)
	st := s.streams[id]
	if st == nil {
		s.mu.Unlock()
		if s.floods.expected() { // the peer sent it before our RST_STREAM arrived
			return nil
		}
		return s.idle(1)
	}
	if st.state.ours && status == RstRefusedStream {
		s.pooled.noteRefusal()
	}
	s.chargeCancelLocked(st)
	s.finished.add(id)
	flooded := s.floodedLocked()
	reset := &StreamError{StreamID: id, Status: status, Remote: true}
	pushes := st.pushes // endLocked detaches the pushes from the stream
	s.endLocked(st, reset, !st.keepsUnreadLocked())
	s.mu.Unlock()
	st.cancelContext(reset)
	if len(pushes) > 0 { // collecting none would allocate
		for _, pushed := range slices.SortedFunc(maps.Keys(pushes), byID) { // SPEC X7
			pushed.reset(RstCancel, "the request was cancelled", reset)
		}
	}
	s.ring()
	s.endIfDrained()
	return flooded
}

// byID compares streams with ids.
func byID(a, b *Stream) int { return cmp.Compare(a.id, b.id) }

// receiveSettings applies the peer's SETTINGS. If an id occurs twice, the first entry counts (SPEC
// T2); unknown ids are ignored (SPEC T5).
func (s *Session) receiveSettings(h frameHeader, p []byte) error {
	n, err := settingsCount(h, p)
	if err != nil {
		return err
	}
	var seen uint32
	var upgrades bool
	var keep []Setting
	for i := range n {
		e := settingAt(s.version, p, i)
		if e.ID == SettingUpgrades && !upgrades {
			upgrades = true
			s.hearUpgrades(e)
		}
		if e.ID == 0 || e.ID > SettingClientCertificateVectorSize || seen&(1<<e.ID) != 0 {
			continue
		}
		seen |= 1 << e.ID
		if e.Flags&FlagPersistValue != 0 {
			keep = append(keep, e)
		}
		if e.Flags&FlagPersisted != 0 && !s.client { // our own old values, SPEC T7
			continue
		}
		if err := s.applySetting(e); err != nil {
			return err
		}
	}
	s.keepSettings(h.flags, keep)
	return s.idleOverStreams()
}

func (s *Session) applySetting(e Setting) error {
	switch e.ID {
	case SettingMaxConcurrentStreams:
		s.mu.Lock()
		s.peerLimit = e.Value
		s.admitOpenersLocked()
		s.mu.Unlock()
	case SettingInitialWindowSize:
		if !s.version.streamFlowControl() { // SPEC T17
			return nil
		}
		if e.Value > maxWindow { // SPEC T13
			return sessionErrorf(GoAwayProtocolError, "INITIAL_WINDOW_SIZE of %d", e.Value)
		}
		s.shiftWindows(int64(e.Value))
	}
	return nil
}

// shiftWindows shifts the send window of every stream by the change of the peer's initial window
// (SPEC T12). The session window is untouched (SPEC T15).
func (s *Session) shiftWindows(size int64) {
	s.mu.Lock()
	s.creditedLocked()
	delta := size - s.flow.peerWindow
	s.flow.peerWindow = size
	var overflown []*Stream
	if delta != 0 {
		for _, st := range s.streams {
			if !st.out.grow(delta) { // SPEC T14
				overflown = append(overflown, st)
				continue
			}
			s.sched.place(st)
		}
	}
	s.mu.Unlock()
	for _, st := range overflown {
		s.resetStream(st, RstFlowControlError, "INITIAL_WINDOW_SIZE moves the window beyond 2^31-1")
	}
	s.ring()
}

// receiveWindowUpdate grows a send window.
func (s *Session) receiveWindowUpdate(h frameHeader, p []byte) error {
	id, delta, err := parseWindowUpdate(h, p)
	if err != nil || !s.version.streamFlowControl() { // SPEC W20
		return err
	}
	s.credited()
	if err := s.idle(1); err != nil {
		return err
	}
	if id == 0 {
		return s.growSession(int64(delta))
	}
	s.mu.Lock()
	st := s.streams[id]
	if st == nil || st.state.outDone { // SPEC W8, W15
		s.mu.Unlock()
		return nil
	}
	ok := delta > 0 && st.out.grow(int64(delta))
	if ok {
		s.sched.place(st)
		s.streamGrantedLocked()
	}
	s.mu.Unlock()
	if !ok { // SPEC W5, W6
		s.resetStream(st, RstFlowControlError, "WINDOW_UPDATE of 0 or beyond 2^31-1")
		return nil
	}
	s.ring()
	return nil
}

func (s *Session) growSession(delta int64) error {
	if !s.version.sessionFlowControl() { // SPEC W9
		return nil
	}
	s.mu.Lock()
	ok := s.flow.grow(delta)
	s.mu.Unlock()
	if !ok { // SPEC W5, W7
		return sessionErrorf(GoAwayProtocolError, "session WINDOW_UPDATE of 0 or beyond 2^31-1")
	}
	s.ring()
	return nil
}

// receivePing echoes the peer's PING, or reports the echo of our PING to the waiter.
func (s *Session) receivePing(h frameHeader, p []byte) error {
	id, err := parsePing(h, p)
	if err != nil {
		return err
	}
	if id == 0 { // SPEC P4
		return s.idle(1)
	}
	if !s.isOurs(id) { // SPEC P1
		s.mu.Lock()
		if s.end.err == nil {
			before := len(s.control)
			s.control = appendPing(s.control, s.version, id)
			s.oweLocked(before)
		}
		flooded := s.floodedLocked()
		s.mu.Unlock()
		if flooded != nil { // SPEC P5
			return flooded
		}
		s.ring()
		if s.floods.freePing(s.in.total.Load()) {
			return nil
		}
		if s.floods.expected() { // after the RST_STREAM of a stream refused by us
			return nil
		}
		return s.idleCheap()
	}
	s.mu.Lock()
	asked := s.floods.echoLocked()
	w, ok := s.pings[id]
	delete(s.pings, id)
	rtt := time.Since(w.sent)
	if ok {
		s.stats.tripLocked(rtt)
	}
	s.endTrialLocked(id)
	s.askedLocked(id)
	s.measuredLocked(id)
	s.echoedLocked(id)
	s.limitSeenLocked(id)
	delivered := s.deliveredLocked(id)
	s.mu.Unlock()
	if delivered {
		s.shutdown(ErrSessionClosed)
	}
	if ok { // SPEC P2: others are ignored
		select {
		case w.verdict <- rtt:
		default:
		}
	}
	if asked {
		return nil
	}
	return s.idle(1)
}

// receiveGoAway stops us from opening streams. Our streams above the last good stream were not
// processed and may be tried again elsewhere (SPEC G5), unless the peer reports an error: such a
// stream may have caused the error, and would end the next session as well.
func (s *Session) receiveGoAway(h frameHeader, p []byte) error {
	last, status, err := parseGoAway(s.version, h, p)
	if err != nil {
		return err
	}
	var failed []*Stream
	s.mu.Lock()
	s.heardGoAwayLocked(last)
	if status != GoAwayOK && s.end.farewell == nil {
		s.end.farewell = &SessionError{Status: status, Remote: true}
	}
	for _, st := range s.streams {
		if st.state.ours && st.id > last {
			failed = append(failed, st)
		}
	}
	for _, st := range failed {
		s.endLocked(st, s.goneReasonLocked(st), dropUnread)
	}
	s.openers.failLocked(goneAway(0))
	s.pooled.leaveLocked()
	s.mu.Unlock()
	for _, st := range failed {
		st.cancelContext(st.endReason())
	}
	s.app.goingAway()
	s.ring()
	s.endIfDrained()
	return s.idleOverStreams()
}

// goneReasonLocked returns the error of a stream above the last good stream.
func (s *Session) goneReasonLocked(st *Stream) error {
	if s.end.farewell != nil && st.onWire {
		return s.end.farewell
	}
	return goneAway(st.id)
}

// goneAway returns the error of a stream not processed by a peer going away.
func goneAway(id uint32) *StreamError {
	return &StreamError{StreamID: id, Status: RstRefusedStream, Remote: true, Err: errGoingAway}
}

// A pingWaiter waits for the echo of a PING.
type pingWaiter struct {
	sent    time.Time
	verdict chan time.Duration // capacity 1, posted at most once
}
