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

// declinesLocked reports whether those who wait leave the free slots of a session to others:
// it rests, and a dial brings a better one, or might. The first of them takes a slot when it
// has waited, and they have left slots, for refusalWait: the dial may hang. Those behind
// came later, so that nobody has to be asked but the first. The slots of a session that is suspect
// they leave until it is that no more, or no longer theirs.
func (p *sessionPool) declinesLocked(o *origin, ps *pooledSession) bool {
	if !ps.rests() || len(o.dials) == 0 && !p.spares(o.sessions) {
		return false
	}
	if ps.isSuspect() {
		return true
	}
	since := o.waiters[0].came
	if o.declined.IsZero() {
		o.declined = time.Now()
	}
	if since.Before(o.declined) {
		since = o.declined
	}
	left := refusalWait - time.Since(since)
	if left > 0 {
		p.lookLaterLocked(o, left)
	}
	return left > 0
}

// lookLaterLocked has look called in d, unless it is called before that.
func (p *sessionPool) lookLaterLocked(o *origin, d time.Duration) {
	if at := time.Now().Add(d); o.looks.IsZero() || at.Before(o.looks) {
		o.looks = at
		time.AfterFunc(d, func() { p.look(o) })
	}
}

// look offers those who wait the slots that they have left so far, or has another session
// dialled for them. If none waits it ends dials that nobody has waited for too long.
func (p *sessionPool) look(o *origin) {
	p.mu.Lock()
	if !o.looks.After(time.Now()) {
		o.looks = time.Time{}
	}
	p.endStrayLocked(o)
	p.mu.Unlock()
	p.offer(o, nil)
}

// noteRefusal notes that the server has refused a request, before its slot is given to another.
func (ps *pooledSession) noteRefusal() {
	if ps != nil {
		now := time.Now()
		ps.refused.Store(&now)
	}
}

// refusedAt is when the server last refused a request; the zero time for never.
func (ps *pooledSession) refusedAt() (at time.Time) {
	if p := ps.refused.Load(); p != nil {
		at = *p
	}
	return at
}

// rests reports whether the session has refused a request lately, or is suspect.
func (ps *pooledSession) rests() bool { return ps.isSuspect() || ps.refuses() }

// refuses reports whether the session has refused a request lately, and is there.
func (ps *pooledSession) refuses() bool {
	at := ps.refused.Load()
	return !ps.isSuspect() && at != nil && time.Since(*at) < refusalRest
}

// spares reports whether an origin with these sessions had better get another one than have
// those used that rest.
func (p *sessionPool) spares(sessions []*pooledSession) bool {
	useless := countOf(sessions, func(ps *pooledSession) bool {
		return (ps.rests() || ps.barren()) && !ps.lost.Load() // MaxConnsPerHost limits these
	})
	return countOf(sessions, (*pooledSession).rests) > 0 && useless < maxResting && p.mayHaveAnother(sessions)
}

// countOf is the number of sessions that are such.
func countOf(sessions []*pooledSession, such func(ps *pooledSession) bool) (n int) {
	for _, ps := range sessions {
		if such(ps) {
			n++
		}
	}
	return n
}

// takeGrafted takes a slot for a request for which somebody else dials if there is none. Where
// sessions have refused requests lately, one request in refusalWait has that done. Where all
// others are suspect, each does, as where there is none. Where maxResting sessions take no
// streams at present, requests wait for one that does, or for one of them to end.
func (p *sessionPool) takeGrafted(ctx context.Context, key originKey) (*pooledSession, slotUse, error) {
	sessions, queued := p.sessionsOf(key)
	if !queued {
		if ps, use, ok := takeAwake(sessions); ok {
			return ps, use, nil
		}
		bears := countOf(sessions, (*pooledSession).refuses) > 0 && ctx.Value(triesKey{p.t}) == nil
		if !p.spares(sessions) || bears && !p.mayAskHost(key) {
			if ps, use, ok := takeAny(sessions); ok {
				return ps, use, nil
			}
		}
	}
	if countOf(sessions, (*pooledSession).barren) >= maxResting {
		return p.wait(ctx, key, nil)
	}
	return nil, slotUse{}, errNoSession
}

// mayAskHost reports whether a request may have the http.Transport dial because sessions of the
// origin rest. A request that has been sent before has asked already, see sendElsewhere.
func (p *sessionPool) mayAskHost(key originKey) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.origins[key]
	if o == nil || time.Since(o.asked) < refusalWait {
		return o == nil
	}
	o.asked = time.Now()
	return true
}

// askHostLocked has the http.Transport dial for the first of those who wait, and for the next
// after refusalWait, unless maxResting sessions take no streams.
func (p *sessionPool) askHostLocked(o *origin) {
	if len(o.waiters) == 0 || countOf(o.sessions, (*pooledSession).barren) >= maxResting {
		return
	}
	if since := time.Since(o.asked); since < refusalWait {
		p.lookLaterLocked(o, refusalWait-since)
		return
	}
	o.asked = time.Now()
	p.popLocked(o).decide(errNoSession)
	if len(o.waiters) > 0 {
		p.lookLaterLocked(o, refusalWait)
	}
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

// takeAny takes a slot of any session, those first whose refusal is the oldest, and one that is
// suspect last.
func takeAny(sessions []*pooledSession) (*pooledSession, slotUse, bool) {
	for _, ps := range byRefusal(sessions) {
		if use, ok := ps.take(); ok {
			return ps, use, true
		}
	}
	return nil, slotUse{}, false
}

// byRefusal sorts sessions: those first that have never refused a request, then those whose
// refusal is the oldest, and those last that are suspect.
func byRefusal(sessions []*pooledSession) []*pooledSession {
	oldest := func(a, b *pooledSession) int { return a.refusedAt().Compare(b.refusedAt()) }
	sorted := slices.SortedStableFunc(slices.Values(sessions), oldest)
	return append(slices.DeleteFunc(slices.Clone(sorted), (*pooledSession).isSuspect),
		slices.DeleteFunc(sorted, func(ps *pooledSession) bool { return !ps.isSuspect() })...)
}

// hasRoom reports whether a request would get a slot at once.
func (p *sessionPool) hasRoom(key originKey) bool {
	sessions, _ := p.sessionsOf(key)
	spares := p.spares(sessions)
	return slices.ContainsFunc(sessions, func(ps *pooledSession) bool {
		return ps.s.CanTakeNewRequest() && !(spares && ps.rests())
	})
}
