package spdy

import "sync/atomic"

// A turn orders goroutines that write the same data. The holder of the turn writes, and the other
// goroutines wait.
type turn struct {
	state atomic.Int32  // turnTaken if the turn is held, plus turnQueued for each waiting goroutine
	fate  atomic.Int32  // the fate of the data, see exchange; 0 for a Stream
	bell  chan struct{} // doorbell for waiting goroutines; made by the first of them under Session.mu
}

// The parts of turn.state.
const (
	turnTaken  = 1
	turnQueued = 2
)

// try acquires the turn if it is free.
func (t *turn) try() bool {
	for {
		state := t.state.Load()
		if state&turnTaken != 0 {
			return false
		}
		if t.state.CompareAndSwap(state, state|turnTaken) {
			return true
		}
	}
}

// take acquires the turn, and blocks until it is free: the holder obeys the deadline and the end of
// the stream.
func (t *turn) take(s *Session) {
	if t.try() {
		return
	}
	bell := t.queueUp(s)
	defer t.leaveQueue()
	look := func() chan struct{} {
		if t.try() {
			return nil
		}
		return bell
	}
	var w wait
	w.until(look(), look)
}

// queueUp returns a bell. Until leaveQueue is called, pass rings the bell.
func (t *turn) queueUp(s *Session) (bell chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.bell == nil {
		t.bell = make(chan struct{}, 1)
	}
	t.state.Add(turnQueued)
	return t.bell
}

// leaveQueue is called by a goroutine that has acquired the turn or stopped waiting.
func (t *turn) leaveQueue() { t.state.Add(-turnQueued) }

// pass releases the turn and wakes the next goroutine.
func (t *turn) pass(s *Session) {
	if t.state.Add(-turnTaken) == 0 {
		return
	}
	s.mu.Lock()
	bell := t.bell
	s.mu.Unlock()
	ringBell(bell)
}
