package spdy

import (
	"io"
	"sync"
)

// A northbound buffer holds the bytes that have arrived on a stream until the
// application, which lies to the north of the session, takes them. Its bound is
// the stream's receive window: the receiver appends only what the window
// allowed, and therefore never waits for the application.
//
// The receiver appends and finishes; the application reads. Nothing waits while
// holding mu.
type northbound struct {
	// bell is a doorbell: "look again". The receiver rings it for bytes, for the
	// end and for an error; whoever takes it and leaves work behind rings again. It is
	// made under mu when somebody first waits.
	bell chan struct{}

	mu         sync.Mutex
	flow       inflow
	head, tail *chunk
	unread     int64     // bytes in the list
	total      int64     // bytes that have ever come
	end        error     // io.EOF after FIN; why it ended otherwise; nil while open
	lent       uint32    // bytes in views that are out, and count
	discarding bool      // the application wants no more: bytes are thrown away
	freed      bool      // what has come counts no more, and nothing comes any more, see uncharge
	passed     bool      // bytes have been consumed since rests was called
	moved      bool      // the same, since moves was called
	marks      *marks    // where DATA frames end, nil if that is not kept
	pace       *readPace // nil unless streams are shed
}

func (b *northbound) init(window int64) { b.flow = newInflow(window) }

// ring is ringLocked for callers that do not hold mu.
func (b *northbound) ring() {
	b.mu.Lock()
	b.ringLocked()
	b.mu.Unlock()
}

// ringLocked rings the bell, if anybody has ever waited for it.
func (b *northbound) ringLocked() {
	select {
	case b.bell <- struct{}{}:
	default:
	}
}

// nothingLocked makes sure that there is a bell for whoever has found nothing, and
// waits now.
func (b *northbound) nothingLocked() {
	if b.bell == nil {
		b.bell = make(chan struct{}, 1)
	}
}

// widen makes the window one that cannot be used up, for a stream on which nothing has
// been received.
func (b *northbound) widen() {
	b.mu.Lock()
	b.flow = newInflow(unlimited)
	b.mu.Unlock()
}

// narrow makes a wide window one of the given size, with all bytes counted that have
// come, and returns the credit for those that have been read. What has come may be more
// than the window.
func (b *northbound) narrow(window int64) (grant int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flow.avail -= b.flow.size - window
	b.flow.size = window
	return b.flow.settle()
}

// admitAll is admit for a peer that is not held to its window.
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

// admit charges a DATA frame of n bytes to the window. With ok false the peer
// overran it. With wanted false the bytes are to be discarded.
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

// append stores bytes that admit has let in. It returns how many of them were
// discarded because the application closed its side meanwhile.
func (b *northbound) append(p []byte) (discarded int) {
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
			c = getChunk(len(p))
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

// adopt is append for bytes that are in a chunk already, which becomes the buffer's.
func (b *northbound) adopt(c *chunk) (discarded int) {
	n := c.w - c.r
	b.mu.Lock()
	if b.discarding || b.end != nil {
		b.flow.owed += int64(n)
		b.mu.Unlock()
		putChunk(c)
		return n
	}
	b.cameLocked(int64(n))
	b.linkLocked(c)
	b.ringLocked()
	b.mu.Unlock()
	return 0
}

// cameLocked counts n bytes that have come.
func (b *northbound) cameLocked(n int64) {
	b.unread += n
	b.total += n
	b.pace.noteLocked(b.heldLocked(), n)
}

// heldLocked is how many bytes no consumer has taken yet.
func (b *northbound) heldLocked() int64 { return b.unread + int64(b.lent) }

func (b *northbound) linkLocked(c *chunk) {
	if b.tail == nil {
		b.head = c
	} else {
		b.tail.next = c
	}
	b.tail = c
}

// finish ends the buffer: with io.EOF after the peer's FIN, else with the
// reason. The first end stays. Unread bytes remain readable before it, unless
// drop is set and the end is not a clean one: then they are freed, and their
// number is returned so that the session gets its credit back.
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

// spoil ends the buffer with an error although the peer's FIN may have come, frees unread
// bytes and returns their number. Bytes that count for no window are in nobody's way, and stay.
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

// discard is the application's "no more": it frees what is unread and returns its
// number. Later bytes are refused by append and admit.
func (b *northbound) discard() (dropped int64) {
	b.mu.Lock()
	b.discarding = true
	dropped = b.dropLocked()
	b.ringLocked()
	b.mu.Unlock()
	return dropped
}

// uncharge has the unread bytes of a buffer that has ended count no more: they stay readable,
// and their memory is that of whoever keeps the stream. It returns their number, so that the
// session gets its credit back, once: read, advance and discard return none for them.
func (b *northbound) uncharge() (freed int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.end == nil {
		return 0
	}
	return b.freeLocked()
}

// chargedLocked is how many bytes count for the windows.
func (b *northbound) chargedLocked() int64 {
	if b.freed {
		return 0
	}
	return b.heldLocked()
}

// freeLocked has what has come count no more, also what is in views, and returns the number of
// bytes. Nothing more may come.
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

// read copies unread bytes into p. With n == 0 and a nil error there is nothing
// to read yet: wait for the bell. charged is what counts for the session's credit: n, or 0
// if uncharge has returned that. grant is stream credit to announce.
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

// popLocked takes the oldest chunk out of the list.
func (b *northbound) popLocked() {
	b.head = b.head.next
	if b.head == nil {
		b.tail = nil
	}
}

// consumeLocked returns how many of n more consumed bytes were charged, and the stream credit
// to announce for them: none once the peer has finished (SPEC W15).
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

// A view is what one consumer has been lent. The bytes are his alone until he returns it, whoever
// else reads the stream or ends it meanwhile.
type view struct{ c *chunk }

// bytes is what is in the view.
func (v view) bytes() []byte {
	if v.c == nil {
		return nil
	}
	return v.c.data[v.c.r:v.c.w]
}

// view lends the oldest unread bytes without copying them, until they are returned with
// advance. They count for the windows as long. An empty view with a nil error
// means wait for the bell.
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

// advance returns a view; the consumer has taken all of it. consumed is what
// counts for the session's credit: 0 if the bytes were freed meanwhile, since
// whoever did that has returned their credit.
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

// resize changes the window by n bytes, which the peer is told of, or not told of
// bytes that were to be granted to it.
func (b *northbound) resize(n int64) {
	b.mu.Lock()
	b.flow.size += n
	b.flow.avail += n
	b.mu.Unlock()
}

// available is how much the peer may still send.
func (b *northbound) available() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.flow.avail
}

// exhausted reports that the peer may send nothing more until it gets credit.
func (b *northbound) exhausted() bool { return b.available() <= 0 }

// atEnd reports that the peer has finished and nothing is left to read.
func (b *northbound) atEnd() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.end == io.EOF && b.heldLocked() == 0
}

// readable reports that a read would not have to wait.
func (b *northbound) readable() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.nothingLocked() // in case there is nothing
	return b.unread > 0 || b.end != nil || b.discarding
}

// ending is how the buffer has ended: nil if it has not, io.EOF after the peer's
// FIN even if bytes are unread.
func (b *northbound) ending() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.discarding {
		return ErrStreamClosed
	}
	return b.end
}

// isDiscarding reports that the application wants no more.
func (b *northbound) isDiscarding() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.discarding
}

// rests reports that nothing has come since the last call, and that the reader does not hold
// the peer up: it had taken all by then.
func (b *northbound) rests() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	rests := b.heldLocked() == 0 && !b.passed
	b.passed = false
	return rests
}

// moves reports that bytes have been consumed since the last call.
func (b *northbound) moves() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	moves := b.moved
	b.moved = false
	return moves
}

// buffered is the number of unread bytes that count for the windows.
func (b *northbound) buffered() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.chargedLocked()
}

// received is the number of bytes that have ever come for the application.
func (b *northbound) received() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}
