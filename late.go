package spdy

import "slices"

// lateHeaders are what HEADERS frames and interim answers have brought for a stream. Most
// streams have none, so that a stream makes them when the first come, see makeLateLocked.
type lateHeaders struct {
	// Guarded by Session.mu.
	block    HeaderBlock // of HEADERS frames
	bytes    int         // of their encoded blocks, of a raw stream only of those that wait
	interims *bucket     // interim answers that may still come; nil before the first

	// The names that have come in HEADERS frames of a stream of HTTP. Receiver only.
	count int
	seen  map[string]struct{} // nil while few names can be compared with each other
}

// makeLateLocked returns the late headers of the stream. Only the receiver makes them, so
// that it may look at them without the lock.
func (st *Stream) makeLateLocked() *lateHeaders {
	if st.late == nil {
		st.late = new(lateHeaders)
	}
	return st.late
}

// lateBlockLocked returns what HEADERS frames have brought so far.
func (st *Stream) lateBlockLocked() HeaderBlock {
	if st.late == nil {
		return nil
	}
	return st.late.block
}

// fewLateNames is the number of names up to which a stream keeps no set of them.
const fewLateNames = 32

// checkLate says what is wrong with the names in a HEADERS frame, nil if nothing. Only the
// receiver changes what they are compared with, so it needs no lock for that.
func (s *Session) checkLate(id uint32, h HeaderBlock) *StreamError {
	s.mu.Lock()
	st := s.streams[id]
	exempt := st == nil || st.raw != nil || st.state.interim || s.ignoresLateLocked(st)
	if exempt {
		s.mu.Unlock()
		return nil
	}
	late := st.makeLateLocked()
	s.mu.Unlock()
	late.count += len(h)
	switch limit := s.conf.MaxHeaderFields; {
	case late.count > limit:
		return streamErrorf(id, RstFrameTooLarge, "more than %d late headers", limit)
	case st.repeatsName(h): // SPEC R11
		return streamErrorf(id, RstProtocolError, "repeated late header")
	}
	return nil
}

// repeatsName reports whether a name of h, in which each is unique, has come in HEADERS of
// the stream before, or in the SYN_STREAM of a push (SPEC U10). Receiver only.
func (st *Stream) repeatsName(h HeaderBlock) bool {
	late, pushed := st.late.block, HeaderBlock(nil)
	if st.oneWay {
		pushed = st.reply
	}
	before := len(late) + len(pushed)
	seen := st.late.seen
	if seen == nil && (before == 0 || before+len(h) <= fewLateNames) {
		return slices.ContainsFunc(h, func(f HeaderField) bool { return late.has(f.Name) || pushed.has(f.Name) })
	}
	if seen == nil {
		seen = make(map[string]struct{}, before+len(h))
		for _, f := range late {
			seen[f.Name] = struct{}{}
		}
		for _, f := range pushed {
			seen[f.Name] = struct{}{}
		}
		st.late.seen = seen
	}
	known := len(seen)
	for i := range h {
		seen[h[i].Name] = struct{}{}
	}
	return len(seen) < known+len(h)
}

// addLateLocked keeps the pairs of the HEADERS frame that the receiver has just read, whose
// names checkLate has looked at. Their size is that of the encoded blocks, as a sender
// counts it.
func (st *Stream) addLateLocked(h HeaderBlock) *StreamError {
	s, late := st.session, st.makeLateLocked()
	limit := s.sideHeaderLimit()
	late.bytes += s.inflate.size
	switch {
	case late.bytes > limit:
		return streamErrorf(st.id, RstFrameTooLarge, "late headers of more than %d bytes", limit)
	case s.ignoresLateLocked(st):
		return nil
	}
	if full := st.chargeHeadersLocked(h); full != nil {
		return full
	}
	if late.block == nil {
		late.block = h
	} else {
		late.block = append(late.block, h...)
	}
	return nil
}
