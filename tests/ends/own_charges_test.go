package ends

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/net/http2"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/spdytest"
	"github.com/amahi/spdy/tests/bubble"
)

// ownIdleBurst is IdleFrameBurst in these tests, and manyPings are more than that. In fake time
// no budget fills up meanwhile.
const (
	ownIdleBurst = 1000
	manyPings    = 3 * ownIdleBurst
)

// TestOwnPingLoop measures round trips one after the other, as fast as it goes, from both
// ends at once and by several goroutines. Neither end is charged: not for echoes that it
// has asked for, nor for PINGs that come one at a time. HTTP/2 is the oracle.
func TestOwnPingLoop(t *testing.T) {
	bubble.Run(t, "http2", func(t *testing.T) {
		ours, theirs := testconn.Pair()
		served := make(chan struct{})
		go func() {
			defer close(served)
			new(http2.Server).ServeConn(theirs, &http2.ServeConnOpts{Handler: http.NotFoundHandler()})
		}()
		conn, err := (&http2.Transport{AllowHTTP: true}).NewClientConn(ours)
		require.NoError(t, err)
		for range manyPings {
			require.NoError(t, conn.Ping(t.Context()))
		}
		require.NoError(t, conn.Close())
		<-served
	})
	for _, raw := range []bool{false, true} {
		bubble.InVersions(t, map[bool]string{false: "HTTP", true: "raw"}[raw], func(t *testing.T, v spdy.Version) {
			p := ownPair(v, raw)
			defer p.Close()
			var loops sync.WaitGroup
			for i := range 8 {
				s := []*spdy.Session{p.Client, p.Server}[i%2]
				loops.Go(func() {
					for range manyPings / 4 {
						if _, err := s.PingContext(t.Context()); !assert.NoError(t, err) {
							return
						}
					}
				})
			}
			loops.Wait()
			for _, s := range []*spdy.Session{p.Client, p.Server} {
				require.Less(t, s.Stats().IdleFrames, uint64(10), "SETTINGS and WINDOW_UPDATE only")
			}
		})
	}
}

// ownPair is a pair of sessions in a version.
func ownPair(v spdy.Version, raw bool) *spdytest.Pair {
	p := spdytest.NewUnstartedPair(http.NotFoundHandler())
	if raw {
		p.Config = nil
	}
	conf := spdy.Config{IdleFrameBurst: ownIdleBurst}
	p.ClientConfig, p.ServerConfig = bubble.Quiet(conf, v), bubble.Quiet(conf, v)
	p.Start()
	return p
}

// TestOwnReceiptIsNotCharged: nor is the echo that Shutdown waits for.
func TestOwnReceiptIsNotCharged(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		p := ownRaw(0)(t, v)
		defer p.close()
		p.send(&spdy.SynStreamFrame{StreamID: 1, Flags: spdy.FlagFin})
		r, err := p.s.AcceptStream(t.Context())
		require.NoError(t, err)
		require.NoError(t, r.Reply(nil, true))
		before := p.s.Stats().IdleFrames
		ended := make(chan error, 1)
		go func() { ended <- p.s.Shutdown(t.Context()) }()
		require.Equal(t, 1, p.count(spdy.FramePing))
		p.send(&spdy.PingFrame{ID: 2})
		require.Equal(t, before, p.s.Stats().IdleFrames)
		p.conn.Close()
		require.NoError(t, <-ended)
	})
}

// TestOwnPingIsReceipt: the echo of a PING of PingInterval is a receipt for what was sent before the
// PING, also with PingProof, which marks the ids. So a Shutdown whose context ends has nothing
// left to deliver.
func TestOwnPingIsReceipt(t *testing.T) {
	for _, proof := range []bool{false, true} {
		bubble.InVersions(t, fmt.Sprint("proof ", proof), func(t *testing.T, v spdy.Version) {
			ours, theirs := testconn.Pair()
			conf := spdy.Config{PingInterval: 10 * time.Second, PingTimeout: 5 * time.Second, PingProof: proof}
			p := newOwnPeer(t, v, theirs, bubble.Quiet(conf, v).RawSession(ours, false))
			defer p.close()
			p.send(&spdy.SynStreamFrame{StreamID: 1, Flags: spdy.FlagFin})
			r, err := p.s.AcceptStream(t.Context())
			require.NoError(t, err)
			require.NoError(t, r.Reply(nil, true))
			bubble.Pass(12 * time.Second)
			require.Equal(t, 1, p.count(spdy.FramePing))
			id := uint32(2)
			if proof {
				id |= 1 << 30
			}
			p.send(&spdy.PingFrame{ID: id})
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- p.s.Shutdown(ctx) }()
			require.Equal(t, 1, p.count(spdy.FramePing), "nothing is left to be confirmed")
			require.NoError(t, <-ended)
		})
	}
}

// TestOwnPingGivenUp: the echo of a PING whose caller has given up is still one that was
// asked for, however late it comes.
func TestOwnPingGivenUp(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		p := ownPair(v, true)
		defer p.Close()
		synctest.Wait()
		before := p.Client.Stats().IdleFrames
		p.SetLatency(time.Second)
		for range 2 * ownIdleBurst {
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			_, err := p.Client.PingContext(ctx)
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		bubble.Pass(time.Minute)
		require.NoError(t, p.Client.Err())
		require.Equal(t, uint64(2*ownIdleBurst), p.Client.Stats().Received.Frames[spdy.FramePing])
		require.Equal(t, before, p.Client.Stats().IdleFrames)
	})
}

// An ownPeer is the scripted end of a connection whose other end is a session of ours.
type ownPeer struct {
	t     *testing.T
	v     spdy.Version
	s     *spdy.Session
	conn  *testconn.Conn
	f     *spdy.Framer
	out   strings.Builder // frames that have not been sent
	heard map[spdy.FrameType]int
	end   chan error // the result of Serve
	over  chan struct{}

	mu sync.Mutex // guards heard
}

// newOwnPeer runs s on the other end of conn. Everything that it sends is read and counted.
func newOwnPeer(t *testing.T, v spdy.Version, conn *testconn.Conn, s *spdy.Session) *ownPeer {
	p := &ownPeer{t: t, v: v, s: s, conn: conn, heard: make(map[spdy.FrameType]int), end: make(chan error, 1), over: make(chan struct{})}
	p.f = spdy.NewFramer(&p.out, nil, v)
	p.f.Compression = spdy.CompressFull
	go func() { p.end <- s.Serve() }()
	go func() { // ends with the connection
		defer close(p.over)
		in := spdy.NewFramer(nil, conn, v)
		for {
			frame, err := in.ReadFrame()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.heard[frame.FrameType()]++
			p.mu.Unlock()
		}
	}()
	synctest.Wait()
	return p
}

func (p *ownPeer) add(frames ...spdy.Frame) {
	p.t.Helper()
	for _, frame := range frames {
		require.NoError(p.t, p.f.WriteFrame(frame))
	}
}

// send sends frames, behind those that were added, in one Write.
func (p *ownPeer) send(frames ...spdy.Frame) {
	p.t.Helper()
	p.add(frames...)
	_, _ = p.conn.Write([]byte(p.out.String())) // the session may have ended
	p.out.Reset()
	synctest.Wait()
}

func (p *ownPeer) count(typ spdy.FrameType) int {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.heard[typ]
}

func (p *ownPeer) close() {
	p.s.Close()
	p.conn.Close()
	<-p.over
	<-p.end
}

// A useless is a frame without a use that some peer may send as often as it likes.
type useless struct {
	name  string
	only  []spdy.Version
	start func(t *testing.T, v spdy.Version) *ownPeer
	one   func(p *ownPeer, i int) spdy.Frame
}

// ownRaw starts a raw session that serves, for a peer without flow control or with it.
func ownRaw(flow spdy.FlowControl) func(t *testing.T, v spdy.Version) *ownPeer {
	return func(t *testing.T, v spdy.Version) *ownPeer {
		ours, theirs := testconn.Pair()
		s := bubble.Quiet(spdy.Config{FlowControl: flow, MaxOwedReplies: 1 << 20, IdleFrameBurst: ownIdleBurst}, v).RawSession(ours, false)
		return newOwnPeer(t, v, theirs, s)
	}
}

// ownClient starts a client whose request has been sent.
func ownClient(t *testing.T, v spdy.Version) *ownPeer {
	ours, theirs := testconn.Pair()
	p := newOwnPeer(t, v, theirs, bubble.Quiet(spdy.Config{IdleFrameBurst: ownIdleBurst}, v).ClientSession(ours))
	go func() {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://example.com/", nil)
		res, err := p.s.RoundTrip(req)
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		}
	}()
	synctest.Wait()
	return p
}

// ownStatus is the header block of a response.
func ownStatus(v spdy.Version, status string, more ...spdy.HeaderField) spdy.HeaderBlock {
	names := [2]string{":status", ":version"}
	if v == spdy.SPDY2 {
		names = [2]string{"status", "version"}
	}
	return append(spdy.HeaderBlock{{Name: names[0], Value: status}, {Name: names[1], Value: "HTTP/1.1"}}, more...)
}

// TestOwnUselessFrames: what a peer sends in bulk and that is of no use is charged, of
// whatever kind it is, so that it cannot go on without end.
func TestOwnUselessFrames(t *testing.T) {
	any, two := bubble.Versions, bubble.Versions[:1]
	long := spdy.HeaderField{Name: "x", Value: strings.Repeat("a", 60<<10)}
	unaware := func(flags spdy.FrameFlags) func(t *testing.T, v spdy.Version) *ownPeer {
		return func(t *testing.T, v spdy.Version) *ownPeer {
			p := ownRaw(spdy.FlowControlPeerUnaware)(t, v)
			p.send(&spdy.SynStreamFrame{StreamID: 1, Flags: flags})
			return p
		}
	}
	for _, u := range []useless{
		{"PING", any, ownRaw(0), func(_ *ownPeer, i int) spdy.Frame { return &spdy.PingFrame{ID: uint32(2*i + 1)} }},
		{"PING 0", any, ownRaw(0), func(*ownPeer, int) spdy.Frame { return &spdy.PingFrame{} }},
		{"echo of no PING", any, ownRaw(0), func(_ *ownPeer, i int) spdy.Frame { return &spdy.PingFrame{ID: uint32(2*i + 100)} }},
		{"echo of a PING that was answered", any, func(t *testing.T, v spdy.Version) *ownPeer {
			p := ownRaw(0)(t, v)
			go p.s.PingContext(t.Context())
			synctest.Wait()
			return p
		}, func(*ownPeer, int) spdy.Frame { return &spdy.PingFrame{ID: 2} }},
		{"interim SYN_REPLY", any, ownClient, func(p *ownPeer, _ int) spdy.Frame {
			return &spdy.SynReplyFrame{StreamID: 1, Headers: ownStatus(p.v, "103", long)}
		}},
		{"HEADERS after DATA", two, func(t *testing.T, v spdy.Version) *ownPeer {
			p := ownClient(t, v)
			p.send(&spdy.SynReplyFrame{StreamID: 1, Headers: ownStatus(v, "200")}, &spdy.DataFrame{StreamID: 1, Data: []byte("x")})
			return p
		}, func(*ownPeer, int) spdy.Frame {
			return &spdy.HeadersFrame{StreamID: 1, Headers: spdy.HeaderBlock{long}}
		}},
		{"HEADERS after FIN, unaware", any, unaware(spdy.FlagFin),
			func(*ownPeer, int) spdy.Frame {
				return &spdy.HeadersFrame{StreamID: 1, Headers: spdy.HeaderBlock{long}}
			}},
		{"empty DATA after FIN, unaware", any, unaware(spdy.FlagFin), func(*ownPeer, int) spdy.Frame { return &spdy.DataFrame{StreamID: 1} }},
	} {
		bubble.In(t, u.name, u.only, func(t *testing.T, v spdy.Version) {
			p := u.start(t, v)
			defer p.close()
			for i := 0; i < 3*ownIdleBurst && p.s.Err() == nil; i++ {
				p.add(u.one(p, i))
				if i%1000 == 999 {
					p.send()
				}
			}
			require.ErrorIs(t, p.s.Err(), spdy.ErrFlood)
			require.Less(t, p.s.Stats().Received.HeaderBytes, int64(32<<20), "nor is inflating without end")
		})
	}
}

// TestOwnUselessBlocks: header blocks that a client throws away are charged also while its
// stream bears them. Interim answers, which a stream has a limit for, are not.
func TestOwnUselessBlocks(t *testing.T) {
	short := spdy.HeaderField{Name: "x", Value: "y"}
	for _, way := range []struct {
		name  string
		only  []spdy.Version
		first func(p *ownPeer)
		one   func(p *ownPeer) spdy.Frame
	}{
		{"HEADERS after DATA", bubble.Versions[:1], func(p *ownPeer) {
			p.send(&spdy.SynReplyFrame{StreamID: 1, Headers: ownStatus(p.v, "200")}, &spdy.DataFrame{StreamID: 1, Data: []byte("x")})
		}, func(*ownPeer) spdy.Frame { return &spdy.HeadersFrame{StreamID: 1, Headers: spdy.HeaderBlock{short}} }},
	} {
		bubble.In(t, way.name, way.only, func(t *testing.T, v spdy.Version) {
			p := ownClient(t, v)
			defer p.close()
			way.first(p)
			before := p.s.Stats()
			for range 50 {
				p.send(way.one(p))
			}
			after := p.s.Stats()
			require.Equal(t, uint64(50), after.IdleFrames-before.IdleFrames)
			require.Zero(t, after.Sent.Frames[spdy.FrameRstStream])
		})
	}
}

// TestOwnResetsAreNotCharged: a server that resets, refuses or hangs up on streams hears of
// them from a peer that could not know, in whatever order: RST_STREAM, FIN, trailers and a
// PING for each. The peer has broken no rule and is charged for none of that.
func TestOwnResetsAreNotCharged(t *testing.T) {
	for _, way := range []struct {
		name string
		end  func(r *spdy.RawStream)
	}{
		{"reset", func(r *spdy.RawStream) { _ = r.Reset(spdy.RstCancel) }},
		{"closed", func(r *spdy.RawStream) { _ = r.Close() }},
	} {
		bubble.InVersions(t, way.name, func(t *testing.T, v spdy.Version) {
			p := ownRaw(0)(t, v)
			defer p.close()
			before := p.s.Stats()
			for i := range ownIdleBurst {
				id := uint32(2*i + 1)
				p.send(&spdy.SynStreamFrame{StreamID: id})
				r, err := p.s.AcceptStream(t.Context())
				require.NoError(t, err, fmt.Sprint(i))
				way.end(r)
				synctest.Wait()
				// These were on their way.
				p.send(&spdy.HeadersFrame{StreamID: id, Headers: spdy.HeaderBlock{{Name: "late", Value: "1"}}},
					&spdy.DataFrame{StreamID: id, Flags: spdy.FlagFin}, &spdy.RstStreamFrame{StreamID: id, Status: spdy.RstCancel},
					&spdy.PingFrame{ID: id})
			}
			after := p.s.Stats()
			require.Equal(t, before.IdleFrames, after.IdleFrames)
			require.Equal(t, before.ChargedResets, after.ChargedResets)
			require.NoError(t, p.s.Err())
		})
	}
}

// ownConns are the two ends of a connection in memory.
func ownConns() (ours, theirs *testconn.Conn) { return testconn.Pair() }
