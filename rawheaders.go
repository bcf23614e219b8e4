package spdy

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// ErrInvalidHeader is what errors match that say why a header block cannot be sent.
var ErrInvalidHeader = errors.New("spdy: invalid header block")

// ErrReplied is returned by RawStream.Reply for a stream that has been replied to,
// which the first Write does too.
var ErrReplied = errors.New("spdy: the stream has been replied to")

var (
	errNoReply  = errors.New("spdy: only the peer of a stream's opener replies, and never on one that is unidirectional")
	errNoStatus = errors.New("spdy: 0 is not a status to reset a stream with")
)

// NewHeaderBlock turns an http.Header into a header block: names in lower case and
// in order, the values of one name joined by NUL. HTTPHeader gives back the same,
// with canonical names; a name without values is left out. It fails, with an error
// that matches ErrInvalidHeader, if a name is no token or a value has control bytes
// in it or is empty beside others, which the protocol cannot express.
func NewHeaderBlock(h http.Header) (HeaderBlock, error) {
	keys := make([]string, 0, len(h))
	for key, values := range h {
		if len(values) > 0 {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	b := make(HeaderBlock, 0, len(keys))
	for _, key := range keys {
		name, values := strings.ToLower(key), h[key]
		if len(values) > 1 && slices.Contains(values, "") { // SPEC H7
			return nil, fmt.Errorf("%w: %s has an empty value among others", ErrInvalidHeader, shortName(name))
		}
		for _, v := range values {
			if strings.IndexByte(v, 0) >= 0 {
				return nil, fmt.Errorf("%w: NUL in the value of %s", ErrInvalidHeader, shortName(name))
			}
		}
		if b.has(name) { // keys that differ in case only
			return nil, fmt.Errorf("%w: name %s occurs twice", ErrInvalidHeader, shortName(name))
		}
		b = append(b, HeaderField{Name: name, Value: strings.Join(values, "\x00")})
	}
	if err := b.check(SPDY31); err != nil {
		return nil, err
	}
	return b, nil
}

func (h HeaderBlock) has(name string) bool {
	_, ok := h.Get(name)
	return ok
}

// check finds out whether a block may be sent.
func (h HeaderBlock) check(v Version) error {
	for i := range h {
		if err := checkPair(v, []byte(h[i].Name), []byte(h[i].Value)); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalidHeader, err)
		}
	}
	if err := checkUnique(h); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidHeader, err)
	}
	return nil
}

// HTTPHeader returns the block as an http.Header: names in their canonical form,
// values split at NUL. The result is a copy.
func (h HeaderBlock) HTTPHeader() http.Header {
	header := make(http.Header, len(h))
	for i := range h {
		key := http.CanonicalHeaderKey(h[i].Name)
		header[key] = append(header[key], strings.Split(h[i].Value, "\x00")...)
	}
	return header
}

// encodeHeaders checks a block and encodes it into a buffer from blockPool.
func (s *Session) encodeHeaders(h HeaderBlock) (*[]byte, error) {
	if err := h.check(s.version); err != nil {
		return nil, err
	}
	block := getBlock()
	b, err := appendNameValue((*block)[:0], s.version, h)
	if err := s.keepBlock(partRaw, block, b, err); err != nil { // SPEC H14
		return nil, err
	}
	return block, nil
}

// emptyBlock returns the encoding of a block without headers.
func (r *RawStream) emptyBlock() *[]byte {
	block := getBlock()
	*block, _ = appendNameValue((*block)[:0], r.st.session.version, nil)
	return block
}

// Reply answers the opener of an accepted stream with a header block, which may be
// empty, and with fin set closes our half. It can be called once, before anything
// is written; an application that does not call it replies with its first Write or
// CloseWrite. It fails with ErrReplied, with an error that matches ErrInvalidHeader,
// or with why the stream ended.
func (r *RawStream) Reply(h HeaderBlock, fin bool) error {
	if r.closed.Load() {
		return ErrStreamClosed
	}
	st, s := &r.st, r.st.session
	block, err := s.encodeHeaders(h)
	if err != nil {
		return err
	}
	s.mu.Lock()
	switch {
	case st.state.ours || st.oneWay: // SPEC R6
		err = errNoReply
	case st.state.replied:
		err = ErrReplied
	default:
		err = st.writableLocked()
	}
	if err == nil {
		r.replyLocked(block, fin)
	}
	s.mu.Unlock()
	if err != nil {
		putBlock(block)
		return err
	}
	s.ring()
	return nil
}

// replyLocked queues the SYN_REPLY.
func (r *RawStream) replyLocked(block *[]byte, fin bool) {
	st := &r.st
	var flags frameFlags
	if fin {
		flags = FlagFin
	}
	st.state.replied, st.finHeaders = true, fin
	r.answered.Store(true)
	st.session.queueHeadersLocked(headerJob{st: st, typ: FrameSynReply, flags: flags, block: block})
}

// replyEmpty replies with an empty block unless that has been done, and reports
// whether it did.
func (r *RawStream) replyEmpty(fin bool) (replied bool, err error) {
	if r.answered.Load() {
		return false, nil
	}
	st, s := &r.st, r.st.session
	block := r.emptyBlock()
	s.mu.Lock()
	err = st.writableLocked()
	replied = err == nil && !st.state.replied
	if replied {
		r.replyLocked(block, fin)
	}
	s.mu.Unlock()
	if !replied {
		putBlock(block)
		return false, err
	}
	s.ring()
	return true, nil
}

// AwaitReply waits for the peer's reply to a stream of ours and returns its header
// block, which may be empty. It fails with the context's error, which leaves the
// stream as it is (see Reset), or with why the stream ended: a *StreamError that is
// Retryable if the peer refused it. Bytes can be written before; it may be called
// any number of times.
func (r *RawStream) AwaitReply(ctx context.Context) (HeaderBlock, error) {
	if r.st.replied == nil || r.st.oneWay {
		return nil, errNoReply
	}
	return r.st.awaitReply(ctx)
}

// SendHeaders sends a HEADERS frame, which reaches the peer after the headers, and
// before the bytes, that are sent later. It replies first if that has not been done, and
// fails as Reply and Write do.
//
// SendHeaders returns when the block waits for the network beside no more than 64 KiB of
// other blocks of the stream. Before that it waits, as Write does: until the write deadline
// passes (os.ErrDeadlineExceeded), the stream ends, or our half is closed. Without fin the
// frame may overtake the bytes of a Write that is
// under way. With fin set it follows them, and closes our half. If the write deadline cuts that
// Write short, the stream is reset without FIN, because not all has been written.
func (r *RawStream) SendHeaders(h HeaderBlock, fin bool) error {
	if r.closed.Load() {
		return ErrStreamClosed
	}
	block, err := r.st.session.encodeHeaders(h)
	if err != nil {
		return err
	}
	if _, err := r.replyEmpty(false); err != nil {
		putBlock(block)
		return err
	}
	return r.st.sendHeaders(FrameHeaders, block, fin)
}

// ReceiveHeaders waits for the next HEADERS frame and returns its block. A peer can
// have Config.MaxHeaderBytes of them wait; more costs it the stream. After the
// peer's FIN it returns io.EOF, after another end why the stream broke off, and
// ErrStreamClosed after Close, CloseRead or Reset. The end of the context leaves the
// stream as it is.
func (r *RawStream) ReceiveHeaders(ctx context.Context) (h HeaderBlock, err error) {
	look := func() (bell chan struct{}) {
		if h, bell, err = r.nextHeaders(); bell == nil {
			return nil
		}
		if err = context.Cause(ctx); err != nil {
			return nil
		}
		return bell
	}
	w := wait{end: r.st.done, over: ctx.Done()}
	w.until(look(), look)
	return h, err
}

// nextHeaders takes the oldest late block, or returns the bell to wait for.
func (r *RawStream) nextHeaders() (h HeaderBlock, bell chan struct{}, err error) {
	st, s := &r.st, r.st.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.lateBell == nil {
		r.lateBell = make(chan struct{}, 1)
	}
	end := st.in.ending()
	switch {
	case end == ErrStreamClosed || len(r.late) == 0 && end != nil:
		r.ringLateLocked() // for whoever else waits
		return nil, nil, end
	case len(r.late) == 0:
		return nil, r.lateBell, nil
	}
	late := r.late[0]
	r.late[0] = lateBlock{}
	r.late = r.late[1:] // in constant time: a peer can have many wait
	st.lateBytes -= late.size
	if !st.ended {
		r.countToLocked(r.counted - late.kept)
	}
	if len(r.late) > 0 {
		r.ringLateLocked()
	}
	return late.header, nil, nil
}

// A lateBlock is the block of a HEADERS frame that has not been received yet.
type lateBlock struct {
	header HeaderBlock
	size   int // as encoded, which is what a sender looks at
	kept   int // what it takes to keep it
}

// addLateLocked keeps the block of the HEADERS frame that the receiver has just read until
// the application receives it. Unlike those of HTTP, its names may occur again. It returns
// why the stream has to be reset if too much waits.
func (r *RawStream) addLateLocked(h HeaderBlock) *StreamError {
	st, s := &r.st, r.st.session
	size, kept := s.inflate.size, s.keptBytes(h)
	switch {
	case st.lateBytes+size > s.conf.MaxHeaderBytes:
		return streamErrorf(st.id, RstFrameTooLarge, "late headers of more than %d bytes wait", s.conf.MaxHeaderBytes)
	case !r.countLocked(kept):
		return streamErrorf(st.id, RstFrameTooLarge, "%s", rawHeadersFull)
	}
	st.lateBytes += size
	r.late = append(r.late, lateBlock{h, size, kept})
	r.ringLateLocked()
	return nil
}

// keptBytes is how many bytes it takes to keep h, the block that the receiver has just read.
func (s *Session) keptBytes(h HeaderBlock) int {
	const pair, block = 32, 64
	return s.inflate.size + (pair-2*nvIntSize(s.version))*len(h) + block
}

// rawHeaderFactor times MaxHeaderBytes is what all header blocks of a session's raw
// streams may take together. The streams would allow a peer much more.
const rawHeaderFactor = 16

// rawHeadersFull is why streams are refused or reset at that bound.
const rawHeadersFull = "the header blocks of all streams are too large"

// countLocked counts n more bytes that the peer has us keep. At the bound the stream that
// holds most pays: if that is r, countLocked reports false; another one becomes the payer,
// which the receiver resets when it has left the lock, see resetPayer. Receiver only.
func (r *RawStream) countLocked(n int) bool {
	s := r.st.session
	if s.rawHeaders+n > rawHeaderFactor*s.conf.MaxHeaderBytes {
		if len(s.rawHolders) == 0 || s.rawHolders[0].counted <= r.counted+n {
			return false
		}
		s.payer = s.rawHolders[0]
	}
	r.countToLocked(r.counted + n)
	return true
}

// countToLocked sets the number of bytes that are kept for the stream.
func (r *RawStream) countToLocked(n int) {
	s := r.st.session
	s.rawHeaders += n - r.counted
	r.counted = n
	s.rawHolders.place(r)
}

// resetPayer resets the stream that countLocked has chosen, and lets go of its blocks.
// Nobody is charged: the streams of a peer may be of different users.
func (s *Session) resetPayer() {
	r := s.payer
	if r == nil {
		return
	}
	s.payer = nil
	s.mu.Lock()
	r.dropped = !r.taken
	s.mu.Unlock()
	s.spoilStream(&r.st, streamErrorf(r.st.id, RstFrameTooLarge, "%s", rawHeadersFull))
	if r.dropped { // which only the receiver changes
		r.header = nil
		s.credit(r.st.discard()) // what came before a FIN
	}
	s.mu.Lock()
	r.late = nil
	r.countToLocked(0)
	s.mu.Unlock()
}

// takeLocked notes that the application has the stream, or nobody will.
func (r *RawStream) takeLocked() {
	r.taken = true
	r.uncountLocked()
}

// uncountLocked forgets the blocks of a stream that has ended and left the queue.
func (r *RawStream) uncountLocked() {
	switch {
	case r == nil:
	case r.taken && r.st.ended:
		r.countToLocked(0)
	default:
		r.st.session.rawHolders.place(r)
	}
}

// rawHolders are the open raw streams whose header blocks are kept: a heap with the one that
// holds most at the top. Guarded by Session.mu.
type rawHolders []*RawStream

// place moves a stream to where it belongs, which may be nowhere.
func (q *rawHolders) place(r *RawStream) {
	wanted := r.counted > 0 && !r.st.ended
	switch {
	case wanted && r.rank == 0:
		heap.Push(q, r)
	case wanted:
		heap.Fix(q, r.rank-1)
	case r.rank > 0:
		heap.Remove(q, r.rank-1)
	}
}

// The methods below are for package heap.

func (q rawHolders) Len() int           { return len(q) }
func (q rawHolders) Less(i, j int) bool { return q[i].counted > q[j].counted }

func (q rawHolders) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].rank, q[j].rank = i+1, j+1
}

// Push appends a stream.
func (q *rawHolders) Push(x any) {
	r := x.(*RawStream)
	*q = append(*q, r)
	r.rank = len(*q)
}

// Pop removes the last stream.
func (q *rawHolders) Pop() any {
	last := len(*q) - 1
	r := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	r.rank = 0
	return r
}

// ringLate wakes ReceiveHeaders.
func (r *RawStream) ringLate() {
	r.st.session.mu.Lock()
	r.ringLateLocked()
	r.st.session.mu.Unlock()
}

func (r *RawStream) ringLateLocked() {
	ringBell(r.lateBell)
}
