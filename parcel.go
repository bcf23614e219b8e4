package spdy

// A parcel is a buffer from batchPool with bytes of a body. The owner may hand the parcel to the
// sender, contents included. The first frameHeaderSize bytes are reserved for the header of a DATA
// frame, so the sender can write the frame in place, without a copy. The last owner returns the
// parcel to the pool.

// leastParcel is the least payload, in bytes, that is worth a separate system call.
const leastParcel = 16 << 10

// parcelRoom returns the payload area of a parcel: the payload of a frame of batch size.
func parcelRoom(parcel *[]byte) []byte { return (*parcel)[frameHeaderSize:batchSize] }

// packLocked makes the next n bytes of a stream's loan the frame to be written after the current
// batch, if the parcel holds no other bytes and n is at least leastParcel. It reports whether the
// sender has taken ownership of the parcel.
func (s *Session) packLocked(st *Stream, flags frameFlags, n int) bool {
	if st.parcel == nil || n < leastParcel || n < len(st.loan) {
		return false
	}
	start := cap(*st.parcel) - cap(st.loan) - frameHeaderSize // the bytes before have been sent
	frame := (*st.parcel)[start : start+frameHeaderSize+n]
	appendDataHeader(frame[:0], st.id, flags, n)
	s.parcel, s.parcelFrame = st.parcel, frame
	st.parcel = nil
	return true
}

// writeParcelFrame writes the frame prepared by packLocked.
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
