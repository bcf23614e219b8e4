package spdy

// maxMarks is the number of frame ends stored for a stream. If the peer's frames are so small that
// more are needed, further ends are lost: a mark must not cost more than the marked bytes.
const maxMarks = 1024

// marks records where DATA frames end in a northbound buffer, for raw streams that need frame ends;
// nil records nothing, see Config.KeepFrames. Guarded by northbound.mu.
type marks struct {
	ends  []int // bytes from the end of one frame to the end of the next; for the oldest frame the unread rest
	first int   // index of the oldest mark in ends
	in    bool  // the oldest frame has been read in part
}

// mark records that a frame of n bytes begins.
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

// limit shortens p to the unread rest of the oldest frame.
func (m *marks) limit(p []byte) []byte {
	if m != nil && m.first < len(m.ends) {
		return p[:min(len(p), m.ends[m.first])]
	}
	return p
}

// pass records that n bytes have been read, at most as many as limit allowed.
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

// clear discards all marks.
func (m *marks) clear() {
	if m != nil {
		m.ends, m.first, m.in = m.ends[:0], 0, false
	}
}

// inFrame reports whether a frame has been read in part, and how many bytes of the rest of the
// oldest frame have arrived.
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

// InFrame reports whether Read has returned a part of a DATA frame and not yet the end of the
// frame. It is always false without Config.KeepFrames.
func (r *RawStream) InFrame() bool {
	r = r.made()
	in, _ := r.st.in.inFrame()
	return in
}

// ReadFrame waits for the next non-empty DATA frame and returns the whole payload, or the rest left
// by Read. ReadFrame needs Config.KeepFrames, and must not be called concurrently with another
// ReadFrame or Read. If the stream breaks off within a frame, ReadFrame returns the received part
// and the error of Read.
//
// If the peer has sent more than a thousand unread frames, ReadFrame returns the following frames
// as one.
func (r *RawStream) ReadFrame() ([]byte, error) {
	r = r.made()
	var frame []byte
	for {
		_, come := r.st.in.inFrame()
		room := max(come, 1) // if no byte has arrived, wait for the first byte
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
