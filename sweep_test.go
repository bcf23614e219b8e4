package spdy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// A sweepScenario is a use of a session pair that TestFaultSweep breaks in every place.
type sweepScenario struct {
	name  string
	raw   bool // both ends are raw sessions
	run   func(s *sweepRun)
	parts int // each version of the sweep strikes one of so many calls, each another one
	room  int // the session's window

	latency time.Duration // more than a session lingers for shows what a graceful end waits for

	leaves bool // the sessions say GOAWAY amid it: streams that are not sent any more count as refused
}

var sweepScenarios = []sweepScenario{
	{name: "exchanges", run: (*sweepRun).exchanges, parts: 1, room: 128 << 10, latency: time.Millisecond},
	{name: "uploads and pushes", run: (*sweepRun).uploadsAndPushes, parts: 3, room: 4 << 20, latency: time.Millisecond},
	{name: "farewell", run: (*sweepRun).farewell, parts: 3, room: 4 << 20, latency: 3 * time.Second, leaves: true},
	{name: "raw", raw: true, run: (*sweepRun).rawStreams, parts: 3, room: 4 << 20, latency: time.Millisecond},
	{name: "raw farewell", raw: true, run: (*sweepRun).rawFarewell, parts: 3, room: 4 << 20, latency: 3 * time.Second, leaves: true},
}

// A sweepRun is one run of a scenario.
type sweepRun struct {
	sweepScenario
	r    *rig
	body int64 // bytes of each large body

	mu        sync.Mutex
	at        map[string][]error // errors of the calls at "client" and "server"
	delivered map[string]bool    // ends whose Shutdown has returned nil
	sent, got map[string]bool    // bodies that one end has sent, and the other has received, to the end
	bodies    []*gatedBody       // of requests
	pushed    int                // pushes that the server's handlers have answered
}

func newSweepRun(sc sweepScenario) *sweepRun {
	return &sweepRun{
		sweepScenario: sc, body: sc.sweepBody(), at: make(map[string][]error), delivered: make(map[string]bool),
		sent: make(map[string]bool), got: make(map[string]bool),
	}
}

// start starts the sessions of a scenario.
func (s *sweepRun) start(t *testing.T, cc, other net.Conn, client, server *Config) {
	if !s.raw {
		s.r = startRig(t, cc, other, client, server, http.HandlerFunc(s.serve))
		return
	}
	s.r = &rig{t: t, clientEnd: make(chan error, 1), serverEnd: make(chan error, 1)}
	s.r.client, s.r.server = client.RawSession(cc, true), server.RawSession(other, false)
	go func() { s.r.serverEnd <- s.r.server.Serve() }()
	go func() { s.r.clientEnd <- s.r.client.Serve() }()
}

// ends are both sessions.
func (s *sweepRun) ends() map[string]*Session {
	return map[string]*Session{"client": s.r.client, "server": s.r.server}
}

func (s *sweepRun) failed(end string, err error) {
	if err != nil {
		s.mu.Lock()
		s.at[end] = append(s.at[end], err)
		s.mu.Unlock()
	}
}

// retryable reports whether the peer has refused a stream, or would have.
func retryable(err error) bool {
	var e *StreamError
	return errors.As(err, &e) && e.Retryable()
}

// note sets what is so in one of the maps.
func (s *sweepRun) note(in map[string]bool, what string) {
	s.mu.Lock()
	in[what] = true
	s.mu.Unlock()
}

// peerReset reports whether the peer has reset a stream with one of the statuses.
func peerReset(err error, statuses ...RstStatus) bool {
	var e *StreamError
	return errors.As(err, &e) && e.Remote && slices.Contains(statuses, e.Status)
}

// sweepBody is the size of a large body: more than a stream's window.
func (sc sweepScenario) sweepBody() int64 {
	if sc.parts > 1 {
		return 100_000
	}
	return 300_000
}

// configs are those of the two ends: windows that are soon used up, pushes that are
// taken, and a setting that the server has asked to keep.
func (sc sweepScenario) configs(version Version) (client, server *Config) {
	kept := new(MemorySettings)
	kept.Update(" 192.0.2.2:443", false, []Setting{{ID: SettingRoundTripTime, Value: 1}})
	conf := Config{Version: version, StreamWindow: 64 << 10, SessionWindow: sc.room, Settings: kept}
	if version == SPDY2 { // which resets a stream at the bound
		conf.SessionWindow = 64 << 20
	}
	pushed := conf
	pushed.AcceptPush = func(promised, _ *http.Request) bool { return promised.URL.Path != "/pushed/refused" }
	return &pushed, &conf
}

// serve is the scenario's handler: it reads, writes or does both.
func (s *sweepRun) serve(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/up":
		check := newPatternCheck(1, s.body)
		_, err := io.Copy(check, r.Body)
		if err == nil {
			err = check.whole()
		}
		s.failed("server", err)
		fmt.Fprint(w, "got it")
	case "/down":
		w.Header().Set("Trailer", "X-Sum")
		s.failed("server", w.(http.Pusher).Push("/pushed", nil))
		_, err := io.Copy(w, newPattern(2, s.body))
		s.failed("server", err)
		w.Header().Set("X-Sum", "42")
	case "/pushed":
		_, err := io.Copy(w, newPattern(3, s.body/5))
		s.failed("server", err)
	case "/late", "/early", "/unread", "/part", "/fails", "/pushing":
		s.overlapped(w, r)
	case "/pushed/claimed", "/pushed/left", "/pushed/refused", "/pushed/unread":
		s.answerPush(w, r)
	default:
		_, err := io.Copy(w, r.Body)
		s.failed("server", err)
	}
}

// exchange sends one request of the scenario and checks its answer.
func (s *sweepRun) exchange(path string, up, down int64, seed int64) {
	method, body := "GET", io.Reader(nil)
	if up > 0 {
		method, body = "POST", newPattern(1, up)
	}
	res, err := s.r.client.RoundTrip(s.r.request(method, path, body))
	if err != nil {
		s.failed("client", err)
		return
	}
	defer res.Body.Close()
	if down == 0 {
		return // unread
	}
	check := newPatternCheck(seed, down)
	_, err = io.Copy(check, res.Body)
	if err == nil && seed > 0 {
		err = check.whole()
	}
	s.failed("client", err)
}

// settings sends new SETTINGS in the middle of it all: windows that shrink, and grow to what they were.
func (s *sweepRun) settings(session *Session) {
	for _, size := range []uint32{30_000, 0, 64 << 10} {
		session.mu.Lock()
		if session.end.err == nil {
			session.control = appendSettings(session.control, session.version, 0, []Setting{{ID: SettingInitialWindowSize, Value: size}})
		}
		session.mu.Unlock()
		session.ring()
		<-time.After(2 * time.Millisecond)
	}
}

// exchanges goes through it all: uploads, downloads, both at once, an answer given up, a push
// that is asked for, pings and new settings from both sides, and a graceful end.
func (s *sweepRun) exchanges() {
	var wg sync.WaitGroup
	wg.Go(func() { s.exchange("/up", s.body, 0, 0) })
	wg.Go(func() {
		s.exchange("/down", 0, s.body, 2)
		s.exchange("/pushed", 0, s.body/5, 3)
	})
	wg.Go(func() { s.exchange("/echo", s.body, s.body, 1) })
	wg.Go(func() { s.exchange("/echo", 1000, 1000, 1) })
	for end, session := range s.ends() {
		wg.Go(func() {
			for range 3 {
				_, err := session.PingContext(context.Background())
				s.failed(end, err)
			}
			s.settings(session)
		})
	}
	wg.Wait()
	s.shutdown("server")
	s.shutdown("client")
}

// shutdown ends one of the sessions gracefully.
func (s *sweepRun) shutdown(end string) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour) // longer than DeliveryTimeout
	defer cancel()
	err := s.ends()[end].Shutdown(ctx)
	s.failed(end, err)
	if err == nil {
		s.note(s.delivered, end)
	}
}

// check looks at how both ends ended. The end that is faulty, if any is, has ended for want.
// Streams that were refused are excused if both say GOAWAY.
func (s *sweepRun) check(t *testing.T, faulty string, want error, excused bool) {
	for end, session := range s.ends() {
		why := session.Err()
		var lost *ConnError
		if !errors.Is(why, ErrSessionClosed) { // it can be lost while it says goodbye
			require.ErrorAs(t, why, &lost, end)
			if end == faulty {
				require.ErrorIs(t, why, want)
			}
		}
		for _, err := range s.at[end] {
			if excused && retryable(err) {
				continue
			}
			require.ErrorIs(t, err, why, "%s: all calls fail for the same reason", end)
		}
	}
	for _, body := range s.bodies {
		require.True(t, body.closed.Load(), "the body of a request stays open")
	}
	require.Zero(t, openStreams(s.r.client)+openStreams(s.r.server))
	require.Zero(t, s.r.client.Stats().UnreadBytes+s.r.server.Stats().UnreadBytes)
}

// checkDelivery checks that a Shutdown that returned nil has delivered all that was sent to
// its end, to a peer that was in order.
func (s *sweepRun) checkDelivery(t *testing.T, faulty string, struck bool) {
	for end := range s.delivered {
		if struck && end != faulty {
			continue
		}
		for what := range s.sent {
			if strings.HasPrefix(what, end) {
				require.True(t, s.got[what], "Shutdown has returned nil, and this has not arrived: %s", what)
			}
		}
	}
}

// balanced checks the windows and slots of sessions that nothing has happened to.
func (s *sweepRun) balanced() {
	<-time.After(2 * pushPatience) // pushes that are not asked for go
	if s.r.cc == nil || s.r.cc.Stats().Faults+s.r.sc.Stats().Faults > 0 || s.r.client.Err() != nil || s.r.server.Err() != nil {
		return
	}
	for end, session := range s.ends() {
		stats := session.Stats()
		size, avail, owed, _ := receiveWindow(session)
		if got := avail + owed + stats.UnreadBytes; got != size {
			s.failed(end, fmt.Errorf("%d bytes are left of a window of %d", got, size))
		}
		if stats.Streams.Total()+stats.WaitingOpeners+stats.WaitingHandlers > 0 {
			s.failed(end, fmt.Errorf("streams are left: %+v", stats))
		}
		session.mu.Lock()
		ours, theirs := session.ourStreams, session.peerStreams
		session.mu.Unlock()
		if ours+theirs != 0 {
			s.failed(end, fmt.Errorf("slots are taken: %d of ours, %d of the peer", ours, theirs))
		}
	}
}

// sweepOnce runs the scenario with one fault and reports whether it struck.
func sweepOnce(t *testing.T, sc sweepScenario, faulty string, fault testconn.Fault) (struck bool) {
	synctest.Test(t, func(t *testing.T) {
		chunks := chunksOut.Load()
		client, server := sc.configs(testVersion(t))
		s := newSweepRun(sc)
		side := testconn.First
		if faulty == "server" {
			side = testconn.Second
		}
		cc, other := testconn.Pair(
			testconn.WriteCap(50_000), testconn.ReadSize(8000), testconn.Latency(sc.latency), testconn.StrictClose(), side(testconn.FailAt(fault)),
		)
		s.start(t, cc, other, client, server)
		s.r.cc, s.r.sc = cc, other
		sc.run(s)
		s.r.close()
		synctest.Wait() // for handlers
		struck = s.r.cc.Stats().Faults+s.r.sc.Stats().Faults > 0
		want := fault.Err
		switch want {
		case nil:
			want = testconn.ErrInjected
		case io.EOF:
			want = io.ErrUnexpectedEOF
		}
		s.check(t, faulty, want, struck && s.leaves)
		s.checkDelivery(t, faulty, struck)
		if !struck {
			require.Empty(t, s.at["client"])
			require.Empty(t, s.at["server"])
			require.Len(t, s.delivered, 2)
		}
		require.Equal(t, chunks, chunksOut.Load(), "chunks that are not in their pools")
	})
	return struck
}

// TestFaultSweep lets the first, second, third … Read or Write of either end fail, the
// latter after some bytes too, until a run goes through without a fault: in exchanges, in
// uploads that overlap their answers, pushes, raw streams, and graceful ends amid all of
// that. In every run all calls end, with the reason for which their session has ended,
// nothing panics, no goroutine stays (the bubble checks that), and the pools are fit for
// use afterwards.
func TestFaultSweep(t *testing.T) {
	faults := map[string]testconn.Fault{
		"read":        {Op: testconn.OpRead},
		"write":       {Op: testconn.OpWrite},
		"short write": {Op: testconn.OpWrite, Short: 5},
		"one write":   {Op: testconn.OpWrite, Once: true, Short: 100},
		"short read":  {Op: testconn.OpRead, Short: 5},
		"end of file": {Op: testconn.OpRead, Err: io.EOF},
	}
	for _, sc := range sweepScenarios {
		for name, fault := range faults {
			for _, faulty := range []string{"client", "server"} {
				t.Run(fmt.Sprintf("%s/%s %s", sc.name, name, faulty), func(t *testing.T) {
					step := sc.parts
					if raceEnabled {
						step *= 9
					}
					n := 1 + slices.Index(everyVersion, testVersion(t))%step
					for ; ; n += step {
						fault.Call = n
						if !sweepOnce(t, sc, faulty, fault) {
							break
						}
						if t.Failed() {
							t.Fatalf("with call %d failing", n)
						}
						checkPools(t)
					}
					require.Greater(t, n, 10, "the scenario has more calls than that")
				})
			}
		}
	}
}

// TestOneReason shows that the reason for which a session has ended is the one that its calls
// have returned before, while the session could write no more and still read.
func TestOneReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cc, sc := testconn.Pair(testconn.First(testconn.FailAt(testconn.Fault{Op: testconn.OpWrite, Call: 2})))
		s := newSweepRun(sweepScenario{raw: true})
		s.start(t, cc, sc, quietConfig, quietConfig)
		r, err := s.r.client.OpenStream(t.Context(), nil, StreamOptions{})
		require.NoError(t, err)
		_, err = s.r.server.AcceptStream(t.Context())
		require.NoError(t, err)
		_, err = r.Write([]byte("text"))
		require.NoError(t, err, "the sender has it")
		synctest.Wait()
		_, err = r.Write([]byte("text"))
		require.ErrorIs(t, err, testconn.ErrInjected)
		require.NoError(t, s.r.client.Err(), "the rest of what the peer has sent may be in flight")
		s.r.close()
		require.ErrorIs(t, s.r.client.Err(), testconn.ErrInjected)
		require.Error(t, s.r.client.Shutdown(t.Context()), "the text has not arrived")
	})
}

// checkPools takes what is in the pools and looks whether it can be used: buffers that
// are empty and have room, and no chunk twice.
func checkPools(t *testing.T) {
	var batches, blocks, answers []*[]byte
	for range 8 {
		batches = append(batches, batchPool.Get().(*[]byte))
		blocks = append(blocks, blockPool.Get().(*[]byte))
		answers = append(answers, answerPool.Get().(*[]byte))
	}
	for i := range batches {
		require.Zero(t, len(*batches[i])+len(*blocks[i])+len(*answers[i]))
		require.GreaterOrEqual(t, cap(*batches[i]), batchSize)
		require.GreaterOrEqual(t, cap(*answers[i]), answerBuffer)
		for j := range i {
			require.NotSame(t, batches[i], batches[j])
			require.NotSame(t, blocks[i], blocks[j])
			require.NotSame(t, answers[i], answers[j])
		}
	}
	for class := range chunkPools {
		seen := make(map[*chunk]bool)
		var taken []*chunk
		for range 32 {
			c := getChunk(chunkSizes[class])
			require.False(t, seen[c], "a chunk is in its pool twice")
			require.True(t, c.r == 0 && c.w == 0 && c.next == nil)
			seen[c] = true
			taken = append(taken, c)
		}
		for _, c := range taken {
			putChunk(c)
		}
	}
	for i := range batches {
		batchPool.Put(batches[i])
		blockPool.Put(blocks[i])
		answerPool.Put(answers[i])
	}
}
