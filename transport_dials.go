package spdy

import (
	"context"
	"errors"
	"slices"
	"time"
)

// All waiting requests of an origin share a dial, so a dial that hangs would block all of them. The
// latest dial is slow if it has run for dialPatience, or if every request waiting for it has been
// cancelled. Requests then start another dial; without new requests the interval doubles. The first
// successful dial serves all requests and cancels the other dials. Of maxDials dials the oldest
// keeps running, for paths that are always slow. The others are replaced after dialPatience, for
// paths where a new try is better than an old try. A dial counts until it has returned.
//
// A dial without waiting requests continues for strayDial, so requests with a timeout shorter than
// the path's connect time find a session eventually. At most maxStrays origins have such dials;
// beyond that, the dials of the origin abandoned first are cancelled.
const (
	dialPatience = 250 * time.Millisecond
	maxDials     = 4
	strayDial    = 30 * time.Second
	maxStrays    = 100
)

// A dialCall is a running dial. The fields are guarded by sessionPool.mu.
type dialCall struct {
	cancel   context.CancelFunc // immutable
	began    time.Time          // immutable
	left     bool               // all requests that waited for the dial have been cancelled
	replaced bool               // the dial is cancelled; another starts when it has returned
	through  bool               // the session is in the pool, and waiting requests are getting slots
}

// errConnLimit reports to a request for an unshared session that MaxConnsPerHost allows no further
// connection.
var errConnLimit = errors.New("spdy: MaxConnsPerHost connections are open")

// dialLocked starts a dial if requests are queued, no session has a free slot, no dial is expected
// to succeed soon, and the options allow another. The dial has the values of the first such
// request's context, so that request's httptrace hooks are called, but does not end with that
// context.
func (p *sessionPool) dialLocked(o *origin) {
	if p.t.host != nil {
		p.askHostLocked(o)
		return
	}
	first := slices.IndexFunc(o.waiters, func(w *slotWaiter) bool { return w.tried })
	switch {
	case first < 0 || !p.mayDialLocked(o):
		return
	case p.connLimitLocked(o.key):
		if o.alone && len(o.dials) == 0 {
			p.popLocked(o).decide(errConnLimit)
		}
		return
	}
	p.openedConnLocked(o.key)
	ctx, cancel := context.WithCancel(context.WithoutCancel(o.waiters[first].ctx))
	d := &dialCall{cancel: cancel, began: time.Now()}
	o.dials = append(o.dials, d)
	if !o.alone {
		p.lookLaterLocked(o, dialPatience)
	}
	go p.run(ctx, o, d) // ends with the dial
}

// mayDialLocked reports whether an origin may start another dial now. If a dial will be allowed
// later, it schedules a call of look. A server that currently allows no streams gets at most
// maxResting sessions.
func (p *sessionPool) mayDialLocked(o *origin) bool {
	n := len(o.dials)
	if barren := countOf(o.sessions, (*pooledSession).barren); barren > 0 && barren+n >= maxResting {
		return false
	}
	if !p.mayHaveAnother(o.sessions) {
		return false
	}
	switch {
	case n == 0:
		return true
	case o.alone || slices.ContainsFunc(o.dials, func(d *dialCall) bool { return d.through || d.replaced }):
		return false
	case countOf(o.sessions, (*pooledSession).refuses) > 0: // waiting requests use these sessions, see declinesLocked
		p.lookLaterLocked(o, refusalRest)
		return false
	}
	if latest := o.dials[n-1]; !latest.left && !p.agedLocked(o, latest, o.patienceLocked(latest)) {
		return false
	}
	if n < maxDials && !p.connLimitLocked(o.key) {
		return true
	}
	if n > 1 && p.agedLocked(o, o.dials[1], dialPatience) {
		o.dials[1].replaced = true
		o.dials[1].cancel()
	}
	return false
}

// patienceLocked returns the age at which the latest dial is followed by another: dialPatience if a
// request arrived during the dial; otherwise as long as the oldest request had waited at the start
// of the dial, so patient requests dial ever less often.
func (o *origin) patienceLocked(latest *dialCall) time.Duration {
	if newest := o.waiters[len(o.waiters)-1]; newest.came.After(latest.began) {
		return dialPatience
	}
	return max(dialPatience, latest.began.Sub(o.waiters[0].came))
}

// agedLocked reports whether a dial has run for d. If not, it schedules a call of look for that
// time.
func (p *sessionPool) agedLocked(o *origin, call *dialCall, d time.Duration) bool {
	left := d - time.Since(call.began)
	if left > 0 {
		p.lookLaterLocked(o, left)
	}
	return left <= 0
}

// run dials, and passes the session to the waiting requests.
func (p *sessionPool) run(ctx context.Context, o *origin, d *dialCall) {
	defer d.cancel()
	s, err := p.t.connect(ctx, o.key)
	if err != nil {
		p.dialFailed(o, d, err)
		return
	}
	ps := p.place(s, o, d.began)
	p.mu.Lock()
	wanted := slices.Contains(o.dials, d) && p.mayHaveAnother(o.sessions)
	if wanted {
		d.through = true
		o.sessions = append(slices.Clone(o.sessions), ps)
	} else {
		p.forgetDialLocked(o, d)
	}
	p.mu.Unlock()
	if !wanted {
		s.shutdown(ErrSessionClosed)
		p.closedConn(o.key)
		p.offer(o, nil)
		return
	}
	p.t.owner.adopt(s, o.alone)
	ps.serve()
	p.dialled(o, d)
}

// dialFailed processes the failure of a dial. All requests that have waited as long as the dial
// took fail with the error. Later requests wait for later dials, if any.
func (p *sessionPool) dialFailed(o *origin, d *dialCall, err error) {
	p.mu.Lock()
	if p.forgetDialLocked(o, d) && !d.replaced {
		for len(o.waiters) > 0 && (len(o.dials) == 0 || !o.waiters[0].came.After(d.began)) {
			p.popLocked(o).decide(err)
		}
	}
	p.tidyLocked(o)
	p.mu.Unlock()
	p.closedConn(o.key)
	p.offer(o, nil)
}

// dialled ends a dial after the waiting requests have slots of the session. Earlier, a request
// queued behind them would start another dial. Other dials for the same requests are cancelled.
func (p *sessionPool) dialled(o *origin, d *dialCall) {
	p.mu.Lock()
	p.forgetDialLocked(o, d)
	if len(o.waiters) == 0 {
		p.endDialsLocked(o)
	}
	p.mu.Unlock()
	p.offer(o, nil)
}

// forgetDialLocked removes a dial from the origin, and reports whether it was there.
func (p *sessionPool) forgetDialLocked(o *origin, d *dialCall) bool {
	i := slices.Index(o.dials, d)
	if i < 0 {
		return false
	}
	o.dials = slices.Delete(o.dials, i, i+1)
	if len(o.dials) == 0 {
		p.claimLocked(o)
	}
	return true
}

// endDialsLocked cancels the dials of an origin.
func (p *sessionPool) endDialsLocked(o *origin) {
	for _, d := range o.dials {
		d.cancel()
	}
	o.dials = nil
	p.claimLocked(o)
	p.tidyLocked(o)
}

// strayLocked records that no request waits for the dials of an origin any more.
func (p *sessionPool) strayLocked(o *origin) {
	if o.alone || !slices.ContainsFunc(o.dials, func(d *dialCall) bool { return !d.through }) {
		return
	}
	o.stray = time.Now()
	p.lookLaterLocked(o, strayDial)
	if p.strays = append(p.strays, o); len(p.strays) > maxStrays {
		p.endDialsLocked(p.strays[0])
	}
}

// claimLocked records that a request waits for the dials of an origin again, or that there are no
// dials.
func (p *sessionPool) claimLocked(o *origin) {
	if !o.stray.IsZero() {
		o.stray = time.Time{}
		i := slices.Index(p.strays, o)
		p.strays = slices.Delete(p.strays, i, i+1)
	}
}

// endStrayLocked cancels dials without a waiting request for strayDial.
func (p *sessionPool) endStrayLocked(o *origin) {
	switch left := strayDial - time.Since(o.stray); {
	case o.stray.IsZero():
	case left > 0:
		p.lookLaterLocked(o, left)
	default:
		p.endDialsLocked(o)
	}
}

// limitsConns reports whether MaxConnsPerHost limits the connections to an origin. If an
// http.Transport dials, it limits them.
func (p *sessionPool) limitsConns() bool { return p.t.MaxConnsPerHost > 0 && p.t.host == nil }

// connLimitLocked reports whether MaxConnsPerHost forbids a further connection.
func (p *sessionPool) connLimitLocked(key originKey) bool {
	return p.t.MaxConnsPerHost > 0 && p.conns[key] >= p.t.MaxConnsPerHost
}

// openedConnLocked counts a connection before the dial.
func (p *sessionPool) openedConnLocked(key originKey) {
	if p.t.MaxConnsPerHost <= 0 {
		return
	}
	if p.conns == nil {
		p.conns = make(map[originKey]int)
	}
	p.conns[key]++
}

// closedConn decrements the number of connections after a close or a failed dial. Waiting requests
// may dial again.
func (p *sessionPool) closedConn(key originKey) {
	if !p.limitsConns() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns[key]--; p.conns[key] <= 0 {
		delete(p.conns, key)
	}
	if o := p.origins[key]; o != nil {
		p.dialLocked(o)
	}
}
