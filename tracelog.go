package spdy

import (
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// A FrameLog is a log of frames: sessions print a line for each frame they send or receive. A line
// has the peer, the time, the direction ("->" for sent), and the frame as in FrameInfo.String:
//
//	spdy: 192.0.2.7:80 10:04:05.000123 -> SYN_STREAM stream=1 associated=0 priority=0 flags=0x01 length=41
//
// Data is never printed. Set Config.FrameLog to log the sessions of a Config, including a Server's,
// and call Session.SetFrameLog for a running session. EnableDebug logs all sessions without their
// own FrameLog. So does the environment variable GODEBUG: with spdydebug=1 every session of the
// program logs frames to standard error from the start, and with spdydebug=2 also headers, without
// secrets. No other environment variable affects this package.
//
// A session that logs is slow; other sessions have no overhead. A FrameLog must not be changed once
// it is in use.
type FrameLog struct {
	// Out receives each line in a single Write, from the goroutines of the session. It must be safe
	// for concurrent use, as an *os.File is, and must not wait for the session; see Trace. nil
	// means standard error.
	Out io.Writer

	// Headers adds names and values of headers to the lines; long values are truncated. Secret
	// values, such as cookie, authorization and the query of a URL, are replaced by their length,
	// unless Secrets is set.
	Headers, Secrets bool
}

// packageFrameLog is the log of sessions without their own FrameLog; nil if they do not log.
var packageFrameLog atomic.Pointer[FrameLog]

func init() { packageFrameLog.Store(frameLogOf(os.Getenv("GODEBUG"))) }

// frameLogOf returns the log configured by GODEBUG, a list of name=value. As with the runtime's
// settings, the last value counts.
func frameLogOf(godebug string) (l *FrameLog) {
	for setting := range strings.SplitSeq(godebug, ",") {
		value, ok := strings.CutPrefix(setting, "spdydebug=")
		if !ok {
			continue
		}
		l = nil
		if level, err := strconv.Atoi(value); err == nil && level > 0 {
			l = &FrameLog{Headers: level > 1}
		}
	}
	return l
}

// EnableDebug prints a line to standard output for every frame sent or received from now on by
// sessions without their own FrameLog. The lines have no data, and no headers unless GODEBUG
// enables headers. A FrameLog has more options.
func EnableDebug() {
	before := packageFrameLog.Load()
	packageFrameLog.Store(&FrameLog{Out: standardOutput{}, Headers: before != nil && before.Headers})
}

// standardOutput writes to the current os.Stdout.
type standardOutput struct{}

func (standardOutput) Write(p []byte) (int, error) { return os.Stdout.Write(p) }

// SetFrameLog makes the session print frames to l from now on; with nil the session uses the
// package's log, see EnableDebug. It may be called at any time.
func (s *Session) SetFrameLog(l *FrameLog) { s.made().frameLog.Store(l) }

// frameLogger returns the log of the session's frames, nil for none.
func (s *Session) frameLogger() *FrameLog {
	if l := s.frameLog.Load(); l != nil {
		return l
	}
	return packageFrameLog.Load()
}

// print prints a line for a frame.
func (l *FrameLog) print(s *Session, direction string, f FrameInfo) {
	b := make([]byte, 0, 256)
	b = append(append(b, "spdy: "...), peerName(s)...)
	b = time.Now().AppendFormat(b, " 15:04:05.000000 ")
	b = append(append(b, direction...), ' ')
	b = append(f.append(b), '\n')
	var out io.Writer = os.Stderr
	if l.Out != nil {
		out = l.Out
	}
	_, _ = out.Write(b) // there is nowhere to report an error
}

// A frameWatch is the hook and the log for the frames of a direction of a session.
type frameWatch struct {
	hook  func(*Session, FrameInfo) // nil if there is none
	trace *Trace                    // the Trace of the hook
	log   *FrameLog                 // nil if there is none
}

// watchSent and watchReceived return the current hook and log, and whether there is any.
func (s *Session) watchSent() (w frameWatch, any bool) {
	w.log = s.frameLogger()
	if w.trace = s.conf.Trace; w.trace != nil {
		w.hook = w.trace.FrameSent
	}
	return w, w.hook != nil || w.log != nil
}

func (s *Session) watchReceived() (w frameWatch, any bool) {
	w.log = s.frameLogger()
	if w.trace = s.conf.Trace; w.trace != nil {
		w.hook = w.trace.FrameReceived
	}
	return w, w.hook != nil || w.log != nil
}

func (w *frameWatch) wantsHeaders() bool {
	return w.hook != nil && w.trace.Headers || w.log != nil && w.log.Headers
}

// show passes a frame to the hook and to the log.
func (w *frameWatch) show(s *Session, direction string, f FrameInfo, headers HeaderBlock) {
	if w.hook != nil {
		f.Headers = shownHeaders(headers, w.trace.Headers, w.trace.Secrets)
		w.hook(s, f)
	}
	if w.log != nil {
		f.Headers = shownHeaders(headers, w.log.Headers, w.log.Secrets)
		w.log.print(s, direction, f)
	}
}

// shownHeaders returns the headers that a hook or a log may see.
func shownHeaders(h HeaderBlock, wanted, secrets bool) HeaderBlock {
	switch {
	case !wanted || len(h) == 0:
		return nil
	case secrets:
		return withoutForeign(slices.Clone(h)) // the session's headers must not be changed
	}
	return withoutForeign(redacted(h))
}

// traceReceived shows a received frame. p is the payload if it has been read, headers are the
// headers in it, and problem is the error in the headers.
func (s *Session) traceReceived(h frameHeader, p []byte, headers HeaderBlock, problem error) {
	w, any := s.watchReceived()
	if !any {
		return
	}
	f := describeFrame(s.version, h, p)
	if f.Err == nil {
		f.Err = problem
	}
	w.show(s, "<-", f, headers)
}

// A sentBlock is a header block of the batch that the sender is about to write.
type sentBlock struct {
	at      int // offset of the frame in the batch
	headers HeaderBlock
}

// keepSentBlock keeps a header block for hooks and logs. The block is about to be compressed into
// the frame at offset at of the batch. Sender only.
func (s *Session) keepSentBlock(at int, nv []byte) {
	if w, any := s.watchSent(); !any || !w.wantsHeaders() {
		return
	}
	if s.sentBlocks == nil {
		s.sentBlocks = new([]sentBlock)
	}
	headers, _ := parsePairs(s.version, nv, 0, s.pairs()) // blocks that we send are valid
	*s.sentBlocks = append(*s.sentBlocks, sentBlock{at: at, headers: headers})
}

// traceBatch shows the frames that are about to be written. Sender only.
func (s *Session) traceBatch(batch []byte) {
	w, any := s.watchSent()
	var blocks []sentBlock
	if s.sentBlocks != nil {
		blocks = *s.sentBlocks
		*s.sentBlocks = blocks[:0]
	}
	if !any {
		return
	}
	for at := 0; len(batch)-at >= frameHeaderSize; {
		h := parseFrameHeader(batch[at:])
		end := at + frameHeaderSize + h.length
		var headers HeaderBlock
		if len(blocks) > 0 && blocks[0].at == at {
			headers, blocks[0].headers, blocks = blocks[0].headers, nil, blocks[1:]
		}
		w.show(s, "->", describeFrame(s.version, h, batch[at+frameHeaderSize:end]), headers)
		at = end
	}
}
