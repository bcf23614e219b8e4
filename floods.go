package spdy

import (
	"sync/atomic"
	"time"
)

// floods holds every budget of a session: how much a peer may still make it do that is
// of no use. A peer that exhausts a budget ends its session, see Budget.
type floods struct {
	conf *Config // its limits; immutable

	idle  idleBudget    // frames that carry nothing; receiver only
	idled atomic.Uint64 // total charged to idle
	late  atomic.Int64  // frames that peers may still send for streams that we have reset; only the receiver subtracts
	pings pingRate      // receiver only

	// Guarded by Session.mu.
	resets   bucket // violations that the peer may still commit
	charged  uint64 // total of violations and of cancelled streams
	flooded  bool   // the peer went on after resets was exhausted
	closed   uint32 // streams that had been opened and closed when idle was last refilled
	wasted   int    // handlers that run for streams which the peer has cancelled or spoilt
	replies  int    // bytes in Session.control that the peer made us queue
	echoes   int    // PINGs of ours whose echo has not been received
	dribbled uint64 // DATA frames sent that the peer's window cut below dribble bytes
}

// A pingRate counts the PINGs that one read of the connection has returned.
type pingRate struct {
	read  int64 // value of reader.total after that read
	count uint32
	cheap uint32 // PINGs and empty DATA frames that idleCheap has counted, whatever the read
}

// An idleBudget counts frames that carry nothing.
type idleBudget struct {
	bucket
	empty  uint64 // DATA frames without bytes
	earned uint64 // progress that the bucket has been refilled for
}

const (
	// cheapFrames is the number of empty DATA frames and PINGs that cost as much as one frame where
	// the peer may be of a library without budgets, see FlowControlPeerUnaware: its programs
	// send as many as they like. Each of them costs the peer about as much as us, and waits for
	// nothing; how many replies wait is bounded beside that.
	cheapFrames = 1 << 10
	// idleInflate is the number of inflated bytes of a header block without a stream that
	// cost as much as a frame: about equal in time.
	idleInflate = 4 << 10
	// idleRatio is the number of inflated bytes that a compressed byte may become free of
	// charge: inflating them costs us no more than sending them costs the peer.
	idleRatio = 16
	// idleStreams is the number of streams to visit that cost as much as a frame.
	idleStreams = 16
	// dribble is the size below which DATA that the peer's window cuts is no progress.
	dribble = 256
	// pingsAtOnce is the number of PINGs that are free of charge in one read of the
	// connection. A peer that sends the next PING when it has received an echo stays below
	// it, however fast the connection is: each PING costs both ends about the same.
	pingsAtOnce = 16
	// leastIdleBurst is the least value of Config.IdleFrameBurst. An honest peer begins with
	// SETTINGS and a WINDOW_UPDATE for the session, and announces its settings once more.
	leastIdleBurst = 16
	// idleByStream is the number of frames that a stream may save of what its progress has
	// earned, whatever IdleFrameBurst is: WINDOW_UPDATEs for all that we have sent may come
	// together, one for each of our frames.
	idleByStream = 32
	// owingReply is the size of a WINDOW_UPDATE or RST_STREAM that waits for the sender.
	owingReply = frameHeaderSize + 8
)

func (f *floods) init(conf *Config, now time.Time) {
	f.conf = conf
	f.resets = newBucket(conf.ResetBurst, now)
	f.idle.bucket = newBucket(conf.IdleFrameBurst, now)
}

// exhausted is the error of a session whose peer has exhausted a budget.
func (f *floods) exhausted(b Budget) *SessionError {
	e := &SessionError{Status: GoAwayProtocolError}
	limit := f.conf.ResetBurst
	switch b {
	case BudgetResets:
		e.Reason = "the peer gives up streams, or has them reset, too fast"
	case BudgetIdleFrames:
		limit, e.Reason = f.conf.IdleFrameBurst, "the peer sends too many frames that bring nothing"
	case BudgetReplies:
		limit, e.Reason = f.conf.MaxOwedReplies, "the peer does not read our replies to its frames"
	}
	e.Err = &FloodError{Budget: b, Limit: limit}
	return e
}

// violationLocked charges a stream that we reset or refuse because the peer broke a rule
// that no honest implementation breaks. Provoking a reset costs a peer 20 bytes and costs
// us a handler (CVE-2025-8671). While the budget is exhausted new streams are refused; the
// session ends when the peer breaks as many rules again.
func (f *floods) violationLocked() {
	f.charged++
	if !f.resets.take(1, f.conf.ResetBurst, f.conf.ResetRate, 0) {
		f.flooded = f.flooded || f.resets.left < -int64(f.conf.ResetBurst)
	}
}

// violation is violationLocked for callers that check floodedLocked afterwards.
func (s *Session) violation() {
	s.mu.Lock()
	s.floods.violationLocked()
	s.mu.Unlock()
}

// overLocked reports that the budget of resets is exhausted.
func (f *floods) overLocked() bool {
	return f.resets.left < 0 && !f.resets.take(0, f.conf.ResetBurst, f.conf.ResetRate, 0)
}

// chargeCancelLocked charges a stream that the peer opened and cancels before the response
// has begun, for as long as its handler runs: opening a stream and resetting it costs a
// peer 40 bytes and costs us a handler (CVE-2023-44487). A peer that cancels no faster than
// handlers return is never over its budget. Cancelling a response that has begun is
// ordinary, and a stream that waits for its handler has cost none.
func (s *Session) chargeCancelLocked(st *Stream) {
	if s.wasteLocked(st) {
		s.floods.charged++
	}
}

// wasteLocked counts the handler of a stream of the peer that ends before its response has
// begun. It reports false if there is none.
func (s *Session) wasteLocked(st *Stream) bool {
	if st.state.ours || st.released || st.wasted || st.waits != nil || st.state.replied && st.headerJobs == 0 {
		return false
	}
	st.wasted = true
	s.floods.wasted++
	return true
}

// cleanedUpLocked forgets what wasteLocked has counted: the handler has returned.
func (f *floods) cleanedUpLocked(st *Stream) {
	if st.wasted {
		st.wasted = false
		f.wasted--
	}
}

// expect notes that we have reset or refused a stream. Before the peer knows, it may send
// a reply or trailers, FIN, a RST_STREAM of its own for that stream and a PING behind that,
// which are not charged. DATA never is.
func (f *floods) expect() { f.late.Add(4) }

// expected reports whether a PING, or a frame for a stream that is not open, may belong to
// a stream that we have reset or refused, and counts it. Receiver only.
func (f *floods) expected() bool {
	if f.late.Load() == 0 {
		return false
	}
	f.late.Add(-1)
	return true
}

// echoLocked takes the echo of a PING, and reports whether we have asked for one.
func (f *floods) echoLocked() (asked bool) {
	if asked = f.echoes > 0; asked {
		f.echoes--
	}
	return asked
}

// freePing counts a PING of the peer and reports whether it is free of charge. read is the
// number of bytes that the session has read. Receiver only.
func (f *floods) freePing(read int64) bool {
	if read != f.pings.read {
		f.pings.read, f.pings.count = read, 0
	}
	f.pings.count++
	return f.pings.count <= pingsAtOnce
}

// oweLocked charges control frames that the peer made us queue from offset before on.
func (s *Session) oweLocked(before int) {
	s.floods.replies += len(s.control) - before
	s.ledger.chargeRepliesLocked(cap(s.control))
}

// floodedLocked is the error that ends a session whose peer causes too many resets, or
// does not read the replies to its frames; nil as a rule. Every open stream may have a
// WINDOW_UPDATE waiting besides.
func (s *Session) floodedLocked() error {
	switch f := &s.floods; {
	case f.flooded:
		return f.exhausted(BudgetResets)
	case f.replies > f.conf.MaxOwedReplies+owingReply*len(s.streams): // SPEC P5, F14
		return f.exhausted(BudgetReplies)
	case s.ledger != nil && s.ledger.broke:
		return s.ledger.noRoom()
	}
	return nil
}

// idle charges n frames that carry nothing. It returns the error that ends the session,
// or nil. Receiver only.
func (s *Session) idle(n int) error {
	f := &s.floods
	f.idled.Add(uint64(n))
	if f.idle.left -= int64(n); f.idle.left >= 0 {
		return nil
	}
	gain, saved := s.progress()
	if f.idle.take(0, max(f.conf.IdleFrameBurst, saved), f.conf.IdleFrameRate, gain) {
		return nil
	}
	return f.exhausted(BudgetIdleFrames)
}

// idleOverStreams charges a frame that makes us visit every stream.
func (s *Session) idleOverStreams() error {
	s.mu.Lock()
	n := len(s.streams)
	s.mu.Unlock()
	return s.idle(1 + n/idleStreams)
}

// idleBlock charges a frame whose header block, of n compressed bytes, no stream receives.
// The block had to be inflated all the same (SPEC H1).
func (s *Session) idleBlock(n int) error {
	return s.idle(1 + s.inflateCost(n))
}

// inflateCost is what the block that the receiver has just read, of n compressed bytes, has
// cost us in frames beyond what it has cost the peer.
func (s *Session) inflateCost(n int) int { return max(0, s.inflate.size-idleRatio*n) / idleInflate }

// idleEmpty charges an empty DATA frame.
func (s *Session) idleEmpty() error {
	s.floods.idle.empty++
	return s.idleCheap()
}

// idleCheap charges a frame that takes next to no time: an empty DATA frame or a PING.
func (s *Session) idleCheap() error {
	if s.unaware == nil {
		return s.idle(1)
	}
	if s.floods.pings.cheap++; s.floods.pings.cheap%cheapFrames != 0 {
		return nil
	}
	return s.idle(1)
}

// progress is the progress since the last call, in idle frames: each DATA frame with a
// use and each stream allows for the few frames that accompany it, and so do the bytes
// that we send, because the peer grants credit for them in steps as small as it likes.
// DATA that the peer's window cuts small allows for nothing. The streams that have been open
// since then may save so much of that.
func (s *Session) progress() (gain int64, saved int) {
	idle := &s.floods.idle
	s.mu.Lock()
	c := &s.stats
	opened := c.accepted + c.opened
	sum := c.dataFrames - idle.empty + 2*uint64(opened) +
		2*(c.sent[FrameData]-s.floods.dribbled) + uint64(c.dataSent)/64
	most := min(max(s.conf.MaxConcurrentStreams, defaultMaxStreams), maxWindow/idleByStream)
	streams := min(int64(opened-s.floods.closed), int64(most))
	s.floods.closed = opened - uint32(len(s.streams))
	s.mu.Unlock()
	gain = int64(min(sum-idle.earned, 1<<31-1))
	idle.earned = sum
	return gain, idleByStream * int(streams)
}

// A bucket holds the rest of a budget: at most burst at once, and rate per second. It
// reads the clock only when it is empty, so that a charge costs a subtraction.
type bucket struct {
	left  int64
	since time.Time // the time up to which the bucket has been refilled
}

func newBucket(burst int, now time.Time) bucket { return bucket{left: int64(burst), since: now} }

// take charges n and reports whether the bucket had as much, refilled for the time that
// has passed and by what was earned.
func (b *bucket) take(n int64, burst, rate int, earned int64) bool {
	b.left -= n
	if b.left >= 0 {
		return true
	}
	now := time.Now()
	passed := now.Sub(b.since)
	full := time.Duration((float64(burst) + 1) / float64(rate) * float64(time.Second))
	gain := int64(burst)
	if passed < full {
		gain = int64(passed.Seconds() * float64(rate))
		now = b.since.Add(time.Duration(float64(gain) / float64(rate) * float64(time.Second)))
	}
	b.since = now
	b.left = min(b.left+gain+earned, int64(burst))
	return b.left >= 0
}
