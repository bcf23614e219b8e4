package spdy

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// An originKey is what sessions can be shared by: the scheme of a request, the host and
// port that it goes to, and the proxy in between.
type originKey struct {
	scheme string // http or https
	addr   string // host:port, in lower case and ASCII
	proxy  string // URL of the proxy; "" for none
}

// origin returns the origin as Config.SettingsKey has it. Proxies are no part of it.
func (k originKey) origin() string { return k.scheme + "://" + k.addr }

// A sessionPool keeps the sessions of a Transport by origin. A request that finds no slot
// waits, in turn, for what comes first: the session of a dial, which serves all who wait, or
// a slot of a session that is there.
//
// Its lock may be taken while a Session.mu is held, never the other way round. So
// looking for a slot begins with a copy of an origin's list, which is replaced and
// never changed.
type sessionPool struct {
	t      *Transport // immutable; for its options
	shared *pools     // what the sessions keep together; immutable

	mu      sync.Mutex
	origins map[originKey]*origin // those with a session, a dial or somebody waiting
	conns   map[originKey]int     // connections that are open or being dialled, if MaxConnsPerHost is set
	strays  []*origin             // those with dials for which nobody waits, the longest left first

	trimming atomic.Bool  // trim is about to run
	idle     atomic.Int32 // sessions that are idle, if their number has a limit
}

// An origin has the sessions of one key, and those who wait for one.
type origin struct {
	key   originKey
	alone bool // it is not in the pool: its session is for one request

	waiting atomic.Int32 // len(waiters), for a look without the lock
	idle    atomic.Int32 // sessions that are idle, if their number has a limit

	// Guarded by sessionPool.mu.
	sessions []*pooledSession // oldest first; replaced, never changed
	waiters  []*slotWaiter
	dials    []*dialCall // under way, oldest first
	stray    time.Time   // since when nobody waits for the dials; zero if somebody does, or there are none
	declined time.Time   // since when those who wait now leave slots of sessions that rest; zero if they do not
	looks    time.Time   // when look is called next; zero if it is not
	asked    time.Time   // when an http.Transport was last asked to dial in place of sessions that are of no use
}

// A slotWaiter is a request that waits for a slot of any session.
type slotWaiter struct {
	ctx     context.Context // of the request, for the values that a dial gets
	verdict chan error      // capacity 1, posted once when it leaves the queue
	came    time.Time       // when it got into the queue
	tried   bool            // no session had a slot for it when it came; guarded by sessionPool.mu

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

// take returns a session with a slot of it, which it waits for as long as the context
// allows, in turn: a request that finds others waiting queues up behind them. One that is to be
// alone gets a session of its own, unless MaxConnsPerHost forbids that. Sessions that rest, see
// refusalRest, come last.
func (p *sessionPool) take(ctx context.Context, key originKey, alone bool) (*pooledSession, slotUse, error) {
	if p.t.host != nil { // it dials
		return p.takeGrafted(ctx, key)
	}
	sessions, queued := p.sessionsOf(key)
	switch {
	case alone:
		ps, use, err := p.wait(ctx, key, &origin{key: key, alone: true})
		if err != errConnLimit {
			return ps, use, err
		}
	case !queued:
		if ps, use, ok := takeAwake(sessions); ok {
			return ps, use, nil
		}
	}
	for another := p.spares(sessions); ; another = false {
		ps, use, err := p.wait(ctx, key, nil)
		if err == nil || ctx.Err() != nil {
			return ps, use, err
		}
		sessions, _ = p.sessionsOf(key)
		if ps, use, ok := takeAny(sessions); ok { // another session cannot be had
			return ps, use, nil
		}
		if !another { // the dial that failed was for one that does not rest
			return nil, slotUse{}, err
		}
	}
}

// sessionsOf returns the sessions of an origin, and whether requests wait for a slot of them.
func (p *sessionPool) sessionsOf(key originKey) (sessions []*pooledSession, queued bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if o := p.origins[key]; o != nil {
		return o.sessions, len(o.waiters) > 0
	}
	return nil, false
}

// wait gets into the queue of an origin, nil for the one in the pool of that key, and sees to
// it that somebody dials if that can help.
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
	p.offer(o, w) // what became free before it could be given to us
	err, decided := awaitVerdict(w.verdict, nil, ctx.Done())
	if decided {
		return w.session, w.use, err
	}
	if p.leave(o, w) {
		p.doubt(o, time.Since(w.came))
		return nil, slotUse{}, causeOf(ctx)
	}
	if failed, _ := awaitVerdict(w.verdict, nil, nil); failed == nil { // it came as we gave up
		w.session.giveBack()
	}
	return nil, slotUse{}, causeOf(ctx)
}

// offer gives the slots that sessions have to those who wait, and has another session dialled
// for the others. newcomer, which may be nil, has now been offered what there is.
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

// leave takes a waiter that gives up out of the queue, and reports false if it has its
// verdict. When the last one has given up, the dials go on for a while, see strayDial; that for
// a request that was to be alone is cancelled.
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

// leftLocked takes note of a waiter that has left the queue.
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

// tidyLocked forgets an origin of which there is nothing.
func (p *sessionPool) tidyLocked(o *origin) {
	if len(o.sessions) == 0 && len(o.waiters) == 0 && len(o.dials) == 0 && p.origins[o.key] == o {
		delete(p.origins, o.key)
	}
}

// add puts a session that somebody else has dialled, and that does not run yet, into the
// pool.
func (p *sessionPool) add(s *Session, key originKey) *pooledSession {
	p.mu.Lock()
	defer p.mu.Unlock()
	o := p.originLocked(key)
	ps := p.place(s, o)
	o.sessions = append(slices.Clone(o.sessions), ps)
	return ps
}

// place prepares a session, which does not run yet, for an origin.
func (p *sessionPool) place(s *Session, o *origin) *pooledSession {
	ps := &pooledSession{s: s, pool: p, origin: o, alone: o.alone, idle: p.t.idleTimeout(o.alone)}
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

// admit gives the free slots of a session to those who wait, in turn. Those of one that rests
// they may leave for now, see declinesLocked. Its Session.mu is held.
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

// remove takes a session out, and has another one dialled if somebody waits. Its
// Session.mu is held.
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

// closeIdle ends the sessions that have no streams, and the dials that nobody waits for.
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
