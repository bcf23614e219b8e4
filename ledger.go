package spdy

import (
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"time"
)

// This file is where everything is charged that a session keeps for its peer. A charge counts
// for the stream, for the session and for the pools of its Server or Transport at once, and is
// given back when nothing of ours keeps it any more. Most streams stay within what their
// session has of the pools already, and touch nothing that sessions share.

// A ledger is what a session holds of the pools. Sessions without pools have none, nil.
// Guarded by Session.mu, but for low.
type ledger struct {
	s     *Session // immutable
	pools *pools   // immutable

	used    [resources]int64   // what is kept
	lease   [resources]int64   // what the session has of the pools for that
	holders [resources]*holder // its places there; nil where it has always held little
	looked  time.Time          // when giveWay last looked for streams that rest
	bare    [2]time.Time       // when giveLarge last found no large stream; of heldHeaders and heldUnread
	closed  bool               // the session itself takes nothing any more
	frame   int64              // what of heldBuffers is a frame that is coming in; the receiver may look without mu
	stuck   int64              // what frame was when giveWay last looked
	history int64              // what of heldBuffers is for inflating; the receiver may look without mu
	replies int64              // what of heldBuffers are control frames that wait for the sender, or their buffer
	broke   bool               // there was no room for more of them

	// low is the value of credit.owed at which so much has been read that the lease of
	// unread bytes should shrink.
	low atomic.Int64
}

// newLedger opens the account of a session, nil without pools.
func newLedger(s *Session, p *pools) *ledger {
	if p == nil {
		return nil
	}
	l := &ledger{s: s, pools: p}
	l.low.Store(math.MaxInt64)
	l.bearLocked(heldBuffers, sessionTakes)
	return l
}

// byLocked is who asks for more of a resource, for a stream that will hold so much of it, or for
// the session if that is 0.
func (l *ledger) byLocked(r resource, will int64) asker {
	average := l.lease[r] / int64(max(len(l.s.streams), 1))
	return asker{held: l.lease[r], modest: will > 0 && will <= average/modestPart}
}

// modestPart is the part of what the streams of a session hold on average that a modest one holds
// at most. Streams of a session that are all alike are not modest: then it is the session that pays.
const modestPart = 4

// admit makes room for a new session. It returns why there is none, even if others give way.
func (p *pools) admit() *PoolError {
	p.relieve()
	if of := &p.of[heldBuffers]; of.used.Load() > of.limit-sessionTakes {
		of.refused.Add(1)
		return p.full(heldBuffers)
	}
	return nil
}

// What it takes, in bytes, to keep a value of a header block besides its text, and a name
// with its first value: they become strings in an array, and a key and a slice in a map.
const (
	valueOverhead = 32
	nameOverhead  = 96
)

// headerCost is how many bytes it takes to keep h, the block that the receiver has just read.
// The names in Trailer are names of a header of their own.
func (s *Session) headerCost(h HeaderBlock) int64 {
	cost := s.inflate.size + nameOverhead*len(h)
	for i := range h {
		cost += valueOverhead * strings.Count(h[i].Value, "\x00")
		if h[i].Name == "trailer" {
			cost += nameOverhead * strings.Count(h[i].Value, ",")
		}
	}
	return int64(min(cost, math.MaxInt32/2))
}

// needs is how much of a pool a session has to have that keeps so much.
func (k *resourceKind) needs(used int64) int64 {
	return max(used-k.free+k.grain-1, 0) / k.grain * k.grain
}

// takeLocked charges the session itself with n more of a resource. It reports false, and charges
// nothing, if the session does not get it.
func (l *ledger) takeLocked(r resource, n int64) bool { return l.takeForLocked(r, n, 0) }

// takeForLocked is takeLocked for a stream that will hold so much of the resource, 0 for the
// session itself.
func (l *ledger) takeForLocked(r resource, n, will int64) bool {
	if l == nil {
		return true
	}
	if more := resourceKinds[r].needs(l.used[r]+n) - l.lease[r]; more > 0 {
		if !l.pools.of[r].take(l.pools, l.byLocked(r, will), more) {
			return false
		}
		l.setLeaseLocked(r, l.lease[r]+more)
	}
	l.used[r] += n
	return true
}

// fitsLocked reports whether takeLocked would succeed.
func (l *ledger) fitsLocked(r resource, n int64) bool {
	if l == nil {
		return true
	}
	more := resourceKinds[r].needs(l.used[r]+n) - l.lease[r]
	if p := &l.pools.of[r]; more <= 0 || p.used.Load()+more <= p.crowdedAt() {
		return true
	} else if !p.take(l.pools, l.byLocked(r, 0), more) {
		return false
	}
	l.pools.of[r].used.Add(-more)
	return true
}

// bearLocked is takeLocked for what cannot be refused any more.
func (l *ledger) bearLocked(r resource, n int64) {
	if l == nil {
		return
	}
	l.used[r] += n
	if more := resourceKinds[r].needs(l.used[r]) - l.lease[r]; more > 0 {
		l.pools.of[r].used.Add(more)
		l.setLeaseLocked(r, l.lease[r]+more)
	}
}

// giveLocked gives n of a resource back.
func (l *ledger) giveLocked(r resource, n int64) {
	if l == nil || n == 0 {
		return
	}
	l.used[r] -= n
	l.returnLocked(r)
}

// returnLocked returns what the session has of a pool and does not need. A session that
// is busy keeps slackGrains of it.
func (l *ledger) returnLocked(r resource) {
	k := &resourceKinds[r]
	need := k.needs(l.used[r])
	most := need + slackGrains*k.grain
	if need <= k.idle {
		most = max(need, k.idle)
	}
	if l.closed {
		most = need
	}
	if l.lease[r] <= most {
		return
	}
	l.pools.of[r].used.Add(need - l.lease[r])
	l.setLeaseLocked(r, need)
}

func (l *ledger) setLeaseLocked(r resource, n int64) {
	l.lease[r] = n
	if !l.closed {
		l.holders[r] = l.pools.of[r].hold(l.s, l.holders[r], n)
	}
}

// opensLocked charges a new stream of the peer with its header block. It returns why the
// stream is refused if the session does not get that.
func (l *ledger) opensLocked(headers int64) *PoolError {
	if l == nil {
		return nil
	}
	if q := l.s.handlers; q != nil && q.running < q.limit && !l.fitsLocked(heldHandlers, 1) {
		return l.pools.full(heldHandlers) // beginsLocked takes the place
	}
	if !l.takeLocked(heldBuffers, streamTakes) {
		return l.pools.full(heldBuffers)
	}
	if !l.takeForLocked(heldHeaders, headers, headers) {
		l.giveLocked(heldBuffers, streamTakes)
		return l.pools.full(heldHeaders)
	}
	return nil
}

// chargeHeadersLocked charges a stream that is open with the header block that the receiver
// has just read. It returns why the stream has to be reset if the session does not get that.
func (st *Stream) chargeHeadersLocked(h HeaderBlock) *StreamError {
	l := st.session.ledger
	if l == nil {
		return nil
	}
	cost := min(st.session.headerCost(h), math.MaxInt32-int64(st.headerCharge))
	will := int64(st.headerCharge) + cost
	if e := l.outgrows(st.id, will); e != nil {
		return e
	}
	if !l.takeForLocked(heldHeaders, cost, will) {
		e := streamErrorf(st.id, RstFrameTooLarge, "the header blocks of all sessions take too much")
		e.Err = l.pools.full(heldHeaders)
		return e
	}
	st.headerCharge += int32(cost)
	if st.leaving {
		l.pools.of[heldHeaders].leaving.Add(cost)
	}
	return nil
}

// outgrows returns why a stream cannot be kept whose header blocks take so much, nil if it can be.
func (l *ledger) outgrows(id uint32, cost int64) *StreamError {
	if l == nil || cost <= l.pools.of[heldHeaders].share() {
		return nil
	}
	why := fmt.Sprintf("the headers of the stream take %d bytes, and %d of the pool at most", cost, l.pools.of[heldHeaders].share())
	return &StreamError{StreamID: id, Status: RstFrameTooLarge, Reason: why, Err: causedError{"spdy: " + why, l.pools.full(heldHeaders)}}
}

// returnHeadersLocked gives back what the headers of a stream have been charged with when
// nothing of ours keeps them: a handler keeps those of its request, and a client those of a
// push until it has a request for it.
func (st *Stream) returnHeadersLocked() {
	kept := !st.ended || !st.state.ours && (!st.released || st.session.client && !st.claimed)
	if st.headerCharge == 0 || kept {
		return
	}
	if st.leaving {
		st.session.ledger.pools.of[heldHeaders].leaving.Add(-int64(st.headerCharge))
		st.leaving = false
	}
	st.session.ledger.giveLocked(heldHeaders, int64(st.headerCharge))
	st.headerCharge = 0
}

// keepsLocked charges n more bytes of header blocks that wait for the program of a raw session, or
// gives them back if n is negative, for a stream that will hold so much. It reports false if the
// session does not get them. What waits when the session has ended is the program's.
func (l *ledger) keepsLocked(n, will int) bool {
	switch {
	case l == nil || l.closed:
		return true
	case n > 0:
		return l.takeForLocked(heldHeaders, int64(n), int64(will))
	}
	l.giveLocked(heldHeaders, int64(-n))
	return true
}

// settleClaim notes that a push has been given to a request, or that nobody will have it.
func (st *Stream) settleClaim() {
	s := st.session
	s.mu.Lock()
	st.claimed = true
	st.returnHeadersLocked()
	s.mu.Unlock()
}

// chargeUnreadLocked charges the session's unread bytes, as the flow-control manager counts them.
// It reports false if the session does not get that. Read bytes are looked at when there are
// few left, see credit.
func (l *ledger) chargeUnreadLocked() (fits bool) {
	if l == nil {
		return true
	}
	fits = true
	for {
		c := &l.s.flow
		came := c.in.size - c.in.avail
		now := max(came-c.owed.Load(), 0)
		if l.closed && (l.s.client || l.s.isRaw()) { // what is left is the program's, see closeLocked
			now = 0
		}
		l.used[heldUnread] = now // also if there is no room: streams are reset then
		if more := resourceKinds[heldUnread].needs(now) - l.lease[heldUnread]; more > 0 {
			fits = l.pools.of[heldUnread].take(l.pools, l.byLocked(heldUnread, 0), more)
			if fits {
				l.setLeaseLocked(heldUnread, l.lease[heldUnread]+more)
			}
		}
		l.returnLocked(heldUnread)
		if l.lease[heldUnread] == 0 {
			l.low.Store(math.MaxInt64)
			return fits
		}
		low := came - max(l.lease[heldUnread]-2*slackGrains*resourceKinds[heldUnread].grain, 0)
		l.low.Store(low)
		if c.owed.Load() < low {
			return fits
		}
	}
}

// isLow reports whether the lease of unread bytes should shrink, now that so much credit is
// owed.
func (l *ledger) isLow(owed int64) bool { return l != nil && owed >= l.low.Load() }

// closeLocked gives back what the session itself takes, when its goroutines have ended. What
// its streams keep is given back by those who have them, but for unread answers: a program that
// gives one up without closing it would keep a part of the Transport's pool for ever.
func (l *ledger) closeLocked() {
	if l == nil || l.closed {
		return
	}
	l.closed = true
	for r := range l.holders {
		l.pools.of[r].forget(l.holders[r])
	}
	l.giveLocked(heldBuffers, sessionTakes+l.history+l.replies)
	l.history, l.replies = 0, 0
	if k := l.s.rawKept; k != nil { // of streams that nobody has accepted
		l.giveLocked(heldHeaders, k.bytes)
	}
	l.chargeUnreadLocked()
}

// lend charges n bytes of a buffer that a session has for a moment, or gives them back if n is
// negative. No lock is held.
func (l *ledger) lend(n int64) {
	if l != nil {
		l.pools.of[heldBuffers].used.Add(n)
	}
}

// takeFrame charges a frame that is coming in and takes n bytes by now. It returns the error
// that ends the session if there is no room. Receiver only.
func (l *ledger) takeFrame(n int) error {
	if l == nil || int64(n) <= l.frame {
		return nil
	}
	l.pools.relieve()
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if !l.takeLocked(heldBuffers, int64(n)-l.frame) {
		return l.noRoom()
	}
	l.frame = int64(n)
	return nil
}

// takeHistory charges what the session keeps for inflating, which is n bytes by now. It returns
// the error that ends the session if there is no room: without it no later block can be read.
// Receiver only.
func (l *ledger) takeHistory(n int) error {
	if l == nil || int64(n) <= l.history {
		return nil
	}
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	if !l.takeLocked(heldBuffers, int64(n)-l.history) {
		return l.noRoom()
	}
	l.history = int64(n)
	return nil
}

// chargeRepliesLocked charges the buffer of the control frames that wait for the sender, which
// takes n bytes by now.
func (l *ledger) chargeRepliesLocked(n int) {
	const covered = 1 << 10 // by sessionTakes
	if l == nil || n <= covered && l.replies == 0 {
		return
	}
	switch more := int64(n) - l.replies; {
	case more <= 0:
		l.giveLocked(heldBuffers, -more)
	case !l.takeLocked(heldBuffers, more):
		l.broke = true // see floodedLocked
		return
	}
	l.replies = int64(n)
}

// noRoom is the error of a session that has no room for what it cannot do without.
func (l *ledger) noRoom() *SessionError {
	return &SessionError{Status: GoAwayInternalError, Reason: "no room for what the session has to keep", Err: l.pools.full(heldBuffers)}
}

// giveFrame gives that back: the frame is done with. Receiver only.
func (l *ledger) giveFrame() {
	if l == nil || l.frame == 0 {
		return
	}
	l.s.mu.Lock()
	l.giveLocked(heldBuffers, l.frame)
	l.frame = 0
	l.s.mu.Unlock()
}

// closeLedger is closeLocked for callers that do not hold mu.
func (s *Session) closeLedger() {
	s.mu.Lock()
	s.ledger.closeLocked()
	s.mu.Unlock()
}

// takesCall takes a place for a call of Config.AcceptPush, which counts as a handler.
func (s *Session) takesCall() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ledger.takeLocked(heldHandlers, 1)
}

// endsCall gives that back.
func (s *Session) endsCall() {
	s.mu.Lock()
	s.ledger.giveLocked(heldHandlers, 1)
	s.mu.Unlock()
}
