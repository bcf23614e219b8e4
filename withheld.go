package spdy

import "time"

// A frame that meets a closed socket draws a reset, and the system of the peer throws away
// what it has not sent yet. A peer that does no flow control closes its connection when its last
// byte is with its system, and has no use for credit. So a server keeps credit back while
// the peer has granted none itself. A peer may have granted none because it has received nothing:
// it gets credit when it seems to wait for it. One that sends more than was granted to it never does.

// creditSilence is how long nothing has to come of a stream with half of its window or less, until
// the peer is taken to wait for credit, and how long nothing has to come at all for the session's
// window. Peers that wait for room for a whole frame leave up to half of a window.
const creditSilence = time.Second

// exactStops is how often a peer has to stop with nothing left of a window, until
// it is taken to look at windows.
const exactStops = 2

// mostLooks bounds the streams that are looked at at once.
const mostLooks = 256

// A withholding is the credit that is kept back from a peer. Guarded by Session.mu.
type withholding struct {
	session int64                // credit for the session; that for a stream is RawStream.withheld
	short   map[*RawStream]int64 // streams with half of their windows or less, and what that was at the last look
	all     bool                 // the session has half of its window or less
	left    int64                // what that was at the last look
	timer   *giveUp              // looks again; nil while nothing is short
	exact   int                  // stops with nothing left
	overrun bool                 // the peer has sent more than was granted to it
	obeyed  bool                 // it has stopped often enough: nothing is kept back
}

// withholdsLocked reports that credit is kept back.
func (s *Session) withholdsLocked() bool { return s.blind() && !s.unaware.kept.obeyed }

// toldLocked is what the peer may still send on a stream, as far as it has been told.
func (r *RawStream) toldLocked() int64 { return r.st.in.available() - r.withheld }

// toldLocked is what the peer may still send, as far as it has been told.
func (s *Session) toldLocked() int64 {
	if s.unaware == nil {
		return s.flow.in.avail
	}
	return s.flow.in.avail - s.unaware.kept.session
}

// withholdStreamLocked keeps back credit for a stream.
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

// withholdSessionLocked keeps back credit for the session.
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

// noteOverrunLocked looks at a DATA frame of n bytes that has been charged to the session, and
// not to its stream yet.
func (s *Session) noteOverrunLocked(r *RawStream, n int64) {
	if !s.blind() || !s.unaware.announced || s.unaware.kept.overrun || !s.version.streamFlowControl() {
		return
	}
	if n > r.toldLocked() || s.version.sessionFlowControl() && s.toldLocked() < 0 {
		s.unaware.kept.overrun = true
		s.unaware.kept.stopLocked()
	}
}

// lookSoonLocked sees to it that somebody looks at what is short.
func (s *Session) lookSoonLocked() {
	if w := &s.unaware.kept; w.timer == nil && s.end.err == nil {
		w.timer = newGiveUp(creditSilence, s.lookWithheld)
	}
}

// stopWithheldLocked ends the looks with the session.
func (s *Session) stopWithheldLocked() {
	if s.unaware != nil {
		s.unaware.kept.stopLocked()
	}
}

// stopLocked ends the looks for good.
func (w *withholding) stopLocked() {
	if w.timer != nil {
		w.timer.Stop()
	}
	w.short, w.all = nil, false
}

// lookWithheld grants credit where nothing has come since the last look.
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

// lookStreamsLocked is lookWithheld for the streams that are short. It reports whether one of
// them had nothing left.
func (s *Session) lookStreamsLocked() (stopped bool) {
	w, looks := &s.unaware.kept, 0
	for r, last := range w.short {
		if looks++; looks > mostLooks {
			break // the others have their turn by and by: maps have no order
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

// releaseLocked grants all that was kept back.
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
