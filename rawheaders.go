package spdy

import (
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
	if err := b.check(SPDY31, httpPairs); err != nil {
		return nil, err
	}
	return b, nil
}

func (h HeaderBlock) has(name string) bool {
	_, ok := h.Get(name)
	return ok
}

// check finds out whether a block may be sent.
func (h HeaderBlock) check(v Version, rules pairRules) error {
	for i := range h {
		if err := rules.check(v, []byte(h[i].Name), []byte(h[i].Value)); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalidHeader, err)
		}
	}
	if err := checkUnique(h); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalidHeader, err)
	}
	return nil
}

// HTTPHeader returns the block as an http.Header: names in their canonical form,
// values split at NUL. The result is a copy. A field whose name or value HTTP does not allow,
// see Config.LenientHeaders, is left out.
func (h HeaderBlock) HTTPHeader() http.Header {
	header := make(http.Header, len(h))
	for i := range h {
		if !h[i].isHTTP() {
			continue
		}
		key := http.CanonicalHeaderKey(h[i].Name)
		header[key] = append(header[key], strings.Split(h[i].Value, "\x00")...)
	}
	return header
}

// encodeHeaders checks a block and encodes it into a buffer from blockPool.
func (s *Session) encodeHeaders(h HeaderBlock) (*[]byte, error) {
	if err := h.check(s.version, s.pairs()); err != nil {
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
	r = r.made()
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
	r = r.made()
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
	r = r.made()
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
	r = r.made()
	look := func() (bell chan struct{}) {
		if h, bell, err = r.nextHeaders(); bell == nil {
			return nil
		}
		if err = causeOf(ctx); err != nil {
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
	st.late.bytes -= late.size
	if !st.ended {
		r.keptLocked(r.kept - late.kept)
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
	size, kept, late := s.inflate.size, s.keptBytes(h), st.makeLateLocked()
	switch {
	case late.bytes+size > s.conf.MaxHeaderBytes:
		return streamErrorf(st.id, RstFrameTooLarge, "late headers of more than %d bytes wait", s.conf.MaxHeaderBytes)
	case !r.keepLocked(kept):
		return streamErrorf(st.id, RstFrameTooLarge, "%s", rawHeadersFull)
	}
	late.bytes += size
	r.late = append(r.late, lateBlock{h, size, kept})
	r.ringLateLocked()
	return nil
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
