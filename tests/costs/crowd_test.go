package costs

import (
	"runtime"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// A hostile client sends one of these. All of them are within what one session may.
var attacks = map[string]func(s *script){
	"values of one byte": func(s *script) {
		for i := range 4 {
			s.add(&spdy.SynStreamFrame{StreamID: uint32(2*i + 1), Headers: s.request(values("x", 30000))})
		}
	},
	"many names": func(s *script) {
		for i := range 4 {
			s.add(&spdy.SynStreamFrame{StreamID: uint32(2*i + 1), Headers: s.request(names("n", 5000)...)})
		}
	},
	"names of trailers": func(s *script) {
		value := make([]byte, 0, 60000)
		for n := int64(100_000); len(value) < 59_000; n++ {
			value = append(strconv.AppendInt(value, n, 36), ',')
		}
		for i := range 4 {
			s.add(&spdy.SynStreamFrame{StreamID: uint32(2*i + 1), Headers: s.request(spdy.HeaderField{Name: "trailer", Value: string(value)})})
		}
	},
	"late headers": func(s *script) {
		for i := range 4 {
			s.add(&spdy.SynStreamFrame{StreamID: uint32(2*i + 1), Headers: s.request()})
			s.add(&spdy.HeadersFrame{StreamID: uint32(2*i + 1), Headers: append(names("n", 2000), values("x", 20000))})
		}
	},
	"unread bodies": func(s *script) {
		for i := range 16 {
			s.add(&spdy.SynStreamFrame{StreamID: uint32(2*i + 1), Headers: s.request()})
			for range 4 {
				s.add(&spdy.DataFrame{StreamID: uint32(2*i + 1), Data: make([]byte, 16<<10)})
			}
		}
	},
	"a frame that does not end": func(s *script) {
		s.add(&spdy.PingFrame{ID: 1})
		s.buf.Write([]byte{0x80, s.wire(), 0, 1, 0, 0xff, 0xff, 0xff})
		s.buf.Write(make([]byte, 800<<10))
	},
	"rapid reset": func(s *script) {
		for i := range 250 {
			s.add(&spdy.SynStreamFrame{StreamID: uint32(2*i + 1), Headers: s.request(values("x", 2000))})
			s.add(&spdy.RstStreamFrame{StreamID: uint32(2*i + 1), Status: spdy.RstCancel})
		}
	},
	"crumbs": func(s *script) {
		for i := range 250 {
			s.add(&spdy.SynStreamFrame{StreamID: uint32(2*i + 1), Headers: s.request()})
			s.add(&spdy.DataFrame{StreamID: uint32(2*i + 1), Data: []byte("x")})
		}
	},
}

// scripts are what the attackers send, each in turn.
func scripts(v spdy.Version) (all [][]byte) {
	for _, play := range sorted(attacks) {
		s := newScript(v)
		play(s)
		all = append(all, s.buf.Bytes())
	}
	return all
}

// crowd has hostile clients come, one after the other.
func (s *site) crowd(all [][]byte, n int) (conns []*testconn.Conn) {
	for i := range n {
		conn := s.dial()
		_, _ = conn.Write(all[i%len(all)]) // which fails where the session has been ended
		conns = append(conns, conn)
		bubble.Pass(5 * time.Millisecond)
	}
	synctest.Wait()
	return conns
}

// leave has them leave, and wants everything to be given back. Whatever goroutine they have left, the
// bubble would not end.
func (s *site) leave(conns []*testconn.Conn) {
	for _, conn := range conns {
		conn.Close()
	}
	s.let()
	bubble.Pass(time.Minute)
	synctest.Wait()
	s.empty()
	require.Zero(s.t, s.srv.Stats().Sessions)
	s.close()
}

// A31, costs that add up: a thousand hostile sessions at once, with one server. The server
// keeps no more than its pools, an honest client is served beside them, and nothing is left
// when they have gone.
func TestAttackA31ManyClients(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		all := scripts(v)
		before := liveHeap()
		s := newSite(t, v, spdy.Config{Pools: small})
		conns := s.crowd(all, hostile)
		cost, stats := liveHeap()-before, s.srv.Stats()
		t.Logf("%d of %d sessions, %d streams: %d of %d MiB; %+v", stats.Sessions, stats.SessionsTotal, stats.Streams.Total(), cost>>20, sum(small)>>20, stats.Pools)
		client := s.transport()
		honest(t, client)
		client.CloseIdleConnections()
		s.leave(conns)
		require.Less(t, cost, sum(small))
		require.EqualValues(t, hostile, stats.SessionsTotal, "no connection was refused")
		require.Less(t, liveHeap()-before, int64(4<<20), "all of it has been given back")
		runtime.KeepAlive(all)
	})
}

// The same, with fewer of them, and with handlers that do not return before they are told to: what they hold cannot be
// taken from them, so what comes later is refused.
func TestAttackA31StuckHandlers(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		all := scripts(v)
		before := liveHeap()
		s := newSite(t, v, spdy.Config{Pools: small})
		s.stuck = true
		conns := s.crowd(all, hostile/4)
		cost, stats := liveHeap()-before, s.srv.Stats()
		t.Logf("%d of %d sessions, %d streams: %d of %d MiB; %+v", stats.Sessions, stats.SessionsTotal, stats.Streams.Total(), cost>>20, sum(small)>>20, stats.Pools)
		s.leave(conns)
		require.Less(t, cost, sum(small))
		require.LessOrEqual(t, stats.Pools.Handlers.Used, int64(small.Handlers))
		require.Less(t, liveHeap()-before, int64(4<<20), "all of it has been given back")
		runtime.KeepAlive(all)
	})
}

// smaller are pools that kindCrowd hostile sessions of any kind exceed.
var smaller = spdy.Pools{HeaderBytes: 4 << 20, UnreadBytes: 8 << 20, BufferBytes: 16 << 20, Handlers: 512}

// Each kind of attack, from many sessions at once: the server keeps no more than its pools, an honest
// client is served beside them, and nothing is left when the sessions have ended.
func TestAttackA31EachKind(t *testing.T) {
	for name := range attacks {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			before := liveHeap()
			s, text := kind(t, v, name, smaller)
			conns := s.crowd(text, kindCrowd)
			cost, stats := liveHeap()-before, s.srv.Stats()
			require.Less(t, cost, sum(smaller), "%+v", stats.Pools)
			client := s.transport()
			honest(t, client)
			client.CloseIdleConnections()
			s.leave(conns)
			require.Less(t, liveHeap()-before, int64(4<<20), "all of it has been given back")
		})
	}
}

// kind returns a site, and the bytes that clients of one kind send. Handlers of cancelled requests
// go on, else rapid resets cost nothing.
func kind(t *testing.T, v spdy.Version, name string, pools spdy.Pools) (*site, [][]byte) {
	play := newScript(v)
	attacks[name](play)
	s := prepareSite(t, v, spdy.Config{Pools: pools})
	s.stuck = name == "rapid reset"
	s.serve()
	return s, [][]byte{play.buf.Bytes()}
}
