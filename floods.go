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

	// Guarded by Session.mu.
	resets   bucket // resets that the peer may still cause
	charged  uint64 // total charged to resets
	flooded  bool   // resets is exhausted
	replies  int    // bytes in Session.control that the peer made us queue
	dribbled uint64 // DATA frames sent that the peer's window cut below dribble bytes
}

// An idleBudget counts frames that carry nothing.
type idleBudget struct {
	bucket
	empty  uint64 // DATA frames without a use
	earned uint64 // progress that the bucket has been refilled for
}

const (
	// strayFrame is the length below which DATA that no stream receives is charged.
	strayFrame = 64
	// idleInflate is the number of inflated bytes of a header block without a stream that
	// cost as much as a frame: about equal in time.
	idleInflate = 4 << 10
	// idleStreams is the number of streams to visit that cost as much as a frame.
	idleStreams = 16
	// dribble is the size below which DATA that the peer's window cuts is no progress.
	dribble = 256
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

// chargeResetLocked charges one reset: a stream that the peer opened and cancels before
// the response, or one that we reset or refuse because of its error. Opening a stream and
// resetting it costs a peer 20 bytes and costs us a handler (CVE-2023-44487); so does
// provoking us to reset it (CVE-2025-8671).
func (f *floods) chargeResetLocked() {
	f.charged++
	if !f.resets.take(1, f.conf.ResetBurst, f.conf.ResetRate, nil) {
		f.flooded = true
	}
}

// chargeReset is chargeResetLocked for callers that check floodedLocked afterwards.
func (s *Session) chargeReset() {
	s.mu.Lock()
	s.floods.chargeResetLocked()
	s.mu.Unlock()
}

// unansweredLocked reports that the peer opened the stream and that no part of our
// response has left. Cancelling a response that has begun is ordinary, and costs a client
// a round trip and a slot while the handler runs.
func (st *Stream) unansweredLocked() bool {
	return !st.state.ours && (!st.state.replied || st.state.oneWay || st.headerJobs > 0)
}

// oweLocked charges control frames that the peer made us queue from offset before on.
func (s *Session) oweLocked(before int) { s.floods.replies += len(s.control) - before }

// floodedLocked is the error that ends a session whose peer causes too many resets, or
// does not read the replies to its frames; nil as a rule. Every open stream may have a
// WINDOW_UPDATE waiting besides.
func (s *Session) floodedLocked() error {
	switch f := &s.floods; {
	case f.flooded:
		return f.exhausted(BudgetResets)
	case f.replies > f.conf.MaxOwedReplies+owingReply*len(s.streams): // SPEC P5, F14
		return f.exhausted(BudgetReplies)
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
	if f.idle.take(0, f.conf.IdleFrameBurst, f.conf.IdleFrameRate, s.progress) {
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

// idleBlock charges a frame whose header block no stream receives. The block had to be
// inflated all the same (SPEC H1).
func (s *Session) idleBlock() error { return s.idle(1 + s.inflate.size/idleInflate) }

// idleData charges a DATA frame of n bytes that no stream receives, or that is empty.
// Larger ones are on their way to every stream that is reset.
func (s *Session) idleData(n int) error {
	s.floods.idle.empty++
	if n >= strayFrame {
		return nil
	}
	return s.idle(1)
}

// progress is the progress since the last call, in idle frames: each DATA frame with a
// use and each stream allows for the few frames that accompany it, and so do the bytes
// that we send, because the peer grants credit for them in steps as small as it likes.
// DATA that the peer's window cuts small allows for nothing.
func (s *Session) progress() int64 {
	idle := &s.floods.idle
	s.mu.Lock()
	c := &s.stats
	sum := c.dataFrames - idle.empty +
		2*uint64(c.accepted) + 2*uint64(c.opened) +
		2*(c.sent[FrameData]-s.floods.dribbled) + uint64(c.dataSent)/64
	s.mu.Unlock()
	gain := sum - idle.earned
	idle.earned = sum
	return int64(min(gain, 1<<31-1))
}

// A bucket holds the rest of a budget: at most burst at once, and rate per second. It
// reads the clock only when it is empty, so that a charge costs a subtraction.
type bucket struct {
	left  int64
	since time.Time // the time up to which the bucket has been refilled
}

func newBucket(burst int, now time.Time) bucket { return bucket{left: int64(burst), since: now} }

// take charges n and reports whether the bucket had as much, refilled for the time that
// has passed and by the result of earned, which may be nil.
func (b *bucket) take(n int64, burst, rate int, earned func() int64) bool {
	b.left -= n
	if b.left >= 0 {
		return true
	}
	now := time.Now()
	passed := now.Sub(b.since)
	full := time.Duration(float64(burst+1) / float64(rate) * float64(time.Second))
	gain := int64(burst)
	if passed < full {
		gain = int64(passed.Seconds() * float64(rate))
		now = b.since.Add(time.Duration(float64(gain) / float64(rate) * float64(time.Second)))
	}
	b.since = now
	if earned != nil {
		gain += earned()
	}
	b.left = min(b.left+gain, int64(burst))
	return b.left >= 0
}
