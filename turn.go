package spdy

import "sync/atomic"

// A turn orders goroutines that write the same thing. Whoever has it writes, and the others wait
// for it.
type turn struct {
	state atomic.Int32  // turnTaken if somebody has it, and turnQueued for each that waits
	fate  atomic.Int32  // what has become of what is written, see exchange; 0 of a Stream
	bell  chan struct{} // doorbell for whoever waits; made under Session.mu by the first who does
}

// What turn.state adds up.
const (
	turnTaken  = 1
	turnQueued = 2
)

// try takes the turn if nobody has it.
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

// take takes the turn, and waits for it however long that takes: whoever has it obeys the deadline
// and the end of the stream.
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

// queueUp makes sure that whoever passes the turn rings the bell that it returns.
func (t *turn) queueUp(s *Session) (bell chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.bell == nil {
		t.bell = make(chan struct{}, 1)
	}
	t.state.Add(turnQueued)
	return t.bell
}

// leaveQueue is for whoever has the turn now, or does not wait any longer.
func (t *turn) leaveQueue() { t.state.Add(-turnQueued) }

// pass gives the turn to the next.
func (t *turn) pass(s *Session) {
	if t.state.Add(-turnTaken) == 0 {
		return
	}
	s.mu.Lock()
	bell := t.bell
	s.mu.Unlock()
	ringBell(bell)
}
