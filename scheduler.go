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

// starvationTurn is how many picks pass before one is made from a level that is
// not the most urgent, each of them in turn, so that an endless flood of urgent
// bytes stops nobody (SPEC S10).
const starvationTurn = 16

// A scheduler says which stream's bytes the sender takes next: by priority, in
// turn within one priority. Streams link themselves into its rings, so nothing
// is allocated and every operation takes constant time. Guarded by Session.mu.
type scheduler struct {
	ready   [priorities]ring // bytes to send and a window to send them in
	levels  uint8            // bit p is set while ready[p] is not empty
	fins    ring             // only a FIN to send, which needs no window (SPEC W4)
	blocked ring             // bytes to send, stream window used up
	picks   uint32
	turn    uint8 // the level that the last starvation turn favoured
}

// place schedules a stream by what it has to send, or takes it out if that is
// nothing. It must be called whenever the loan, the FIN or the window changed.
func (sc *scheduler) place(st *Stream) {
	var to *ring
	switch {
	case st.muted: // the peer is not ready for it
	case st.headerJobs > 0 || st.pushJobs > 0: // DATA must not overtake header blocks
	case len(st.loan) > 0 && st.out.avail > 0:
		to = &sc.ready[st.priority&(priorities-1)]
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
	if to != &sc.blocked && to != &sc.fins {
		sc.levels |= 1 << (st.priority & (priorities - 1))
	}
}

// remove takes a stream out of whatever ring it is in.
func (sc *scheduler) remove(st *Stream) {
	from := st.ring
	if from == nil {
		return
	}
	from.unlink(st)
	if from == &sc.ready[st.priority&(priorities-1)] && from.head == nil {
		sc.levels &^= 1 << (st.priority & (priorities - 1))
	}
}

// pick returns the stream to send from next, or nil. The stream moves to the
// back of its ring. With windowOpen false the session window is used up, and
// only a FIN without bytes may go.
func (sc *scheduler) pick(windowOpen bool) *Stream {
	if st := sc.fins.head; st != nil {
		return st
	}
	if !windowOpen || sc.levels == 0 {
		return nil
	}
	sc.picks++
	level := bits.TrailingZeros8(sc.levels)
	if sc.picks%starvationTurn == 0 {
		level = sc.favour(level)
	}
	st := sc.ready[level].head
	sc.ready[level].rotate()
	return st
}

// favour returns the level to pick from instead of the most urgent one: the least
// urgent first, then one after the other up to the second most urgent.
func (sc *scheduler) favour(most int) int {
	others := sc.levels &^ (1 << most)
	if others == 0 {
		return most
	}
	next := others & (1<<sc.turn - 1)
	if next == 0 {
		next = others
	}
	sc.turn = uint8(bits.Len8(next) - 1)
	return int(sc.turn)
}

// alone reports that no other stream is waiting at st's level or above.
func (sc *scheduler) alone(st *Stream) bool {
	p := st.priority & (priorities - 1)
	return st.ring != nil && st.next == st && sc.levels&(1<<p-1) == 0
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
