package spdy

import (
	"cmp"
	"slices"
	"time"
)

// This file makes room in pools that are nearly full. A session carries the requests of many, so a
// stream pays for what it holds itself: one that holds less than the streams of its session on
// average never pays for others.

// restTime is for how long no byte of a stream has moved that rests, at least.
const restTime = time.Second

// bareTime is for how long a session is not asked for large streams again that had none.
const bareTime = restTime / 10

// askAtOnce is how many sessions are asked for large streams at once.
const askAtOnce = 8

// relieve has the sessions that hold most give way in the pools that are nearly full: streams
// that rest while nobody is refused, and large streams, whether they rest or not, when the pool is
// more than 85 percent full. The receiver calls it before it asks for something, with no lock: the
// sessions are others as a rule.
func (s *Session) relieve() {
	if l := s.ledger; l != nil {
		l.pools.relieve()
	}
}

func (p *pools) relieve() {
	if !p.short.Load() {
		return
	}
	p.short.Store(false) // before looking: who is refused meanwhile sets it again
	for r := range p.of {
		of := &p.of[r]
		used := of.used.Load()
		over := used - of.limit/4*3
		if over <= 0 {
			continue
		}
		p.short.Store(true)
		leaving := of.leaving.Load()
		full := used-leaving > of.crowdedAt()
		over -= leaving
		most := of.most(askAtOnce)
		for _, s := range most {
			if full && over > 0 {
				over -= s.giveLarge(resource(r), over)
			}
		}
		if over > 0 && len(most) > 0 {
			most[0].giveWay(resource(r), over)
		}
	}
}

// giveLarge resets large streams, those first that hold most of a resource, until so much is free
// or will be when their handlers have returned. Whether bytes of them move does not matter: a
// peer that sends a byte each second would keep all of a pool. It returns how much they hold.
func (s *Session) giveLarge(r resource, over int64) (freed int64) {
	if r > heldUnread {
		return 0 // no stream holds more than another
	}
	l, now := s.ledger, time.Now()
	least := l.pools.of[r].modest
	s.mu.Lock()
	if s.end.err != nil || now.Sub(l.bare[r]) < bareTime {
		s.mu.Unlock()
		return 0
	}
	chosen := s.holdersLocked(r, func(h holding) bool { return h.n > least })
	if len(chosen) == 0 {
		l.bare[r] = now
	}
	s.mu.Unlock()
	return s.giveUp(r, chosen, over)
}

// giveWay resets streams that rest and hold no less of a resource than the others on average, those
// first that hold most of it, until so much is free. Each stream has restTime, or more, between two looks. A
// session ends that has waited as long for more of a large frame.
func (s *Session) giveWay(r resource, over int64) {
	s.mu.Lock()
	l, now := s.ledger, time.Now()
	if now.Sub(l.looked) < restTime || s.end.err != nil {
		s.mu.Unlock()
		return
	}
	l.looked = now
	chosen := s.holdersLocked(r, func(h holding) bool { return h.st.restsLocked() })
	stuck := r == heldBuffers && l.frame > 0 && l.frame == l.stuck
	l.stuck = l.frame
	s.mu.Unlock()
	if stuck { // no reset of a stream frees what has come of a frame
		s.fail(l.noRoom())
		return
	}
	s.giveUp(r, chosen, over)
}

// giveUpUnread makes room for a session whose unread bytes do not fit its pool. If no other gives
// way, streams of its own are reset: of those that hold most, until a part of its bytes is free.
func (s *Session) giveUpUnread() {
	s.relieve()
	s.mu.Lock()
	if s.ledger.chargeUnreadLocked() {
		s.mu.Unlock()
		return
	}
	over := s.ledger.used[heldUnread] / roomAtOnce
	chosen := s.holdingsLocked(heldUnread)
	s.mu.Unlock()
	s.giveUp(heldUnread, chosen, max(over, 1))
}

// A holding is what a stream holds of a resource.
type holding struct {
	st   *Stream
	n    int64
	mine RstStatus // to reset it with
}

// holdersLocked returns the open streams of which something is so, and which hold no less of a
// resource than the open streams of the session on average, those that hold most first.
func (s *Session) holdersLocked(r resource, so func(holding) bool) []holding {
	all, sum := s.holdingsLocked(r), int64(0)
	for _, h := range all {
		sum += h.n
	}
	average := sum / int64(max(len(s.streams), 1))
	return slices.DeleteFunc(all, func(h holding) bool { return h.n < average || !so(h) })
}

// holdingsLocked returns the open streams that hold something of a resource, those that hold most
// first.
func (s *Session) holdingsLocked(r resource) (all []holding) {
	for _, st := range s.streams {
		if n := st.holdsLocked(r); n > 0 {
			all = append(all, holding{st, n, st.giveUpStatusLocked()})
		}
	}
	slices.SortFunc(all, func(a, b holding) int { return cmp.Compare(b.n, a.n) })
	return all
}

// holdsLocked is what a stream holds of a resource and can give way with. A stream that waits for
// its handler runs none.
func (st *Stream) holdsLocked(r resource) int64 {
	if st.leaving { // it has been chosen before
		return 0
	}
	switch r {
	case heldHeaders:
		return int64(st.headerCharge)
	case heldUnread:
		return st.in.buffered()
	}
	switch {
	case st.state.ours:
		return 0
	case r == heldBuffers:
		return streamTakes
	case st.waits != nil || st.released:
		return 0
	}
	return 1
}

// giveUpStatusLocked is the status to reset a stream with that gives way. One that waits for its
// handler has not been processed.
func (st *Stream) giveUpStatusLocked() RstStatus {
	switch {
	case st.state.ours:
		return RstCancel
	case st.waits != nil:
		return RstRefusedStream
	}
	return RstInternalError
}

// restsLocked reports that no byte of a stream has moved since it was asked before.
func (st *Stream) restsLocked() bool {
	rests := !st.moves
	st.moves = false
	return !st.in.moves() && rests
}

// giveUp resets streams in order until so much of a resource is free. It returns how much they hold.
func (s *Session) giveUp(r resource, chosen []holding, over int64) (freed int64) {
	const why = "the sessions of this side together keep too much, and this one holds most"
	p := s.ledger.pools
	for _, h := range chosen {
		if freed >= over {
			break
		}
		if r == heldHeaders && !h.st.leaves() {
			continue // another receiver was faster
		}
		freed += h.n
		p.of[r].reset.Add(1)
		if r == heldUnread {
			s.resetUnread(h.st, why)
			continue
		}
		e := streamErrorf(h.st.id, h.mine, "%s", why)
		e.Err = p.full(r)
		s.spoilStream(h.st, e)
	}
	return freed
}

// leaves notes that a stream gives way, and that what its headers take will be free when its handler
// has returned. It reports false if that is known, or if the stream has ended.
func (st *Stream) leaves() bool {
	s := st.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if st.ended || st.leaving {
		return false
	}
	st.leaving = true
	s.ledger.pools.of[heldHeaders].leaving.Add(int64(st.headerCharge))
	return true
}
