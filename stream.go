package spdy

import (
	"container/list"
	"context"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
)

// endOfStream is how a northbound buffer ends after the peer's FIN.
var endOfStream = io.EOF

// What becomes of unread bytes when a stream ends before its FIN.
const (
	keepUnread = false // the connection was lost, or the peer gave up: what came is still worth reading
	dropUnread = true  // nobody wants the rest: its bytes and credit are freed
)

// A Stream is one of the conversations of a Session. A stream that a client
// opened on a server is the http.ResponseWriter of its handler; a stream made by
// Session.NewClientStream sends one request.
type Stream struct {
	// Immutable once the stream is open.
	session  *Session
	id       uint32
	assoc    uint32
	priority uint8  // 0 to 7 in every version, see priorityScale
	oneWay   bool   // opened with UNIDIRECTIONAL
	reserved bool   // it has a slot already; for the goroutine that opens it
	moves    bool   // the sender has taken bytes since restsLocked; guarded by Session.mu
	openedAt uint32 // when it got its id, if we opened it; in milliseconds since epoch, see waited

	left         int32 // its place in Session.leftover, from 1; 0 if it has none; guarded by Session.mu
	headerCharge int32 // what the ledger has charged it for its headers, in bytes; guarded by Session.mu

	in      northbound    // what the peer sent; has its own lock
	replied chan struct{} // latch: the SYN_REPLY has come; nil if the peer opened
	done    chan struct{} // latch: the stream has ended, err says why
	taken   chan struct{} // doorbell for the writer: "look at your loan again"; made under Session.mu by a writer who waits
	interim chan struct{} // doorbell for an upload that waits for 100; nil if none does
	turn    turn          // of writers

	readers atomic.Int32 // how many wait for in.bell, see wait.crowd

	settles atomic.Bool // what is read has to be settled with the session, see settle

	readDeadline  limit
	writeDeadline limit

	// Guarded by Session.mu.
	state    streamState
	ended    bool
	onWire   bool // our SYN_STREAM has left, or the peer's has come
	held     bool // takes one of the session's slots
	wasReset bool // we opened the stream, and have sent a RST_STREAM, see resetSlots
	wasted   bool // the peer cancelled the stream, and its handler still runs, see floods.wasted
	claimed  bool // a stream of NewClientStream has been given its request; a push its request, or nobody will have it
	released bool // the application is done with a stream of the peer
	tunnel   bool // the application has its bytes as a connection, see tunnel
	leaving  bool // headerCharge is a part of pool.leaving
	closing  bool // the application has closed the stream during a Write, see keepLoanLocked
	out      outflow
	granted  grantMark // its WINDOW_UPDATE that waits
	epoch    windowEpoch
	kept     int64         // its part of credit.kept
	err      error         // why the stream ended
	waits    *list.Element // its place in handlerQueue.waiting, nil if it has none
	keeps    *list.Element // its place in handlerQueue.unread, nil if it has none
	cancel   context.CancelCauseFunc
	reply    HeaderBlock  // of the SYN_REPLY
	late     *lateHeaders // what HEADERS and interim answers brought; nil before the first

	muted      bool         // nothing may be sent before the peer's reply, see FlowControlPeerUnaware
	unwanted   bool         // nobody will read the rest of what the peer sends
	cancelRest bool         // reset the stream once our FIN is on its way
	headerLoss bool         // header blocks of it were dropped, because the stream has ended
	flushing   bool         // awaitHeaders waits for the sender to take them
	finHeaders bool         // one of them carries our FIN, or will, see lastHeaders
	finQueued  bool         // our FIN follows the loan
	pushed     bool         // the peer has pushed along with the answer; guarded by Session.mu
	unfinished *StreamError // reset the stream with it once the peer's FIN has arrived; our FIN will not follow

	headerJobs int32         // how many are in Session.headers
	pushJobs   int32         // in Session.headers, of pushes that accompany the stream
	jobs       *queuedJob    // the first of headerJobs
	turned     uint64        // up to which time of Session.headers the stream has had its share
	room       chan struct{} // doorbell for whoever waits to queue a block, see lockForBlock; made by the first
	loan       []byte        // what a writer has to send; the sender copies from it
	owned      *[]byte       // the buffer behind a loan that nobody waits for: a pooled one, or that of keepLoanLocked

	// lastHeaders is the block of HEADERS with FIN that are queued when the loan has been taken.
	lastHeaders *[]byte

	parcel      *[]byte   // the parcel that the loan is in, if it is the sender's to take; else nil
	ring        *ring     // where the scheduler keeps the stream, nil if nowhere
	next, prev  *Stream   // in that ring
	part        roundPart // in the scheduler's rounds
	headerBytes int32     // bytes of header blocks that wait, those of its pushes included

	request *http.Request        // what our SYN_STREAM asked for
	pushes  map[*Stream]struct{} // open ones of ours that accompany the answer, nil if there are none; guarded by Session.mu

	http *exchange  // the HTTP side of the stream, nil if it carries none
	raw  *RawStream // what the stream is a part of, nil if it carries HTTP; immutable
}

// newStream makes a stream that is not open yet.
func newStream(s *Session, priority uint8) *Stream {
	st := new(Stream)
	st.init(s, priority)
	return st
}

func (st *Stream) init(s *Session, priority uint8) {
	st.session, st.moves = s, true
	st.priority = min(priority, priorities-1)
	st.done = make(chan struct{})
	window := int64(unlimited)
	if s.version.streamFlowControl() {
		window = int64(s.conf.StreamWindow)
	}
	st.in.init(window)
	st.in.pace = s.newReadPace()
}

// String returns the id of the stream as a decimal number, "0" before it is open.
func (st *Stream) String() string { return strconv.FormatUint(uint64(st.id), 10) }

// stopReading tells the stream that nobody wants the rest of what the peer
// sends. What still comes is thrown away and its credit returned to the session.
// The stream's window is not opened any further: a peer that has more to send
// than fits it is reset when it has used it up, which may be now.
func (st *Stream) stopReading() {
	s := st.session
	dropped := st.discard()
	s.mu.Lock()
	st.unwanted = true
	st.limitRequestLocked()
	s.mu.Unlock()
	s.credit(dropped)
	if st.in.exhausted() { // no byte will come that could tell
		s.stopUnwanted(st)
	}
}

// limitRequestLocked limits the time for the rest of a request whose handler has returned and
// whose answer has been sent, FIN included. A peer that neither ends the request nor
// continues it would keep the stream, and a session that is going away, for ever.
func (st *Stream) limitRequestLocked() {
	if st.unwanted && st.released && st.state.outDone && !st.ended && !st.state.ours && st.raw == nil {
		st.limitRest("the request did not end after its answer")
	}
}

// takeTurn waits until no other writer is at work.
func (st *Stream) takeTurn() error {
	if !st.turn.try() {
		return st.awaitTurn(&st.writeDeadline)
	}
	err := st.writeDeadline.Load().err()
	if err != nil {
		st.passTurn()
	}
	return err
}

// awaitTurn waits for the turn, the end of the stream, or the deadline at limits. The writer
// that has the turn obeys the deadline too, and rings turn when it is through.
func (st *Stream) awaitTurn(limits *limit) (err error) {
	turn := st.turn.queueUp(st.session)
	defer st.turn.leaveQueue()
	w := wait{limit: limits, end: st.done}
	look := func() (bell chan struct{}) {
		if err = limits.err(); err != nil {
			ringBell(turn) // it may have been rung for us
			return nil
		}
		if st.turn.try() {
			return nil
		}
		if latched(st.done) {
			err = st.writeEnd(st.endReason())
			return nil
		}
		return turn
	}
	w.until(look(), look)
	return err
}

func (st *Stream) passTurn() { st.turn.pass(st.session) }

// write lends p to the sender and waits until it has been taken, the stream has
// ended, or the write deadline has passed; nothing keeps p after that. With fin
// set our half closes after the last byte. A FIN by itself is not waited for.
func (st *Stream) write(p []byte, fin bool) (int, error) {
	if len(p) == 0 && !fin {
		return 0, nil
	}
	if err := st.takeTurn(); err != nil {
		return 0, err
	}
	defer st.passTurn()
	s := st.session
	s.mu.Lock()
	if err := st.writableLocked(); err != nil {
		s.mu.Unlock()
		return 0, err
	}
	if len(p) > 0 {
		st.bellLocked()
	}
	st.loan, st.finQueued = p, fin
	s.sched.place(st)
	s.mu.Unlock()
	s.ring()
	if len(p) == 0 {
		return 0, nil
	}
	left, err := st.awaitLoan()
	return len(p) - left, err
}

// writeOwned hands the last bytes of our half to the sender for good, so that
// the caller need not wait. buf comes from answerPool and goes back to it.
func (st *Stream) writeOwned(buf *[]byte) error {
	if err := st.takeTurn(); err != nil {
		putAnswerBuffer(buf)
		return err
	}
	defer st.passTurn()
	s := st.session
	s.mu.Lock()
	if err := st.writableLocked(); err != nil {
		s.mu.Unlock()
		putAnswerBuffer(buf)
		return err
	}
	st.loan, st.owned, st.finQueued = *buf, buf, true
	s.sched.place(st)
	s.mu.Unlock()
	s.ring()
	return nil
}

func (st *Stream) writableLocked() error {
	switch {
	case st.ended:
		return st.writeEnd(st.err)
	case st.state.outDone || st.finQueued || st.finHeaders || st.closing: // SPEC R13
		return ErrStreamClosed
	case st.session.end.writeErr != nil:
		return st.session.reasonLocked(nil)
	}
	return nil
}

// awaitLoan waits until the loan has been taken. The bell was made when the bytes were lent. If
// err is not nil, left bytes were not taken, and are not lent any more.
func (st *Stream) awaitLoan() (left int, err error) {
	w := wait{limit: &st.writeDeadline, end: st.done}
	w.until(st.taken, func() (bell chan struct{}) {
		left, err = st.loanLeft()
		if left > 0 && err == nil {
			return st.taken
		}
		return nil
	})
	if err != nil {
		st.cutLast(err)
	}
	return left, err
}

// cutLast resets a stream whose last HEADERS, or whose end, wait for a loan that has been
// withdrawn: a FIN would pass the part for the whole.
func (st *Stream) cutLast(cause error) {
	st.session.mu.Lock()
	cut := len(st.loan) == 0 && (st.lastHeaders != nil || st.closing)
	st.session.mu.Unlock()
	if cut {
		st.reset(RstCancel, "closed before all was written", cause)
	}
}

// queueLastLocked queues the last HEADERS if they have waited for the loan.
func (st *Stream) queueLastLocked() {
	block := st.lastHeaders
	if block == nil {
		return
	}
	st.lastHeaders = nil
	st.session.queueHeadersLocked(headerJob{st: st, typ: FrameHeaders, flags: FlagFin, block: block})
}

// dropLastLocked frees the last HEADERS of a stream that has ended.
func (st *Stream) dropLastLocked() {
	if st.lastHeaders != nil {
		putBlock(st.lastHeaders)
		st.lastHeaders = nil
	}
}

// loanLeft returns the number of bytes that are left of the current loan. If err is not nil it
// has withdrawn them.
func (st *Stream) loanLeft() (left int, err error) {
	s := st.session
	s.mu.Lock()
	defer s.mu.Unlock()
	left = len(st.loan)
	switch {
	case left == 0:
		return 0, nil
	case st.ended:
		err = st.writeEnd(st.err)
	case s.end.writeErr != nil:
		err = s.reasonLocked(nil)
	case st.closing:
		return st.keepLoanLocked()
	default:
		err = st.writeDeadline.err()
	}
	if err != nil {
		st.withdrawLocked()
	}
	return left, err
}

// withdrawLocked takes back what the sender has not taken of the loan, with the FIN behind it.
func (st *Stream) withdrawLocked() {
	st.loan, st.finQueued = nil, false
	st.session.sched.place(st)
}

// returnLoanLocked tells the writer that its bytes have been taken.
func (st *Stream) returnLoanLocked() {
	st.loan = nil
	if st.owned != nil {
		st.freeOwnedLocked()
		return
	}
	ringBell(st.taken)
}

// bellLocked makes sure that there is a bell for a writer who is about to wait.
func (st *Stream) bellLocked() {
	if st.taken == nil {
		st.taken = make(chan struct{}, 1)
	}
}

// sendHeaders queues a SYN_REPLY or HEADERS frame. The block goes back to its pool whatever
// happens. A FIN has to follow the bytes of a write that is under way, and the sender takes
// header blocks before DATA. So HEADERS with FIN are queued when the loan has been taken.
// HEADERS of a raw stream, of which there may be any number, wait for those before them, see
// lockForBlock; an HTTP message has two blocks.
func (st *Stream) sendHeaders(typ FrameType, block *[]byte, fin bool) error {
	s := st.session
	var flags frameFlags
	if fin {
		flags = FlagFin
	}
	if err := st.lockForBlock(typ == FrameHeaders && st.raw != nil, len(*block)); err != nil {
		putBlock(block)
		return err
	}
	if typ == FrameSynReply {
		st.state.replied = true
	}
	st.finHeaders = fin
	job := headerJob{st: st, typ: typ, flags: flags, block: block}
	switch {
	case fin && len(st.loan) > 0:
		st.lastHeaders = block
	case st.muted:
		st.headerBytes += job.kept()
		st.raw.held = append(st.raw.held, job)
	default:
		s.queueHeadersLocked(job)
	}
	s.mu.Unlock()
	s.ring()
	return nil
}

// awaitHeaders waits until the sender has taken the stream's header blocks, so that a
// reset cannot drop them any more.
func (st *Stream) awaitHeaders() (err error) {
	look := func() (bell chan struct{}) {
		bell, err = st.headersQueued()
		return bell
	}
	w := wait{limit: &st.writeDeadline, end: st.done}
	w.until(look(), look)
	return err
}

// headersQueued returns the bell that the sender rings when it takes header blocks of the
// stream, nil if no block is queued. Only whoever has the turn of an exchange flushes, so no other
// goroutine waits for the bell.
func (st *Stream) headersQueued() (bell chan struct{}, err error) {
	st.session.mu.Lock()
	defer st.session.mu.Unlock()
	st.flushing = false
	switch {
	case st.headerLoss:
		return nil, st.writeEnd(st.err)
	case st.headerJobs == 0: // whatever has become of the stream since
		return nil, nil
	case st.session.end.writeErr != nil:
		return nil, st.session.reasonLocked(nil)
	}
	if err := st.writeDeadline.err(); err != nil {
		return nil, err
	}
	st.bellLocked()
	st.flushing = true
	return st.taken, nil
}

// closeWrite ends our half with a FIN after what has been written.
func (st *Stream) closeWrite() error {
	_, err := st.write(nil, true)
	return err
}

// awaitReply waits for the SYN_REPLY.
func (st *Stream) awaitReply(ctx context.Context) (HeaderBlock, error) {
	if !latched(st.replied) {
		w := wait{end: st.done, over: ctx.Done()}
		switch w.sleep(st.replied) {
		case byOver:
			return nil, causeOf(ctx)
		case byEnd:
			if !latched(st.replied) { // the reply may have come first
				return nil, st.endReason()
			}
		}
	}
	return st.reply, nil
}

// lateHeaders returns what HEADERS frames have brought so far.
func (st *Stream) lateHeaders() HeaderBlock {
	st.session.mu.Lock()
	defer st.session.mu.Unlock()
	return st.lateBlockLocked()
}

// endReason is why calls on an ended stream fail.
func (st *Stream) endReason() error {
	st.session.mu.Lock()
	defer st.session.mu.Unlock()
	return st.err
}

// reset ends the stream with a RST_STREAM of ours.
func (st *Stream) reset(status RstStatus, reason string, cause error) {
	st.session.abortStream(st, &StreamError{StreamID: st.id, Status: status, Reason: reason, Err: cause})
}

// setContext makes cancel part of the stream's end.
func (st *Stream) setContext(cancel context.CancelCauseFunc) {
	st.session.mu.Lock()
	st.cancel = cancel
	ended, err := st.ended && st.err != ErrStreamClosed, st.err
	st.session.mu.Unlock()
	if ended {
		cancel(st.contextCause(err))
	}
}

// cancelContext cancels the context of a stream that has ended for a reason, which contextCause
// turns into the cause. It may call code of the user, so nobody holds a lock.
func (st *Stream) cancelContext(reason error) {
	st.session.mu.Lock()
	cancel := st.cancel
	st.session.mu.Unlock()
	if cancel != nil {
		cancel(st.contextCause(reason))
	}
}
