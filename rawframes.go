package spdy

// maxMarks is how many ends of frames are kept for a stream. The frames of a peer that
// makes them smaller than that lose their ends: a mark must not cost more than the
// bytes that it marks.
const maxMarks = 1024

// marks say where DATA frames end in a northbound buffer, for raw streams of which that
// is to be kept; nil keeps nothing, see Config.KeepFrames. Guarded by northbound.mu.
type marks struct {
	ends  []int // bytes from the end of one frame to that of the next; the first is what is left
	first int   // where the oldest mark is in ends
	in    bool  // of the oldest frame something has been read
}

// mark notes that a frame of n bytes begins to come in.
func (b *northbound) mark(n int) {
	if b.marks == nil || n == 0 { // the pointer is immutable once the stream is open
		return
	}
	b.mu.Lock()
	b.marks.add(n)
	b.mu.Unlock()
}

func (m *marks) add(n int) {
	if m.first > 0 && len(m.ends) == cap(m.ends) {
		m.ends = append(m.ends[:0], m.ends[m.first:]...)
		m.first = 0
	}
	if len(m.ends)-m.first >= maxMarks {
		m.ends[len(m.ends)-1] += n
		return
	}
	m.ends = append(m.ends, n)
}

// limit cuts p down to what is left of the oldest frame.
func (m *marks) limit(p []byte) []byte {
	if m != nil && m.first < len(m.ends) {
		return p[:min(len(p), m.ends[m.first])]
	}
	return p
}

// pass notes that n bytes have been read, which are not more than limit allowed.
func (m *marks) pass(n int) {
	if m == nil || m.first == len(m.ends) {
		return
	}
	m.ends[m.first] -= n
	m.in = m.ends[m.first] > 0
	if m.in {
		return
	}
	if m.first++; m.first == len(m.ends) {
		m.clear()
	}
}

// clear forgets what was kept of bytes that are gone.
func (m *marks) clear() {
	if m != nil {
		m.ends, m.first, m.in = m.ends[:0], 0, false
	}
}

// inFrame reports that a part of a frame has been read, and how much has come of what is
// left of the oldest one.
func (b *northbound) inFrame() (in bool, come int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	come = int(b.unread)
	if b.marks == nil {
		return false, come
	}
	if m := b.marks; m.first < len(m.ends) {
		come = min(come, m.ends[m.first])
	}
	return b.marks.in, come
}

// InFrame reports that Read has returned a part of a DATA frame and not yet its end. It
// is always false without Config.KeepFrames.
func (r *RawStream) InFrame() bool {
	r = r.made()
	in, _ := r.st.in.inFrame()
	return in
}

// ReadFrame waits for the next DATA frame that is not empty and returns all that it
// carried, or what Read has left of it. It needs Config.KeepFrames, and must not be
// called by several goroutines at once, nor together with Read. Of a frame that breaks
// off it returns what has come, along with the error, which is one of those of Read.
//
// If the peer has sent more than a thousand frames that nobody has read, those that
// follow come as one.
func (r *RawStream) ReadFrame() ([]byte, error) {
	r = r.made()
	var frame []byte
	for {
		_, come := r.st.in.inFrame()
		room := max(come, 1) // nothing has come: wait for the first byte
		have := len(frame)
		if cap(frame)-have < room {
			frame = append(make([]byte, 0, max(have+room, 2*have)), frame...)
		}
		n, err := r.Read(frame[have : have+room])
		frame = frame[:have+n]
		if err != nil {
			return frame, err
		}
		if in, _ := r.st.in.inFrame(); !in {
			return frame, nil
		}
	}
}
