package spdy

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
)

// packageLogger is where sessions without a logger of their own log; nil means
// slog.Default.
var packageLogger atomic.Pointer[slog.Logger]

// debugFrames switches the one-line-a-frame log on.
var debugFrames atomic.Bool

// SetLog makes the package log to w, as text. Servers, clients and sessions with
// a Config.Logger do not use it. Without a call the package logs to
// slog.Default. It may be called at any time; w must be safe for concurrent use
// or tolerate one Write a line, which is how it is called.
func SetLog(w io.Writer) {
	packageLogger.Store(slog.New(slog.NewTextHandler(w, nil)))
}

// EnableDebug prints one line for every frame that any session sends or receives
// to standard output, from now on. The lines have no header values and no data in
// them.
func EnableDebug() { debugFrames.Store(true) }

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
		"peer", peerName(s), "budget", s.budget)
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

// traceReceived prints a frame that came in. The payload of DATA is not there.
func (s *Session) traceReceived(h frameHeader, p []byte) {
	if debugFrames.Load() {
		s.traceFrame("<-", h, p)
	}
}

// traceBatch prints the frames that are about to be written.
func (s *Session) traceBatch(b []byte) {
	if !debugFrames.Load() {
		return
	}
	for len(b) >= frameHeaderSize {
		h := parseFrameHeader(b)
		end := min(frameHeaderSize+h.length, len(b))
		s.traceFrame("->", h, b[frameHeaderSize:end])
		b = b[end:]
	}
}

func (s *Session) traceFrame(direction string, h frameHeader, p []byte) {
	fmt.Fprintf(os.Stdout, "spdy: %s %s %s\n", peerName(s), direction, describeFrame(s.version, h, p))
}

// describeFrame puts a frame into one line, without any header or data.
func describeFrame(v Version, h frameHeader, p []byte) string {
	line := fmt.Sprintf("flags=%#02x length=%d", uint8(h.flags), h.length)
	if !h.control {
		return fmt.Sprintf("DATA stream=%d %s", h.streamID, line)
	}
	switch h.typ {
	case FrameSynStream:
		if f, _, err := parseSynStream(v, h, p); err == nil {
			line = fmt.Sprintf("stream=%d associated=%d priority=%d %s", f.id, f.assoc, f.priority, line)
		}
	case FrameSynReply, FrameHeaders:
		if id, _, err := parseReply(v, h, p); err == nil {
			line = fmt.Sprintf("stream=%d %s", id, line)
		}
	case FrameRstStream:
		if id, status, err := parseRstStream(h, p); err == nil {
			line = fmt.Sprintf("stream=%d status=%v", id, status)
		}
	case FrameSettings:
		if n, err := settingsCount(h, p); err == nil {
			for i := range n {
				e := settingAt(v, p, i)
				line += fmt.Sprintf(" %v=%d", e.ID, e.Value)
			}
		}
	case FramePing:
		if id, err := parsePing(h, p); err == nil {
			line = fmt.Sprintf("id=%d", id)
		}
	case FrameGoAway:
		if last, status, err := parseGoAway(v, h, p); err == nil {
			line = fmt.Sprintf("last-good=%d status=%v", last, status)
		}
	case FrameWindowUpdate:
		if id, delta, err := parseWindowUpdate(h, p); err == nil {
			line = fmt.Sprintf("stream=%d delta=%d", id, delta)
		}
	}
	return h.typ.String() + " " + line
}
