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

// A FrameLog is where sessions print a line for each frame that they send or receive:
// peer, time, direction ("->" for sent), and the frame as FrameInfo.String has it:
//
//	spdy: 192.0.2.7:80 10:04:05.000123 -> SYN_STREAM stream=1 associated=0 priority=0 flags=0x01 length=41
//
// Data is never printed. Set Config.FrameLog to use one for the sessions of a
// Config, a Server's too, and Session.SetFrameLog for a session that runs. EnableDebug
// switches one on for all sessions that have none of their own, and so does the
// environment variable GODEBUG: with spdydebug=1 in it every session of the program
// logs its frames to standard error from the beginning, and with spdydebug=2 the
// headers too, less their secrets. Nothing else in the environment has an effect on
// this package.
//
// A session that logs is slow. One that does not pays nothing for it. A FrameLog must
// not be changed once it is in use.
type FrameLog struct {
	// Out gets each line in one Write, by the goroutines of the session. It must be
	// safe for concurrent use, as an *os.File is, and must not wait for the session; see
	// Trace. nil means standard error.
	Out io.Writer

	// Headers makes the lines show names and values of headers, long ones in part.
	// Values that are secret, such as those of cookie and authorization and of the
	// query of a URL, are replaced by their length, unless Secrets is set.
	Headers, Secrets bool
}

// packageFrameLog is that of sessions which have none of their own; nil if they do
// not log.
var packageFrameLog atomic.Pointer[FrameLog]

func init() { packageFrameLog.Store(frameLogOf(os.Getenv("GODEBUG"))) }

// frameLogOf returns what GODEBUG, a list of name=value, has to say about us. As with
// the runtime's own settings the last one counts.
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

// EnableDebug prints one line for every frame that is sent or received, by any session
// without a FrameLog of its own, to standard output, from now on. There are no headers
// and no data in the lines, unless GODEBUG has switched headers on. See FrameLog for
// better ways.
func EnableDebug() {
	before := packageFrameLog.Load()
	packageFrameLog.Store(&FrameLog{Out: standardOutput{}, Headers: before != nil && before.Headers})
}

// standardOutput is whatever os.Stdout is at the time.
type standardOutput struct{}

func (standardOutput) Write(p []byte) (int, error) { return os.Stdout.Write(p) }

// SetFrameLog makes the session print its frames to l from now on, and with nil leaves
// it to the package's log, see EnableDebug. It may be called at any time.
func (s *Session) SetFrameLog(l *FrameLog) { s.frameLog.Store(l) }

// frameLogger returns where the session's frames are to be printed, nil for nowhere.
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
	_, _ = out.Write(b) // there is nobody to tell
}

// A frameWatch is who wants to see the frames of one direction of a session.
type frameWatch struct {
	hook  func(*Session, FrameInfo) // nil if there is none
	trace *Trace                    // whose hook it is
	log   *FrameLog                 // nil if there is none
}

// watchSent and watchReceived return who watches at present, and whether anybody does.
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

// show tells everybody who watches of a frame.
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

// shownHeaders returns of headers what somebody may see.
func shownHeaders(h HeaderBlock, wanted, secrets bool) HeaderBlock {
	switch {
	case !wanted || len(h) == 0:
		return nil
	case secrets:
		return withoutForeign(slices.Clone(h)) // the session's own must not be changed
	}
	return withoutForeign(redacted(h))
}

// traceReceived shows a frame that came in. p is the payload if it has been read,
// headers are those in it, and problem is what is wrong with those.
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
	at      int // where its frame begins in the batch
	headers HeaderBlock
}

// keepSentBlock keeps a header block, which is about to be compressed into the frame at
// offset at of the batch, for those who want to see it. Sender only.
func (s *Session) keepSentBlock(at int, nv []byte) {
	if w, any := s.watchSent(); !any || !w.wantsHeaders() {
		return
	}
	if s.sentBlocks == nil {
		s.sentBlocks = new([]sentBlock)
	}
	headers, _ := parsePairs(s.version, nv, 0, s.pairs()) // what we send is in order
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
