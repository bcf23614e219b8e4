package spdy

import (
	"context"
	"errors"
	"slices"
	"time"
)

// One dial serves all requests that wait for an origin, so a dial that hangs would hold all of
// them up. While the latest dial is slow, because it has taken dialPatience or because all who
// waited for it have given up, those who wait start another; those that no further request joins
// after twice the time. The first that is through serves all of them, and the others are
// cancelled. Of maxDials dials the oldest keeps its time, for paths that are slow for everybody.
// The others make way for new ones when they have had dialPatience, for paths on which a new
// try is better than an old one. A dial keeps its place until it has returned.
//
// A dial for which nobody waits any more goes on for strayDial, so that requests with less
// patience than the path needs have a session in the end. maxStrays origins may have such
// dials at a time; then those of the origin end that was left first.
const (
	dialPatience = 250 * time.Millisecond
	maxDials     = 4
	strayDial    = 30 * time.Second
	maxStrays    = 100
)

// A dialCall is a dial that is under way. Its fields are guarded by sessionPool.mu.
type dialCall struct {
	cancel   context.CancelFunc // immutable
	began    time.Time          // immutable
	left     bool               // all who waited for it have given up
	replaced bool               // another one begins when this one, which is cancelled, has returned
	through  bool               // its session is in the pool, and is being given to those who wait
}

// errConnLimit tells a request that is to have a connection of its own that MaxConnsPerHost
// allows none.
var errConnLimit = errors.New("spdy: MaxConnsPerHost connections are open")

// dialLocked starts a dial if a request waits for which no session has a slot, no dial is
// expected to be through soon, and the options allow one more. The dial has the values of the
// first such request's context, so that its httptrace hooks see it, and does not end with that.
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

// mayDialLocked reports whether an origin may have another dial now. If it may later, look is
// called then. A server that allows no streams at present gets maxResting sessions.
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
	case countOf(o.sessions, (*pooledSession).refuses) > 0: // they serve those who wait, see declinesLocked
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

// patienceLocked is how old the latest dial becomes before another one is started: dialPatience
// for a request that came when it was under way; for the others as long as they had waited
// before, so that whoever is patient dials ever less often.
func (o *origin) patienceLocked(latest *dialCall) time.Duration {
	if newest := o.waiters[len(o.waiters)-1]; newest.came.After(latest.began) {
		return dialPatience
	}
	return max(dialPatience, latest.began.Sub(o.waiters[0].came))
}

// agedLocked reports whether a dial is as old as d, and has look called when it will be.
func (p *sessionPool) agedLocked(o *origin, call *dialCall, d time.Duration) bool {
	left := d - time.Since(call.began)
	if left > 0 {
		p.lookLaterLocked(o, left)
	}
	return left <= 0
}

// run dials, and gives the session to those who wait.
func (p *sessionPool) run(ctx context.Context, o *origin, d *dialCall) {
	defer d.cancel()
	s, err := p.t.connect(ctx, o.key)
	if err != nil {
		p.dialFailed(o, d, err)
		return
	}
	ps := p.place(s, o)
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

// dialFailed takes note of a dial that has failed. The error is that of all who have waited for
// as long as the dial took. Those who came later wait for the dials that began later, if any.
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

// dialled ends a dial, when those who waited have the slots of its session. Before, a
// request that queues behind them would have another session dialled. Other dials for the
// same requests are of no use any more.
func (p *sessionPool) dialled(o *origin, d *dialCall) {
	p.mu.Lock()
	p.forgetDialLocked(o, d)
	if len(o.waiters) == 0 {
		p.endDialsLocked(o)
	}
	p.mu.Unlock()
	p.offer(o, nil)
}

// forgetDialLocked reports whether a dial was one of the origin's, which it is no longer.
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

// strayLocked takes note that nobody waits for the dials of an origin any more.
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

// claimLocked takes note that somebody waits for the dials of an origin again, or that there
// are none.
func (p *sessionPool) claimLocked(o *origin) {
	if !o.stray.IsZero() {
		o.stray = time.Time{}
		i := slices.Index(p.strays, o)
		p.strays = slices.Delete(p.strays, i, i+1)
	}
}

// endStrayLocked cancels dials for which nobody has waited for strayDial.
func (p *sessionPool) endStrayLocked(o *origin) {
	switch left := strayDial - time.Since(o.stray); {
	case o.stray.IsZero():
	case left > 0:
		p.lookLaterLocked(o, left)
	default:
		p.endDialsLocked(o)
	}
}

// connLimitLocked reports whether MaxConnsPerHost forbids a further connection.
func (p *sessionPool) connLimitLocked(key originKey) bool {
	return p.t.MaxConnsPerHost > 0 && p.conns[key] >= p.t.MaxConnsPerHost
}

// openedConnLocked counts a connection that is about to be dialled.
func (p *sessionPool) openedConnLocked(key originKey) {
	if p.t.MaxConnsPerHost <= 0 {
		return
	}
	if p.conns == nil {
		p.conns = make(map[originKey]int)
	}
	p.conns[key]++
}

// closedConn takes note that a connection is closed, or that its dial has failed. Requests that
// wait may have another one.
func (p *sessionPool) closedConn(key originKey) {
	if p.t.MaxConnsPerHost <= 0 || p.t.host != nil {
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
