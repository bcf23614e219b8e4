package testconn

import (
	"errors"
	"sync"
	"time"
)

// Op is a set of calls that a Fault counts.
type Op uint8

// The calls.
const (
	OpRead  Op = 1 << iota // Read
	OpWrite                // Write
	OpAny   = OpRead | OpWrite
)

// ErrInjected is the default error of a Fault.
var ErrInjected = errors.New("testconn: injected fault")

// A Fault makes the n-th Read or Write fail, and all later calls of the same kind at the same end,
// like a broken connection. A sweep runs a scenario with Call 1, 2, 3, … until a run ends without a
// counted fault.
type Fault struct {
	Op    Op     // the calls to count; 0 is OpAny
	Call  int    // the first call to fail; 1 is the next such call
	Joint bool   // calls of both ends count; the end that makes the n-th call breaks
	Once  bool   // only the n-th call fails
	Short int    // bytes that the first failing call may transfer; a Read waits for these bytes as usual
	Err   error  // the error of the failing calls; nil is ErrInjected
	Hit   func() // called at the first failure, before the call has any effect, if not nil
}

// Fail plans a fault. Several faults may be planned; the first planned fault that is due applies.
func (c *Conn) Fail(f Fault) {
	if f.Op == 0 {
		f.Op = OpAny
	}
	if f.Err == nil {
		f.Err = ErrInjected
	}
	c.link.mu.Lock()
	defer c.link.mu.Unlock()
	c.link.faults = append(c.link.faults, &plannedFault{Fault: f, conn: c, left: f.Call})
}

// link is the state shared by the two ends apart from the bytes: the counters of calls.
type link struct {
	halves [2]*half // in locking order

	mu     sync.Mutex
	faults []*plannedFault
	ends   [2]Stats // Reads, Writes and Faults
}

// lock makes closing a connection atomic: an end that reacts to a change in one direction sees the
// final state of the other direction.
func (l *link) lock() (unlock func()) {
	for _, h := range l.halves {
		h.mu.Lock()
	}
	return func() {
		for _, h := range l.halves {
			h.mu.Unlock()
		}
	}
}

// abort breaks the two directions. The caller holds lock.
func (l *link) abort() {
	for _, h := range l.halves {
		h.abort()
	}
}

// abortAfter is abort for a reset that arrives after d.
func (l *link) abortAfter(d time.Duration) {
	if d <= 0 {
		l.abort()
		return
	}
	time.AfterFunc(d, func() {
		defer l.lock()()
		l.abort()
	})
}

type plannedFault struct {
	Fault
	conn *Conn // its calls count; after the fault strikes, its calls fail
	left int   // calls until the fault strikes
	hit  bool
}

// count counts a call and returns the fault that strikes the call, or nil.
func (l *link) count(c *Conn, op Op) *Fault {
	l.mu.Lock()
	if op == OpRead {
		l.ends[c.side].Reads++
	} else {
		l.ends[c.side].Writes++
	}
	var struck *Fault
	for _, p := range l.faults {
		if f := p.next(c, op); f != nil && struck == nil {
			struck = f
		}
	}
	if struck != nil {
		l.ends[c.side].Faults++
	}
	l.mu.Unlock()
	if struck != nil && struck.Hit != nil {
		struck.Hit()
	}
	return struck
}

// next counts a call for a planned fault and returns the fault if it strikes.
func (p *plannedFault) next(c *Conn, op Op) *Fault {
	if p.Op&op == 0 || c != p.conn && (p.hit || !p.Joint) {
		return nil
	}
	if p.hit {
		if p.Once {
			return nil
		}
		return &Fault{Err: p.Err}
	}
	if p.left--; p.left > 0 {
		return nil
	}
	p.hit, p.conn = true, c
	f := p.Fault
	return &f
}

func (l *link) stats(c *Conn) Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ends[c.side]
}
