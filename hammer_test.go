package spdy

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/localcert"
	"github.com/amahi/spdy/internal/testconn"
)

var (
	hammerTime = flag.Duration("hammer", time.Second, "how long each TestHammer goes on over each kind of connection")
	hammerSeed = flag.Uint64("hammerseed", 0, "random seed of TestHammer and TestHammerRaw; 0 takes a new one")
)

// hammerPatience is how long the use of one session may take.
const hammerPatience = time.Minute

// A hammer is one session pair under random use from all sides.
type hammer struct {
	t              *testing.T
	seed           uint64
	client, server *Session
	conns          [2]net.Conn

	mu      sync.Mutex
	problem error
	streams map[*Session]int // that the hooks of a Trace know to be open
}

// trace is a Trace whose hooks look at their session, so that none may be called under a
// lock, and that keeps count of the streams.
func (h *hammer) trace() *Trace {
	h.streams = make(map[*Session]int)
	note := func(s *Session, n int) {
		_ = s.Stats()
		h.mu.Lock()
		h.streams[s] += n
		h.mu.Unlock()
	}
	frame := func(s *Session, f FrameInfo) { _ = s.Stats() }
	return &Trace{
		FrameSent: frame, FrameReceived: frame, Headers: true,
		SessionStart: func(s *Session) { note(s, 0) },
		SessionEnd:   func(s *Session, _ error) { note(s, 0) },
		StreamOpened: func(s *Session, _ StreamInfo) { note(s, 1) },
		StreamClosed: func(s *Session, _ StreamInfo, _ error) { note(s, -1) },
	}
}

func (h *hammer) report(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.problem == nil {
		h.problem = err
	}
}

// awaitClosed returns how many streams no hook saw close. A handler that has not returned
// may still be telling.
func (h *hammer) awaitClosed(s *Session) (open int) {
	limit := time.NewTimer(leakPatience)
	defer limit.Stop()
	for {
		h.mu.Lock()
		open = h.streams[s]
		h.mu.Unlock()
		if open == 0 {
			return 0
		}
		select {
		case <-limit.C:
			return open
		default:
			runtime.Gosched()
		}
	}
}

// version is the dialect of a round. All of them have their turn, with the client at either
// end of the connection, see useConns, and with a Trace and without one.
func (h *hammer) version() Version { return allVersions[h.seed%uint64(len(allVersions))] }

// useConns says which end the client is at: the one that dialled or the other one.
func (h *hammer) useConns() (client, server net.Conn) {
	if h.seed/6%2 == 0 {
		return h.conns[0], h.conns[1]
	}
	return h.conns[1], h.conns[0]
}

func (h *hammer) random(n uint64) *rand.Rand { return rand.New(rand.NewPCG(h.seed, n)) }

// hammerPaths have the eight priorities of PriorityFor.
var hammerPaths = [priorities]string{"/a.html", "/a.css", "/a.js", "/a.woff", "/a.png", "/a.mp4", "/a.pdf", "/a.zip"}

// handle does something else for every request, as the request's number says.
func (h *hammer) handle(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, pushedPath) {
		h.answerPush(w, r)
		return
	}
	number, _ := strconv.ParseUint(r.Header.Get("Number"), 10, 64)
	size, _ := strconv.ParseInt(r.Header.Get("Size"), 10, 64)
	rnd := h.random(number)
	c := http.NewResponseController(w)
	if rnd.IntN(4) == 0 {
		c.SetReadDeadline(time.Now().Add(time.Duration(rnd.IntN(5)) * time.Millisecond))
		c.SetWriteDeadline(time.Now().Add(time.Duration(rnd.IntN(5)) * time.Millisecond))
	}
	deed := rnd.IntN(19)
	if r.Header.Get("Late") != "" { // the client sends the rest when it has the headers
		w.Header().Set("Whole", "yes")
		c.Flush()
		deed = 18
	}
	switch deed {
	case 0:
		panic(http.ErrAbortHandler)
	case 1:
		runtime.Goexit()
	case 2:
		w.(*Stream).reset(RstRefusedStream, "hammer", nil)
	case 3:
		r.Body.Close()
		io.Copy(w, newPattern(1, size))
	case 4:
		io.CopyN(io.Discard, r.Body, size/2)
	case 5:
		go r.Body.Close()
		io.Copy(w, r.Body)
	case 6:
		io.CopyN(w, newPattern(1, size), size/2)
		c.Flush()
		panic(http.ErrAbortHandler)
	case 7:
		h.server.Ping(time.Duration(rnd.IntN(1000)) * time.Microsecond)
	case 8:
		if rnd.IntN(20) == 0 {
			h.server.Close()
		}
	case 9, 10:
		h.push(w, rnd, number)
		io.Copy(w, newPattern(1, size))
	case 11:
		h.announce(h.server, rnd)
		io.Copy(w, r.Body)
	default:
		check := newPatternCheck(int64(number%100), size)
		n, err := io.Copy(check, r.Body)
		if err == nil {
			err = check.whole()
			if err != nil {
				h.report(fmt.Errorf("upload %d of %d bytes: %d came: %w", number, size, n, err))
			}
		}
		w.Header().Set("Whole", "yes")
		io.Copy(w, newPattern(int64(number%100), size))
	}
}

// exchange sends one request and does something with its answer.
func (h *hammer) exchange(number uint64, rnd *rand.Rand) {
	size := rnd.Int64N(int64([]int{2, 5000, 70_000, 600_000}[rnd.IntN(4)]))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	switch rnd.IntN(6) {
	case 0:
		ctx, cancel = context.WithTimeout(ctx, time.Duration(rnd.IntN(3000))*time.Microsecond)
		defer cancel()
	case 1:
		time.AfterFunc(time.Duration(rnd.IntN(1000))*time.Microsecond, cancel)
	}
	body := newGatedBody(int64(number%100), size, size, nil)
	late := rnd.IntN(8)
	switch late {
	case 0, 1:
		body = newGatedBody(int64(number%100), size, rnd.Int64N(size+1), nil)
	case 2: // a server that waits for the rest learns of it when the context ends
		body = newGatedBody(int64(number%100), size+1, rnd.Int64N(size+1), errSpoilt)
		ctx, cancel = context.WithTimeout(ctx, time.Duration(rnd.IntN(10))*time.Millisecond)
		defer cancel()
	}
	defer body.open()
	req, err := http.NewRequestWithContext(ctx, "POST", "http://x"+hammerPaths[number%priorities], body)
	if err != nil {
		h.report(err)
		return
	}
	if late < 3 {
		req.Header.Set("Late", "yes")
	}
	req.Header.Set("Number", strconv.FormatUint(number, 10))
	req.Header.Set("Size", strconv.FormatInt(size, 10))
	if rnd.IntN(2) == 0 && size > 0 {
		req.ContentLength = size
	}
	res, err := h.client.RoundTrip(req)
	if err != nil {
		return
	}
	defer res.Body.Close()
	if late == 0 { // the answer may end before the body
		time.AfterFunc(time.Duration(rnd.IntN(3000))*time.Microsecond, body.open)
	} else {
		body.open()
	}
	check := newPatternCheck(int64(number%100), size)
	switch rnd.IntN(7) {
	case 0:
		return
	case 6:
		h.readSlowly(res.Body, rnd)
		return
	case 1:
		io.CopyN(io.Discard, res.Body, size/3)
		return
	case 2:
		go res.Body.Close()
		_, err = io.Copy(check, res.Body)
	case 3:
		_, err = copyByRead(check, res.Body, 1+rnd.IntN(5000))
	default:
		_, err = io.Copy(check, res.Body)
	}
	if err == nil && res.Header.Get("Whole") == "yes" {
		if err := check.whole(); err != nil {
			h.report(fmt.Errorf("download %d of %d bytes: %w", number, size, err))
		}
	}
}

// end ends the session in one of the ways there are.
func (h *hammer) end(rnd *rand.Rand) {
	s := []*Session{h.client, h.server}[rnd.IntN(2)]
	ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rnd.IntN(20))*time.Millisecond)
	defer cancel()
	switch rnd.IntN(8) {
	case 0:
		s.Close()
	case 7:
		h.endGracefully(s)
	case 6:
		resetConn(h.conns[rnd.IntN(2)])
	case 1:
		s.Shutdown(ctx)
	case 2:
		s.SendGoaway(FLAG_NONE, []byte{0, 0, 0, byte(rnd.IntN(50)), 0, 0, 0, byte(rnd.IntN(3))})
	case 3:
		h.conns[rnd.IntN(2)].Close()
	case 4:
		go h.client.Close()
		h.server.Close()
	default:
		s.goAway()
	}
}

// endGracefully waits for a session that others go on using until it refuses them.
func (h *hammer) endGracefully(s *Session) {
	ctx, cancel := context.WithTimeout(context.Background(), hammerPatience/2)
	defer cancel()
	if err := s.Shutdown(ctx); errors.Is(err, context.DeadlineExceeded) {
		h.report(fmt.Errorf("a graceful end has no end: %+v", s.Stats()))
	}
}

// round uses one session pair until it has ended.
func (h *hammer) round() {
	conf := h.config()
	conf.AcceptPush = func(promised, _ *http.Request) bool { return promised.URL.Path != pushedPath+"0" }
	client, server := h.useConns()
	h.client = conf.ClientSession(client)
	h.server = conf.ServerSession(server, &http.Server{Handler: http.HandlerFunc(h.handle)})
	var sessions, users sync.WaitGroup
	sessions.Go(func() { h.client.Serve() })
	sessions.Go(func() { h.server.Serve() })
	for user := range uint64(12) {
		users.Go(func() {
			rnd := h.random(1000 + user)
			for i := range uint64(20) {
				h.exchange(user*100+i, rnd)
				switch rnd.IntN(12) {
				case 2:
					h.askPushed(rnd)
				case 3:
					h.announce(h.client, rnd)
				case 0:
					h.client.Ping(time.Duration(rnd.IntN(3000)) * time.Microsecond)
				case 1:
					if user == 0 && i > 5 {
						h.end(rnd)
					}
				}
			}
		})
	}
	users.Wait()
	h.client.Close()
	h.server.Close()
	sessions.Wait()
}

// TestHammer uses sessions at random: in all versions and from either end of a connection,
// streams of all priorities that are read, read slowly, left, cut, cancelled and reset from
// both sides, pushes, changed settings, deadlines, handlers that panic or close their
// session, uploads that go on, fail or end while they are answered, and sessions that end
// in every way at any time, gracefully too. What arrives without an error
// is right and whole, nothing hangs, races or stays behind.
func TestHammer(t *testing.T) { hammerAll(t, hammerConns(t), (*hammer).round) }

// A connKind makes both ends of a connection.
type connKind struct {
	name string
	pair func() (dialled, accepted net.Conn)
}

// hammerConns are the kinds of connections there are.
func hammerConns(t *testing.T) []connKind {
	cert, pool, err := localcert.New()
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { ln.Close() })
	overTCP := func() (a, b net.Conn) {
		a, err := net.Dial("tcp", ln.Addr().String())
		require.NoError(t, err)
		b, err = ln.Accept()
		require.NoError(t, err)
		return a, b
	}
	return []connKind{
		{"testconn", func() (net.Conn, net.Conn) {
			a, b := testconn.Pair(testconn.ReadSize(3000), testconn.WriteCap(100_000), testconn.StrictClose())
			return a, b
		}},
		{"TCP", overTCP},
		{"net.Pipe", net.Pipe},
		{"TLS", func() (net.Conn, net.Conn) {
			a, b := overTCP()
			return tls.Client(a, &tls.Config{RootCAs: pool, ServerName: "localhost"}),
				tls.Server(b, &tls.Config{Certificates: []tls.Certificate{cert}})
		}},
	}
}

// hammerAll does rounds over each kind of connection for a while, each with a seed of its
// own.
func hammerAll(t *testing.T, kinds []connKind, round func(h *hammer)) {
	seed := *hammerSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("to repeat: -hammerseed %d", seed)
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			before := goroutineStacks()
			rounds := 0
			for start := time.Now(); time.Since(start) < *hammerTime; rounds++ {
				h := &hammer{t: t, seed: seed + uint64(rounds)}
				h.conns[0], h.conns[1] = kind.pair()
				watchdog := time.AfterFunc(hammerPatience, func() {
					pprof.Lookup("goroutine").WriteTo(os.Stderr, 2)
					panic(fmt.Sprintf("the hammer hangs over %s with -hammerseed %d", kind.name, h.seed))
				})
				round(h)
				watchdog.Stop()
				require.NoError(t, h.problem, "-hammerseed %d", h.seed)
				h.requireOver(h.client)
				h.requireOver(h.server)
			}
			require.Empty(t, awaitGoroutines(before, leakPatience))
			checkPools(t)
			t.Logf("%d sessions", rounds)
		})
	}
}

// requireOver checks that nothing is left of a session, and how it ended.
func (h *hammer) requireOver(s *Session) {
	require.Zero(h.t, openStreams(s))
	require.Zero(h.t, h.awaitClosed(s), "-hammerseed %d: streams that no hook saw close", h.seed)
	stats := s.Stats()
	stats.Streams.Lingering = 0 // handlers are not waited for
	require.Zero(h.t, stats.Streams.Total()+stats.WaitingOpeners+stats.WaitingHandlers+stats.WaitingPings, "-hammerseed %d", h.seed)
	require.Zero(h.t, stats.UnsentBytes)
	err := s.Err()
	if errors.Is(err, ErrSessionClosed) {
		return
	}
	var lost *ConnError
	var breach *SessionError
	if errors.As(err, &breach) { // one that SendGoaway made up
		require.True(h.t, breach.Remote, "%v: -hammerseed %d", err, h.seed)
	} else {
		require.ErrorAs(h.t, err, &lost)
	}
}
