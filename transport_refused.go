package spdy

import (
	"context"
	"slices"
	"time"
)

// A server that refuses a stream (SPEC X6) lacks a resource not covered by any announced limit. A
// request whose body cannot be sent again fails at the first refusal. So such a session rests for
// refusalRest: requests use other sessions, or dial a new session while fewer than maxResting
// sessions of the origin rest. Beyond that limit, and if no other session is available, requests
// use the session with the oldest refusal: a server that refuses everything causes no further
// connections.
const (
	refusalRest = 5 * time.Second
	refusalWait = 250 * time.Millisecond // for another session
	maxResting  = 4
)

// declinesLocked reports whether queued requests decline the free slots of a session: the session
// rests, and a dial brings, or may bring, a better session. The first request accepts a slot after
// waiting, and declining slots, for refusalWait: the dial may hang. Later requests have waited
// less, so checking the first is enough. Requests decline the slots of a suspect session until the
// suspicion ends or the session leaves the pool.
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

// lookLaterLocked schedules a call of look in d, unless an earlier call is scheduled.
func (p *sessionPool) lookLaterLocked(o *origin, d time.Duration) {
	if at := time.Now().Add(d); o.looks.IsZero() || at.Before(o.looks) {
		o.looks = at
		time.AfterFunc(d, func() { p.look(o) })
	}
}

// look offers queued requests the slots declined so far, or starts a dial for them. If no request
// is queued, it ends dials that have run without queued requests for too long.
func (p *sessionPool) look(o *origin) {
	p.mu.Lock()
	if !o.looks.After(time.Now()) {
		o.looks = time.Time{}
	}
	p.endStrayLocked(o)
	p.mu.Unlock()
	p.offer(o, nil)
}

// noteRefusal records that the server has refused a request, before the slot is passed on.
func (ps *pooledSession) noteRefusal() {
	if ps != nil {
		now := time.Now()
		ps.refused.Store(&now)
	}
}

// refusedAt returns when the server last refused a request; the zero time means never.
func (ps *pooledSession) refusedAt() (at time.Time) {
	if p := ps.refused.Load(); p != nil {
		at = *p
	}
	return at
}

// rests reports whether the session has recently refused a request, or is suspect.
func (ps *pooledSession) rests() bool { return ps.isSuspect() || ps.refuses() }

// refuses reports whether the session has recently refused a request, and is not suspect.
func (ps *pooledSession) refuses() bool {
	at := ps.refused.Load()
	return !ps.isSuspect() && at != nil && time.Since(*at) < refusalRest
}

// spares reports whether an origin with these sessions should dial a new session rather than use
// resting sessions.
func (p *sessionPool) spares(sessions []*pooledSession) bool {
	useless := countOf(sessions, func(ps *pooledSession) bool {
		return (ps.rests() || ps.barren()) && !ps.lost.Load() // MaxConnsPerHost limits these
	})
	return countOf(sessions, (*pooledSession).rests) > 0 && useless < maxResting && p.mayHaveAnother(sessions)
}

// countOf returns the number of sessions that satisfy a predicate.
func countOf(sessions []*pooledSession, such func(ps *pooledSession) bool) (n int) {
	for _, ps := range sessions {
		if such(ps) {
			n++
		}
	}
	return n
}

// takeGrafted takes a slot for a request; if there is none, the http.Transport dials. If sessions
// have recently refused requests, a single request per refusalWait causes a dial. If all other
// sessions are suspect, every request does, as without sessions. If maxResting sessions allow no
// streams at present, requests wait for a session that does, or for the end of a session.
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
	p.mu.Lock()
	p.noteAskedLocked(key)
	p.mu.Unlock()
	return nil, slotUse{}, errNoSession
}

// maxHostAsked is the limit of sessionPool.hostAsked. An entry stays if the http.Transport dials no
// session.
const maxHostAsked = 100

// noteAskedLocked records that the http.Transport is asked to dial, for hostAskedLocked.
func (p *sessionPool) noteAskedLocked(key originKey) {
	if _, known := p.hostAsked[key]; known {
		return
	}
	if p.hostAsked == nil || len(p.hostAsked) >= maxHostAsked {
		p.hostAsked = make(map[originKey]time.Time)
	}
	p.hostAsked[key] = time.Now()
}

// hostAskedLocked returns the time when the http.Transport was first asked for the dial that has
// just ended, and removes the entry. If an earlier dial has failed, the entry is as old as that
// dial, so the dial seems to have taken longer. The zero time means that the time is unknown.
func (p *sessionPool) hostAskedLocked(key originKey) time.Time {
	at := p.hostAsked[key]
	delete(p.hostAsked, key)
	return at
}

// mayAskHost reports whether a request may cause a dial by the http.Transport because sessions of
// the origin rest. A retried request has already caused a dial, see sendElsewhere.
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

// askHostLocked makes the http.Transport dial for the first queued request, and for the next after
// refusalWait, unless maxResting sessions allow no streams.
func (p *sessionPool) askHostLocked(o *origin) {
	if len(o.waiters) == 0 || countOf(o.sessions, (*pooledSession).barren) >= maxResting {
		return
	}
	if since := time.Since(o.asked); since < refusalWait {
		p.lookLaterLocked(o, refusalWait-since)
		return
	}
	o.asked = time.Now()
	p.noteAskedLocked(o.key)
	p.popLocked(o).decide(errNoSession)
	if len(o.waiters) > 0 {
		p.lookLaterLocked(o, refusalWait)
	}
}

// takeAwake takes a slot of the oldest session that does not rest and has a free slot.
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

// takeAny takes a slot of any session, in the order of byRefusal.
func takeAny(sessions []*pooledSession) (*pooledSession, slotUse, bool) {
	for _, ps := range byRefusal(sessions) {
		if use, ok := ps.take(); ok {
			return ps, use, true
		}
	}
	return nil, slotUse{}, false
}

// byRefusal sorts sessions: first sessions without a refusal, then sessions by age of the latest
// refusal, oldest first, and last suspect sessions.
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
