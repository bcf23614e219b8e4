package spdy

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// What a session can cost at the default Config, whatever the peer sends. docs/budgets.md
// says how these come about; TestSessionBudget holds sessions to them, and the page.
const (
	streamCost      = 64 << 10 // of memory, for a stream with its handler and without headers
	nameCost        = 256      // of memory, for each name of a header block, in the maps of net/http too
	sessionCost     = 1 << 20  // of memory, for a session without streams: buffers, compression, what is queued
	pooledCost      = 4        // the memory for headers exceeds their pool by this fraction of it at most
	sessionRoutines = 2
)

// headerCost is what the headers of a stream may cost: a block, and late ones.
func headerCost(r role, conf *Config) int64 {
	late := conf.MaxHeaderBytes
	if r == asClient {
		late = min(late, defaultMaxHeaderBytes)
	}
	const leastPair = 5 // bytes, of a name of one and no value in SPDY/2
	names := min(conf.MaxHeaderFields, conf.MaxHeaderBytes/leastPair)
	return int64(conf.MaxHeaderBytes + late + names*nameCost)
}

// sessionBudget is what a session of a role and version may cost with so many streams: of
// memory in bytes, and of goroutines. On a server handlers may run for as many streams that
// the peer has cancelled, while those that are open wait.
func sessionBudget(r role, conf *Config, streams int) (heap int64, goroutines int) {
	conf = conf.withDefaults(bool(r), sending{theirs: r == asServer, ours: r == asClient})
	unread := conf.SessionWindow
	goroutines = sessionRoutines
	kept := streams
	if r == asServer {
		goroutines += streams
		kept += streams
	}
	headers := int64(kept) * headerCost(r, conf)
	if p := conf.poolsOfSession(); p != nil {
		limit := p.of[heldHeaders].limit
		headers = min(headers, limit+limit/pooledCost)
	}
	heap = sessionCost + int64(unread+unread/4+readBufferSize) + int64(kept)*streamCost + headers
	return heap, goroutines
}

// TestSessionBudget drives every type of frame at a session with the default Config, but for smaller
// headers without a pool, as far as the budgets go, and measures what that costs while it lasts.
// TestOwnPool in tests/costs measures headers with the pool.
func TestSessionBudget(t *testing.T) {
	text, err := os.ReadFile("docs/budgets.md")
	require.NoError(t, err)
	for _, r := range bothRoles {
		conf := Config{StreamWindow: defaultStreamWindow, MaxStreamWindow: defaultMaxStreamWindow}
		conf.SessionWindow = defaultSessionWindow
		conf.MaxHeaderBytes, conf.MaxHeaderFields = 256<<10, 500 // with the defaults it would take gigabytes
		conf.Pools.HeaderBytes = -1
		streams := much(defaultMaxStreams)
		if r == asClient {
			streams = much(20) // of its own, each with an answer that nobody reads
		} else {
			conf.MaxConcurrentStreams = streams // as many handlers run
		}
		var told chan struct{} // closed when handlers may return
		app := func(Version, role) application {
			told = make(chan struct{})
			if r == asClient {
				return newHTTPClientApp(&conf)
			}
			return stuckHandlers(told)
		}
		storm(t, []role{r}, everyVersion, attackSetup{peerOpts: peerOpts{conf: conf}, app: app}, func(a *attacker) {
			defer close(told)
			full, cancelled := 20, 0
			if r == asServer {
				full, cancelled = defaultMaxStreams, streams
			}
			heap, _ := sessionBudget(r, nil, full)
			line := fmt.Sprintf("| %s | %s | %d | %d MiB |", r, a.version, full, (heap+1<<20-1)>>20)
			require.Contains(a.t, string(text), line, "docs/budgets.md")

			big := strings.Repeat("x", 120<<10) // a pair below half of MaxHeaderBytes
			if a.version == SPDY2 {
				big = big[:60<<10]
			}
			blocks := newBlocks(a)
			const names = 200 // a share of them, and of the bytes, in each block
			large := func(h HeaderBlock) []byte {
				return blocks(append(append(h, HeaderField{"a", big}, HeaderField{"b", big}), manyNames("e", names)...))
			}
			late := func() []byte { return blocks(append(HeaderBlock{{"c", big}, {"d", big}}, manyNames("f", names)...)) }
			before, routines := heapInUse(), runtime.NumGoroutine()
			var ours []*Stream
			for i := range cancelled + streams {
				id := a.peerID() + uint32(2*i)
				if r == asClient {
					ours = append(ours, a.open("ours", 0))
					id = ours[i].id
					a.frame(&SynReplyFrame{StreamID: id, Block: large(plainOK(a.version))})
				} else {
					a.frame(&SynStreamFrame{StreamID: id, Block: large(plainGet(a.version, ":method", "POST"))})
				}
				a.frame(&HeadersFrame{StreamID: id, Block: late()})
				if i < cancelled {
					a.frame(&RstStreamFrame{StreamID: id, Status: RstCancel})
				}
				require.True(a.t, a.push())
				synctest.Wait()
			}
			require.NoError(a.t, a.s.Err())
			require.Equal(a.t, streams, openStreams(a.s))
			a.fill(ours, cancelled, streams)
			a.provoke(blocks)
			synctest.Wait()
			require.NoError(a.t, a.s.Err(), "all of it is within the budgets")
			require.Equal(a.t, streams, openStreams(a.s))
			heap, goroutines := sessionBudget(r, &conf, streams)
			cost := heapInUse() - before
			a.t.Logf("%d streams: %d of %d KiB, %d of %d goroutines", streams, cost>>10, heap>>10, runtime.NumGoroutine()-routines, goroutines)
			require.Less(a.t, cost, heap)
			require.LessOrEqual(a.t, runtime.NumGoroutine()-routines, goroutines)
			runtime.KeepAlive(ours)
		})
	}
}

// stuckHandlers serves HTTP with handlers that do not return before they are told to.
func stuckHandlers(told chan struct{}) application {
	return newHTTPServerApp(&http.Server{ErrorLog: quietLog, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-told
		runtime.KeepAlive(r)
	})})
}

// manyNames returns a block of n names.
func manyNames(prefix string, n int) (h HeaderBlock) {
	for i := range n {
		h = append(h, HeaderField{fmt.Sprint(prefix, i), "v"})
	}
	return h
}

// newBlocks returns what makes all header blocks of a peer.
func newBlocks(a *attacker) func(h HeaderBlock) []byte {
	var buf bytes.Buffer
	w, err := zlib.NewWriterLevelDict(&buf, zlib.BestSpeed, []byte(a.version.dictionary()))
	require.NoError(a.t, err)
	return func(h HeaderBlock) []byte {
		nv, err := appendNameValue(nil, a.version, h)
		require.NoError(a.t, err)
		buf.Reset()
		_, err = w.Write(nv)
		require.NoError(a.t, err)
		require.NoError(a.t, w.Flush())
		return bytes.Clone(buf.Bytes())
	}
}

// fill sends DATA on streams from the first on until windows or the session stop it.
func (a *attacker) fill(ours []*Stream, first, streams int) {
	frame := make([]byte, 16<<10)
	for i := range streams {
		id := a.peerID() + uint32(2*(first+i))
		if len(ours) > 0 {
			id = ours[i].id
		}
		for range defaultStreamWindow / len(frame) {
			s := a.s.Stats()
			room := s.ReceiveWindow
			if a.version == SPDY2 {
				room = s.UnreadBudget - s.UnreadBytes - int64(len(frame))
			}
			if a.version != SPDY3 && room < int64(len(frame)) {
				return
			}
			a.frame(&DataFrame{StreamID: id, Data: frame})
			require.True(a.t, a.push())
			synctest.Wait()
		}
	}
}

// provoke sends a tenth of what the budgets allow of each frame that brings nothing or
// has to be answered.
func (a *attacker) provoke(blocks func(h HeaderBlock) []byte) {
	unknown := a.peerID() + 1<<20
	a.flood(defaultIdleFrameBurst/20, func(i int) {
		a.frame(&PingFrame{ID: a.peerID() + uint32(2*i)},
			&SettingsFrame{Entries: []Setting{{ID: SettingUploadBandwidth, Value: uint32(i)}}},
			&RstStreamFrame{StreamID: unknown, Status: RstCancel},
			&DataFrame{StreamID: a.peerID()})
		a.raw(99, 0, make([]byte, 1000)...)
		if a.version != SPDY2 {
			a.frame(&WindowUpdateFrame{StreamID: a.peerID(), Delta: 1})
		}
	})
	a.flood(defaultResetBurst/2, func(i int) {
		a.frame(&SynStreamFrame{StreamID: unknown + uint32(2*i), Block: blocks(HeaderBlock{{"", ""}})})
	})
	a.frame(&SynReplyFrame{StreamID: unknown - 2, Block: blocks(plainOK(a.version))})
	a.push()
}

// TestBudgetDefaults: what Config says of the budgets.
func TestBudgetDefaults(t *testing.T) {
	for _, c := range []struct {
		streams int
		flow    FlowControl
		burst   int
	}{{0, 0, 1000}, {250, 0, 1000}, {251, 0, 1004}, {0, FlowControlPeerUnaware, 16384}, {1<<31 - 1, 0, 4 * 32767}} {
		d := (&Config{MaxConcurrentStreams: c.streams, FlowControl: c.flow}).withDefaults(false, sending{theirs: true, raw: c.flow != 0})
		require.Equal(t, c.burst, d.ResetBurst)
	}
	d := (*Config)(nil).withDefaults(true, sending{ours: true})
	require.Equal(t, []int{200, 10000, 1000, 64 << 10}, []int{d.ResetRate, d.IdleFrameBurst, d.IdleFrameRate, d.MaxOwedReplies})
	require.Equal(t, "Budget(9)", Budget(9).String())
}

// TestServerCountsFloods: a server says what its clients have spent.
func TestServerCountsFloods(t *testing.T) {
	srv := &Server{Config: &Config{ResetBurst: 10, Version: SPDY31}, Handler: http.NotFoundHandler(), ErrorLog: quietLog}
	siteTest(t, "flood", srv, false, func(s *site) {
		f, conn := s.peer()
		require.NoError(t, f.WriteFrame(&PingFrame{ID: 1})) // which tells the server that it is SPDY
		for i := range 30 {
			if f.WriteFrame(&DataFrame{StreamID: uint32(2*i + 1), Data: []byte("x")}) != nil {
				break
			}
		}
		for {
			if _, err := f.ReadFrame(); err != nil {
				break
			}
		}
		conn.Close()
		synctest.Wait()
		stats := srv.Stats()
		require.EqualValues(t, 1, stats.Flooded)
		require.EqualValues(t, 21, stats.ChargedResets, "twice the burst, and one more")
		require.Zero(t, stats.Sessions)
	})
}

// TestUnawareIsRaw: FlowControlPeerUnaware has no effect on sessions of HTTP.
func TestUnawareIsRaw(t *testing.T) {
	for _, d := range []sending{httpSending, {ours: true}, {theirs: true, ours: true}} {
		unaware, standard := (&Config{FlowControl: FlowControlPeerUnaware}).withDefaults(false, d), (&Config{}).withDefaults(false, d)
		require.Equal(t, standard.SessionWindow, unaware.SessionWindow)
		require.Equal(t, standard.MaxConcurrentStreams, unaware.MaxConcurrentStreams)
		require.Equal(t, standard.grants, unaware.grants)
		require.Error(t, (&Config{FlowControl: FlowControlPeerUnaware, SessionWindow: 1 << 16, StreamWindow: 1 << 17}).check(d))
	}
}
