package spdy

import "container/heap"

// This file bounds the header blocks that a session keeps for its raw streams until the
// application takes them. AcceptStream takes the block of a SYN_STREAM, ReceiveHeaders that of
// a HEADERS frame. A block that the application has taken belongs to the application: an open
// stream keeps one of at most Config.MaxHeaderBytes, and slots bound the open streams. So no
// stream is reset for what its application has taken already.

// rawKept counts the header blocks of a session's raw streams that wait for the application.
// Guarded by Session.mu.
type rawKept struct {
	bytes   int64
	holders rawHolders // the streams that hold them
	payer   *RawStream // has lost its blocks, and is to be reset, see payRaw; nil if none is
}

// keptBytes is how many bytes it takes to keep h, the block that the receiver has just read.
func (s *Session) keptBytes(h HeaderBlock) int {
	const pair, block = 32, 64
	return s.inflate.size + (pair-2*nvIntSize(s.version))*len(h) + block
}

// rawHeaderFactor times MaxHeaderBytes is what the waiting header blocks of all raw streams of
// a session may take together. The streams would allow a peer much more.
const rawHeaderFactor = 16

// modestHeader is what each raw stream may at least hold in waiting header blocks: a stream that
// holds no more is not refused or reset for the blocks of others.
const modestHeader = 4 << 10

// rawHeadersFull is why streams are refused or reset at that bound.
const rawHeadersFull = "the header blocks of all streams are too large"

// rawHeaderLimit is how many bytes of header blocks may wait. It covers modest blocks of all
// streams that may be open or wait in the accept queue: if others exceed it, one of them holds
// more than a modest block.
func (s *Session) rawHeaderLimit() int64 {
	streams := int64(s.conf.MaxConcurrentStreams)
	if q, ok := s.app.(*acceptQueue); ok {
		streams += int64(q.limit)
	}
	most := int64(s.conf.MaxHeaderBytes)
	return max(rawHeaderFactor*most, streams*min(most, modestHeader))
}

// keepLocked counts n more bytes that wait for the application. At the bound the stream that
// holds most pays: if that is r, keepLocked reports false; another one loses its blocks and
// becomes the payer, which the receiver resets when it has left the lock, see payRaw.
// Receiver only.
func (r *RawStream) keepLocked(n int) bool {
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
	if !s.ledger.keepsLocked(n, r.kept+n) {
		return false
	}
	r.setKeptLocked(r.kept + n)
	return true
}

// keptLocked lowers the number of bytes that wait for the stream's application to n.
func (r *RawStream) keptLocked(n int) {
	if s := r.st.session; s.rawKept != nil { // else nothing has been counted
		s.ledger.keepsLocked(n-r.kept, n)
		r.setKeptLocked(n)
	}
}

func (r *RawStream) setKeptLocked(n int) {
	k := r.st.session.rawKept
	k.bytes += int64(n - r.kept)
	r.kept = n
	k.holders.place(r)
}

// forfeitLocked drops the blocks that wait for the application of a stream. One that nobody has
// accepted will not be accepted any more.
func (r *RawStream) forfeitLocked() {
	if !r.taken {
		r.dropped, r.header = true, nil
	}
	r.late = nil
	r.keptLocked(0)
}

// payRaw resets the stream that keepLocked has chosen. Nobody is charged: the streams of a peer
// may be of different users.
func (s *Session) payRaw() {
	k := s.rawKept
	if k == nil || k.payer == nil { // which only the receiver changes
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
		s.credit(r.st.discard()) // what came before a FIN
	}
}

// takeLocked notes that the application has the stream, or nobody will.
func (r *RawStream) takeLocked() {
	r.taken = true
	if r.st.ended {
		r.keptLocked(0) // it receives no more
		return
	}
	r.keptLocked(r.kept - r.opening)
	r.opening = 0
}

// endedLocked gives back what a stream that has ended holds: everything if the application has
// the stream, or if it broke off before anybody accepted it.
func (r *RawStream) endedLocked() {
	switch {
	case r == nil:
	case r.taken:
		r.keptLocked(0)
	case r.lostLocked():
		r.forfeitLocked()
	}
}

// rawHolders are the raw streams whose header blocks wait for the application: a heap with the
// stream that holds most at the top. Guarded by Session.mu.
type rawHolders []*RawStream

// place moves a stream to where it belongs, which may be nowhere.
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
