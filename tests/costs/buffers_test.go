package costs

import (
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// buffersOf are small pools of which a test fills the one for buffers.
var buffersOf = spdy.Pools{BufferBytes: 8 << 20}

// sessionsOf is how many sessions take 70 percent of buffersOf.
const sessionsOf = 400

// open has n clients begin a session, each with the bytes of begin. A client reads if reads is set; else
// the socket of the server takes 4 KiB.
func (s *site) open(n int, begin []byte, reads bool) (conns []*testconn.Conn) {
	for range n {
		conn, err := s.ln.Dial()
		require.NoError(s.t, err)
		if reads {
			go drain(conn)
		} else {
			conn.Peer().SetWriteCap(4 << 10)
		}
		_, err = conn.Write(begin)
		require.NoError(s.t, err)
		conns = append(conns, conn)
		synctest.Wait() // buffers of connections that begin together would have some refused
	}
	return conns
}

// ping is a PING in a script.
func (s *script) ping() *script {
	s.add(&spdy.PingFrame{ID: 1})
	return s
}

// A31, read buffers: a peer that fills the small buffer of a session and then is silent, with or
// without a frame that has begun, has the session hold a large buffer for as long as both live. That
// buffer is only for sessions while the pool has room.
func TestAttackA31ReadBuffers(t *testing.T) {
	writes := map[string]func(s *script){
		"whole frames": func(s *script) {
			for range 40 {
				s.ping()
			}
			for range 2 {
				s.buf.Write([]byte{0x80, s.wire(), 0, 200, 0, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8}) // of an unknown type
			}
		},
		"the begin of a frame's head": func(s *script) {
			s.ping().buf.Write([]byte{0x80, s.wire(), 0})
		},
		"the begin of a frame": func(s *script) {
			s.buf.Write([]byte{0x80, s.wire(), 0, 1, 0, 0, 0x70, 0})
			s.buf.Write(make([]byte, 600))
		},
	}
	for name, write := range writes {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			s := newSite(t, v, spdy.Config{Pools: buffersOf, FirstFrameTimeout: -1})
			conns := s.open(sessionsOf, newScript(v).ping().buf.Bytes(), true)
			require.Equal(t, sessionsOf, s.srv.Stats().Sessions)
			sc := newScript(v)
			write(sc)
			for _, conn := range conns {
				_, err := conn.Write(sc.buf.Bytes())
				require.NoError(t, err)
			}
			bubble.Pass(time.Hour)
			stats := s.srv.Stats()
			require.Equal(t, sessionsOf, stats.Sessions)
			require.Less(t, stats.Pools.BufferBytes.Used, stats.Pools.BufferBytes.Limit)
			client := s.transport()
			honest(t, client)
			client.CloseIdleConnections()
			s.leave(conns)
		})
	}
}

// The same for the buffers to send from, of clients that do not read what they have asked for. A
// session may have a small buffer besides what the pool has.
func TestAttackA31SendBuffers(t *testing.T) {
	const small = 5 << 10
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		s := prepareSite(t, v, spdy.Config{Pools: buffersOf})
		content := make([]byte, 256<<10)
		s.srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write(content) })
		s.serve()
		conns := s.open(sessionsOf, newScript(v).ping().buf.Bytes(), false)
		ask := newScript(v)
		ask.add(&spdy.SynStreamFrame{StreamID: 1, Flags: spdy.FlagFin, Headers: ask.get()})
		for _, conn := range conns {
			_, err := conn.Write(ask.buf.Bytes())
			require.NoError(t, err)
		}
		synctest.Wait()
		stats := s.srv.Stats()
		require.Equal(t, sessionsOf, stats.Sessions)
		require.Greater(t, stats.Streams.Total(), sessionsOf/8)
		require.Less(t, stats.Pools.BufferBytes.Used, stats.Pools.BufferBytes.Limit+small*sessionsOf)
		s.leave(conns)
	})
}

// endless is a body that does not end.
type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// The same for the buffers of handlers that copy to clients that do not read: they are charged to
// the stream, and small when a quarter of the pool is in use.
func TestAttackA31CopyBuffers(t *testing.T) {
	const sessions, streams = 40, 12
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		s := prepareSite(t, v, spdy.Config{Pools: spdy.Pools{BufferBytes: 16 << 20}})
		s.srv.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, endless{}) })
		s.serve()
		begin := newScript(v)
		for i := range uint32(streams) {
			begin.add(&spdy.SynStreamFrame{StreamID: 2*i + 1, Flags: spdy.FlagFin, Headers: begin.get()})
		}
		before := liveHeap()
		conns := s.open(sessions, begin.buf.Bytes(), false)
		cost, stats := liveHeap()-before, s.srv.Stats()
		t.Logf("%d streams, %d KiB, %+v", stats.Streams.Total(), cost>>10, stats.Pools.BufferBytes)
		require.Equal(t, sessions*streams, stats.Streams.Total())
		require.Less(t, stats.Pools.BufferBytes.Used, stats.Pools.BufferBytes.Limit)
		s.leave(conns)
		require.Less(t, cost, stats.Pools.BufferBytes.Limit*3/2)
	})
}

// A stream is charged with what it keeps, whether the handler has written nothing, has written and
// hangs, or has returned before the client reads the answer.
func TestAttackA31Streams(t *testing.T) {
	handlers := map[string]http.HandlerFunc{
		"hangs":             func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
		"writes and hangs":  func(w http.ResponseWriter, r *http.Request) { _, _ = w.Write([]byte("x")); <-r.Context().Done() },
		"has written":       func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 3000)) },
		"has read the body": func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) },
	}
	for name, handler := range handlers {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			s := prepareSite(t, v, spdy.Config{})
			s.srv.Handler = handler
			s.serve()
			begin := newScript(v)
			for i := range uint32(250) {
				begin.add(&spdy.SynStreamFrame{StreamID: 2*i + 1, Headers: begin.request()})
			}
			before := liveHeap()
			conns := s.open(10, begin.buf.Bytes(), false)
			cost, stats := liveHeap()-before, s.srv.Stats()
			charged := stats.Pools.HeaderBytes.Used + stats.Pools.BufferBytes.Used
			t.Logf("%d streams, %d KiB, charged %d KiB", stats.Streams.Total(), cost>>10, charged>>10)
			s.leave(conns)
			require.Less(t, cost, charged+charged/3)
		})
	}
}

// get is the header block of a GET.
func (s *script) get() spdy.HeaderBlock {
	h := s.request()
	h[0].Value = "GET"
	return h
}
