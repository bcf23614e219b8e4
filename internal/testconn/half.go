package testconn

import (
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// A half is one direction of a connection: a queue of segments with a writer's end and a reader's
// end. Data is copied under mu, a segment at a time.
type half struct {
	mu      sync.Mutex
	changed chan struct{} // latch of the current waiters; nil without waiters

	head, tail *segment
	queued     int // bytes in the segments
	lost       int // bytes that vanished in a black hole and will never be read

	writing         bool // a Write is in progress; Writes are serialized to keep their bytes contiguous
	writeCap        int  // a Write waits while so many bytes are unread; 0 is no limit
	latency         time.Duration
	bandwidth       int // bytes a second; 0 is no limit
	lineFree        time.Time
	lastReady       time.Time
	hole, hold, rec bool
	log             []byte

	readSize int // maximum result of a Read in bytes; 0 is no limit

	fin           bool // the writer has finished; io.EOF at finAt
	finAt         time.Time
	gone          bool // the reader has closed; EPIPE at goneAt
	goneAt        time.Time
	readErr       error // error that ended the reader's end, returned by Reads
	writeErr      error // error that ended the writer's end, returned by Writes
	readDeadline  time.Time
	writeDeadline time.Time

	bytesRead, bytesWritten int64
}

func (h *half) read(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		if h.readErr != nil {
			return 0, h.readErr
		}
		now := time.Now()
		if expired(h.readDeadline, now) {
			return 0, os.ErrDeadlineExceeded
		}
		if len(p) == 0 {
			return 0, nil
		}
		if n := h.take(p, now); n > 0 {
			return n, nil
		}
		if h.fin && !h.hold && h.head == nil && !h.finAt.After(now) {
			return 0, io.EOF
		}
		h.wait(earliest(h.readDeadline, h.nextArrival()))
	}
}

// take moves arrived bytes into p.
func (h *half) take(p []byte, now time.Time) int {
	if h.hold {
		return 0
	}
	if h.readSize > 0 {
		p = p[:min(len(p), h.readSize)]
	}
	n := 0
	for s := h.head; s != nil && n < len(p) && !s.ready.After(now); s = h.head {
		n += s.read(p[n:])
		if s.len() > 0 {
			break
		}
		if h.head = s.next; h.head == nil {
			h.tail = nil
		}
		s.free()
	}
	if n > 0 {
		h.queued -= n
		h.bytesRead += int64(n)
		h.wake() // a writer may have room now, or a second reader may read the rest
	}
	return n
}

// nextArrival returns the time when the next byte, or the end, becomes readable. It is zero if
// nothing is in transit or waiting would not help.
func (h *half) nextArrival() time.Time {
	switch {
	case h.hold:
		return time.Time{}
	case h.head != nil:
		return h.head.ready
	case h.fin:
		return h.finAt
	}
	return time.Time{}
}

func (h *half) write(p []byte) (n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	mine := false // this call holds the turn
	defer func() {
		if mine {
			h.writing = false
			h.wake()
		}
	}()
	for {
		if n > 0 && n == len(p) {
			return n, nil
		}
		now := time.Now()
		if err := h.cannotWrite(now); err != nil || len(p) == 0 {
			return n, err
		}
		room := len(p) - n
		if h.writeCap > 0 {
			room = min(room, h.writeCap-h.queued-h.lost)
		}
		if room <= 0 || h.writing && !mine {
			wakeAt := h.writeDeadline
			if h.gone {
				wakeAt = earliest(wakeAt, h.goneAt)
			}
			h.wait(wakeAt)
			continue
		}
		h.writing, mine = true, true
		n += h.put(p[n:n+room], now)
		if n < len(p) { // let the reader consume this part before the next copy
			h.mu.Unlock()
			h.mu.Lock()
		}
	}
}

func (h *half) cannotWrite(now time.Time) error {
	switch {
	case h.writeErr != nil:
		return h.writeErr
	case expired(h.writeDeadline, now):
		return os.ErrDeadlineExceeded
	case h.gone && !h.goneAt.After(now):
		return errPipe
	}
	return nil
}

// put queues a first part of p, at most a segment, and returns the size of the part.
func (h *half) put(p []byte, now time.Time) int {
	if h.bandwidth > 0 {
		p = p[:min(len(p), max(slowSegment, h.bandwidth/1000))]
	}
	ready := h.schedule(len(p), now)
	k := 0
	if h.hole || h.readErr != nil {
		k = len(p)
		h.lost += k
	} else {
		if h.tail == nil || !h.tail.ready.Equal(ready) || h.tail.room() == 0 {
			h.push(newSegment(len(p), ready))
		}
		k = h.tail.write(p)
		h.queued += k
		h.wake()
	}
	if h.rec {
		h.log = append(h.log, p[:k]...)
	}
	h.bytesWritten += int64(k)
	return k
}

func (h *half) push(s *segment) {
	if h.tail == nil {
		h.head = s
	} else {
		h.tail.next = s
	}
	h.tail = s
}

// schedule returns the arrival time of n bytes, or of an end, sent now: after all earlier bytes,
// and after the transmission time of the line. The zero time is now.
func (h *half) schedule(n int, now time.Time) time.Time {
	at := time.Time{}
	if h.bandwidth > 0 {
		if h.lineFree.Before(now) {
			h.lineFree = now
		}
		h.lineFree = h.lineFree.Add(time.Duration(int64(n) * int64(time.Second) / int64(h.bandwidth)))
		at = h.lineFree
	}
	if h.latency > 0 {
		if at.IsZero() {
			at = now
		}
		at = at.Add(h.latency)
	}
	if h.lastReady.After(at) && h.lastReady.After(now) {
		at = h.lastReady
	}
	h.lastReady = at
	return at
}

// Callers of the functions from here to abort hold link.lock.

// closeReader closes the reader's end of this direction. It returns the number of unread bytes.
func (h *half) closeReader() (unread int, err error) {
	if h.readErr == net.ErrClosed {
		return 0, net.ErrClosed
	}
	unread = h.queued
	h.readErr = net.ErrClosed
	h.drop()
	h.wake()
	return unread, nil
}

// readerGone makes the writer's calls fail from the time at on.
func (h *half) readerGone(at time.Time) {
	if !h.gone {
		h.gone, h.goneAt = true, at
		h.wake()
	}
}

// closeWriter ends this direction with err for further Writes. It returns the time when the other
// side learns of the close, and whether it ever does.
func (h *half) closeWriter(err error) (at time.Time, heard bool) {
	if h.writeErr == nil || err == net.ErrClosed {
		h.writeErr = err
	}
	at = h.schedule(0, time.Now())
	if !h.fin && !h.hole {
		h.fin, h.finAt = true, at
	}
	h.wake()
	return at, !h.hole
}

// disown makes further Writes fail without notifying the other side yet. It reports whether the
// other side can be notified at all.
func (h *half) disown() (heard bool) {
	h.writeErr = net.ErrClosed
	h.wake()
	return !h.hole
}

// abort fails the two ends of this direction. An end that has closed keeps its error.
func (h *half) abort() {
	if h.readErr != net.ErrClosed {
		h.readErr = errReset
	}
	if h.writeErr != net.ErrClosed {
		h.writeErr = errReset
	}
	h.drop()
	h.wake()
}

func (h *half) drop() {
	h.head, h.tail, h.queued = nil, nil, 0
}

func (h *half) setReadDeadline(t time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.readErr == net.ErrClosed {
		return net.ErrClosed
	}
	h.readDeadline = t
	h.wake()
	return nil
}

func (h *half) setWriteDeadline(t time.Time) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.writeErr == net.ErrClosed {
		return net.ErrClosed
	}
	h.writeDeadline = t
	h.wake()
	return nil
}

// wait unlocks mu until the state changes or until at, if at is not zero. The first waiter makes
// the latch, so that the latch belongs to the waiters' bubble.
func (h *half) wait(at time.Time) {
	if h.changed == nil {
		h.changed = make(chan struct{})
	}
	changed := h.changed
	h.mu.Unlock()
	defer h.mu.Lock()
	if at.IsZero() {
		<-changed
		return
	}
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	}
}

// wake makes all waiters check again.
func (h *half) wake() {
	if h.changed != nil {
		close(h.changed)
		h.changed = nil
	}
}

func expired(deadline, now time.Time) bool {
	return !deadline.IsZero() && !deadline.After(now)
}

// earliest returns the earlier of two times. The zero time means never.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
