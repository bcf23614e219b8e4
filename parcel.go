package spdy

// A parcel is a buffer from batchPool with bytes of a body in it, that its owner may give
// to the sender together with what is in it. Its first frameHeaderSize bytes are kept
// free for the head of a DATA frame, so the sender can write the frame from where the
// bytes lie. Whoever has the parcel last puts it back into the pool.

// leastParcel is the least payload, in bytes, that is worth a system call of its own.
const leastParcel = 16 << 10

// parcelRoom is where the payload of a parcel may be: as much as makes a frame of a
// batch's size.
func parcelRoom(parcel *[]byte) []byte { return (*parcel)[frameHeaderSize:batchSize] }

// packLocked makes the next n bytes of a stream's loan the frame that is written behind
// the present batch, if they are all that is left in a parcel, and reports whether it
// has. The parcel is the sender's then.
func (s *Session) packLocked(st *Stream, flags frameFlags, n int) bool {
	if st.parcel == nil || n < leastParcel || n < len(st.loan) {
		return false
	}
	start := cap(*st.parcel) - cap(st.loan) - frameHeaderSize // what lies before has been sent
	frame := (*st.parcel)[start : start+frameHeaderSize+n]
	appendDataHeader(frame[:0], st.id, flags, n)
	s.parcel, s.parcelFrame = st.parcel, frame
	st.parcel = nil
	return true
}

// writeParcelFrame writes the frame that packLocked has left for the sender.
func (s *Session) writeParcelFrame() error {
	parcel, frame := s.parcel, s.parcelFrame
	if parcel == nil {
		return nil
	}
	s.parcel, s.parcelFrame = nil, nil
	defer putBatch(parcel)
	s.traceBatch(frame)
	return s.writeOut(frame)
}
