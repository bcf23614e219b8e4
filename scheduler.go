package spdy

import "math/bits"

// priorities is the number of priority levels. Level 0 is the most urgent (SPDY/3.1 §2.3.3).
const priorities = 8

// priorityScale is the number of bits by which a version's priorities are shifted against ours:
// SPDY/2 has four levels, which spread over our eight.
func priorityScale(v Version) uint {
	if v == SPDY2 {
		return 1
	}
	return 0
}

// A waiting stream may send a quantum of bytes in each round. The quantum of the least urgent level
// is half the quantum of the most urgent level, so no stream sends more than twice as much as the
// rest, whatever levels a peer picks (SPEC S10).
const leastQuantum = maxDataFrame

// maxOvertake is the number of bytes that new streams may send in each round before the waiting
// streams: the quantum of one urgent stream. Without a bound, a series of new streams would starve
// the rest.
const maxOvertake = 2 * leastQuantum

// A scheduler picks the stream whose bytes the sender sends next. It works in rounds. In a round
// every stream may send a quantum: streams of the most urgent level first, and frame by frame in
// turn within a level. A new stream joins the current round, ahead of the waiting streams of the
// same level. Streams link themselves into rings, so the scheduler allocates nothing and every
// operation runs in constant time. Guarded by Session.mu.
type scheduler struct {
	fresh     tier // new streams of this round
	waits     [2]tier
	now       uint8 // index into waits of this round's streams; the other tier is for the next round
	round     uint32
	overtakes int64  // bytes that new streams may still send in this round; may be below 0
	fins      ring   // streams with only a FIN to send, which needs no window (SPEC W4)
	blocked   ring   // streams with bytes to send and an exhausted stream window
	last      uint32 // id of the stream that sent last
	changed   uint32 // the round in which last changed
	batch     uint8  // low bits of the current batch's number
	emptied   bool   // this batch holds a writer's whole loan, at most one frame, and the writer has not finished
	small     bool   // that loan was smaller than smallPiece
	wasSmall  bool   // the value of small in the previous batch
	keptLoans int32  // bytes in loans whose writers have returned, see keepLoanLocked
}

// newScheduler returns a scheduler for streams that have joined no round yet, as in the zero
// roundPart.
func newScheduler() scheduler { return scheduler{round: 2, overtakes: maxOvertake} }

// A tier holds, for each level, a ring of streams with bytes to send and an open window.
type tier struct {
	rings  [priorities]ring
	levels uint8 // bit p is set while rings[p] is not empty
}

// A roundPart is the scheduler's record of a stream's part in a round. Guarded by Session.mu.
type roundPart struct {
	round uint32 // the last round that the stream joined
	sent  int32  // bytes sent in that round, less the remainder of the round before
	fresh bool   // the stream did not join the round before
	batch uint8  // low bits of the number of the batch in which the stream sent last
}

// quantum returns the number of bytes that a stream may send in a round.
func (st *Stream) quantum() int32 {
	return 2*leastQuantum - int32(st.priority&(priorities-1))*leastQuantum/(priorities-1)
}

// place puts a stream into the ring for its pending bytes or FIN, or removes the stream if nothing
// is pending. It must be called after every change of the loan, the FIN or the window.
func (sc *scheduler) place(st *Stream) {
	var to *ring
	var among *tier
	switch {
	case st.muted: // the peer is not ready for the stream
	case st.headerJobs > 0 || st.pushJobs > 0: // DATA must not overtake header blocks
	case len(st.loan) > 0 && st.out.avail > 0:
		among = sc.tierFor(st)
		to = among.ring(st)
	case len(st.loan) > 0:
		to = &sc.blocked
	case st.finQueued:
		to = &sc.fins
	}
	if st.ring == to {
		return
	}
	sc.remove(st)
	if to == nil {
		return
	}
	to.push(st)
	if among != nil {
		if sc.owed(st, among) {
			to.head = st
		}
		among.levels |= 1 << (st.priority & (priorities - 1))
	}
}

// owed reports whether a stream precedes the rest of its level: the stream has sent in this batch
// or the previous batch, and the writer has queued more before the quantum is used up. Otherwise
// the other streams would fill the next batch, and the stream would send in every second batch at
// best.
func (sc *scheduler) owed(st *Stream, among *tier) bool {
	return among == &sc.waits[sc.now] && !st.part.fresh && sc.batch-st.part.batch <= 1
}

func (t *tier) ring(st *Stream) *ring { return &t.rings[st.priority&(priorities-1)] }

// tierFor returns the tier of a stream with bytes to send.
func (sc *scheduler) tierFor(st *Stream) *tier {
	now, next := &sc.waits[sc.now], &sc.waits[sc.now^1]
	switch {
	case st.ring == next.ring(st):
		return next
	case st.ring == now.ring(st) || st.part.round+1 == sc.round:
		sc.takePart(st)
	case st.part.round != sc.round && sc.overtakes <= 0:
		return next
	default:
		sc.takePart(st)
	}
	switch {
	case st.part.done(st.quantum()):
		return next
	case st.part.fresh && st.ring != now.ring(st):
		return &sc.fresh
	}
	return now
}

// done reports whether a stream has used up the quantum of the round. A remainder of less than half
// a frame carries over to the next round.
func (p *roundPart) done(quantum int32) bool { return p.sent > quantum-maxDataFrame/2 }

// takePart adds a stream to this round. Bytes sent beyond the quantum of the last round count,
// except those sent while no other stream waited. A remainder too small for a frame counts too.
func (sc *scheduler) takePart(st *Stream) {
	t := &st.part
	if t.round == sc.round {
		return
	}
	t.fresh = t.round+1 != sc.round
	t.round = sc.round
	if t.fresh {
		t.sent = 0
		return
	}
	quantum := st.quantum()
	t.sent = max(t.sent-quantum, -maxDataFrame/2)
	t.sent = min(t.sent, quantum-maxDataFrame/2)
}

// remove removes a stream from the ring that holds it, if any.
func (sc *scheduler) remove(st *Stream) {
	from := st.ring
	if from == nil {
		return
	}
	from.unlink(st)
	if from.head != nil {
		return
	}
	for _, t := range [...]*tier{&sc.fresh, &sc.waits[0], &sc.waits[1]} {
		if from == t.ring(st) {
			t.levels &^= 1 << (st.priority & (priorities - 1))
		}
	}
}

// busy reports whether any stream has bytes and an open window.
func (sc *scheduler) busy() bool {
	return sc.fresh.levels|sc.waits[0].levels|sc.waits[1].levels != 0
}

// pick returns the stream to send from next, or nil, and moves the stream to the back of the ring.
// If windowOpen is false, the session window is exhausted, and only a FIN without bytes may be
// sent.
func (sc *scheduler) pick(windowOpen bool) *Stream {
	if st := sc.fins.head; st != nil {
		return st
	}
	if !windowOpen || !sc.busy() {
		return nil
	}
	if sc.fresh.levels|sc.waits[sc.now].levels == 0 {
		sc.round++
		sc.now ^= 1
		sc.overtakes = min(sc.overtakes+maxOvertake, maxOvertake)
	}
	level := bits.TrailingZeros8(sc.fresh.levels | sc.waits[sc.now].levels)
	from := &sc.fresh.rings[level]
	if from.head == nil {
		from = &sc.waits[sc.now].rings[level]
	}
	st := from.head
	sc.takePart(st)
	from.rotate()
	return st
}

// A writer of small pieces has at most one piece in a batch, since the next piece is queued only
// after the sender has copied the last. Streams that filled the rest of the batch would send a
// multiple of the writer's bytes. In a batch with such a piece, every stream therefore sends a
// single frame, limited to smallPiece bytes if the piece was smaller than smallPiece.
const smallPiece = maxDataFrame / 2

// beginBatch records the start of a batch with the given number.
func (sc *scheduler) beginBatch(number uint64) {
	sc.batch, sc.emptied = uint8(number), false
	sc.wasSmall, sc.small = sc.small, false
}

// inBatch reports whether a stream has sent in this batch. The result may be wrong for a stream
// that has sent nothing in the last 255 batches.
func (sc *scheduler) inBatch(st *Stream) bool { return st.part.batch == sc.batch }

// noteEmptied records that the next n bytes of a stream are the writer's whole loan, and the writer
// has not finished. The caller must call spend next.
func (sc *scheduler) noteEmptied(st *Stream, n int) {
	if n <= maxDataFrame && !sc.inBatch(st) {
		sc.emptied, sc.small = true, sc.small || n < smallPiece
	}
}

// ends reports whether the batch ends before the next frame of a stream.
func (sc *scheduler) ends(st *Stream) bool { return sc.emptied && sc.inBatch(st) && len(st.loan) > 0 }

// frameLimit returns the maximum size of a stream's next frame.
func (sc *scheduler) frameLimit(st *Stream) int {
	switch {
	case !sc.emptied && sc.alone(st):
		return batchSize
	case sc.small || sc.wasSmall:
		return smallPiece
	}
	return maxDataFrame
}

// spend records that n bytes of a stream are being sent. The caller must call place next.
func (sc *scheduler) spend(st *Stream, n int) {
	st.part.sent += int32(n)
	if n > 0 {
		st.part.batch = sc.batch
	}
	if st.id != sc.last {
		sc.last, sc.changed = st.id, sc.round
	}
	if st.part.fresh {
		sc.overtakes = max(sc.overtakes-int64(n), -maxOvertake)
	}
}

// deserted reports whether the sender should yield the processor: a second stream has sent in this
// round or the last, and now only one stream waits, or none waits and the batch has emptied the
// loan of an unfinished writer. The second stream's writer may need only the processor to queue
// more bytes. If the sender does not yield the processor, the writer woken last is always the first
// to return and sends a multiple of the rest.
func (sc *scheduler) deserted() bool {
	if sc.round-sc.changed > 1 {
		return false
	}
	if !sc.busy() {
		return sc.emptied
	}
	for _, t := range [...]*tier{&sc.fresh, &sc.waits[0], &sc.waits[1]} {
		if t.levels != 0 {
			return sc.alone(t.rings[bits.TrailingZeros8(t.levels)].head)
		}
	}
	return false
}

// alone reports whether no other stream is waiting, at any level.
func (sc *scheduler) alone(st *Stream) bool {
	levels := 0
	for _, t := range [...]*tier{&sc.fresh, &sc.waits[0], &sc.waits[1]} {
		levels += bits.OnesCount8(t.levels)
	}
	return st.ring != nil && st.next == st && levels == 1
}

// A ring is a circular list of streams, linked through their next and prev fields.
type ring struct {
	head *Stream
}

func (r *ring) push(st *Stream) {
	st.ring = r
	if r.head == nil {
		r.head, st.next, st.prev = st, st, st
		return
	}
	last := r.head.prev
	last.next, st.prev = st, last
	st.next, r.head.prev = r.head, st
}

func (r *ring) unlink(st *Stream) {
	if st.next == st {
		r.head = nil
	} else {
		st.prev.next, st.next.prev = st.next, st.prev
		if r.head == st {
			r.head = st.next
		}
	}
	st.ring, st.next, st.prev = nil, nil, nil
}

func (r *ring) rotate() { r.head = r.head.next }
