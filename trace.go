package spdy

// A Trace is a set of hooks: functions that sessions call on events. Any hook may be nil. Set
// Config.Trace to use a Trace. It must not be changed afterwards, and may serve any number of
// sessions at once. A session without a Trace has no overhead.
//
// The goroutine that runs Session.Serve calls SessionStart and SessionEnd. The session's receiver,
// in the same goroutine, calls FrameReceived, and the sender calls FrameSent. StreamOpened,
// StreamClosed and StreamShed are called by the goroutine that opened or ended a stream, which may
// belong to the application. A session calls only one of these stream hooks at a time, in the order
// of the events. So FrameSent, FrameReceived and a stream hook can run at the same time, and the
// order of a stream hook and FrameSent for a frame of the same stream is unspecified.
//
// A hook blocks the calling goroutine and so the whole session: it must not wait. Hooks are called
// without locks. A hook may call methods of the session that do not wait, such as Stats, Err,
// Version and the addresses; Close and Shutdown too, see there. It must not wait for the session in
// other ways, such as sending a request or a PING: a session that waits for itself cannot proceed.
// The same applies to the slog.Handler of Config.Logger, to the writer of a FrameLog, to a
// SettingsStore and to the methods of a net.Conn. A panic in a hook ends the program.
type Trace struct {
	// SessionStart is called once, by Serve, before the first frame.
	SessionStart func(s *Session)

	// SessionEnd is called once, before Serve returns, when the connection is closed. err is the
	// reason of the end, as in Session.Err. All frames, and normally the end of all streams, have
	// been reported before.
	SessionEnd func(s *Session, err error)

	// FrameSent is called for every frame, in wire order, just before the frame is written to the
	// connection.
	FrameSent func(s *Session, f FrameInfo)

	// FrameReceived is called for every frame, in wire order, before the session processes the
	// frame; for DATA as soon as the frame's header has arrived. Frames received after the end of
	// the session are not reported.
	FrameReceived func(s *Session, f FrameInfo)

	// Headers makes FrameInfo.Headers available, at the cost of copying every header block. Secret
	// values, such as cookie, authorization and the query of a URL, are replaced by their length,
	// unless Secrets is set.
	Headers, Secrets bool

	// StreamOpened is called for every stream that counts as opened or accepted in SessionStats,
	// when it has its id.
	StreamOpened func(s *Session, st StreamInfo)

	// StreamClosed is called when a stream reported by StreamOpened has ended. err is nil if both
	// sides have sent a FIN, else the cause: a *StreamError, a *SessionError, a *ConnError or
	// ErrSessionClosed. Received data may still be unread, and the handler may still run.
	StreamClosed func(s *Session, st StreamInfo, err error)

	// StreamShed is called for every stream that SessionStats.Shed counts. err is the *StreamError
	// that readers of the stream get. If the stream was open, StreamClosed has been called with the
	// same error; the stream may also have ended long before, unread.
	StreamShed func(s *Session, st StreamInfo, err error)
}

// StreamInfo identifies the stream of a Trace hook.
type StreamInfo struct {
	ID         uint32 // odd if the client opened it
	Associated uint32 // the parent of a pushed stream; 0 for none
	Priority   uint8  // 0, the most urgent, to 7; twice the wire value in SPDY/2
	Ours       bool   // this side opened it
}

// streamHooks queues the calls of a session's stream hooks. Calls are queued under the lock, which
// fixes their order, and made without the lock. Guarded by Session.mu.
type streamHooks struct {
	news    []streamNews
	spare   []streamNews // empty, for reuse
	telling bool         // a goroutine is calling hooks
}

// streamNews is a call of StreamOpened, StreamClosed or StreamShed.
type streamNews struct {
	st   StreamInfo
	what streamEvent
	err  error
}

// A streamEvent selects the hook.
type streamEvent uint8

const (
	streamOpened streamEvent = iota
	streamClosed
	streamShed
)

// newStreamHooks returns nil if there is no hook for streams.
func newStreamHooks(t *Trace) *streamHooks {
	if t == nil || t.StreamOpened == nil && t.StreamClosed == nil && t.StreamShed == nil {
		return nil
	}
	return new(streamHooks)
}

// noteLocked queues a hook call for an event of a stream, with an error or nil. The caller rings
// the sender's bell, or is the sender or the receiver, so the hook is called soon.
func (s *Session) noteLocked(st *Stream, what streamEvent, err error) {
	h := s.hooks
	if h == nil || st.id == 0 { // the stream was cancelled before it was opened
		return
	}
	if err == ErrStreamClosed { // the regular end of a stream
		err = nil
	}
	info := StreamInfo{ID: st.id, Associated: st.assoc, Priority: st.priority, Ours: st.state.ours}
	h.news = append(h.news, streamNews{st: info, what: what, err: err})
}

// tellHooks makes the queued calls of stream hooks, unless another goroutine is doing so and will
// make these calls too. The caller must not hold a lock.
func (s *Session) tellHooks() {
	h := s.hooks
	if h == nil {
		return
	}
	s.mu.Lock()
	if h.telling {
		s.mu.Unlock()
		return
	}
	h.telling = true
	for len(h.news) > 0 {
		news := h.news
		h.news, h.spare = h.spare, nil
		s.mu.Unlock()
		for i := range news {
			s.conf.Trace.tell(s, &news[i])
		}
		clear(news) // errors may refer to large objects
		s.mu.Lock()
		h.spare = news[:0]
	}
	h.telling = false
	s.mu.Unlock()
}

func (t *Trace) tell(s *Session, n *streamNews) {
	switch {
	case n.what == streamOpened && t.StreamOpened != nil:
		t.StreamOpened(s, n.st)
	case n.what == streamClosed && t.StreamClosed != nil:
		t.StreamClosed(s, n.st, n.err)
	case n.what == streamShed && t.StreamShed != nil:
		t.StreamShed(s, n.st, n.err)
	}
}

// traceStart and traceEnd are called by the Serve that runs the session.
func (s *Session) traceStart() {
	if t := s.conf.Trace; t != nil && t.SessionStart != nil {
		t.SessionStart(s)
	}
}

func (s *Session) traceEnd() {
	if t := s.conf.Trace; t != nil && t.SessionEnd != nil {
		t.SessionEnd(s, s.Err())
	}
}
