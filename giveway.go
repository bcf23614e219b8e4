package spdy

import (
	"slices"
	"time"
)

// This file makes room in pools that are nearly full: the session that holds most gives way,
// by resetting streams that rest.

// restTime is for how long no byte of a stream has moved that rests, at least.
const restTime = time.Second

// relieve has the sessions that hold most give way in the pools that are nearly full. The
// receiver calls it before it asks for something, with no lock: the sessions are others as a rule.
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
		over := of.used.Load() - of.limit/4*3
		if over <= 0 {
			continue
		}
		p.short.Store(true)
		if s := of.largest(); s != nil {
			s.giveWay(resource(r), over)
		}
	}
}

// giveWay resets streams that rest and hold something of a resource, those first that hold
// most of it, until so much is free. Each stream has restTime, or more, between two looks. A
// session ends that has waited as long for more of a large frame.
func (s *Session) giveWay(r resource, over int64) {
	s.mu.Lock()
	l, now := s.ledger, time.Now()
	if now.Sub(l.looked) < restTime || s.end.err != nil {
		s.mu.Unlock()
		return
	}
	l.looked = now
	chosen := s.holdersLocked(r, (*Stream).restsLocked)
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
	chosen := s.holdersLocked(heldUnread, func(*Stream) bool { return true })
	s.mu.Unlock()
	s.giveUp(heldUnread, chosen, max(over, 1))
}

// A holding is what a stream holds of a resource.
type holding struct {
	st   *Stream
	n    int64
	mine RstStatus // to reset it with
}

// holdersLocked returns the open streams of which something is so and which hold something of a
// resource, those that hold most first.
func (s *Session) holdersLocked(r resource, so func(*Stream) bool) (all []holding) {
	for _, st := range s.streams {
		if n := st.holdsLocked(r); so(st) && n > 0 {
			all = append(all, holding{st, n, st.giveUpStatusLocked()})
		}
	}
	slices.SortFunc(all, func(a, b holding) int { return int(b.n - a.n) })
	return all
}

// holdsLocked is what a stream holds of a resource. A stream that waits for its handler
// runs none.
func (st *Stream) holdsLocked(r resource) int64 {
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

// giveUp resets streams in order until so much of a resource is free.
func (s *Session) giveUp(r resource, chosen []holding, over int64) {
	const why = "the sessions of this side together keep too much, and this one holds most"
	p := s.ledger.pools
	for _, h := range chosen {
		if over <= 0 {
			return
		}
		over -= h.n
		p.of[r].reset.Add(1)
		if r == heldUnread {
			s.resetUnread(h.st, why)
			continue
		}
		e := streamErrorf(h.st.id, h.mine, "%s", why)
		e.Err = p.full(r)
		s.spoilStream(h.st, e)
	}
}
