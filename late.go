package spdy

import "slices"

// lateHeaders hold the headers from HEADERS frames and the state of interim responses of a stream.
// Most streams have none, so they are allocated on first use, see makeLateLocked.
type lateHeaders struct {
	// Guarded by Session.mu.
	block    HeaderBlock // of HEADERS frames
	bytes    int         // total of the encoded blocks; for a raw stream only the waiting blocks
	interims *bucket     // interim responses still allowed; nil before the first

	// The names in the HEADERS frames of an HTTP stream. Receiver only.
	count int
	seen  map[string]struct{} // nil while the names are few enough for pairwise comparison
}

// makeLateLocked returns the late headers of the stream, and allocates them if necessary. Only the
// receiver calls it, so the receiver may read st.late without the lock.
func (st *Stream) makeLateLocked() *lateHeaders {
	if st.late == nil {
		st.late = new(lateHeaders)
	}
	return st.late
}

// lateBlockLocked returns the headers from HEADERS frames so far.
func (st *Stream) lateBlockLocked() HeaderBlock {
	if st.late == nil {
		return nil
	}
	return st.late.block
}

// fewLateNames is the maximum number of names that a stream compares without a set.
const fewLateNames = 32

// checkLate returns an error if the names in a HEADERS frame are invalid. Only the receiver changes
// the known names, so the comparison needs no lock.
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

// repeatsName reports whether a name of h has occurred in an earlier HEADERS frame of the stream,
// or in the SYN_STREAM of a push (SPEC U10). The names in h are unique. Receiver only.
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

// addLateLocked stores the pairs of the HEADERS frame that the receiver has just read and checkLate
// has checked. Sizes are those of the encoded blocks, as a sender counts them.
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
