package spdy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// A traceBook writes down what a Trace is told of.
type traceBook struct {
	mu    sync.Mutex
	lines []string
	busy  bool // a stream hook runs
	clash bool // two of them did at once
}

func (b *traceBook) add(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, fmt.Sprintf(format, args...))
}

// take returns what has been written since the last time.
func (b *traceBook) take() []string {
	synctest.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := b.lines
	b.lines = nil
	return lines
}

func (b *traceBook) trace() *Trace {
	return &Trace{
		SessionStart:  func(s *Session) { b.add("start %v", s.Version()) },
		SessionEnd:    func(s *Session, err error) { b.add("end %v", err) },
		FrameSent:     func(_ *Session, f FrameInfo) { b.add("-> %v", f) },
		FrameReceived: func(_ *Session, f FrameInfo) { b.add("<- %v", f) },
		StreamOpened:  func(_ *Session, st StreamInfo) { b.add("open %+v", st) },
		StreamClosed:  func(_ *Session, st StreamInfo, err error) { b.add("close %d %v", st.ID, err) },
	}
}

// What the hooks are told of a session, frame by frame.
func TestTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var book traceBook
		trace := book.trace()
		trace.Headers = true
		p := newPeer(t, asServer, peerOpts{conf: Config{Trace: trace}})
		want := func(why string, lines ...string) {
			t.Helper()
			got := book.take()
			if len(lines) == 0 || !strings.HasPrefix(lines[0], "<-") { // see Trace
				require.ElementsMatch(t, lines, got, why)
				return
			}
			require.Equal(t, lines[0], got[0], why)
			require.ElementsMatch(t, lines, got, why)
		}
		want("the beginning", "start spdy/3.1",
			"-> SETTINGS flags=0x00 length=20 MAX_CONCURRENT_STREAMS=250 INITIAL_WINDOW_SIZE=65536")

		p.send(&SynStreamFrame{StreamID: 1, Priority: 3, Headers: HeaderBlock{{"a", "b c"}, {"cookie", "secret"}}})
		st := p.wantAccept("theirs", 1)
		want("a stream",
			`<- SYN_STREAM stream=1 associated=0 priority=3 flags=0x00 length=47 a="b c" cookie=[6 bytes]`,
			"open {ID:1 Associated:0 Priority:3 Ours:false}")
		p.sendData(1, "hello", FlagFin)
		want("DATA", "<- DATA stream=1 flags=0x01 length=5")
		p.reply(st, 0)
		p.wantSynReply("the answer", 1)
		p.startWrite(st, []byte("bye"), FlagFin).wrote("the answer", 3)
		want("the answer", "-> SYN_REPLY stream=1 flags=0x00 length=31 ok=yes", "close 1 <nil>", "-> DATA stream=1 flags=0x01 length=3")
		p.wantData("the answer", 1, 3, FlagFin)

		ours := p.open("ours", FlagUnidirectional, 7)
		p.wantSynStream("ours", 2)
		want("a stream of ours", "open {ID:2 Associated:0 Priority:7 Ours:true}",
			"-> SYN_STREAM stream=2 associated=0 priority=7 flags=0x02 length=29 name=ours")
		ours.reset(RstCancel, "enough", nil)
		p.wantRst("enough", 2, RstCancel)
		want("it is reset", "close 2 spdy: stream 2 reset: CANCEL: enough", "-> RST_STREAM stream=2 status=CANCEL")

		p.sendPing(1)
		p.wantPing("an echo", 1)
		p.sendWindowUpdate(0, 10)
		p.sendControl(FrameType(77), 5, 1, 2, 3)
		want("the rest", "<- PING id=1", "-> PING id=1", "<- WINDOW_UPDATE stream=0 delta=10",
			"<- frame-type-77 version=3 flags=0x05 length=3")
		p.sendSynStream(3, 0, HeaderField{"NO", "capitals"})
		p.wantRst("bad headers", 3, RstProtocolError)
		lines := book.take()
		require.Len(t, lines, 2, "the stream was never open")
		require.Regexp(t, `^<- SYN_STREAM stream=3 .* error="spdy: stream 3 reset: PROTOCOL_ERROR.*H5.*"$`, lines[0])

		p.sendRaw([]byte{0x80, 3, 0, 6, 0, 0, 0, 1, 0}) // PING of one byte
		p.wantSessionError("a bad frame", 1, GoAwayProtocolError)
		reason := p.s.Err()
		want("the end", fmt.Sprintf("<- PING id=0 error=%q", "spdy: session error: PROTOCOL_ERROR: PING with a payload of 1 bytes"),
			"-> GOAWAY last-good=1 status=PROTOCOL_ERROR", fmt.Sprint("end ", reason))
	})
}

// The end of a stream that was never opened, and of streams under a sender that cannot
// write, and frames that break the rules of framing.
func TestTraceAtTheEdges(t *testing.T) {
	story(t, "a stream that was given up", func(t *testing.T) {
		var book traceBook
		p := newPeer(t, asClient, peerOpts{conf: Config{Trace: book.trace()}})
		book.take()
		p.s.newLocalStream(0).reset(RstCancel, "given up", nil)
		require.Empty(t, book.take())
	})
	story(t, "a stuck sender", func(t *testing.T) {
		var book traceBook
		p := newPeer(t, asClient, peerOpts{conf: Config{Trace: book.trace()}})
		p.ours.SetWriteCap(1)
		st := p.open("ours", 0)
		book.take()
		p.s.shutdown(ErrSessionClosed)
		require.Equal(t, []string{"close 1 spdy: session closed"}, book.take(), "stream %d", st.id)
	})
	storyBoth(t, "a peer that does no flow control, and then does", func(t *testing.T, r role) {
		var book traceBook
		p := newUnaware(t, r, Config{Trace: book.trace()})
		p.sendPing(p.peerID())
		p.wantHello("awake")
		p.wantPing("awake", p.peerID())
		st := p.openRaw("bytes wait for the reply")
		write := p.rawWrite(st, []byte("x"))
		p.sendSynReply(st.ID(), 0)
		write.wrote("the reply has come", 1)
		p.wantData("the reply has come", st.ID(), 1)
		p.sendWindowUpdate(0, 1)
		synctest.Wait()
		require.Equal(t, FlowControlStandard, p.s.FlowControl())
		require.NoError(t, st.Reset(RstCancel))
		require.Contains(t, book.take(), fmt.Sprintf("open {ID:%d Associated:0 Priority:0 Ours:true}", st.ID()))
	})
	for _, typ := range []FrameType{FrameSynStream, FrameSynReply, FrameHeaders} {
		story(t, "a short "+typ.String(), func(t *testing.T) {
			var book traceBook
			p := newPeer(t, asClient, peerOpts{conf: Config{Trace: book.trace()}})
			book.take()
			p.sendControl(typ, 0, 1, 2, 3)
			p.wantSessionError("it is too short", 0, GoAwayProtocolError)
			require.Regexp(t, "<- "+typ.String()+" .*with a payload of 3 bytes", book.take()[0])
		})
	}
}

// Every hook may be missing.
func TestTraceOfNothing(t *testing.T) {
	full := new(traceBook).trace()
	for name, trace := range map[string]*Trace{
		"none":          {},
		"start":         {SessionStart: full.SessionStart},
		"end":           {SessionEnd: full.SessionEnd},
		"sent":          {FrameSent: full.FrameSent, Headers: true},
		"received":      {FrameReceived: full.FrameReceived, Headers: true},
		"stream opened": {StreamOpened: full.StreamOpened},
		"stream closed": {StreamClosed: full.StreamClosed},
		"stream shed":   {StreamShed: func(*Session, StreamInfo, error) {}},
	} {
		story(t, name, func(t *testing.T) {
			p := newPeer(t, asServer, peerOpts{conf: Config{Trace: trace}})
			p.wantUsable(name, 1)
		})
	}
}

// Streams are told of one at a time and in order, although many goroutines open and
// end them.
func TestTraceOfManyStreams(t *testing.T) {
	const workers, requests = 8, 25
	check := func(b *traceBook) *Trace {
		hook := func(closed bool, st StreamInfo) {
			b.mu.Lock()
			b.clash = b.clash || b.busy
			b.busy = true
			b.lines = append(b.lines, fmt.Sprint(closed, st.ID))
			b.mu.Unlock()
			synctestYield()
			b.mu.Lock()
			b.busy = false
			b.mu.Unlock()
		}
		return &Trace{
			StreamOpened: func(s *Session, st StreamInfo) { hook(false, st) },
			StreamClosed: func(s *Session, st StreamInfo, _ error) { hook(true, st) },
		}
	}
	var books [2]traceBook
	echo := func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }
	setup := rigSetup{client: &Config{Trace: check(&books[0])}, server: &Config{Trace: check(&books[1])}}
	rigTest(t, echo, setup, func(t *testing.T, r *rig) {
		var wg sync.WaitGroup
		for i := range workers {
			wg.Go(func() {
				for k := range requests {
					ctx, cancel := context.WithCancel(t.Context())
					req := r.request("POST", "/", strings.NewReader("x")).WithContext(ctx)
					if (i+k)%3 == 0 {
						cancel()
					}
					if res, err := r.client.RoundTrip(req); err == nil {
						res.Body.Close()
					}
					cancel()
				}
			})
		}
		wg.Wait()
		r.close()
		for i := range books {
			lines := books[i].take()
			require.False(t, books[i].clash, "two hooks at once")
			open, seen := make(map[string]bool), 0
			for _, line := range lines {
				if id, ok := strings.CutPrefix(line, "false"); ok {
					require.False(t, open[id], "opened twice")
					open[id] = true
					seen++
				} else {
					id := strings.TrimPrefix(line, "true")
					require.True(t, open[id], "%s was closed before it was opened", id)
					delete(open, id)
				}
			}
			require.Empty(t, open, "all are closed")
			stats := []*Session{r.client, r.server}[i].Stats()
			require.EqualValues(t, stats.StreamsOpened+stats.StreamsAccepted, seen)
		}
		r.clientEnd, r.serverEnd = make(chan error, 1), make(chan error, 1)
		r.clientEnd <- nil
		r.serverEnd <- nil
	})
}

// synctestYield gives all others the time to run into a hook that runs.
func synctestYield() { <-time.NewTimer(time.Nanosecond).C }

// A hook may look at the session and end it, whichever it is, on whichever goroutine:
// it cannot wait for the end that it would hold up.
func TestHooksMayClose(t *testing.T) {
	for name, closing := range map[string]func(s *Session){
		"Close": (*Session).Close,
		"Shutdown": func(s *Session) {
			if err := s.Shutdown(context.Background()); err != nil && !errors.Is(err, errInside) {
				panic(err)
			}
			s.shutdown(ErrSessionClosed) // the peer of this test would never let it end
		},
		"Server.Close": func(s *Session) {
			srv := &Server{sessions: map[*Session]struct{}{s: {}}}
			if err := srv.Close(); err != nil {
				panic(err)
			}
		},
		"Server.Shutdown": func(s *Session) {
			srv := &Server{sessions: map[*Session]struct{}{s: {}}}
			err := srv.Shutdown(context.Background())
			if err != nil && !errors.Is(err, errInside) {
				panic(err)
			}
			s.shutdown(ErrSessionClosed)
		},
	} {
		for _, hook := range []string{"start", "end", "sent", "received", "opened", "closed", "logged"} {
			storyBoth(t, name+" by "+hook, func(t *testing.T, r role) {
				var calls int
				end := func(s *Session) {
					_ = s.Stats()
					if calls++; calls == 1 {
						closing(s)
					}
				}
				trace, conf := &Trace{}, Config{}
				conf.Trace = trace
				switch hook {
				case "start":
					trace.SessionStart = end
				case "end":
					trace.SessionEnd = func(s *Session, _ error) { end(s) }
				case "sent":
					trace.FrameSent = func(s *Session, _ FrameInfo) { end(s) }
				case "received":
					trace.FrameReceived = func(s *Session, _ FrameInfo) { end(s) }
				case "opened":
					trace.StreamOpened = func(s *Session, _ StreamInfo) { end(s) }
				case "closed":
					trace.StreamClosed = func(s *Session, _ StreamInfo, _ error) { end(s) }
				}
				h := &closingHandler{end: end}
				if hook == "logged" {
					conf.Logger = slog.New(h)
				}
				p := newPeer(t, r, peerOpts{conf: conf, announce: true})
				h.s = p.s
				p.sendSynStream(p.peerID(), 0)
				synctest.Wait()
				p.sendRst(p.peerID(), RstCancel)
				p.sendSynStream(p.peerID()+2, 0, HeaderField{"NO", "capitals"}) // is logged
				synctest.Wait()
				p.conn.Close()
				p.served.wait("it has ended")
				require.NotZero(t, calls)
				require.Error(t, p.s.Err())
			})
		}
	}
}

// A closingHandler is a slog.Handler that ends the session whose message it gets.
type closingHandler struct {
	s   *Session
	end func(*Session)
}

func (h *closingHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h *closingHandler) Handle(context.Context, slog.Record) error {
	h.end(h.s)
	return nil
}
func (h *closingHandler) WithAttrs([]slog.Attr) slog.Handler { return h }
func (h *closingHandler) WithGroup(string) slog.Handler      { return h }

// Two sessions whose hooks end each other, at once, do not wait for each other either.
func TestHooksMayCloseEachOther(t *testing.T) {
	var r *rig
	setup := rigSetup{
		client: &Config{Trace: &Trace{FrameReceived: func(_ *Session, f FrameInfo) {
			if f.Type == FramePing {
				r.server.Close()
			}
		}}},
		server: &Config{Trace: &Trace{FrameSent: func(_ *Session, f FrameInfo) {
			if f.Type == FramePing {
				r.client.Close()
			}
		}}},
	}
	rigTest(t, func(http.ResponseWriter, *http.Request) {}, setup, func(t *testing.T, rr *rig) {
		r = rr
		r.client.Ping(time.Minute)
		r.ended()
	})
}

// Close waits wherever else it is called, a handler's goroutine for one.
func TestCloseStillWaits(t *testing.T) {
	require.False(t, insideSession())
	asked := make(chan bool, 1)
	rigTest(t, func(w http.ResponseWriter, r *http.Request) { asked <- insideSession() }, rigSetup{}, func(t *testing.T, r *rig) {
		r.get("/")
		require.False(t, <-asked)
	})
}

// A deep stack hides nothing.
func TestInsideDeepStack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var deep func(n int) bool
		deep = func(n int) bool {
			if n == 0 {
				return insideSession()
			}
			return deep(n-1) && n > 0
		}
		var inside []bool
		conf := Config{Trace: &Trace{
			FrameSent:     func(*Session, FrameInfo) { inside = append(inside, deep(300)) },
			FrameReceived: func(*Session, FrameInfo) { inside = append(inside, deep(300)) },
		}}
		p := newPeer(t, asServer, peerOpts{conf: conf})
		p.wantAlive("frames both ways")
		require.Equal(t, []bool{true, true, true}, inside)
	})
}

// What watching costs when nobody does: a whole exchange of frames allocates no more
// with all of it in place than the test itself does.
func TestWatchingCostsNothing(t *testing.T) {
	one, two := testconn.Pair()
	s := newSession(one, true, SPDY31, nil, &rawApp{})
	frame := appendPing(nil, SPDY31, 1)
	h := parseFrameHeader(frame)
	batch := appendDataHeader(frame, 1, 0, 0)
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		s.traceReceived(h, frame[frameHeaderSize:], nil, nil)
		s.keepSentBlock(0, nil)
		s.traceBatch(batch)
		s.tellHooks()
		s.stats.noteReceived(FramePing, SPDY31, true)
		s.mu.Lock()
		s.stats.noteControlLocked(frame)
		s.noteLocked(nil, streamOpened, nil)
		s.mu.Unlock()
	}))
	assert.Zero(t, testing.AllocsPerRun(100, func() { _ = s.Stats() }))
	seen := 0
	traced := newSession(two, true, SPDY31, &Config{Trace: &Trace{
		FrameSent:     func(*Session, FrameInfo) { seen++ },
		FrameReceived: func(*Session, FrameInfo) { seen++ },
		StreamOpened:  func(*Session, StreamInfo) { seen++ },
	}}, &rawApp{})
	st := newStream(traced, 0)
	st.id = 1
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		traced.traceReceived(h, frame[frameHeaderSize:], nil, nil)
		traced.traceBatch(batch)
		traced.mu.Lock()
		traced.noteLocked(st, streamOpened, nil)
		traced.mu.Unlock()
		traced.tellHooks()
	}), "not even with hooks")
	require.NotZero(t, seen)
	s.Close()
	traced.Close()
}
