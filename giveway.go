package spdy

import (
	"cmp"
	"slices"
	"time"
)

// This file frees space in pools that are nearly full. A session carries requests of many users, so
// each stream is charged for the memory that the stream itself holds: a stream that holds less than
// the session's average is never reset in favour of other streams.

// restTime is the minimum time without any moved byte after which a stream counts as resting.
const restTime = time.Second

// bareTime is the time before a session without large streams is searched again.
const bareTime = restTime / 10

// askAtOnce is the number of sessions that are searched for large streams at once.
const askAtOnce = 8

// whyGiveUp is the reason of the resets in this file.
const whyGiveUp = "the sessions of this side together keep too much, and this one holds most"

// relieve resets streams of the largest sessions in pools that are nearly full: resting streams
// while no request is refused, and large or unread streams, resting or not, when the pool is more
// than 85 percent full. The receiver calls relieve before it charges a pool, without a lock: the
// sessions are usually other sessions.
func (s *Session) relieve() {
	if l := s.ledger; l != nil {
		l.pools.relieve()
	}
}

func (p *pools) relieve() {
	if !p.short.Load() {
		return
	}
	p.short.Store(false) // before the search: a refusal during the search sets short again
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
		if full && over > 0 && resource(r) == heldUnread {
			over -= p.giveUnread(most, over)
		}
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

// giveUnread resets streams of the sessions until over is free: first streams whose readers do not
// keep up, then the rest of the large streams, in both cases those with the most bytes unread for
// the longest first. So a user who stops reading does not cost another user a stream that is read.
// Ended streams count as well, since most unread bytes may be theirs. giveUnread returns the amount
// freed.
func (p *pools) giveUnread(sessions []*Session, over int64) (freed int64) {
	var slow, keepers backlogs
	for _, s := range sessions {
		less, more := s.readersOf()
		slow, keepers = append(slow, less...), append(keepers, more...)
	}
	of := &p.of[heldUnread]
	keepers = slices.DeleteFunc(keepers, func(l backlog) bool { return l.unread <= of.modest })
	slow = slow.worth(slow.unread() / int64(max(len(slow), 1)))
	chosen, freed := slow.choose(func(freed int64) bool { return freed >= over })
	more, rest := keepers.choose(func(rest int64) bool { return freed+rest >= over })
	for _, st := range append(chosen, more...) {
		of.reset.Add(1)
		st.session.resetUnread(st, whyGiveUp)
	}
	return freed + rest
}

// readersOf returns the streams with unread bytes, split into those whose readers do not keep up
// and those whose readers do.
func (s *Session) readersOf() (slow, keepers backlogs) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.end.err != nil || now.Sub(s.ledger.bare[heldUnread]) < bareTime {
		return nil, nil
	}
	slow, keepers, _ = s.backlogsLocked(&lineup{over: s.readableLocked, part: keepUpAmong, hurry: true})
	if len(slow)+len(keepers) == 0 {
		s.ledger.bare[heldUnread] = now
	}
	return slow, keepers
}

// giveLarge resets large streams, the largest holders of resource r first, until over is free or
// will be free when the handlers have returned. Large streams are reset even if bytes move:
// otherwise a peer that sends a byte each second would keep a whole pool. giveLarge returns the
// amount that the reset streams hold.
func (s *Session) giveLarge(r resource, over int64) (freed int64) {
	if r != heldHeaders {
		return 0 // see giveUnread; of the others all streams hold the same amount
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

// giveWay resets resting streams that hold at least the average of resource r, the largest holders
// first, until over is free. Two looks at a stream are at least restTime apart. A session that has
// waited as long for the rest of a large frame ends.
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
	if stuck { // resetting a stream does not free the received part of a frame
		s.fail(l.noRoom())
		return
	}
	s.giveUp(r, chosen, over)
}

// giveUpUnread frees space for a session whose unread bytes do not fit the pool. If no other
// session yields space, the session's own streams are reset until a part of the session's bytes is
// free: those whose readers do not keep up, and if they free nothing, the largest holders.
func (s *Session) giveUpUnread() {
	s.relieve()
	s.mu.Lock()
	if s.ledger.chargeUnreadLocked() {
		s.mu.Unlock()
		return
	}
	over := max(s.ledger.used[heldUnread]/roomAtOnce, 1)
	chosen := s.holdingsLocked(heldUnread)
	s.mu.Unlock()
	if s.ledger.pools.giveUnread([]*Session{s}, over) == 0 {
		s.giveUp(heldUnread, chosen, over)
	}
}

// A holding is the amount of a resource that a stream holds.
type holding struct {
	st   *Stream
	n    int64
	mine RstStatus // status for the reset
}

// holdersLocked returns the open streams for which so is true and which hold at least the session's
// average of resource r, the largest holders first.
func (s *Session) holdersLocked(r resource, so func(holding) bool) []holding {
	all := s.holdingsLocked(r)
	average := s.averageLocked(r, all)
	return slices.DeleteFunc(all, func(h holding) bool { return h.n < average || !so(h) })
}

// averageLocked returns the average that the session's streams hold of resource r; all are the
// holdings of the open streams. Ended streams count if they have unread bytes: a reset of the small
// open streams beside them would free next to nothing.
func (s *Session) averageLocked(r resource, all []holding) int64 {
	sum, streams := int64(0), len(s.streams)
	for _, h := range all {
		sum += h.n
	}
	if r == heldUnread {
		for _, st := range s.leftover {
			sum += st.in.buffered()
		}
		streams += len(s.leftover)
	}
	return sum / int64(max(streams, 1))
}

// holdingsLocked returns the open streams that hold some of resource r, the largest holders first.
func (s *Session) holdingsLocked(r resource) (all []holding) {
	for _, st := range s.streams {
		if n := st.holdsLocked(r); n > 0 {
			all = append(all, holding{st, n, st.giveUpStatusLocked()})
		}
	}
	slices.SortFunc(all, func(a, b holding) int { return cmp.Compare(b.n, a.n) })
	return all
}

// holdsLocked returns the amount of resource r that a reset of the stream would free. A stream in
// the handler queue has no running handler.
func (st *Stream) holdsLocked(r resource) int64 {
	if st.leaving { // already chosen
		return 0
	}
	switch r {
	case heldHeaders:
		return int64(st.headerCharge)
	case heldUnread:
		return st.in.memory()
	}
	switch {
	case st.state.ours:
		return 0
	case r == heldBuffers:
		return streamTakes + int64(st.copies)
	case st.waits != nil || st.released:
		return 0
	}
	return 1
}

// giveUpStatusLocked returns the status for resetting a stream to free space. A stream in the
// handler queue has not been processed.
func (st *Stream) giveUpStatusLocked() RstStatus {
	switch {
	case st.state.ours:
		return RstCancel
	case st.waits != nil:
		return RstRefusedStream
	}
	return RstInternalError
}

// restsLocked reports whether no byte of the stream has moved since the last call.
func (st *Stream) restsLocked() bool {
	rests := !st.moves
	st.moves = false
	return !st.in.moves() && rests
}

// giveUp resets the chosen streams in order until over is free. giveUp returns the amount that the
// reset streams hold.
func (s *Session) giveUp(r resource, chosen []holding, over int64) (freed int64) {
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
			s.resetUnread(h.st, whyGiveUp)
			continue
		}
		e := streamErrorf(h.st.id, h.mine, "%s", whyGiveUp)
		e.Err = p.full(r)
		s.spoilStream(h.st, e)
	}
	return freed
}

// leaves marks a stream as chosen for a reset; the memory of the stream's headers will be free when
// the handler has returned. leaves returns false if the stream is already marked or has ended.
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
