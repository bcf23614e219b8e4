package spdy

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
)

// packageLogger is where sessions without a logger of their own log; nil means
// slog.Default.
var packageLogger atomic.Pointer[slog.Logger]

// SetLog makes the package log to w, as text. Servers, clients and sessions with
// a Config.Logger do not use it. Without a call the package logs to
// slog.Default. It may be called at any time; w must be safe for concurrent use
// or tolerate one Write a line, which is how it is called.
func SetLog(w io.Writer) {
	packageLogger.Store(slog.New(slog.NewTextHandler(w, nil)))
}

// A logSink says what a session has to say.
type logSink struct {
	own *slog.Logger
}

func newLogSink(own *slog.Logger) *logSink { return &logSink{own: own} }

func (l *logSink) logger() *slog.Logger {
	if l.own != nil {
		return l.own
	}
	if p := packageLogger.Load(); p != nil {
		return p
	}
	return slog.Default()
}

// sessionError reports the peer's breach that ends a session.
func (l *logSink) sessionError(s *Session, err *SessionError) {
	l.logger().Warn("spdy: session error", "peer", peerName(s), "error", err)
}

// foreign reports a peer that does not speak SPDY, which ends its session.
func (l *logSink) foreign(s *Session, err *NotSPDYError) {
	l.logger().Warn("spdy: not SPDY", "peer", peerName(s), "error", err)
}

// streamError reports a stream that we reset because of what the peer did. It is
// a debug message: a hostile peer can cause any number of them.
func (l *logSink) streamError(s *Session, err *StreamError) {
	logger := l.logger()
	if logger.Enabled(context.Background(), slog.LevelDebug) {
		logger.Debug("spdy: stream error", "peer", peerName(s), "error", err)
	}
}

// stalled reports, once, that a session has stopped reading its connection.
func (l *logSink) stalled(s *Session) {
	l.logger().Warn("spdy: too much is unread, and the peer does no flow control: all streams of the session wait until some is read",
		"peer", peerName(s), "budget", s.flow.limit)
}

// replaced reports an answer that could not be sent, so that the client got status 500.
func (l *logSink) replaced(s *Session, st *Stream, err error) {
	l.logger().Warn("spdy: the headers of an answer cannot be sent", "peer", peerName(s), "stream", st.id, "error", err)
}

// unsentTrailers reports trailers that could not be sent, which cost their stream.
func (l *logSink) unsentTrailers(s *Session, st *Stream, err error) {
	l.logger().Warn("spdy: the trailers of an answer cannot be sent", "peer", peerName(s), "stream", st.id, "error", err)
}

// panicked reports a handler's panic.
func (l *logSink) panicked(s *Session, st *Stream, value any, stack []byte) {
	l.logger().Error("spdy: panic serving", "peer", peerName(s), "stream", st.id,
		"panic", fmt.Sprint(value), "stack", string(stack))
}

func peerName(s *Session) string {
	if a := s.conn.RemoteAddr(); a != nil {
		return a.String()
	}
	return "unknown"
}
