package spdy

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
)

// packageLogger is the logger of sessions without a separate logger; nil means slog.Default.
var packageLogger atomic.Pointer[slog.Logger]

// SetLog makes the package log to w, as text. Servers, clients and sessions with a Config.Logger
// are not affected. Without a call of SetLog the package logs to slog.Default. SetLog may be called
// at any time. The package writes each line with a single, serialized call of w.Write. w must be
// safe for concurrent use if other code, or a second SetLog, writes to w.
func SetLog(w io.Writer) {
	packageLogger.Store(slog.New(slog.NewTextHandler(w, nil)))
}

// A logSink logs the events of a session.
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

// sessionError logs the peer's protocol violation that ends a session.
func (l *logSink) sessionError(s *Session, err *SessionError) {
	l.logger().Warn("spdy: session error", "peer", peerName(s), "error", err)
}

// foreign logs a peer that does not speak SPDY, which ends the session.
func (l *logSink) foreign(s *Session, err *NotSPDYError) {
	l.logger().Warn("spdy: not SPDY", "peer", peerName(s), "error", err)
}

// streamError logs a stream that we reset because of an error of the peer. The level is debug: a
// hostile peer can cause any number of such resets.
func (l *logSink) streamError(s *Session, err *StreamError) {
	logger := l.logger()
	if logger.Enabled(context.Background(), slog.LevelDebug) {
		logger.Debug("spdy: stream error", "peer", peerName(s), "error", err)
	}
}

// stalled logs, once, that a session has stopped reading the connection.
func (l *logSink) stalled(s *Session) {
	l.logger().Warn("spdy: too much is unread, and the peer does no flow control: all streams of the session wait until some is read",
		"peer", peerName(s), "budget", s.flow.limit)
}

// replaced logs a response that could not be sent, so that the client received status 500.
func (l *logSink) replaced(s *Session, st *Stream, err error) {
	l.logger().Warn("spdy: the headers of an answer cannot be sent", "peer", peerName(s), "stream", st.id, "error", err)
}

// unsentTrailers logs trailers that could not be sent, which resets the stream.
func (l *logSink) unsentTrailers(s *Session, st *Stream, err error) {
	l.logger().Warn("spdy: the trailers of an answer cannot be sent", "peer", peerName(s), "stream", st.id, "error", err)
}

// panicked logs a handler's panic.
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
