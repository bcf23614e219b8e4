package testconn

import (
	"sync"
	"time"
)

const (
	bigSegment   = 64 << 10 // what bulk travels in, pooled
	smallSegment = 512      // the least a segment has room for
	slowSegment  = 1 << 10  // the least that a line with a bandwidth delivers at a time; a fast line delivers a millisecond's bytes
)

// A segment is bytes that arrive together.
type segment struct {
	next  *segment
	ready time.Time // when they can be read; zero is at once
	buf   []byte    // buf[:r] is read, buf[r:] is not, up to its length
	r     int
}

// bigSegments keeps bulk tests from making garbage. A segment holds no channel and
// no timer, so it may pass from one bubble to another.
var bigSegments = sync.Pool{New: func() any { return &segment{buf: make([]byte, 0, bigSegment)} }}

func newSegment(n int, ready time.Time) *segment {
	var s *segment
	if n > bigSegment/8 {
		s = bigSegments.Get().(*segment)
	} else {
		s = &segment{buf: make([]byte, 0, max(n, smallSegment))}
	}
	s.ready = ready
	return s
}

func (s *segment) len() int  { return len(s.buf) - s.r }
func (s *segment) room() int { return cap(s.buf) - len(s.buf) }

func (s *segment) read(p []byte) int {
	n := copy(p, s.buf[s.r:])
	s.r += n
	return n
}

func (s *segment) write(p []byte) int {
	n := min(len(p), s.room())
	s.buf = append(s.buf, p[:n]...)
	return n
}

// free gives a big segment back. What is dropped unread is left to the collector.
func (s *segment) free() {
	if cap(s.buf) == bigSegment {
		*s = segment{buf: s.buf[:0]}
		bigSegments.Put(s)
	}
}
