package spdy

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// An originKey identifies the requests that can share sessions: the scheme, the host and port, and
// the proxy.
type originKey struct {
	scheme string // http or https
	addr   string // host:port in ASCII, in lower case except the zone of an IPv6 address
	proxy  string // URL of the proxy; "" for none
}

// origin returns the origin for Config.SettingsKey. It does not include the proxy.
func (k originKey) origin() string { return k.scheme + "://" + k.addr }

// A sessionPool keeps the sessions of a Transport by origin. A request without a slot queues for
// the first of two events: a dial succeeds, which serves all queued requests, or an existing
// session frees a slot.
//
// The lock may be acquired while a Session.mu is held, never the other way round. So the search for
// a slot starts with a copy of an origin's list, which is replaced and never changed.
type sessionPool struct {
	t      *Transport // immutable; for the options
	shared *pools     // resources shared by the sessions; immutable

	mu      sync.Mutex
	origins map[originKey]*origin // the origins with a session, a dial or a queued request
	conns   map[originKey]int     // connections that are open or being dialled, if MaxConnsPerHost is set
	strays  []*origin             // origins with dials and no queued request, the longest abandoned first

	hostAsked map[originKey]time.Time // when the http.Transport was first asked for the next dial of an origin; at most maxHostAsked

	trimming atomic.Bool  // trim is about to run
	idle     atomic.Int32 // idle sessions, if their number is limited
}

// An origin is the sessions of a key and the queue of requests for them.
type origin struct {
	key   originKey
	alone bool // not in the pool: the session serves a single request

	waiting atomic.Int32 // len(waiters), readable without the lock
	idle    atomic.Int32 // idle sessions, if their number is limited

	// Guarded by sessionPool.mu.
	sessions []*pooledSession // oldest first; replaced, never changed
	waiters  []*slotWaiter
	dials    []*dialCall // running, oldest first
	stray    time.Time   // when the last request left the queue of the dials; zero if a request waits or there are no dials
	declined time.Time   // since when queued requests decline slots of resting sessions; zero if they do not
	looks    time.Time   // time of the next call of look; zero if there is none
	asked    time.Time   // when an http.Transport was last asked to dial a replacement for unusable sessions
}

// A slotWaiter is a request queued for a slot of any session.
type slotWaiter struct {
	ctx     context.Context // of the request, for the values of a dial's context
	verdict chan error      // capacity 1, posted once when the request leaves the queue
	came    time.Time       // when the request was queued
	tried   bool            // no session had a slot at that time; guarded by sessionPool.mu

	// Written before the verdict nil is posted, read after it.
	session *pooledSession
	use     slotUse
}

func (w *slotWaiter) decide(verdict error) {
	select {
	case w.verdict <- verdict:
	default:
	}
}

// take acquires a slot and returns the session. It waits as long as the context allows, in order: a
// request queues behind earlier requests. A request for an unshared session gets a separate
// session, unless MaxConnsPerHost forbids it. Resting sessions, see refusalRest, are used last. As
// in net/http, an invalid request causes no dial. req is nil if the request is not known.
func (p *sessionPool) take(ctx context.Context, req *http.Request, key originKey, alone bool) (*pooledSession, slotUse, error) {
	if p.t.host != nil { // the host dials
		return p.takeGrafted(ctx, key)
	}
	sessions, queued := p.sessionsOf(key)
	if !queued && !alone {
		if ps, use, ok := takeAwake(sessions); ok {
			return ps, use, nil
		}
	}
	if err := checkSendable(req); err != nil {
		return nil, slotUse{}, err
	}
	if alone {
		ps, use, err := p.wait(ctx, key, &origin{key: key, alone: true})
		if err != errConnLimit {
			return ps, use, err
		}
	}
	for another := p.spares(sessions); ; another = false {
		ps, use, err := p.wait(ctx, key, nil)
		if err == nil || ctx.Err() != nil {
			return ps, use, err
		}
		sessions, _ = p.sessionsOf(key)
		if ps, use, ok := takeAny(sessions); ok { // no other session is available
			return ps, use, nil
		}
		if !another { // the failed dial was for an awake session
			return nil, slotUse{}, err
		}
	}
}

// sessionsOf returns the sessions of an origin, and whether requests are queued for slots.
func (p *sessionPool) sessionsOf(key originKey) (sessions []*pooledSession, queued bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o := p.origins[key]; o != nil {
		return o.sessions, len(o.waiters) > 0
	}
	return nil, false
}

// wait queues for an origin (nil for the origin of key in the pool), and starts a dial if useful.
func (p *sessionPool) wait(ctx context.Context, key originKey, o *origin) (*pooledSession, slotUse, error) {
	w := &slotWaiter{ctx: ctx, verdict: make(chan error, 1), came: time.Now()}
	p.mu.Lock()
	if o == nil {
		o = p.originLocked(key)
	}
	o.waiters = append(o.waiters, w)
	o.waiting.Add(1)
	p.claimLocked(o)
	p.mu.Unlock()
	p.offer(o, w) // uses slots freed before the request was queued
	err, decided := awaitVerdict(w.verdict, nil, ctx.Done())
	if decided {
		return w.session, w.use, err
	}
	if p.leave(o, w) {
		p.doubt(o, time.Since(w.came))
		return nil, slotUse{}, causeOf(ctx)
	}
	if failed, _ := awaitVerdict(w.verdict, nil, nil); failed == nil { // a slot arrived at the same time
		w.session.giveBack()
	}
	return nil, slotUse{}, causeOf(ctx)
}

// offer passes free slots to queued requests, and starts a dial for the rest. After it, newcomer,
// which may be nil, has been offered all free slots.
func (p *sessionPool) offer(o *origin, newcomer *slotWaiter) {
	p.mu.Lock()
	sessions := o.sessions
	p.mu.Unlock()
	for _, ps := range byRefusal(sessions) {
		ps.admit()
	}
	p.mu.Lock()
	if newcomer != nil {
		newcomer.tried = true
	}
	p.dialLocked(o)
	p.tidyLocked(o)
	p.mu.Unlock()
}

// leave removes a cancelled request from the queue, and reports false if the request already has a
// verdict. After the last request has left, shared dials continue for strayDial; a dial for an
// unshared session is cancelled.
func (p *sessionPool) leave(o *origin, w *slotWaiter) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(o.waiters, w)
	if i < 0 {
		return false
	}
	o.waiters = slices.Delete(o.waiters, i, i+1)
	p.leftLocked(o)
	switch {
	case o.alone:
		p.endDialsLocked(o)
	case len(o.waiters) == 0:
		for _, d := range o.dials {
			d.left = true
		}
	}
	p.tidyLocked(o)
	return true
}

// leftLocked updates the origin after a request has left the queue.
func (p *sessionPool) leftLocked(o *origin) {
	o.waiting.Add(-1)
	if len(o.waiters) == 0 {
		o.declined = time.Time{}
		p.strayLocked(o)
	}
}

func (p *sessionPool) originLocked(key originKey) *origin {
	o := p.origins[key]
	if o == nil {
		o = &origin{key: key}
		if p.origins == nil {
			p.origins = make(map[originKey]*origin)
		}
		p.origins[key] = o
	}
	return o
}

// tidyLocked removes an origin without sessions, requests and dials.
func (p *sessionPool) tidyLocked(o *origin) {
	if len(o.sessions) == 0 && len(o.waiters) == 0 && len(o.dials) == 0 && p.origins[o.key] == o {
		delete(p.origins, o.key)
	}
}

// add adds a session dialled by the host, which does not run yet, to the pool.
func (p *sessionPool) add(s *Session, key originKey) *pooledSession {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.originLocked(key)
	ps := p.place(s, o, p.hostAskedLocked(key))
	o.sessions = append(slices.Clone(o.sessions), ps)
	return ps
}

// place prepares a session, which does not run yet, for an origin. The zero time as the beginning of
// the dial means that it is unknown.
func (p *sessionPool) place(s *Session, o *origin, dialBegan time.Time) *pooledSession {
	ps := &pooledSession{s: s, pool: p, origin: o, alone: o.alone, idle: p.t.idleTimeout(o.alone)}
	if !dialBegan.IsZero() {
		ps.dialTook = max(time.Since(dialBegan), 1)
	}
	s.pooled = ps
	return ps
}

func (p *sessionPool) popLocked(o *origin) *slotWaiter {
	w := o.waiters[0]
	o.waiters[0] = nil
	o.waiters = o.waiters[1:]
	p.leftLocked(o)
	return w
}

// admit passes the free slots of a session to queued requests, in order. Requests may decline slots
// of a resting session, see declinesLocked. The Session.mu is held.
func (p *sessionPool) admit(ps *pooledSession) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := ps.origin
	for len(o.waiters) > 0 && ps.s.ourStreams < ps.s.limitLocked() {
		if p.declinesLocked(o, ps) {
			return
		}
		w := p.popLocked(o)
		w.session, w.use = ps, ps.takeLocked()
		w.decide(nil)
	}
}

// remove removes a session, and starts a dial if requests are queued. The Session.mu is held.
func (p *sessionPool) remove(ps *pooledSession) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := ps.origin
	if i := slices.Index(o.sessions, ps); i >= 0 {
		o.sessions = slices.Delete(slices.Clone(o.sessions), i, i+1)
	}
	p.dialLocked(o)
	p.tidyLocked(o)
}

// closeIdle ends the sessions without streams, and the dials without queued requests.
func (p *sessionPool) closeIdle() {
	p.mu.Lock()
	for _, o := range p.origins {
		if len(o.waiters) == 0 {
			p.endDialsLocked(o)
		}
	}
	p.mu.Unlock()
	for _, ps := range p.all() {
		ps.closeIfIdle()
	}
}
