package spdy

import (
	"sync/atomic"
	"time"
)

// floods holds every budget of a session: the amount of useless work that the peer may still cause.
// A peer that exhausts a budget ends the session, see Budget.
type floods struct {
	conf *Config // limits of the budgets; immutable

	idle  idleBudget    // frames without content; receiver only
	idled atomic.Uint64 // total charged to idle
	late  atomic.Int64  // frames that peers may still send for streams that we have reset; only the receiver subtracts
	pings pingRate      // receiver only

	// Guarded by Session.mu.
	resets   bucket // violations that the peer may still commit
	charged  uint64 // total of violations and of cancelled streams
	flooded  bool   // the peer continued after resets was exhausted
	closed   uint32 // streams that had been opened and closed at the last refill of idle
	wasted   int    // running handlers whose stream the peer has cancelled or broken
	replies  int    // bytes in Session.control caused by the peer
	echoes   int    // our PINGs without a received echo
	dribbled uint64 // DATA frames sent that the peer's window cut below dribble bytes
}

// A pingRate counts the PINGs in one read of the connection.
type pingRate struct {
	read  int64 // value of reader.total after that read
	count uint32
	cheap uint32 // PINGs and empty DATA frames counted by idleCheap, in all reads
}

// An idleBudget counts frames without content.
type idleBudget struct {
	bucket
	empty  uint64 // DATA frames without bytes
	earned uint64 // progress already credited to the bucket
}

const (
	// cheapFrames is the number of empty DATA frames and PINGs that cost as much as one frame if
	// the peer's library may have no budgets, see FlowControlPeerUnaware: programs of such a
	// library send any number of these frames. Each frame costs the peer about as much as us, and
	// blocks nothing; the number of queued replies has a limit of its own.
	cheapFrames = 1 << 10
	// idleInflate is the number of inflated bytes, in a header block without a stream, that cost as
	// much as a frame: both need about equal time.
	idleInflate = 4 << 10
	// idleRatio is the number of inflated bytes per compressed byte that are free of charge:
	// inflating these bytes costs us no more than sending them costs the peer.
	idleRatio = 16
	// idleStreams is the number of streams to visit that cost as much as a frame.
	idleStreams = 16
	// dribble is the size below which DATA that the peer's window cuts is no progress.
	dribble = 256
	// pingsAtOnce is the number of PINGs in one read of the connection that are free of charge. A
	// peer that sends the next PING after the last echo stays below this number on the fastest
	// connection: each PING costs both ends about the same.
	pingsAtOnce = 16
	// leastIdleBurst is the smallest value of Config.IdleFrameBurst. An honest peer starts with
	// SETTINGS and a WINDOW_UPDATE for the session, and may announce the settings once more.
	leastIdleBurst = 16
	// idleByStream is the number of earned frames that a stream may save, whatever IdleFrameBurst
	// is: WINDOW_UPDATEs for all bytes that we have sent may arrive together, a WINDOW_UPDATE for
	// each of our frames.
	idleByStream = 32
	// owingReply is the size of a queued WINDOW_UPDATE or RST_STREAM.
	owingReply = frameHeaderSize + 8
)

func (f *floods) init(conf *Config, now time.Time) {
	f.conf = conf
	f.resets = newBucket(conf.ResetBurst, now)
	f.idle.bucket = newBucket(conf.IdleFrameBurst, now)
}

// exhausted returns the error of a session whose peer has exhausted budget b.
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

// violationLocked charges a stream that we reset or refuse because of a violation that no honest
// implementation commits. Provoking a reset costs a peer 20 bytes and costs us a handler
// (CVE-2025-8671). While the budget is exhausted, new streams are refused; the session ends when
// the peer commits as many violations again.
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

// overLocked reports whether the budget of resets is exhausted.
func (f *floods) overLocked() bool {
	return f.resets.left < 0 && !f.resets.take(0, f.conf.ResetBurst, f.conf.ResetRate, 0)
}

// chargeCancelLocked charges a stream that the peer opened and cancels before the response has
// started, for as long as the stream's handler runs: opening a stream and resetting it costs a peer
// 40 bytes and costs us a handler (CVE-2023-44487). A peer that cancels no faster than handlers
// return never exceeds the budget. Cancelling a started response is ordinary, and a stream without
// a running handler has cost nothing.
func (s *Session) chargeCancelLocked(st *Stream) {
	if s.wasteLocked(st) {
		s.floods.charged++
	}
}

// wasteLocked counts the handler of a peer's stream that ends before the response has started.
// wasteLocked returns false if no such handler runs.
func (s *Session) wasteLocked(st *Stream) bool {
	if st.state.ours || st.released || st.wasted || st.waits != nil || st.state.replied && st.headerJobs == 0 {
		return false
	}
	st.wasted = true
	s.floods.wasted++
	return true
}

// cleanedUpLocked reverts the count of wasteLocked: the handler has returned.
func (f *floods) cleanedUpLocked(st *Stream) {
	if st.wasted {
		st.wasted = false
		f.wasted--
	}
}

// expect records that we have reset or refused a stream. Until the peer receives the RST_STREAM,
// the peer may send a reply or trailers, a FIN and a RST_STREAM for the stream, and a PING after
// them. These frames are not charged. DATA is never charged.
func (f *floods) expect() { f.late.Add(4) }

// expected reports whether a PING, or a frame for a stream that is not open, may belong to a stream
// that we have reset or refused, and counts the frame. Receiver only.
func (f *floods) expected() bool {
	if f.late.Load() == 0 {
		return false
	}
	f.late.Add(-1)
	return true
}

// echoLocked handles the echo of a PING, and reports whether a PING of ours was unanswered.
func (f *floods) echoLocked() (asked bool) {
	if asked = f.echoes > 0; asked {
		f.echoes--
	}
	return asked
}

// freePing counts a PING of the peer and reports whether the PING is free of charge. read is the
// number of bytes that the session has read. Receiver only.
func (f *floods) freePing(read int64) bool {
	if read != f.pings.read {
		f.pings.read, f.pings.count = read, 0
	}
	f.pings.count++
	return f.pings.count <= pingsAtOnce
}

// oweLocked charges the control frames in Session.control from offset before on, which the peer
// made us queue.
func (s *Session) oweLocked(before int) {
	s.floods.replies += len(s.control) - before
	s.ledger.chargeRepliesLocked(cap(s.control))
}

// floodedLocked returns the error that ends a session whose peer causes too many resets, or does
// not read the replies to the peer's frames; nil as a rule. In addition, every open stream may have
// a queued WINDOW_UPDATE.
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

// idle charges n frames without content. idle returns the error that ends the session, or nil.
// Receiver only.
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

// idleBlock charges a frame whose header block, of n compressed bytes, belongs to no stream. The
// block had to be inflated all the same (SPEC H1).
func (s *Session) idleBlock(n int) error {
	return s.idle(1 + s.inflateCost(n))
}

// inflateCost returns the extra cost of the block that the receiver has just read, of n compressed
// bytes: our cost beyond the peer's cost, in frames.
func (s *Session) inflateCost(n int) int { return max(0, s.inflate.size-idleRatio*n) / idleInflate }

// idleEmpty charges an empty DATA frame.
func (s *Session) idleEmpty() error {
	s.floods.idle.empty++
	return s.idleCheap()
}

// idleCheap charges a frame that needs almost no time: an empty DATA frame or a PING.
func (s *Session) idleCheap() error {
	if s.unaware == nil {
		return s.idle(1)
	}
	if s.floods.pings.cheap++; s.floods.pings.cheap%cheapFrames != 0 {
		return nil
	}
	return s.idle(1)
}

// progress returns the progress since the last call, in idle frames. Each useful DATA frame and
// each stream allows for the few frames that accompany it. Bytes that we send count too, because
// the peer grants credit for these bytes in steps of any size. DATA that the peer's window cuts
// small does not count. saved is the number of frames that may be saved for the streams that were
// open at any time since the last call.
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

// A bucket holds the rest of a budget: at most burst at once, and rate per second. A bucket reads
// the clock only when empty, so a charge costs a subtraction.
type bucket struct {
	left  int64
	since time.Time // the time up to which the bucket has been refilled
}

func newBucket(burst int, now time.Time) bucket { return bucket{left: int64(burst), since: now} }

// take charges n and reports whether the bucket, refilled for the elapsed time and by earned, had
// that much.
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
