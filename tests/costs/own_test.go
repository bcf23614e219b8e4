package costs

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// ownMiB is the size of the pools in these tests, in MiB.
const ownMiB = 4

// floodOf is the number of streams with costly headers: more than the pool has room for.
const floodOf = 90

// costly are the header blocks that use the most memory for each byte sent.
var costly = map[string]func() spdy.HeaderBlock{
	"values of one byte": func() spdy.HeaderBlock { return spdy.HeaderBlock{values("x", 8000)} },
	"many names":         func() spdy.HeaderBlock { return names("n", 750) },
	"one long value": func() spdy.HeaderBlock {
		return spdy.HeaderBlock{{Name: "x", Value: strings.Repeat("v", 60_000)}}
	},
	"names of trailers": func() spdy.HeaderBlock {
		var b strings.Builder
		for n := range 1500 {
			fmt.Fprintf(&b, "t%d,", n)
		}
		return spdy.HeaderBlock{{Name: "trailer", Value: b.String() + "t"}}
	},
}

// A lone session is in no Server and no Transport.
type lone struct {
	t    *testing.T
	s    *spdy.Session
	conn *testconn.Conn // of the peer
	*script
}

// newLone runs a session that make makes, and discards the frames of the session.
func newLone(t *testing.T, v spdy.Version, headerBytes int, make func(*spdy.Config, *testconn.Conn) *spdy.Session) *lone {
	ours, theirs := testconn.Pair()
	conf := bubble.Quiet(spdy.Config{Pools: spdy.Pools{HeaderBytes: headerBytes}}, v)
	l := &lone{t: t, s: make(conf, ours), conn: theirs, script: newScript(v)}
	go l.s.Serve()
	go drain(theirs)
	return l
}

// send sends frames and waits until the session has processed them.
func (l *lone) send(frames ...spdy.Frame) {
	l.add(frames...)
	_, err := l.conn.Write(l.buf.Bytes())
	require.NoError(l.t, err)
	l.buf.Reset()
	synctest.Wait()
}

// close ends the session.
func (l *lone) close() {
	l.conn.Close()
	l.s.Close()
	bubble.Pass(time.Minute)
	synctest.Wait()
}

// wantWithin wants the memory for headers to be at most a quarter more than their pool; the memory of
// streams is beside that. It also wants the pool to be used, or the test would show nothing.
func (l *lone) wantWithin(before int64, streams int) {
	l.t.Helper()
	cost, pool := liveHeap()-before, int64(ownMiB<<20)
	l.t.Logf("%d KiB, %d streams", cost>>10, streams)
	require.Less(l.t, cost, pool+pool/4+int64(streams)*(64<<10)+1<<20)
	require.Less(l.t, streams, floodOf, "streams beyond the pool were refused")
	require.Greater(l.t, streams, 5)
}

// A server session without a Server keeps no more headers than its own pool has room for, and a
// request with small headers is served beside large ones. The memory is free when the handlers have returned.
func TestOwnPool(t *testing.T) {
	for name, costly := range costly {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			release, served := make(chan struct{}), 0
			l := newLone(t, v, ownMiB<<20, func(conf *spdy.Config, conn *testconn.Conn) *spdy.Session {
				return conf.ServerSession(conn, &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					if r.Method == http.MethodPut {
						served++
						return
					}
					<-release
					runtime.KeepAlive(r)
				})})
			})
			h, before := l.request(costly()...), liveHeap()
			flood := func(id uint32) {
				for range floodOf {
					l.send(&spdy.SynStreamFrame{StreamID: id, Headers: h})
					id += 2
				}
			}
			flood(1)
			small := l.request()
			small[0].Value = http.MethodPut
			l.send(&spdy.SynStreamFrame{StreamID: 301, Headers: small, Flags: spdy.FlagFin})
			require.Equal(t, 1, served)
			l.wantWithin(before, l.s.Stats().Streams.Total())
			require.NoError(t, l.s.Err(), "the session goes on")
			close(release)
			bubble.Pass(time.Minute)
			for id := uint32(303); id < 321; id += 2 {
				l.send(&spdy.SynStreamFrame{StreamID: id, Headers: h, Flags: spdy.FlagFin})
			}
			require.Zero(t, l.s.Stats().Streams.Total())
			l.close()
			require.Less(t, liveHeap()-before, int64(1<<20))
		})
	}
}

// A raw session keeps no more headers than its own pool has room for, in both roles, also if the
// program accepts every stream. An ended stream makes room.
func TestOwnPoolOfRawSession(t *testing.T) {
	for _, client := range []bool{false, true} {
		for _, accepts := range []bool{false, true} {
			bubble.InVersions(t, fmt.Sprintf("client %v, accepts %v", client, accepts), func(t *testing.T, v spdy.Version) {
				l := newLone(t, v, ownMiB<<20, func(conf *spdy.Config, conn *testconn.Conn) *spdy.Session {
					conf.MaxHeaderBytes = 4 << 20 // so that the bound of waiting blocks is larger than the pool
					return conf.RawSession(conn, client)
				})
				id := uint32(1)
				if client {
					id++
				}
				h, before := costly["one long value"](), liveHeap()
				var all []*spdy.RawStream
				for round := range 2 {
					for range floodOf {
						l.send(&spdy.SynStreamFrame{StreamID: id, Headers: h})
						id += 2
						if accepts && l.s.Stats().Streams.Total() > len(all) {
							st, err := l.s.AcceptStream(context.Background())
							require.NoError(t, err)
							all = append(all, st)
						}
					}
					l.wantWithin(before, l.s.Stats().Streams.Total())
					if !accepts {
						break
					}
					require.NotEmpty(t, all, round)
					for _, st := range all {
						require.NoError(t, st.Reset(spdy.RstCancel))
					}
					all = nil
					synctest.Wait()
				}
				l.close()
			})
		}
	}
}

// A client session without a Transport fails responses with more headers than its own pool has room
// for. A response with small headers arrives beside them.
func TestOwnPoolOfClient(t *testing.T) {
	for name, costly := range costly {
		bubble.InVersions(t, name, func(t *testing.T, v spdy.Version) {
			l := newLone(t, v, ownMiB<<20, func(conf *spdy.Config, conn *testconn.Conn) *spdy.Session {
				return conf.ClientSession(conn)
			})
			h, before := l.answer(costly()...), liveHeap()
			var bodies []io.Closer
			failed := 0
			get := func(id uint32, h spdy.HeaderBlock) {
				go func() {
					res, err := l.s.RoundTrip(httptest.NewRequest("GET", "http://example.com/", nil))
					if err != nil {
						full := (*spdy.PoolError)(nil)
						require.ErrorAs(t, err, &full)
						require.Equal(t, "HeaderBytes", full.Pool)
						failed++
						return
					}
					bodies = append(bodies, res.Body)
				}()
				synctest.Wait()
				l.send(&spdy.SynReplyFrame{StreamID: id, Headers: h})
			}
			for i := range uint32(floodOf) {
				get(2*i+1, h)
			}
			require.Positive(t, failed, "answers that found no room")
			got := len(bodies)
			get(2*floodOf+1, l.answer())
			require.Len(t, bodies, got+1)
			cost, pool := liveHeap()-before, int64(ownMiB<<20)
			require.Less(t, cost, pool+pool/4+floodOf*(64<<10)+1<<20)
			for _, body := range bodies {
				body.Close()
			}
			l.close()
		})
	}
}

// The default size is 128 MiB, or 16 times MaxHeaderBytes, and the headers of one stream may use an eighth of
// it. A negative HeaderBytes means no bound.
func TestOwnPoolSizes(t *testing.T) {
	answers := func(v spdy.Version, headerBytes, maxHeaderBytes int) (err error) {
		l := newLone(t, v, headerBytes, func(conf *spdy.Config, conn *testconn.Conn) *spdy.Session {
			conf.MaxHeaderBytes = maxHeaderBytes
			return conf.ClientSession(conn)
		})
		go func() {
			var res *http.Response
			if res, err = l.s.RoundTrip(httptest.NewRequest("GET", "http://example.com/", nil)); err == nil {
				res.Body.Close()
			}
		}()
		synctest.Wait()
		l.send(&spdy.SynReplyFrame{StreamID: 1, Headers: l.answer(values("x", 700_000))}) // 23 MiB
		l.close()
		return err
	}
	bubble.In(t, "", bubble.Versions[1:], func(t *testing.T, v spdy.Version) { // a value of SPDY/2 is shorter
		full := (*spdy.PoolError)(nil)
		require.ErrorAs(t, answers(v, 0, 0), &full)
		require.EqualValues(t, 16*(10<<20+640<<10), full.Limit/(1<<18)<<18, "16 times the default of MaxHeaderBytes")
		require.ErrorAs(t, answers(v, 0, 2<<20), &full)
		require.EqualValues(t, 128<<20, full.Limit)
		require.NoError(t, answers(v, 0, 12<<20))
		require.NoError(t, answers(v, -1, 2<<20))
	})
}
