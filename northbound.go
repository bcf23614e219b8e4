package spdy

import (
	"io"
	"sync"
)

// A northbound buffer holds the received bytes of a stream for the application, to the north of the
// session. The stream's receive window bounds the buffer: the receiver appends only bytes allowed
// by the window, and therefore never waits for the application.
//
// The receiver appends and finishes; the application reads. No goroutine blocks while holding mu.
type northbound struct {
	// bell means "look again". The receiver rings the bell for bytes, for the end and for an error.
	// A reader that consumes the ring and leaves data behind rings again. The bell is made under mu
	// when a reader first waits.
	bell chan struct{}

	mu         sync.Mutex
	flow       inflow
	head, tail *chunk
	unread     int64     // bytes in the list
	total      int64     // bytes ever received
	end        error     // io.EOF after FIN; otherwise the reason for the end; nil while open
	lent       uint32    // bytes in charged views that are not yet returned
	discarding bool      // the application has stopped reading: bytes are discarded
	freed      bool      // received bytes are no longer charged, and no more will arrive, see uncharge
	passed     bool      // bytes have been consumed since the last call of rests
	moved      bool      // bytes have been consumed since the last call of moves
	marks      *marks    // where DATA frames end; nil if boundaries are not recorded
	pace       *readPace // nil unless streams are shed, or reads timed
}

func (b *northbound) init(window int64) { b.flow = newInflow(window) }

// ring is ringLocked for callers that do not hold mu.
func (b *northbound) ring() {
	b.mu.Lock()
	b.ringLocked()
	b.mu.Unlock()
}

// ringLocked rings the bell, if a reader has ever waited.
func (b *northbound) ringLocked() {
	select {
	case b.bell <- struct{}{}:
	default:
	}
}

// nothingLocked makes the bell if needed, for a reader about to wait for data.
func (b *northbound) nothingLocked() {
	if b.bell == nil {
		b.bell = make(chan struct{}, 1)
	}
}

// widen makes the window practically unlimited, for a stream on which no bytes have been received.
func (b *northbound) widen() {
	b.mu.Lock()
	b.flow = newInflow(unlimited)
	b.mu.Unlock()
}

// narrow reduces a widened window to the given size, with all received bytes counted, and returns
// the credit for the bytes already read. The received bytes may exceed the window.
func (b *northbound) narrow(window int64) (grant int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flow.avail -= b.flow.size - window
	b.flow.size = window
	return b.flow.settle()
}

// admitAll is admit for a peer that need not respect the window.
func (b *northbound) admitAll(n int64) (wanted bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flow.avail -= n
	if b.discarding || b.end != nil {
		b.flow.owed += n
		return false
	}
	return true
}

// admit charges a DATA frame of n bytes to the window. ok is false if the peer overran the window.
// wanted is false if the bytes are to be discarded.
func (b *northbound) admit(n int64) (ok, wanted bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.flow.take(n) {
		return false, false
	}
	if b.discarding || b.end != nil {
		b.flow.owed += n
		return true, false
	}
	return true, true
}

// append stores bytes accepted by admit, in chunks counted in kept, which may be nil. It returns the
// number of bytes discarded because the application has closed the receiving side in the meantime.
func (b *northbound) append(p []byte, kept *memoryCount) (discarded int) {
	b.mu.Lock()
	if b.discarding || b.end != nil {
		b.flow.owed += int64(len(p))
		b.mu.Unlock()
		return len(p)
	}
	b.cameLocked(int64(len(p)))
	for len(p) > 0 {
		c := b.tail
		if c == nil || c.w == len(c.data) {
			c = getChunk(chunkFor(len(p), b.unread))
			c.keep(kept)
			b.linkLocked(c)
		}
		n := copy(c.data[c.w:], p)
		c.w += n
		p = p[n:]
	}
	b.ringLocked()
	b.mu.Unlock()
	return 0
}

// adopt is append for bytes already in a chunk. The buffer takes ownership of the chunk.
func (b *northbound) adopt(c *chunk, kept *memoryCount) (discarded int) {
	n := c.w - c.r
	b.mu.Lock()
	if b.discarding || b.end != nil {
		b.flow.owed += int64(n)
		b.mu.Unlock()
		putChunk(c)
		return n
	}
	b.cameLocked(int64(n))
	c.keep(kept)
	b.linkLocked(c)
	b.ringLocked()
	b.mu.Unlock()
	return 0
}

// cameLocked counts n received bytes.
func (b *northbound) cameLocked(n int64) {
	b.unread += n
	b.total += n
	b.pace.noteLocked(b.heldLocked(), n)
}

// heldLocked returns the number of bytes not yet consumed.
func (b *northbound) heldLocked() int64 { return b.unread + int64(b.lent) }

func (b *northbound) linkLocked(c *chunk) {
	if b.tail == nil {
		b.head = c
	} else {
		b.tail.next = c
	}
	b.tail = c
}

// finish ends the buffer: with io.EOF after the peer's FIN, else with the reason. The first end
// stays. Unread bytes remain readable, unless drop is set and the end is not io.EOF: then finish
// frees the bytes and returns their number, so that the caller can return the session credit.
func (b *northbound) finish(end error, drop bool) (dropped int64) {
	b.mu.Lock()
	if b.end == nil {
		b.end = end
	}
	if drop && b.end != io.EOF {
		dropped = b.dropLocked()
	}
	b.ringLocked()
	b.mu.Unlock()
	return dropped
}

// spoil ends the buffer with an error even after the peer's FIN, frees unread bytes and returns
// their number. Bytes not charged to a window stay: they block no other stream.
func (b *northbound) spoil(end error) (dropped int64) {
	b.mu.Lock()
	if b.end != nil && b.chargedLocked() > 0 {
		if b.end == io.EOF {
			b.end = end
		}
		dropped = b.dropLocked()
	}
	b.ringLocked()
	b.mu.Unlock()
	return dropped
}

// discard ends reading by the application: it frees the unread bytes and returns their number.
// append and admit refuse later bytes.
func (b *northbound) discard() (dropped int64) {
	b.mu.Lock()
	b.discarding = true
	dropped = b.dropLocked()
	b.ringLocked()
	b.mu.Unlock()
	return dropped
}

// uncharge stops charging the unread bytes of a buffer that has ended. The bytes stay readable, and
// from then on their memory is accounted to the holder of the stream. uncharge returns their
// number, once, so that the caller can return the session credit: read, advance and discard return
// no credit for them.
func (b *northbound) uncharge() (freed int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.end == nil {
		return 0
	}
	for c := b.head; c != nil; c = c.next {
		c.forget()
	}
	return b.freeLocked()
}

// chargedLocked returns the number of bytes charged to the windows.
func (b *northbound) chargedLocked() int64 {
	if b.freed {
		return 0
	}
	return b.heldLocked()
}

// freeLocked stops charging the received bytes, including those in views, and returns their number.
// No more bytes may arrive afterwards.
func (b *northbound) freeLocked() (freed int64) {
	freed = b.chargedLocked()
	b.flow.owed += freed
	b.lent, b.freed = 0, true
	return freed
}

func (b *northbound) dropLocked() (dropped int64) {
	dropped = b.freeLocked()
	b.unread = 0
	for c := b.head; c != nil; {
		next := c.next
		putChunk(c)
		c = next
	}
	b.head, b.tail = nil, nil
	b.marks.clear()
	return dropped
}

// read copies unread bytes into p. If n is 0 and err is nil, the buffer is empty: wait for the
// bell. charged is the session credit to return: n, or 0 if uncharge has returned the credit. grant
// is stream credit to announce.
func (b *northbound) read(p []byte) (n int, charged, grant int64, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p = b.marks.limit(p)
	for n < len(p) && b.head != nil {
		c := b.head
		k := copy(p[n:], c.data[c.r:c.w])
		c.r += k
		n += k
		if c.r == c.w {
			b.popLocked()
			putChunk(c)
		}
	}
	if n > 0 {
		b.unread -= int64(n)
		b.marks.pass(n)
		charged, grant = b.consumeLocked(int64(n))
		if b.unread > 0 || b.end != nil {
			b.ringLocked() // another reader may be waiting on the same bell
		}
		return n, charged, grant, nil
	}
	if b.discarding {
		b.ringLocked()
		return 0, 0, 0, ErrStreamClosed
	}
	if b.end != nil && b.unread == 0 {
		b.ringLocked()
		return 0, 0, 0, b.end
	}
	b.nothingLocked()
	return 0, 0, 0, nil
}

// popLocked removes the oldest chunk from the list.
func (b *northbound) popLocked() {
	b.head = b.head.next
	if b.head == nil {
		b.tail = nil
	}
}

// consumeLocked counts n consumed bytes. It returns the number of them that were charged, and the
// stream credit to announce: none once the peer has finished (SPEC W15).
func (b *northbound) consumeLocked(n int64) (charged, grant int64) {
	b.passed, b.moved = true, true
	b.pace.passLocked(b.heldLocked(), n)
	if b.freed {
		return 0, 0
	}
	grant = b.flow.consume(n)
	if b.end != nil {
		return n, 0
	}
	return n, grant
}

// A view is a chunk lent to one consumer. The bytes belong to that consumer until the view is
// returned, even if others read or end the stream in the meantime.
type view struct{ c *chunk }

// bytes returns the contents of the view.
func (v view) bytes() []byte {
	if v.c == nil {
		return nil
	}
	return v.c.data[v.c.r:v.c.w]
}

// view returns the oldest unread bytes without copying. The caller returns them with advance; until
// then they are charged to the windows. An empty view with a nil error means: wait for the bell.
func (b *northbound) view() (v view, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.discarding:
		b.ringLocked()
		return view{}, ErrStreamClosed
	case b.head != nil:
		v = view{b.head}
		b.popLocked()
		v.c.next = nil
		v.c.forget() // its bytes are charged until advance
		n := int64(v.c.w - v.c.r)
		b.unread -= n
		if !b.freed {
			b.lent += uint32(n)
		}
		if b.unread > 0 || b.end != nil {
			b.ringLocked() // another reader may be waiting on the same bell
		}
		return v, nil
	case b.end != nil:
		b.ringLocked()
		return view{}, b.end
	}
	b.nothingLocked()
	return view{}, nil
}

// advance returns a view whose bytes have all been consumed. consumed is the session credit to
// return: 0 if the bytes were freed in the meantime, since their credit has already been returned.
func (b *northbound) advance(v view) (consumed, grant int64) {
	n := int64(len(v.bytes()))
	putChunk(v.c)
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.freed {
		b.lent -= uint32(n)
	}
	return b.consumeLocked(n)
}

// resize changes the window by n bytes: an increase announced to the peer, or a decrease by
// withholding credit.
func (b *northbound) resize(n int64) {
	b.mu.Lock()
	b.flow.size += n
	b.flow.avail += n
	b.mu.Unlock()
}

// available returns the number of bytes the peer may still send.
func (b *northbound) available() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.flow.avail
}

// exhausted reports whether the peer may send no bytes until we grant credit.
func (b *northbound) exhausted() bool { return b.available() <= 0 }

// atEnd reports whether the peer has finished and no bytes are left to read.
func (b *northbound) atEnd() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.end == io.EOF && b.heldLocked() == 0
}

// readable reports whether a read would not block.
func (b *northbound) readable() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nothingLocked() // in case the buffer is empty
	return b.unread > 0 || b.end != nil || b.discarding
}

// ending returns how the buffer ended: nil if it is open, io.EOF after the peer's FIN even if bytes
// are unread.
func (b *northbound) ending() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.discarding {
		return ErrStreamClosed
	}
	return b.end
}

// isDiscarding reports whether the application has stopped reading.
func (b *northbound) isDiscarding() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.discarding
}

// rests reports whether no bytes were consumed since the last call and none are unread, so that the
// reader does not hold up the peer.
func (b *northbound) rests() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	rests := b.heldLocked() == 0 && !b.passed
	b.passed = false
	return rests
}

// moves reports whether bytes have been consumed since the last call.
func (b *northbound) moves() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	moves := b.moved
	b.moved = false
	return moves
}

// buffered returns the number of unread bytes charged to the windows.
func (b *northbound) buffered() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.chargedLocked()
}

// memory returns the memory of the unread bytes charged to the windows, with the unused space in the
// first and the last chunk: the chunks between are nearly full.
func (b *northbound) memory() (n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n = b.chargedLocked()
	if b.head == nil || b.freed {
		return n
	}
	n += int64(len(b.head.data) - (b.head.w - b.head.r))
	if b.tail != b.head {
		n += int64(len(b.tail.data) - b.tail.w)
	}
	return n
}

// received returns the number of bytes ever received for the application.
func (b *northbound) received() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}
