package spdy

import (
	"container/list"
	"context"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
)

// endOfStream is the end of a northbound buffer after the peer's FIN.
var endOfStream = io.EOF

// The handling of unread bytes when a stream ends before the peer's FIN.
const (
	keepUnread = false // the connection was lost, or the peer cancelled the stream: received bytes are still worth reading
	dropUnread = true  // the rest has no reader: bytes and credit are freed
)

// A Stream is one of the conversations of a Session. A stream that a client opened on a server is
// the http.ResponseWriter of the handler; a stream from Session.NewClientStream sends one request.
type Stream struct {
	// Immutable once the stream is open.
	session  *Session
	id       uint32
	assoc    uint32
	priority uint8  // 0 to 7 in every version, see priorityScale
	oneWay   bool   // opened with UNIDIRECTIONAL
	reserved bool   // the stream already has a slot; used only by the goroutine that opens the stream
	moves    bool   // the sender has sent bytes since restsLocked; guarded by Session.mu
	openedAt uint32 // time when the id was assigned, if we opened the stream; in milliseconds since epoch, see waited

	left         int32 // index in Session.leftover, from 1; 0 if not there; guarded by Session.mu
	headerCharge int32 // bytes that the ledger has charged for the stream's headers; guarded by Session.mu

	in      northbound    // bytes from the peer; has its own lock
	replied chan struct{} // latch: the SYN_REPLY has arrived; nil if the peer opened the stream
	done    chan struct{} // latch: the stream has ended, err is the reason
	taken   chan struct{} // doorbell for the writer: "look at your loan again"; created under Session.mu by a waiting writer
	interim chan struct{} // doorbell for an upload that waits for 100; nil if there is none
	turn    turn          // the writers' turn

	readers atomic.Int32 // number of readers that wait for in.bell, see wait.crowd

	settles atomic.Bool // reads must be settled with the session, see settle

	readDeadline  limit
	writeDeadline limit

	// Guarded by Session.mu.
	state    streamState
	ended    bool
	onWire   bool  // our SYN_STREAM has been sent, or the peer's has arrived
	held     bool  // the stream holds one of the session's slots
	wasReset bool  // we have opened the stream, and have sent a RST_STREAM, see resetSlots
	wasted   bool  // the peer has cancelled the stream, and the handler is still running, see floods.wasted
	claimed  bool  // a stream of NewClientStream has a request; a push has a request, or will have none
	released bool  // the application has released a stream of the peer
	tunnel   bool  // the application uses the stream as a connection, see tunnel
	leaving  bool  // headerCharge is included in pool.leaving
	closing  bool  // the application has closed the stream during a Write, see keepLoanLocked
	copies   int32 // bytes of the buffers that copy to the stream, see chargeCopy
	out      outflow
	granted  grantMark // the stream's waiting WINDOW_UPDATE
	epoch    windowEpoch
	kept     int64         // the stream's part of credit.kept
	err      error         // the reason for the end of the stream
	waits    *list.Element // element in handlerQueue.waiting; nil if not there
	keeps    *list.Element // element in handlerQueue.unread or lateHandlers.list; nil if in neither
	cancel   context.CancelCauseFunc
	reply    HeaderBlock  // header block of the SYN_REPLY
	late     *lateHeaders // header blocks of HEADERS and interim responses; nil before the first

	muted      bool         // nothing may be sent before the peer's reply, see FlowControlPeerUnaware
	unwanted   bool         // the rest of the peer's bytes has no reader
	cancelRest bool         // reset the stream once our FIN is being sent
	headerLoss bool         // some of the stream's header blocks were dropped, because the stream has ended
	flushing   bool         // awaitHeaders waits for the sender to dequeue the header blocks
	finHeaders bool         // a header block carries our FIN, or will, see lastHeaders
	finQueued  bool         // our FIN follows the loan
	pushed     bool         // the peer has pushed along with the response; guarded by Session.mu
	unfinished *StreamError // reset the stream with this error once the peer's FIN has arrived; our FIN will not follow

	headerJobs int32         // number of header jobs in Session.headers
	pushJobs   int32         // number of jobs in Session.headers for pushes that accompany the stream
	jobs       *queuedJob    // the first of the headerJobs
	turned     uint64        // the clock of Session.headers up to which the stream has been served
	room       chan struct{} // doorbell for callers that wait to queue a block, see lockForBlock; created by the first
	loan       []byte        // bytes that a writer has queued; the sender copies from this slice
	owned      *[]byte       // the buffer of a loan without a waiting writer: pooled, or from keepLoanLocked

	// lastHeaders is the block of HEADERS with FIN that are queued once the loan has been sent.
	lastHeaders *[]byte

	parcel      *[]byte   // the parcel that holds the loan, if the sender may take ownership; otherwise nil
	ring        *ring     // the scheduler's ring that holds the stream; nil if none
	next, prev  *Stream   // neighbours in the ring
	part        roundPart // the stream's part in the scheduler's rounds
	headerBytes int32     // bytes of queued header blocks, including blocks of pushes

	request *http.Request        // request of our SYN_STREAM
	pushes  map[*Stream]struct{} // our open pushes that accompany the response; nil if there are none; guarded by Session.mu

	http *exchange  // the HTTP side of the stream; nil without HTTP
	raw  *RawStream // the RawStream that contains the stream; nil if it carries HTTP; immutable
}

// newStream returns a stream that is not open yet.
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

// stopReading marks the rest of the peer's bytes as unwanted. Bytes that still arrive are
// discarded, and the credit is returned to the session. The stream's window is not opened any
// further: a stream with more than a window of bytes left is reset once the window is exhausted,
// possibly now.
func (st *Stream) stopReading() {
	s := st.session
	dropped := st.discard()
	s.mu.Lock()
	st.unwanted = true
	st.limitRequestLocked()
	s.mu.Unlock()
	s.credit(dropped)
	if st.in.exhausted() { // no further byte can arrive to trigger the reset
		s.stopUnwanted(st)
	}
}

// limitRequestLocked limits the time for the rest of a request whose handler has returned and whose
// response has been sent, including FIN. A peer that neither ends nor continues the request would
// otherwise keep the stream, and a session that is going away, open without limit.
func (st *Stream) limitRequestLocked() {
	if st.unwanted && st.released && st.state.outDone && !st.ended && !st.state.ours && st.raw == nil {
		st.limitRest("the request did not end after its answer")
	}
}

// takeTurn waits until no other writer is active.
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

// awaitTurn waits for the turn, the end of the stream, or the deadline at limits. The writer that
// holds the turn obeys the deadline too, and rings turn when it has finished.
func (st *Stream) awaitTurn(limits *limit) (err error) {
	turn := st.turn.queueUp(st.session)
	defer st.turn.leaveQueue()
	w := wait{limit: limits, end: st.done}
	look := func() (bell chan struct{}) {
		if err = limits.err(); err != nil {
			ringBell(turn) // the bell may have been rung for us
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

// write queues p with the sender and waits until p has been copied, the stream has ended, or the
// write deadline has passed. No reference to p is kept after that. If fin is set, our half closes
// after the last byte. write does not wait for a FIN without bytes.
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

// writeOwned passes ownership of the last bytes of our half to the sender, so the caller need not
// wait. buf is from answerPool and is returned there.
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

// awaitLoan waits until the sender has copied the loan. The bell was created when the loan was
// queued. If err is not nil, left bytes were not copied and have been withdrawn.
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

// cutLast resets a stream if its last HEADERS, or its end, were to follow a loan that has been
// withdrawn: with a FIN the partial body would look complete.
func (st *Stream) cutLast(cause error) {
	st.session.mu.Lock()
	cut := len(st.loan) == 0 && (st.lastHeaders != nil || st.closing)
	st.session.mu.Unlock()
	if cut {
		st.reset(RstCancel, "closed before all was written", cause)
	}
}

// queueLastLocked queues the last HEADERS if they were waiting for the loan.
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

// loanLeft returns the number of remaining bytes of the current loan. If err is not nil, loanLeft
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

// withdrawLocked withdraws the unsent rest of the loan, and the FIN behind it.
func (st *Stream) withdrawLocked() {
	st.loan, st.finQueued = nil, false
	st.session.sched.place(st)
}

// returnLoanLocked notifies the writer that the bytes have been copied.
func (st *Stream) returnLoanLocked() {
	st.loan = nil
	if st.owned != nil {
		st.freeOwnedLocked()
		return
	}
	ringBell(st.taken)
}

// bellLocked creates the bell for a writer that is about to wait.
func (st *Stream) bellLocked() {
	if st.taken == nil {
		st.taken = make(chan struct{}, 1)
	}
}

// sendHeaders queues a SYN_REPLY or HEADERS frame. The block is returned to the pool in any case. A
// FIN must follow the bytes of a running write, and the sender sends header blocks before DATA, so
// HEADERS with FIN are queued once the loan has been sent. HEADERS of a raw stream, of which there
// may be any number, wait for earlier HEADERS, see lockForBlock; an HTTP message has two blocks.
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

// awaitHeaders waits until the sender has dequeued the stream's header blocks, so that a reset can
// no longer drop them.
func (st *Stream) awaitHeaders() (err error) {
	look := func() (bell chan struct{}) {
		bell, err = st.headersQueued()
		return bell
	}
	w := wait{limit: &st.writeDeadline, end: st.done}
	w.until(look(), look)
	return err
}

// headersQueued returns the bell that rings when the sender dequeues the stream's header blocks, or
// nil if no block is queued. Only the goroutine that holds the turn of an exchange flushes, so no
// other goroutine waits for the bell.
func (st *Stream) headersQueued() (bell chan struct{}, err error) {
	st.session.mu.Lock()
	defer st.session.mu.Unlock()
	st.flushing = false
	switch {
	case st.headerLoss:
		return nil, st.writeEnd(st.err)
	case st.headerJobs == 0: // sent, even if the stream has ended since
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

// closeWrite ends our half with a FIN after the written bytes.
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
			if !latched(st.replied) { // the reply may have arrived first
				return nil, st.endReason()
			}
		}
	}
	return st.reply, nil
}

// lateHeaders returns the headers of the HEADERS frames received so far.
func (st *Stream) lateHeaders() HeaderBlock {
	st.session.mu.Lock()
	defer st.session.mu.Unlock()
	return st.lateBlockLocked()
}

// endReason returns the error of calls on an ended stream.
func (st *Stream) endReason() error {
	st.session.mu.Lock()
	defer st.session.mu.Unlock()
	return st.err
}

// reset ends the stream with our RST_STREAM.
func (st *Stream) reset(status RstStatus, reason string, cause error) {
	st.session.abortStream(st, &StreamError{StreamID: st.id, Status: status, Reason: reason, Err: cause})
}

// setContext registers cancel, which is called when the stream ends.
func (st *Stream) setContext(cancel context.CancelCauseFunc) {
	st.session.mu.Lock()
	st.cancel = cancel
	ended, err := st.ended && st.err != ErrStreamClosed, st.err
	st.session.mu.Unlock()
	if ended {
		cancel(st.contextCause(err))
	}
}

// cancelContext cancels the context of a stream that has ended. contextCause turns the reason into
// the cause. The end of a context may run code of the user, so callers hold no lock.
func (st *Stream) cancelContext(reason error) {
	st.session.mu.Lock()
	cancel := st.cancel
	st.session.mu.Unlock()
	if cancel != nil {
		cancel(st.contextCause(reason))
	}
}
