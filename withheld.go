package spdy

import "time"

// A frame that arrives at a closed socket causes a TCP reset, and the peer's system then discards
// unsent data. A peer without flow control closes the connection when its last byte is in the
// socket buffer, and does not need credit. So a server withholds credit until the peer itself has
// granted credit. A peer may have granted none because it has received nothing: it gets credit if
// it seems to wait for credit. A peer that exceeds the granted window never waits.

// creditSilence is the time without data on a stream with half of the window or less after which
// the peer counts as waiting for credit. For the session's window, it is the time without any data.
// Peers that wait for room for a whole frame leave up to half of a window unused.
const creditSilence = time.Second

// exactStops is the number of times that a peer must stop with an exhausted window before it counts
// as obeying windows.
const exactStops = 2

// mostLooks limits the number of streams checked at a time.
const mostLooks = 256

// A withholding is the credit withheld from a peer. Guarded by Session.mu.
type withholding struct {
	session int64                // credit for the session; RawStream.withheld is that of a stream
	short   map[*RawStream]int64 // streams with half of their windows or less, and the bytes left at the last look
	all     bool                 // the session has half of the window or less
	left    int64                // bytes left of the session's window at the last look
	timer   *giveUp              // runs the next look; nil while no window is short
	exact   int                  // stops with an exhausted window
	overrun bool                 // the peer has exceeded the granted window
	obeyed  bool                 // the peer has stopped often enough: no credit is withheld
}

// withholdsLocked reports whether credit is withheld.
func (s *Session) withholdsLocked() bool { return s.blind() && !s.unaware.kept.obeyed }

// toldLocked returns the bytes that the peer may still send on a stream, by the credit sent so far.
func (r *RawStream) toldLocked() int64 { return r.st.in.available() - r.withheld }

// toldLocked returns the bytes that the peer may still send, by the credit sent so far.
func (s *Session) toldLocked() int64 {
	if s.unaware == nil {
		return s.flow.in.avail
	}
	return s.flow.in.avail - s.unaware.kept.session
}

// withholdStreamLocked withholds credit for a stream.
func (s *Session) withholdStreamLocked(r *RawStream, grant int64) {
	w := &s.unaware.kept
	r.withheld += grant
	left := r.toldLocked()
	if w.overrun || 2*left > int64(s.conf.StreamWindow) {
		return
	}
	if _, ok := w.short[r]; ok {
		return
	}
	if w.short == nil {
		w.short = make(map[*RawStream]int64)
	}
	w.short[r] = left
	s.lookSoonLocked()
}

// withholdSessionLocked withholds credit for the session.
func (s *Session) withholdSessionLocked(grant int64) {
	w := &s.unaware.kept
	w.session += grant
	left := s.toldLocked()
	if !s.unaware.announced || w.overrun || w.all || 2*left > s.flow.in.size || !s.version.sessionFlowControl() {
		return
	}
	w.all, w.left = true, left
	s.lookSoonLocked()
}

// noteOverrunLocked checks a DATA frame of n bytes for an overrun. The frame has been charged to
// the session, and not yet to the stream.
func (s *Session) noteOverrunLocked(r *RawStream, n int64) {
	if !s.blind() || !s.unaware.announced || s.unaware.kept.overrun || !s.version.streamFlowControl() {
		return
	}
	if n > r.toldLocked() || s.version.sessionFlowControl() && s.toldLocked() < 0 {
		s.unaware.kept.overrun = true
		s.unaware.kept.stopLocked()
	}
}

// lookSoonLocked schedules a look at the short windows.
func (s *Session) lookSoonLocked() {
	if w := &s.unaware.kept; w.timer == nil && s.end.err == nil {
		w.timer = newGiveUp(creditSilence, s.lookWithheld)
	}
}

// stopWithheldLocked stops the looks at the end of the session.
func (s *Session) stopWithheldLocked() {
	if s.unaware != nil {
		s.unaware.kept.stopLocked()
	}
}

// stopLocked stops the looks permanently.
func (w *withholding) stopLocked() {
	if w.timer != nil {
		w.timer.Stop()
	}
	w.short, w.all = nil, false
}

// lookWithheld grants credit where no data has arrived since the last look.
func (s *Session) lookWithheld() {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := &s.unaware.kept
	w.timer = nil
	if s.end.err != nil || w.overrun || !s.withholdsLocked() {
		return
	}
	stopped := s.lookStreamsLocked()
	if left := s.toldLocked(); w.all && left == w.left {
		stopped = stopped || left == 0
		s.releaseSessionLocked()
	} else {
		w.left = left
	}
	if stopped {
		w.exact++
	}
	if w.obeyed = w.exact >= exactStops; w.obeyed {
		s.releaseLocked()
	} else if w.all || len(w.short) > 0 {
		s.lookSoonLocked()
	}
	s.ringLocked()
}

// lookStreamsLocked is lookWithheld for the streams with short windows. It reports whether a window
// was exhausted.
func (s *Session) lookStreamsLocked() (stopped bool) {
	w, looks := &s.unaware.kept, 0
	for r, last := range w.short {
		if looks++; looks > mostLooks {
			break // later looks reach the remaining streams: maps have no order
		}
		switch left := r.toldLocked(); {
		case r.st.ended || r.st.state.inDone:
			delete(w.short, r)
		case left < last:
			w.short[r] = left
		default:
			stopped = stopped || left == 0
			s.releaseStreamLocked(r)
		}
	}
	return stopped
}

// releaseLocked grants all withheld credit.
func (s *Session) releaseLocked() {
	for _, st := range s.streams {
		if st.raw != nil {
			s.releaseStreamLocked(st.raw)
		}
	}
	s.releaseSessionLocked()
	s.unaware.kept.stopLocked()
}

func (s *Session) releaseStreamLocked(r *RawStream) {
	grant, st := r.withheld, &r.st
	r.withheld = 0
	delete(s.unaware.kept.short, r)
	if grant > 0 && !st.ended && !st.state.inDone {
		s.grantLocked(st.id, &st.granted, grant)
	}
}

func (s *Session) releaseSessionLocked() {
	w := &s.unaware.kept
	grant := w.session
	w.session, w.all = 0, false
	if grant > 0 && s.end.err == nil && s.version.sessionFlowControl() {
		s.grantLocked(0, &s.flow.granted, grant)
	}
}
