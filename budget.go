package spdy

import (
	"errors"
	"fmt"
	"time"
)

// A Budget is one of the limits of a Config on what a peer can make a session do for
// nothing. It never ends a session whose peer uses SPDY, in however odd a way: what is
// of use costs nothing, and what is not comes back with time.
type Budget uint8

// The budgets of a session.
const (
	// BudgetResets is for streams that the peer gives up, or makes us reset or refuse:
	// Config.ResetBurst and ResetRate.
	BudgetResets Budget = iota + 1
	// BudgetIdleFrames is for frames that bring nothing: Config.IdleFrameBurst and
	// IdleFrameRate.
	BudgetIdleFrames
	// BudgetReplies is for replies that the peer does not read: Config.MaxOwedReplies.
	BudgetReplies
)

var budgetNames = [...]string{
	BudgetResets:     "ResetBurst",
	BudgetIdleFrames: "IdleFrameBurst",
	BudgetReplies:    "MaxOwedReplies",
}

// String returns the name of the field of Config that is the limit.
func (b Budget) String() string {
	if int(b) < len(budgetNames) && budgetNames[b] != "" {
		return budgetNames[b]
	}
	return fmt.Sprintf("Budget(%d)", uint8(b))
}

// ErrFlood is what errors of sessions match that ended because the peer used up a
// Budget. Such an error is a *SessionError of this side's, with GoAwayProtocolError,
// which wraps a *FloodError. In SPDY/2, whose GOAWAY has no status, the peer learns only
// that the session has ended.
var ErrFlood = errors.New("spdy: the peer floods the session")

// A FloodError says which Budget a peer has used up. It matches ErrFlood.
type FloodError struct {
	Budget Budget // which one
	Limit  int    // the value of the field of Config that Budget names
}

// Error names the budget.
func (e *FloodError) Error() string {
	return fmt.Sprintf("spdy: %v of %d used up", e.Budget, e.Limit)
}

// Is reports that target is ErrFlood.
func (e *FloodError) Is(target error) bool { return target == ErrFlood }

// flood is why a session ends whose peer has used up a budget.
func (s *Session) flood(b Budget) *SessionError {
	e := &SessionError{Status: GoAwayProtocolError}
	limit := s.conf.ResetBurst
	switch b {
	case BudgetResets:
		e.Reason = "the peer gives up streams, or has them reset, too fast"
	case BudgetIdleFrames:
		limit, e.Reason = s.conf.IdleFrameBurst, "the peer sends too many frames that bring nothing"
	case BudgetReplies:
		limit, e.Reason = s.conf.MaxOwedReplies, "the peer does not read our replies to its frames"
	}
	e.Err = &FloodError{Budget: b, Limit: limit}
	return e
}

// A bucket holds what may still be spent: at most burst at once, and rate per second. It
// looks at the clock only when it is empty, so that to spend costs a subtraction.
type bucket struct {
	left  int64
	since time.Time // up to when the time has been turned into something to spend
}

func newBucket(burst int, now time.Time) bucket { return bucket{left: int64(burst), since: now} }

// take spends n and reports whether it was there, or has been earned by now: by time,
// and otherwise by as much as earned returns, which may be nil.
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

// chargeResetLocked spends one of the resets: a stream that the peer has opened and
// gives up before it is answered, or one that we reset, or refuse, because of what the
// peer did. To open streams and to throw them away is the cheapest way to have somebody
// work (CVE-2023-44487), and to have them thrown away is another (CVE-2025-8671).
func (s *Session) chargeResetLocked() {
	s.charged++
	if !s.resetBucket.take(1, s.conf.ResetBurst, s.conf.ResetRate, nil) {
		s.resetFlood = true
	}
}

// unansweredLocked reports that the peer has opened the stream and none of our answer is
// on its way. To give up an answer that has begun is what clients do all the time, and
// costs them a round trip and a slot, for as long as the handler runs.
func (st *Stream) unansweredLocked() bool {
	return !st.state.ours && (!st.state.replied || st.state.oneWay || st.headerJobs > 0)
}

// chargeReset is chargeResetLocked for callers who look at floodedLocked afterwards.
func (s *Session) chargeReset() {
	s.mu.Lock()
	s.chargeResetLocked()
	s.mu.Unlock()
}

// owingReply is what a WINDOW_UPDATE or RST_STREAM that waits takes.
const owingReply = frameHeaderSize + 8

// floodedLocked is why a session has to end whose peer makes us reset streams, or owe
// replies that it does not read; nil as a rule. Every open stream may have a grant
// waiting besides.
func (s *Session) floodedLocked() error {
	switch {
	case s.resetFlood:
		return s.flood(BudgetResets)
	case s.controlOwed > s.conf.MaxOwedReplies+owingReply*len(s.streams): // SPEC P5, F14
		return s.flood(BudgetReplies)
	}
	return nil
}

// An idleBudget counts frames that bring nothing. It belongs to the receiver.
type idleBudget struct {
	bucket
	empty  uint64 // DATA frames that brought nothing
	earned uint64 // what progress has been turned into something to spend
}

const (
	// strayFrame is the length below which DATA that nobody can get brings nothing.
	strayFrame = 64
	// idleInflate is how many bytes of a header block that nobody gets cost as much as a
	// frame: about what one costs in time.
	idleInflate = 4 << 10
	// idleStreams is how many streams to look at cost as much as a frame.
	idleStreams = 16
	// dribble is the size below which DATA that the peer's window has cut brings nothing.
	dribble = 256
)

// idle counts a frame that brings nothing, or as much as n of them. It returns why the
// session has to end, or nil. Receiver only.
func (s *Session) idle(n int) error {
	s.idled.Add(uint64(n))
	b := &s.idleFrames
	if b.left -= int64(n); b.left >= 0 {
		return nil
	}
	if b.take(0, s.conf.IdleFrameBurst, s.conf.IdleFrameRate, s.progress) {
		return nil
	}
	return s.flood(BudgetIdleFrames)
}

// idleOverStreams is idle for a frame that has us look at every stream.
func (s *Session) idleOverStreams() error {
	s.mu.Lock()
	n := len(s.streams)
	s.mu.Unlock()
	return s.idle(1 + n/idleStreams)
}

// idleBlock is idle for a frame whose header block nobody gets. It had to be inflated
// all the same (SPEC H1).
func (s *Session) idleBlock() error { return s.idle(1 + s.inflate.size/idleInflate) }

// idleData is idle for a DATA frame of n bytes that nobody gets, or that has none. Those
// of some size are on their way to every stream that is reset.
func (s *Session) idleData(n int) error {
	s.idleFrames.empty++
	if n >= strayFrame {
		return nil
	}
	return s.idle(1)
}

// progress is what has happened since it was last asked, in idle frames: each frame of
// DATA that is not empty and each stream allows for the few frames that come with it,
// and so do the bytes that we send, because the peer returns credit for them, in steps
// as small as it likes. What the peer's window cuts into crumbs allows for nothing.
func (s *Session) progress() int64 {
	s.mu.Lock()
	c := &s.stats
	sum := c.dataFrames - s.idleFrames.empty +
		2*uint64(c.accepted) + 2*uint64(c.opened) +
		2*(c.sent[FrameData]-s.dribbled) + uint64(c.dataSent)/64
	s.mu.Unlock()
	gain := sum - s.idleFrames.earned
	s.idleFrames.earned = sum
	return int64(min(gain, 1<<31-1))
}
