package spdy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy/internal/testconn"
)

// A frameLog is a peer that reads everything and remembers it.
type frameLog struct {
	*Framer
	conn   *testconn.Conn
	mu     sync.Mutex
	frames []Frame
}

// loggedClient is a client session whose peer the test plays.
func loggedClient(t *testing.T) (*Session, *frameLog) {
	s, conn, framer, _ := scripted(t, true, nil)
	l := &frameLog{Framer: framer, conn: conn}
	go func() {
		for {
			frame, err := l.ReadFrame()
			if err != nil {
				return
			}
			if ping, ok := frame.(*PingFrame); ok && asksForResets(s, ping) {
				_, _ = conn.Write(appendPing(nil, s.version, ping.ID)) // beside the Framer, which the test uses
			}
			l.mu.Lock()
			l.frames = append(l.frames, frame)
			l.mu.Unlock()
		}
	}()
	t.Cleanup(func() { conn.Close() })
	return s, l
}

// got returns the frames of a type that have come.
func got[F Frame](l *frameLog) (frames []F) {
	synctest.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, frame := range l.frames {
		if f, ok := frame.(F); ok {
			frames = append(frames, f)
		}
	}
	return frames
}

// send writes a frame of the peer's.
func (l *frameLog) send(t testing.TB, frame Frame) {
	t.Helper()
	require.NoError(t, l.WriteFrame(frame))
}

// plainReply is the head of an answer, with more pairs behind it.
func plainReply(id uint32, flags frameFlags, more ...HeaderField) *SynReplyFrame {
	return &SynReplyFrame{StreamID: id, Flags: flags, Headers: append(HeaderBlock{
		{":status", "200 OK"}, {":version", "HTTP/1.1"},
	}, more...)}
}

// blockedBody is a request body that gives n bytes and then waits until it is closed.
type blockedBody struct {
	src    io.Reader
	closed chan struct{}
	once   sync.Once
}

func newBlockedBody(n int64) *blockedBody {
	return &blockedBody{src: newPattern(1, n), closed: make(chan struct{})}
}

func (b *blockedBody) Read(p []byte) (int, error) {
	if n, err := b.src.Read(p); err == nil {
		return n, nil
	}
	<-b.closed
	return 0, errors.New("read of a closed body")
}

func (b *blockedBody) Close() error {
	b.once.Do(func() { close(b.closed) })
	return nil
}

func (b *blockedBody) isClosed() bool {
	select {
	case <-b.closed:
		return true
	default:
		return false
	}
}

// TestCancelAtEveryPhase ends a request's context, or lets its time run out, in every
// phase of an exchange. The call at hand fails with the cause, the body of the request
// is closed, and the peer gets one RST_STREAM(CANCEL) or, where it has heard nothing or
// all is over, none.
func TestCancelAtEveryPhase(t *testing.T) {
	phases := []struct {
		name   string
		body   int64 // of the request; -1 for none
		before bool  // the context ends before Do
		limit0 bool  // the peer takes no streams
		reply  func(t *testing.T, l *frameLog)
		read   int64 // bytes of the answer that are read before
		resets int
		done   bool // the answer is complete and stays readable
		all    string
	}{
		{name: "before Do", body: 10, before: true},
		{name: "waiting for a stream", body: 10, limit0: true},
		{name: "waiting for the reply", body: -1, resets: 1},
		{name: "reading the request body", body: 10, resets: 1},
		{name: "waiting for the window", body: 1 << 20, resets: 1},
		{name: "the reply has come", body: -1, resets: 1, reply: func(t *testing.T, l *frameLog) {
			l.send(t, plainReply(1, 0))
		}},
		{name: "the reply has come, uploading", body: 1 << 20, resets: 1, reply: func(t *testing.T, l *frameLog) {
			l.send(t, plainReply(1, 0))
		}},
		{name: "reading the answer", body: 10, resets: 1, read: 4, reply: func(t *testing.T, l *frameLog) {
			l.send(t, plainReply(1, 0))
			l.send(t, &DataFrame{StreamID: 1, Data: []byte("some")})
		}},
		{name: "an answer without a body, uploading", body: 10, resets: 1, done: true, reply: func(t *testing.T, l *frameLog) {
			l.send(t, plainReply(1, FlagFin))
		}},
		{name: "the answer is complete", body: -1, resets: 0, done: true, all: "all", reply: func(t *testing.T, l *frameLog) {
			l.send(t, plainReply(1, 0))
			l.send(t, &DataFrame{StreamID: 1, Data: []byte("all"), Flags: FlagFin})
		}},
		{name: "the answer is complete, uploading", body: 10, resets: 1, done: true, all: "all", reply: func(t *testing.T, l *frameLog) {
			l.send(t, plainReply(1, 0))
			l.send(t, &DataFrame{StreamID: 1, Data: []byte("all"), Flags: FlagFin})
		}},
	}
	ways := map[string]func(cancel context.CancelCauseFunc) error{
		"cancel": func(cancel context.CancelCauseFunc) error { cancel(nil); return context.Canceled },
		"cause":  func(cancel context.CancelCauseFunc) error { cancel(os.ErrClosed); return os.ErrClosed },
		"time": func(context.CancelCauseFunc) error {
			after(time.Minute)
			synctest.Wait() // the context's own timer is due at the same moment
			return context.DeadlineExceeded
		},
	}
	for _, p := range phases {
		for name, end := range ways {
			t.Run(p.name+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s, l := loggedClient(t)
					if p.limit0 {
						l.send(t, &SettingsFrame{Entries: []Setting{{ID: SettingMaxConcurrentStreams}}})
						synctest.Wait()
					}
					ctx, cancel := context.WithCancelCause(context.Background())
					defer cancel(nil)
					ctx, stop := context.WithTimeout(ctx, time.Minute)
					defer stop()
					req, err := http.NewRequestWithContext(ctx, "POST", "http://x/", nil)
					require.NoError(t, err)
					body := newBlockedBody(p.body)
					if p.body >= 0 {
						req.Body = body
					}
					var want error
					if p.before {
						want = end(cancel)
					}
					type result struct {
						res *http.Response
						err error
					}
					results := make(chan result, 1)
					go func() {
						res, err := s.RoundTrip(req)
						results <- result{res, err}
					}()
					synctest.Wait()
					if !p.before {
						require.Empty(t, results)
					}
					if p.reply == nil {
						if !p.before {
							want = end(cancel)
						}
						r := <-results
						require.Equal(t, want, r.err)
					} else {
						p.reply(t, l)
						r := <-results
						require.NoError(t, r.err)
						_, err := io.CopyN(io.Discard, r.res.Body, p.read)
						require.NoError(t, err)
						synctest.Wait() // all of the answer is here
						want = end(cancel)
						rest, err := io.ReadAll(r.res.Body)
						if p.done {
							require.NoError(t, err)
							require.Equal(t, p.all, string(rest))
							require.NoError(t, r.res.Body.Close())
						} else {
							require.Equal(t, want, err, "the error of the context itself")
						}
					}
					synctest.Wait()
					require.Equal(t, p.body >= 0, body.isClosed(), "closing the body unblocks its reader")
					resets := got[*RstStreamFrame](l)
					require.Len(t, resets, p.resets)
					if p.resets > 0 {
						require.Equal(t, RstStreamFrame{StreamID: 1, Status: RstCancel}, *resets[0])
					}
					if p.before || p.limit0 {
						require.Empty(t, got[*SynStreamFrame](l))
					}
					require.Zero(t, openStreams(s))
					require.NoError(t, s.Err())
					l.conn.Close()
					<-s.Done()
				})
			})
		}
	}
}

// TestCancelLeavesNoSlot: those who gave up while waiting for a stream do not keep
// others from getting one.
func TestCancelLeavesNoSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := loggedClient(t)
		l.send(t, &SettingsFrame{Entries: []Setting{{ID: SettingMaxConcurrentStreams, Value: 2}}})
		synctest.Wait()
		do := func(ctx context.Context) chan error {
			req, err := http.NewRequestWithContext(ctx, "GET", "http://x/", nil)
			require.NoError(t, err)
			done := make(chan error, 1)
			go func() {
				res, err := s.RoundTrip(req)
				if err == nil {
					_, err = io.ReadAll(res.Body)
				}
				done <- err
			}()
			synctest.Wait()
			return done
		}
		ctx, cancel := context.WithCancel(context.Background())
		var given []chan error
		first, second := do(context.Background()), do(context.Background())
		for range 5 {
			given = append(given, do(ctx))
		}
		third := do(context.Background())
		require.Len(t, got[*SynStreamFrame](l), 2)
		cancel()
		for _, c := range given {
			require.ErrorIs(t, <-c, context.Canceled)
		}
		require.Len(t, got[*SynStreamFrame](l), 2)
		l.send(t, plainReply(1, FlagFin))
		require.NoError(t, <-first)
		require.Len(t, got[*SynStreamFrame](l), 3, "the next one had been waiting")
		l.send(t, &RstStreamFrame{StreamID: 3, Status: RstRefusedStream})
		require.Error(t, <-second)
		l.send(t, plainReply(5, FlagFin))
		require.NoError(t, <-third)
		last := []chan error{do(context.Background()), do(context.Background()), do(context.Background())}
		require.Len(t, got[*SynStreamFrame](l), 5)
		l.send(t, &SettingsFrame{Entries: []Setting{{ID: SettingMaxConcurrentStreams, Value: 3}}})
		require.Len(t, got[*SynStreamFrame](l), 6, "a higher limit lets the next one in")
		for i, c := range last {
			l.send(t, plainReply(uint32(7+2*i), FlagFin))
			require.NoError(t, <-c)
		}
		l.conn.Close()
		<-s.Done()
	})
}

// TestSlotThatComesTooLate: a stream that is granted to somebody who gives up at the same
// moment is granted to the next.
func TestSlotThatComesTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, l := loggedClient(t)
		for range 100 {
			s.mu.Lock()
			s.peerLimit = 0
			s.mu.Unlock()
			ctx, cancel := context.WithCancel(context.Background())
			given := make(chan error, 1)
			go func() { given <- s.takeSlot(ctx) }()
			synctest.Wait()
			s.mu.Lock() // holds the loser up between the two
			cancel()
			runtime.Gosched()
			s.peerLimit = 1
			s.admitOpenersLocked()
			s.mu.Unlock()
			if err := <-given; err == nil {
				s.mu.Lock()
				s.freeSlotLocked()
				s.mu.Unlock()
			} else {
				require.ErrorIs(t, err, context.Canceled)
			}
			require.Zero(t, s.ourStreams)
		}
		l.conn.Close()
		<-s.Done()
	})
}

// TestUploadIsClosed: a request's body is closed when it has been sent, and also when it
// is not sent at all, as http.RoundTripper promises.
func TestUploadIsClosed(t *testing.T) {
	rigTest(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }, rigSetup{}, func(t *testing.T, r *rig) {
		bodies := make(map[string]*closedBody)
		for _, what := range []string{"sent", "no host", "bad header", "too late"} {
			body := &closedBody{Reader: newPattern(1, 1000)}
			bodies[what] = body
			req := r.request("POST", "/", body)
			switch what {
			case "no host":
				req.URL.Host, req.Host = "", ""
			case "bad header":
				req.Header.Set("X", "a\nb")
			case "too late":
				r.client.Close()
			}
			_, _, err := r.fetch(req)
			require.Equal(t, what == "sent", err == nil, what)
			synctest.Wait()
			require.EqualValues(t, 1, body.closed.Load(), what)
		}
	})
}

// A closedBody counts the calls of Close.
type closedBody struct {
	io.Reader
	closed atomic.Int32
}

func (b *closedBody) Close() error {
	b.closed.Add(1)
	return nil
}

// TestCloseBody: closing the body of an answer resets the stream, once; after its end it
// does nothing. It never waits.
func TestCloseBody(t *testing.T) {
	for _, complete := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s, l := loggedClient(t)
			req, err := http.NewRequest("GET", "http://x/", nil)
			require.NoError(t, err)
			results := make(chan *http.Response, 1)
			go func() {
				res, err := s.RoundTrip(req)
				assert.NoError(t, err)
				results <- res
			}()
			synctest.Wait()
			l.send(t, plainReply(1, 0))
			l.send(t, &DataFrame{StreamID: 1, Data: []byte("some")})
			res := <-results
			buf := make([]byte, 4)
			_, err = io.ReadFull(res.Body, buf)
			require.NoError(t, err)
			if complete {
				l.send(t, &DataFrame{StreamID: 1, Flags: FlagFin})
				synctest.Wait()
			}
			for range 3 {
				require.NoError(t, res.Body.Close())
				_, err = res.Body.Read(buf)
				require.ErrorIs(t, err, http.ErrBodyReadAfterClose)
			}
			if complete {
				require.Empty(t, got[*RstStreamFrame](l))
			} else {
				require.Equal(t, []*RstStreamFrame{{StreamID: 1, Status: RstCancel}}, got[*RstStreamFrame](l))
			}
			l.send(t, &DataFrame{StreamID: 1, Data: []byte("more"), Flags: FlagFin}) // it was on its way
			if !complete {
				require.Len(t, got[*RstStreamFrame](l), 1, "and is not answered")
			}
			require.NoError(t, s.Err())
			l.conn.Close()
			<-s.Done()
		})
	}
}

// TestHandlerContext: the context of a request ends with its stream, not before, and the
// calls of the handler say why.
func TestHandlerContext(t *testing.T) {
	var causes sync.Map // path to cause
	var alive sync.Map  // path to whether it lived until the end
	rigTest(t, func(w http.ResponseWriter, r *http.Request) {
		defer func() { // from the end of the handler on
			context.AfterFunc(r.Context(), func() { causes.LoadOrStore(r.URL.Path, context.Cause(r.Context())) })
		}()
		if r.URL.Path == "/returns" {
			io.Copy(w, r.Body)
			w.(http.Flusher).Flush()
			after(time.Second)
			alive.Store(r.URL.Path, r.Context().Err() == nil)
			return
		}
		w.(http.Flusher).Flush()
		<-r.Context().Done()
		_, werr := w.Write(make([]byte, 1<<20))
		_, rerr := io.Copy(io.Discard, r.Body)
		causes.Store(r.URL.Path, errors.Join(context.Cause(r.Context()), werr))
		assert.Error(t, werr)
		assert.Error(t, rerr)
	}, rigSetup{}, func(t *testing.T, r *rig) {
		_, _, err := r.fetch(r.request("POST", "/returns", newPattern(1, 100)))
		require.NoError(t, err)
		synctest.Wait()
		lived, _ := alive.Load("/returns")
		require.Equal(t, true, lived)

		ctx, cancel := context.WithCancel(context.Background())
		_, err = r.client.RoundTrip(r.request("POST", "/cancelled", newBlockedBody(10)).WithContext(ctx))
		require.NoError(t, err)
		cancel()
		synctest.Wait()
		cause, ok := causes.Load("/cancelled")
		require.Equal(t, true, ok, "the context goes on")
		var reset *StreamError
		require.ErrorAs(t, cause.(error), &reset)
		require.Equal(t, RstCancel, reset.Status)
		require.True(t, reset.Remote)

		_, err = r.client.RoundTrip(r.request("POST", "/lost", newBlockedBody(10)))
		require.NoError(t, err)
		r.cc.Reset()
		synctest.Wait()
		cause, ok = causes.Load("/lost")
		require.Equal(t, true, ok, "the context goes on")
		var lost *ConnError
		require.ErrorAs(t, cause.(error), &lost)
	})
}

// TestStreamDeadlines: deadlines of one exchange, set by its handler, end its reads and
// writes and nothing else.
func TestStreamDeadlines(t *testing.T) {
	rigTest(t, func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		if r.URL.Path != "/" {
			return
		}
		start := time.Now()
		assert.NoError(t, c.SetReadDeadline(start.Add(time.Second)))
		_, err := io.Copy(io.Discard, r.Body)
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(start))
		assert.NoError(t, c.SetReadDeadline(time.Time{}))

		assert.NoError(t, c.SetWriteDeadline(start.Add(2*time.Second)))
		n, err := w.Write(make([]byte, 1<<20))
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
		assert.Equal(t, defaultStreamWindow, n, "as much as the window took")
		assert.Equal(t, 2*time.Second, time.Since(start))
	}, rigSetup{}, func(t *testing.T, r *rig) {
		body := newBlockedBody(100)
		res, err := r.client.RoundTrip(r.request("POST", "/", body))
		require.NoError(t, err)
		after(time.Minute)
		r.get("/other")
		_, err = io.Copy(io.Discard, res.Body)
		requireTruncated(t, err)
		require.True(t, body.isClosed())
		r.requireBalanced()
	})
}

// TestDeadlineAfterTheAnswer: a write deadline that passes when all has been written, and
// before the handler returns, does not keep the end of the answer back.
func TestDeadlineAfterTheAnswer(t *testing.T) {
	for _, size := range []int64{0, 10, 4095, 4096, 100_000} {
		for _, flush := range []bool{false, true} {
			rigTest(t, func(w http.ResponseWriter, r *http.Request) {
				c := http.NewResponseController(w)
				assert.NoError(t, c.SetWriteDeadline(time.Now().Add(time.Second)))
				_, err := io.Copy(w, newPattern(1, size))
				assert.NoError(t, err)
				if flush {
					assert.NoError(t, c.Flush())
				}
				after(time.Minute)
			}, rigSetup{}, func(t *testing.T, r *rig) {
				_, body := r.get("/")
				require.Len(t, body, int(size))
				r.requireBalanced()
			})
		}
	}
}

// TestRequestNeverChanged: RoundTrip leaves requests as they are, so that one can be sent
// by many goroutines at once.
func TestRequestNeverChanged(t *testing.T) {
	rigTest(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) }, rigSetup{}, func(t *testing.T, r *rig) {
		req := r.request("GET", "/a?b", nil, "X", "1", "X", "2", "Connection", "close", "Cookie", "a", "Host", "other")
		header, u, before := req.Header.Clone(), *req.URL, *req
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				_, _, err := r.fetch(req)
				assert.NoError(t, err)
			})
		}
		wg.Wait()
		require.Equal(t, header, req.Header)
		require.Equal(t, u, *req.URL)
		require.Equal(t, before.Host, req.Host)
		require.Equal(t, before.Method, req.Method)
		require.True(t, slices.Equal(before.Header["X"], req.Header["X"]))
	})
}
