package testconn

import (
	"sync"
	"time"
)

const (
	bigSegment   = 64 << 10 // for bulk data, pooled
	smallSegment = 512      // minimum capacity of a segment
	slowSegment  = 1 << 10  // minimum delivery of a line with a bandwidth; a fast line delivers a millisecond's bytes at a time
)

// A segment holds bytes that arrive together.
type segment struct {
	next  *segment
	ready time.Time // when the bytes become readable; zero is at once
	buf   []byte    // buf[:r] is read; buf[r:len(buf)] is unread
	r     int
}

// bigSegments avoids garbage in bulk tests. A segment holds no channel and no timer, so it may move
// between bubbles.
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

// free returns a big segment to the pool. Segments dropped unread are left to the garbage
// collector.
func (s *segment) free() {
	if cap(s.buf) == bigSegment {
		*s = segment{buf: s.buf[:0]}
		bigSegments.Put(s)
	}
}
