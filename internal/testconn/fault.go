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

// ErrInjected is the error of a Fault that names none.
var ErrInjected = errors.New("testconn: injected fault")

// A Fault makes the n-th Read or Write fail, and every later one of the same kind at
// the same end, as a broken connection would. A sweep runs one scenario with Call 1, 2,
// 3, … until a run ends with no fault counted.
type Fault struct {
	Op    Op     // which calls count; 0 is OpAny
	Call  int    // the first to fail; 1 is the next such call
	Joint bool   // calls of both ends count; the end that makes the n-th is the one that breaks
	Once  bool   // only that one call fails
	Short int    // how many bytes the call that fails first may move; a Read waits for them as ever
	Err   error  // what it fails with; nil is ErrInjected
	Hit   func() // called at the first failure, before the call does anything, if not nil
}

// Fail plans a fault. Several may be planned; the first whose turn it is strikes.
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

// link is what the two ends share beside the bytes: the counting of calls.
type link struct {
	halves [2]*half // in the order in which lock locks them

	mu     sync.Mutex
	faults []*plannedFault
	ends   [2]Stats // Reads, Writes and Faults
}

// lock makes what ends a connection one step: an end that reacts to the news in one
// direction finds the other one as it will stay.
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

// abort breaks both directions, for those who hold lock.
func (l *link) abort() {
	for _, h := range l.halves {
		h.abort()
	}
}

// abortAfter is abort for a reset that takes d to arrive.
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
	conn *Conn // whose calls count; once struck, whose calls fail
	left int   // calls until it strikes
	hit  bool
}

// count counts a call and returns the fault that strikes it, or nil.
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

// next is one planned fault's view of a call.
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
