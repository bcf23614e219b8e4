package spdy

import "container/heap"

// This file bounds the header blocks stored for raw streams until the application receives them.
// AcceptStream delivers the block of a SYN_STREAM, ReceiveHeaders the block of a HEADERS frame. A
// delivered block belongs to the application: an open stream holds one block of at most
// Config.MaxHeaderBytes, and slots bound the open streams. So no stream is reset for blocks already
// received by the application.

// rawKept counts the undelivered header blocks of a session's raw streams. Guarded by Session.mu.
type rawKept struct {
	bytes   int64
	opening int64      // the part of bytes that is blocks of SYN_STREAMs, see RawStream.opening
	holders rawHolders // the streams that hold the blocks
	payer   *RawStream // stream with forfeited blocks, to be reset, see payRaw; nil if there is none
}

// keptBytes returns the memory needed to store h, the block just read.
func (s *Session) keptBytes(h HeaderBlock) int {
	const pair, block = 32, 64
	return s.inflate.size + (pair-2*nvIntSize(s.version))*len(h) + block
}

// rawHeaderFactor times MaxHeaderBytes is the bound of the undelivered header blocks of all raw
// streams of a session. The limits per stream would allow a peer much more.
const rawHeaderFactor = 16

// modestHeader is the amount of undelivered header blocks each raw stream may always hold: a stream
// that holds no more is not refused or reset because of the blocks of others.
const modestHeader = 4 << 10

// rawHeadersFull is the reason for refusing or resetting streams at that bound.
const rawHeadersFull = "the header blocks of all streams are too large"

// rawHeaderLimit returns the bound of undelivered header blocks in bytes. It covers modest blocks
// of all streams that may be open or in the accept queue: if the total exceeds the bound, some
// stream holds more than a modest block.
func (s *Session) rawHeaderLimit() int64 {
	streams := int64(s.conf.MaxConcurrentStreams)
	if q, ok := s.app.(*acceptQueue); ok {
		streams += int64(q.limit)
	}
	most := int64(s.conf.MaxHeaderBytes)
	return max(rawHeaderFactor*most, streams*min(most, modestHeader))
}

// keepOpeningLocked counts the block of the SYN_STREAM as undelivered. The ledger has charged the
// block already, see opensLocked. For the result and the permitted callers see roomLocked.
func (r *RawStream) keepOpeningLocked(n int) bool {
	if !r.roomLocked(n) {
		return false
	}
	r.setKeptLocked(r.kept+n, n)
	return true
}

// keepLateLocked counts and charges the block of a HEADERS frame as undelivered. It reports false
// if the block does not fit. For the permitted callers see roomLocked.
func (r *RawStream) keepLateLocked(n int) bool {
	if !r.roomLocked(n) || !r.st.session.ledger.keepsLocked(n, r.kept+n) {
		return false
	}
	r.setKeptLocked(r.kept+n, r.opening)
	return true
}

// roomLocked makes room for n more undelivered bytes. At the bound the largest holder pays. If that
// is r, roomLocked reports false. Another stream forfeits its blocks and becomes the payer, which
// the receiver resets after releasing the lock, see payRaw. Receiver only.
func (r *RawStream) roomLocked(n int) bool {
	s := r.st.session
	if s.rawKept == nil {
		s.rawKept = new(rawKept)
	}
	if k := s.rawKept; k.bytes+int64(n) > s.rawHeaderLimit() {
		if len(k.holders) == 0 || k.holders[0].kept <= r.kept+n {
			return false
		}
		k.payer = k.holders[0]
		k.payer.forfeitLocked()
	}
	return true
}

// keptLocked lowers the number of undelivered bytes of the stream to n, of which opening are the
// SYN_STREAM's block.
func (r *RawStream) keptLocked(n, opening int) {
	s := r.st.session
	if s.rawKept == nil { // no bytes have been counted
		return
	}
	s.ledger.keepsLocked(n-opening-(r.kept-r.opening), n)
	r.setKeptLocked(n, opening)
	r.st.returnHeadersLocked()
}

func (r *RawStream) setKeptLocked(n, opening int) {
	k := r.st.session.rawKept
	k.bytes += int64(n - r.kept)
	k.opening += int64(opening - r.opening)
	r.kept, r.opening = n, opening
	k.holders.place(r)
}

// forfeitLocked drops the undelivered blocks of a stream. An unaccepted stream can no longer be
// accepted.
func (r *RawStream) forfeitLocked() {
	if !r.taken {
		r.dropped, r.header = true, nil
	}
	r.late = nil
	r.keptLocked(0, 0)
}

// payRaw resets the stream chosen by roomLocked. The peer is not charged: the streams may belong to
// different users.
func (s *Session) payRaw() {
	k := s.rawKept
	if k == nil || k.payer == nil { // only the receiver changes payer
		return
	}
	r := k.payer
	k.payer = nil
	s.mu.Lock()
	ended, dropped := r.st.ended, r.dropped
	s.mu.Unlock()
	if e := streamErrorf(r.st.id, RstFrameTooLarge, "%s", rawHeadersFull); ended {
		s.log.streamError(s, e)
	} else {
		s.spoilStream(&r.st, e)
	}
	if dropped {
		s.credit(r.st.discard()) // bytes received before a FIN
	}
}

// takeLocked records that the application has the stream, or that no caller will accept it.
func (r *RawStream) takeLocked() {
	r.taken = true
	if r.st.ended {
		r.keptLocked(0, 0) // the stream receives no more
		return
	}
	r.keptLocked(r.kept-r.opening, 0)
}

// endedLocked releases the blocks of an ended stream: all of them if the application has the
// stream, or if the stream broke off before it was accepted.
func (r *RawStream) endedLocked() {
	switch {
	case r == nil:
	case r.taken:
		r.keptLocked(0, 0)
	case r.lostLocked():
		r.forfeitLocked()
	}
}

// rawHolders are the raw streams with undelivered header blocks: a heap with the largest holder at
// the top. Guarded by Session.mu.
type rawHolders []*RawStream

// place moves a stream to the right position in the heap, or removes the stream.
func (q *rawHolders) place(r *RawStream) {
	switch {
	case r.kept > 0 && r.rank == 0:
		heap.Push(q, r)
	case r.kept > 0:
		heap.Fix(q, r.rank-1)
	case r.rank > 0:
		heap.Remove(q, r.rank-1)
	}
}

// The methods below are for package heap.

func (q rawHolders) Len() int { return len(q) }

func (q rawHolders) Less(i, j int) bool { return q[i].kept > q[j].kept }

func (q rawHolders) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].rank, q[j].rank = i+1, j+1
}

// Push appends a stream.
func (q *rawHolders) Push(x any) {
	r := x.(*RawStream)
	*q = append(*q, r)
	r.rank = len(*q)
}

// Pop removes the last stream.
func (q *rawHolders) Pop() any {
	last := len(*q) - 1
	r := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	r.rank = 0
	return r
}
