package spdy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// A sweepRun is one run of the scenario that TestFaultSweep breaks in every place.
type sweepRun struct {
	r    *rig
	body int64 // bytes of each large body
	mu   sync.Mutex
	at   map[string][]error // errors of the calls at "client" and "server"
}

func (s *sweepRun) failed(end string, err error) {
	if err != nil {
		s.mu.Lock()
		s.at[end] = append(s.at[end], err)
		s.mu.Unlock()
	}
}

const sweepBody = 300_000

// sweepConfigs are those of the two ends: windows that are soon used up, pushes that are
// taken, and a setting that the server has asked to keep.
func sweepConfigs(version Version) (client, server *Config) {
	kept := new(MemorySettings)
	kept.Update(" 192.0.2.2:443", false, []Setting{{ID: SettingRoundTripTime, Value: 1}})
	conf := Config{Version: version, StreamWindow: 64 << 10, SessionWindow: 128 << 10, Settings: kept}
	if version == SPDY2 { // which resets a stream at the bound
		conf.SessionWindow = 64 << 20
	}
	pushed := conf
	pushed.AcceptPush = func(*http.Request, *http.Request) bool { return true }
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

// run goes through it all: uploads, downloads, both at once, an answer given up, a push
// that is asked for, pings and new settings from both sides, and a graceful end.
func (s *sweepRun) run(t *testing.T) {
	var wg sync.WaitGroup
	wg.Go(func() { s.exchange("/up", s.body, 0, 0) })
	wg.Go(func() {
		s.exchange("/down", 0, s.body, 2)
		s.exchange("/pushed", 0, s.body/5, 3)
	})
	wg.Go(func() { s.exchange("/echo", s.body, s.body, 1) })
	wg.Go(func() { s.exchange("/echo", 1000, 1000, 1) })
	for end, session := range map[string]*Session{"client": s.r.client, "server": s.r.server} {
		wg.Go(func() {
			for range 3 {
				_, err := session.PingContext(context.Background())
				s.failed(end, err)
			}
			s.settings(session)
		})
	}
	wg.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour) // longer than DeliveryTimeout
	defer cancel()
	s.failed("server", s.r.server.Shutdown(ctx))
	s.failed("client", s.r.client.Shutdown(ctx))
}

// check looks at how both ends ended.
func (s *sweepRun) check(t *testing.T, faulty string, want error) {
	for end, session := range map[string]*Session{"client": s.r.client, "server": s.r.server} {
		why := session.Err()
		var lost *ConnError
		if !errors.Is(why, ErrSessionClosed) { // it can be lost while it says goodbye
			require.ErrorAs(t, why, &lost, end)
			if end == faulty {
				require.ErrorIs(t, why, want)
			}
		}
		for _, err := range s.at[end] {
			require.ErrorIs(t, err, why, "%s: all calls fail for the same reason", end)
		}
	}
}

// sweepOnce runs the scenario with one fault and reports whether it struck.
func sweepOnce(t *testing.T, faulty string, fault testconn.Fault) (struck bool) {
	synctest.Test(t, func(t *testing.T) {
		chunks := chunksOut.Load()
		client, server := sweepConfigs(testVersion(t))
		s := &sweepRun{body: sweepBody, at: make(map[string][]error)}
		side := testconn.First
		if faulty == "server" {
			side = testconn.Second
		}
		s.r = newRig(t, http.HandlerFunc(s.serve), rigSetup{client: client, server: server, conn: []testconn.Option{
			testconn.WriteCap(50_000), testconn.ReadSize(8000), testconn.Latency(time.Millisecond), side(testconn.FailAt(fault)),
		}})
		s.run(t)
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
		s.check(t, faulty, want)
		if !struck {
			require.Empty(t, s.at["client"])
			require.Empty(t, s.at["server"])
		}
		require.Zero(t, openStreams(s.r.client)+openStreams(s.r.server))
		require.Equal(t, chunks, chunksOut.Load(), "chunks that are not in their pools")
		require.Zero(t, s.r.client.Stats().UnreadBytes+s.r.server.Stats().UnreadBytes)
	})
	return struck
}

// TestFaultSweep lets the first, second, third … Read or Write of either end fail, the
// latter after some bytes too, until a run goes through without a fault. In every run all
// calls end, with the reason for which their session has ended, nothing panics, no
// goroutine stays (the bubble checks that), and the pools are fit for use afterwards.
func TestFaultSweep(t *testing.T) {
	faults := map[string]testconn.Fault{
		"read":        {Op: testconn.OpRead},
		"write":       {Op: testconn.OpWrite},
		"short write": {Op: testconn.OpWrite, Short: 5},
		"one write":   {Op: testconn.OpWrite, Once: true, Short: 100},
		"short read":  {Op: testconn.OpRead, Short: 5},
		"end of file": {Op: testconn.OpRead, Err: io.EOF},
	}
	for name, fault := range faults {
		for _, faulty := range []string{"client", "server"} {
			t.Run(name+" "+faulty, func(t *testing.T) {
				step := 1
				if raceEnabled {
					step = 9
				}
				n := 1
				for ; ; n += step {
					fault.Call = n
					if !sweepOnce(t, faulty, fault) {
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
