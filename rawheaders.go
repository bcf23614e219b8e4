package spdy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// ErrInvalidHeader is matched by errors about invalid header blocks to send.
var ErrInvalidHeader = errors.New("spdy: invalid header block")

// ErrReplied is returned by RawStream.Reply for a stream with a reply; the first Write also sends a
// reply.
var ErrReplied = errors.New("spdy: the stream has been replied to")

var (
	errNoReply  = errors.New("spdy: only the peer of a stream's opener replies, and never on one that is unidirectional")
	errNoStatus = errors.New("spdy: 0 is not a status to reset a stream with")
)

// NewHeaderBlock converts an http.Header to a header block: names in lower case and sorted, the
// values of one name joined by NUL. Names without values are left out. HTTPHeader converts back,
// with canonical names. NewHeaderBlock fails, with an error that matches ErrInvalidHeader, if a
// name is no token, a value has control bytes, or an empty value stands beside others, which the
// protocol cannot express.
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

// check returns an error if the block may not be sent.
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

// HTTPHeader returns the block as an http.Header: names in canonical form, values split at NUL. The
// result is a copy. Fields with names or values that HTTP does not allow are left out, see
// Config.LenientHeaders.
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

// Reply answers the opener of an accepted stream with a header block, which may be empty, and, if
// fin is set, closes our half. Reply can be called once, before the first write. Without a call,
// the first Write or CloseWrite sends an empty reply. Reply fails with ErrReplied, with an error
// that matches ErrInvalidHeader, or with the error that ended the stream.
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

// replyEmpty queues an empty reply unless a reply has been sent, and reports whether it queued the
// reply.
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

// AwaitReply waits for the peer's reply to a stream of ours and returns the reply's header block,
// which may be empty. It fails with the context's error, which leaves the stream open (see Reset),
// or with the error that ended the stream: a *StreamError that is Retryable if the peer refused the
// stream. The caller may write before the reply, and may call AwaitReply any number of times.
func (r *RawStream) AwaitReply(ctx context.Context) (HeaderBlock, error) {
	r = r.made()
	if r.st.replied == nil || r.st.oneWay {
		return nil, errNoReply
	}
	return r.st.awaitReply(ctx)
}

// SendHeaders sends a HEADERS frame. The frame reaches the peer before headers and bytes sent
// later, and after headers sent before. If no reply has been sent, SendHeaders replies first; it
// fails as Reply and Write do.
//
// SendHeaders returns when the block is queued for the network beside no more than 64 KiB of other
// blocks of the stream. Until then it blocks, as Write does: until the write deadline passes
// (os.ErrDeadlineExceeded), the stream ends, or our half is closed. Without fin the frame may
// overtake the bytes of a concurrent Write. With fin set the frame follows those bytes, and closes
// our half. If the write deadline cuts that Write short, the stream is reset without FIN, because
// bytes are missing.
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

// ReceiveHeaders waits for the next HEADERS frame and returns the block. Blocks of up to
// Config.MaxHeaderBytes may be queued; if the peer sends more, the stream is reset. After the
// peer's FIN ReceiveHeaders returns io.EOF, after another end the reason, and after Close,
// CloseRead or Reset ErrStreamClosed. The end of the context leaves the stream open.
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

// nextHeaders removes and returns the oldest late block, or returns the bell to wait for.
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
		r.ringLateLocked() // for other waiting callers
		return nil, nil, end
	case len(r.late) == 0:
		return nil, r.lateBell, nil
	}
	late := r.late[0]
	r.late[0] = lateBlock{}
	r.late = r.late[1:] // in constant time: many blocks may be queued
	st.late.bytes -= late.size
	if !st.ended {
		r.keptLocked(r.kept-late.kept, r.opening)
	}
	if len(r.late) > 0 {
		r.ringLateLocked()
	}
	return late.header, nil, nil
}

// A lateBlock is the block of a HEADERS frame not yet received by the application.
type lateBlock struct {
	header HeaderBlock
	size   int // uncompressed size, which a sender can compute
	kept   int // bytes of memory used by the block
}

// addLateLocked queues the block of the HEADERS frame just read, until the application receives it.
// Unlike names of HTTP trailers, the names may repeat earlier names. If too much is queued,
// addLateLocked returns the reason for resetting the stream.
func (r *RawStream) addLateLocked(h HeaderBlock) *StreamError {
	st, s := &r.st, r.st.session
	size, kept, late := s.inflate.size, s.keptBytes(h), st.makeLateLocked()
	switch {
	case late.bytes+size > s.conf.MaxHeaderBytes:
		return streamErrorf(st.id, RstFrameTooLarge, "late headers of more than %d bytes wait", s.conf.MaxHeaderBytes)
	case !r.keepLateLocked(kept):
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
