package costs

import (
	"errors"
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

// A talker is a client of a site that writes frames one by one.
type talker struct {
	t    *testing.T
	conn *testconn.Conn
	*script
	resets map[uint32]spdy.RstStatus // of the site
	bye    bool                      // GOAWAY has come, or the end
}

func (s *site) talker() *talker {
	conn, err := s.ln.Dial()
	require.NoError(s.t, err)
	c := &talker{t: s.t, conn: conn, script: newScript(s.v), resets: make(map[uint32]spdy.RstStatus)}
	f := spdy.NewFramer(nil, conn, s.v)
	go func() {
		for {
			frame, err := f.ReadFrame()
			if rst, ok := frame.(*spdy.RstStreamFrame); ok {
				c.resets[rst.StreamID] = rst.Status
			}
			if _, goAway := frame.(*spdy.GoAwayFrame); goAway || err != nil {
				c.bye = true
			}
			if err != nil {
				conn.Close()
				return
			}
		}
	}()
	return c
}

// send sends frames and waits for what comes of them.
func (c *talker) send(frames ...spdy.Frame) {
	c.add(frames...)
	_, err := c.conn.Write(c.buf.Bytes())
	require.NoError(c.t, err)
	c.buf.Reset()
	synctest.Wait()
}

// open opens a stream with a header block that takes about a MiB.
func (c *talker) open(id uint32) {
	c.send(&spdy.SynStreamFrame{StreamID: id, Headers: c.request(values("x", 31000))})
}

// greed has a client fill the header pool, and returns the first stream that is refused.
func (c *talker) greed() (refused uint32) {
	for id := uint32(3); id < 100; id += 2 {
		if c.open(id); len(c.resets) > 0 {
			require.Equal(c.t, spdy.RstRefusedStream, c.resets[id])
			return id
		}
	}
	require.Fail(c.t, "no stream was refused")
	return 0
}

// The session that holds most of a pool gets no more of it while others do, and what is left
// is for those that hold little. Then streams of it are reset, and none that holds less than the others.
func TestAttackA31LargestGivesWay(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		s := newSite(t, v, spdy.Config{Pools: small})
		greedy, other := s.talker(), s.talker()
		echoed := greedy.request(values("x", 1000))
		echoed[1].Value = "/honest"
		greedy.send(&spdy.SynStreamFrame{StreamID: 1, Headers: echoed})
		refused := greedy.greed()
		require.Len(t, greedy.resets, 1, "it was refused before any stream had to be reset")
		pool := s.srv.Stats().Pools.HeaderBytes
		require.LessOrEqual(t, pool.Used, pool.Limit*85/100)
		require.EqualValues(t, 1, pool.Refused)
		other.open(1)
		require.Empty(t, other.resets, "another session gets something")
		client := s.transport()
		honest(t, client)

		for id := uint32(3); id < 7; id += 2 { // each time greedy's streams are looked at
			bubble.Pass(2 * time.Second)
			greedy.send(&spdy.DataFrame{StreamID: 1, Data: []byte("its handler reads this")})
			other.send(&spdy.SynStreamFrame{StreamID: id, Headers: other.request()})
		}
		other.open(7)
		require.Empty(t, other.resets)
		require.Greater(t, len(greedy.resets), 1, "streams of greedy give way, beside %d", refused)
		require.Less(t, len(greedy.resets), int(refused)/2, "and not all of them")
		require.NotContains(t, greedy.resets, uint32(1), "which holds less than the others")
		require.EqualValues(t, len(greedy.resets)-1, s.srv.Stats().Pools.HeaderBytes.Reset)
		client.CloseIdleConnections()
		s.leave([]*testconn.Conn{greedy.conn, other.conn})
	})
}

// When a pool of unread bytes is full, the session that holds most loses streams that are not
// read, and its other streams and other sessions do not notice.
func TestAttackA31UnreadGivesWay(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		s := newSite(t, v, spdy.Config{Pools: spdy.Pools{UnreadBytes: 1 << 20}})
		greedy := s.talker()
		for i := range uint32(40) {
			greedy.send(&spdy.SynStreamFrame{StreamID: 2*i + 1, Headers: greedy.request()})
			for range 4 {
				greedy.send(&spdy.DataFrame{StreamID: 2*i + 1, Data: make([]byte, 16<<10)})
			}
			require.LessOrEqual(t, s.srv.Stats().Pools.UnreadBytes.Used, int64(1<<20))
		}
		require.NotEmpty(t, greedy.resets)
		require.False(t, greedy.bye, "the session goes on")
		client := s.transport()
		honest(t, client)
		client.CloseIdleConnections()
		s.leave([]*testconn.Conn{greedy.conn})
	})
}

// Connections are refused last: when there is no room for a session. A client learns that
// nothing was looked at.
func TestAttackA31ConnectionsLast(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		s := newSite(t, v, spdy.Config{Pools: spdy.Pools{BufferBytes: 128 << 10}})
		var conns []*testconn.Conn
		for range 20 {
			c := s.talker()
			c.send(&spdy.PingFrame{ID: 1})
			if conns = append(conns, c.conn); c.bye {
				break
			}
		}
		stats := s.srv.Stats()
		require.Equal(t, len(conns)-1, stats.Sessions, "the last one was refused")
		require.Greater(t, stats.Sessions, 5)
		require.EqualValues(t, 1, stats.Pools.BufferBytes.Refused)
		ours, theirs := testconn.Pair()
		go func() { _, _ = theirs.Write(append([]byte{0x80, 3, 0, 6, 0, 0, 0, 4}, 0, 0, 0, 1)) }()
		err := s.srv.ServeConn(ours, nil)
		full := (*spdy.PoolError)(nil)
		require.ErrorAs(t, err, &full)
		require.ErrorIs(t, err, spdy.ErrPoolFull)
		require.Equal(t, "BufferBytes", full.Pool)
		theirs.Close()
		s.leave(conns)
	})
}

// Whatever way a stream ends in, what it was charged is given back while the session lives.
func TestAttackA31GivenBack(t *testing.T) {
	ends := map[string]func(s *site, c *talker){
		"the handler returns": func(s *site, c *talker) { s.let() },
		"reset, and the handler returns": func(s *site, c *talker) {
			c.send(&spdy.RstStreamFrame{StreamID: 1, Status: spdy.RstCancel})
			s.let()
		},
		"reset": func(s *site, c *talker) { c.send(&spdy.RstStreamFrame{StreamID: 1, Status: spdy.RstCancel}) },
		"too many late headers": func(s *site, c *talker) {
			c.send(&spdy.HeadersFrame{StreamID: 1, Headers: names("n", 20000)})
		},
	}
	for name, end := range ends {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			s := newSite(t, v, spdy.Config{})
			c := s.talker()
			c.open(1)
			c.send(&spdy.DataFrame{StreamID: 1, Data: make([]byte, 30<<10)})
			c.send(&spdy.HeadersFrame{StreamID: 1, Headers: names("n", 100)})
			held := s.srv.Stats().Pools
			require.Greater(t, held.HeaderBytes.Used, int64(1<<20))
			require.GreaterOrEqual(t, held.UnreadBytes.Used, int64(30<<10))
			require.EqualValues(t, 1, held.Handlers.Used)
			end(s, c)
			bubble.Pass(10 * time.Second) // for the rest of a request
			left := s.srv.Stats().Pools
			require.Zero(t, left.HeaderBytes.Used+left.UnreadBytes.Used+left.Handlers.Used)
			require.Positive(t, left.BufferBytes.Used, "the session is there")
			s.leave([]*testconn.Conn{c.conn})
		})
	}
}

// The memory of bodies that are read but for a byte counts while the byte is unread.
func TestAttackA31ChunksGivenBack(t *testing.T) {
	const streams = 20
	for name, end := range map[string]func(s *site, c *talker){
		"the handlers return": func(s *site, c *talker) { s.let() },
		"reset": func(s *site, c *talker) {
			for i := range uint32(streams + 1) {
				c.send(&spdy.RstStreamFrame{StreamID: 2*i + 1, Status: spdy.RstCancel})
			}
		},
	} {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			s := readingSite(t, v, spdy.Config{})
			c := s.talker()
			for i := range uint32(streams) {
				read := spdy.HeaderField{Name: "read", Value: "30000"}
				c.send(&spdy.SynStreamFrame{StreamID: 2*i + 1, Headers: c.request(read)})
				c.send(&spdy.DataFrame{StreamID: 2*i + 1, Data: make([]byte, 30_001)})
			}
			c.send(&spdy.SynStreamFrame{StreamID: 2*streams + 1, Headers: c.request()})
			c.send(&spdy.DataFrame{StreamID: 2*streams + 1, Data: []byte("which has the session count again")})
			require.Positive(t, s.srv.Stats().Pools.UnreadBytes.Used, "the bytes alone are so few that they count for nothing")
			end(s, c)
			bubble.Pass(10 * time.Second) // for the rest of a request
			require.Zero(t, s.srv.Stats().Pools.UnreadBytes.Used)
			require.Positive(t, s.srv.Stats().Pools.BufferBytes.Used, "the session is there")
			s.leave([]*testconn.Conn{c.conn})
		})
	}
}

// The defaults, and what a field may be.
func TestPoolLimits(t *testing.T) {
	const most = int(^uint(0) >> 1)
	for want, p := range map[[4]int64]spdy.Pools{
		{128 << 20, 256 << 20, 192 << 20, 16384}:         {},
		{-1, -1, -1, -1}:                                 {HeaderBytes: -1, UnreadBytes: -2, BufferBytes: -most, Handlers: -most - 1},
		{64 << 10, 64 << 10, 64 << 10, 1}:                {HeaderBytes: 1, UnreadBytes: 1, BufferBytes: 1, Handlers: 1},
		{int64(most) - 1, 1 << 20, int64(most) - 1, 100}: {HeaderBytes: most - 1, UnreadBytes: 1 << 20, BufferBytes: most - 1, Handlers: 100},
	} {
		tr := &spdy.Transport{Config: &spdy.Config{Pools: p}}
		got := tr.PoolStats()
		require.Equal(t, want, [4]int64{got.HeaderBytes.Limit, got.UnreadBytes.Limit, got.BufferBytes.Limit, got.Handlers.Limit})
	}
	bubble.InVersions(t, "largest", func(t *testing.T, v spdy.Version) {
		s := newSite(t, v, spdy.Config{Pools: spdy.Pools{HeaderBytes: most, UnreadBytes: most, BufferBytes: most, Handlers: most}})
		client := s.transport()
		honest(t, client)
		client.CloseIdleConnections()
		s.leave(nil)
	})
	require.Equal(t, spdy.PoolStats{}, (&spdy.Server{Handler: http.NotFoundHandler()}).Stats().Pools)
	err := error(&spdy.PoolError{Pool: "Handlers", Limit: 7})
	require.EqualError(t, err, "spdy: pool Handlers of 7 is full")
	require.ErrorIs(t, &spdy.StreamError{Err: err}, spdy.ErrPoolFull)
	require.False(t, errors.Is(err, io.EOF))
}
