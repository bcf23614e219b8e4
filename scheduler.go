package spdy

import "math/bits"

// priorities is the number of priority levels, 0 being the most urgent
// (SPDY/3.1 §2.3.3).
const priorities = 8

// priorityScale is how far the priorities of a version are shifted against ours:
// SPDY/2 has four, which spread over our eight.
func priorityScale(v Version) uint {
	if v == SPDY2 {
		return 1
	}
	return 0
}

// A stream that waits may send a quantum of bytes in each round, half as many at the least
// urgent level as at the most urgent one. So nobody takes more than twice what another one
// gets, whatever levels a stranger picks for his streams (SPEC S10).
const leastQuantum = maxDataFrame

// maxOvertake is how many bytes streams that have just begun may send in each round before
// those that wait already: as many as one urgent stream. Without a bound, one stream after
// the other would leave nothing to the rest.
const maxOvertake = 2 * leastQuantum

// A scheduler says which stream's bytes the sender takes next. It goes by rounds. In a
// round each stream may send its quantum, the streams of the most urgent level first, and
// in turn, frame by frame, within one level. A stream that begins takes part in the round
// under way, before the others of its level. Streams link themselves into rings, so nothing
// is allocated and every operation takes constant time. Guarded by Session.mu.
type scheduler struct {
	fresh     tier // have just begun, and take part in this round
	waits     [2]tier
	now       uint8 // index into waits of those of this round; the others are of the next
	round     uint32
	overtakes int64  // bytes that streams which begin may still send in this round; may be below 0
	fins      ring   // only a FIN to send, which needs no window (SPEC W4)
	blocked   ring   // bytes to send, stream window used up
	last      uint32 // id of the stream that sent last
	changed   uint32 // the round in which that was another one
	batch     uint8  // the low bits of the number of the present batch
	emptied   bool   // this batch has taken all that a writer had lent, one frame at most, and the writer goes on
	small     bool   // that was less than smallPiece
	wasSmall  bool   // it was in the batch before
	keptLoans int32  // bytes in loans whose writers have gone, see keepLoanLocked
}

// newScheduler returns a scheduler for streams that have taken part in no round yet, which
// roundPart's zero value says.
func newScheduler() scheduler { return scheduler{round: 2, overtakes: maxOvertake} }

// A tier is a ring of streams for each level that have bytes to send and a window to send
// them in.
type tier struct {
	rings  [priorities]ring
	levels uint8 // bit p is set while rings[p] is not empty
}

// A roundPart is what the scheduler knows of a stream's part in a round. Guarded by
// Session.mu.
type roundPart struct {
	round uint32 // the last one in which the stream took part
	sent  int32  // bytes sent in it, less what was left of the round before
	fresh bool   // the stream took no part in the round before
	batch uint8  // the low bits of the number of the batch in which the stream sent last
}

// quantum is how many bytes a stream may send in a round.
func (st *Stream) quantum() int32 {
	return 2*leastQuantum - int32(st.priority&(priorities-1))*leastQuantum/(priorities-1)
}

// place schedules a stream by what it has to send, or takes it out if that is
// nothing. It must be called whenever the loan, the FIN or the window changed.
func (sc *scheduler) place(st *Stream) {
	var to *ring
	var among *tier
	switch {
	case st.muted: // the peer is not ready for it
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

// owed reports whether a stream goes before the others of its level: it has sent in this batch or
// the one before, and its writer has lent more before it has had its part of the round. Behind
// others that fill the next batch it would have a piece in every other batch at best.
func (sc *scheduler) owed(st *Stream, among *tier) bool {
	return among == &sc.waits[sc.now] && !st.part.fresh && sc.batch-st.part.batch <= 1
}

func (t *tier) ring(st *Stream) *ring { return &t.rings[st.priority&(priorities-1)] }

// tierFor returns where a stream waits that has bytes to send.
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

// done reports that a stream has had its part of the round. What is left of its quantum,
// less than half a frame, is for the next one.
func (p *roundPart) done(quantum int32) bool { return p.sent > quantum-maxDataFrame/2 }

// takePart begins a stream's part in this round. What the stream has sent beyond its quantum
// in the last one counts, but for what it sent while nobody waited, and so does the rest
// that was too little for a frame.
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

// remove takes a stream out of whatever ring it is in.
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

// busy reports that a stream has bytes and a window to send them in.
func (sc *scheduler) busy() bool {
	return sc.fresh.levels|sc.waits[0].levels|sc.waits[1].levels != 0
}

// pick returns the stream to send from next, or nil. The stream moves to the
// back of its ring. With windowOpen false the session window is used up, and
// only a FIN without bytes may go.
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

// A writer of small pieces has one piece in a batch at most: it can lend the next one when this
// one has been taken. If the others filled that batch, they would get a multiple of what it
// gets. So in such a batch each of them has one frame, of smallPiece bytes if the piece was
// smaller than that.
const smallPiece = maxDataFrame / 2

// beginBatch notes that the sender begins a batch with the given number.
func (sc *scheduler) beginBatch(number uint64) {
	sc.batch, sc.emptied = uint8(number), false
	sc.wasSmall, sc.small = sc.small, false
}

// inBatch reports whether a stream has sent in this batch. It may be wrong about a stream that
// has sent nothing in the last 255 batches.
func (sc *scheduler) inBatch(st *Stream) bool { return st.part.batch == sc.batch }

// noteEmptied notes that the next n bytes of a stream are all that its writer has lent, and
// that the writer goes on. spend has to follow.
func (sc *scheduler) noteEmptied(st *Stream, n int) {
	if n <= maxDataFrame && !sc.inBatch(st) {
		sc.emptied, sc.small = true, sc.small || n < smallPiece
	}
}

// ends reports whether the batch ends before the next frame of a stream.
func (sc *scheduler) ends(st *Stream) bool { return sc.emptied && sc.inBatch(st) && len(st.loan) > 0 }

// frameLimit is the number of bytes that the next frame of a stream may have.
func (sc *scheduler) frameLimit(st *Stream) int {
	switch {
	case !sc.emptied && sc.alone(st):
		return batchSize
	case sc.small || sc.wasSmall:
		return smallPiece
	}
	return maxDataFrame
}

// spend notes that n bytes of a stream are on their way. place has to follow.
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

// deserted reports that one stream waits, or none behind a piece of one whose writer goes on,
// and that another one has sent in this round or the last: its writer may only need the processor
// to have more. If the sender does not yield that, the writer which it wakes last is the first
// to be back, each time, and takes a multiple of what the others get.
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

// alone reports that no other stream is waiting, at whatever level.
func (sc *scheduler) alone(st *Stream) bool {
	levels := 0
	for _, t := range [...]*tier{&sc.fresh, &sc.waits[0], &sc.waits[1]} {
		levels += bits.OnesCount8(t.levels)
	}
	return st.ring != nil && st.next == st && levels == 1
}

// A ring is a circular list of streams through their next and prev fields.
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
