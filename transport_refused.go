package spdy

import (
	"context"
	"slices"
	"time"
)

// A session whose server has refused a stream (SPEC X6) is short of something that no limit
// shows. A request whose body cannot be sent again fails at the first refusal. So for
// refusalRest such a session rests: requests go to others, or have another one dialled while
// fewer than maxResting of an origin's rest. Beyond that, and where no other can be had, they
// go where the refusal is the oldest: a server that refuses everything gets no further
// connections for it.
const (
	refusalRest = 5 * time.Second
	refusalWait = 250 * time.Millisecond // for another one
	maxResting  = 4
)

// waitForBetter waits for a session that does not rest, no longer than refusalWait: the dial
// may hang, and those that rest have slots.
func (p *sessionPool) waitForBetter(ctx context.Context, key originKey) (*pooledSession, slotUse, error) {
	brief, cancel := context.WithTimeout(ctx, refusalWait)
	defer cancel()
	return p.wait(brief, key, nil, true)
}

// noteRefusal notes that the server has refused a request, before its slot is given to another.
func (ps *pooledSession) noteRefusal() {
	if ps == nil {
		return
	}
	now := time.Now()
	if before := ps.refused.Swap(&now); before == nil || now.Sub(*before) >= refusalWait {
		time.AfterFunc(refusalWait, ps.restless)
	}
}

// restless lets those who wait have the slots of a session that has refused nothing for
// refusalWait.
func (ps *pooledSession) restless() {
	if left := refusalWait - time.Since(ps.refusedAt()); left > 0 {
		time.AfterFunc(left, ps.restless)
		return
	}
	ps.admit()
}

// refusedAt is when the server last refused a request; the zero time for never.
func (ps *pooledSession) refusedAt() (at time.Time) {
	if p := ps.refused.Load(); p != nil {
		at = *p
	}
	return at
}

// rests reports whether the session has refused a request lately.
func (ps *pooledSession) rests() bool {
	at := ps.refused.Load()
	return at != nil && time.Since(*at) < refusalRest
}

// spares reports whether an origin with these sessions had better get another one than have
// those used that rest.
func (p *sessionPool) spares(sessions []*pooledSession) bool {
	resting := 0
	for _, ps := range sessions {
		if ps.rests() {
			resting++
		}
	}
	return 0 < resting && resting < maxResting && p.t.mayHave(len(sessions))
}

// takeAwake takes a slot of a session that does not rest, the oldest that has one.
func takeAwake(sessions []*pooledSession) (*pooledSession, slotUse, bool) {
	for _, ps := range sessions {
		if !ps.rests() {
			if use, ok := ps.take(); ok {
				return ps, use, true
			}
		}
	}
	return nil, slotUse{}, false
}

// takeAny takes a slot of any session, those first whose refusal is the oldest.
func takeAny(sessions []*pooledSession) (*pooledSession, slotUse, bool) {
	oldest := func(a, b *pooledSession) int { return a.refusedAt().Compare(b.refusedAt()) }
	for _, ps := range slices.SortedStableFunc(slices.Values(sessions), oldest) {
		if use, ok := ps.take(); ok {
			return ps, use, true
		}
	}
	return nil, slotUse{}, false
}

// hasRoom reports whether a request would get a slot at once.
func (p *sessionPool) hasRoom(key originKey) bool {
	sessions := p.sessionsOf(key)
	spares := p.spares(sessions)
	return slices.ContainsFunc(sessions, func(ps *pooledSession) bool {
		return ps.s.CanTakeNewRequest() && !(spares && ps.rests())
	})
}

// settle has those who wait take what there is, sessions that rest too, unless another one is
// being dialled.
func (p *sessionPool) settle(o *origin) {
	p.mu.Lock()
	waiting := o.dial == nil && len(o.waiters) > 0
	for _, w := range o.waiters {
		w.picky = w.picky && !waiting
	}
	sessions := o.sessions
	p.mu.Unlock()
	if !waiting {
		return
	}
	for _, ps := range sessions {
		ps.admit()
	}
	p.mu.Lock()
	p.dialLocked(o) // for those who still wait
	p.mu.Unlock()
}
