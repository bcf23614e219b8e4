package spdy

import (
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// TestAttackA3UnlimitedStreams: a peer that opens streams without end, and does not care
// what we announced, gets as many as Config says and not one more, whatever the
// application is. Those that it was refused since it must know of the limit use up its
// budget of resets.
func TestAttackA3UnlimitedStreams(t *testing.T) {
	const limit = 50
	conf := Config{MaxConcurrentStreams: limit, MaxOwedReplies: 1 << 24}
	open := func(a *attacker) func(i int) {
		return func(i int) {
			a.frame(&SynStreamFrame{StreamID: a.peerID() + uint32(2*i), Headers: HeaderBlock{{"name", "value"}}})
		}
	}
	const early = 5000
	flood := func(a *attacker) {
		one := open(a)
		require.Equal(a.t, limit+early, a.flood(limit+early, one))
		require.Zero(a.t, a.s.Stats().ChargedResets, "our SETTINGS may be on their way")
		a.advance(limitMute)
		sent := a.flood(100000, func(i int) { one(limit + early + i) })
		require.Less(a.t, sent, 100000, "it was ended long before")
	}
	verdict := func(a *attacker) {
		a.wantFlooded("a flood of streams", BudgetResets)
		s := a.s.Stats()
		require.EqualValues(a.t, limit, s.StreamsAccepted, "however many were opened")
		charged := 3 * defaultResetBurst // the budget has refilled once, meanwhile
		require.EqualValues(a.t, charged+1, s.ChargedResets)
		require.Equal(a.t, early+charged, a.hear().resets[RstRefusedStream]-1, "refused before the session ended")
		a.wantOtherUsable("a flood of streams")
	}
	t.Run("announced", func(t *testing.T) {
		storm(t, bothRoles, everyVersion, attackSetup{peerOpts: peerOpts{conf: conf}, app: newCrowd}, func(a *attacker) {
			a.wantOtherUsable("before")
			flood(a)
			verdict(a)
			now, most, _ := a.s.app.(*crowd).count()
			require.Equal(a.t, limit, most, "at once")
			require.Zero(a.t, now, "left")
		})
	})
	t.Run("raw, nobody accepts", func(t *testing.T) {
		conf := Config{MaxConcurrentStreams: 1000, AcceptBacklog: limit, ResetBurst: defaultResetBurst, MaxOwedReplies: 1 << 24}
		setup := attackSetup{peerOpts: peerOpts{conf: conf}, app: func(Version, role) application { return newAcceptQueue(&conf) }}
		storm(t, bothRoles, everyVersion, setup, func(a *attacker) {
			a.flood(10*limit, open(a))
			require.NoError(a.t, a.s.Err())
			require.Equal(a.t, limit, openStreams(a.s), "they wait, and the others were refused")
			require.Equal(a.t, 9*limit, a.hear().resets[RstRefusedStream])
			again := open(a)
			require.Equal(a.t, 10000, a.flood(10000, func(i int) { again(10*limit + i) }))
			require.Equal(a.t, 10000+9*limit, a.hear().resets[RstRefusedStream])
			require.Zero(a.t, a.s.Stats().ChargedResets, "no frame announces the limit")
			require.NoError(a.t, a.s.Err())
			a.wantOtherUsable("a flood of streams")
		})
	})
	t.Run("not read", func(t *testing.T) { // so that it cannot know of our SETTINGS
		storm(t, bothRoles, everyVersion, attackSetup{peerOpts: peerOpts{conf: conf}, app: newCrowd, deaf: true}, func(a *attacker) {
			flood(a)
			a.wantFlooded("a flood of streams", BudgetResets)
			_, most, came := a.s.app.(*crowd).count()
			require.Equal(a.t, limit, most, "at once")
			require.Equal(a.t, limit, came)
		})
	})
}

func newCrowd(Version, role) application { return &crowd{} }

// TestAttackA4RapidReset: streams that are opened and cancelled at once (CVE-2023-44487).
// Each keeps its slot until its handler has returned, so that no more handlers run than
// the limit, however many streams a peer opens; further streams are refused. The session
// goes on: a proxy that carries the requests of many cancels as many.
func TestAttackA4RapidReset(t *testing.T) {
	const limit = 50
	many := much(100000)
	// The peer reads all replies, but perhaps not before it has sent some thousands more.
	conf := Config{MaxConcurrentStreams: limit, MaxOwedReplies: 1 << 24}
	pair := func(a *attacker) func(i int) {
		return func(i int) {
			id := a.peerID() + uint32(2*i)
			a.frame(&SynStreamFrame{StreamID: id, Headers: HeaderBlock{{"name", "value"}}},
				&RstStreamFrame{StreamID: id, Status: RstCancel})
		}
	}
	t.Run("workers notice", func(t *testing.T) {
		storm(t, bothRoles, everyVersion, attackSetup{peerOpts: peerOpts{conf: conf}, app: newCrowd}, func(a *attacker) {
			heap := heapInUse()
			require.Equal(a.t, many, a.flood(many, pair(a)))
			require.NoError(a.t, a.s.Err())
			now, most, _ := a.s.app.(*crowd).count()
			require.LessOrEqual(a.t, most, limit, "at once")
			require.Zero(a.t, now, "left")
			require.Less(a.t, heapInUse()-heap, int64(1<<20))
			require.Zero(a.t, openStreams(a.s))
			require.Zero(a.t, wasted(a.s))
			a.wantOtherUsable("a rapid reset")
		})
	})
	t.Run("workers do not notice", func(t *testing.T) {
		setup := attackSetup{peerOpts: peerOpts{conf: conf}, app: func(Version, role) application {
			return &crowd{told: make(chan struct{})}
		}}
		storm(t, bothRoles, everyVersion, setup, func(a *attacker) {
			app := a.s.app.(*crowd)
			defer close(app.told)
			require.Equal(a.t, many, a.flood(many, pair(a)))
			require.NoError(a.t, a.s.Err())
			now, most, came := app.count()
			require.Equal(a.t, limit, most, "a stream that was reset keeps its slot")
			require.Equal(a.t, limit, came)
			require.Equal(a.t, limit, now, "they still run")
			require.Equal(a.t, limit, a.s.Stats().Streams.Lingering)
			require.Equal(a.t, many-limit, a.hear().resets[RstRefusedStream])
			a.wantOtherUsable("a rapid reset")
		})
	})
	t.Run("more handlers than ResetBurst", func(t *testing.T) {
		conf := Config{MaxConcurrentStreams: limit, ResetBurst: 10, MaxOwedReplies: 1 << 24}
		setup := attackSetup{peerOpts: peerOpts{conf: conf}, app: func(Version, role) application {
			return &crowd{told: make(chan struct{})}
		}}
		storm(t, bothRoles, everyVersion, setup, func(a *attacker) {
			app := a.s.app.(*crowd)
			require.Equal(a.t, 1000, a.flood(1000, pair(a)))
			require.NoError(a.t, a.s.Err())
			_, most, came := app.count()
			require.Equal(a.t, []int{10, 10}, []int{most, came}, "ResetBurst of them")
			close(app.told)
			synctest.Wait()
			require.Zero(a.t, wasted(a.s), "they have returned")
			pair(a)(1000)
			require.True(a.t, a.push())
			_, _, came = app.count()
			require.Equal(a.t, 11, came, "the next stream is taken")
		})
	})
	t.Run("within the rate", func(t *testing.T) { // slots hold even where the budget does not bite
		storm(t, bothRoles, everyVersion, attackSetup{peerOpts: peerOpts{conf: conf}, app: newCrowd}, func(a *attacker) {
			one := pair(a)
			n := 0
			for range 20 {
				for range defaultResetRate * 9 / 10 {
					one(n)
					n++
				}
				require.True(a.t, a.push())
				a.advance(time.Second)
			}
			require.NoError(a.t, a.s.Err())
			now, most, came := a.s.app.(*crowd).count()
			require.LessOrEqual(a.t, most, limit)
			require.Zero(a.t, now)
			require.Positive(a.t, came)
			require.EqualValues(a.t, came, a.s.Stats().ChargedResets)
		})
	})
	t.Run("handlers", func(t *testing.T) { // of http.Server; a client has none
		storm(t, []role{asServer}, everyVersion, attackSetup{peerOpts: peerOpts{conf: conf}, app: newHandlers}, func(a *attacker) {
			h := a.s.app.(*httpServerApp).server.Handler.(*handlers)
			sent := a.flood(many, func(i int) {
				id := uint32(2*i + 1)
				a.frame(&SynStreamFrame{StreamID: id, Flags: FlagFin, Headers: plainGet(a.version)},
					&RstStreamFrame{StreamID: id, Status: RstCancel})
			})
			require.Equal(a.t, many, sent)
			require.NoError(a.t, a.s.Err())
			synctest.Wait()
			require.LessOrEqual(a.t, h.most.Load(), int64(limit))
			require.Zero(a.t, h.now.Load())
			a.wantOtherUsable("a rapid reset")
		})
	})
}

// wasted is the number of handlers that run for cancelled streams.
func wasted(s *Session) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.floods.wasted
}

// handlers is an http.Handler that works until the request is cancelled.
type handlers struct{ now, most, came atomic.Int64 }

func newHandlers(Version, role) application {
	return newHTTPServerApp(&http.Server{Handler: &handlers{}, ErrorLog: quietLog})
}

func (h *handlers) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	h.came.Add(1)
	now := h.now.Add(1)
	for most := h.most.Load(); now > most && !h.most.CompareAndSwap(most, now); most = h.most.Load() {
	}
	<-r.Context().Done()
	h.now.Add(-1)
}

// TestAttackA5MadeYouReset: streams that the peer has us reset, in each way that there
// is (CVE-2025-8671). It is as if the peer had reset them.
func TestAttackA5MadeYouReset(t *testing.T) {
	const limit, many = 50, 100000
	data := func(id uint32, flags FrameFlags) Frame {
		return &DataFrame{StreamID: id, Flags: flags, Data: []byte("x")}
	}
	some := HeaderBlock{{"name", "value"}}
	for _, way := range []struct {
		name     string
		versions []Version
		after    func(id uint32) Frame // what follows the SYN_STREAM; nil for nothing
		flags    FrameFlags            // of the SYN_STREAM
		status   RstStatus
		refused  bool // the streams never reach the application
	}{
		{name: "WINDOW_UPDATE of 0", versions: version3, status: RstFlowControlError,
			after: func(id uint32) Frame { return &WindowUpdateFrame{StreamID: id} }},
		{name: "WINDOW_UPDATE beyond 2^31-1", versions: version3, status: RstFlowControlError,
			after: func(id uint32) Frame { return &WindowUpdateFrame{StreamID: id, Delta: maxWindow} }},
		{name: "DATA after FIN", versions: everyVersion, flags: FlagFin, status: RstStreamAlreadyClosed,
			after: func(id uint32) Frame { return data(id, 0) }},
		{name: "HEADERS after FIN", versions: everyVersion, flags: FlagFin, status: RstStreamAlreadyClosed,
			after: func(id uint32) Frame { return &HeadersFrame{StreamID: id, Headers: some} }},
		{name: "SYN_REPLY on the peer's own stream", versions: everyVersion, status: RstProtocolError,
			after: func(id uint32) Frame { return &SynReplyFrame{StreamID: id, Headers: some} }},
		{name: "SYN_STREAM twice", versions: everyVersion, status: RstProtocolError,
			after: func(id uint32) Frame { return &SynStreamFrame{StreamID: id, Headers: some} }},
		{name: "DATA for streams that were never opened", versions: everyVersion, status: RstInvalidStream, refused: true},
	} {
		t.Run(way.name, func(t *testing.T) {
			setup := attackSetup{peerOpts: peerOpts{conf: Config{MaxConcurrentStreams: limit}}, app: newCrowd}
			storm(t, bothRoles, way.versions, setup, func(a *attacker) {
				one := func(i int) {
					id := a.peerID() + uint32(2*i)
					if way.status == RstInvalidStream {
						a.frame(data(id, 0))
						return
					}
					a.frame(&SynStreamFrame{StreamID: id, Flags: way.flags, Headers: some})
					if way.after != nil {
						a.frame(way.after(id))
					}
				}
				sent := 0
				for ; sent < many && (sent%(limit/2) != 0 || a.push()); sent++ {
					synctest.Wait() // until the slots of the streams before are free
					one(sent)
				}
				require.Less(a.t, sent, 40*defaultResetBurst, "it was ended long before")
				a.wantFlooded(way.name, BudgetResets)
				heard := a.hear()
				require.Positive(a.t, heard.resets[way.status.forVersion(a.version)], "the first ones were answered")
				require.LessOrEqual(a.t, heard.frames[FrameRstStream], 2*defaultResetBurst+1)
				now, most, came := a.s.app.(*crowd).count()
				require.Zero(a.t, now, "left")
				require.LessOrEqual(a.t, most, limit, "at once")
				if way.refused {
					require.Zero(a.t, came)
				}
				a.wantOtherUsable(way.name)
			})
		})
	}
}
