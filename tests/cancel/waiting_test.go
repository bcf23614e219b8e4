package cancel_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// slots is the number of streams that servers take at once by default, over HTTP/2 as well.
const slots = 250

// A busyServer works four seconds for each request of /work, cancelled or not, and answers
// all others at once.
type busyServer struct {
	mu            sync.Mutex
	running, most int
}

func (b *busyServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	b.running++
	b.most = max(b.most, b.running)
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		b.running--
		b.mu.Unlock()
	}()
	if r.URL.Path == "/work" {
		bubble.Pass(4 * time.Second)
		return
	}
	body, err := io.ReadAll(r.Body)
	fmt.Fprintf(w, "%s %s %v", r.Method, body, err)
}

// peak is the number of handlers that have run at once.
func (b *busyServer) peak() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.most
}

// TestAttackA28OthersServed: one user opens as many requests as the server takes and hangs up. The
// requests of others are answered when the handlers have returned, those too whose body
// cannot be sent again. HTTP/2 does as well.
func TestAttackA28OthersServed(t *testing.T) {
	t.Run("http2", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &busyServer{}
			s := http2Service(b)
			hangUps(t, b, s.transport)
			s.close()
		})
	})
	bubble.InVersions(t, "Transport", func(t *testing.T, v spdy.Version) {
		b := &busyServer{}
		s := spdyService(t, v, b)
		s.transport.(*spdy.Transport).MaxSessionsPerHost = 1
		hangUps(t, b, s.transport)
		s.close()
	})
	bubble.InVersions(t, "NewStreamProxy", func(t *testing.T, v spdy.Version) {
		b := &busyServer{}
		r := newPair(v, spdy.Config{}, b.ServeHTTP, path())
		hangUps(t, b, proxied{r.client})
		r.wantAlive(t)
		r.close()
	})
}

// proxied sends requests as a proxy does.
type proxied struct{ s *spdy.Session }

func (p proxied) RoundTrip(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	if err := p.s.NewStreamProxy(req, w); err != nil && w.Code == http.StatusOK {
		return nil, err
	}
	return w.Result(), nil
}

func hangUps(t *testing.T, b *busyServer, rt http.RoundTripper) {
	start(t, rt, "/other") // the limits are known from here on
	bubble.Pass(100 * time.Millisecond)
	calls := make([]*call, slots)
	for i := range calls {
		calls[i] = start(t, rt, "/work")
	}
	bubble.Pass(500 * time.Millisecond)
	require.Equal(t, slots, b.peak())
	for _, c := range calls {
		c.cancel()
	}
	bubble.Pass(300 * time.Millisecond)
	var wg sync.WaitGroup
	began := time.Now()
	for _, method := range []string{"GET", "POST", "POST", "GET", "POST"} {
		wg.Go(func() {
			body := io.NopCloser(strings.NewReader("text")) // of a type without GetBody
			req, err := http.NewRequest(method, "http://cancel.example/other", body)
			if err != nil {
				panic(err)
			}
			res, err := rt.RoundTrip(req)
			if err != nil {
				t.Error(method, err)
				return
			}
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			if res.StatusCode != 200 || string(text) != method+" text <nil>" || err != nil {
				t.Error(method, res.Status, string(text), err)
			}
		})
	}
	wg.Wait()
	require.InDelta(t, 3.2, time.Since(began).Seconds(), 0.1)
	require.Equal(t, slots, b.peak())
	bubble.Pass(time.Second)
}

// A turnServer tells which handlers begin. Each returns when it is told to.
type turnServer struct {
	begun chan string
	end   chan struct{}
	conf  *http.Server
}

// waiting is a server with a single slot, which a handler holds that runs for a cancelled
// stream, stream 1.
func waiting(t *testing.T, v spdy.Version, conf spdy.Config, hs *http.Server) (*peer, *turnServer) {
	turns := &turnServer{begun: make(chan string, 100), end: make(chan struct{}), conf: hs}
	hs.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		turns.begun <- r.URL.Path
		<-turns.end
		body, err := io.ReadAll(r.Body)
		fmt.Fprint(w, len(body), err)
	})
	ours, conn := testconn.Pair()
	conf.MaxConcurrentStreams = max(conf.MaxConcurrentStreams, 1)
	p := &peer{t: t, v: v, conn: conn, end: make(chan error, 1), s: bubble.Quiet(conf, v).ServerSession(ours, hs)}
	p.f, p.tap = newFramer(conn, v)
	go func() { p.end <- p.s.Serve() }()
	p.frames()
	for i := range conf.MaxConcurrentStreams {
		id := uint32(2*i + 1)
		p.send(&spdy.SynStreamFrame{StreamID: id, Headers: request(v, "POST", fmt.Sprint("/", id))}, rst(id))
		turns.wantBegun(t, fmt.Sprint("/", id))
	}
	return p, turns
}

// wantBegun wants exactly these handlers to have begun since the last call, in order.
func (s *turnServer) wantBegun(t *testing.T, paths ...string) {
	t.Helper()
	got := []string{}
	for synctest.Wait(); len(s.begun) > 0; {
		got = append(got, <-s.begun)
	}
	require.Equal(t, append([]string{}, paths...), got)
}

// postTo opens streams, each with a body that has not ended.
func (p *peer) postTo(ids ...uint32) {
	for _, id := range ids {
		p.send(&spdy.SynStreamFrame{StreamID: id, Headers: request(p.v, "POST", fmt.Sprint("/", id))})
	}
}

// TestAttackA28Turns: streams get their handlers in the order in which they came, one for each
// that returns. One that is cancelled before leaves the queue, and costs nothing.
func TestAttackA28Turns(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		p, turns := waiting(t, v, spdy.Config{MaxConcurrentStreams: 3}, &http.Server{})
		defer p.close()
		p.postTo(11, 13, 15)
		turns.wantBegun(t)
		require.EqualValues(t, 3, p.s.Stats().ChargedResets)
		p.send(rst(13))
		p.postTo(17)
		p.want("nothing is refused")
		turns.wantBegun(t)
		require.Equal(t, 3, p.s.Stats().WaitingHandlers)
		require.Equal(t, 3, p.s.Stats().Streams.Lingering)
		require.EqualValues(t, 3, p.s.Stats().ChargedResets, "no handler has begun")
		for _, id := range []string{"/11", "/15", "/17"} {
			turns.end <- struct{}{}
			turns.wantBegun(t, id)
		}
		require.Zero(t, p.s.Stats().Streams.Lingering)
		require.Zero(t, p.s.Stats().WaitingHandlers)
		p.send(&spdy.SynStreamFrame{StreamID: 19, Headers: request(v, "POST", "/19")})
		p.want("beyond the peer's own count", "PING 2", "RST_STREAM 19 REFUSED_STREAM")
		close(turns.end)
		for _, id := range []uint32{11, 15, 17} {
			p.send(&spdy.DataFrame{StreamID: id, Flags: spdy.FlagFin})
			require.Equal(t, "SYN_REPLY", show(p.frames()[0]))
		}
		turns.wantBegun(t)
		require.Zero(t, p.s.Stats().Streams.Total())
	})
}

// TestAttackA28WaitingBody: the body of a stream that waits stays in its window, and is credited
// when the stream is cancelled.
func TestAttackA28WaitingBody(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		p, turns := waiting(t, v, spdy.Config{}, &http.Server{})
		defer p.close()
		for _, flags := range []spdy.FrameFlags{0, spdy.FlagFin} {
			id := uint32(11 + 2*flags)
			p.postTo(id)
			p.send(&spdy.DataFrame{StreamID: id, Data: make([]byte, 10000), Flags: flags})
			p.want("no credit")
			require.EqualValues(t, 10000, p.s.Stats().UnreadBytes)
			p.send(rst(id))
			synctest.Wait()
			require.Zero(t, p.s.Stats().UnreadBytes)
		}
		p.postTo(21)
		p.send(&spdy.DataFrame{StreamID: 21, Data: make([]byte, 10000), Flags: spdy.FlagFin})
		turns.wantBegun(t)
		turns.end <- struct{}{}
		turns.wantBegun(t, "/21")
		turns.end <- struct{}{}
		require.Equal(t, "10000 <nil>", p.body(21))
		require.Zero(t, p.s.Stats().UnreadBytes)
	})
}

// body is what the session has sent of a response's body.
func (p *peer) body(id uint32) (body string) {
	for _, frame := range p.frames() {
		if f, ok := frame.(*spdy.DataFrame); ok && f.StreamID == id {
			body += string(f.Data)
		}
	}
	return body
}

// TestAttackA28WindowsBacked: the bytes that cancelled streams have left unread do not take the
// windows of the streams that the peer opens instead.
func TestAttackA28WindowsBacked(t *testing.T) {
	const limit, window = 4, 64 << 10
	bubble.In(t, "", []spdy.Version{spdy.SPDY31}, func(t *testing.T, v spdy.Version) {
		conf := spdy.Config{MaxConcurrentStreams: limit, StreamWindow: window, SessionWindow: limit * window}
		p := newPeer(t, v, conf, func(_ http.ResponseWriter, r *http.Request) { <-t.Context().Done() })
		defer p.close()
		fill := func(id uint32) {
			for range window / 8192 {
				p.send(&spdy.DataFrame{StreamID: id, Data: make([]byte, 8192)})
			}
		}
		for id := range uint32(limit) {
			p.postTo(2*id + 1)
			fill(2*id + 1)
			p.send(rst(2*id + 1))
		}
		synctest.Wait()
		require.EqualValues(t, limit*window, p.s.Stats().UnreadBytes, "handlers may read it")
		for id := uint32(limit); id < 2*limit; id++ {
			p.postTo(2*id + 1)
			synctest.Wait()
			require.GreaterOrEqual(t, p.s.Stats().ReceiveWindow, int64(window), "there is room for the stream")
			fill(2*id + 1)
			synctest.Wait()
		}
		require.NoError(t, p.s.Err())
	})
}

// TestAttackA28WaitingTimeouts: WriteTimeout counts from the request, as over HTTP/2, and
// ReadTimeout from the beginning of the handler.
func TestAttackA28WaitingTimeouts(t *testing.T) {
	bubble.Run(t, "http2", http2WriteTimeout)
	bubble.InVersions(t, "WriteTimeout", func(t *testing.T, v spdy.Version) {
		p, turns := waiting(t, v, spdy.Config{}, &http.Server{WriteTimeout: 10 * time.Second})
		defer p.close()
		bubble.Pass(time.Second)
		p.postTo(11)
		bubble.Pass(10*time.Second - 1)
		p.want("there is time")
		bubble.Pass(1)
		p.want("time is up", "RST_STREAM 11 INTERNAL_ERROR")
		p.postTo(13)
		bubble.Pass(4 * time.Second)
		turns.end <- struct{}{}
		turns.wantBegun(t, "/13")
		bubble.Pass(6*time.Second - 1)
		p.want("there is time")
		bubble.Pass(1)
		p.want("time is up", "RST_STREAM 13 INTERNAL_ERROR")
		close(turns.end)
	})
	bubble.InVersions(t, "ReadTimeout", func(t *testing.T, v spdy.Version) {
		p, turns := waiting(t, v, spdy.Config{}, &http.Server{ReadTimeout: 5 * time.Second})
		defer p.close()
		p.postTo(11)
		p.send(&spdy.DataFrame{StreamID: 11, Data: make([]byte, 1000)})
		bubble.Pass(time.Minute)
		turns.end <- struct{}{}
		turns.wantBegun(t, "/11")
		close(turns.end)
		bubble.Pass(4 * time.Second)
		p.send(&spdy.DataFrame{StreamID: 11, Data: make([]byte, 1000), Flags: spdy.FlagFin})
		require.Equal(t, "2000 <nil>", p.body(11))
	})
}

// http2WriteTimeout shows when HTTP/2 resets a stream whose handler has not begun.
func http2WriteTimeout(t *testing.T) {
	ours, theirs := testconn.Pair()
	told, served := make(chan struct{}), make(chan struct{})
	begun := 0
	hs := &http.Server{WriteTimeout: 10 * time.Second, Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		begun++
		<-told
	})}
	go func() {
		defer close(served)
		(&http2.Server{MaxConcurrentStreams: 1}).ServeConn(theirs, &http2.ServeConnOpts{BaseConfig: hs})
	}()
	c, err := new(http2.Transport).NewClientConn(ours)
	require.NoError(t, err)
	first := start(t, c, "/")
	first.cancel()
	require.True(t, first.ended())
	second := start(t, c, "/")
	bubble.Pass(10*time.Second - 1)
	require.False(t, second.ended())
	bubble.Pass(1)
	require.True(t, second.ended())
	var reset http2.StreamError
	require.ErrorAs(t, <-second.err, &reset)
	require.Equal(t, http2.ErrCodeInternal, reset.Code)
	close(told)
	synctest.Wait()
	require.Equal(t, 1, begun)
	c.Close()
	<-served
}

// TestAttackA28WaitingEnds: Shutdown waits for streams that wait for their handlers, and Close
// ends them without.
func TestAttackA28WaitingEnds(t *testing.T) {
	bubble.InVersions(t, "Shutdown", func(t *testing.T, v spdy.Version) {
		p, turns := waiting(t, v, spdy.Config{}, &http.Server{})
		p.send(&spdy.SynStreamFrame{StreamID: 11, Flags: spdy.FlagFin, Headers: request(v, "GET", "/11")})
		turns.wantBegun(t)
		down := make(chan error, 1)
		go func() { down <- p.s.Shutdown(context.Background()) }()
		p.want("it is announced", "GOAWAY")
		turns.end <- struct{}{}
		turns.wantBegun(t, "/11")
		turns.end <- struct{}{}
		require.Equal(t, "0 <nil>", p.body(11))
		p.conn.Close() // which says that the answer has come
		require.NoError(t, <-down)
		require.NoError(t, <-p.end)
	})
	bubble.InVersions(t, "cancelled after GOAWAY", func(t *testing.T, v spdy.Version) {
		p, turns := waiting(t, v, spdy.Config{}, &http.Server{})
		p.postTo(11)
		turns.wantBegun(t)
		down := make(chan error, 1)
		go func() { down <- p.s.Shutdown(context.Background()) }()
		p.want("it is announced", "GOAWAY")
		turns.end <- struct{}{}
		turns.wantBegun(t, "/11")
		p.send(rst(11))
		turns.end <- struct{}{}
		require.NoError(t, <-down)
		require.NoError(t, <-p.end)
		p.conn.Close()
	})
	bubble.InVersions(t, "Close", func(t *testing.T, v spdy.Version) {
		p, turns := waiting(t, v, spdy.Config{}, &http.Server{})
		p.postTo(11)
		turns.wantBegun(t)
		p.close()
		close(turns.end)
		turns.wantBegun(t)
		require.Zero(t, p.s.Stats().Streams.Total())
	})
}

// TestAttackA28WaitingState: a session on which handlers take turns is active all the time.
func TestAttackA28WaitingState(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		states := make(chan http.ConnState, 10)
		hs := &http.Server{ConnState: func(_ net.Conn, s http.ConnState) { states <- s }}
		p, turns := waiting(t, v, spdy.Config{}, hs)
		p.postTo(11)
		turns.wantBegun(t)
		turns.end <- struct{}{}
		turns.wantBegun(t, "/11")
		require.Equal(t, http.StateActive, <-states)
		require.Empty(t, states)
		close(turns.end)
		p.send(rst(11))
		synctest.Wait()
		require.Equal(t, http.StateIdle, <-states)
		p.close()
		turns.wantBegun(t)
	})
}
