package spdy

import (
	"slices"
	"time"
)

// countIdleLocked counts whether the session is one of the pool's that are idle. If there are more
// than MaxIdleConns or MaxIdleConnsPerHost allow, it has the others end: trim looks at all
// sessions, so it must not run whenever one becomes idle. Session.mu is held, and those of the
// others cannot be taken with it: trim does the work later.
func (ps *pooledSession) countIdleLocked(idle bool) {
	p := ps.pool
	if idle == ps.counted || p.t.MaxIdleConns == 0 && p.t.MaxIdleConnsPerHost == 0 {
		return
	}
	ps.counted = idle
	if !idle {
		p.idle.Add(-1)
		ps.origin.idle.Add(-1)
		return
	}
	all, ofOrigin := int(p.idle.Add(1)), int(ps.origin.idle.Add(1))
	tooMany := exceeds(all-1, p.t.MaxIdleConns) || exceeds(ofOrigin-1, p.t.MaxIdleConnsPerHost)
	if tooMany && p.trimming.CompareAndSwap(false, true) {
		time.AfterFunc(0, p.trim)
	}
}

// trim ends idle sessions beyond the limits, those first that have been idle the longest.
func (p *sessionPool) trim() {
	p.trimming.Store(false) // what becomes idle from here on has trim called again
	type idle struct {
		ps    *pooledSession
		since time.Time
	}
	var all []idle
	for _, ps := range p.all() {
		if since, ok := ps.idleSince(); ok {
			all = append(all, idle{ps, since})
		}
	}
	slices.SortFunc(all, func(a, b idle) int { return b.since.Compare(a.since) })
	kept := 0
	keptOf := make(map[*origin]int)
	for _, i := range all {
		o := i.ps.origin
		if exceeds(kept, p.t.MaxIdleConns) || exceeds(keptOf[o], p.t.MaxIdleConnsPerHost) {
			i.ps.closeIfIdle()
			continue
		}
		kept++
		keptOf[o]++
	}
}

// exceeds reports whether one more than n is beyond a limit, of which 0 is none.
func exceeds(n, limit int) bool { return limit != 0 && n >= limit }

// all returns the sessions of all origins.
func (p *sessionPool) all() (all []*pooledSession) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, o := range p.origins {
		all = append(all, o.sessions...)
	}
	return all
}

// idleSince returns the time from which on the session has had no streams of ours.
func (ps *pooledSession) idleSince() (since time.Time, idle bool) {
	ps.s.mu.Lock()
	defer ps.s.mu.Unlock()
	return ps.since, ps.unused && ps.s.openErrLocked() == nil
}
