package spdy

import (
	"math"
	"time"
)

// A readPace measures how fast the application reads a stream, compared to the peer's sending, and
// how long received bytes have waited unread. Guarded by northbound.mu. Times are since epoch.
type readPace struct {
	born  time.Duration // immutable
	moved time.Duration // when the application last read, or when the first byte arrived in an empty buffer after that
	read  int64         // bytes read by the application

	// All bytes below offset due had arrived by the time arrived. While some of them are unread,
	// they have waited since arrived.
	due     int64
	arrived time.Duration

	// Only the latest bytes count: between one and two times step.
	step       int64    // a quarter of the session's limit; 0 if there is no limit; immutable
	from, next paceMark // where the counted range begins; where it will begin one step later
}

// A paceMark is the progress of a stream at some point.
type paceMark struct {
	received, read int64
}

// newReadPace returns the counters for a new stream, or nil if streams need none.
func (s *Session) newReadPace() *readPace {
	if s.flow.limit == 0 && s.shed == nil {
		return nil
	}
	now := time.Since(epoch)
	return &readPace{born: now, moved: now, step: s.flow.limit / 4}
}

// watchReads makes the sessions time the reads of their streams while the pool of unread bytes is
// more than a quarter full, because giveUnread compares readers by these times. Otherwise the times
// would only cost memory.
func (p *pools) watchReads() {
	of := &p.of[heldUnread]
	used, since := of.used.Load(), p.watched.Load()
	switch {
	case since == 0 && used > of.limit/4:
		p.watched.CompareAndSwap(0, int64(max(time.Since(epoch), 1)))
	case since != 0 && used < of.limit/8:
		p.watched.CompareAndSwap(since, 0)
	}
}

// watchedSince returns the time at which the session began to time the reads of its streams, or now
// if it does not time them.
func (l *ledger) watchedSince(now time.Duration) time.Duration {
	if l == nil {
		return now
	}
	if since := l.pools.watched.Load(); since != 0 {
		return time.Duration(since)
	}
	return now
}

// watch begins to time the reads of a stream on which bytes move, if the session times reads.
func (st *Stream) watch() {
	if l := st.session.ledger; l != nil && l.pools.watched.Load() != 0 {
		st.in.watch()
	}
}

// watch makes the pace of a stream whose reads have not been timed so far.
func (b *northbound) watch() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pace == nil {
		now := time.Since(epoch)
		b.pace = &readPace{born: now, moved: now, arrived: now, read: b.total - b.heldLocked(), due: b.total}
	}
}

// noteLocked records n received bytes; unread is the new number of unread bytes.
func (p *readPace) noteLocked(unread, n int64) {
	if p == nil {
		return
	}
	if unread == n {
		p.moved = time.Since(epoch)
		p.due, p.arrived = p.read+unread, p.moved
	}
	if p.step == 0 {
		return
	}
	if now := (paceMark{p.read + unread, p.read}); now.received-p.next.received >= p.step {
		p.from, p.next = p.next, now
	}
}

// passLocked records n bytes read by the application; unread is the new number of unread bytes.
func (p *readPace) passLocked(unread, n int64) {
	if p == nil {
		return
	}
	p.read += n
	p.moved = time.Since(epoch)
	if p.read >= p.due {
		p.due, p.arrived = p.read+unread, p.moved
	}
}

// keepsUpLocked reports whether the application has read at least one byte for every part bytes
// received.
func (p *readPace) keepsUpLocked(unread, part int64) bool {
	return part*(p.read-p.from.read) >= p.read+unread-p.from.received
}

// A backlog is the unread data of a stream.
type backlog struct {
	st     *Stream
	unread int64
	waited time.Duration // for which the oldest unread byte has waited at least
}

// freshBytes is added to the waiting time of all bytes, so that among new backlogs the largest
// weighs most.
const freshBytes = 10 * time.Millisecond

// weight returns how much a backlog obstructs other streams: bytes times waiting time. A stream
// read as fast as it arrives has little weight, however often bytes are unread.
func (b backlog) weight() float64 { return float64(b.unread) * (b.waited + freshBytes).Seconds() }

// backlog returns the unread bytes charged to the windows. On a stream without a pace, no byte has
// moved since the session began to time reads.
func (b *northbound) backlog(st *Stream, now time.Duration) (l backlog) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l = backlog{st: st, unread: b.chargedLocked()}
	switch {
	case l.unread == 0:
	case b.pace != nil:
		l.waited = now - b.pace.arrived
	default:
		l.waited = now - st.session.ledger.watchedSince(now)
	}
	return l
}

// keepsUp reports whether the application reads the stream as fast as it arrives. Recent reading is
// compared to the reads of other streams, not to the clock: a suspended process has read nothing.
func (b *northbound) keepsUp(by lineup) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.pace
	if p == nil || !p.keepsUpLocked(b.heldLocked(), by.part) {
		return false
	}
	idle := by.newest - p.moved
	return idle < shedWait || idle < stallPeriod && !by.hurry
}

// neverRead is earlier than any time.
const neverRead = math.MinInt64 / 2

// lastRead returns when the application last read, since epoch, or neverRead.
func (b *northbound) lastRead() (at time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.pace; p != nil && p.read > 0 {
		return p.moved
	}
	return neverRead
}
