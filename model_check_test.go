package spdy

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

var (
	modelRuns = flag.Int("model.runs", 60, "sequences of TestModel for each role and version")
	modelSeed = flag.Uint64("model.seed", 1, "seed of the first one")
)

const modelSteps = 80

// TestModel runs random frames of the peer, and calls of the application, against a
// session and against the model. After each of them the frames that the session has sent,
// its windows, its streams and their states are those of the model.
func TestModel(t *testing.T) {
	for _, v := range everyVersion {
		for _, r := range bothRoles {
			t.Run(fmt.Sprintf("%v/%v", v, r), func(t *testing.T) {
				seen, seed := make(map[string]int), *modelSeed
				defer func() {
					if t.Failed() {
						t.Logf("run it again with: go test -run 'TestModel/%v/%v' -model.seed %d -model.runs 1", v, r, seed)
					}
				}()
				runs := uint64(*modelRuns)
				if raceEnabled {
					runs = (runs + 3) / 4
				}
				for ; seed < *modelSeed+runs; seed++ {
					synctest.Test(t, func(t *testing.T) { newModelRun(t, v, r, seed, seen).play() })
				}
				for _, what := range []string{"GOAWAY", "PING", "RST", "SYN_STREAM", "SYN_REPLY", "HEADERS", "DATA"} {
					require.True(t, seen[what] > 0 || runs < 60, "no session has sent %s", what)
				}
			})
		}
	}
}

// A modelRun is a session and its model.
type modelRun struct {
	*testPeer
	m       *model
	rnd     *rand.Rand
	log     []string
	seen    map[string]int     // types of frames that have been sent
	opens   []*modelCall       // in the order of the calls
	writes  map[uint32]*call   // the last one on each stream
	lengths map[uint32]int64   // of it
	real    map[uint32]*Stream // all streams there have been
	models  map[uint32]*modelStream
	ctx     context.Context
}

type modelCall struct {
	st *Stream
	c  *call
}

func newModelRun(t *testing.T, v Version, role role, seed uint64, seen map[string]int) *modelRun {
	const limit = 4
	r := &modelRun{
		testPeer: newPeer(t, role, peerOpts{version: v, conf: Config{MaxConcurrentStreams: limit}}),
		m:        newModel(v, bool(role), limit), rnd: rand.New(rand.NewPCG(seed, uint64(v))), seen: seen,
		writes: make(map[uint32]*call), lengths: make(map[uint32]int64),
		real: make(map[uint32]*Stream), models: make(map[uint32]*modelStream),
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	r.ctx = ctx
	return r
}

func (r *modelRun) play() {
	for range modelSteps {
		r.m.expected, r.m.dropped = nil, 0
		if r.rnd.IntN(2) == 0 {
			r.peerDoes()
		} else {
			r.appDoes()
		}
		r.compare()
		if r.t.Failed() {
			r.t.Logf("what happened:\n%s", strings.Join(r.log, "\n"))
			return
		}
		if r.m.dead {
			r.compareEnd()
			return
		}
	}
}

func (r *modelRun) note(format string, args ...any) {
	r.log = append(r.log, fmt.Sprintf(format, args...))
}

func pick[T any](rnd *rand.Rand, of ...T) T { return of[rnd.IntN(len(of))] }

// id is mostly that of an open stream.
func (r *modelRun) id() uint32 {
	if open := r.m.sorted(); len(open) > 0 && r.rnd.IntN(8) > 0 {
		return pick(r.rnd, open...).id
	}
	return uint32(r.rnd.IntN(int(max(r.m.next, r.m.lastPeer)) + 6))
}

func (r *modelRun) chance(n int) bool { return r.rnd.IntN(n) == 0 }

func flagsOf(fin, oneWay bool) (flags FrameFlags) {
	if fin {
		flags |= FlagFin
	}
	if oneWay {
		flags |= FlagUnidirectional
	}
	return flags
}

// peerDoes sends a frame.
func (r *modelRun) peerDoes() {
	id, fin := r.id(), r.chance(4)
	switch r.rnd.IntN(16) {
	case 0, 1, 2:
		if !r.chance(6) {
			id = r.m.lastPeer + 2
			if id == 2 {
				id = r.peerID()
			}
		}
		oneWay := r.chance(8)
		r.note("peer: SYN_STREAM %d fin %t oneWay %t", id, fin, oneWay)
		r.sendSynStream(id, flagsOf(fin, oneWay), HeaderField{"name", "value"})
		r.m.synStream(id, fin, oneWay)
	case 3, 4:
		r.note("peer: SYN_REPLY %d fin %t", id, fin)
		r.sendSynReply(id, flagsOf(fin, false), HeaderField{"name", "value"})
		r.m.synReply(id, fin)
	case 5:
		name := pick(r.rnd, "a", "b", "c", "d")
		r.note("peer: HEADERS %d %s fin %t", id, name, fin)
		r.sendHeaders(id, flagsOf(fin, false), HeaderField{name, "value"})
		r.m.headers(id, name, fin)
	case 6, 7, 8, 9:
		r.peerData(id, fin)
	case 10:
		if status := pick(r.rnd, RstCancel, RstRefusedStream, 0, 77); r.chance(2) {
			r.note("peer: RST_STREAM %d %v", id, status)
			r.sendRst(id, status)
			r.m.rstStream(id)
		}
	case 11:
		setting, value := SettingInitialWindowSize, pick[uint32](r.rnd, 0, 10_000, 65536, 70_000, 200_000, maxWindow-100_000, maxWindow, 1<<31)
		if r.chance(2) {
			setting, value = SettingMaxConcurrentStreams, uint32(r.rnd.IntN(6))
		}
		r.note("peer: %v %d", setting, value)
		r.sendSetting(setting, value)
		r.m.settings(setting, value)
	case 12:
		ping := uint32(r.rnd.IntN(9)) + 100*uint32(r.rnd.IntN(2))
		r.note("peer: PING %d", ping)
		r.sendPing(ping)
		r.m.pinged(ping)
	case 13:
		if r.chance(4) {
			status := pick(r.rnd, GoAwayOK, GoAwayProtocolError)
			r.note("peer: GOAWAY %d %v", id, status)
			r.sendGoAway(id, status)
			r.m.goAway(id)
		}
	default:
		r.peerGrants(id)
	}
}

func (r *modelRun) peerGrants(id uint32) {
	if r.chance(3) {
		id = 0
	}
	delta := pick[uint32](r.rnd, 1, 100, 10_000, 65536, 100_000)
	if r.chance(10) {
		delta = pick[uint32](r.rnd, 0, maxWindow)
	}
	r.note("peer: WINDOW_UPDATE %d %d", id, delta)
	if r.version == SPDY2 {
		r.sendControl(FrameWindowUpdate, 0, 0, 0, 0, byte(id), byte(delta>>24), byte(delta>>16), byte(delta>>8), byte(delta))
	} else {
		r.sendWindowUpdate(id, delta)
	}
	r.m.windowUpdate(id, int64(delta))
}

func (r *modelRun) peerData(id uint32, fin bool) {
	n := pick[int64](r.rnd, 0, 1, 100, 5000, 16384, 20_000, 30_000, 65536)
	if st := r.m.streams[id]; st != nil && r.version != SPDY2 && !r.chance(10) {
		n = min(n, st.in)
	} else if st != nil && r.chance(2) {
		n = st.in + int64(r.rnd.IntN(2)) // up to the last byte, or one more
	}
	if r.version == SPDY2 { // without windows a session stops reading instead
		n = min(n, 60_000-r.m.size+r.m.in+r.m.owed)
	} else if !r.chance(20) {
		n = min(n, r.m.in)
	} else if r.version == SPDY31 && r.chance(2) {
		n = r.m.in + int64(r.rnd.IntN(2))
	}
	if n < 0 || n == 0 && r.s.in.total.Load() == 0 { // an empty frame that comes first may be one of HTTP/2, see judgeFirst
		return
	}
	compressed := r.chance(40)
	flags := flagsOf(fin, compressed) // the two flags have the same bit
	r.note("peer: DATA %d, %d bytes, fin %t, compressed %t", id, n, fin, compressed)
	r.send(&DataFrame{StreamID: id, Flags: flags, Data: testBytes(int(n))})
	r.m.data(id, n, fin, compressed)
}

// appDoes calls the session.
func (r *modelRun) appDoes() {
	if what := r.rnd.IntN(16); what < 3 {
		o := modelOpen{fin: r.chance(4), oneWay: r.chance(8)}
		r.note("open fin %t oneWay %t", o.fin, o.oneWay)
		st := r.s.newLocalStream(0)
		c := &modelCall{st: st}
		c.c = r.async("open", func(c *call) {
			c.err = r.s.open(r.ctx, st, r.block(HeaderField{"name", "value"}), flagsOf(o.fin, o.oneWay))
		})
		synctest.Wait()
		if r.m.open(o) {
			r.opens = append(r.opens, c)
		} else {
			var e *StreamError
			require.ErrorAs(r.t, c.c.wait("going away").err, &e)
			require.True(r.t, e.Retryable())
		}
		return
	} else if what == 3 && r.chance(8) {
		r.note("GOAWAY")
		r.s.goAway()
		r.m.sayGoodbye()
		return
	}
	if len(r.models) == 0 {
		return
	}
	ids := make([]uint32, 0, len(r.models))
	for id := range r.models {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	id := pick(r.rnd, ids...)
	if open := r.m.sorted(); len(open) > 0 && !r.chance(8) {
		id = pick(r.rnd, open...).id
	}
	r.appUses(r.real[id], r.models[id])
}

// appUses does something with a stream.
func (r *modelRun) appUses(st *Stream, m *modelStream) {
	fin := r.chance(4)
	canSend := !m.ended && !m.outDone && m.loan == 0 && !m.fin && (m.ours || m.replied || m.oneWay)
	switch what := r.rnd.IntN(12); {
	case what < 4 && m.unread > 0:
		n := min(m.unread, pick[int64](r.rnd, 1, 1000, 10_000, 65536))
		r.note("read %d bytes of stream %d", n, m.id)
		c := r.startRead(st, int(n)).ok("read")
		require.Equal(r.t, int(n), c.n)
		r.m.read(m, n)
	case what < 8 && canSend:
		n := pick(r.rnd, 0, 1, 100, 16384, 30_000, 65536, 100_000)
		r.note("write %d bytes on stream %d, fin %t", n, m.id, fin)
		if n == 0 && !fin {
			return
		}
		r.writes[m.id], r.lengths[m.id] = r.startWrite(st, testBytes(n), flagsOf(fin, false)), int64(n)
		m.loan, m.fin = int64(n), fin
	case what < 9 && !m.ended && !m.ours && !m.replied:
		r.note("reply on stream %d, fin %t", m.id, fin)
		require.NoError(r.t, st.sendHeaders(FrameSynReply, r.block(HeaderField{"ok", "yes"}), fin))
		r.m.sendHeaders(m, true, fin)
	case what == 9 && canSend:
		r.note("HEADERS on stream %d, fin %t", m.id, fin)
		require.NoError(r.t, st.sendHeaders(FrameHeaders, r.block(HeaderField{"late", "yes"}), fin))
		r.m.sendHeaders(m, false, fin)
	case what == 10 && r.chance(2):
		status := pick(r.rnd, RstCancel, RstInternalError, RstFrameTooLarge)
		r.note("reset stream %d, %v", m.id, status)
		st.reset(status, "test", errTest)
		r.m.reset(m, status)
	case what == 11 && r.chance(2) && !m.unwanted:
		r.note("stop reading stream %d", m.id)
		st.stopReading()
		r.m.stopReading(m)
	}
}

// compare looks for a difference.
func (r *modelRun) compare() {
	sent, fins := make(map[uint32]int64), make(map[uint32]bool)
	var got []string
	for _, frame := range r.drain() {
		if r.echo(frame) {
			continue
		}
		if d, ok := frame.(*DataFrame); ok {
			sent[d.StreamID] += int64(len(d.Data))
			if d.Flags != 0 {
				fins[d.StreamID] = true
			}
			r.seen["DATA"]++
			continue
		}
		got = append(got, summary(frame))
		r.seen[strings.Fields(got[len(got)-1])[0]]++
	}
	r.note("    sent %q, DATA %v, FIN %v", got, sent, fins)
	if !r.m.dead {
		require.Empty(r.t, r.m.flow(sent, fins), "%s", strings.Join(r.log, "\n"))
		r.m.drained()
	}
	want := slices.Clone(r.m.expected)
	if r.m.dead { // while the session waits for the receipt of the last frame, it still grants credit
		got, want = slices.DeleteFunc(got, isSessionGrant), slices.DeleteFunc(want, isSessionGrant)
	}
	if r.m.dropped > 1 { // the order in which streams are dropped is not said, and credit goes out in large steps
		got, want = slices.DeleteFunc(got, isSessionGrant), slices.DeleteFunc(want, isSessionGrant)
		r.m.in, r.m.owed = r.in(), r.s.flow.owed.Load()
	}
	slices.Sort(got)
	slices.Sort(want)
	require.Equal(r.t, want, got, "%s", strings.Join(r.log, "\n"))
	if !r.m.dead {
		r.meet()
		r.compareSession()
		r.compareCalls()
	}
}

func isSessionGrant(s string) bool { return strings.HasPrefix(s, "WINDOW_UPDATE 0 ") }

func (r *modelRun) in() int64 {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	return r.s.flow.in.avail
}

// summary is a frame as the model writes it.
func summary(frame Frame) string {
	switch f := frame.(type) {
	case *SynStreamFrame:
		return fmt.Sprintf("SYN_STREAM %d fin %t oneWay %t", f.StreamID, f.Flags&FlagFin != 0, f.Flags&FlagUnidirectional != 0)
	case *SynReplyFrame:
		return fmt.Sprintf("SYN_REPLY %d fin %t", f.StreamID, f.Flags&FlagFin != 0)
	case *HeadersFrame:
		return fmt.Sprintf("HEADERS %d fin %t", f.StreamID, f.Flags&FlagFin != 0)
	case *RstStreamFrame:
		return fmt.Sprintf("RST %d %v", f.StreamID, f.Status)
	case *PingFrame:
		return fmt.Sprintf("PING %d", f.ID)
	case *GoAwayFrame:
		return fmt.Sprintf("GOAWAY %d %v", f.LastGoodStreamID, f.Status)
	case *WindowUpdateFrame:
		return fmt.Sprintf("WINDOW_UPDATE %d %d", f.StreamID, f.Delta)
	}
	return show(frame)
}

// meet finds the real streams of new ones of the model.
func (r *modelRun) meet() {
	for id, m := range r.m.streams {
		if r.models[id] != nil {
			continue
		}
		r.models[id] = m
		r.s.mu.Lock()
		st := r.s.streams[id]
		r.s.mu.Unlock()
		require.NotNil(r.t, st, "stream %d\n%s", id, strings.Join(r.log, "\n"))
		r.real[id] = st
	}
}

// A modelState is what is compared of a session, modelBooks what is of a stream.
type modelState struct {
	In, Owed, Out        int64
	Next, Peer, Good     uint32
	Said, Heard          bool
	Ours, Theirs, Opener int
	Open                 []uint32
}

type modelBooks struct {
	ID                                uint32
	Ours, OneWay, Replied             bool
	InDone, OutDone, Ended            bool
	Size, In, Owed, Unread, Out, Loan int64
}

func (r *modelRun) compareSession() {
	m, s := r.m, r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	got := modelState{
		In: s.flow.in.avail, Owed: s.flow.owed.Load(), Out: s.flow.out.avail, Next: s.nextID, Peer: s.lastPeerID, Good: s.lastGood,
		Said: s.end.saidGoAway, Heard: s.end.heardGoAway, Ours: s.ourStreams, Theirs: s.peerStreams, Opener: len(s.openers),
	}
	for id := range s.streams {
		got.Open = append(got.Open, id)
	}
	slices.Sort(got.Open)
	want := modelState{
		In: m.in, Owed: m.owed, Out: m.out, Next: m.next, Peer: m.lastPeer, Good: m.lastGood,
		Said: m.said, Heard: m.heard, Ours: m.ourOpen, Theirs: m.theirs, Opener: len(m.waiting),
	}
	for _, st := range m.sorted() {
		want.Open = append(want.Open, st.id)
	}
	if m.version != SPDY31 {
		got.Out, want.Out = 0, 0 // there is no such window
	}
	require.Equal(r.t, want, got, "%s", strings.Join(r.log, "\n"))
	for id, m := range r.models {
		require.Equal(r.t, booksOfModel(m, r.version), booksOf(r.real[id], r.version), "%s", strings.Join(r.log, "\n"))
	}
}

func booksOfModel(m *modelStream, v Version) modelBooks {
	b := modelBooks{
		ID: m.id, Ours: m.ours, OneWay: m.oneWay, Replied: m.replied, InDone: m.inDone, OutDone: m.outDone, Ended: m.ended,
		Size: m.size, In: m.in, Owed: m.owed, Unread: m.unread, Out: m.out, Loan: m.loan,
	}
	return b.relevant(v)
}

// relevant leaves out what no longer means anything.
func (b modelBooks) relevant(v Version) modelBooks {
	if b.Ended {
		b.InDone, b.OutDone, b.Replied = false, false, false
	}
	if b.Ended || v == SPDY2 {
		b.Out = 0
	}
	return b
}

// booksOf is called with Session.mu held.
func booksOf(st *Stream, v Version) modelBooks {
	st.in.mu.Lock()
	f, unread := st.in.flow, st.in.unread
	st.in.mu.Unlock()
	b := modelBooks{
		ID: st.id, Ours: st.state.ours, OneWay: st.state.oneWay, Replied: st.state.replied,
		InDone: st.state.inDone, OutDone: st.state.outDone, Ended: st.ended,
		Size: f.size, In: f.avail, Owed: f.owed, Unread: unread, Out: st.out.avail, Loan: int64(len(st.loan)),
	}
	return b.relevant(v)
}

// compareCalls: calls of open return in their order, and writes when their bytes are gone
// or the stream has ended.
func (r *modelRun) compareCalls() {
	for len(r.opens) > len(r.m.waiting) {
		c := r.opens[0]
		r.opens = r.opens[1:]
		require.True(r.t, c.c.returned(), "%s", strings.Join(r.log, "\n"))
	}
	for _, c := range r.opens {
		require.False(r.t, c.c.returned(), "%s", strings.Join(r.log, "\n"))
	}
	for id, c := range r.writes {
		m := r.models[id]
		done := m.loan == 0
		require.Equal(r.t, done, c.returned(), "write on stream %d\n%s", id, strings.Join(r.log, "\n"))
		if !done {
			continue
		}
		delete(r.writes, id)
		if c.err == nil {
			require.Equal(r.t, r.lengths[id], int64(c.n))
		} else {
			require.True(r.t, m.ended, "%v", c.err)
		}
	}
}

// compareEnd looks at a session that the model says has ended.
func (r *modelRun) compareEnd() {
	err := r.s.Err()
	require.Error(r.t, err, "%s", strings.Join(r.log, "\n"))
	var e *SessionError
	if r.m.failed {
		require.ErrorAs(r.t, err, &e, "%s", strings.Join(r.log, "\n"))
		require.Equal(r.t, GoAwayProtocolError, e.Status)
		require.False(r.t, e.Remote)
		return
	}
	remote := errors.As(err, &e) && e.Remote
	require.True(r.t, remote || errors.Is(err, ErrSessionClosed), "%v", err)
}
