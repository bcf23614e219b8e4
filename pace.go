package spdy

import (
	"math"
	"time"
)

// A readPace tells how fast the application reads a stream, compared to the peer, and for how
// long bytes have waited for it. Guarded by northbound.mu. Times are since epoch.
type readPace struct {
	born  time.Duration // immutable
	moved time.Duration // when the application last read, or the first unread byte arrived behind that
	read  int64         // bytes that the application has read

	// Bytes that were received before due have arrived by the time of arrived. As long as some
	// of them are unread they have waited since then.
	due     int64
	arrived time.Duration

	// The latest bytes count, between one and two times step of them.
	step       int64    // a quarter of the session's limit; 0 if there is none; immutable
	from, next paceMark // where they begin; where they will, a step later
}

// A paceMark is how far a stream had come.
type paceMark struct {
	received, read int64
}

// newReadPace returns what a stream has to count, nil if nothing.
func (s *Session) newReadPace() *readPace {
	if s.flow.limit == 0 && s.shed == nil {
		return nil
	}
	now := time.Since(epoch)
	return &readPace{born: now, moved: now, step: s.flow.limit / 4}
}

// noteLocked looks at n bytes that have been received, of unread ones.
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

// passLocked counts n bytes that the application has read, and left others unread.
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

// keepsUpLocked reports whether the application has read one byte while part bytes came.
func (p *readPace) keepsUpLocked(unread, part int64) bool {
	return part*(p.read-p.from.read) >= p.read+unread-p.from.received
}

// A backlog is what a stream has unread.
type backlog struct {
	st     *Stream
	unread int64
	waited time.Duration // for which the oldest unread byte has waited at least
}

// freshBytes is the time for which all bytes count as having waited besides, so that of those
// that have just arrived the most weigh most.
const freshBytes = 10 * time.Millisecond

// weight is how much a backlog is in the way of others: its bytes, times the time they take up
// the room. One that is read as fast as it comes has little, however often bytes are unread.
func (b backlog) weight() float64 { return float64(b.unread) * (b.waited + freshBytes).Seconds() }

// backlog returns what is unread, and counts for the windows.
func (b *northbound) backlog(st *Stream, now time.Duration) (l backlog) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l = backlog{st: st, unread: b.chargedLocked()}
	if l.unread > 0 && b.pace != nil {
		l.waited = now - b.pace.arrived
	}
	return l
}

// keepsUp reports whether the application reads what comes. Lately is compared to the reads of
// other streams, not to the clock: a process that has stood still has read nothing.
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

// neverRead is before every time.
const neverRead = math.MinInt64 / 2

// lastRead is when the application last read, since epoch, or neverRead.
func (b *northbound) lastRead() (at time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p := b.pace; p != nil && p.read > 0 {
		return p.moved
	}
	return neverRead
}
