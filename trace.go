package spdy

// A Trace is a set of hooks: functions that sessions call when something happens.
// Any of them may be nil. Set Config.Trace to use one; it must not be changed
// afterwards, and may serve any number of sessions at once. A session without one
// pays nothing for it.
//
// SessionStart and SessionEnd are called by the goroutine that runs Session.Serve,
// FrameReceived by the session's receiver, which is the same goroutine, and FrameSent
// by its sender. StreamOpened, StreamClosed and StreamShed are called by whichever goroutine
// opened or ended a stream, which may be one of the application's, but never two of
// them at once for one session, and in the order in which things happened. So
// FrameSent, FrameReceived and one of the stream hooks can run at the same time, and
// whether a stream hook or FrameSent for a frame of the stream comes first is not said.
//
// A hook holds up what called it, and so all of the session: it must not block. It is
// called without any lock. It may call whatever of the session does not wait, among
// it Stats, Err, Version and the addresses; Close and Shutdown too, see there. It must
// not wait for the session in other ways, as by sending a request or a PING: a session
// cannot go on while it waits for itself. The same is true of the slog.Handler of
// Config.Logger, of a FrameLog's writer, of a SettingsStore and of the methods of a
// net.Conn. A panic in a hook ends the program.
type Trace struct {
	// SessionStart is called once, by Serve, before the first frame.
	SessionStart func(s *Session)

	// SessionEnd is called once, before Serve returns, when the connection is closed.
	// err is why the session ended, as Session.Err has it. All frames, and normally
	// all streams, have been reported before.
	SessionEnd func(s *Session, err error)

	// FrameSent is called for every frame, in the order of the wire, just before it
	// is written to the connection.
	FrameSent func(s *Session, f FrameInfo)

	// FrameReceived is called for every frame, in the order of the wire, before the
	// session acts on it; for DATA as soon as the frame has begun. Frames that come
	// after the session has ended are not reported.
	FrameReceived func(s *Session, f FrameInfo)

	// Headers makes FrameInfo.Headers available. It costs a copy of every header
	// block. Values that are secret, such as those of cookie and authorization and
	// of the query of a URL, are replaced by their length, unless Secrets is set.
	Headers, Secrets bool

	// StreamOpened is called for every stream that counts as opened or accepted in
	// SessionStats, when it has its id.
	StreamOpened func(s *Session, st StreamInfo)

	// StreamClosed is called for every stream that StreamOpened was called for, when
	// it has ended. err is nil if both sides have sent their FIN, else what ended it:
	// a *StreamError, a *SessionError, a *ConnError or ErrSessionClosed. What it has
	// received may still be unread, and its handler may still run.
	StreamClosed func(s *Session, st StreamInfo, err error)

	// StreamShed is called for every stream that SessionStats.Shed counts. err is the
	// *StreamError that whoever reads the stream gets. If the stream was open, StreamClosed
	// has been called for it with the same error; it may also have ended long before, unread.
	StreamShed func(s *Session, st StreamInfo, err error)
}

// StreamInfo says which stream a hook of a Trace is about.
type StreamInfo struct {
	ID         uint32 // odd if the client opened it
	Associated uint32 // the stream that this one was pushed along with; 0 for none
	Priority   uint8  // 0, the most urgent, to 7; twice that of the wire in SPDY/2
	Ours       bool   // this side opened it
}

// streamHooks are the streams of a session that hooks have to be told of. The news
// are noted under the lock, where the order of things is known, and told without it.
// Guarded by Session.mu.
type streamHooks struct {
	news    []streamNews
	spare   []streamNews // empty, to be used again
	telling bool         // somebody is at it
}

// streamNews is one call of StreamOpened, StreamClosed or StreamShed.
type streamNews struct {
	st   StreamInfo
	what streamEvent
	err  error
}

// A streamEvent says which hook is called.
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

// noteLocked remembers what has become of a stream, with an error or nil. Whoever
// calls it rings the sender's bell, or is the sender or the receiver, and so the news
// are told soon.
func (s *Session) noteLocked(st *Stream, what streamEvent, err error) {
	h := s.hooks
	if h == nil || st.id == 0 { // it was given up before it was opened
		return
	}
	if err == ErrStreamClosed { // the end that a stream is meant to have
		err = nil
	}
	info := StreamInfo{ID: st.id, Associated: st.assoc, Priority: st.priority, Ours: st.state.ours}
	h.news = append(h.news, streamNews{st: info, what: what, err: err})
}

// tellHooks calls the stream hooks for what there is news of, unless another
// goroutine is at it, which will then tell ours too. Nobody holds a lock.
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
		clear(news) // errors may hold on to much
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
