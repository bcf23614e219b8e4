package costs

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// A hostile server answers the first request with one of these.
var answers = map[string]func(s *script){
	"values of one byte": func(s *script) {
		s.add(&spdy.SynReplyFrame{StreamID: 1, Headers: s.answer(values("x", 30000))})
	},
	"many names": func(s *script) {
		s.add(&spdy.SynReplyFrame{StreamID: 1, Headers: s.answer(names("n", 5000)...)})
	},
	"late headers": func(s *script) {
		s.add(&spdy.SynReplyFrame{StreamID: 1, Headers: s.answer()}, &spdy.DataFrame{StreamID: 1, Data: []byte("x")})
		s.add(&spdy.HeadersFrame{StreamID: 1, Headers: append(names("n", 2000), values("x", 20000))})
	},
	"unread answer": func(s *script) {
		s.add(&spdy.SynReplyFrame{StreamID: 1, Headers: s.answer()})
		for range 7 {
			s.add(&spdy.DataFrame{StreamID: 1, Data: make([]byte, 16<<10)})
		}
	},
	"a frame that does not end": func(s *script) {
		s.add(&spdy.SynReplyFrame{StreamID: 1, Headers: s.answer()})
		s.buf.Write([]byte{0x80, s.wire(), 0, 8, 0, 0xff, 0xff, 0xff})
		s.buf.Write(make([]byte, 800<<10))
	},
	"pushes": func(s *script) {
		s.add(&spdy.SynReplyFrame{StreamID: 1, Headers: s.answer()})
		for i := range 60 {
			promise := block(s.v, ":host", "example.com", ":path", fmt.Sprint("/", i), ":scheme", "http")
			if s.v == spdy.SPDY2 {
				promise = block(s.v, ":path", fmt.Sprint("http://example.com/", i))
			}
			h := append(append(promise, s.answer()...), values("x", 2000))
			s.add(&spdy.SynStreamFrame{StreamID: uint32(2*i + 2), AssociatedStreamID: 1, Flags: spdy.FlagUnidirectional, Headers: h})
			s.add(&spdy.DataFrame{StreamID: uint32(2*i + 2), Data: make([]byte, 1<<10)})
		}
	},
}

// A market is a Transport and the hostile servers that it dials, and an honest one.
type market struct {
	t       *testing.T
	scripts [][]byte
	honest  *site
	client  *spdy.Transport
	verdict chan struct{} // closed: calls of AcceptPush return

	mu    sync.Mutex
	conns []*testconn.Conn // of hostile servers
}

func newMarket(t *testing.T, v spdy.Version) *market {
	m := &market{t: t, honest: newSite(t, v, spdy.Config{}), verdict: make(chan struct{})}
	for _, play := range sorted(answers) {
		s := newScript(v)
		play(s)
		m.scripts = append(m.scripts, s.buf.Bytes())
	}
	conf := bubble.Quiet(spdy.Config{Pools: small, AcceptPush: func(_, _ *http.Request) bool {
		<-m.verdict
		return true
	}}, v)
	m.client = &spdy.Transport{Config: conf, DialContext: m.dial}
	return m
}

// dial dials the honest server, or has another hostile one come.
func (m *market) dial(_ context.Context, _, addr string) (net.Conn, error) {
	if strings.HasPrefix(addr, "example.com") {
		return m.honest.ln.Dial()
	}
	ours, theirs := testconn.Pair()
	m.mu.Lock()
	text := m.scripts[len(m.conns)%len(m.scripts)]
	m.conns = append(m.conns, theirs)
	m.mu.Unlock()
	go func() {
		buf := make([]byte, 1)
		if _, err := theirs.Read(buf); err == nil { // the request has been opened, or is about to be
			<-time.After(time.Millisecond)
			_, _ = theirs.Write(text)
		}
		drain(theirs)
	}()
	return ours, nil
}

// A31, from the other side: a thousand hostile servers of one Transport, whose answers
// nobody reads.
func TestAttackA31ManyServers(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		m := newMarket(t, v)
		before := liveHeap()
		var bodies []io.Closer
		failed := 0
		for i := range hostile {
			req := httptest.NewRequest("GET", fmt.Sprintf("http://h%d.example/", i), nil)
			req.Host = "example.com" // which the pushes are for
			res, err := m.client.RoundTrip(req)
			if err != nil {
				require.ErrorIs(t, err, spdy.ErrPoolFull)
				failed++
				continue
			}
			bodies = append(bodies, res.Body)
			bubble.Pass(5 * time.Millisecond)
		}
		synctest.Wait()
		cost, stats := liveHeap()-before, m.client.PoolStats()
		t.Logf("%d failed: %d of %d MiB; %+v", failed, cost>>20, sum(small)>>20, stats)
		honest(t, m.client)
		m.leave(bodies)
		require.Less(t, cost, sum(small))
		require.Less(t, liveHeap()-before, int64(4<<20), "all of it has been given back")
		runtime.KeepAlive(m)
	})
}

// Answers that a program neither reads nor closes, against the contract of http.RoundTripper, take
// nothing of the pool when their sessions have gone: over HTTP/1.1 they cost others nothing.
func TestAbandonedAnswers(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		m := newMarket(t, v)
		for i := range 3 * len(answers) {
			req := httptest.NewRequest("GET", fmt.Sprintf("http://h%d.example/", i), nil)
			_, _ = m.client.RoundTrip(req)
			bubble.Pass(5 * time.Millisecond)
		}
		require.NotZero(t, m.client.PoolStats().UnreadBytes.Used)
		m.leave(nil)
	})
}

// They take nothing either when the contexts of their requests have ended, although the session
// goes on. What is kept then is kept by the program alone.
func TestAbandonedAnswersOfEndedRequests(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		s := newSite(t, v, spdy.Config{})
		client := s.transport()
		client.Config.Pools = small
		text := strings.Repeat("x", 60<<10)
		var bodies []io.Reader
		for range 2 * small.UnreadBytes / len(text) {
			ctx, cancel := context.WithCancel(context.Background())
			req, err := http.NewRequestWithContext(ctx, "POST", "http://example.com/honest", strings.NewReader(text))
			require.NoError(t, err)
			res, err := client.RoundTrip(req)
			require.NoError(t, err)
			synctest.Wait()
			require.NotZero(t, client.PoolStats().UnreadBytes.Used)
			cancel()
			synctest.Wait()
			require.Zero(t, client.PoolStats().UnreadBytes.Used)
			bodies = append(bodies, res.Body)
		}
		for _, body := range bodies {
			got, err := io.ReadAll(body)
			require.NoError(t, err)
			require.Equal(t, text, string(got))
		}
		require.Zero(t, client.PoolStats().UnreadBytes.Used)
		honest(t, client)
		require.EqualValues(t, 1, s.srv.Stats().SessionsTotal, "all of that on one session")
		client.CloseIdleConnections()
		synctest.Wait()
		wantEmpty(t, client.PoolStats())
		s.close()
	})
}

// leave ends everything, and wants everything to be given back.
func (m *market) leave(bodies []io.Closer) {
	close(m.verdict)
	for _, body := range bodies {
		body.Close()
	}
	for _, conn := range m.conns {
		conn.Close()
	}
	m.conns = nil
	m.client.CloseIdleConnections()
	bubble.Pass(time.Minute)
	synctest.Wait()
	wantEmpty(m.t, m.client.PoolStats())
	m.honest.close()
}
