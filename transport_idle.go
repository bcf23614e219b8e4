package spdy

import (
	"slices"
	"time"
)

// countIdleLocked counts the session as idle or not idle. If there are more idle sessions than
// MaxIdleConns or MaxIdleConnsPerHost allow, it schedules trim. trim looks at all sessions, so it
// must not run every time a session becomes idle; and it locks Session.mu of the other sessions,
// which is not allowed while Session.mu is held.
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

// trim ends idle sessions beyond the limits, the sessions idle the longest first.
func (p *sessionPool) trim() {
	p.trimming.Store(false) // sessions that become idle from here on schedule trim again
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

// exceeds reports whether n+1 is beyond a limit; a limit of 0 means no limit.
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

// idleSince returns the time since which the session has had no local streams.
func (ps *pooledSession) idleSince() (since time.Time, idle bool) {
	ps.s.mu.Lock()
	defer ps.s.mu.Unlock()
	return ps.since, ps.unused && ps.s.openErrLocked() == nil
}
