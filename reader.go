package spdy

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// readBufferSize is the size of the buffer borrowed by the receiver while data keeps arriving.
const readBufferSize = 32 << 10

// idleBufferSize is the size of the buffer held by a session waiting for a frame.
const idleBufferSize = 512

var readBufferPool = sync.Pool{New: func() any { return new([readBufferSize]byte) }}

// A reader reads frames from the network for the receiver. While idle it holds idleBufferSize
// bytes. It borrows a large buffer when a read filled the small one, and returns it when a read has
// drained the socket, so that many idle sessions cost little and a busy session makes few system
// calls. While the pool of buffers is nearly full, it reads through the small buffer: a peer that
// fills the small buffer and then sends nothing would otherwise hold a large buffer forever.
type reader struct {
	conn  net.Conn
	idle  [idleBufferSize]byte
	large *chunk     // of readBufferSize bytes
	buf   []byte     // read but not consumed; a part of large, else of idle
	alive *keepalive // notified when bytes arrive; may be nil
	more  bool       // the last read filled its buffer: the socket likely holds more

	dialect uint8 // version of the peer's first control frame; the session's version once a frame of it has arrived; 0 before the first frame

	// doubted is true if the next frame proves that the peer is alive, see suspicion.go. The field
	// is here because it fills padding of the struct.
	doubted atomic.Bool
	long    []byte // a control frame that fits neither buffer; nil between frames

	ledger *ledger // is charged for the buffers; may be nil

	total atomic.Int64 // bytes read; other goroutines may load it
}

// fill reads more bytes after the bytes in buf. need is the number of bytes that the caller waits
// for. It exceeds the length of buf, and exceeds idleBufferSize only if the reader has a large
// buffer.
func (r *reader) fill(need int) error {
	switch {
	case r.more:
		r.borrow()
	case len(r.buf) == 0 && need <= idleBufferSize:
		r.release()
	}
	space := r.idle[:]
	if r.large != nil {
		space = r.large.data
	}
	have := copy(space, r.buf)
	r.buf = space[:have]
	for range mostEmptyReads {
		n, err := r.conn.Read(space[have:])
		if n > 0 {
			r.total.Add(int64(n))
			r.alive.heard()
			r.more = have+n == len(space)
			r.buf = space[:have+n]
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// mostEmptyReads is the number of consecutive Reads without bytes and without an error after which
// the connection counts as broken, the same as for a bufio.Reader.
const mostEmptyReads = 100

// preload makes bytes already read by another reader the first bytes of r. The bytes must be fewer
// than idleBufferSize.
func (r *reader) preload(p []byte) {
	r.buf = r.idle[:copy(r.idle[:], p)]
	r.total.Add(int64(len(p)))
}

// borrow borrows a large buffer, if the reader has none. It reports false if the pool is nearly
// full.
func (r *reader) borrow() bool {
	switch {
	case r.large != nil:
		return true
	case !r.ledger.borrows(readBufferSize):
		return false
	}
	r.large = getChunk(readBufferSize)
	return true
}

func (r *reader) release() {
	if r.large != nil {
		putChunk(r.large)
		r.large = nil
		r.ledger.lend(-readBufferSize)
	}
}

// close returns all buffers. Nothing may be read afterwards.
func (r *reader) close() {
	r.buf, r.long = nil, nil
	r.release()
	r.ledger.giveFrame()
}

// first reads until enough bytes have arrived to classify the peer's first bytes, and leaves the
// bytes in the buffer. A connection error that cuts the bytes short is returned too.
func (r *reader) first() (verdict verdictOnFirst, protocol string, err error) {
	for {
		verdict, protocol = judgeFirst(r.buf, err != nil)
		if verdict != firstUnclear || err != nil {
			return verdict, protocol, err
		}
		if len(r.buf) > 0 {
			r.alive.frameBegun()
		}
		err = r.fill(frameHeaderSize)
	}
}

// header reads the common 8 bytes of a frame. The error is io.EOF only if the peer ended exactly
// between two frames.
func (r *reader) header() (frameHeader, error) {
	r.ledger.giveFrame()
	for len(r.buf) < frameHeaderSize {
		if len(r.buf) > 0 {
			r.alive.frameBegun()
		}
		if err := r.fill(frameHeaderSize); err != nil {
			if err == io.EOF && len(r.buf) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return frameHeader{}, err
		}
	}
	h := parseFrameHeader(r.buf)
	r.buf = r.buf[frameHeaderSize:]
	return h, nil
}

// some returns between 1 and n received bytes, reading if the buffer is empty. The bytes are valid
// until the next call.
func (r *reader) some(n int) ([]byte, error) {
	if len(r.buf) == 0 {
		if err := r.fill(1); err != nil {
			return nil, unexpected(err)
		}
	}
	p := r.buf[:min(n, len(r.buf))]
	r.buf = r.buf[len(p):]
	return p, nil
}

// mostOfBuffer is the number of DATA bytes that a large buffer must hold to be handed on without
// copying, so that unread data wastes at most a third of its length.
const mostOfBuffer = readBufferSize / 4 * 3

// piece is like some, for bytes that the caller keeps: if the bytes fill most of the large buffer,
// piece returns the whole buffer as a chunk, without a copy.
func (r *reader) piece(n int) (p []byte, whole *chunk, err error) {
	if p, err = r.some(n); err != nil {
		return nil, nil, err
	}
	if r.large == nil || len(p) < mostOfBuffer {
		return p, nil, nil
	}
	whole = r.large
	whole.r = cap(whole.data) - cap(p)
	whole.w = whole.r + len(p)
	r.large = nil
	space := r.idle[:]
	if len(r.buf) > len(space) { // the next buffer uses this buffer's charge to the pool
		r.large = getChunk(readBufferSize)
		space = r.large.data
	} else {
		r.ledger.lend(-readBufferSize)
	}
	r.buf = space[:copy(space, r.buf)]
	return nil, whole, nil
}

// exactly returns the n bytes of a control frame's payload, valid until the next call. Payloads
// larger than the buffers are gathered in memory that grows with the bytes received.
func (r *reader) exactly(n int) ([]byte, error) {
	if n > readBufferSize || n > max(len(r.buf), idleBufferSize) && !r.borrow() {
		return r.gather(n)
	}
	moved := len(r.buf)
	for len(r.buf) < n {
		if err := r.fill(n); err != nil {
			return nil, unexpected(err)
		}
		if len(r.buf)-moved >= frameProgress {
			moved = len(r.buf)
			r.alive.frameMoved()
		}
	}
	p := r.buf[:n]
	r.buf = r.buf[n:]
	return p, nil
}

func (r *reader) gather(n int) ([]byte, error) {
	r.long = nil
	moved := 0
	for len(r.long) < n {
		p, err := r.some(n - len(r.long))
		if err != nil {
			r.long = nil
			return nil, err
		}
		r.long = append(r.long, p...)
		if err := r.ledger.takeFrame(cap(r.long), n); err != nil {
			r.long = nil
			return nil, err
		}
		if len(r.long)-moved >= frameProgress {
			moved = len(r.long)
			r.alive.frameMoved()
		}
	}
	p := r.long
	r.long = nil
	return p, nil
}

// skip reads and discards n bytes.
func (r *reader) skip(n int) error {
	moved := n
	for n > 0 {
		p, err := r.some(n)
		if err != nil {
			return err
		}
		n -= len(p)
		if moved-n >= frameProgress {
			moved = n
			r.alive.frameMoved()
		}
	}
	return nil
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
