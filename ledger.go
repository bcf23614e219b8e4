package spdy

import (
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"time"
)

// This file accounts for everything that a session keeps for its peer. A charge counts for the
// stream, for the session and for the pools of the Server or Transport at once. It is released when
// the library no longer keeps the resource. Most streams fit into the session's current lease and
// touch no state shared between sessions.

// A ledger is a session's account with the pools, nil for a session without pools. Guarded by
// Session.mu, except low.
type ledger struct {
	s     *Session // immutable
	pools *pools   // immutable

	used    [resources]int64   // amounts in use
	lease   [resources]int64   // amounts leased from the pools
	holders [resources]*holder // the session's entries in the pools; nil while the lease has always been small
	looked  time.Time          // when giveWay last searched for resting streams
	bare    [2]time.Time       // when no stream was last found by giveLarge, of heldHeaders, and giveUnread, of heldUnread
	closed  bool               // the session itself acquires nothing any more
	frame   int64              // the part of heldBuffers for an incoming frame; the receiver may read it without mu
	stuck   int64              // the value of frame when giveWay last looked
	history int64              // the part of heldBuffers for inflating; the receiver may read it without mu
	replies int64              // the part of heldBuffers for the buffer of control frames that wait for the sender
	broke   bool               // there was no room for more replies

	kept memoryCount // of the chunks that hold unread bytes

	// low is the value of credit.owed at which enough has been read to shrink the lease of unread
	// bytes.
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

// byLocked returns the asker for more of a resource: a stream that will hold the amount will, or
// the session if will is 0.
func (l *ledger) byLocked(r resource, will int64) asker {
	average := l.lease[r] / int64(max(len(l.s.streams), 1))
	return asker{held: l.lease[r], modest: will > 0 && will <= average/modestPart}
}

// modestPart is the divisor for modest streams: a modest stream holds at most 1/modestPart of the
// average holding of the session's streams. Streams that are all alike are not modest: then the
// session pays.
const modestPart = 4

// admit makes room for a new session. It returns an error if there is no room, even after other
// sessions give way.
func (p *pools) admit() *PoolError {
	p.relieve()
	if of := &p.of[heldBuffers]; of.used.Load() > of.limit-sessionTakes {
		of.refused.Add(1)
		return p.full(heldBuffers)
	}
	return nil
}

// The memory in bytes for a value of a header block besides the text, and for a name with the first
// value: they become strings in an array, and a key and a slice in a map.
const (
	valueOverhead = 32
	nameOverhead  = 96
)

// headerCost returns the memory in bytes for h, the block that the receiver has just read. The
// names in Trailer count as separate header names.
func (s *Session) headerCost(h HeaderBlock) int64 {
	cost := s.inflate.size + nameOverhead*len(h)
	for i := range h {
		cost += valueOverhead * strings.Count(h[i].Value, "\x00")
		if h[i].Name == "trailer" {
			cost += nameOverhead * strings.Count(h[i].Value, ",")
		}
	}
	if !s.isRaw() {
		cost += s.copiedBytes(h)
	}
	return int64(min(cost, math.MaxInt32/2))
}

// copiedBytes returns the number of bytes of h that net/http's form of the block keeps a second
// time. All texts of h are parts of a single string, which lives as long as any of them. The keys of
// an http.Header are new strings, as are several values of Cookie in a single line, a path with
// escapes, and the URL of a push.
func (s *Session) copiedBytes(h HeaderBlock) (n int) {
	for i := range h {
		name, value := h[i].Name, h[i].Value
		n += len(name)
		copied := name == "trailer" || name == "cookie" && strings.Contains(value, "\x00")
		if p, ok := lookupPseudo(s.version, name); ok {
			copied = s.client && p == pseudoHost || p == pseudoPath && (s.client || strings.Contains(value, "%"))
		}
		if copied {
			n += len(value)
		}
	}
	return n
}

// needs returns the lease that a session needs to use the given amount.
func (k *resourceKind) needs(used int64) int64 {
	return max(used-k.free+k.grain-1, 0) / k.grain * k.grain
}

// takeLocked charges the session itself with n more of a resource. It reports false, and charges
// nothing, if the pool refuses.
func (l *ledger) takeLocked(r resource, n int64) bool { return l.takeForLocked(r, n, 0) }

// takeForLocked is takeLocked for a stream that will hold the amount will, or 0 for the session
// itself.
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

// bearLocked is takeLocked for a charge that cannot be refused any more.
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

// giveLocked releases n of a resource.
func (l *ledger) giveLocked(r resource, n int64) {
	if l == nil || n == 0 {
		return
	}
	l.used[r] -= n
	l.returnLocked(r)
}

// returnLocked returns the unneeded part of a lease to the pool. A busy session keeps slackGrains
// of slack.
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
	l.leavesLocked(r, n-l.lease[r])
	l.lease[r] = n
	if !l.closed {
		l.holders[r] = l.pools.of[r].hold(l.s, l.holders[r], n)
	}
}

// leavesLocked counts n more of a resource as leaving if the session has ended: what its handlers
// still hold is free when they return, and not by a reset of other streams. Headers are counted by
// stream.
func (l *ledger) leavesLocked(r resource, n int64) {
	if l.closed && r != heldHeaders {
		l.pools.of[r].leaving.Add(n)
	}
}

// opensLocked charges a new stream of the peer with the header block. If the charge does not fit,
// it returns the reason to refuse the stream.
func (l *ledger) opensLocked(headers int64) *PoolError {
	if l == nil {
		return nil
	}
	if q := l.s.handlers; q != nil && q.running < q.limit && !l.fitsLocked(heldHandlers, 1) {
		return l.pools.full(heldHandlers) // beginsLocked acquires the place
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

// chargeHeadersLocked charges an open stream with the header block that the receiver has just read.
// If the charge does not fit, it returns the reason to reset the stream.
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

// outgrows returns the reason to reset a stream whose header blocks exceed the stream's share of
// the pool, or nil.
func (l *ledger) outgrows(id uint32, cost int64) *StreamError {
	if l == nil || cost <= l.pools.of[heldHeaders].share() {
		return nil
	}
	why := fmt.Sprintf("the headers of the stream take %d bytes, and %d of the pool at most", cost, l.pools.of[heldHeaders].share())
	return &StreamError{StreamID: id, Status: RstFrameTooLarge, Reason: why, Err: causedError{"spdy: " + why, l.pools.full(heldHeaders)}}
}

// returnHeadersLocked releases the header charge of a stream once the library keeps no headers: a
// handler keeps the headers of its request, a client keeps the headers of a push until a request
// claims the push, and a raw session keeps the headers of a stream until the stream is accepted.
func (st *Stream) returnHeadersLocked() {
	switch {
	case st.headerCharge == 0 || !st.ended:
		return
	case st.neededLocked():
		st.leavesHeadersLocked()
		return
	}
	if st.leaving {
		st.session.ledger.pools.of[heldHeaders].leaving.Add(-int64(st.headerCharge))
		st.leaving = false
	}
	st.session.ledger.giveLocked(heldHeaders, int64(st.headerCharge))
	st.headerCharge = 0
}

// leavesHeadersLocked counts the headers of an ended stream as leaving while the handler still
// runs: a reset of other streams would not free them.
func (st *Stream) leavesHeadersLocked() {
	if l := st.session.ledger; l != nil && !st.leaving && st.session.handlers != nil {
		st.leaving = true
		l.pools.of[heldHeaders].leaving.Add(int64(st.headerCharge))
	}
}

// neededLocked reports whether the library keeps the headers of an ended stream.
func (st *Stream) neededLocked() bool {
	switch {
	case st.state.ours:
		return false
	case !st.released:
		return true
	case st.raw != nil:
		return st.raw.opening > 0 && !st.session.ledger.ended()
	}
	return st.session.client && !st.claimed
}

// keepsLocked charges n more bytes of header blocks that wait for the program of a raw session, for
// a stream that will hold the amount will. A negative n releases bytes. It reports false if the
// charge does not fit. Blocks that wait after the end of the session belong to the program.
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

// settleClaim records that a request has claimed a push, or that no request will.
func (st *Stream) settleClaim() {
	s := st.session
	s.mu.Lock()
	st.claimed = true
	st.returnHeadersLocked()
	s.mu.Unlock()
}

// A memoryCount counts the memory of the chunks that hold a session's unread bytes.
type memoryCount struct{ n atomic.Int64 }

// add counts n more bytes. m may be nil.
func (m *memoryCount) add(n int) {
	if m != nil {
		m.n.Add(int64(n))
	}
}

// chunks returns the counter of the memory of chunks, nil for a session without pools.
func (l *ledger) chunks() *memoryCount {
	if l == nil {
		return nil
	}
	return &l.kept
}

// chargeUnreadLocked charges the session's unread bytes, as counted by the flow-control manager, or
// the memory of the chunks that hold them, if that is more. It reports false if the charge does not
// fit. Reads are accounted for only when few unread bytes are left, see credit.
func (l *ledger) chargeUnreadLocked() (fits bool) {
	if l == nil {
		return true
	}
	fits = true
	for {
		c := &l.s.flow
		came := c.in.size - c.in.avail
		owed := c.owed.Load() // before kept: a reader frees a chunk first and then owes the bytes
		now := max(came-owed, 0)
		kept := l.kept.n.Load()
		waste := kept > now
		now = max(now, kept)
		if l.closed && (l.s.client || l.s.isRaw()) { // the program owns the rest, see closeLocked
			now = 0
		}
		l.used[heldUnread] = now // even without room: streams are reset then
		if more := resourceKinds[heldUnread].needs(now) - l.lease[heldUnread]; more > 0 {
			fits = l.pools.of[heldUnread].take(l.pools, l.byLocked(heldUnread, 0), more)
			if fits {
				l.setLeaseLocked(heldUnread, l.lease[heldUnread]+more)
			}
			l.pools.watchReads()
		}
		l.returnLocked(heldUnread)
		if l.lease[heldUnread] == 0 {
			l.low.Store(math.MaxInt64)
			return fits
		}
		low := came - max(l.lease[heldUnread]-2*slackGrains*resourceKinds[heldUnread].grain, 0)
		if waste { // any read may free a chunk
			low = max(low, owed+1)
		}
		l.low.Store(low)
		if c.owed.Load() < low {
			return fits
		}
	}
}

// boundsUnread reports whether the pool of unread bytes has a limit.
func (l *ledger) boundsUnread() bool {
	return l != nil && l.pools.of[heldUnread].limit < math.MaxInt64
}

// isLow reports whether the lease of unread bytes should shrink when the given credit is owed.
func (l *ledger) isLow(owed int64) bool { return l != nil && owed >= l.low.Load() }

// closeLocked releases the charges of the session itself after its goroutines have ended. The
// owners of the streams release the rest, except unread responses: a program that abandons a
// response without closing it would occupy a part of the Transport's pool forever.
func (l *ledger) closeLocked() {
	if l == nil || l.closed {
		return
	}
	l.closed = true
	for r := range l.holders {
		l.pools.of[r].forget(l.holders[r])
		l.leavesLocked(resource(r), l.lease[r])
	}
	l.giveLocked(heldBuffers, sessionTakes+l.history+l.replies)
	l.history, l.replies = 0, 0
	l.forgetUnacceptedLocked()
	l.chargeUnreadLocked()
}

// forgetUnacceptedLocked releases the charges of raw streams that have not been accepted before the
// end of the session: their header blocks belong to the program.
func (l *ledger) forgetUnacceptedLocked() {
	if k := l.s.rawKept; k != nil {
		l.giveLocked(heldHeaders, k.bytes-k.opening)
	}
	if q, ok := l.s.app.(*acceptQueue); ok {
		for _, r := range q.streams {
			r.st.returnHeadersLocked()
		}
	}
}

// ended reports whether closeLocked has been called.
func (l *ledger) ended() bool { return l != nil && l.closed }

// lend charges n bytes of a buffer that a session uses briefly, or releases them if n is negative.
// Called without locks.
func (l *ledger) lend(n int64) {
	if l != nil {
		l.pools.of[heldBuffers].used.Add(n)
	}
}

// borrows charges n bytes of a buffer that speeds a session up. It reports false, and charges
// nothing, if the pool is nearly full: the session then uses a small buffer. Called without locks.
func (l *ledger) borrows(n int64) bool {
	if l == nil {
		return true
	}
	p := &l.pools.of[heldBuffers]
	if p.used.Load() > p.crowdedAt()-n {
		return false
	}
	p.used.Add(n)
	return true
}

// borrowBatch returns a batch for size bytes: a small one if the pool is nearly full, because a peer
// that does not read makes the sender hold the batch.
func (l *ledger) borrowBatch() (batch *[]byte, size int) {
	if l.borrows(batchSize) {
		return getBatch(), batchSize
	}
	l.lend(smallBatch + wholeFrame)
	b := make([]byte, 0, smallBatch+wholeFrame)
	return &b, smallBatch
}

// returnBatch returns a batch for size bytes.
func (l *ledger) returnBatch(batch *[]byte, size int) {
	putBatch(batch)
	if size == smallBatch {
		size += wholeFrame
	}
	l.lend(-int64(size))
}

// chargeCopy charges the stream with a buffer of n bytes that copies to the stream, and returns the
// buffer's size. If more than a quarter of the pool is used, or another call copies to the stream, the
// buffer is a small one.
func (st *Stream) chargeCopy(n int) int {
	s, l := st.session, st.session.ledger
	if l == nil {
		return n
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &l.pools.of[heldBuffers]
	if st.copies > 0 || p.used.Load() > p.limit/4 || !l.takeLocked(heldBuffers, int64(n)) {
		n = answerBuffer
		l.bearLocked(heldBuffers, int64(n))
	}
	st.copies += int32(n)
	return n
}

// returnCopy releases the charge of a buffer of n bytes that copied to the stream.
func (st *Stream) returnCopy(n int) {
	s, l := st.session, st.session.ledger
	if l == nil {
		return
	}
	s.mu.Lock()
	st.copies -= int32(n)
	l.giveLocked(heldBuffers, int64(n))
	s.mu.Unlock()
}

// takeFrame charges the n bytes of an incoming frame of whole bytes that the session holds so far.
// It returns the error that ends the session if there is no room. A frame that would fit the read
// buffer never ends the session. Receiver only.
func (l *ledger) takeFrame(n, whole int) error {
	if l == nil || int64(n) <= l.frame {
		return nil
	}
	l.pools.relieve()
	l.s.mu.Lock()
	defer l.s.mu.Unlock()
	switch more := int64(n) - l.frame; {
	case whole <= readBufferSize:
		l.bearLocked(heldBuffers, more)
	case !l.takeLocked(heldBuffers, more):
		return l.noRoom()
	}
	l.frame = int64(n)
	return nil
}

// takeHistory charges the memory for inflating, which is n bytes so far. It returns the error that
// ends the session if there is no room, because no later block could be read. Receiver only.
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
// occupies n bytes so far.
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

// noRoom returns the error of a session without room for indispensable memory.
func (l *ledger) noRoom() *SessionError {
	return &SessionError{Status: GoAwayInternalError, Reason: "no room for what the session has to keep", Err: l.pools.full(heldBuffers)}
}

// giveFrame releases the charge of a processed frame. Receiver only.
func (l *ledger) giveFrame() {
	if l == nil || l.frame == 0 {
		return
	}
	l.s.mu.Lock()
	l.giveLocked(heldBuffers, l.frame)
	l.frame = 0
	l.s.mu.Unlock()
}

// closeLedger is closeLocked for callers without mu.
func (s *Session) closeLedger() {
	s.mu.Lock()
	s.ledger.closeLocked()
	s.mu.Unlock()
}

// takesCall acquires a place for a call of Config.AcceptPush, which counts as a handler.
func (s *Session) takesCall() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ledger.takeLocked(heldHandlers, 1)
}

// endsCall releases the place.
func (s *Session) endsCall() {
	s.mu.Lock()
	s.ledger.giveLocked(heldHandlers, 1)
	s.mu.Unlock()
}
