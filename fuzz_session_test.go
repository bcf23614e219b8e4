package spdy

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// FuzzSession puts a session through a program. The first three bytes choose what it is:
// client or server, HTTP or raw, its version, its limits and its connection. The rest are
// frames of the peer, good and bad, and calls of the application. Nothing may hang, panic
// or stay behind, and after each step the books must balance; see (*fuzzRun).check.
func FuzzSession(f *testing.F) {
	for _, seed := range sessionSeeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 3 && len(data) < 1<<14 {
			synctest.Test(t, func(t *testing.T) { newFuzzRun(t, program{data}).play() })
		}
	})
}

// A fuzzRun is one program at work.
type fuzzRun struct {
	t       *testing.T
	in      program
	s       *Session
	raw     bool
	version Version
	slow    bool // the connection has latency

	mine, peer *testconn.Conn
	w          *Framer      // the peer's
	frame      bytes.Buffer // what it has just written
	sent       []byte       // all that has gone to the session
	got        []byte       // all that has come from it
	scan       wireScan     // of sent
	gone       bool         // the peer cannot send any more
	deaf       bool         // the peer does not read

	ctx    context.Context // of all calls
	cancel context.CancelFunc
	wg     sync.WaitGroup // all goroutines
	chunks int64          // not in their pools when it began
	seen   map[*Stream]bool
	ours   int // streams of ours at the last check

	mu     sync.Mutex
	actors []*actor
	ending bool
}

// newFuzzRun reads the first bytes of a program and starts the session.
func newFuzzRun(t *testing.T, in program) *fuzzRun {
	r := &fuzzRun{t: t, in: in, seen: make(map[*Stream]bool), chunks: chunksOut.Load()}
	kind, limits, line := r.in.next(), r.in.next(), r.in.next()
	client := kind&1 != 0
	r.raw = kind&2 != 0
	r.version = []Version{SPDY31, SPDY3, SPDY2, SPDY31}[kind>>2&3]
	conf := &Config{
		Logger: quietConfig.Logger, Settings: new(MemorySettings), Version: r.version, Compression: CompressionPolicy(kind >> 4 % 3),
		MaxConcurrentStreams: 1 + int(limits&3), StreamWindow: defaultWindow, SessionWindow: (1 + int(limits&3)) * defaultWindow << (limits >> 2 & 1),
		MaxHeaderBytes: 2 << 10, MaxHeaderFields: 20, AcceptBacklog: 1 + int(limits>>3&1), KeepFrames: limits&16 != 0,
	}
	if limits&32 != 0 {
		conf.AcceptPush = func(promised, _ *http.Request) bool { return promised.URL.Path != "/2" }
	}
	if limits&64 != 0 {
		conf.PingInterval, conf.WriteTimeout, conf.IdleTimeout = 10*time.Second, 20*time.Second, time.Minute
	}
	if limits&128 != 0 {
		conf.MaxControlFrame = 8 << 10
	}
	opts := [][]testconn.Option{nil, {testconn.ReadSize(7)}, {testconn.WriteCap(3000)}, {testconn.Latency(time.Millisecond)}}[line&3]
	r.slow = line&3 == 3
	r.mine, r.peer = testconn.Pair(testconn.First(opts...))
	r.w = NewFramer(&r.frame, nil, r.version)
	r.ctx, r.cancel = context.WithCancel(context.Background())
	switch {
	case r.raw:
		r.s = conf.RawSession(r.mine, client)
	case client:
		r.s = conf.ClientSession(r.mine)
	default:
		r.s = conf.ServerSession(r.mine, &http.Server{Handler: http.HandlerFunc(r.handle), ErrorLog: quietLog})
		if line&4 != 0 && r.version == SPDY31 {
			r.s.beCautious()
		}
	}
	r.wg.Go(func() { r.s.Serve() })
	return r
}

// play goes through the program and ends the session.
func (r *fuzzRun) play() {
	r.check()
	for range maxOps {
		if r.in.done() || r.t.Failed() {
			break
		}
		op := r.in.next() % opCount
		if op < opAppOpen {
			r.peerDoes(op)
		} else {
			r.appDoes(op)
		}
		r.settle()
	}
	r.end()
	r.checkEnd()
}

// settle lets what has been begun take its course, and looks at the books.
func (r *fuzzRun) settle() {
	if r.slow {
		<-time.After(5 * time.Millisecond)
	}
	r.check()
	r.listen()
	r.check()
}

// listen reads what the session has sent.
func (r *fuzzRun) listen() {
	buf := make([]byte, 64<<10)
	for !r.deaf && r.peer.Unread() > 0 {
		n, err := r.peer.Read(buf)
		r.got = append(r.got, buf[:n]...)
		if err != nil {
			return
		}
		synctest.Wait()
	}
}

func (r *fuzzRun) send(b []byte) {
	if r.gone {
		return
	}
	n, err := r.peer.Write(b)
	r.sent = append(r.sent, b[:n]...)
	r.scan.follow(r.sent)
	r.gone = err != nil
}

func (r *fuzzRun) peerDoes(op byte) {
	switch op {
	case opBytes:
		n := int(r.in.next())<<8 | int(r.in.next())
		r.send(r.in.take(n))
	case opHangUp:
		if r.in.next()&1 != 0 {
			r.peer.Reset()
		} else {
			r.peer.CloseWrite()
		}
		r.gone = true
	case opRead:
		r.deaf = !r.deaf
	default:
		r.frame.Reset()
		if err := r.w.WriteFrame(r.in.frame(op, r.s.client, r.version)); err == nil {
			r.send(r.frame.Bytes())
		}
	}
}

func (r *fuzzRun) appDoes(op byte) {
	how := r.in.next()
	switch op {
	case opAppOpen:
		r.open(how)
	case opAppPing:
		r.wg.Go(func() { r.s.Ping(time.Second << (how & 7)) })
	case opAppShutdown:
		r.shutdown(how)
	case opAppTime:
		<-time.After(time.Millisecond << (how & 15))
	case opAppAccept:
		if r.raw {
			r.wg.Go(func() {
				if st, err := r.s.AcceptStream(r.ctx); err == nil {
					r.useRaw(st)
				}
			})
		}
	default:
		if a := r.actor(how); a != nil {
			r.act(op, a)
		}
	}
}

// act tells an actor what to do.
func (r *fuzzRun) act(op byte, a *actor) {
	switch op {
	case opAppRead:
		a.doRead(r.in.size())
	case opAppWrite:
		a.doWrite(r.in.size())
	case opAppFinish:
		if a.fin != nil {
			post(a.out, a.fin)
		}
	case opAppAbort:
		if how := r.in.next(); a.abort != nil {
			a.abort(how)
		}
	default:
		if how := r.in.next(); a.extra != nil {
			a.extra(how)
		}
	}
}

// actor is the one that a byte means, counted from the latest.
func (r *fuzzRun) actor(which byte) *actor {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.actors) == 0 {
		return nil
	}
	return r.actors[len(r.actors)-1-int(which)%len(r.actors)]
}

// open opens a stream, if the session can.
func (r *fuzzRun) open(how byte) {
	switch {
	case r.raw:
		o := StreamOptions{Priority: how & 7, Fin: how&8 != 0, Unidirectional: how&16 != 0}
		r.wg.Go(func() {
			if st, err := r.s.OpenStream(r.ctx, HeaderBlock{{"name", "value"}}, o); err == nil {
				r.useRaw(st)
			}
		})
	case r.s.client:
		r.request(how)
	}
}

func (r *fuzzRun) shutdown(how byte) {
	switch how % 4 {
	case 0:
		r.wg.Go(func() {
			ctx, cancel := context.WithTimeout(r.ctx, time.Second)
			defer cancel()
			_ = r.s.Shutdown(ctx)
		})
	case 1:
		r.wg.Go(r.s.Close)
	case 2:
		r.s.SendGoaway(0, []byte{0, 0, 0, how >> 2, 0, 0, 0, 0})
	default:
		r.wg.Go(func() { _ = r.s.Shutdown(r.ctx) })
	}
}

// end ends the session, its calls and its streams. Whatever hangs now is reported by the
// bubble as a deadlock.
func (r *fuzzRun) end() {
	r.deaf = false
	r.peer.CloseWrite()
	r.settle()
	r.wg.Go(r.s.Close)
	r.settle()
	<-time.After(2 * linger)
	r.listen()
	r.peer.Close()
	for r.raw {
		st, err := r.s.AcceptStream(context.Background())
		if err != nil {
			break
		}
		st.Close()
	}
	r.mu.Lock()
	r.ending = true
	actors := r.actors
	r.mu.Unlock()
	for _, a := range actors {
		close(a.in)
		close(a.out)
	}
	synctest.Wait() // they may still read what has come
	r.cancel()
	r.wg.Wait()
	synctest.Wait() // handlers
}

// sessionSeeds are programs: those written by hand, and the frames of the vectors.
func sessionSeeds(f *testing.F) [][]byte {
	var seeds [][]byte
	for kind := range byte(16) {
		for _, body := range handWritten {
			seeds = append(seeds, append([]byte{kind, kind * 37, kind % 7}, body...))
		}
	}
	for _, s := range loadVectors(f) {
		kind := byte(2) // raw
		switch s.version {
		case SPDY3:
			kind |= 1 << 2
		case SPDY2:
			kind |= 2 << 2
		}
		body := []byte{opBytes, byte(len(s.wire) >> 8), byte(len(s.wire))}
		body = append(body, s.wire...)
		for _, role := range []byte{0, 1} {
			seeds = append(seeds, append([]byte{kind | role, 0xff, 0, opAppAccept, 0}, body...))
			seeds = append(seeds, append([]byte{kind&^2 | role, 0xff, 0, opAppOpen, 0}, body...))
		}
	}
	return seeds
}

// handWritten are programs without their first three bytes.
var handWritten = [][]byte{
	{ // requests, an upload and a download, and an orderly end
		opAppOpen, 9, opAppWrite, 0, 4, opAppFinish, 0, opSynReply, 1, 0, 0, opData, 1, 0, 5, opAppRead, 0, 7,
		opData, 1, 1, 2, opAppRead, 0, 7, opAppRead, 0, 1, opAppPing, 3, opPing, 1, opAppShutdown, 3, opGoAway, 1, 0,
	},
	{ // streams of the peer, read and answered
		opSynStream, 1, 0, 0, 9, 0, opAppAccept, 0, opData, 1, 0, 2, opAppRead, 0, 2, opData, 1, 1, 0, opAppRead, 0, 2,
		opAppExtra, 0, 2, opAppWrite, 0, 6, opWindowUpdate, 1, 8, opWindowUpdate, 0, 8, opAppFinish, 0,
		opSynStream, 3, 1, 0, 15, 7, opAppAccept, 0, opAppExtra, 0, 1, opAppWrite, 0, 2, opAppFinish, 0, opAppFinish, 0,
	},
	{ // windows: used up, lowered, raised, overrun
		opSynStream, 1, 0, 0, 9, 0, opAppAccept, 0, opData, 1, 0, 6, opAppRead, 0, 5, opAppRead, 0, 6, opAppRead, 0, 7,
		opSettings, 0, 1, 7, 0, 0x80, opAppWrite, 0, 6, opSettings, 0, 1, 7, 0, 4, opWindowUpdate, 1, 12, opData, 1, 0, 7,
		opAppOpen, 8, opAppWrite, 0, 7, opSettings, 0, 1, 7, 0, 13, opSynStream, 3, 0, 0, 9, 0, opWindowUpdate, 0, 12,
	},
	{ // a slow peer, resets and lost handlers
		opRead, opSynStream, 1, 0, 0, 10, 0, opSynStream, 3, 0, 0, 9, 1, opSynStream, 5, 1, 0, 15, 2, opAppAccept, 1, opAppAccept, 2,
		opAppWrite, 0, 7, opAppWrite, 1, 7, opRst, 1, 5, opAppAbort, 0, 0, opAppAbort, 1, 1, opAppTime, 15, opRead, opRst, 3, 3, opHangUp, 1,
	},
	{ // pushes, both ways
		opAppOpen, 0x10, opSynStream, 2, 3, 1, 7, 0, opSynStream, 4, 2, 1, 8, 0, opHeaders, 4, 0, 1, opData, 4, 1, 2, opSettings, 0, 1, 4, 0, 0x85,
		opAppOpen, 0x10, opAppRead, 0, 3, opSynStream, 1, 1, 0, 15, 0, opAppExtra, 0, 0x11, opAppWrite, 0, 3, opAppFinish, 0, opAppFinish, 0,
	},
	{ // resets, by either side, of streams with unread bytes, and a body that nobody wants
		opSynStream, 1, 0, 0, 9, 0, opData, 1, 0, 4, opRst, 1, 5, opSynStream, 3, 0, 0, 9, 0, opAppAccept, 0, opData, 3, 0, 4,
		opAppAbort, 0, 1, opData, 3, 0, 4, opAppAbort, 0, 0, opAppOpen, 8, opSynReply, 1, 0, 0, opData, 1, 0, 4, opSynReply, 1, 0, 0,
	},
	{ // a write that both windows hold up, and calls that wait for a slot
		opSynStream, 1, 1, 0, 15, 0, opAppAccept, 0, opAppWrite, 0, 7, opWindowUpdate, 0, 8, opWindowUpdate, 1, 8, opAppFinish, 0,
		opSettings, 0, 1, 4, 0, 0x81, opAppOpen, 9, opAppOpen, 9, opAppOpen, 9, opRst, 1, 5, opRst, 2, 5, opAppAbort, 2, 0,
	},
	{ // a push that nobody asks for
		opAppOpen, 0x10, opSynStream, 2, 2, 1, 7, 0, opData, 2, 0, 4, opSynReply, 1, 0, 0, opData, 1, 0, 4, opHangUp, 1,
	},
	{ // what no peer should send
		opSynStream, 1, 0, 0, 13, 0, opSynStream, 3, 0, 0, 14, 0, opHeaders, 9, 0, 4, opData, 9, 0, 1, opSynReply, 9, 0, 0,
		opSynStream, 3, 0, 0, 9, 0, opControl, 13, 0, 0, 3, 1, 2, 3, opControl, 6, 0, 0xf1, 4, 0, 0, 0, 1, opControl, 1, 0, 0, 12, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 1, 2,
	},
	{ // time, and a connection that is lost in the middle of a frame
		opAppOpen, 9, opAppTime, 15, opAppTime, 15, opAppOpen, 1, opAppOpen, 1, opSynReply, 1, 0, 0, opBytes, 0, 12, 0, 0, 0, 1, 0, 0, 0, 99, 1, 2, 3, 4, opHangUp, 0,
	},
}

// TestFuzzPrograms: what the seeds of FuzzSession are meant to do, they do.
func TestFuzzPrograms(t *testing.T) {
	var total SessionStats
	for i, kind := range []byte{0, 1, 2, 3} {
		for _, body := range handWritten {
			synctest.Test(t, func(t *testing.T) {
				r := newFuzzRun(t, program{append([]byte{kind, 0x27, 0}, body...)})
				r.play()
				stats := r.s.Stats()
				total.StreamsAccepted += stats.StreamsAccepted
				total.StreamsOpened += stats.StreamsOpened
				total.Sent.add(&stats.Sent)
				total.Received.add(&stats.Received)
			})
		}
		require.Positive(t, total.StreamsAccepted+total.StreamsOpened, "kind %d", i)
	}
	require.Greater(t, total.Sent.DataBytes, int64(300_000))
	require.Greater(t, total.Received.DataBytes, int64(200_000))
	for typ := FrameSynStream; typ <= FrameWindowUpdate; typ++ {
		if typ == FrameNoop {
			continue
		}
		require.Positive(t, total.Received.Frames[typ], "%v", typ)
		if typ != FrameHeaders {
			require.Positive(t, total.Sent.Frames[typ], "%v", typ)
		}
	}
}

// checkWire reads what the session has sent: whole frames, of which none that carries
// something follows the FIN of its stream.
func (r *fuzzRun) checkWire() {
	f := NewFramer(nil, bytes.NewReader(r.got), r.version)
	f.MaxHeaderBytes = 1 << 20
	fin := make(map[uint32]bool)
	for {
		frame, err := f.ReadFrame()
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) { // it may have been cut off
			return
		}
		if err != nil {
			r.t.Errorf("the session sent what is no frame: %v\n%s", err, hex.EncodeToString(r.got))
			return
		}
		id, flags, carries := carried(frame)
		if _, unknown := frame.(*UnknownFrame); unknown || carries && fin[id] {
			r.t.Errorf("the session sent %s after the end of the stream, or of no known type", show(frame))
		}
		if carries && flags&FlagFin != 0 {
			fin[id] = true
		}
	}
}

// carried is the stream of a frame that may have a FIN.
func carried(frame Frame) (id uint32, flags FrameFlags, carries bool) {
	switch f := frame.(type) {
	case *SynStreamFrame:
		return f.StreamID, f.Flags, true
	case *SynReplyFrame:
		return f.StreamID, f.Flags, true
	case *HeadersFrame:
		return f.StreamID, f.Flags, true
	case *DataFrame:
		return f.StreamID, f.Flags, true
	}
	return 0, 0, false
}
