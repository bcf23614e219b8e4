package cancel_test

import (
	"context"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/amahi/spdy"
	"github.com/amahi/spdy/internal/testconn"
	"github.com/amahi/spdy/tests/bubble"
)

// TestAttackA28SlotWaitsForEcho: the slot of a cancelled stream is free when the echo of
// the PING behind its RST_STREAM has arrived, and not before.
func TestAttackA28SlotWaitsForEcho(t *testing.T) {
	for _, limit := range []uint32{1, 3} {
		t.Run(fmt.Sprint("of ", limit), func(t *testing.T) {
			bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
				p := newPeer(t, v, spdy.Config{}, nil)
				defer p.close()
				p.limit(limit)
				var first *call
				for i := range limit {
					c := p.get("/")
					p.want("a slot is free", fmt.Sprint("SYN_STREAM ", 2*i+1))
					if first == nil {
						first = c
					}
				}
				next := p.get("/")
				p.want("no slot is free")
				first.cancel()
				require.True(t, first.ended())
				require.ErrorIs(t, <-first.err, context.Canceled)
				p.want("RST_STREAM, then PING", "RST_STREAM 1 CANCEL", "PING 1")
				require.False(t, p.s.CanTakeNewRequest())
				bubble.Pass(700 * time.Millisecond)
				p.want("the echo has not arrived")
				p.send(&spdy.PingFrame{ID: 1})
				p.want("the echo has arrived", fmt.Sprint("SYN_STREAM ", 2*limit+1))
				require.False(t, next.ended())
				require.Equal(t, 700*time.Millisecond, p.s.Stats().RoundTrip)
				p.send(p.reply(2*limit + 1))
				require.NoError(t, <-next.err)
			})
		})
	}
}

// TestAttackA28SlotOfFinishedStream: a stream that is cancelled after its response has no
// slot to wait for, and a RST_STREAM of the server needs no echo.
func TestAttackA28SlotOfFinishedStream(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		p := newPeer(t, v, spdy.Config{}, nil)
		defer p.close()
		p.limit(1)
		a, b, c := p.get("/a"), p.get("/b"), p.get("/c")
		p.want("the first", "SYN_STREAM 1")
		p.send(p.reply(1))
		p.want("it has ended", "SYN_STREAM 3")
		p.send(&spdy.RstStreamFrame{StreamID: 3, Status: spdy.RstInternalError})
		p.want("the server has reset it", "SYN_STREAM 5")
		p.send(p.reply(5))
		synctest.Wait()
		for _, c := range []*call{a, b, c} {
			require.True(t, c.ended())
			c.cancel()
		}
		p.want("nothing to cancel")
	})
}

// TestAttackA28LaterAnswerIsProof: the response to a stream that was opened after the PING, or
// its reset, proves as much as the echo; those of an earlier stream do not.
func TestAttackA28LaterAnswerIsProof(t *testing.T) {
	for name, frame := range map[string]func(p *peer, id uint32) spdy.Frame{
		"SYN_REPLY": func(p *peer, id uint32) spdy.Frame {
			return &spdy.SynReplyFrame{StreamID: id, Headers: answer(p.v)}
		},
		"RST_STREAM": func(p *peer, id uint32) spdy.Frame { return rst(id) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
				p := newPeer(t, v, spdy.Config{}, nil)
				defer p.close()
				p.limit(4)
				first := p.get("/")
				p.want("the stream to cancel", "SYN_STREAM 1")
				p.get("/early")
				p.want("the stream before the PING", "SYN_STREAM 3")
				first.cancel()
				p.want("cancelled", "RST_STREAM 1 CANCEL", "PING 1")
				p.get("/late")
				p.get("/late")
				p.want("the streams after the PING", "SYN_STREAM 5", "SYN_STREAM 7")
				p.get("/waits")
				p.want("no slot is free")
				bubble.Pass(300 * time.Millisecond)
				p.send(&spdy.SynReplyFrame{StreamID: 3, Headers: answer(v)})
				p.want("that response proves nothing")
				bubble.Pass(300 * time.Millisecond)
				require.Zero(t, p.s.Stats().WaitingPings)
				p.send(frame(p, 5))
				if name == "RST_STREAM" { // frees a slot of its own too
					p.get("/waits")
					p.want("the server has seen the reset", "SYN_STREAM 9", "SYN_STREAM 11")
				} else {
					p.want("the server has seen the reset", "SYN_STREAM 9")
				}
				p.send(&spdy.PingFrame{ID: 1})
				p.want("the echo frees nothing any more")
				p.get("/waits")
				p.want("it frees nothing any more")
			})
		})
	}
}

// TestAttackA28SlotWaitsInVain: the slot is free after a second, or four round trips.
func TestAttackA28SlotWaitsInVain(t *testing.T) {
	for roundTrip, wait := range map[time.Duration]time.Duration{
		0:                      time.Second,
		100 * time.Millisecond: time.Second,
		600 * time.Millisecond: 2400 * time.Millisecond,
	} {
		t.Run(roundTrip.String(), func(t *testing.T) {
			bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
				p := newPeer(t, v, spdy.Config{}, nil)
				defer p.close()
				p.limit(1)
				if roundTrip > 0 {
					p.measure(roundTrip)
				}
				for range 3 {
					first := p.get("/")
					syn := p.frames()
					require.Len(t, syn, 1)
					first.cancel()
					second := p.get("/")
					require.Len(t, pings(p.frames()), 1)
					bubble.Pass(wait - 1)
					p.want("the wait is not over")
					bubble.Pass(1)
					got := p.frames()
					require.Len(t, got, 1, "the wait is over")
					p.send(p.reply(got[0].(*spdy.SynStreamFrame).StreamID))
					require.NoError(t, <-second.err)
					if roundTrip == 0 {
						break // a server that has never answered is not waited for again
					}
				}
			})
		})
	}
}

// measure lets the session measure a round trip.
func (p *peer) measure(d time.Duration) {
	p.t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := p.s.PingContext(context.Background())
		done <- err
	}()
	ids := pings(p.frames())
	require.Len(p.t, ids, 1)
	bubble.Pass(d)
	p.send(&spdy.PingFrame{ID: ids[0]})
	require.NoError(p.t, <-done)
	require.Equal(p.t, d, p.s.Stats().RoundTrip)
}

// TestAttackA28MuteServer: a server that never answers a PING is waited for once, and
// again as soon as it answers one.
func TestAttackA28MuteServer(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		p := newPeer(t, v, spdy.Config{}, nil)
		defer p.close()
		p.limit(3)
		a, b, c := p.get("/"), p.get("/"), p.get("/")
		p.want("three slots", "SYN_STREAM 1", "SYN_STREAM 3", "SYN_STREAM 5")
		a.cancel()
		p.want("the first", "RST_STREAM 1 CANCEL", "PING 1")
		bubble.Pass(500 * time.Millisecond)
		b.cancel()
		p.want("one PING at a time", "RST_STREAM 3 CANCEL")
		for range 3 {
			p.get("/")
		}
		bubble.Pass(500*time.Millisecond - 1)
		p.want("the wait is not over")
		bubble.Pass(1)
		p.want("the wait is over, for all resets", "SYN_STREAM 7", "SYN_STREAM 9")
		c.cancel()
		p.want("no wait", "RST_STREAM 5 CANCEL", "SYN_STREAM 11")

		p.send(&spdy.PingFrame{ID: 1}) // late
		synctest.Wait()
		d := p.get("/")
		p.send(p.reply(7))
		p.want("a slot", "SYN_STREAM 13")
		d.cancel()
		p.get("/")
		p.want("the server answers PINGs", "RST_STREAM 13 CANCEL", "PING 3")
		p.send(&spdy.PingFrame{ID: 3})
		p.want("the echo", "SYN_STREAM 15")
	})
}

// TestAttackA28OnePingForMany: streams that are cancelled together cost two PINGs at
// most, and those cancelled while a PING is out one more, which is sent at once.
func TestAttackA28OnePingForMany(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		p := newPeer(t, v, spdy.Config{}, nil)
		defer p.close()
		p.limit(100)
		calls := make([]*call, 100)
		for i := range calls {
			calls[i] = p.get("/")
		}
		require.Len(t, p.frames(), 100)
		for _, c := range calls {
			c.cancel()
		}
		resets, asked := 0, 0
		for rounds := 0; ; rounds++ {
			got := p.frames()
			ids := pings(got)
			asked += len(ids)
			resets += len(got) - len(ids)
			require.LessOrEqual(t, len(ids), 1, "one at a time")
			if len(ids) == 0 {
				break
			}
			p.send(&spdy.PingFrame{ID: ids[0]})
		}
		require.Equal(t, 100, resets)
		require.LessOrEqual(t, asked, 2)
		for range 100 {
			p.get("/")
		}
		require.Len(t, p.frames(), 100, "all slots are free")
	})
}

// TestAttackA28NextPing: the PING for resets that followed the one before is sent when the
// echo arrives, whether anything else is to be sent or not.
func TestAttackA28NextPing(t *testing.T) {
	for name, proof := range map[string]func(p *peer) spdy.Frame{
		"echo":      func(*peer) spdy.Frame { return &spdy.PingFrame{ID: 1} },
		"SYN_REPLY": func(p *peer) spdy.Frame { return p.reply(7) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
				p := newPeer(t, v, spdy.Config{}, nil)
				defer p.close()
				a, b, c := p.get("/"), p.get("/"), p.get("/")
				p.want("three streams", "SYN_STREAM 1", "SYN_STREAM 3", "SYN_STREAM 5")
				a.cancel()
				p.want("the first", "RST_STREAM 1 CANCEL", "PING 1")
				p.get("/")
				p.want("a stream after the PING", "SYN_STREAM 7")
				b.cancel()
				c.cancel()
				require.Len(t, p.frames(), 2, "the others")
				p.send(proof(p))
				p.want("the next PING", "PING 3")
			})
		})
	}
}

// A dialled is a Transport whose connections reach scripted servers.
type dialled struct {
	t     *testing.T
	v     spdy.Version
	tr    *spdy.Transport
	conns chan *testconn.Conn
}

func newDialled(t *testing.T, v spdy.Version) *dialled {
	d := &dialled{t: t, v: v, conns: make(chan *testconn.Conn, 10)}
	d.tr = &spdy.Transport{Config: bubble.Quiet(spdy.Config{}, v), MaxSessionsPerHost: 1, DialContext: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := testconn.Pair()
		d.conns <- theirs
		return ours, nil
	}}
	return d
}

// peer is the scripted server of the next session.
func (d *dialled) peer() *peer {
	synctest.Wait()
	conn := <-d.conns
	f, tap := newFramer(conn, d.v)
	return &peer{t: d.t, v: d.v, conn: conn, f: f, tap: tap}
}

// wantGone wants the session to have said GOAWAY and to have ended, without the passing of
// time.
func (p *peer) wantGone(why string) {
	p.t.Helper()
	got := p.frames()
	require.NotEmpty(p.t, got, why)
	require.Equal(p.t, spdy.FrameGoAway, got[len(got)-1].FrameType(), why)
	began := time.Now()
	_, err := p.f.ReadFrame()
	require.Error(p.t, err, why)
	require.Zero(p.t, time.Since(began), why)
	require.NoError(p.t, p.conn.Close())
}

// TestAttackA28HeldSlotsKeepNothing: a session that has nothing but slots of cancelled streams
// is idle, and ends at once.
func TestAttackA28HeldSlotsKeepNothing(t *testing.T) {
	t.Run("CloseIdleConnections", func(t *testing.T) {
		bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
			d := newDialled(t, v)
			c := start(t, d.tr, "/")
			p := d.peer()
			p.frames()
			c.cancel()
			p.want("cancelled", "RST_STREAM 1 CANCEL", "PING 1")
			d.tr.CloseIdleConnections()
			p.wantGone("nothing is open")
		})
	})
	t.Run("IdleConnTimeout", func(t *testing.T) {
		bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
			d := newDialled(t, v)
			d.tr.IdleConnTimeout = 300 * time.Millisecond
			c := start(t, d.tr, "/")
			p := d.peer()
			p.frames()
			bubble.Pass(time.Second)
			c.cancel()
			p.want("cancelled", "RST_STREAM 1 CANCEL", "PING 1")
			bubble.Pass(300*time.Millisecond - 1)
			p.want("not idle long enough")
			bubble.Pass(1)
			p.wantGone("idle long enough")
		})
	})
	t.Run("IdleTimeout", func(t *testing.T) {
		bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
			p := newPeer(t, v, spdy.Config{IdleTimeout: 300 * time.Millisecond}, nil)
			c := p.get("/")
			p.frames()
			bubble.Pass(time.Second)
			c.cancel()
			p.want("cancelled", "RST_STREAM 1 CANCEL", "PING 1")
			bubble.Pass(300 * time.Millisecond)
			p.wantGone("idle long enough")
			require.NoError(t, <-p.end)
		})
	})
	t.Run("Shutdown", func(t *testing.T) {
		bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
			p := newPeer(t, v, spdy.Config{}, nil)
			c := p.get("/")
			p.frames()
			c.cancel()
			p.want("cancelled", "RST_STREAM 1 CANCEL", "PING 1")
			done := make(chan error, 1)
			go func() { done <- p.s.Shutdown(context.Background()) }()
			p.wantGone("nothing is open")
			require.NoError(t, <-done)
			require.NoError(t, <-p.end)
		})
	})
}

// TestAttackA28SlotsEndWithSession: requests that wait for a held slot fail, or go to
// another session, when the session ends.
func TestAttackA28SlotsEndWithSession(t *testing.T) {
	bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
		p := newPeer(t, v, spdy.Config{}, nil)
		p.limit(1)
		c := p.get("/")
		p.frames()
		c.cancel()
		waiting := p.get("/")
		p.want("cancelled", "RST_STREAM 1 CANCEL", "PING 1")
		require.False(t, waiting.ended())
		require.Equal(t, 1, p.s.Stats().WaitingOpeners)
		p.conn.Close()
		require.True(t, waiting.ended())
		require.Error(t, <-waiting.err)
		<-p.end
	})
	t.Run("Transport", func(t *testing.T) {
		bubble.InVersions(t, "", func(t *testing.T, v spdy.Version) {
			d := newDialled(t, v)
			c := start(t, d.tr, "/")
			p := d.peer()
			p.limit(1)
			p.frames()
			c.cancel()
			p.want("cancelled", "RST_STREAM 1 CANCEL", "PING 1")
			waiting := start(t, d.tr, "/")
			p.want("no slot, and no other session")
			p.send(&spdy.GoAwayFrame{LastGoodStreamID: 1})
			require.False(t, waiting.ended())
			other := d.peer()
			syn := other.frames()
			other.send(other.reply(1))
			require.NoError(t, <-waiting.err, "%v", syn)
			p.conn.Close()
			d.tr.CloseIdleConnections()
			other.wantGone("idle")
		})
	})
}
